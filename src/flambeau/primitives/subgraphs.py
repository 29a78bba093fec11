"""Graphs inside primitives: how their rules transform the graphs they hold.

Differentiation and batching are written with primitives, so they lie above this package.  They
hand their functions down through ``RULES`` when they are imported.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from flambeau.errors import DTypeError, OperandError, ShapeError
from flambeau.graph.builder import GraphBuilder, Var, current
from flambeau.graph.graph import Graph, needed
from flambeau.graph.types import Size, TensorType
from flambeau.primitives.views import shape_text, zeros_like

T = TypeVar("T")


class Rules:
    """What ``autodiff`` provides: see ``pullback``, ``pushforward`` and ``batch`` there."""

    pullback: Callable[..., Any]
    pushforward: Callable[..., Any]
    batch: Callable[..., Any]


RULES = Rules()
_DERIVED: WeakKeyDictionary[Graph, dict[Hashable, Any]] = WeakKeyDictionary()


def derived(graph: Graph, key: Hashable, make: Callable[[], T]) -> T:
    """What ``make`` gives, remembered for as long as ``graph`` lives."""
    table = _DERIVED.setdefault(graph, {})
    if key not in table:
        table[key] = make()
    found: T = table[key]
    return found


def build(types: Sequence[TensorType], function: Callable[..., Sequence[Var]]) -> Graph:
    """The graph of a function of values of the given types."""
    builder = GraphBuilder()
    with builder:
        made = function(*[builder.input(t) for t in types])
    return builder.graph(list(made))


def inline(graph: Graph, inputs: Sequence[Var]) -> list[Var]:
    """The outputs of ``graph`` on ``inputs``, as part of the graph being built."""
    return current().inline(graph, inputs)


def floating(types: Sequence[TensorType]) -> tuple[int, ...]:
    """The indices of the types that have derivatives."""
    return tuple([i for i, t in enumerate(types) if t.dtype.floating])


def check_operands(name: str, graph: Graph, types: Sequence[TensorType]) -> None:
    """Raise where operands do not fit the inputs of a graph."""
    wanted = graph.input_types
    if len(wanted) != len(types):
        raise OperandError(f"{name}: takes {len(wanted)} operands, not {len(types)}")
    for i, (a, b) in enumerate(zip(wanted, types, strict=True)):
        if a.dtype is not b.dtype:
            raise DTypeError(f"{name}: operand {i} is {b.dtype} where the function takes {a.dtype}")
        if a.shape != b.shape:
            raise ShapeError(
                f"{name}: operand {i} has shape {shape_text(b.shape)} "
                f"where the function takes {shape_text(a.shape)}"
            )


def recomputing_vjp(graph: Graph, outputs: tuple[int, ...], wanted: tuple[int, ...]) -> Graph:
    """The vector-Jacobian product that computes the forward values it needs again.

    It takes the inputs of ``graph``, then a cotangent for each output whose index is in
    ``outputs``; it gives a cotangent, if only zeros, for each input whose index is in ``wanted``.
    """

    def make() -> Graph:
        found = RULES.pullback(graph, [graph.outputs[i] for i in outputs], [graph.inputs[i] for i in wanted])

        def function(*operands: Var) -> list[Var]:
            count = len(graph.inputs)
            values = dict(zip(graph.inputs, operands[:count], strict=True))
            current().splice(needed(graph, found.residuals), values, ())
            made = inline(found.graph, [*[values[v] for v in found.residuals], *operands[count:]])
            grads = dict(zip(found.sources, made, strict=True))
            return [
                grads[graph.inputs[i]] if graph.inputs[i] in grads else zeros_like(operands[i])
                for i in wanted
            ]

        return build([*graph.input_types, *[graph.types[graph.outputs[i]] for i in outputs]], function)

    return derived(graph, ("vjp", outputs, wanted), make)


def jvp_graph(graph: Graph, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> Graph:
    """The graph with a tangent for each of the numbered inputs and outputs, after the values."""

    def make() -> Graph:
        made: Graph = RULES.pushforward(graph, inputs, outputs).graph
        return made

    return derived(graph, ("jvp", inputs, outputs), make)


def batched_graph(
    graph: Graph, inputs: tuple[bool, ...], size: Size, outputs: tuple[bool, ...] | None = None
) -> tuple[Graph, tuple[bool, ...]]:
    """The graph with a leading axis on the marked inputs, and which outputs have it."""

    def make() -> tuple[Graph, tuple[bool, ...]]:
        found = RULES.batch(graph, inputs, size, outputs)
        return found.graph, found.outputs

    return derived(graph, ("batch", inputs, size, outputs), make)
