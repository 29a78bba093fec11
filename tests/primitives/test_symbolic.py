"""Shape rules with symbolic sizes: the graph for a size n has the shapes of the graph for each number."""

from __future__ import annotations

from typing import Any

import pytest

from flambeau.dtypes import float64, int64, uint64
from flambeau.graph.builder import GraphBuilder, Var
from flambeau.graph.dims import Dim
from flambeau.graph.primitive import NoGradient
from flambeau.graph.types import TensorType
from flambeau.primitives import (
    advanced,
    arranging,
    class_losses,
    composites,
    convolution,
    cumulative,
    elementwise,
    fft,
    gather,
    indexing,
    linalg,
    matrices,
    products,
    randomness,
    reduce,
    sorting,
    splitting,
    views,
    windows,
)
from samples.evaluate import for_vjp, trace

CASES: dict[str, tuple[Any, ...]] = {
    # name: function of (n, *values), then shapes in which "n" stands for the size
    "slice": (lambda n, x: indexing.slice_axis(x, 0, 1, n), ("n", 5)),
    "slice-steps": (lambda n, x: indexing.slice_axis(x, 0, 1, n, 2), ("n", 5)),
    "pad": (lambda n, x: indexing.pad(x, 0, (n, 0), (1, n), (1, 0)), ("n", 5)),
    "pad-crop": (lambda n, x: indexing.pad(x, 0, (-2, 0), (-1, 0)), ("n", 5)),
    "concatenate": (lambda n, x, y: indexing.concatenate([x, y, x], 0), ("n", 5), (3, 5)),
    "reverse": (lambda n, x: indexing.reverse(x, (0,)), ("n", 5)),
    "dynamic_slice": (
        lambda n, x: indexing.dynamic_slice(x, [views.constant(0), views.constant(1)], (n - 1, 2)),
        ("n", 5),
    ),
    "dynamic_update": (
        lambda n, x, y: indexing.dynamic_update_slice(x, y, [views.constant(0), views.constant(1)]),
        ("n", 5),
        (3, 2),
    ),
    "gather": (lambda n, x: gather.gather(x, [views.iota((n, 3), 0, int64)]), ("n", 5)),
    "take": (lambda n, x: advanced.take(x, views.iota((n,), 0, int64), 0), ("n", 5)),
    "take_along_axis": (lambda n, x: advanced.take_along_axis(x, sorting.argsort(x, 0), 0), ("n", 5)),
    "scatter": (lambda n, x: gather.scatter(x, x, [views.iota((n,), 0, int64)]), ("n", 5)),
    "scatter_add": (lambda n, x: gather.scatter_add(x, x, [views.iota((n,), 0, int64)]), ("n", 5)),
    "sort": (lambda n, x: sorting.sort(x, 0)[0], ("n", 5)),
    "cumsum": (lambda n, x: cumulative.cumsum(x, 0), ("n", 5)),
    "cumprod": (lambda n, x: cumulative.cumprod(x, 0), ("n", 5)),
    "cummax": (lambda n, x: cumulative.cummax(x, 0), ("n", 5)),
    "cumlogsumexp": (lambda n, x: cumulative.cumlogsumexp(x, 1), ("n", 5)),
    "conv-batch": (lambda n, x, w: convolution.conv(x, w, padding=((1, 1),)), ("n", 4, 8), (3, 4, 3)),
    "conv-groups": (lambda n, x, w: convolution.conv(x, w, groups=2), ("n", 4, 8), (6, 2, 3)),
    "conv-space": (lambda n, x, w: convolution.conv(x, w, (2,), ((1, 1),), (2,)), (2, 4, "n"), (3, 4, 3)),
    "window-sum": (lambda n, x: windows.reduce_window(x, "sum", (1, 3), (1, 2), ((0, 0), (1, 1))), (3, "n")),
    "window-max": (lambda n, x: windows.reduce_window(x, "max", (1, 3), (1, 2)), ("n", 9)),
    "solve": (lambda n, a, b: linalg.solve(a, b), ("n", 3, 3), ("n", 3, 2)),
    "cholesky": (lambda n, a: linalg.cholesky(a), ("n", 3, 3)),
    "det": (lambda n, a: linalg.det(a), ("n", 3, 3)),
    "tril": (lambda n, a: matrices.tril(a), ("n", 3)),
    "mean": (lambda n, x: composites.mean(x, (0,)), ("n", 5)),
    "variance": (lambda n, x: composites.variance(x, (0, 1)), ("n", 5)),
    "softmax": (lambda n, x: composites.softmax(x, 0), ("n", 5)),
    "logsumexp": (lambda n, x: composites.logsumexp(x, (0,)), ("n", 5)),
    "cross_entropy": (
        lambda n, x: class_losses.cross_entropy(
            x, elementwise.cast(reduce.argmax(x, 1), int64), -100, "mean", 0.1
        ),
        ("n", 5),
    ),
    "stack": (lambda n, x: arranging.stack([x, x], 1), ("n", 5)),
    "split": (lambda n, x: splitting.split(x, (2, n - 2), 0)[1], ("n", 5)),
    "tile": (lambda n, x: arranging.tile(x, (2, 3)), ("n", 5)),
    "repeat": (lambda n, x: arranging.repeat(x, 3, 0), ("n", 5)),
    "diff": (lambda n, x: arranging.diff(x, 0), ("n", 5)),
    "outer": (lambda n, x: products.outer(x, x), ("n",)),
    "einsum": (lambda n, x, y: products.einsum("bij,bkj->bik", x, y), (3, "n", 4), (3, "n", 4)),
    "einsum-3": (lambda n, x, y: products.einsum("ij,jk,ik->", x, y, x), ("n", 4), (4, 4)),
    "rfft": (lambda n, x: fft.rfft(x, (0,), (n,)), ("n", 5)),
    "bernoulli": (
        lambda n, x: randomness.uniform(views.constant(1, uint64), views.constant(2, uint64), (n, 2)),
        ("n", 5),
    ),
    "permutation": (
        lambda n, x: randomness.permutation(views.constant(1, uint64), views.constant(2, uint64), n),
        ("n", 5),
    ),
    "transpose": (lambda n, x: views.transpose(x, (1, 0)), ("n", 5)),
    "reshape": (lambda n, x: views.reshape(x, (n * 5,)), ("n", 5)),
    "reduce_max": (lambda n, x: reduce.reduce_max(x, (0,)), ("n", 5)),
    "reduce_prod": (lambda n, x: reduce.reduce_prod(x, (1,)), ("n", 5)),
}


def with_gradient(function: Any, n: Any, *xs: Var) -> list[Var]:
    """The outputs and the cotangents of all values that the rules reach, in order."""
    y = function(n, *xs)
    builder = y.builder
    if not y.dtype.floating or any(
        isinstance(node.primitive.vjp, NoGradient)
        for node in builder.nodes
        if node.primitive.name != "argmax" and node.inputs and builder.var(node.outputs[0]).dtype.inexact
    ):
        return [y]
    found = {y.id: views.ones_like(y)}
    for node in reversed(list(builder.nodes)):
        gs = [found.get(v) for v in node.outputs]
        if all(g is None for g in gs) or not node.inputs or isinstance(node.primitive.vjp, NoGradient):
            continue
        ins, outs = ([builder.var(v) for v in vs] for vs in (node.inputs, node.outputs))
        for x, g in zip(ins, node.primitive.vjp(for_vjp(gs, node), ins, outs, **node.attrs), strict=True):
            if g is not None:
                assert g.type == x.type, f"{node.primitive.name}: cotangent {g} of {x}"
                found[x.id] = g if x.id not in found else elementwise.add(found[x.id], g)
    return [y, *[found[x.id] for x in xs if x.id in found]]


def type_with(shape: Any, n: Any) -> TensorType:
    return TensorType(tuple([n if s == "n" else s for s in shape]), float64)


def evaluated(shape: Any, n: int) -> tuple[int, ...]:
    return tuple([s.evaluate({"n": n}) if isinstance(s, Dim) else s for s in shape])


@pytest.mark.parametrize("name", CASES)
def test_shapes_agree(name: str) -> None:
    function, *shapes = CASES[name]
    symbol = Dim.named("n", min=5)
    symbolic = trace(
        lambda *xs: with_gradient(function, symbol, *xs), *[type_with(s, symbol) for s in shapes]
    )
    for n in (5, 7, 12, 33):
        known = trace(lambda *xs, n=n: with_gradient(function, n, *xs), *[type_with(s, n) for s in shapes])
        assert len(known.outputs) == len(symbolic.outputs)
        for a, b in zip(symbolic.output_types, known.output_types, strict=True):
            assert a.dtype is b.dtype
            assert evaluated(a.shape, n) == b.shape, f"{name}: {a} for n = {n}, but {b}"


@pytest.mark.parametrize(
    "name", ["dynamic_slice", "window-max", "gather", "scatter", "mean", "sort", "conv-batch"]
)
def test_batches_of_symbolic_size(name: str) -> None:
    """The batch rules take a batch axis of symbolic size."""
    function, *shapes = CASES[name]
    size = Dim.named("batch")
    graph = trace(lambda *xs: function(7, *xs), *[type_with(s, 7) for s in shapes])
    builder = GraphBuilder()
    with builder:
        bound = {
            v: builder.input(TensorType((size, *t.shape), t.dtype))
            for v, t in zip(graph.inputs, graph.input_types, strict=True)
        }
        batched = set(bound)
        for node in graph.nodes:
            ins = [bound[v] for v in node.inputs]
            flags = [v in batched for v in node.inputs]
            if not any(flags):
                made: Any = builder.emit(node.primitive, ins, node.attrs)
            else:
                made = node.primitive.batch(ins, flags, **node.attrs)
                made = made if isinstance(made, tuple) else (made,)
                batched.update(node.outputs)
            bound.update(zip(node.outputs, made, strict=True))
    for v, t in zip(graph.outputs, graph.output_types, strict=True):
        assert bound[v].type == TensorType((size, *t.shape), t.dtype)
