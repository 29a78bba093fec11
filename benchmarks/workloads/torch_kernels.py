"""Single kernels in PyTorch."""

from __future__ import annotations

from typing import Any

import torch
from torch import optim

from benchmarks.worker import Step
from benchmarks.workloads.cases import CHAIN, convolution
from benchmarks.workloads.inputs import convolution_inputs, inputs
from benchmarks.workloads.torch_models import compiled


def chain(x: Any, y: Any) -> Any:
    for _ in range(CHAIN):
        x = x * 1.0001
        x = x + y
    return x


def operations(mode: str, name: str) -> Step:
    x, y = map(torch.from_numpy, inputs(name))
    if name == "op_single":
        return lambda: (x + y, None)[1]
    run = compiled(mode, chain)
    if name == "op_overhead":
        return lambda: (run(x, y)[0].item(), None)[1]
    x.requires_grad_()

    def step() -> None:
        x.grad = None
        run(x, y).sum().backward()
        x.grad[0].item()

    return step


def convolve(name: str) -> Step:
    case = convolution(name)
    images, filters, gradients = convolution_inputs(case)
    x, g = (torch.from_numpy(a).permute(0, 3, 1, 2) for a in (images, gradients))  # channels last
    w = torch.from_numpy(filters).to(memory_format=torch.channels_last)
    around = [case.kernel // 2] * 2
    if case.which == "forward":
        return lambda: (torch.conv2d(x, w, None, 1, around), None)[1]
    wanted = [case.which == "data", case.which == "weight", False]
    backward: Any = torch.ops.aten.convolution_backward
    return lambda: (
        backward(g, x, w, None, [1, 1], around, [1, 1], False, [0, 0], 1, wanted), None
    )[1]  # fmt: skip


def adam_update(name: str) -> Step:
    arrays = [torch.from_numpy(a) for a in inputs(name)]
    parameters = arrays[:50]
    for p, g in zip(parameters, arrays[50:], strict=True):
        p.requires_grad_()
        p.grad = g
    optimizer = optim.Adam(parameters, 1e-3, fused=True)
    return lambda: (optimizer.step(), None)[1]


def build(mode: str, name: str) -> Step:
    if name.startswith("op_"):
        return operations(mode, name)
    if name.startswith("conv_"):
        step = convolve(name)
    elif name == "adam_update":
        step = adam_update(name)
    else:
        x, y = map(torch.from_numpy, inputs(name))
        return lambda: (torch.mm(x, y), None)[1]
    return step
