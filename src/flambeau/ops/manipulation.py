"""Shapes and places: nothing here computes, elements only change where they are."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.dtypes import int64
from flambeau.engine.convert import from_array
from flambeau.errors import OperandError, ShapeError
from flambeau.graph.builder import Var
from flambeau.ops.record import (
    Number,
    hashed,
    number,
    on,
    operand,
    record,
    record_all,
    record_mixed,
    refuse,
    tensors_of,
    to_dtype,
    value_of,
)
from flambeau.primitives import arranging, array_api, bits, splitting
from flambeau.primitives.elementwise import cast, harmonize_dtypes, mod, sub
from flambeau.primitives.indexing import concatenate, dynamic_slice
from flambeau.primitives.indexing import pad as pad_
from flambeau.primitives.sizes import size_value
from flambeau.primitives.views import broadcast_shapes, constant, normalize_axis, shape_text
from flambeau.primitives.views import broadcast_to as broadcast_to_
from flambeau.tensor import Tensor

# --- one tensor ------------------------------------------------------------------------------


def reshape(x: Tensor, /, shape: tuple[int, ...], *, copy: bool | None = None) -> Tensor:
    """The same elements in row-major order under another shape; one size may be -1.

    Tensors are values, so that ``copy`` makes no difference.

    >>> import flambeau as fb
    >>> fb.reshape(fb.arange(6), (2, -1))
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    return record(array_api.reshape, (hashed(shape),), x)


def flatten(x: Tensor, /, *, start_axis: int = 0, end_axis: int = -1) -> Tensor:
    """The axes from ``start_axis`` to ``end_axis`` (inclusive) as one.

    >>> import flambeau as fb
    >>> fb.flatten(fb.zeros((2, 3, 4)), start_axis=1).shape
    (2, 12)
    """
    return record(array_api.flatten, (start_axis, end_axis), x)


def expand_dims(x: Tensor, /, axis: int | tuple[int, ...]) -> Tensor:
    """New axes of size 1 at the places ``axis`` of the result.

    >>> import flambeau as fb
    >>> fb.expand_dims(fb.zeros((2, 3)), 0).shape
    (1, 2, 3)
    """
    return record(array_api.expand_dims, (hashed(axis),), x)


def squeeze(x: Tensor, /, axis: int | tuple[int, ...]) -> Tensor:
    """``x`` without the axes ``axis``, which must have size 1.

    >>> import flambeau as fb
    >>> fb.squeeze(fb.zeros((1, 3)), 0).shape
    (3,)
    """
    return record(array_api.squeeze, (hashed(axis),), x)


def permute_dims(x: Tensor, /, axes: tuple[int, ...]) -> Tensor:
    """``x`` with its axes in the order ``axes``.

    >>> import flambeau as fb
    >>> fb.permute_dims(fb.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    return record(array_api.permute_dims, (hashed(axes),), x)


def moveaxis(x: Tensor, source: int | tuple[int, ...], destination: int | tuple[int, ...], /) -> Tensor:
    """``x`` with the axes ``source`` moved to ``destination``, the others in order.

    >>> import flambeau as fb
    >>> fb.moveaxis(fb.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    return record(array_api.moveaxis, (hashed(source), hashed(destination)), x)


def flip(x: Tensor, /, *, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """``x`` with the order of its elements turned round along ``axis``, or all axes.

    >>> import flambeau as fb
    >>> fb.flip(fb.arange(3))
    tensor([2, 1, 0])
    """
    return record(array_api.flip, (hashed(axis),), x)


def _each_axis(axis: Any, ndim: int) -> list[int]:
    return [normalize_axis(a, ndim, "roll") for a in (axis if isinstance(axis, tuple) else (axis,))]


def _roll(x: Var, *rest: Any) -> Var:
    """Twice the tensor, one behind the other, and the part that begins where the shift says."""
    *shifts, axis = rest
    axes = (0,) if axis is None else _each_axis(axis, x.ndim)
    shape = x.shape
    x = array_api.flatten(x) if axis is None else x
    if len(shifts) == 1:
        shifts = shifts * len(axes)
    if len(shifts) != len(axes):
        raise ShapeError(f"roll: {len(shifts)} shifts for {len(axes)} axes")
    zero = constant(0, shifts[0].dtype)
    for shift, at in zip(shifts, axes, strict=True):
        n = x.shape[at]
        if n == 0:
            continue
        start = mod(sub(0, shift), n if isinstance(n, int) else size_value(n))
        twice = concatenate([x, x], at)
        starts = [start if i == at else zero for i in range(x.ndim)]
        x = dynamic_slice(twice, starts, x.shape)
    return array_api.reshape(x, shape)


def roll(x: Tensor, /, shift: int | tuple[int, ...], *, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """``x`` moved round by ``shift``: what leaves at one end of ``axis`` comes in at the other.

    Without ``axis`` the elements are rolled as one row.  The shift is a number of the program's
    run: another one compiles nothing.

    >>> import flambeau as fb
    >>> fb.roll(fb.arange(4), 1)
    tensor([3, 0, 1, 2])
    """
    shifts = shift if isinstance(shift, (tuple, list)) else (shift,)
    try:
        counts = [operator.index(s) for s in shifts]
    except TypeError:
        refuse(OperandError(f"roll: shifts must be integers, not {shift!r}"))
    values = [value_of(x, "roll"), *[number(n, int64, "roll") for n in counts]]
    return record_mixed(_roll, (hashed(axis),), values)


def repeat(x: Tensor, repeats: int | Tensor, /, *, axis: int | None = None) -> Tensor:
    """Each element ``repeats`` times in a row along ``axis`` (of the flattened tensor without it).

    With a tensor of counts, one for each element of the axis, those are looked at.

    >>> import flambeau as fb
    >>> fb.repeat(fb.asarray([1, 2]), 2), fb.repeat(fb.asarray([1, 2]), fb.asarray([1, 3]))
    (tensor([1, 1, 2, 2]), tensor([1, 2, 2, 2]))
    """
    if isinstance(repeats, (int, np.integer)):
        return record(array_api.repeat, (int(repeats), axis), x)
    counts = np.asarray(repeats.numpy() if isinstance(repeats, Tensor) else repeats)
    if counts.dtype.kind not in "iu" or counts.ndim > 1:
        refuse(OperandError("repeat: the counts must be an integer or a vector of integers"))
    if counts.size and counts.min() < 0:
        refuse(ShapeError("repeat: counts must not be negative"))
    if counts.size == 1:
        return record(array_api.repeat, (int(counts.reshape(())), axis), x)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    shape = value_of(x, "repeat").type.shape
    if not isinstance(axis, int) or not -len(shape) <= axis < len(shape):
        refuse(ShapeError(f"repeat: axis {axis} is out of range for a tensor with {len(shape)} axes"))
    size = shape[axis]
    if counts.size != size:
        refuse(ShapeError(f"repeat: {counts.size} counts for axis {axis} of size {size}"))
    index = Tensor(from_array(np.repeat(np.arange(counts.size), counts)))
    return record(array_api.take, (axis,), x, index)


def _tile(x: Var, repetitions: Any) -> Var:
    return arranging.tile(x, array_api.as_sizes(repetitions, "tile"))  # type: ignore[arg-type]


def tile(x: Tensor, repetitions: tuple[int, ...], /) -> Tensor:
    """``x`` as a tile, laid ``repetitions`` times along each axis, aligned at the right.

    >>> import flambeau as fb
    >>> fb.tile(fb.asarray([1, 2]), (2, 2))
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    return record(_tile, (hashed(repetitions),), x)


def broadcast_to(x: Tensor, /, shape: tuple[int, ...]) -> Tensor:
    """``x`` repeated to ``shape``, axes aligned at the right.

    >>> import flambeau as fb
    >>> fb.broadcast_to(fb.asarray([1, 2]), (2, 2))
    tensor([[1, 2],
            [1, 2]])
    """
    return record(array_api.broadcast, (hashed(shape),), x)


def _nested(widths: Any) -> Any:
    return tuple([_nested(w) for w in widths]) if isinstance(widths, (list, tuple)) else widths


def _widths(widths: Any, ndim: int) -> tuple[list[int], list[int]]:
    """How many elements come before and after each axis."""
    pairs = widths if isinstance(widths, tuple) else (widths, widths)
    if not any(isinstance(w, tuple) for w in pairs):
        pairs = (pairs,) * ndim
    if len(pairs) != ndim or any(not isinstance(p, tuple) or len(p) != 2 for p in pairs):
        raise ShapeError(f"pad: {widths} is no pair of widths for each of {ndim} axes")
    try:
        both = [(operator.index(low), operator.index(high)) for low, high in pairs]
    except TypeError:
        raise OperandError(f"pad: widths must be integers, not {widths}") from None
    return [low for low, _ in both], [high for _, high in both]


def _pad(x: Var, value: Var, widths: Any) -> Var:
    low, high = _widths(widths, x.ndim)
    return pad_(x, cast(value, x.dtype), low, high)


def pad(x: Tensor, widths: int | tuple[Any, ...], /, *, value: Number = 0) -> Tensor:
    """``x`` with ``value`` put around it.

    ``widths`` is a number of elements for every end, a pair ``(before, after)`` for every axis, or
    a pair for each axis.  Negative widths take elements away.

    >>> import flambeau as fb
    >>> fb.pad(fb.asarray([1, 2]), (1, 2))
    tensor([0, 1, 2, 0, 0])
    """
    own = value_of(x, "pad")
    return record_mixed(_pad, (_nested(widths),), [own, operand(value, own.type.dtype, "pad")])


def astype(x: Tensor, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """``x`` converted to ``dtype``; numbers that do not fit are undefined as in NumPy.

    >>> import flambeau as fb
    >>> fb.astype(fb.asarray([1.7, -1.7]), fb.int32)
    tensor([ 1, -1], dtype=int32)
    """
    on(device)
    target = to_dtype(dtype)
    if not copy and value_of(x, "astype").type.dtype is target:
        return x
    return record(cast, (target,), x)


def bitcast(x: Tensor, dtype: Any, /) -> Tensor:
    """The bits of ``x`` read as ``dtype``, which must be as wide.

    >>> import flambeau as fb
    >>> fb.bitcast(fb.asarray([1.0]), fb.int32)
    tensor([1065353216], dtype=int32)
    """
    return record(bits.bitcast, (to_dtype(dtype),), x)


# --- several tensors -------------------------------------------------------------------------


def broadcast_arrays(*arrays: Tensor) -> list[Tensor]:
    """Tensors repeated to their common shape.

    >>> import flambeau as fb
    >>> [x.shape for x in fb.broadcast_arrays(fb.zeros((2, 1)), fb.zeros(3))]
    [(2, 3), (2, 3)]
    """
    return list(record_all(_broadcast_arrays, (), *arrays)) if arrays else []


def _broadcast_arrays(*operands: Var) -> tuple[Var, ...]:
    shape = broadcast_shapes("broadcast_arrays", *[x.shape for x in operands])
    return tuple([broadcast_to_(x, shape) for x in operands])


def _concat(*operands: Any) -> Var:
    *tensors, axis = operands
    same = harmonize_dtypes("concat", *tensors)
    if axis is None:
        return concatenate([array_api.flatten(x) for x in same], 0)
    at = normalize_axis(axis, same[0].ndim, "concat")
    first = same[0].shape
    for x in same[1:]:
        if x.shape[:at] != first[:at] or x.shape[at + 1 :] != first[at + 1 :] or x.ndim != len(first):
            listed = f"{shape_text(first)} and {shape_text(x.shape)}"
            raise ShapeError(f"concat: shapes {listed} differ elsewhere than on axis {at}")
    return concatenate(same, at)


def concat(arrays: Sequence[Tensor], /, *, axis: int | None = 0) -> Tensor:
    """Tensors joined along ``axis``; without one they are flattened first.

    >>> import flambeau as fb
    >>> fb.concat([fb.arange(2), fb.arange(3)])
    tensor([0, 1, 0, 1, 2])
    """
    return record(_concat, (axis,), *tensors_of(arrays, "concat"))


def _stack(*operands: Any) -> Var:
    *tensors, axis = operands
    same = harmonize_dtypes("stack", *tensors)
    return arranging.stack(same, normalize_axis(axis, same[0].ndim + 1, "stack"))


def stack(arrays: Sequence[Tensor], /, *, axis: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis.

    >>> import flambeau as fb
    >>> fb.stack([fb.arange(2), fb.arange(2)])
    tensor([[0, 1],
            [0, 1]])
    """
    return record(_stack, (axis,), *tensors_of(arrays, "stack"))


def _unstack(x: Var, axis: int) -> tuple[Var, ...]:
    return arranging.unstack(x, normalize_axis(axis, x.ndim, "unstack"))


def unstack(x: Tensor, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices of ``x`` along ``axis``, which disappears.

    >>> import flambeau as fb
    >>> fb.unstack(fb.asarray([[1, 2], [3, 4]]))
    (tensor([1, 2]), tensor([3, 4]))
    """
    shape = value_of(x, "unstack").type.shape
    if -len(shape) <= axis < len(shape) and shape[axis] == 0:
        return ()
    return record_all(_unstack, (axis,), x)


def _split(x: Var, sizes: Any, axis: int) -> tuple[Var, ...]:
    at = normalize_axis(axis, x.ndim, "split")
    if isinstance(sizes, tuple):
        return splitting.split(x, sizes, at)
    return splitting.chunk(x, sizes, at)


def split(x: Tensor, sizes: int | tuple[int, ...], /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """Consecutive parts of ``x`` along ``axis``: of the given sizes, or of one size and the rest.

    >>> import flambeau as fb
    >>> fb.split(fb.arange(5), 2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    return record_all(_split, (hashed(sizes), axis), x)
