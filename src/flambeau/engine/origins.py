"""Where operations came from: line, layer, what recorded them, and which gradient they compute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from flambeau.compiler.views import MOVES_NOTHING
from flambeau.engine.carry import trie_path
from flambeau.engine.gradients import InGradient
from flambeau.engine.tape import Tape
from flambeau.graph.graph import Graph, Node
from flambeau.graph.where import NOWHERE, Where
from flambeau.runtime.buffers import Buffer


class Origins:
    """The origins of the nodes of one graph, which was recorded on ``tape`` where that is known.

    ``trained`` are the numbers of the inputs that are parameters.
    """

    def __init__(self, graph: Graph, tape: Tape | None, trained: Sequence[int] = ()) -> None:
        self.graph = graph
        self.tape = tape
        self._maker = {v: node for node in graph.nodes for v in node.outputs}
        self._parameters = {graph.inputs[i] for i in trained}
        self._shapes = {tuple(sorted(graph.types[v].shape)) for v in self._parameters}
        self._results = {self._source(v) for v in graph.outputs}
        self._names = {} if tape is None else _recorded(tape)

    def of(self, nodes: Sequence[Node], outer: Where = NOWHERE) -> Where:
        """The place of the first of the nodes if it is among the others too, else where most were written.

        ``outer`` is that of what they are part of.
        """
        places = [self.place(node) for node in nodes]
        known = [p for p in places if p.code is not None or p.layer]
        if not known:
            return outer
        if len(nodes) > 1 and nodes[0] in nodes[1:] and known[0] is places[0]:
            return known[0]
        often = Counter((p.code, p.line, p.layer, type(p)) for p in known)
        most = max(often.values())
        return next(p for p in reversed(known) if often[p.code, p.line, p.layer, type(p)] == most)

    def place(self, node: Node) -> Where:
        """Where a node was written: recordings that look alike share their graph, but not their places."""
        where = node.where
        if where.entry >= 0 and self.tape is not None:
            found = self.tape.where(where.entry)
            if found.code is not None:
                return type(where)(found.code, found.offset, found.layer, where.entry)
        return where

    def operation(self, where: Where) -> str:
        """What was recorded there: a function's name, or an optimizer's."""
        return self._names.get(where.entry, "")

    def gradient(self, root: Node | None, where: Where, shape: Sequence[Any]) -> str:
        """What a contraction of the backward pass, whose result has this shape, is the gradient of."""
        if root is None or not isinstance(where, InGradient):
            return ""
        if any(self._source(v) in self._parameters for v in root.inputs):
            return "input gradient"
        alike = tuple(sorted(shape)) in self._shapes or root.outputs[0] in self._results
        return "weight gradient" if alike else ""

    def _source(self, v: int) -> int:
        """The value that a value is a view of."""
        node = self._maker.get(v)
        while node is not None and node.primitive.name in (*MOVES_NOTHING, "reverse"):
            v = node.inputs[0]
            node = self._maker.get(v)
        return v


def _recorded(tape: Tape) -> dict[int, str]:
    """What recorded the entries of a tape, by their positions."""
    names: dict[int, str] = {}
    position = 0
    for state in trie_path(tape.state):
        fn, *rest = state.entry
        if fn != "leaf":
            first = rest[0][0] if rest[0] else None
            first = first[0] if isinstance(first, tuple) and first else first
            name = first.__name__ if isinstance(first, type) else getattr(fn, "__name__", "")
            names[position] = "" if name.startswith("_") else name
        position += len(state.types)
    return names


def trained(tape: Tape | None, inputs: Sequence[Any]) -> list[int]:
    """Which inputs are leaves that want a gradient: parameters."""
    if tape is None:
        return []
    wanted = {id(v.data) for v in tape.index if v.needs_grad and v.data is not None and v.source is None}
    return [i for i, x in enumerate(inputs) if isinstance(x, Buffer) and id(x) in wanted]


_NAMES = {"dot_general": "matmul", "conv_general": "conv"}


def shown(primitive: str) -> str:
    """What a primitive is called to people."""
    return _NAMES.get(primitive, primitive)
