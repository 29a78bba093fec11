"""The order in which axes of intermediate values lie in memory: channels last behind a convolution.

A convolution that fills vectors with channels stores them side by side, and what follows it point by point,
window by window or as a sum keeps to that.  It is a matter of places alone: shapes, and the order in which
anything is computed, are those of the program as it was written.  What leaves a program lies row by row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from flambeau.compiler.convolution import fills_vectors
from flambeau.compiler.groups import Partition
from flambeau.compiler.partition import WRITTEN_OUT
from flambeau.compiler.views import View, dense_strides
from flambeau.graph.graph import Graph, Node
from flambeau.graph.primitive import Lowering

# Positions this many bytes apart, or a multiple, share few sets of a cache: they are moved apart by a line.
_CROWDING, _LINE = 1024, 64

_KINDS = ("elementwise", "reduction", "normalization", "window")


def spaced(base: int, shape: tuple[int, ...], itemsize: int) -> View:
    """All elements of a value, row by row, with a line between rows whose length would crowd them."""
    crowded = shape[-1] * itemsize % _CROWDING == 0
    return View(base, shape, dense_strides([*shape[:-1], shape[-1] + crowded * _LINE // itemsize]))


def channels_last(base: int, shape: tuple[int, ...], itemsize: int, tight: bool = False) -> View:
    """All elements of a value, the channels (axis 1) being neighbours; ``tight`` leaves no lines between."""
    last = len(shape) - 1
    turned = (shape[0], *shape[2:], shape[1])
    found = View.dense(base, turned) if tight else spaced(base, turned, itemsize)
    return found.permuted([0, last, *range(1, last)])


def is_channels_last(view: View) -> bool:
    """Whether the channels are neighbours, and come first in no other way."""
    if len(view.shape) < 3 or view.shape[1] == 1 or view.strides[1] != 1:
        return False
    steps = [view.strides[i] for i in (0, *range(2, len(view.shape))) if view.shape[i] != 1]
    return bool(steps) and min(steps) > 1 and steps == sorted(steps, reverse=True)


class Layouts:
    """Decides for one value after the other, in order, how it lies."""

    def __init__(self, graph: Graph, partition: Partition) -> None:
        self._graph = graph
        self._last: set[int] = set()  # values that lie, or would, with their channels last
        self._convolved: set[int] = set()
        self._fixed: set[int] = set()  # what kernels store that keep to rows
        # What leaves the program with its channels last, and gradients of weights of 1x1 windows.
        self._leaving: set[int] = set()
        self._single: set[int] = set()
        outputs = set(graph.outputs)
        for node in graph.nodes:
            if node.primitive.name == "transpose":
                v, perm = node.inputs[0], node.attrs["perm"]
                if perm == (0, *range(2, len(perm)), 1) and node.outputs[0] in outputs:
                    self._leaving.add(v)
                elif _exchanges(perm) and all(n == 1 for n in graph.types[v].shape[2:]):
                    self._single.add(v)
        for group in partition.groups:
            convolves = group.root >= 0 and graph.nodes[group.root].primitive.name == "conv_general"
            if not convolves and group.kind not in _KINDS:
                self._fixed.update(group.outputs)

    def place(self, node: Node, v: int, views: Mapping[int, View]) -> View | None:
        """Where output ``v`` of a node lies if it is stored; None for row by row."""
        shape: tuple[int, ...] = self._graph.types[v].shape  # type: ignore[assignment]
        if len(shape) < 3 or 0 in shape or v in self._fixed or not self._wanted(node, shape, views):
            return None
        if node.primitive.name == "conv_general":
            if v in self._single:
                return View.dense(v, (shape[1], shape[0], *shape[2:])).permuted([1, 0, *range(2, len(shape))])
            self._convolved.add(v)
        self._last.add(v)
        return channels_last(v, shape, self._graph.types[v].dtype.itemsize, v in self._leaving)

    def turns(self, node: Node) -> bool:
        """Whether a view is a weight's gradient turned to lie as the weight does: it is copied, once."""
        if node.primitive.name != "transpose" or node.inputs[0] not in self._convolved:
            return False
        return _exchanges(node.attrs["perm"])

    def _wanted(self, node: Node, shape: Sequence[int], views: Mapping[int, View]) -> bool:
        name = node.primitive.name
        if name == "conv_general":
            return fills_vectors(self._graph.types[node.inputs[1]].shape, node.attrs["groups"])  # type: ignore[arg-type]
        if name in ("reduce_window", "select_and_scatter"):
            small = math.prod(node.attrs["window"]) <= WRITTEN_OUT
            return small and self._is_last(node.inputs[0], views)
        if node.primitive.lowering is not Lowering.ELEMENTWISE:
            return False
        types = self._graph.types
        return any(types[u].shape == shape and self._is_last(u, views) for u in node.inputs)

    def _is_last(self, v: int, views: Mapping[int, View]) -> bool:
        view = views.get(v)
        return v in self._last if view is None else view.base in self._last and is_channels_last(view)


def _exchanges(perm: tuple[int, ...]) -> bool:
    """Whether the first two axes change places, and no others."""
    return len(perm) > 2 and perm == (1, 0, *range(2, len(perm)))
