"""The workloads in MLX on its CPU device: its layers and optimizers, channels last, the step compiled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_flatten

from benchmarks.worker import Step
from benchmarks.workloads.cases import TRAINED
from benchmarks.workloads.inputs import check_parameters, images_last, inputs

mx.set_default_device(mx.cpu)


def set_threads(count: int) -> None:
    """Nothing can be set but the variables of its matrix library, which are set already."""


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(65, 128)
        self.rnn = nn.LSTM(128, 256)
        self.out = nn.Linear(256, 65)

    def __call__(self, x: Any) -> Any:
        hidden, _ = self.rnn(self.embedding(x))
        return self.out(hidden)


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def __call__(self, x: Any) -> Any:
        batch, length, width = x.shape
        parts = mx.split(self.qkv(self.norm1(x)), 3, -1)
        q, k, v = (t.reshape(batch, length, self.heads, -1).transpose(0, 2, 1, 3) for t in parts)
        scale = (width // self.heads) ** -0.5
        mixed = mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask="causal")
        x = x + self.out(mixed.transpose(0, 2, 1, 3).reshape(batch, length, width))
        return x + self.down(nn.gelu_approx(self.up(self.norm2(x))))


class Gpt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(65, 256)
        self.position = nn.Embedding(128, 256)
        self.blocks = [Block(256, 8) for _ in range(4)]
        self.norm = nn.LayerNorm(256)
        self.out = nn.Linear(256, 65)

    def __call__(self, x: Any) -> Any:
        x = self.token(x) + self.position(mx.arange(x.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.out(self.norm(x))


class Basic(nn.Module):
    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm(width)
        self.short = nn.Identity()
        if before != width:
            self.short = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm(width))

    def __call__(self, x: Any) -> Any:
        y = nn.relu(self.norm1(self.conv1(x)))
        return nn.relu(self.norm2(self.conv2(y)) + self.short(x))


def flat(x: Any) -> Any:
    return x.reshape(x.shape[0], -1)


def pooled(x: Any) -> Any:
    return x.mean((1, 2))


def resnet18(stem: list[Any], classes: int) -> Any:
    blocks, before = [], 64
    for width in (64, 128, 256, 512):
        blocks += [Basic(before, width, 1 if width == 64 else 2), Basic(width, width, 1)]
        before = width
    return nn.Sequential(*stem, *blocks, pooled, nn.Linear(512, classes))


def network(name: str) -> Any:
    if name == "mlp_small":
        return nn.Sequential(nn.Linear(20, 64), nn.tanh, nn.Linear(64, 64), nn.tanh, nn.Linear(64, 1))
    if name == "mlp":
        return nn.Sequential(nn.Linear(784, 512), nn.relu, nn.Linear(512, 256), nn.relu, nn.Linear(256, 10))
    if name == "cnn":
        convolutions = [nn.Conv2d(1, 32, 3), nn.relu, nn.Conv2d(32, 64, 3), nn.relu, nn.MaxPool2d(2)]
        dense = [nn.Dropout(0.25), flat, nn.Linear(9216, 128), nn.relu, nn.Linear(128, 10)]
        return nn.Sequential(*convolutions, *dense)
    if name == "resnet18_cifar":
        return resnet18([nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm(64), nn.relu], 10)
    return Lstm() if name == "lstm" else Gpt()


def optimizer_of(name: str) -> Any:
    if name == "mlp_small":
        return optim.SGD(0.01, momentum=0.9)
    if name == "resnet18_cifar":
        return optim.SGD(0.01, momentum=0.9, weight_decay=5e-4)
    if name == "gpt":
        return optim.AdamW(3e-4, weight_decay=0.01)
    return optim.Adam(1e-3)


def training(name: str) -> Step:
    x, y = map(mx.array, images_last(inputs(name)))
    model = network(name)
    mx.eval(model.parameters())
    check_parameters(name, sum(p.size for _, p in tree_flatten(model.trainable_parameters())))
    optimizer = optimizer_of(name)
    optimizer.init(model.trainable_parameters())

    def loss_of(x: Any, y: Any) -> Any:
        found = model(x)
        if name == "mlp_small":
            return nn.losses.mse_loss(found, y)
        return nn.losses.cross_entropy(found, y, reduction="mean")

    state = [model.state, optimizer.state, mx.random.state]
    gradients_of: Any = nn.value_and_grad(model, loss_of)

    @partial(mx.compile, inputs=state, outputs=state)
    def step(x: Any, y: Any) -> Any:
        loss, gradients = gradients_of(x, y)
        if name == "lstm":
            gradients, _ = optim.clip_grad_norm(gradients, 1.0)
        optimizer.update(model, gradients)
        return loss

    def train() -> tuple[float]:
        loss = step(x, y)
        mx.eval(loss, state)
        return (loss.item(),)

    return train


def inference(name: str) -> Step:
    (x,) = map(mx.array, images_last(inputs(name)))
    function: Callable[[Any], Any]
    if name == "gelu":
        function = nn.gelu
    elif name == "norm_softmax":
        norm = nn.LayerNorm(1024)
        function = mx.compile(lambda x: norm(mx.softmax(x, -1)))
    else:
        stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm(64), nn.relu, nn.MaxPool2d(3, 2, 1)]
        model = resnet18(stem, 1000).eval()
        function = mx.compile(lambda x: model(x)[0, 0])
    return lambda: (mx.eval(function(x)), None)[1]


def build(mode: str, name: str) -> Step:
    mx.random.seed(0)
    if name in TRAINED:
        return training(name)
    if name in ("gelu", "norm_softmax", "resnet18_infer"):
        return inference(name)
    from benchmarks.workloads.mlx_kernels import build as build_kernel

    return build_kernel(mode, name)
