"""Graphs: closed sets of nodes in static single assignment form.

Values are numbered; a node reads numbers and defines numbers, and comes after everything it
reads.  So every traversal is a loop over a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flambeau.graph.primitive import Primitive
from flambeau.graph.types import TensorType
from flambeau.graph.where import NOWHERE, Where


class Node:
    """One application of a primitive: input values, static attributes, output values, origin."""

    __slots__ = ("attrs", "inputs", "outputs", "primitive", "where")

    def __init__(
        self,
        primitive: Primitive,
        inputs: tuple[int, ...],
        attrs: Mapping[str, Any],
        outputs: tuple[int, ...],
        where: Where = NOWHERE,
    ) -> None:
        self.primitive = primitive
        self.inputs = inputs
        self.attrs = attrs
        self.outputs = outputs
        self.where = where

    def __repr__(self) -> str:
        return f"<{self.primitive.name} {self.inputs} -> {self.outputs}>"


class Fingerprint:
    """What a graph computes, hashed once: graphs hold graphs, and tuples would be hashed at each level."""

    __slots__ = ("_hash", "content")

    def __init__(self, content: tuple[Any, ...]) -> None:
        self.content = content
        self._hash = hash(content)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Fingerprint) and self._hash == other._hash and self.content == other.content


class Graph:
    """Inputs, nodes in order, outputs; ``types[v]`` is the type of value ``v``.

    Graphs are immutable once built and compare by identity.
    """

    __slots__ = ("__weakref__", "_fingerprint", "inputs", "nodes", "outputs", "types")

    def __init__(
        self,
        types: Sequence[TensorType],
        inputs: Sequence[int],
        nodes: Sequence[Node],
        outputs: Sequence[int],
    ) -> None:
        self.types = tuple(types)
        self.inputs = tuple(inputs)
        self.nodes = tuple(nodes)
        self.outputs = tuple(outputs)
        self._fingerprint: Fingerprint | None = None

    @property
    def input_types(self) -> tuple[TensorType, ...]:
        return tuple(self.types[v] for v in self.inputs)

    @property
    def output_types(self) -> tuple[TensorType, ...]:
        return tuple(self.types[v] for v in self.outputs)

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        return f"<graph of {len(self.nodes)} nodes, {len(self.inputs)} inputs, {len(self.outputs)} outputs>"

    def __str__(self) -> str:
        from flambeau.graph.printer import format_graph

        return format_graph(self)

    def fingerprint(self) -> Fingerprint:
        """A hashable form: equal for graphs that compute the same thing on the same types."""
        if self._fingerprint is None:
            number = {v: i for i, v in enumerate(self.inputs)}
            rows = []
            for node in self.nodes:
                rows.append((node.primitive, freeze_attrs(node.attrs), tuple(number[v] for v in node.inputs)))
                for v in node.outputs:
                    number[v] = len(number)
            self._fingerprint = Fingerprint(
                (self.input_types, tuple(rows), tuple(number[v] for v in self.outputs))
            )
        return self._fingerprint


def freeze(value: Any) -> Any:
    """A hashable stand-in under which only identical attribute values are equal.

    Python's ``==`` calls 0.0 and -0.0, 1 and True equal; programs that hold them differ.
    """
    if isinstance(value, float):
        return ("f", value.hex())
    if isinstance(value, bool):
        return ("b", value)
    if isinstance(value, complex):
        return ("c", value.real.hex(), value.imag.hex())
    if isinstance(value, (tuple, list)):
        return tuple(freeze(v) for v in value)
    if isinstance(value, Graph):
        return value.fingerprint()
    return value


def freeze_attrs(attrs: Mapping[str, Any]) -> Any:
    """The hashable form of a node's attributes."""
    return tuple((k, freeze(v)) for k, v in attrs.items())


def needed(graph: Graph, outputs: Iterable[int]) -> list[Node]:
    """The nodes that ``outputs`` depend on, in order."""
    wanted = set(outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if any(v in wanted for v in node.outputs):
            kept.append(node)
            wanted.update(node.inputs)
    kept.reverse()
    return kept


def subgraph(graph: Graph, inputs: Sequence[int], outputs: Sequence[int]) -> Graph:
    """The part of ``graph`` that computes ``outputs``, given the values ``inputs``.

    Nodes above the given inputs are left out; everything else ``outputs`` need must come from them.
    """
    wanted = set(outputs)
    given = set(inputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if any(v in wanted and v not in given for v in node.outputs):
            kept.append(node)
            wanted.update(node.inputs)
    kept.reverse()
    return Graph(graph.types, inputs, kept, outputs)


def compact(graph: Graph) -> Graph:
    """The same graph with its values numbered in order: inputs first, then as nodes define them."""
    number = {v: i for i, v in enumerate(graph.inputs)}
    types = [graph.types[v] for v in graph.inputs]
    nodes = []
    for node in graph.nodes:
        inputs = tuple([number[v] for v in node.inputs])
        for v in node.outputs:
            number[v] = len(types)
            types.append(graph.types[v])
        outputs = tuple([number[v] for v in node.outputs])
        nodes.append(Node(node.primitive, inputs, node.attrs, outputs, node.where))
    return Graph(types, range(len(graph.inputs)), nodes, [number[v] for v in graph.outputs])
