"""Single kernels in JAX."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.worker import Step
from benchmarks.workloads.cases import CHAIN, convolution
from benchmarks.workloads.inputs import convolution_inputs, inputs
from benchmarks.workloads.jax_models import adam, conv


def chain(x: Any, y: Any) -> Any:
    for _ in range(CHAIN):
        x = x * 1.0001
        x = x + y
    return x


def operations(mode: str, name: str) -> Step:
    x, y = map(jnp.asarray, inputs(name))
    if name == "op_single":
        return lambda: ((x + y).block_until_ready(), None)[1]
    function: Any = chain
    if name == "op_overhead_grad":
        function = jax.grad(lambda x, y: chain(x, y).sum())
    if mode != "JAX eager":
        function = jax.jit(function)
    return lambda: (float(function(x, y)[0]), None)[1]


def convolve(name: str) -> Step:
    case = convolution(name)
    images, filters, gradients = convolution_inputs(case)
    x, w, g = jnp.asarray(images), jnp.asarray(filters.transpose(2, 3, 1, 0)), jnp.asarray(gradients)
    forward = partial(conv, padding=case.kernel // 2)

    def passed(x: Any, w: Any, g: Any) -> Any:
        if case.which == "forward":
            return forward(w, x)
        if case.which == "data":
            return jax.vjp(partial(forward, w), x)[1](g)[0]
        return jax.vjp(lambda w: forward(w, x), w)[1](g)[0]

    function = jax.jit(passed)
    return lambda: (function(x, w, g).block_until_ready(), None)[1]


def adam_update(name: str) -> Step:
    arrays = [jnp.asarray(a) for a in inputs(name)]
    parameters, gradients = arrays[:50], arrays[50:]
    start, update = adam(1e-3)
    step = jax.jit(lambda held, g: update(held[0], g, held[1]), donate_argnums=0)
    held = (parameters, start(parameters))

    def run() -> None:
        nonlocal held
        held = jax.block_until_ready(step(held, gradients))

    return run


def build(mode: str, name: str) -> Step:
    if name.startswith("op_"):
        return operations(mode, name)
    if name.startswith("conv_"):
        return convolve(name)
    if name == "adam_update":
        return adam_update(name)
    x, y = map(jnp.asarray, inputs(name))
    multiply = jax.jit(jnp.matmul)
    return lambda: (multiply(x, y).block_until_ready(), None)[1]
