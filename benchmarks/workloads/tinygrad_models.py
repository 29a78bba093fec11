"""The workloads in tinygrad on its CPU device: its layers and optimizers, the step under ``TinyJit``."""

from __future__ import annotations

import os
import shutil

os.environ.setdefault("DEV", "CPU")
if shutil.which("clang") is None and "CC" not in os.environ:  # Debian's names have a number
    os.environ["CC"] = next(
        (c for c in (f"clang-{n}" for n in range(30, 13, -1)) if shutil.which(c)), "clang"
    )

from collections.abc import Callable
from typing import Any

from tinygrad import Context, Tensor, TinyJit, nn

from benchmarks.worker import Step
from benchmarks.workloads.cases import TRAINED
from benchmarks.workloads.inputs import check_parameters, inputs


def set_threads(count: int) -> None:
    """The processors that the process is pinned to are what it uses."""


class Sequence:
    """Layers and functions, one after the other."""

    def __init__(self, *layers: Any) -> None:
        self.layers = list(layers)

    def __call__(self, x: Any) -> Any:
        return x.sequential(self.layers)


class Lstm:
    def __init__(self) -> None:
        self.embedding = nn.Embedding(65, 128)
        self.cell = nn.LSTMCell(128, 256)
        self.out = nn.Linear(256, 65)

    def __call__(self, x: Any) -> Any:
        state, hidden = None, []
        embedded = self.embedding(x)
        for t in range(x.shape[1]):
            state = self.cell(embedded[:, t], state)
            hidden.append(state[0])
        return self.out(Tensor.stack(*hidden, dim=1))


class Block:
    def __init__(self, width: int, heads: int) -> None:
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def __call__(self, x: Any) -> Any:
        batch, length, width = x.shape
        parts = self.qkv(self.norm1(x)).split(width, -1)
        q, k, v = (t.reshape(batch, length, self.heads, -1).transpose(1, 2) for t in parts)
        mixed = q.scaled_dot_product_attention(k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(self.up(self.norm2(x)).gelu())


class Gpt:
    def __init__(self) -> None:
        self.token = nn.Embedding(65, 256)
        self.position = nn.Embedding(128, 256)
        self.blocks = [Block(256, 8) for _ in range(4)]
        self.norm = nn.LayerNorm(256)
        self.out = nn.Linear(256, 65)

    def __call__(self, x: Any) -> Any:
        x = self.token(x) + self.position(Tensor.arange(x.shape[1]))
        return self.out(self.norm(x.sequential(self.blocks)))


class Basic:
    def __init__(self, before: int, width: int, stride: int) -> None:
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm(width)
        self.short: list[Any] = []
        if before != width:
            self.short = [nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm(width)]

    def __call__(self, x: Any) -> Any:
        y = self.norm1(self.conv1(x)).relu()
        return (self.norm2(self.conv2(y)) + x.sequential(self.short)).relu()


def pooled(x: Any) -> Any:
    return x.mean((2, 3))


def flat(x: Any) -> Any:
    return x.flatten(1)


def resnet18(stem: list[Any], classes: int) -> Sequence:
    blocks, before = [], 64
    for width in (64, 128, 256, 512):
        blocks += [Basic(before, width, 1 if width == 64 else 2), Basic(width, width, 1)]
        before = width
    return Sequence(*stem, *blocks, pooled, nn.Linear(512, classes))


def network(name: str) -> Any:
    relu, tanh = Tensor.relu, Tensor.tanh
    if name == "mlp_small":
        return Sequence(nn.Linear(20, 64), tanh, nn.Linear(64, 64), tanh, nn.Linear(64, 1))
    if name == "mlp":
        return Sequence(nn.Linear(784, 512), relu, nn.Linear(512, 256), relu, nn.Linear(256, 10))
    if name == "cnn":
        convolutions = [nn.Conv2d(1, 32, 3), relu, nn.Conv2d(32, 64, 3), relu, Tensor.max_pool2d]
        dense = [lambda x: x.dropout(0.25), flat, nn.Linear(9216, 128), relu, nn.Linear(128, 10)]
        return Sequence(*convolutions, *dense)
    if name == "resnet18_cifar":
        return resnet18([nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm(64), relu], 10)
    return Lstm() if name == "lstm" else Gpt()


def optimizer_of(name: str, parameters: list[Any]) -> Any:
    if name == "mlp_small":
        return nn.optim.SGD(parameters, 0.01, momentum=0.9)
    if name == "resnet18_cifar":
        return nn.optim.SGD(parameters, 0.01, momentum=0.9, weight_decay=5e-4)
    if name == "gpt":
        return nn.optim.AdamW(parameters, 3e-4, weight_decay=0.01)
    return nn.optim.Adam(parameters, 1e-3)


def trainable(model: Any) -> list[Any]:
    """The parameters, without the running statistics of normalizations."""
    named = nn.state.get_state_dict(model)
    return [p for name, p in named.items() if "running" not in name and "num_batches" not in name]


def training(name: str) -> Step:
    x, y = (Tensor(a).realize() for a in inputs(name))
    model = network(name)
    parameters = trainable(model)
    check_parameters(name, sum(p.numel() for p in parameters))
    optimizer = optimizer_of(name, parameters)

    @TinyJit
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        found = model(x)
        if name == "mlp_small":
            loss = (found - y).square().mean()
        else:
            loss = found.reshape(-1, found.shape[-1]).sparse_categorical_crossentropy(y.reshape(-1))
        loss.backward()
        if name == "lstm":
            norm = sum((p.grad.square().sum() for p in parameters), Tensor(0.0)).sqrt()
            for p in parameters:
                p.grad = p.grad * (1 / (norm + 1e-6)).minimum(1.0)
        return loss.realize(*optimizer.schedule_step())

    def train() -> tuple[float]:
        with Context(TRAINING=1):
            return (step(x, y).item(),)

    return train


def inference(name: str) -> Step:
    (x,) = (Tensor(a).realize() for a in inputs(name))
    function: Callable[[Any], Any]
    if name == "gelu":

        def function(x: Any) -> Any:
            return 0.5 * x * (1 + (x * 0.5**0.5).erf())

    elif name == "norm_softmax":
        norm = nn.LayerNorm(1024)

        def function(x: Any) -> Any:
            return norm(x.softmax(-1))

    else:
        stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm(64), Tensor.relu]
        model = resnet18([*stem, lambda x: x.max_pool2d(3, 2, padding=1)], 1000)
        whole = TinyJit(lambda x: model(x)[0, 0].realize())
        return lambda: (whole(x).item(), None)[1]
    compiled = TinyJit(lambda x: function(x).realize())
    return lambda: (finished(compiled(x)), None)[1]


def finished(x: Any) -> None:
    """Wait until a value is there."""
    from tinygrad import Device

    Device[x.device].synchronize()


def build(mode: str, name: str) -> Step:
    Tensor.manual_seed(0)
    if name in TRAINED:
        return training(name)
    if name in ("gelu", "norm_softmax", "resnet18_infer"):
        return inference(name)
    from benchmarks.workloads.tinygrad_kernels import build as build_kernel

    return build_kernel(mode, name)
