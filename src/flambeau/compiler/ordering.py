"""Tasks that order and search: a sort is a kernel of its own, a search halves its way in small kernels."""

from __future__ import annotations

from collections.abc import Sequence

from flambeau.compiler.kernel import AxisKind, Role
from flambeau.compiler.tasks import NOWHERE, Body, Part, Place, Sources, Task, finish, pointwise, strides_of
from flambeau.compiler.views import View, collapse
from flambeau.dtypes import DType, bool_, int64
from flambeau.graph.graph import Graph, Node


def order_tasks(graph: Graph, node: Node, operands: Sequence[View], wanted: set[int]) -> list[Task]:
    """The kernels of a ``sort``, of whose outputs some are ``wanted``, or of a ``searchsorted``."""
    if node.primitive.name == "sort":
        return _sorted(graph, node, operands[0], wanted)
    return _found(graph, node, *operands)


def _sorted(graph: Graph, node: Node, x: View, wanted: set[int]) -> list[Task]:
    dtype = graph.types[node.inputs[0]].dtype
    down = "_down" if node.attrs["descending"] else ""
    axis = node.attrs["axis"]
    body = Body(graph, Sources({}, {}))
    one = body.add("load", dtype, operand=body.operand(dtype, Role.IN, x))
    for v, op, of in zip(node.outputs, ("sorted", "order"), (dtype, int64), strict=True):
        if v in wanted:
            made = body.add(op + down, of, (one,))
            body.add("store", of, (made,), operand=body.operand(of, Role.OUT, v))
    if len(body.operands) == 1 or 0 in x.shape:
        return []
    order = [*[i for i in range(len(x.shape)) if i != axis], axis]
    strides = [strides_of(place, x.shape) for _, _, place in body.operands]
    outer = order[:-1]
    sizes, steps, _ = collapse([x.shape[i] for i in outer], [[s[i] for i in outer] for s in strides])
    steps = [[*own, s[axis]] for own, s in zip(steps, strides, strict=True)]
    axes = [AxisKind.GRID] * len(sizes) + [AxisKind.SERIAL]
    return [finish("sort", body, axes, [*sizes, x.shape[axis]], steps, (len(sizes),))]


def _found(graph: Graph, node: Node, table: View, values: View) -> list[Task]:
    """A place grows by powers of two, from the largest on, while what lies before it comes first."""
    (out,) = node.outputs
    dtype = graph.types[node.inputs[0]].dtype
    shape, n = values.shape, table.shape[-1]
    whole = View.dense(out, shape)
    body = Body(graph, Sources({}, {}))
    zero = body.add("const", int64, number=0)
    body.add("store", int64, (zero,), operand=body.operand(int64, Role.OUT, out))
    tasks = [pointwise(body, shape)]
    lead = len(table.shape) - 1
    rows = View(table.base, shape, (*table.strides[:lead], *[0] * (len(shape) - lead)), table.offset)
    for bit in reversed(range(n.bit_length())):
        body = Body(graph, Sources({}, {}))

        def number(value: int, body: Body = body) -> int:
            place: Place = View(NOWHERE, shape, (0,) * len(shape), value)
            return body.add("index", int64, operand=body.operand(int64, Role.INDEX, place))

        before = body.add("load", int64, operand=body.operand(int64, Role.IN, whole))
        further = body.add("add", int64, (before, number(1 << bit)))
        size = number(n)
        last = body.add("sub", int64, (body.add("minimum", int64, (further, size)), number(1)))
        at = body.add("mul", int64, (last, number(table.strides[-1])))
        there = body.add("load_at", dtype, (at,), operand=body.operand(dtype, Role.IN, rows))
        one = body.add("load", dtype, operand=body.operand(dtype, Role.IN, values))
        if node.attrs["side"] == "left":
            first = _less(body, dtype, there, one)
        else:
            first = body.add("bitwise_not", bool_, (_less(body, dtype, one, there),))
        inside = body.add("le", bool_, (further, size))
        moves = body.add("bitwise_and", bool_, (inside, first))
        made = body.add("select", int64, (moves, further, before))
        body.add("store", int64, (made,), operand=body.operand(int64, Role.OUT, Part(whole)))
        tasks.append(pointwise(body, shape))
    return [] if 0 in shape else tasks


def _less(body: Body, dtype: DType, a: int, b: int) -> int:
    """Whether one element is less than another; NaN is greater than all numbers."""
    less = body.add("lt", bool_, (a, b))
    if not dtype.floating:
        return less
    number = body.add("eq", bool_, (a, a))
    nan = body.add("bitwise_and", bool_, (number, body.add("is_nan", bool_, (b,))))
    return body.add("bitwise_or", bool_, (less, nan))
