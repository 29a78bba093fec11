"""Reductions over sliding windows and their gradients: elementwise kernels over shifted views.

A small window is written out: one operand per element of the window, all views of the same padded
input, combined in row-major order.  A larger one is a reduction over the axes of the window.

The gradient of a maximum first finds which element of each window was chosen, the first of equals
(or the first NaN), as a number within the window.  Then every element of the input adds up, in
row-major order of the windows, the gradients of those that chose it.  Elements whose position has
the same remainder by the stride lie in windows of the same kind, so each such class is a kernel.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from flambeau.compiler.groups import Group
from flambeau.compiler.kernel import AxisKind, Role
from flambeau.compiler.moving import Box, fill_tasks
from flambeau.compiler.partition import WRITTEN_OUT
from flambeau.compiler.reduction_writer import identity
from flambeau.compiler.tasks import NOWHERE, Body, Part, Sources, Task, converted_task, finish, pointwise
from flambeau.compiler.views import View, collapse, dense_strides
from flambeau.dtypes import DType, bool_, float32, int64, uint8
from flambeau.graph.graph import Graph, Node

Fresh = Callable[[tuple[int, ...], DType], int]
Pad = Callable[..., View]
_NOWHERE_YET = (1 << 63) - 1
NONE = 255  # the number that stands for no element of a window
_COMBINE = {"sum": "add", "max": "maximum", "min": "minimum"}


def window_tasks(
    graph: Graph, group: Group, sources: Sources, operands: Sequence[View], fresh: Fresh, padded: Pad
) -> list[Task]:
    """The kernels of a ``reduce_window``, with its epilogue, or of a ``select_and_scatter``.

    ``fresh(shape, dtype)`` is a new value, ``padded(view, low, high, interior, number)`` a view with
    a number around its elements.
    """
    node = graph.nodes[group.root]
    if node.primitive.name == "reduce_window":
        return [_reduced(graph, group, sources, operands[0], padded)]
    if node.primitive.name == "window_argext":
        return position_tasks(graph, node, operands[0], node.outputs[0], fresh, padded)
    if math.prod(node.attrs["window"]) > WRITTEN_OUT:
        return _scattered_at(graph, node, operands[0], operands[1], fresh, padded)
    return _scattered(graph, node, sources, operands[0], operands[1], fresh, padded)


def _reduced(graph: Graph, group: Group, sources: Sources, x: View, padded: Pad) -> Task:
    node = graph.nodes[group.root]
    (out,) = node.outputs
    shape: tuple[int, ...] = graph.types[out].shape  # type: ignore[assignment]
    dtype = graph.types[out].dtype
    kind = node.attrs["kind"]
    x = _padded(x, node, dtype, padded)
    small = math.prod(node.attrs["window"]) <= WRITTEN_OUT
    body = Body(graph, sources)
    if small:
        wide = float32 if dtype.floating and dtype.itemsize == 2 else dtype
        total = -1
        for view in _shifted(x, node, shape):
            one = body.add("load", dtype, operand=body.operand(dtype, Role.IN, view))
            one = one if wide is dtype else body.add("cast", wide, (one,))
            total = one if total < 0 else body.add(_COMBINE[kind], wide, (total, one))
        body.values[out] = total if wide is dtype else body.add("cast", dtype, (total,))
    else:
        view = _windows(x, node, shape)
        one = body.add("load", dtype, operand=body.operand(dtype, Role.IN, view))
        body.values[out] = body.add(f"reduce_{kind}", dtype, (one,))
    for i in group.nodes:
        if i != group.root:
            body.compute(graph.nodes[i])
    for v in group.outputs:
        body.store(v)
    return pointwise(body, shape, by_two=True) if small else _reduction(body, shape, node)


def _padded(x: View, node: Node, dtype: DType, padded: Pad) -> View:
    low = [a for a, _ in node.attrs["padding"]]
    high = [b for _, b in node.attrs["padding"]]
    kind = node.attrs["kind"]
    return padded(x, low, high, [0] * len(low), identity(dtype, f"reduce_{kind}"))


def _shifted(x: View, node: Node, shape: tuple[int, ...]) -> list[View]:
    """One view of the padded input per element of the window: that of all windows."""
    attrs = node.attrs
    strides = tuple([s * step for s, step in zip(x.strides, attrs["strides"], strict=True)])
    within = [s * d for s, d in zip(x.strides, attrs["dilation"], strict=True)]
    return [
        View(x.base, shape, strides, x.offset + sum(i * s for i, s in zip(at, within, strict=True)))
        for at in itertools.product(*map(range, attrs["window"]))
    ]


def _windows(x: View, node: Node, shape: tuple[int, ...]) -> View:
    """The view (*out, *window) of all windows of the padded input."""
    attrs = node.attrs
    strides = [s * step for s, step in zip(x.strides, attrs["strides"], strict=True)]
    within = [s * d for s, d in zip(x.strides, attrs["dilation"], strict=True)]
    return View(x.base, (*shape, *attrs["window"]), (*strides, *within), x.offset)


def _reduction(body: Body, shape: tuple[int, ...], node: Node, wide: int = 1) -> Task:
    """A reduction over the window, whose axes lie before the innermost one of the result.

    The first ``wide`` operands have the axes of the result and of the window, others those of the result.
    """
    window = node.attrs["window"]
    ndim = len(shape)
    none = (0,) * ndim
    strides = []
    for number, (_, _, place) in enumerate(body.operands):
        assert not isinstance(place, Part)
        own = place.strides if isinstance(place, View) else dense_strides(shape)
        strides.append(own if number < wide else (*own, *none))
    order = [*range(ndim - 1), *range(ndim, 2 * ndim), ndim - 1]
    sizes = [(*shape, *window)[i] for i in order]
    labels = [int(i >= ndim) for i in order]
    sizes, steps, groups = collapse(sizes, [[s[i] for i in order] for s in strides], labels)
    kinds = [AxisKind.REDUCE if labels[g[0]] else AxisKind.GRID for g in groups]
    if AxisKind.REDUCE not in kinds:  # a window of one element
        sizes.insert(0, 1)
        kinds.insert(0, AxisKind.REDUCE)
        for s in steps:
            s.insert(0, 0)
    if kinds[-1] is AxisKind.REDUCE:
        # One column is a column all the same: its bits may not depend on how many there are.
        sizes.append(1)
        kinds.append(AxisKind.GRID)
        for s in steps:
            s.append(1)
    kinds[-1] = AxisKind.VECTOR
    return finish("reduction", body, kinds, sizes, steps, (len(sizes) - 1,))


# --- where the extremum of a large window is -------------------------------------------------


def position_tasks(graph: Graph, node: Node, x: View, out: int, fresh: Fresh, padded: Pad) -> list[Task]:
    """Two reductions: the extremum, and the first place in ``x`` that holds it (or NaN), -1 for none."""
    attrs = node.attrs
    dtype = graph.types[node.inputs[0]].dtype
    plain = View.dense(x.base, x.shape)
    source = _padded(x, node, dtype, padded)
    shape = tuple(
        [
            max(0, (n - (k - 1) * d - 1) // s + 1)
            for n, k, d, s in zip(
                source.shape, attrs["window"], attrs["dilation"], attrs["strides"], strict=True
            )
        ]
    )
    every = _windows(source, node, shape)
    op = f"reduce_{attrs['kind']}"
    body = Body(graph, Sources({}, {}))
    one = body.add("load", dtype, operand=body.operand(dtype, Role.IN, every))
    best = fresh(shape, dtype)
    made = body.add(op, dtype, (one,))
    body.add("store", dtype, (made,), operand=body.operand(dtype, Role.OUT, best))
    tasks = [_reduction(body, shape, node)]

    body = Body(graph, Sources({}, {}))
    one = body.add("load", dtype, operand=body.operand(dtype, Role.IN, every))
    start = -sum(a * s for (a, _), s in zip(attrs["padding"], plain.strides, strict=True))
    places = _windows(View(NOWHERE, source.shape, plain.strides, start), node, shape)
    place = body.add("index", int64, operand=body.operand(int64, Role.INDEX, places))
    dense = dense_strides(shape)
    spread = View(best, (*shape, *attrs["window"]), (*dense, *[0] * len(dense)))
    held = body.add("load", dtype, operand=body.operand(dtype, Role.IN, spread))
    hit = body.add("eq", bool_, (one, held))
    if dtype.floating:
        hit = body.add("bitwise_or", bool_, (hit, body.add("is_nan", bool_, (one,))))
    if any(a or b for a, b in attrs["padding"]):
        made_real, mask = _real(graph, x.shape, attrs["padding"], fresh)
        tasks = [*made_real, *tasks]
        real = body.operand(bool_, Role.IN, _windows(mask, node, shape))
        hit = body.add("bitwise_and", bool_, (hit, body.add("load", bool_, operand=real)))
    nowhere = body.add("const", int64, number=_NOWHERE_YET)
    wide = len(body.operands)
    least = body.add("reduce_min", int64, (body.add("select", int64, (hit, place, nowhere)),))
    none = body.add("eq", bool_, (least, nowhere))
    found = body.add("select", int64, (none, body.add("const", int64, number=-1), least))
    body.add("store", int64, (found,), operand=body.operand(int64, Role.OUT, out))
    return [*tasks, _reduction(body, shape, node, wide)]


def _scattered_at(graph: Graph, node: Node, x: View, g: View, fresh: Fresh, padded: Pad) -> list[Task]:
    """The gradient of a maximum over large windows: one after the other is added where its extremum is."""
    (out,) = node.outputs
    dtype = graph.types[out].dtype
    wide = float32 if dtype.floating and dtype.itemsize == 2 else dtype
    shape = g.shape
    if 0 in shape or 0 in x.shape:
        return fill_tasks(graph, dtype, 0, [View.dense(out, x.shape)])
    positions = View.dense(fresh(shape, int64), shape)
    tasks = position_tasks(graph, node, x, positions.base, fresh, padded)
    whole = View.dense(out if wide is dtype else fresh(x.shape, wide), x.shape)
    tasks += fill_tasks(graph, wide, 0, [whole])
    own = View(whole.base, shape, (0,) * len(shape))
    body = Body(graph, Sources({}, {}))
    place = body.add("load", int64, operand=body.operand(int64, Role.IN, positions))
    zero = body.add("const", int64, number=0)
    some = body.add("ge", bool_, (place, zero))
    at = body.add("maximum", int64, (place, zero))
    one = body.add("load", dtype, operand=body.operand(dtype, Role.IN, g))
    one = one if wide is dtype else body.add("cast", wide, (one,))
    nothing = body.add("const", wide, number=0.0 if dtype.floating else 0)
    before = body.add("load_at", wide, (at,), operand=body.operand(wide, Role.IN, own))
    total = body.add("add", wide, (before, body.add("select", wide, (some, one, nothing))))
    body.add("store_at", wide, (total, at), operand=body.operand(wide, Role.OUT, Part(own)))
    tasks.append(pointwise(body, shape, kinds=[AxisKind.SERIAL] * len(shape)))
    if wide is not dtype:
        tasks.append(converted_task(graph, whole, wide, out, dtype))
    return tasks


# --- the gradient of max and min -------------------------------------------------------------


def _scattered(
    graph: Graph, node: Node, sources: Sources, x: View, g: View, fresh: Fresh, padded: Pad
) -> list[Task]:
    attrs = node.attrs
    (out,) = node.outputs
    shape, windows = x.shape, g.shape
    dtype = graph.types[out].dtype
    whole = sources.views.get(out) or View.dense(out, shape)
    if _side_by_side(node, shape, windows):
        elements, places = _shifted(x, node, windows), _shifted(whole, node, windows)
        return [_dealt(graph, elements, g, places, dtype, attrs["kind"])]
    per_axis = (attrs[name] for name in ("window", "strides", "dilation", "padding"))
    axes = [_classes(*of_axis) for of_axis in zip(shape, *per_axis, strict=True)]
    low = [max(0, *(-t.first - s for t in own for _, s in t.terms), 0) for own in axes]
    high = [
        max(0, *(t.first + t.count + s - m for t in own for _, s in t.terms if t.count), 0)
        for own, m in zip(axes, windows, strict=True)
    ]
    codes_shape = tuple([a + m + b for m, a, b in zip(windows, low, high, strict=True)])
    codes = View.dense(fresh(codes_shape, uint8), codes_shape).in_order_of(x)
    box = Box.of(windows, codes_shape, low, [0] * len(low))
    tasks = fill_tasks(graph, uint8, NONE, box.outside(codes))
    source = _padded(x, node, dtype, padded)
    elements = _shifted(source, node, windows)
    real: list[View] = []
    if any(a or b for a, b in attrs["padding"]):
        tasks_of_real, mask = _real(graph, shape, attrs["padding"], fresh)
        tasks += tasks_of_real
        real = _shifted(mask, node, windows)
    tasks.append(_codes(graph, elements, real, dtype, attrs["kind"], box.inside(codes)))
    spread = padded(g, low, high, [0] * len(low), 0)
    for classes in itertools.product(*axes):
        if all(c.count for c in classes):
            tasks.append(_gathered(graph, classes, codes, spread, dtype, whole, attrs["window"], low))
    return tasks


class _Class:
    """The elements of an axis whose padded position leaves one remainder by the stride.

    They are ``count`` elements from ``start`` on; the first of them is the ``first`` of its kind in
    the padded input.  ``terms`` say which elements of a window may lie on them, and how many
    windows after the one of the same number that window is.
    """

    def __init__(self, start: int, count: int, step: int, first: int, terms: list[tuple[int, int]]) -> None:
        self.start, self.count, self.step, self.first, self.terms = start, count, step, first, terms


def _classes(n: int, extent: int, stride: int, dilation: int, padding: tuple[int, int]) -> list[_Class]:
    low, _ = padding
    found = []
    for rest in range(stride):
        first = max(0, -((rest - low) // stride))  # the first such position that is not padding
        start = first * stride + rest - low
        count = max(0, -((start - n) // stride))
        terms = [
            (i, (rest - i * dilation) // stride) for i in range(extent) if (rest - i * dilation) % stride == 0
        ]
        found.append(_Class(start, count, stride, first, sorted(terms, key=lambda term: term[1])))
    return found


def _real(
    graph: Graph,
    shape: tuple[int, ...],
    padding: Sequence[tuple[int, int]],
    fresh: Fresh,
) -> tuple[list[Task], View]:
    """A mask of the padded input that is true where it is no padding; it is as small as can be."""
    sizes = [n if a or b else 1 for n, (a, b) in zip(shape, padding, strict=True)]
    around = tuple([n + a + b for n, (a, b) in zip(sizes, padding, strict=True)])
    whole = View.dense(fresh(around, bool_), around)
    box = Box.of(sizes, around, [a for a, _ in padding], [0] * len(sizes))
    tasks = fill_tasks(graph, bool_, False, box.outside(whole))
    tasks += fill_tasks(graph, bool_, True, [box.inside(whole)])
    steps = [s if a or b else 0 for s, (a, b) in zip(whole.strides, padding, strict=True)]
    return tasks, View(whole.base, around, tuple(steps))


def _side_by_side(node: Node, shape: Sequence[int], windows: Sequence[int]) -> bool:
    """Whether each element is in one window, the one that its place divided by the stride says."""
    names = ("window", "strides", "dilation", "padding")
    axes = zip(shape, windows, *[node.attrs[name] for name in names], strict=True)
    return all(
        m * k == n and k == s and (d == 1 or k == 1) and (a, b) == (0, 0) for n, m, k, s, d, (a, b) in axes
    )


def _dealt(
    graph: Graph, elements: Sequence[View], g: View, places: Sequence[View], dtype: DType, kind: str
) -> Task:
    """Windows that lie side by side: one kernel finds each one's extremum and writes all its elements."""
    body = Body(graph, Sources({}, {}))
    code = _extremum(body, elements, [], dtype, kind)
    one = body.add("load", dtype, operand=body.operand(dtype, Role.IN, g))
    zero = body.add("const", dtype, number=0.0 if dtype.floating else 0)
    for number, place in enumerate(places):
        chosen = body.add("eq", bool_, (code, body.add("const", uint8, number=number)))
        made = body.add("select", dtype, (chosen, one, zero))
        body.add("store", dtype, (made,), operand=body.operand(dtype, Role.OUT, Part(place)))
    return pointwise(body, g.shape, by_two=True)


def _codes(
    graph: Graph, elements: Sequence[View], real: Sequence[View], dtype: DType, kind: str, place: View
) -> Task:
    """Which element of each window is its extremum; those that are not ``real`` are none."""
    body = Body(graph, Sources({}, {}))
    code = _extremum(body, elements, real, dtype, kind)
    body.add("store", uint8, (code,), operand=body.operand(uint8, Role.OUT, Part(place)))
    return pointwise(body, place.shape, by_two=True)


def _extremum(body: Body, elements: Sequence[View], real: Sequence[View], dtype: DType, kind: str) -> int:
    """The number of a window's element that is its extremum."""

    def load(view: View, of: DType) -> int:
        return body.add("load", of, operand=body.operand(of, Role.IN, view))

    def both(op: str, a: int, b: int) -> int:
        return body.add(op, bool_, (a, b))

    better = "gt" if kind == "max" else "lt"
    none = body.add("const", uint8, number=NONE)
    best = code = -1
    for number, view in enumerate(elements):
        one = load(view, dtype)
        own = body.add("const", uint8, number=number)
        if number == 0:
            best = one
            code = body.add("select", uint8, (load(real[0], bool_), own, none)) if real else own
            continue
        wins = both(better, one, best)
        if dtype.floating:  # the first NaN wins, and keeps its place: nothing is greater
            number_before = body.add("bitwise_not", bool_, (body.add("is_nan", bool_, (best,)),))
            wins = both(
                "bitwise_or", wins, both("bitwise_and", body.add("is_nan", bool_, (one,)), number_before)
            )
        if real:
            wins = both("bitwise_or", wins, body.add("eq", bool_, (code, none)))
            wins = both("bitwise_and", wins, load(real[number], bool_))
        best = body.add("select", dtype, (wins, one, best))
        code = body.add("select", uint8, (wins, own, code))
    return code


def _gathered(
    graph: Graph,
    classes: Sequence[_Class],
    codes: View,
    source: View,
    dtype: DType,
    whole: View,
    window: Sequence[int],
    low: Sequence[int],
) -> Task:
    """The sums of the gradients that reach the elements of one class."""
    body = Body(graph, Sources({}, {}))
    wide = float32 if dtype.floating and dtype.itemsize == 2 else dtype
    shape = tuple([c.count for c in classes])
    zero = body.add("const", wide, number=0.0 if dtype.floating else 0)
    total = -1
    numbers = dense_strides(window)
    terms = sorted(itertools.product(*[c.terms for c in classes]), key=lambda term: [s for _, s in term])
    for term in terms:
        at = [c.first + s + a for c, (_, s), a in zip(classes, term, low, strict=True)]

        def load(view: View, of: DType, at: Sequence[int] = at) -> int:
            offset = view.offset + sum(i * s for i, s in zip(at, view.strides, strict=True))
            own = View(view.base, shape, view.strides, offset)
            return body.add("load", of, operand=body.operand(of, Role.IN, own))

        number = sum(i * step for (i, _), step in zip(term, numbers, strict=True))
        chosen = body.add("eq", bool_, (load(codes, uint8), body.add("const", uint8, number=number)))
        one = load(source, dtype)
        one = one if wide is dtype else body.add("cast", wide, (one,))
        one = body.add("select", wide, (chosen, one, zero))
        total = one if total < 0 else body.add("add", wide, (total, one))
    total = zero if total < 0 else total
    total = total if wide is dtype else body.add("cast", dtype, (total,))
    steps = [c.step if c.count > 1 else 1 for c in classes]
    place = Box([0] * len(shape), list(shape), [c.start for c in classes], steps, True).inside(whole)
    body.add("store", dtype, (total,), operand=body.operand(dtype, Role.OUT, Part(place)))
    return pointwise(body, shape, by_two=True)
