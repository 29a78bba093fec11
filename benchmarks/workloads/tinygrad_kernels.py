"""Single kernels in tinygrad."""

from __future__ import annotations

from typing import Any

from tinygrad import Context, Tensor, TinyJit, nn

from benchmarks.worker import Step
from benchmarks.workloads.cases import CHAIN, convolution
from benchmarks.workloads.inputs import convolution_inputs, inputs
from benchmarks.workloads.tinygrad_models import finished


def chain(x: Any, y: Any) -> Any:
    for _ in range(CHAIN):
        x = x * 1.0001
        x = x + y
    return x


def operations(mode: str, name: str) -> Step:
    x, y = (Tensor(a).realize() for a in inputs(name))
    if name == "op_single":
        return lambda: (finished((x + y).realize()), None)[1]

    def function(x: Any, y: Any) -> Any:
        if name == "op_overhead":
            return chain(x, y).realize()
        return chain(x, y).sum().gradient(x)[0].contiguous().realize()  # a constant: nothing to compile

    whole = mode == "tinygrad" and name == "op_overhead"
    compiled = TinyJit(function) if whole else function
    return lambda: (compiled(x, y)[0].item(), None)[1]


def convolve(name: str) -> Step:
    case = convolution(name)
    images, filters, gradients = convolution_inputs(case)
    x, g = (Tensor(a.transpose(0, 3, 1, 2).copy()).realize() for a in (images, gradients))
    w = Tensor(filters).realize()

    @TinyJit
    def passed(x: Any, w: Any, g: Any) -> Any:
        forward = x.conv2d(w, padding=case.kernel // 2)
        if case.which == "forward":
            return forward.realize()
        return forward.gradient(x if case.which == "data" else w, gradient=g)[0].realize()

    return lambda: (finished(passed(x, w, g)), None)[1]


def adam_update(name: str) -> Step:
    arrays = [Tensor(a).realize() for a in inputs(name)]
    parameters, gradients = arrays[:50], arrays[50:]
    optimizer = nn.optim.Adam(parameters, 1e-3)

    @TinyJit
    def step(*gradients: Any) -> None:
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g
        optimizer.step()

    def run() -> None:
        with Context(TRAINING=1):
            step(*gradients)
        finished(parameters[0])

    return run


def build(mode: str, name: str) -> Step:
    if name.startswith("op_"):
        return operations(mode, name)
    if name.startswith("conv_"):
        return convolve(name)
    if name == "adam_update":
        return adam_update(name)
    x, y = (Tensor(a).realize() for a in inputs(name))
    multiply = TinyJit(lambda x, y: (x @ y).realize())
    return lambda: (finished(multiply(x, y)), None)[1]
