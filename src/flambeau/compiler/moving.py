"""Padding and concatenation: elementwise kernels that each write a part of one value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from flambeau.compiler.groups import Group
from flambeau.compiler.kernel import Role
from flambeau.compiler.partition import needed
from flambeau.compiler.tasks import Body, Part, Sources, Task, pointwise
from flambeau.compiler.views import View
from flambeau.dtypes import DType
from flambeau.graph.graph import Graph, Node

Number = int | float | bool


def parts_of(graph: Graph, node: Node) -> Iterator[tuple[int, View]]:
    """The operands of a ``concatenate``, and where in its result each belongs."""
    (out,) = node.outputs
    whole = View.dense(out, graph.types[out].shape)  # type: ignore[arg-type]
    axis = node.attrs["axis"]
    start = 0
    for v in node.inputs:
        shape: tuple[int, ...] = graph.types[v].shape  # type: ignore[assignment]
        yield v, View(out, shape, whole.strides, start * whole.strides[axis])
        start += shape[axis]


def move_tasks(graph: Graph, group: Group, sources: Sources) -> list[Task]:
    """The kernels of a ``pad`` or ``concatenate`` with what computes its operands."""
    root = graph.nodes[group.root]
    if root.primitive.name == "pad":
        return _pad_tasks(graph, group, sources, root)
    return _concatenate_tasks(graph, group, sources, root)


def _concatenate_tasks(graph: Graph, group: Group, sources: Sources, root: Node) -> list[Task]:
    tasks = []
    for v, place in parts_of(graph, root):
        if 0 not in place.shape and v not in sources.parts:
            tasks.append(_write(graph, group, sources, v, (0,) * len(place.shape), place))
    return tasks


def _pad_tasks(graph: Graph, group: Group, sources: Sources, root: Node) -> list[Task]:
    (out,) = root.outputs
    x, value = root.inputs
    sizes: tuple[int, ...] = graph.types[x].shape  # type: ignore[assignment]
    whole = View.dense(out, graph.types[out].shape)  # type: ignore[arg-type]
    box = Box.of(sizes, whole.shape, root.attrs["low"], root.attrs["interior"])
    tasks = [_fill(graph, sources, value, part) for part in box.outside(whole)]
    if 0 not in box.counts:
        tasks.append(_write(graph, group, sources, x, box.skipped, box.inside(whole)))
    return tasks


def fill_tasks(graph: Graph, dtype: DType, number: Number, parts: Iterable[View]) -> list[Task]:
    """The kernels that write one number all over parts of values."""
    tasks = []
    for part in parts:
        body = Body(graph, Sources({}, {}))
        made = body.add("const", dtype, number=float(number) if dtype.floating else number)
        body.add("store", dtype, (made,), operand=body.operand(dtype, Role.OUT, Part(part)))
        tasks.append(pointwise(body, part.shape))
    return tasks


def pad_tasks(graph: Graph, dtype: DType, number: Number, source: View, box: Box, whole: View) -> list[Task]:
    """The kernels that write the elements of a view into ``whole``, and a number around them."""
    tasks = fill_tasks(graph, dtype, number, box.outside(whole))
    if 0 not in box.counts:
        body = Body(graph, Sources({}, {}))
        inside = box.inside(whole)
        read = box.narrowed(source)
        made = body.add("load", dtype, operand=body.operand(dtype, Role.IN, read))
        body.add("store", dtype, (made,), operand=body.operand(dtype, Role.OUT, Part(inside)))
        tasks.append(pointwise(body, inside.shape, by_two=box.interior))
    return tasks


class Box:
    """Where the elements of a tensor lie in what it is padded to, axis by axis.

    The first ``skipped`` elements are left out, the next ``counts`` lie ``steps`` apart from
    ``starts`` on.
    """

    def __init__(
        self, skipped: list[int], counts: list[int], starts: list[int], steps: list[int], interior: bool
    ) -> None:
        self.skipped, self.counts = tuple(skipped), tuple(counts)
        self.starts, self.steps = tuple(starts), tuple(steps)
        self.interior = interior  # whether there may be something between the elements

    @staticmethod
    def of(sizes: Sequence[int], padded: Sequence[int], low: Sequence[int], interior: Sequence[int]) -> Box:
        """The box of a tensor of shape ``sizes`` in one of shape ``padded``."""
        skipped, counts, starts, steps = [], [], [], []
        for n, m, a, c in zip(sizes, padded, low, interior, strict=True):
            step = c + 1
            first = 0 if a >= 0 else -(a // step)  # the first element that is not cropped
            start = a + first * step
            last = min(n, first + max(0, -((start - m) // step)))
            skipped.append(first)
            counts.append(max(0, last - first))
            starts.append(start)
            steps.append(step if last - first > 1 else 1)
        return Box(skipped, counts, starts, steps, any(interior))

    def inside(self, whole: View) -> View:
        """The part of ``whole`` that the elements fill."""
        offset = whole.offset + sum(a * s for a, s in zip(self.starts, whole.strides, strict=True))
        strides = tuple([s * c for s, c in zip(whole.strides, self.steps, strict=True)])
        return View(whole.base, self.counts, strides, offset)

    def narrowed(self, view: View) -> View:
        """The elements of a view of the tensor that are not left out."""
        return _narrowed(view, self.skipped, self.counts)

    def outside(self, whole: View) -> Iterator[View]:
        """Parts of ``whole`` that together are what the elements do not fill, or more."""
        if 0 in whole.shape or self.counts == whole.shape:
            return
        if self.interior:
            yield whole
            return
        shape, offset = list(whole.shape), whole.offset
        for axis, step in enumerate(whole.strides):
            start, count = self.starts[axis], self.counts[axis]
            for at, size in ((0, start), (start + count, whole.shape[axis] - start - count)):
                if size:
                    slab = (*shape[:axis], size, *shape[axis + 1 :])
                    yield View(whole.base, slab, whole.strides, offset + at * step)
            shape[axis] = count
            offset += start * step


def _fill(graph: Graph, sources: Sources, value: int, place: View) -> Task:
    """Write a scalar all over ``place``."""
    shape = place.shape
    views = dict(sources.views)
    if value not in sources.constants:
        source = views[value]
        views[value] = View(source.base, shape, (0,) * len(shape), source.offset)
    body = Body(graph, Sources(views, sources.constants))
    body.read(value)
    body.store(value, Part(place))
    return pointwise(body, shape)


def _write(graph: Graph, group: Group, sources: Sources, v: int, skipped: Sequence[int], place: View) -> Task:
    """Write value ``v``, less its first ``skipped`` elements, to ``place``, computing it where it is new."""
    body = Body(graph, sources)
    for i in needed(graph, [i for i in group.nodes if i != group.root], (v,)):
        body.compute(graph.nodes[i])
    body.read(v)
    body.operands = [
        (dtype, role, _narrowed(view, skipped, place.shape))
        if isinstance(view, View)
        else (dtype, role, view)
        for dtype, role, view in body.operands
    ]
    body.store(v, Part(place))
    return pointwise(body, place.shape)


def _narrowed(view: View, skipped: Sequence[int], shape: tuple[int, ...]) -> View:
    offset = view.offset + sum(a * s for a, s in zip(skipped, view.strides, strict=True))
    return View(view.base, shape, view.strides, offset)
