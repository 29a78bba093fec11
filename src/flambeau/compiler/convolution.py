"""Convolutions as contractions: the weight's rows times the windows of the input.

Rows are output channels, columns (example, position), the depth (channel, window position), in the
order in which the weight lies in memory.  So each result is one chain of fused multiply-adds over
the channels of its group and, for each, over the window in row-major order, with the zeros of the
padding and of an input dilation among them, in chunks of 4096.  Nothing but that order is defined
here: the input is padded once, and its windows are a strided view that nobody lays out as a matrix.
Both gradients are convolutions again; that of the weight has the examples and positions as depth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flambeau.compiler.kernel import AxisKind, Kernel, Operand, Role, Stride
from flambeau.compiler.partition import Group
from flambeau.compiler.tasks import Body, Part, Sources, Task, merged, stride_kinds
from flambeau.compiler.views import View
from flambeau.graph.graph import Graph

Pad = Callable[[View, Sequence[int], Sequence[int], Sequence[int]], View]


def convolution_task(
    graph: Graph,
    group: Group,
    sources: Sources,
    x: View,
    w: View,
    copy: Callable[[View], View],
    padded: Pad,
) -> Task:
    """The kernel of a convolution with its epilogue.

    ``copy(view)`` gives a dense view of the same elements, ``padded(view, low, high, interior)``
    one with zeros around and between them.
    """
    node = graph.nodes[group.root]
    attrs = node.attrs
    (out,) = node.outputs
    shape: tuple[int, ...] = graph.types[out].shape  # type: ignore[assignment]
    dtype = graph.types[out].dtype
    groups: int = attrs["groups"]
    x = _padded_input(x, attrs, padded)
    depth_axes = list(range(1, len(w.shape)))
    found = merged(w, [depth_axes])
    if found is None:
        w = copy(w)
        found = merged(w, [depth_axes])
        assert found is not None
    (a_step,) = found

    body = Body(graph, sources)
    a = body.add("load", dtype, operand=body.operand(dtype, Role.IN, w))
    b = body.add("load", dtype, operand=body.operand(dtype, Role.IN, x))
    body.values[out] = body.add("contract", dtype, (a, b))
    for i in group.nodes:
        if i != group.root:
            body.compute(graph.nodes[i])
    for v in group.outputs:
        body.store(v)

    batch = [groups] if groups != 1 else []
    rows = w.shape[0] // groups
    columns = [shape[0], *shape[2:]]
    depths = list(w.shape[1:])
    spatial = range(2, len(shape))

    def steps(row: int, of_columns: Sequence[int], of_depths: Sequence[int], channels: int) -> list[int]:
        return [*[channels] * len(batch), row, *of_columns, *of_depths]

    zeros, none = [0] * len(columns), [0] * len(depths)
    window = [x.strides[i] * attrs["strides"][i - 2] for i in spatial]
    within = [x.strides[i] * attrs["rhs_dilation"][i - 2] for i in spatial]
    inner = [1] * (len(depths) - 1)
    strides = [
        steps(w.strides[0], zeros, [*inner, a_step or 1], rows * w.strides[0]),
        steps(0, [x.strides[0], *window], [x.strides[1], *within], w.shape[1] * x.strides[1]),
    ]
    for _, _, place in body.operands[2:]:
        assert not isinstance(place, Part)
        own = place if isinstance(place, View) else View.dense(place, shape)
        of_columns = [own.strides[0], *[own.strides[i] for i in spatial]]
        strides.append(steps(own.strides[1], of_columns, none, rows * own.strides[1]))
    axes = [AxisKind.GRID] * (len(batch) + 1)
    axes += [AxisKind.VECTOR] * len(columns) + [AxisKind.REDUCE] * len(depths)
    last = len(batch) + len(columns)
    operands = [
        Operand(d, role, _kinds(number, own, last, columns[-1] == 1, len(depths)))
        for number, ((d, role, _), own) in enumerate(zip(body.operands, strides, strict=True))
    ]
    kernel = Kernel("contraction", tuple(axes), tuple(operands), tuple(body.instrs))
    sizes = (*batch, rows, *columns, *depths)
    return Task(kernel, sizes, tuple([tuple(s) for s in strides]), [place for _, _, place in body.operands])


def _padded_input(x: View, attrs: Mapping[str, Any], padded: Pad) -> View:
    low = [0, 0, *[a for a, _ in attrs["padding"]]]
    high = [0, 0, *[b for _, b in attrs["padding"]]]
    return padded(x, low, high, [0, 0, *[d - 1 for d in attrs["lhs_dilation"]]])


def _kinds(number: int, strides: Sequence[int], last: int, single: bool, depths: int) -> tuple[Stride, ...]:
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
        inner = Stride.ANY if single else kinds[last]
        kinds[first : last + 1] = [*[Stride.ANY] * (last - first), inner]
    return tuple(kinds)
