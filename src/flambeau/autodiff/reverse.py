"""Reverse mode: from a graph, the graph of its vector-Jacobian product.

The sweep goes once over the nodes from last to first.  Which forward values the result needs (the
residuals) is found by running the rules and looking at what they used.  Residuals that are cheap
to compute from others are recomputed instead of kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flambeau.errors import GradientError, located
from flambeau.graph.builder import GraphBuilder, Var
from flambeau.graph.graph import Graph, Node
from flambeau.graph.primitive import Effect, Lowering, NoGradient
from flambeau.primitives.elementwise import add

_DEAR_ELEMENTWISE = frozenset(
    [
        "exp",
        "exp2",
        "expm1",
        "log",
        "log2",
        "log10",
        "log1p",
        "tanh",
        "sigmoid",
        "erf",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "asinh",
        "acosh",
        "atanh",
        "atan2",
        "pow",
        "logaddexp",
        "hypot",
    ]
)


@dataclass(frozen=True, eq=False, slots=True)
class Pullback:
    """A vector-Jacobian product as a graph of its own.

    ``graph`` takes the forward values numbered ``residuals``, then one cotangent for each value
    in ``outputs``, and gives the gradients of those of the wanted values in ``sources``; wanted
    values that do not influence the outputs are not among them.
    """

    graph: Graph
    residuals: tuple[int, ...]
    outputs: tuple[int, ...]
    sources: tuple[int, ...]


def active_values(graph: Graph, wanted: Sequence[int]) -> set[int]:
    """The values that depend differentiably on ``wanted``."""
    active = set(wanted)
    for node in graph.nodes:
        if node.primitive.name != "stop_gradient" and any(v in active for v in node.inputs):
            active.update(v for v in node.outputs if graph.types[v].dtype.floating)
    return active


def _refuse(node: Node, rule: NoGradient) -> GradientError:
    error = GradientError(f"{node.primitive.name} cannot be differentiated: {rule.reason}")
    located(error, str(node.where))
    return error


def _sweep(
    graph: Graph, outputs: Sequence[int], wanted: Sequence[int], cut: frozenset[int]
) -> tuple[GraphBuilder, dict[int, Var], list[Var], dict[int, Var]]:
    """Run the rules; returns the builder, its forward placeholders, the seeds, and all cotangents."""
    active = active_values(graph, wanted)
    builder = GraphBuilder()
    forward: dict[int, Var] = {}
    cotangents: dict[int, Var] = {}

    def value(v: int) -> Var:
        if v not in forward:
            forward[v] = builder.input(graph.types[v])
        return forward[v]

    def accumulate(v: int, g: Var) -> None:
        known = cotangents.get(v)
        cotangents[v] = g if known is None else add(known, g)

    targets = set(wanted)
    with builder:
        seeds = [builder.input(graph.types[v]) for v in outputs]
        for v, seed in zip(outputs, seeds, strict=True):
            if v in active:
                accumulate(v, seed)
        for node in reversed(graph.nodes):
            if not any(v in cotangents and v not in cut for v in node.outputs):
                continue
            if not any(v in active for v in node.inputs):
                continue
            # a wanted value keeps its cotangent for the caller; any other one is done with
            incoming = [cotangents.get(v) if v in targets else cotangents.pop(v, None) for v in node.outputs]
            rule = node.primitive.vjp
            if isinstance(rule, NoGradient):
                raise _refuse(node, rule)
            builder.where = node.where
            single = node.primitive.outputs == 1
            grads = rule(
                incoming[0] if single else tuple(incoming),
                tuple([value(v) for v in node.inputs]),
                tuple([value(v) for v in node.outputs]),
                **node.attrs,
            )
            for v, g in zip(node.inputs, grads, strict=True):
                if g is not None and v in active:
                    accumulate(v, g)
    return builder, forward, seeds, cotangents


def is_cheap(node: Node) -> bool:
    """Whether computing the node again costs less than keeping its result."""
    primitive = node.primitive
    if primitive.name == "random_bits":
        return True  # a function of two numbers: a dropout mask takes no memory
    if primitive.effect is not Effect.PURE:
        return False
    if primitive.lowering is Lowering.VIEW:
        return primitive.name != "barrier"
    return primitive.lowering is Lowering.ELEMENTWISE and primitive.name not in _DEAR_ELEMENTWISE


def pullback(
    graph: Graph, outputs: Sequence[int], wanted: Sequence[int], cut: frozenset[int] = frozenset()
) -> Pullback:
    """The vector-Jacobian product of ``graph`` from cotangents of ``outputs`` to ``wanted``.

    Gradients arrive at the values in ``cut`` but do not flow on through them.
    Raises ``GradientError`` where a primitive on the way has no derivative, naming its line.
    Source: Griewank and Walther, Evaluating Derivatives, 2nd ed., chapter 3.
    """
    builder, forward, seeds, cotangents = _sweep(graph, outputs, wanted, cut)
    sources = tuple(v for v in wanted if v in cotangents)
    results = [cotangents[v] for v in sources]
    swept = builder.graph(results)
    used = {v for node in swept.nodes for v in node.inputs} | set(swept.outputs)
    needed = {v for v, var in forward.items() if var.id in used}
    keep, again = _split_residuals(graph, needed)

    final = GraphBuilder()
    with final:
        bound = {v: final.input(graph.types[v]) for v in keep}
        inner = {seed.id: final.input(seed.type) for seed in seeds}
        final.splice(again, bound, ())
        for v, var in forward.items():
            if v in needed:
                inner[var.id] = bound[v]
        final.splice(swept.nodes, inner, ())
        out = [inner[v] for v in swept.outputs]
    return Pullback(final.graph(out), tuple(keep), tuple(outputs), sources)


def _split_residuals(graph: Graph, needed: set[int]) -> tuple[list[int], list[Node]]:
    """What to keep and what to compute again, the latter in forward order."""
    pending = set(needed)
    keep: set[int] = set(pending)
    again: list[Node] = []
    for node in reversed(graph.nodes):
        mine = [v for v in node.outputs if v in pending]
        if mine and is_cheap(node):
            again.append(node)
            keep.difference_update(mine)
            pending.update(node.inputs)
            keep.update(node.inputs)
    again.reverse()
    return sorted(keep), again
