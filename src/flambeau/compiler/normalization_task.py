"""From a group that works on rows, and its sizes, to a kernel."""

from __future__ import annotations

import math

from flambeau.compiler.groups import Group
from flambeau.compiler.partition import REDUCTIONS
from flambeau.compiler.reduction import ROW_CHUNK
from flambeau.compiler.rows import POINT, Frames
from flambeau.compiler.tasks import Body, Part, Place, Sources, Task, neighbours, reduction_layout
from flambeau.compiler.views import View, dense_strides
from flambeau.graph.graph import Graph, Node

_FEW_ROWS = 16


def normalization_task(graph: Graph, group: Group, sources: Sources) -> Task | None:
    """The kernel of a group; None where its parts had better be kernels of their own.

    So it is where nothing is left to reduce, where rows are few and long or lie across one another, and
    where the sizes are no longer such that rows stay rows: a partition serves other sizes than those it
    was made for.
    """
    frames = Frames.of(graph, graph.nodes[group.root])
    whole: tuple[int, ...] = frames.whole
    rows = math.prod([whole[i] for i in frames.kept])
    points = math.prod([whole[i] for i in frames.axes])
    if rows * points == 0 or points == 1 or not _frames_hold(graph, group, frames):
        return None
    late, passes = _after_reductions(graph, group, frames)
    if passes and rows < _FEW_ROWS and points > ROW_CHUNK:
        return None
    body = Body(graph, sources)
    made = _Made(graph, group, body)
    if passes:
        for i in group.nodes:
            made.compute(graph.nodes[i])
        for v in group.outputs:
            body.store(v)
    else:  # the points are done with when they have been combined
        nodes = [graph.nodes[i] for i in group.nodes]
        for node in nodes:
            if node.outputs[0] not in late:
                made.compute(node)
        for v in group.outputs:
            if v not in late:
                body.store(v)
        roots = [node for node in nodes if node.primitive.name in REDUCTIONS]
        for node in roots:
            made.read(node.inputs[0])
        for node in roots:
            made.compute(node)
        for node in nodes:
            if node.outputs[0] in late and node.primitive.name not in REDUCTIONS:
                made.compute(node)
        for v in group.outputs:
            if v in late:
                body.store(v)
    strides = [frames.spread(*_layout(graph, place)) for _, _, place in body.operands]
    if passes and neighbours(whole, strides, frames.axes) is not None:
        return None
    return reduction_layout("normalization" if passes else "reduction", body, whole, frames.axes, strides)


class _Made:
    """Appends nodes to a body, seeing through the views within a group."""

    def __init__(self, graph: Graph, group: Group, body: Body) -> None:
        self.graph = graph
        self.body = body
        self.source = {graph.nodes[i].outputs[0]: graph.nodes[i].inputs[0] for i in group.views}

    def read(self, v: int) -> int:
        """The instruction that gives ``v``."""
        inner = v
        while inner in self.source:
            inner = self.source[inner]
        if inner != v:
            self.body.values[v] = self.body.values[inner]
        return self.body.read(v)

    def compute(self, node: Node) -> None:
        """Append a reduction or an elementwise node."""
        points = [self.read(v) for v in node.inputs if v in self.source]
        if node.primitive.name not in REDUCTIONS:
            self.body.compute(node)
            return
        out = node.outputs[0]
        point = points[0] if points else self.body.read(node.inputs[0])
        dtype = self.graph.types[out].dtype
        self.body.values[out] = self.body.add(node.primitive.name, dtype, (point,))


def _after_reductions(graph: Graph, group: Group, frames: Frames) -> tuple[set[int], bool]:
    """The values that follow from a reduction, and whether something happens at points after one."""
    late: set[int] = set()
    passes = False
    views = set(group.views)
    for i in sorted((*group.nodes, *views)):
        node = graph.nodes[i]
        (out,) = node.outputs
        combines = node.primitive.name in REDUCTIONS
        after = any(v in late for v in node.inputs)
        if after and i not in views:
            passes |= combines or frames.frame(graph.types[out].shape) == POINT
        if after or combines:
            late.add(out)
    return late, passes


def _layout(graph: Graph, place: Place) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shape and steps of an operand."""
    if isinstance(place, View):
        return place.shape, place.strides
    if isinstance(place, Part):
        return place.view.shape, place.view.strides
    shape: tuple[int, ...] = graph.types[place].shape  # type: ignore[assignment]
    return shape, dense_strides(shape)


def _frames_hold(graph: Graph, group: Group, frames: Frames) -> bool:
    """Whether every value still has the shape of the points or of the rows."""
    if any(not frames.passes(graph, graph.nodes[i]) for i in group.views):
        return False
    for i in group.nodes:
        node = graph.nodes[i]
        if node.primitive.name in REDUCTIONS:
            if Frames.of(graph, node) != frames:
                return False
        elif frames.frame(graph.types[node.outputs[0]].shape) is None:
            return False
    return True
