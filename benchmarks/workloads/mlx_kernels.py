"""Single kernels in MLX."""

from __future__ import annotations

from functools import partial
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim

from benchmarks.worker import Step
from benchmarks.workloads.cases import CHAIN, convolution
from benchmarks.workloads.inputs import convolution_inputs, inputs


def chain(x: Any, y: Any) -> Any:
    for _ in range(CHAIN):
        x = x * 1.0001
        x = x + y
    return x


def operations(mode: str, name: str) -> Step:
    x, y = map(mx.array, inputs(name))
    if name == "op_single":
        return lambda: (mx.eval(x + y), None)[1]
    function: Any = chain
    if name == "op_overhead_grad":
        function = mx.grad(lambda x, y: chain(x, y).sum())
    if mode != "MLX eager":
        function = mx.compile(function)
    return lambda: (function(x, y)[0].item(), None)[1]


def convolve(name: str) -> Step:
    case = convolution(name)
    images, filters, gradients = convolution_inputs(case)
    x, w, g = map(mx.array, (images, filters.transpose(0, 2, 3, 1).copy(), gradients))

    def forward(x: Any, w: Any) -> Any:
        return mx.conv2d(x, w, padding=case.kernel // 2)

    def passed(x: Any, w: Any, g: Any) -> Any:
        if case.which == "forward":
            return forward(x, w)
        if case.which == "data":
            return mx.vjp(lambda x: forward(x, w), [x], [g])[1][0]
        return mx.vjp(lambda w: forward(x, w), [w], [g])[1][0]

    return lambda: (mx.eval(passed(x, w, g)), None)[1]


def adam_update(name: str) -> Step:
    arrays = [mx.array(a) for a in inputs(name)]
    parameters = {str(i): a for i, a in enumerate(arrays[:50])}
    gradients = {str(i): a for i, a in enumerate(arrays[50:])}
    optimizer: Any = optim.Adam(1e-3)
    optimizer.init(parameters)
    state = [parameters, optimizer.state]

    @partial(mx.compile, inputs=state, outputs=state)
    def step(gradients: Any) -> None:
        parameters.update(optimizer.apply_gradients(gradients, parameters))

    def run() -> None:
        step(gradients)
        mx.eval(state)

    return run


def build(mode: str, name: str) -> Step:
    if name.startswith("op_"):
        return operations(mode, name)
    if name.startswith("conv_"):
        return convolve(name)
    if name == "adam_update":
        return adam_update(name)
    x, y = map(mx.array, inputs(name))
    return lambda: (mx.eval(x @ y), None)[1]
