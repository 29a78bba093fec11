"""Convolutions as contractions: the weight's rows times the windows of the input.

Each result is one chain of fused multiply-adds over the channels of its group and, for each, over the window
in row-major order, in chunks of as many channels as have at most 4096 elements of the window.  Where results
have channels enough to fill vectors, ``direct`` reads the input where it lies, and what of a window meets no
input is left out.  Otherwise rows are output channels, columns (example, position), and the input is padded
once, and its windows are a strided view that nobody lays out as a matrix.

Where the input is dilated, results whose positions leave the same remainder meet the same elements of the
window, every so many; what lies between meets no input and is no part of the chain.  So each such class of
results is a convolution of the input as it is, and one kernel serves them all.  Both gradients are
convolutions again; that of the weight has the examples and positions as depth.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import gcd

from flambeau.compiler.contraction.shape import CHUNK
from flambeau.compiler.direct import boxes_of
from flambeau.compiler.direct.boxes import Meeting
from flambeau.compiler.groups import Group
from flambeau.compiler.kernel import AxisKind, Kernel, Operand, Role, Stride
from flambeau.compiler.matrix_products import matrix_product
from flambeau.compiler.partition import WRITTEN_OUT
from flambeau.compiler.tasks import (
    Body,
    Part,
    Place,
    Sources,
    Task,
    computed_in,
    merged,
    pointwise,
    stride_kinds,
)
from flambeau.compiler.views import View
from flambeau.dtypes import DType
from flambeau.graph.graph import Graph

Pad = Callable[[View, Sequence[int], Sequence[int], Sequence[int]], View]

MANY_CHANNELS = 16  # of a group's results, for them to fill vectors


@dataclass(frozen=True, slots=True)
class _Class:
    """Results along an axis that meet the same elements of the window.

    They are ``count`` from ``start`` on, ``step`` apart.  They meet ``taps`` elements of the window
    from ``first`` on, ``every`` so many.  The first result meets, with the first of these, the
    element ``begin`` of the input; the next result ``x_step`` further, the next tap ``x_within``.
    """

    start: int
    step: int
    count: int
    first: int
    every: int
    taps: int
    begin: int
    x_step: int
    x_within: int

    @property
    def end(self) -> int:
        """One more than the last element of the input."""
        if not self.count or not self.taps:
            return 0
        return self.begin + (self.count - 1) * self.x_step + (self.taps - 1) * self.x_within + 1


def _classes(n: int, extent: int, stride: int, low: int, spread: int, dilation: int) -> list[_Class]:
    """The classes of ``n`` results; ``spread`` is the dilation of the input."""
    step = spread // gcd(spread, stride)
    every = spread // gcd(spread, dilation)
    found = []
    for start in range(step):
        count = max(0, -((start - n) // step))
        taps = [k for k in range(min(extent, every)) if (start * stride + k * dilation - low) % spread == 0]
        first = taps[0] if taps else 0
        number = max(0, -((first - extent) // every)) if taps else 0
        begin = (start * stride + first * dilation - low) // spread if number else 0
        found.append(
            _Class(
                start,
                step,
                count,
                first,
                every,
                number,
                begin,
                step * stride // spread,
                every * dilation // spread,
            )
        )
    return found


def convolution_tasks(
    graph: Graph,
    group: Group,
    sources: Sources,
    x: View,
    w: View,
    copy: Callable[[View], View],
    padded: Pad,
) -> list[Task]:
    """The kernels of a convolution with its epilogue.

    ``copy(view)`` gives a dense view of the same elements, ``padded(view, low, high, interior)``
    one with zeros around and between them.
    """
    node = graph.nodes[group.root]
    attrs = node.attrs
    (out,) = node.outputs
    shape: tuple[int, ...] = graph.types[out].shape  # type: ignore[assignment]
    dtype = computed_in(node, graph.types[out].dtype)
    narrow = graph.types[out].dtype

    def epilogue(body: Body, product: int) -> Body:
        body.values[out] = product if narrow is dtype else body.add("cast", narrow, (product,))
        for i in group.nodes:
            if i != group.root:
                body.compute(graph.nodes[i])
        for v in group.outputs:
            body.store(v)
        return body

    body = Body(graph, sources)
    a = body.add("load", dtype, operand=body.operand(dtype, Role.IN, w))
    b = body.add("load", dtype, operand=body.operand(dtype, Role.IN, x))
    epilogue(body, body.add("contract", dtype, (a, b)))
    single = attrs["groups"] != 1 and w.shape[1] == 1  # each result meets one channel
    direct = fills_vectors(w.shape, attrs["groups"])

    lows = [low for low, _ in attrs["padding"]]
    per_axis = (attrs["strides"], lows, attrs["lhs_dilation"], attrs["rhs_dilation"])
    axes = [_classes(*of_axis) for of_axis in zip(shape[2:], w.shape[2:], *per_axis, strict=True)]
    low = [0, 0, *[max(0, *(-c.begin for c in own if c.taps), 0) for own in axes]]
    high = [0, 0, *[max(0, *(c.end - n for c in own), 0) for own, n in zip(axes, x.shape[2:], strict=True)]]
    whole = x
    tasks = []
    channels = max(1, CHUNK // max(1, math.prod(w.shape[2:])))
    for classes in itertools.product(*axes):
        if not all(c.count for c in classes):
            continue
        taps = math.prod(c.taps for c in classes)
        if direct and taps:
            task = _direct_task(body, whole, w, attrs["groups"], shape, classes)
            task.chunk = channels
            tasks.append(matrix_product(task) or task)
            continue
        x = padded(whole, low, high, [0] * len(low))
        if taps == 0 or (single and taps <= WRITTEN_OUT):
            own = Body(graph, sources)
            epilogue(own, _chain(own, x, w, attrs["groups"], shape, classes, low[2:], dtype))
            tasks.append(_written_out(own, attrs["groups"], w.shape[0], shape, classes))
        else:
            tasks.append(_class_task(body, x, w, attrs["groups"], shape, classes, low[2:], copy))
            tasks[-1].chunk = channels * taps
    return tasks


def _class_task(
    body: Body,
    x: View,
    w: View,
    groups: int,
    shape: tuple[int, ...],
    classes: Sequence[_Class],
    low: Sequence[int],
    copy: Callable[[View], View],
) -> Task:
    """The kernel of the results of one class along each axis."""
    spatial = range(2, len(shape))
    w = _part(w, [(c.first, c.every, c.taps) for c in classes])
    depth_axes = list(range(1, len(w.shape)))
    found = merged(w, [depth_axes])
    if found is None:
        w = copy(w)
        found = merged(w, [depth_axes])
        assert found is not None
    (a_step,) = found
    begins = [c.begin + a for c, a in zip(classes, low, strict=True)]
    offset = x.offset + sum(a * s for a, s in zip(begins, x.strides[2:], strict=True))
    x = View(x.base, x.shape, x.strides, offset)
    places: list[tuple[DType, Role, Place]] = [
        (body.operands[0][0], Role.IN, w), (body.operands[1][0], Role.IN, x)
    ]  # fmt: skip
    places += [(dtype, role, _class_place(place, shape, classes)) for dtype, role, place in body.operands[2:]]
    shape = (shape[0], shape[1], *[c.count for c in classes])

    batch = [groups] if groups != 1 else []
    rows = w.shape[0] // groups
    columns = [shape[0], *shape[2:]]
    depths = list(w.shape[1:])

    def steps(row: int, of_columns: Sequence[int], of_depths: Sequence[int], channels: int) -> list[int]:
        return [*[channels] * len(batch), row, *of_columns, *of_depths]

    zeros, none = [0] * len(columns), [0] * len(depths)
    window = [x.strides[i] * c.x_step for i, c in zip(spatial, classes, strict=True)]
    within = [x.strides[i] * c.x_within for i, c in zip(spatial, classes, strict=True)]
    inner = [1] * (len(depths) - 1)
    strides = [
        steps(w.strides[0], zeros, [*inner, a_step or 1], rows * w.strides[0]),
        steps(0, [x.strides[0], *window], [x.strides[1], *within], w.shape[1] * x.strides[1]),
    ]
    for _, _, place in places[2:]:
        own = place.view if isinstance(place, Part) else place
        own = View.dense(own, shape) if isinstance(own, int) else own
        of_columns = [own.strides[0], *[own.strides[i] for i in spatial]]
        strides.append(steps(own.strides[1], of_columns, none, rows * own.strides[1]))
    axes = [AxisKind.GRID] * (len(batch) + 1)
    axes += [AxisKind.VECTOR] * len(columns) + [AxisKind.REDUCE] * len(depths)
    last = len(batch) + len(columns)
    by_two = bool(classes) and classes[-1].step == 2
    operands = [
        Operand(d, role, _kinds(number, own, last, columns[-1] == 1, len(depths), by_two))
        for number, ((d, role, _), own) in enumerate(zip(places, strides, strict=True))
    ]
    kernel = Kernel("contraction", tuple(axes), tuple(operands), tuple(body.instrs))
    sizes = (*batch, rows, *columns, *depths)
    return Task(kernel, sizes, tuple([tuple(s) for s in strides]), [place for _, _, place in places])


def fills_vectors(w_shape: Sequence[int], groups: int) -> bool:
    """Whether a group has enough channels of the result to fill vectors with them."""
    return w_shape[0] // groups >= MANY_CHANNELS


def _direct_task(
    body: Body,
    x: View,
    w: View,
    groups: int,
    shape: tuple[int, ...],
    classes: Sequence[_Class],
) -> Task:
    """The kernel of the results of one class along each axis, that reads the input where it lies."""
    meetings = [
        Meeting(c.count, c.taps, c.begin, c.x_step, c.x_within, n)
        for c, n in zip(classes, x.shape[2:], strict=True)
    ]
    # A weight's gradient has few positions, and neighbours along what are examples here.
    apart = x.strides[0] == 1 and math.prod(c.count for c in classes) <= WRITTEN_OUT
    w = _part(w, [(c.first, c.every, c.taps) for c in classes])
    offset = x.offset + sum(c.begin * s for c, s in zip(classes, x.strides[2:], strict=True))
    x = View(x.base, x.shape, x.strides, offset)
    places: list[tuple[DType, Role, Place]] = [
        (body.operands[0][0], Role.IN, x), (body.operands[1][0], Role.IN, w)
    ]  # fmt: skip
    places += [(dtype, role, _class_place(place, shape, classes)) for dtype, role, place in body.operands[2:]]
    rows = w.shape[0] // groups
    counts = [c.count for c in classes]
    window = [s * c.x_step for s, c in zip(x.strides[2:], classes, strict=True)]
    within = [s * c.x_within for s, c in zip(x.strides[2:], classes, strict=True)]
    none = [0] * (1 + len(counts))
    strides = [
        [w.shape[1] * x.strides[1], x.strides[0], *window, 0, x.strides[1], *within],
        [rows * w.strides[0], *none, *w.strides],
    ]
    any_ = [Stride.ANY] * (2 + len(counts))
    kinds = [
        [*any_, Stride.ZERO, *any_[1:]],
        [Stride.ANY, *[Stride.ZERO] * (1 + len(counts)), Stride.ANY, *any_[1:]],
    ]
    for _, _, place in places[2:]:
        own = place.view if isinstance(place, Part) else place
        own = View.dense(own, (shape[0], shape[1], *counts)) if isinstance(own, int) else own
        positions = [own.strides[0], *own.strides[2:]]
        channel = own.strides[1]
        strides.append([rows * channel, *positions, channel, *none])
        moves = Stride.ANY if any(positions) else Stride.ZERO
        near = stride_kinds([rows * channel, channel], (1,))
        kinds.append([near[0], *[moves] * len(positions), near[1], *[Stride.ZERO] * len(none)])
    axes = [AxisKind.GRID] * (2 + len(counts))
    axes += [AxisKind.VECTOR, *[AxisKind.REDUCE] * len(none)]
    operands = [Operand(d, role, tuple(own)) for (d, role, _), own in zip(places, kinds, strict=True)]
    kernel = Kernel("convolution", tuple(axes), tuple(operands), tuple(body.instrs))
    sizes = (groups, shape[0], *counts, rows, *w.shape[1:])
    made = Task(kernel, sizes, tuple([tuple(s) for s in strides]), [place for _, _, place in places])
    made.boxes = tuple(boxes_of(meetings, apart))
    return made


def _class_place(place: Place, shape: tuple[int, ...], classes: Sequence[_Class]) -> Place:
    """What of an operand over all results belongs to those of a class."""
    if all(c.step == 1 for c in classes):
        return place
    ranges = [(c.start, c.step, c.count) for c in classes]
    if isinstance(place, View):
        return _part(place, ranges)
    view = place.view if isinstance(place, Part) else View.dense(place, shape)
    return Part(_part(view, ranges))


def _part(view: View, ranges: Sequence[tuple[int, int, int]]) -> View:
    """From each axis but the first two ``count`` elements from ``start`` on, ``step`` apart."""
    offset = view.offset + sum(a * s for (a, _, _), s in zip(ranges, view.strides[2:], strict=True))
    strides = [s * step for (_, step, _), s in zip(ranges, view.strides[2:], strict=True)]
    shape = (*view.shape[:2], *[n for _, _, n in ranges])
    return View(view.base, shape, (*view.strides[:2], *strides), offset)


# --- few taps, one channel -------------------------------------------------------------------


def _chain(
    body: Body,
    x: View,
    w: View,
    groups: int,
    shape: tuple[int, ...],
    classes: Sequence[_Class],
    low: Sequence[int],
    dtype: DType,
) -> int:
    """The same chain written out, one tap after the other: all of them work on whole rows of results."""
    total = body.add("const", dtype, number=0.0)
    w = _part(w, [(c.first, c.every, c.taps) for c in classes])
    each = w.shape[0] // groups
    counts = [c.count for c in classes]
    points = (shape[0], groups, each, *counts)
    window = [s * c.x_step for s, c in zip(x.strides[2:], classes, strict=True)]
    for tap in itertools.product(*[range(c.taps) for c in classes]):
        at = [c.begin + a + i * c.x_within for c, a, i in zip(classes, low, tap, strict=True)]
        offset = x.offset + sum(i * s for i, s in zip(at, x.strides[2:], strict=True))
        own = View(x.base, points, (x.strides[0], x.strides[1], 0, *window), offset)
        one = body.add("load", dtype, operand=body.operand(dtype, Role.IN, own))
        offset = w.offset + sum(i * s for i, s in zip(tap, w.strides[2:], strict=True))
        rows = (0, each * w.strides[0], w.strides[0], *[0] * len(counts))
        weight = body.operand(dtype, Role.IN, View(w.base, points, rows, offset))
        total = body.add("fma", dtype, (one, body.add("load", dtype, operand=weight), total))
    return total


def _written_out(
    body: Body, groups: int, rows: int, shape: tuple[int, ...], classes: Sequence[_Class]
) -> Task:
    """The elementwise kernel of a chain and its epilogue, over (example, group, channel of it, position)."""
    each = rows // groups
    points = (shape[0], groups, each, *[c.count for c in classes])

    def spread(place: Place) -> Place:
        if isinstance(place, View) and len(place.shape) == len(points):
            return place
        own = _class_place(place, shape, classes)
        view = own.view if isinstance(own, Part) else own
        if isinstance(view, int):
            view = View.dense(view, shape)
        steps = (view.strides[0], each * view.strides[1], *view.strides[1:])
        view = View(view.base, points, steps, view.offset)
        return view if isinstance(place, View) else Part(view)

    body.operands = [(dtype, role, spread(place)) for dtype, role, place in body.operands]
    by_two = bool(classes) and 2 in (classes[-1].step, classes[-1].x_step)
    return pointwise(body, points, by_two=by_two)


def _kinds(
    number: int, strides: Sequence[int], last: int, single: bool, depths: int, by_two: bool
) -> tuple[Stride, ...]:
    """Stride classes; ``last`` is the innermost axis of the columns, ``single`` whether its size is 1.

    An axis of size 1 may give its place to another one, and a whole operand that moves along some
    axis of the columns is taken to move along all of them.
    """
    first = last - depths + 1
    kinds = list(stride_kinds(strides, (first - 1, last, len(strides) - 1)))
    if depths == 1:
        return tuple(kinds)
    if number == 1:
        kinds[first:] = [Stride.ANY] * (2 * depths)
        kinds[last] = Stride.ONE if strides[last] == 1 and not single else Stride.ANY
    elif any(strides[first : last + 1]):
        inner = Stride.ANY if single else Stride.TWO if by_two and strides[last] == 2 else kinds[last]
        kinds[first : last + 1] = [*[Stride.ANY] * (last - first), inner]
    return tuple(kinds)
