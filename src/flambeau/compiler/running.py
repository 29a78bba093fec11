"""What runs along an axis: cumulative operations, positions of extrema, and truth of all or any.

A cumulative operation is an elementwise kernel whose first axis comes in order: each row reads what
the row before it wrote.  Where an extremum is takes two reductions: what it is, and the least
position that holds it (or NaN, which is greater and smaller than everything).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flambeau.compiler.kernel import AxisKind, Role
from flambeau.compiler.partition import POSITIONS
from flambeau.compiler.tasks import (
    NOWHERE,
    Body,
    Part,
    Place,
    Sources,
    Task,
    converted_task,
    pointwise,
    reduction_over,
)
from flambeau.compiler.views import View
from flambeau.dtypes import DType, bool_, float32, int64, uint8
from flambeau.graph.graph import Graph, Node

Fresh = Callable[[tuple[int, ...], DType], int]
_STEP = {
    "cumsum": "add",
    "cumprod": "mul",
    "cummax": "maximum",
    "cummin": "minimum",
    "cumlogsumexp": "logaddexp",
}
_NOWHERE_YET = (1 << 63) - 1


def whole_tasks(graph: Graph, node: Node, operands: Sequence[View], fresh: Fresh) -> list[Task]:
    """The kernels of a node; ``fresh(shape, dtype)`` is a new value."""
    name = node.primitive.name
    if name in ("reduce_all", "reduce_any"):
        return [_truth(graph, node, operands[0])]
    if name in POSITIONS:
        return _position(graph, node, operands[0], fresh)
    return _running(graph, node, operands, fresh)


# --- positions and truth ---------------------------------------------------------------------


def _position(graph: Graph, node: Node, x: View, fresh: Fresh) -> list[Task]:
    (out,) = node.outputs
    dtype = graph.types[node.inputs[0]].dtype
    axis = node.attrs["axis"]
    kept = tuple([n for i, n in enumerate(x.shape) if i != axis])
    ordered = uint8 if dtype is bool_ else dtype

    def read(body: Body, view: View) -> int:
        made = body.add("load", dtype, operand=body.operand(dtype, Role.IN, view))
        return made if ordered is dtype else body.add("cast", ordered, (made,))

    body = Body(graph, Sources({}, {}))
    best = body.add(
        "reduce_max" if node.primitive.name == "argmax" else "reduce_min", ordered, (read(body, x),)
    )
    extremum = fresh(kept, ordered)
    body.add("store", ordered, (best,), operand=body.operand(ordered, Role.OUT, extremum))
    tasks = [reduction_over(body, x.shape, (axis,), 1)]

    body = Body(graph, Sources({}, {}))
    one = read(body, x)
    dense = View.dense(extremum, kept)
    spread = View(extremum, x.shape, (*dense.strides[:axis], 0, *dense.strides[axis:]))
    held = body.add("load", ordered, operand=body.operand(ordered, Role.IN, spread))
    places = View(NOWHERE, x.shape, tuple([int(i == axis) for i in range(len(x.shape))]))
    place = body.add("index", int64, operand=body.operand(int64, Role.INDEX, places))
    hit = body.add("eq", bool_, (one, held))
    if dtype.floating:
        hit = body.add("bitwise_or", bool_, (hit, body.add("is_nan", bool_, (one,))))
    none = body.add("const", int64, number=_NOWHERE_YET)
    found = body.add("select", int64, (hit, place, none))
    wide = len(body.operands)
    least = body.add("reduce_min", int64, (found,))
    body.add("store", int64, (least,), operand=body.operand(int64, Role.OUT, out))
    return [*tasks, reduction_over(body, x.shape, (axis,), wide)]


def _truth(graph: Graph, node: Node, x: View) -> Task:
    body = Body(graph, Sources({}, {}))
    one = body.add("load", bool_, operand=body.operand(bool_, Role.IN, x))
    number = body.add("cast", uint8, (one,))
    op = "reduce_min" if node.primitive.name == "reduce_all" else "reduce_max"
    made = body.add("cast", bool_, (body.add(op, uint8, (number,)),))
    body.add("store", bool_, (made,), operand=body.operand(bool_, Role.OUT, node.outputs[0]))
    return reduction_over(body, x.shape, set(node.attrs["axes"]), 1)


# --- cumulative operations -------------------------------------------------------------------


def _running(graph: Graph, node: Node, operands: Sequence[View], fresh: Fresh) -> list[Task]:
    (out,) = node.outputs
    dtype = graph.types[out].dtype
    # Sums of 16-bit numbers are kept in float32; each result is rounded once.
    wide = float32 if dtype.floating and dtype.itemsize == 2 else dtype
    shape = operands[0].shape
    axis, n = node.attrs["axis"], shape[node.attrs["axis"]]
    value = out if wide is dtype else fresh(shape, wide)
    if 0 in shape:
        return []

    def along(view: View, start: int, count: int) -> View:
        """``count`` elements from the ``start``-th on in the order that they come, that axis first."""
        step = -view.strides[axis] if node.attrs["reverse"] else view.strides[axis]
        offset = view.offset + (n - 1) * view.strides[axis] if node.attrs["reverse"] else view.offset
        others = [i for i in range(len(shape)) if i != axis]
        sizes = (count, *[shape[i] for i in others])
        return View(view.base, sizes, (step, *[view.strides[i] for i in others]), offset + start * step)

    whole = View.dense(value, shape)

    def load(body: Body, view: View, of: DType) -> int:
        made = body.add("load", of, operand=body.operand(of, Role.IN, view))
        return made if of is wide else body.add("cast", wide, (made,))

    def store(body: Body, made: int, view: View) -> Task:
        place: Place = Part(view)
        body.add("store", wide, (made,), operand=body.operand(wide, Role.OUT, place))
        kinds = [AxisKind.SERIAL] + [AxisKind.GRID] * (len(shape) - 1)
        return pointwise(body, view.shape, kinds=kinds)

    body = Body(graph, Sources({}, {}))
    tasks = [store(body, load(body, along(operands[-1], 0, 1), dtype), along(whole, 0, 1))]
    if n > 1:
        body = Body(graph, Sources({}, {}))
        before = load(body, along(whole, 0, n - 1), wide)
        if node.primitive.name == "linear_recurrence":
            before = body.add("mul", wide, (load(body, along(operands[0], 1, n - 1), dtype), before))
            made = body.add("add", wide, (before, load(body, along(operands[1], 1, n - 1), dtype)))
        else:
            step = _STEP[node.primitive.name]
            made = body.add(step, wide, (before, load(body, along(operands[0], 1, n - 1), dtype)))
        tasks.append(store(body, made, along(whole, 1, n - 1)))
    if value != out:
        tasks.append(converted_task(graph, whole, wide, out, dtype))
    return tasks
