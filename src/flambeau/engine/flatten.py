"""From a recording to a graph: the entries on a trie path, expanded in order."""

from __future__ import annotations

from collections.abc import Sequence

from flambeau.dtypes import DType
from flambeau.engine.tape import FlatCall, State, expand, mark_leaf
from flambeau.graph.graph import Graph, Node
from flambeau.graph.types import TensorType
from flambeau.graph.where import NOWHERE, Where
from flambeau.primitives.control import stop_gradient_p


class Flat:
    """A recording as one graph, and how tape positions relate to its values.

    The inputs of ``graph`` are leaves and numbers in the order they were recorded.  ``values[p]``
    is the value at position ``p``; ``leaves`` are the positions of leaves, ``scalars`` the values
    that hold numbers, ``marks`` the positions gradients are taken to; ``freed`` are positions
    whose gradient has been taken; ``together`` are the results of each entry that has several.
    Every node's ``where.entry`` is the position of its entry.

    Equal nodes of different entries stay apart here, because gradients add up in the order and
    grouping of what was written, wherever the recording was cut by looking at a value.
    """

    __slots__ = ("freed", "graph", "leaves", "marks", "needs_grad", "scalars", "together", "values")

    def __init__(self, state: State) -> None:
        path: list[State] = []
        at: State | None = state
        while at is not None and at.entry is not None:
            path.append(at)
            at = at.parent
        path.reverse()
        self.values: list[int] = []
        self.needs_grad: list[bool] = []
        self.leaves: list[int] = []
        self.scalars: list[int] = []
        self.marks: list[int] = []
        self.freed: set[int] = set()
        self.together: list[list[int]] = []
        joined = _Joined()
        for step in path:
            self._replay(joined, step)
        self.graph = Graph(joined.types, joined.inputs, joined.nodes, ())

    def _replay(self, joined: _Joined, step: State) -> None:
        entry = step.entry
        if entry[0] == "leaf":
            self.leaves.append(len(self.values))
            if step.needs_grad[0]:
                self.marks.append(len(self.values))
            self.values.append(joined.input(step.types[0]))
            self.needs_grad.append(step.needs_grad[0])
            return
        fn, attrs, ids = entry
        where = step.where._replace(entry=len(self.values))
        operands: list[int] = []
        for i in ids:
            if isinstance(i, DType):
                operands.append(joined.input(TensorType((), i)))
                self.scalars.append(operands[-1])
            else:
                operands.append(self.values[i])
        if isinstance(fn, FlatCall):
            made = joined.append(fn.graph, [*fn.residuals, *operands], where)
            self.freed |= fn.frees
            cut = not step.recorded_grad
        else:
            types = tuple([joined.types[v] for v in operands])
            made = joined.append(expand(fn, attrs, types), operands, where)
            cut = not step.recorded_grad and any(self.needs_grad[i] for i in ids if not isinstance(i, DType))
        if fn is mark_leaf:
            self.marks.append(len(self.values))
        elif cut:
            made = [joined.stopped(v, where) for v in made]
        if len(made) > 1 and not isinstance(fn, FlatCall):
            self.together.append(made)
        self.values += made
        self.needs_grad += step.needs_grad


class _Joined:
    """A graph under construction, made of whole graphs one after another."""

    def __init__(self) -> None:
        self.types: list[TensorType] = []
        self.inputs: list[int] = []
        self.nodes: list[Node] = []

    def input(self, type: TensorType) -> int:
        self.types.append(type)
        self.inputs.append(len(self.types) - 1)
        return self.inputs[-1]

    def append(self, graph: Graph, inputs: Sequence[int], where: Where) -> list[int]:
        """Add the nodes of ``graph`` on ``inputs``; the values of its outputs."""
        types = graph.types
        number = dict(zip(graph.inputs, inputs, strict=True))
        for node in graph.nodes:
            if node.where is not NOWHERE:
                where = node.where
            operands = tuple([number[v] for v in node.inputs])
            for v in node.outputs:
                number[v] = len(self.types)
                self.types.append(types[v])
            outputs = tuple([number[v] for v in node.outputs])
            self.nodes.append(Node(node.primitive, operands, node.attrs, outputs, where))
        return [number[v] for v in graph.outputs]

    def stopped(self, v: int, where: Where) -> int:
        """Value ``v``, constant to differentiation."""
        type = self.types[v]
        if not type.dtype.floating:
            return v
        self.types.append(type)
        made = len(self.types) - 1
        self.nodes.append(Node(stop_gradient_p, (v,), {}, (made,), where))
        return made


def flatten(state: State) -> Flat:
    """The flat graph of everything recorded up to ``state``."""
    flat: Flat | None = state.graphs.get("flat")
    if flat is None:
        flat = state.graphs["flat"] = Flat(state)
    return flat
