"""Building graphs: symbolic values, and the builder that appends nodes to a graph.

Builder functions (in ``primitives``) take and return ``Var``; they append to the innermost
``GraphBuilder`` of the thread.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from flambeau.dtypes import DType
from flambeau.errors import FlambeauError, TraceError, located
from flambeau.graph.graph import Graph, Node, freeze_attrs, subgraph
from flambeau.graph.primitive import Effect, Primitive
from flambeau.graph.types import Shape, TensorType
from flambeau.graph.where import NOWHERE, Where


class Var:
    """A value of a graph under construction."""

    __slots__ = ("builder", "id", "type")

    def __init__(self, builder: GraphBuilder, id: int, type: TensorType) -> None:
        self.builder = builder
        self.id = id
        self.type = type

    @property
    def shape(self) -> Shape:
        return self.type.shape

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def ndim(self) -> int:
        return len(self.type.shape)

    def __repr__(self) -> str:
        return f"%{self.id}: {self.type}"


class _Stack(threading.local):
    def __init__(self) -> None:
        self.builders: list[GraphBuilder] = []


_STACK = _Stack()


class GraphBuilder:
    """Appends nodes; equal pure nodes are built once.

    Used as a context manager it becomes the one that builder functions append to.
    """

    def __init__(self) -> None:
        self.types: list[TensorType] = []
        self.inputs: list[int] = []
        self.nodes: list[Node] = []
        self.where: Where = NOWHERE
        self._known: dict[Any, tuple[Var, ...]] = {}

    def __enter__(self) -> GraphBuilder:
        _STACK.builders.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _STACK.builders.pop()

    def _new(self, type: TensorType) -> Var:
        self.types.append(type)
        return Var(self, len(self.types) - 1, type)

    def input(self, type: TensorType) -> Var:
        """A new input of the graph."""
        var = self._new(type)
        self.inputs.append(var.id)
        return var

    def var(self, id: int) -> Var:
        """The value numbered ``id``."""
        return Var(self, id, self.types[id])

    def emit(self, primitive: Primitive, inputs: Sequence[Var], attrs: Mapping[str, Any]) -> tuple[Var, ...]:
        """Append a node and return its outputs; raises where the operands do not fit."""
        for x in inputs:
            if x.builder is not self:
                raise TraceError(f"{primitive.name}: an operand belongs to another graph than the result")
        ids = tuple([x.id for x in inputs])
        key = None
        if primitive.effect is Effect.PURE and primitive.name != "barrier":
            key = (primitive, ids, freeze_attrs(attrs))
            known = self._known.get(key)
            if known is not None:
                return known
        try:
            types = primitive.infer(*[x.type for x in inputs], **attrs)
        except FlambeauError as error:
            raise located(error, str(self.where)) from None
        if isinstance(types, TensorType):
            types = (types,)
        outputs = tuple([self._new(t) for t in types])
        self.nodes.append(Node(primitive, ids, dict(attrs), tuple([o.id for o in outputs]), self.where))
        if key is not None:
            self._known[key] = outputs
        return outputs

    def inline(self, graph: Graph, inputs: Sequence[Var], keep_where: bool = True) -> list[Var]:
        """Append another graph's nodes with its inputs bound to ``inputs``; returns its outputs."""
        bound: dict[int, Var] = dict(zip(graph.inputs, inputs, strict=True))
        return [bound[v] for v in self.splice(graph.nodes, bound, graph.outputs, keep_where)]

    def splice(
        self, nodes: Sequence[Node], bound: dict[int, Var], outputs: Sequence[int], keep_where: bool = True
    ) -> Sequence[int]:
        """Append ``nodes`` with their values renamed by ``bound``, which grows by what they define."""
        outer = self.where
        for node in nodes:
            if keep_where and node.where is not NOWHERE:
                self.where = node.where
            made = self.emit(node.primitive, [bound[v] for v in node.inputs], node.attrs)
            for v, new in zip(node.outputs, made, strict=True):
                bound[v] = new
        self.where = outer
        return outputs

    def graph(self, outputs: Sequence[Var], prune: bool = True) -> Graph:
        """The finished graph; nodes that no output needs are left out unless ``prune`` is false."""
        ids = [v.id for v in outputs]
        if prune:
            return subgraph(Graph(self.types, (), self.nodes, ids), self.inputs, ids)
        return Graph(self.types, self.inputs, self.nodes, ids)


def current() -> GraphBuilder:
    """The builder that builder functions append to."""
    builders = _STACK.builders
    if not builders:
        raise TraceError("a builder function was called where no graph is being built")
    return builders[-1]


def emit(primitive: Primitive, *inputs: Var, **attrs: Any) -> Var:
    """Append a single-output node to the current graph."""
    return current().emit(primitive, inputs, attrs)[0]


def emit_all(primitive: Primitive, *inputs: Var, **attrs: Any) -> tuple[Var, ...]:
    """Append a node with several outputs to the current graph."""
    return current().emit(primitive, inputs, attrs)
