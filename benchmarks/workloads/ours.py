"""The workloads in flambeau."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flambeau as fb
from benchmarks.worker import Step
from benchmarks.workloads.cases import TRAINED
from benchmarks.workloads.inputs import check_parameters, inputs
from flambeau import nn, optim
from flambeau.engine.evaluate import realize

F = nn.functional
COMPILED = "flambeau compiled"


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(65, 128)
        self.rnn = nn.LSTM(128, 256, batch_first=True)
        self.out = nn.Linear(256, 65)

    def forward(self, x: Any) -> Any:
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

    def forward(self, x: Any) -> Any:
        batch, length, width = x.shape
        parts = fb.split(self.qkv(self.norm1(x)), width, axis=-1)
        q, k, v = (fb.permute_dims(t.reshape(batch, length, self.heads, -1), (0, 2, 1, 3)) for t in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(fb.permute_dims(mixed, (0, 2, 1, 3)).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(65, 256)
        self.position = nn.Embedding(128, 256)
        self.blocks = nn.Sequential(*[Block(256, 8) for _ in range(4)])
        self.norm = nn.LayerNorm(256)
        self.out = nn.Linear(256, 65)

    def forward(self, x: Any) -> Any:
        x = self.token(x) + self.position(fb.arange(x.shape[1]))
        return self.out(self.norm(self.blocks(x)))


class Basic(nn.Module):
    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.short = nn.Sequential()
        if stride != 1 or before != width:
            self.short = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Any) -> Any:
        y = fb.relu(self.norm1(self.conv1(x)))
        return fb.relu(self.norm2(self.conv2(y)) + self.short(x))


def resnet18(stem: list[Any], classes: int) -> Any:
    blocks, before = [], 64
    for width in (64, 128, 256, 512):
        blocks += [Basic(before, width, 1 if width == 64 else 2), Basic(width, width, 1)]
        before = width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes)]
    return nn.Sequential(*stem, nn.BatchNorm2d(64), nn.ReLU(), *blocks, *head)


def network(name: str) -> Any:
    if name == "mlp_small":
        return nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    if name == "mlp":
        return nn.Sequential(
            nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10)
        )
    if name == "cnn":
        convolutions = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)]
        dense = [nn.Dropout(0.25), nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10)]
        return nn.Sequential(*convolutions, *dense)
    if name == "resnet18_cifar":
        return resnet18([nn.Conv2d(3, 64, 3, 1, 1, bias=False)], 10)
    return Lstm() if name == "lstm" else Gpt()


def optimizer_of(name: str, parameters: Any) -> Any:
    if name == "mlp_small":
        return optim.SGD(parameters, 0.01, momentum=0.9)
    if name == "resnet18_cifar":
        return optim.SGD(parameters, 0.01, momentum=0.9, weight_decay=5e-4)
    if name == "gpt":
        return optim.AdamW(parameters, 3e-4, weight_decay=0.01)
    return optim.Adam(parameters, 1e-3)


def training(name: str) -> Callable[..., Any]:
    """A function of examples and labels that makes one step and returns the loss."""
    model = network(name)
    parameters = list(model.parameters())
    check_parameters(name, sum(p.size for p in parameters))
    optimizer = optimizer_of(name, parameters)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        found = model(x)
        if name == "mlp_small":
            loss = F.mse_loss(found, y)
        elif name in ("lstm", "gpt"):
            loss = F.cross_entropy(found.reshape(-1, 65), y.reshape(-1))
        else:
            loss = F.cross_entropy(found, y)
        loss.backward()
        if name == "lstm":
            nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return loss

    return step


def inference(name: str) -> Callable[..., Any]:
    if name == "gelu":
        return F.gelu
    if name == "norm_softmax":
        norm = nn.LayerNorm(1024)
        return lambda x: norm(fb.softmax(x, axis=-1))
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    model = resnet18([], 1000)
    whole = nn.Sequential(*stem, *list(model)[2:]).eval()
    return lambda x: whole(x)[0, 0]


def set_threads(count: int) -> None:
    fb.set_num_threads(count)


def build(mode: str, name: str) -> Step:
    fb.random.seed(0)
    if name in TRAINED:
        return _train(mode, name)
    if name in ("gelu", "norm_softmax", "resnet18_infer"):
        return _infer(mode, name)
    from benchmarks.workloads.our_kernels import build as build_kernel

    return build_kernel(mode, name)


def _train(mode: str, name: str) -> Step:
    step = compiled(mode, training(name))
    held = [fb.asarray(a) for a in inputs(name)]
    return lambda: (step(*held).item(),)


def _infer(mode: str, name: str) -> Step:
    function = compiled(mode, inference(name))
    held = [fb.asarray(a) for a in inputs(name)]

    def step() -> None:
        with fb.no_grad():
            found = function(*held)
            found.item() if name == "resnet18_infer" else computed(found)

    return step


def compiled(mode: str, function: Callable[..., Any]) -> Callable[..., Any]:
    return fb.compile(function) if mode == COMPILED else function


def computed(found: Any) -> None:
    """Compute a value now, as PyTorch eager does, without reading it."""
    realize(found._value)
