"""Simplification before a graph is planned: what only steered differentiation disappears."""

from __future__ import annotations

from flambeau.graph.graph import Graph, Node, subgraph


def simplify(graph: Graph) -> Graph:
    """The same computation without ``stop_gradient`` and without nodes nobody needs."""
    renamed: dict[int, int] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = tuple([renamed.get(v, v) for v in node.inputs])
        if node.primitive.name == "stop_gradient":
            renamed[node.outputs[0]] = inputs[0]
        elif inputs == node.inputs:
            nodes.append(node)
        else:
            nodes.append(Node(node.primitive, inputs, node.attrs, node.outputs, node.where))
    outputs = [renamed.get(v, v) for v in graph.outputs]
    return subgraph(Graph(graph.types, graph.inputs, nodes, outputs), graph.inputs, outputs)
