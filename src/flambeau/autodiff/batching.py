"""Batching: from a graph on single examples, the graph on all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flambeau.graph.builder import GraphBuilder, Var
from flambeau.graph.graph import Graph
from flambeau.graph.types import Size, TensorType
from flambeau.primitives.views import broadcast


@dataclass(frozen=True, eq=False, slots=True)
class Batched:
    """A batched graph: the inputs and outputs marked in ``inputs`` and ``outputs`` have a leading axis."""

    graph: Graph
    inputs: tuple[bool, ...]
    outputs: tuple[bool, ...]


def with_axis(x: Var, size: Size) -> Var:
    """``x`` repeated along a new leading axis."""
    return broadcast(x, (size, *x.shape), range(1, x.ndim + 1))


def batch(graph: Graph, inputs: Sequence[bool], size: Size, outputs: Sequence[bool] | None = None) -> Batched:
    """``graph`` with a leading axis of ``size`` on the inputs marked in ``inputs``.

    Nodes that no batched input reaches are computed once.  With ``outputs``, the outputs marked
    there get the axis in any case.
    """
    builder = GraphBuilder()
    with builder:
        values: dict[int, Var] = {}
        batched: set[int] = set()
        for v, marked in zip(graph.inputs, inputs, strict=True):
            type = graph.types[v]
            if marked:
                type = TensorType((size, *type.shape), type.dtype)
                batched.add(v)
            values[v] = builder.input(type)
        for node in graph.nodes:
            builder.where = node.where
            mine = tuple([values[v] for v in node.inputs])
            flags = [v in batched for v in node.inputs]
            if not any(flags):
                values.update(zip(node.outputs, builder.emit(node.primitive, mine, node.attrs), strict=True))
                continue
            made = node.primitive.batch(mine, flags, **node.attrs)
            values.update(zip(node.outputs, (made,) if isinstance(made, Var) else made, strict=True))
            batched.update(node.outputs)
        results = []
        marks = []
        for i, v in enumerate(graph.outputs):
            out, marked = values[v], v in batched
            if outputs is not None and outputs[i] and not marked:
                out, marked = with_axis(out, size), True
            results.append(out)
            marks.append(marked)
    return Batched(builder.graph(results), tuple(inputs), tuple(marks))
