"""From a recording to a graph: the entries on a trie path, expanded in order."""

from __future__ import annotations

from flambeau.dtypes import DType
from flambeau.engine.tape import FlatCall, State, expand, mark_leaf
from flambeau.graph.builder import GraphBuilder, Var
from flambeau.graph.graph import Graph
from flambeau.graph.types import TensorType
from flambeau.primitives.control import stop_gradient


class Flat:
    """A recording as one graph, and how tape positions relate to its values.

    The inputs of ``graph`` are leaves and numbers in the order they were recorded.  ``values[p]``
    is the value at position ``p``; ``leaves`` are the positions of leaves, ``scalars`` the values
    that hold numbers, ``marks`` the positions gradients are taken to; ``freed`` are positions
    whose gradient has been taken.  Every node's ``where.entry`` is the position of its entry.
    """

    __slots__ = ("freed", "graph", "leaves", "marks", "needs_grad", "scalars", "values")

    def __init__(self, state: State) -> None:
        path: list[State] = []
        at: State | None = state
        while at is not None and at.entry is not None:
            path.append(at)
            at = at.parent
        path.reverse()
        builder = GraphBuilder()
        self.values: list[int] = []
        self.needs_grad: list[bool] = []
        self.leaves: list[int] = []
        self.scalars: list[int] = []
        self.marks: list[int] = []
        self.freed: set[int] = set()
        with builder:
            for step in path:
                self._replay(builder, step)
        self.graph = Graph(builder.types, builder.inputs, builder.nodes, ())

    def _replay(self, builder: GraphBuilder, step: State) -> None:
        entry = step.entry
        if entry[0] == "leaf":
            self.leaves.append(len(self.values))
            if step.needs_grad[0]:
                self.marks.append(len(self.values))
            self.values.append(builder.input(step.types[0]).id)
            self.needs_grad.append(step.needs_grad[0])
            return
        fn, attrs, ids = entry
        builder.where = step.where._replace(entry=len(self.values))
        operands: list[Var] = []
        for i in ids:
            if isinstance(i, DType):
                scalar = builder.input(TensorType((), i))
                self.scalars.append(scalar.id)
                operands.append(scalar)
            else:
                operands.append(builder.var(self.values[i]))
        if isinstance(fn, FlatCall):
            operands = [builder.var(v) for v in fn.residuals] + operands
            made = builder.inline(fn.graph, operands)
            self.freed |= fn.frees
            cut = not step.recorded_grad
        else:
            made = builder.inline(expand(fn, attrs, tuple([o.type for o in operands])), operands)
            cut = not step.recorded_grad and any(
                self.needs_grad[i] for i in ids if not isinstance(i, DType)
            )
        if fn is mark_leaf:
            self.marks.append(len(self.values))
        elif cut:
            made = [stop_gradient(v) if v.dtype.floating else v for v in made]
        self.values += [v.id for v in made]
        self.needs_grad += step.needs_grad


def flatten(state: State) -> Flat:
    """The flat graph of everything recorded up to ``state``."""
    flat: Flat | None = state.graphs.get("flat")
    if flat is None:
        flat = state.graphs["flat"] = Flat(state)
    return flat
