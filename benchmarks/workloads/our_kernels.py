"""Single kernels in flambeau."""

from __future__ import annotations

from typing import Any

import flambeau as fb
from benchmarks.worker import Step
from benchmarks.workloads.cases import CHAIN, convolution
from benchmarks.workloads.inputs import convolution_inputs, inputs
from benchmarks.workloads.ours import compiled, computed
from flambeau import nn, optim


def chain(x: Any, y: Any) -> Any:
    for _ in range(CHAIN):
        x = x * 1.0001
        x = x + y
    return x


def gradient(x: Any, y: Any) -> Any:
    x.grad = None
    fb.sum(chain(x, y)).backward()
    return x.grad


def operations(mode: str, name: str) -> Step:
    x, y = map(fb.asarray, inputs(name))
    if name == "op_single":
        return lambda: computed(x + y)
    if name == "op_overhead_grad":
        x.requires_grad_()
    run = compiled(mode, gradient if name == "op_overhead_grad" else chain)
    return lambda: (run(x, y)[0].item(), None)[1]


def convolve(mode: str, name: str) -> Step:
    """Images are held channels last and turned by name only, as PyTorch's channels-last tensors are."""
    case = convolution(name)
    images, filters, gradients = convolution_inputs(case)
    x, w, g = map(fb.asarray, (images, filters, gradients))

    def forward(x: Any, w: Any) -> Any:
        turned = fb.permute_dims(x, (0, 3, 1, 2))
        return fb.permute_dims(nn.functional.conv2d(turned, w, padding=case.kernel // 2), (0, 2, 3, 1))

    if case.which == "forward":
        run = compiled(mode, forward)

        def step() -> None:
            with fb.no_grad():
                computed(run(x, w))

        return step
    (x if case.which == "data" else w).requires_grad_()

    def backward(x: Any, w: Any, g: Any) -> Any:
        asked = x if case.which == "data" else w
        asked.grad = None
        forward(x, w).backward(g)
        return asked.grad

    run = compiled(mode, backward)
    return lambda: computed(run(x, w, g))


def adam_update(mode: str, name: str) -> Step:
    arrays = [fb.asarray(a) for a in inputs(name)]
    parameters = [nn.Parameter(a) for a in arrays[:50]]
    for p, g in zip(parameters, arrays[50:], strict=True):
        p.grad = g
    optimizer = optim.Adam(parameters, 1e-3)
    run = compiled(mode, optimizer.step)
    return lambda: (run(), None)[1]


def build(mode: str, name: str) -> Step:
    if name.startswith("op_"):
        return operations(mode, name)
    if name.startswith("conv_"):
        return convolve(mode, name)
    if name == "adam_update":
        return adam_update(mode, name)
    x, y = map(fb.asarray, inputs(name))
    run = compiled(mode, fb.matmul)
    return lambda: computed(run(x, y))
