"""Simplification before a graph is planned: equal nodes run once, what only steered differentiation goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.compiler.bodies import CONTROL, with_bodies
from flambeau.graph.graph import Graph, Node, compact, freeze_attrs, subgraph
from flambeau.graph.primitive import Effect
from flambeau.graph.types import TensorType
from flambeau.primitives.splitting import slices
from flambeau.primitives.subgraphs import derived

# Identities that mattered to differentiation alone.
_ALIASES = frozenset(("stop_gradient", "fresh"))


def simplify(graph: Graph) -> Graph:
    """The same computation with calls inlined, splits as slices, no dead nodes, and each pure node once.

    Barriers hold twins apart until all have been found; then they go.  Inputs keep their numbers.
    This comes after differentiation: gradients of equal nodes must not be added before they flow on
    in one program, and after in another that looked at a value in between.
    """
    types: list[TensorType] = list(graph.types)
    renamed: dict[int, int] = {}
    known: dict[Any, tuple[int, ...]] = {}
    nodes: list[Node] = []

    def resolve(v: int) -> int:
        while v in renamed:
            v = renamed[v]
        return v

    waiting = list(reversed(graph.nodes))
    while waiting:
        node = waiting.pop()
        primitive = node.primitive
        inputs = tuple([resolve(v) for v in node.inputs])
        if primitive.name in _ALIASES:
            renamed[node.outputs[0]] = inputs[0]
            continue
        if primitive.name == "call":
            waiting += reversed(_opened(node, inputs, types, renamed))
            continue
        if primitive.name == "split":
            waiting += reversed(slices(node, inputs[0], types[inputs[0]].shape))
            continue
        if primitive.effect is Effect.PURE and primitive.name != "barrier":
            twin = known.setdefault((primitive, inputs, freeze_attrs(node.attrs)), node.outputs)
            if twin is not node.outputs:
                renamed.update(zip(node.outputs, twin, strict=True))
                continue
        attrs = with_bodies(node, _simplified) if primitive.name in CONTROL else node.attrs
        if inputs == node.inputs and attrs is node.attrs:
            nodes.append(node)
        else:
            nodes.append(Node(primitive, inputs, attrs, node.outputs, node.where))
    if any(node.primitive.name == "barrier" for node in nodes):
        nodes = _without_barriers(nodes, renamed, resolve)
    outputs = [resolve(v) for v in graph.outputs]
    return subgraph(Graph(types, graph.inputs, nodes, outputs), graph.inputs, outputs)


def _without_barriers(
    nodes: list[Node], renamed: dict[int, int], resolve: Callable[[int], int]
) -> list[Node]:
    """The nodes reading what is in front of barriers; ``renamed`` learns what ``resolve`` shall know."""
    kept = []
    for node in nodes:
        inputs = tuple([resolve(v) for v in node.inputs])
        if node.primitive.name == "barrier":
            renamed.update(zip(node.outputs, inputs, strict=True))
        elif inputs == node.inputs:
            kept.append(node)
        else:
            kept.append(Node(node.primitive, inputs, node.attrs, node.outputs, node.where))
    return kept


def _simplified(body: Graph) -> Graph:
    """A body of control flow, simplified; the same one for the same body."""
    return derived(body, "simplified", lambda: compact(simplify(body)))


def _opened(
    call: Node, inputs: tuple[int, ...], types: list[TensorType], renamed: dict[int, int]
) -> list[Node]:
    """The nodes of a call's graph under numbers of the caller, which ``types`` is extended by."""
    inner: Graph = call.attrs["graph"]
    number = dict(zip(inner.inputs, inputs, strict=True))
    nodes = []
    for node in inner.nodes:
        for v in node.outputs:
            number[v] = len(types)
            types.append(inner.types[v])
        operands = tuple([number[v] for v in node.inputs])
        made = tuple([number[v] for v in node.outputs])
        where = node.where if node.where.code is not None else call.where
        nodes.append(Node(node.primitive, operands, node.attrs, made, where))
    for v, w in zip(call.outputs, inner.outputs, strict=True):
        renamed[v] = number[w]
    return nodes
