"""Sums over the steps of a loop, taken out of it.

The gradient of a weight that every step uses is a sum of products over the steps.  Instead of
adding one product to it at each step, the factors are stacked, and one product sums over the steps
as well.  Products and sums may have been turned, reshaped and added up before.  Factors behind a
barrier are not to be kept: their products are added up step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flambeau.graph.builder import Var, emit
from flambeau.graph.graph import Graph, Node
from flambeau.primitives.elementwise import add

_VIEWS = frozenset(("transpose", "reshape"))
_SUMS = frozenset(("dot_general", "reduce_sum"))


@dataclass(frozen=True, slots=True)
class Term:
    """A product or a sum inside a graph, and the views it was seen through, innermost first."""

    core: Node
    views: tuple[Node, ...]


def terms(graph: Graph, v: int, same: frozenset[int]) -> list[Term] | None:
    """What value ``v`` is the sum of; None where its sum over steps has to be taken step by step.

    ``same`` are the values that every step finds the same.
    """
    maker = {u: node for node in graph.nodes for u in node.outputs}
    forgotten: set[int] = set()
    for each in graph.nodes:
        if each.primitive.name == "barrier" or not forgotten.isdisjoint(each.inputs):
            forgotten.update(each.outputs)
    found: list[Term] = []
    waiting: list[tuple[int, tuple[Node, ...]]] = [(v, ())]
    while waiting:
        u, views = waiting.pop()
        node = maker.get(u)
        if node is None:
            return None
        name = node.primitive.name
        if name == "add":
            waiting += [(node.inputs[1], views), (node.inputs[0], views)]
        elif name in _VIEWS:
            waiting.append((node.inputs[0], (node, *views)))
        elif name in _SUMS and same.isdisjoint(node.inputs) and forgotten.isdisjoint(node.inputs):
            found.append(Term(node, views))
        else:
            return None
    return found


def total(found: Sequence[Term], stacked: Callable[[int], Var]) -> Var:
    """The sum of terms over the steps too, from their operands stacked along a new first axis."""
    out: Var | None = None
    for term in found:
        node, attrs = term.core, dict(term.core.attrs)
        if node.primitive.name == "dot_general":
            attrs["contract"] = tuple([(0, *[a + 1 for a in axes]) for axes in attrs["contract"]])
            attrs["batch"] = tuple([tuple([a + 1 for a in axes]) for axes in attrs["batch"]])
        else:
            attrs["axes"] = (0, *[a + 1 for a in attrs["axes"]])
        made = emit(node.primitive, *[stacked(v) for v in node.inputs], **attrs)
        for view in term.views:
            made = emit(view.primitive, made, **view.attrs)
        out = made if out is None else add(out, made)
    assert out is not None
    return out
