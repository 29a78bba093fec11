"""The workloads in JAX: pure functions of parameters, channels last, the whole step under one ``jit``.

Parameters and the optimizer's state are donated, so that they are updated in place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.worker import Step
from benchmarks.workloads.cases import TRAINED
from benchmarks.workloads.inputs import check_parameters, images_last, inputs

Tree = Any
_RNG = np.random.default_rng(0)


def set_threads(count: int) -> None:
    """The processors that the process is pinned to are what XLA uses."""


def uniform(fan: int, *shape: int) -> Any:
    bound = 1 / math.sqrt(fan)
    return jnp.asarray(_RNG.uniform(-bound, bound, shape).astype(np.float32))


def dense_of(before: int, width: int) -> Tree:
    return {"w": uniform(before, before, width), "b": uniform(before, width)}


def conv_of(size: int, before: int, width: int) -> Any:
    return uniform(size * size * before, size, size, before, width)


def norm_of(width: int) -> Tree:
    return {"scale": jnp.ones(width), "shift": jnp.zeros(width)}


def dense(p: Tree, x: Any) -> Any:
    return x @ p["w"] + p["b"]


def conv(w: Any, x: Any, stride: int = 1, padding: int = 0) -> Any:
    around = [(padding, padding)] * 2
    return lax.conv_general_dilated(
        x, w, (stride, stride), around, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def max_pool(x: Any, size: int, stride: int, padding: int = 0) -> Any:
    around = [(0, 0), (padding, padding), (padding, padding), (0, 0)]
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, size, size, 1), (1, stride, stride, 1), around)


def layer_norm(p: Tree, x: Any) -> Any:
    mean = x.mean(-1, keepdims=True)
    variance = jnp.square(x - mean).mean(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * p["scale"] + p["shift"]


def batch_norm(p: Tree, state: Tree, x: Any, trains: bool) -> tuple[Any, Tree]:
    """The normalised values, and the running statistics after them."""
    mean, variance = state["mean"], state["var"]
    if trains:
        mean = x.mean((0, 1, 2))
        variance = jnp.square(x).mean((0, 1, 2)) - jnp.square(mean)
        unbiased = variance * (x.size / x.shape[-1] / (x.size / x.shape[-1] - 1))
        state = {"mean": 0.9 * state["mean"] + 0.1 * mean, "var": 0.9 * state["var"] + 0.1 * unbiased}
    scale = p["scale"] * lax.rsqrt(variance + 1e-5)
    return x * scale + (p["shift"] - mean * scale), state


def cross_entropy(logits: Any, labels: Any) -> Any:
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], -1).mean()


# Networks: parameters, state that training changes, and a function (parameters, state, x, key) -> (y, state).


def mlp(sizes: tuple[int, ...], activation: Callable[[Any], Any]) -> tuple[Tree, Tree, Callable[..., Any]]:
    layers = [dense_of(a, b) for a, b in pairwise(sizes)]

    def apply(p: Tree, state: Tree, x: Any, key: Any) -> tuple[Any, Tree]:
        for layer in p[:-1]:
            x = activation(dense(layer, x))
        return dense(p[-1], x), state

    return layers, {}, apply


def cnn() -> tuple[Tree, Tree, Callable[..., Any]]:
    p = {
        "conv1": conv_of(3, 1, 32), "bias1": uniform(9, 32),
        "conv2": conv_of(3, 32, 64), "bias2": uniform(288, 64),
        "dense1": dense_of(9216, 128), "dense2": dense_of(128, 10),
    }  # fmt: skip

    def apply(p: Tree, state: Tree, x: Any, key: Any) -> tuple[Any, Tree]:
        x = jax.nn.relu(conv(p["conv1"], x) + p["bias1"])
        x = jax.nn.relu(conv(p["conv2"], x) + p["bias2"])
        x = max_pool(x, 2, 2)
        x = jnp.where(jax.random.bernoulli(key, 0.75, x.shape), x / 0.75, 0.0)
        x = jax.nn.relu(dense(p["dense1"], x.reshape(x.shape[0], -1)))
        return dense(p["dense2"], x), state

    return p, {}, apply


def resnet18(stem: int, classes: int, trains: bool) -> tuple[Tree, Tree, Callable[..., Any]]:
    """``stem`` is the size of the first filters: 3 keeps the size of the images, 7 divides it by four."""
    p: Tree = {"stem": conv_of(stem, 3, 64), "norm": norm_of(64), "out": dense_of(512, classes)}
    before = 64
    for i, width in enumerate((64, 128, 256, 512)):
        for j in range(2):
            block = {
                "conv1": conv_of(3, before, width), "norm1": norm_of(width),
                "conv2": conv_of(3, width, width), "norm2": norm_of(width),
            }  # fmt: skip
            if before != width:
                block |= {"short": conv_of(1, before, width), "norm": norm_of(width)}
            p[f"block{i}{j}"] = block
            before = width

    def statistics(tree: Tree) -> Tree:
        found = {k: statistics(v) for k, v in tree.items() if k.startswith("block")}
        norms = {k: v["scale"] for k, v in tree.items() if k.startswith("norm")}
        return found | {k: {"mean": jnp.zeros_like(v), "var": jnp.ones_like(v)} for k, v in norms.items()}

    def apply(p: Tree, state: Tree, x: Any, key: Any) -> tuple[Any, Tree]:
        new: Tree = {}
        x = conv(p["stem"], x, 2 if stem == 7 else 1, stem // 2)
        x, new["norm"] = batch_norm(p["norm"], state["norm"], x, trains)
        x = jax.nn.relu(x)
        if stem == 7:
            x = max_pool(x, 3, 2, 1)
        for i in range(4):
            for j in range(2):
                name = f"block{i}{j}"
                q, s, n = p[name], state[name], {}
                stride = 2 if "short" in q else 1
                y = conv(q["conv1"], x, stride, 1)
                y, n["norm1"] = batch_norm(q["norm1"], s["norm1"], y, trains)
                y = conv(q["conv2"], jax.nn.relu(y), 1, 1)
                y, n["norm2"] = batch_norm(q["norm2"], s["norm2"], y, trains)
                if "short" in q:
                    x, n["norm"] = batch_norm(q["norm"], s["norm"], conv(q["short"], x, 2), trains)
                x, new[name] = jax.nn.relu(x + y), n
        return dense(p["out"], x.mean((1, 2))), new

    return p, statistics(p), apply


def lstm() -> tuple[Tree, Tree, Callable[..., Any]]:
    p = {
        "embedding": jnp.asarray(_RNG.standard_normal((65, 128)).astype(np.float32)),
        "input": {"w": uniform(256, 128, 1024), "b": uniform(256, 1024)}, "hidden": uniform(256, 256, 1024),
        "out": dense_of(256, 65),
    }  # fmt: skip

    def apply(p: Tree, state: Tree, x: Any, key: Any) -> tuple[Any, Tree]:
        projected = dense(p["input"], p["embedding"][x.T])  # time first

        def cell(carry: tuple[Any, Any], now: Any) -> tuple[tuple[Any, Any], Any]:
            h, c = carry
            i, f, g, o = jnp.split(now + h @ p["hidden"], 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        start = jnp.zeros((x.shape[0], 256))
        _, hidden = lax.scan(cell, (start, start), projected)
        return dense(p["out"], hidden.transpose(1, 0, 2)), state

    return p, {}, apply


def gpt() -> tuple[Tree, Tree, Callable[..., Any]]:
    def block() -> Tree:
        return {
            "norm1": norm_of(256), "qkv": dense_of(256, 768), "out": dense_of(256, 256),
            "norm2": norm_of(256), "up": dense_of(256, 1024), "down": dense_of(1024, 256),
        }  # fmt: skip

    p = {
        "token": jnp.asarray(_RNG.standard_normal((65, 256)).astype(np.float32)),
        "position": jnp.asarray(_RNG.standard_normal((128, 256)).astype(np.float32)),
        "blocks": [block() for _ in range(4)], "norm": norm_of(256), "out": dense_of(256, 65),
    }  # fmt: skip

    def apply(p: Tree, state: Tree, x: Any, key: Any) -> tuple[Any, Tree]:
        x = p["token"][x] + p["position"][: x.shape[1]]
        for q in p["blocks"]:
            parts = jnp.split(dense(q["qkv"], layer_norm(q["norm1"], x)), 3, -1)
            heads = (t.reshape(*t.shape[:2], 8, 32) for t in parts)
            mixed = jax.nn.dot_product_attention(*heads, is_causal=True)
            x = x + dense(q["out"], mixed.reshape(x.shape))
            x = x + dense(q["down"], jax.nn.gelu(dense(q["up"], layer_norm(q["norm2"], x)), approximate=True))
        return dense(p["out"], layer_norm(p["norm"], x)), state

    return p, {}, apply


def network(name: str) -> tuple[Tree, Tree, Callable[..., Any]]:
    if name == "mlp_small":
        return mlp((20, 64, 64, 1), jnp.tanh)
    if name == "mlp":
        return mlp((784, 512, 256, 10), jax.nn.relu)
    if name == "resnet18_cifar":
        return resnet18(3, 10, trains=True)
    return {"cnn": cnn, "lstm": lstm, "gpt": gpt}[name]()


# Optimizers: a state for parameters, and a function (parameters, gradients, state) -> (parameters, state).


def sgd(rate: float, momentum: float, decay: float = 0.0) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def update(p: Tree, g: Tree, velocity: Tree) -> tuple[Tree, Tree]:
        velocity = jax.tree.map(lambda v, g, p: momentum * v + (g + decay * p), velocity, g, p)
        return jax.tree.map(lambda p, v: p - rate * v, p, velocity), velocity

    return partial(jax.tree.map, jnp.zeros_like), update


def adam(rate: float, decay: float = 0.0) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def start(p: Tree) -> Tree:
        return jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p), jnp.zeros((), jnp.int32)

    def update(p: Tree, g: Tree, state: Tree) -> tuple[Tree, Tree]:
        m, v, t = state
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        scale, root = rate / (1 - 0.9**t), lax.rsqrt(1 - 0.999**t)
        p = jax.tree.map(
            lambda p, m, v: p * (1 - rate * decay) - scale * m / (jnp.sqrt(v) * root + 1e-8), p, m, v
        )
        return p, (m, v, t)

    return start, update


def optimizer_of(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    if name == "mlp_small":
        return sgd(0.01, 0.9)
    if name == "resnet18_cifar":
        return sgd(0.01, 0.9, 5e-4)
    return adam(3e-4, 0.01) if name == "gpt" else adam(1e-3)


def training(name: str) -> Step:
    p, state, apply = network(name)
    check_parameters(name, sum(t.size for t in jax.tree.leaves(p)))
    start, update = optimizer_of(name)
    x, y = (jnp.asarray(a) for a in images_last(inputs(name)))

    def loss_of(p: Tree, state: Tree, key: Any, x: Any, y: Any) -> tuple[Any, Tree]:
        found, state = apply(p, state, x, key)
        if name == "mlp_small":
            return jnp.square(found - y).mean(), state
        return cross_entropy(found.reshape(-1, found.shape[-1]), y.reshape(-1)), state

    @partial(jax.jit, donate_argnums=0)
    def step(held: Tree, x: Any, y: Any) -> tuple[Tree, Any]:
        p, state, optimizer, key = held
        key, now = jax.random.split(key)
        (loss, state), g = jax.value_and_grad(loss_of, has_aux=True)(p, state, now, x, y)
        if name == "lstm":
            norm = jnp.sqrt(sum(jnp.vdot(t, t) for t in jax.tree.leaves(g)))
            g = jax.tree.map(lambda t: t * jnp.minimum(1.0, 1.0 / (norm + 1e-6)), g)
        p, optimizer = update(p, g, optimizer)
        return (p, state, optimizer, key), loss

    held = (p, state, start(p), jax.random.key(0))

    def train() -> tuple[float]:
        nonlocal held
        held, loss = step(held, x, y)
        return (float(loss),)

    return train


def inference(name: str) -> Step:
    (x,) = (jnp.asarray(a) for a in images_last(inputs(name)))
    if name == "gelu":
        function = jax.jit(partial(jax.nn.gelu, approximate=False))
        return lambda: (function(x).block_until_ready(), None)[1]
    if name == "norm_softmax":
        norm = jax.jit(lambda p, x: layer_norm(p, jax.nn.softmax(x)))
        p = norm_of(1024)
        return lambda: (norm(p, x).block_until_ready(), None)[1]
    q, state, apply = resnet18(7, 1000, trains=False)
    logit = jax.jit(lambda q, state, x: apply(q, state, x, None)[0][0, 0])
    return lambda: (float(logit(q, state, x)), None)[1]


def build(mode: str, name: str) -> Step:
    if name in TRAINED:
        return training(name)
    if name in ("gelu", "norm_softmax", "resnet18_infer"):
        return inference(name)
    from benchmarks.workloads.jax_kernels import build as build_kernel

    return build_kernel(mode, name)
