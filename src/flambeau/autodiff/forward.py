"""Forward mode: from a graph, the graph of its values and Jacobian-vector product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flambeau.errors import GradientError, located
from flambeau.graph.builder import GraphBuilder, Var
from flambeau.graph.graph import Graph
from flambeau.graph.primitive import NoGradient
from flambeau.primitives.views import zeros_like


@dataclass(frozen=True, eq=False, slots=True)
class Pushforward:
    """A Jacobian-vector product as a graph of its own.

    ``graph`` takes the inputs of the original, then a tangent for each input whose index is in
    ``inputs``; it gives the outputs of the original, then a tangent for each output whose index
    is in ``outputs``: those that depend differentiably on the inputs with tangents.
    """

    graph: Graph
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def pushforward(graph: Graph, inputs: Sequence[int], outputs: Sequence[int] | None = None) -> Pushforward:
    """The Jacobian-vector product of ``graph`` from tangents of the inputs numbered ``inputs``.

    With ``outputs``, the outputs numbered there have a tangent in any case, if only zeros.
    Raises ``GradientError`` where a primitive on the way has no derivative, naming its line.
    Source: Griewank and Walther, Evaluating Derivatives, 2nd ed., chapter 3.
    """
    builder = GraphBuilder()
    with builder:
        values = {v: builder.input(graph.types[v]) for v in graph.inputs}
        tangents: dict[int, Var] = {}
        for i in inputs:
            v = graph.inputs[i]
            tangents[v] = builder.input(graph.types[v])
        for node in graph.nodes:
            builder.where = node.where
            mine = tuple([values[v] for v in node.inputs])
            made = builder.emit(node.primitive, mine, node.attrs)
            values.update(zip(node.outputs, made, strict=True))
            moving = [tangents.get(v) for v in node.inputs]
            if not any(moving) or not any(t.dtype.floating for t in made):
                continue
            rule = node.primitive.jvp
            if isinstance(rule, NoGradient):
                error = GradientError(
                    f"{node.primitive.name} cannot be differentiated forwards: {rule.reason}"
                )
                raise located(error, str(node.where))
            out = rule(moving, mine, made, **node.attrs)
            if isinstance(out, Var) or out is None:
                out = (out,)
            for v, t in zip(node.outputs, out, strict=True):
                if t is not None and graph.types[v].dtype.floating:
                    tangents[v] = t
        if outputs is None:
            outputs = [i for i, v in enumerate(graph.outputs) if v in tangents]
        results = [values[v] for v in graph.outputs]
        for i in outputs:
            v = graph.outputs[i]
            results.append(tangents[v] if v in tangents else zeros_like(values[v]))
    return Pushforward(builder.graph(results), tuple(inputs), tuple(outputs))
