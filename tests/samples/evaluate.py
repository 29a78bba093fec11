"""A plain interpreter of graphs, and single-node evaluation of the rules of a primitive.

Every value is checked against the type that the graph gives it, so each use is also a test that
shape rules and references agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flambeau.dtypes import from_numpy
from flambeau.graph.builder import GraphBuilder, Var
from flambeau.graph.graph import Graph, Node
from flambeau.graph.primitive import Primitive
from flambeau.graph.types import TensorType

Arrays = list[np.ndarray]


def type_of(x: np.ndarray) -> TensorType:
    return TensorType(x.shape, from_numpy(x.dtype))


def listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value]


def trace(function: Callable[..., Any], *types: TensorType) -> Graph:
    """The graph of a function of ``Var``; results of None are left out."""
    with GraphBuilder() as builder:
        inputs = [builder.input(t) for t in types]
        outputs = [v for v in listed(function(*inputs)) if v is not None]
        return builder.graph(outputs, prune=False)


def execute(
    primitive: Primitive, arrays: Sequence[np.ndarray], attrs: Any, types: Sequence[TensorType]
) -> Arrays:
    """Compute one node and check its results against their types."""
    out = [np.asarray(y) for y in listed(primitive.reference(*arrays, **attrs))]
    assert len(out) == len(types), f"{primitive.name}: {len(out)} results, {len(types)} inferred"
    for y, t in zip(out, types, strict=True):
        assert y.shape == t.shape, (
            f"{primitive.name}: the reference gives shape {y.shape}, infer says {t.shape}"
        )
        assert y.dtype == t.dtype.numpy, (
            f"{primitive.name}: the reference gives {y.dtype}, infer says {t.dtype}"
        )
    return out


def values(graph: Graph, *arrays: np.ndarray) -> dict[int, np.ndarray]:
    """Every value of the graph."""
    known = dict(zip(graph.inputs, [np.asarray(a) for a in arrays], strict=True))
    for node in graph.nodes:
        inputs = [known[v] for v in node.inputs]
        before = [a.copy() for a in inputs]
        out = execute(node.primitive, inputs, node.attrs, [graph.types[v] for v in node.outputs])
        for a, b in zip(inputs, before, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=f"{node.primitive.name} changed its operand")
        known.update(zip(node.outputs, out, strict=True))
    return known


def run(graph: Graph, *arrays: np.ndarray) -> Arrays:
    known = values(graph, *arrays)
    return [known[v] for v in graph.outputs]


def call(function: Callable[..., Any], *arrays: Any) -> Any:
    """A function of ``Var`` applied to arrays; one array, or a list of several."""
    arrays = tuple(np.asarray(a) for a in arrays)
    out = run(trace(function, *[type_of(a) for a in arrays]), *arrays)
    return out[0] if len(out) == 1 else out


# --- rules of a single node ------------------------------------------------------------------


def apply(node: Node, inputs: Sequence[Var]) -> tuple[Var, ...]:
    """Another node like ``node``, on other inputs."""
    return inputs[0].builder.emit(node.primitive, inputs, node.attrs)


def forward(node: Node, arrays: Sequence[np.ndarray]) -> Arrays:
    out = call(lambda *xs: apply(node, xs), *arrays)
    return listed(out)


def for_vjp(cotangents: Sequence[Any], node: Node) -> Any:
    """What a vjp rule takes: one cotangent, or a tuple of them where there may be several outputs."""
    return cotangents[0] if node.primitive.outputs == 1 else tuple(cotangents)


def vjp(
    node: Node, arrays: Sequence[np.ndarray], cotangents: Sequence[np.ndarray | None]
) -> list[np.ndarray | None]:
    """The cotangents of the inputs by the primitive's rule."""
    n = len(arrays)
    given = [g for g in cotangents if g is not None]
    present: list[bool] = []

    def function(*xs: Var) -> list[Var]:
        inputs, gs = xs[:n], iter(xs[n:])
        outputs = apply(node, inputs)
        g = [None if c is None else next(gs) for c in cotangents]
        result = node.primitive.vjp(for_vjp(g, node), inputs, outputs, **node.attrs)
        assert len(result) == n, f"{node.primitive.name}: vjp gives {len(result)} cotangents for {n} inputs"
        for r, x in zip(result, inputs, strict=True):
            present.append(r is not None)
            assert r is None or r.type == x.type, f"{node.primitive.name}: cotangent {r} of {x}"
        return [r for r in result if r is not None]

    out = iter(
        listed(call(function, *arrays, *given)) if _any_result(function, arrays, given, present) else []
    )
    return [next(out) if p else None for p in present]


def _any_result(function: Any, arrays: Any, given: Any, present: list[bool]) -> bool:
    graph = trace(function, *[type_of(np.asarray(a)) for a in (*arrays, *given)])
    some = bool(graph.outputs)
    if some:
        present.clear()
    return some


def jvp(
    node: Node, arrays: Sequence[np.ndarray], tangents: Sequence[np.ndarray | None]
) -> list[np.ndarray | None]:
    """The tangents of the outputs by the primitive's rule."""
    n = len(arrays)
    given = [t for t in tangents if t is not None]
    present: list[bool] = []

    def function(*xs: Var) -> list[Var]:
        inputs, ts = xs[:n], iter(xs[n:])
        outputs = apply(node, inputs)
        t = [None if d is None else next(ts) for d in tangents]
        result = listed(node.primitive.jvp(t, inputs, outputs, **node.attrs))
        assert len(result) == len(outputs), f"{node.primitive.name}: jvp gives {len(result)} tangents"
        for r, y in zip(result, outputs, strict=True):
            present.append(r is not None)
            assert r is None or r.type == y.type, f"{node.primitive.name}: tangent {r} of {y}"
        return [r for r in result if r is not None]

    out = iter(
        listed(call(function, *arrays, *given)) if _any_result(function, arrays, given, present) else []
    )
    return [next(out) if p else None for p in present]


def batch(node: Node, arrays: Sequence[np.ndarray], batched: Sequence[bool]) -> Arrays:
    """The node on inputs with an extra leading axis, by the primitive's rule."""

    def function(*xs: Var) -> list[Any]:
        return listed(node.primitive.batch(xs, list(batched), **node.attrs))

    return listed(call(function, *arrays))


# --- gradients of whole functions ------------------------------------------------------------


def gradients(
    function: Callable[..., Var], *arrays: np.ndarray, cotangent: np.ndarray | None = None
) -> Arrays:
    """Cotangents of all inputs of a single-output function, by the rules of its nodes."""
    from flambeau.primitives.elementwise import add
    from flambeau.primitives.views import ones_like, zeros_like

    def whole(*xs: Var) -> list[Var]:
        inputs, (seed,) = xs[: len(arrays)], xs[len(arrays) :] or (None,)
        builder = inputs[0].builder
        y = function(*inputs)
        found: dict[int, Var] = {y.id: ones_like(y) if seed is None else seed}
        for node in reversed(list(builder.nodes)):
            gs = [found.get(v) for v in node.outputs]
            if all(g is None for g in gs) or not node.inputs:
                continue
            ins = [builder.var(v) for v in node.inputs]
            if not any(x.dtype.floating for x in ins) or not callable(node.primitive.vjp):
                continue
            outs = [builder.var(v) for v in node.outputs]
            for x, g in zip(ins, node.primitive.vjp(for_vjp(gs, node), ins, outs, **node.attrs), strict=True):
                if g is not None:
                    found[x.id] = g if x.id not in found else add(found[x.id], g)
        return [found.get(x.id, zeros_like(x)) for x in inputs]

    extra = () if cotangent is None else (cotangent,)
    return listed(call(whole, *arrays, *extra))
