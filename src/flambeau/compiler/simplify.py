"""Simplification before a graph is planned: equal nodes run once, what only steered differentiation goes."""

from __future__ import annotations

from typing import Any

from flambeau.graph.graph import Graph, Node, freeze_attrs, subgraph
from flambeau.graph.primitive import Effect


def simplify(graph: Graph) -> Graph:
    """The same computation without ``stop_gradient``, without nodes nobody needs, and each node once.

    This comes after differentiation: gradients of equal nodes must not be added before they flow on
    in one program, and after in another that looked at a value in between.
    """
    renamed: dict[int, int] = {}
    known: dict[Any, tuple[int, ...]] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        primitive = node.primitive
        inputs = tuple([renamed.get(v, v) for v in node.inputs])
        if primitive.name == "stop_gradient":
            renamed[node.outputs[0]] = inputs[0]
            continue
        if primitive.effect is Effect.PURE and primitive.name != "barrier":
            twin = known.setdefault((primitive, inputs, freeze_attrs(node.attrs)), node.outputs)
            if twin is not node.outputs:
                renamed.update(zip(node.outputs, twin, strict=True))
                continue
        if inputs == node.inputs:
            nodes.append(node)
        else:
            nodes.append(Node(primitive, inputs, node.attrs, node.outputs, node.where))
    outputs = [renamed.get(v, v) for v in graph.outputs]
    return subgraph(Graph(graph.types, graph.inputs, nodes, outputs), graph.inputs, outputs)
