"""Indexing: from what stands in ``x[...]`` to a builder, its attributes and operands.

Integers and slice starts become numbers read at run time, so ``x[i:i+n]`` compiles once for all
``i``; only lengths, steps and axes are part of the program.  Indices that are out of range are
refused here, when the line is executed.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.dtypes import bool_, int64
from flambeau.engine.convert import from_array, to_numpy
from flambeau.engine.tape import THREAD, Value
from flambeau.errors import OperandError, OutOfBoundsError, ShapeError, located
from flambeau.graph.builder import Var
from flambeau.graph.types import Size
from flambeau.graph.where import caller
from flambeau.primitives.advanced import masked_fill, put_axes, take_axes
from flambeau.primitives.elementwise import add, cast, mul
from flambeau.primitives.indexing import dynamic_slice, dynamic_update_slice, reverse, slice_
from flambeau.primitives.views import broadcast, broadcast_to, constant, iota, reshape, shape_text

Recorded = tuple[Any, tuple[Any, ...], list[Any]]


def _refuse(error: Any) -> Any:
    return located(error, str(caller(THREAD.tape.layer)))


class _Key:
    """An index key, axis by axis: what is sliced, dropped, added, and selected by tensors."""

    def __init__(self, shape: Sequence[Size], key: Any) -> None:
        items = list(key) if isinstance(key, tuple) else [key]
        items = [_as_item(i) for i in items]
        used = sum(_axes_taken(i) for i in items)
        if used > len(shape):
            raise _refuse(
                OutOfBoundsError(f"too many indices: {used} for a tensor of shape {shape_text(shape)}")
            )
        dots = [n for n, i in enumerate(items) if i is Ellipsis]
        if len(dots) > 1:
            raise _refuse(OutOfBoundsError("an index may hold only one ellipsis"))
        at = dots[0] if dots else len(items)
        items[at : at + 1 if dots else at] = [slice(None)] * (len(shape) - used)

        self.starts: list[int] = []  # run-time numbers, one for each axis in `axes`
        self.axes: list[tuple[int, Size, int]] = []  # (axis, length, step)
        self.dropped: list[int] = []
        self.added: list[int] = []  # positions of new axes among the kept and new ones
        self.advanced: list[tuple[int, Any]] = []  # (axis of the sliced tensor, index value)
        has_tensor = any(isinstance(i, Value) for i in items)
        axis = out = 0
        for item in items:
            if item is None:
                self.added.append(out)
                out += 1
            elif isinstance(item, slice):
                self._slice(shape, axis, item)
                axis += 1
                out += 1
            elif isinstance(item, int):
                index = _checked(item, shape, axis)
                if has_tensor:
                    self.advanced.append((out, index))
                    out += 1
                else:
                    self.starts.append(index)
                    self.axes.append((axis, 1, 1))
                    self.dropped.append(axis)
                axis += 1
            elif item.type.dtype is bool_ and item.type.ndim == 0:
                self.added.append(out)  # a single truth takes all or nothing, along a new axis
                self.advanced.append((out, from_array(np.zeros(int(to_numpy(item)), np.int64))))
                out += 1
            else:
                for part in _expand_mask(item, shape, axis):
                    self.advanced.append((out, part))
                    axis += 1
                    out += 1

    def _slice(self, shape: Sequence[Size], axis: int, item: slice) -> None:
        size = shape[axis]
        if item == slice(None):
            return
        if not isinstance(size, int):
            raise _refuse(ShapeError(f"axis {axis} has the symbolic size {size}: it can only be taken whole"))
        try:
            start, stop, step = item.indices(size)
        except (TypeError, ValueError) as error:
            raise _refuse(OperandError(f"slice: {error}")) from None
        length = len(range(start, stop, step))
        if length == size and step == 1:
            return
        if length < 2:
            step = 1  # nothing is stepped over, and the step may be beyond any size
        lowest = start if step > 0 else start + (length - 1) * step
        self.starts.append(lowest if length else 0)
        self.axes.append((axis, length, step))

    @property
    def basic(self) -> tuple[Any, ...]:
        return (tuple(self.axes), tuple(self.dropped), tuple(self.added))

    def numbers(self) -> list[Any]:
        return [(s, int64) for s in self.starts]


def _as_item(item: Any) -> Any:
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    if isinstance(item, Value):
        if item.type.dtype.kind not in ("int", "uint", "bool"):
            raise _refuse(
                OutOfBoundsError(
                    f"a {item.type.dtype} tensor cannot be an index: integers or bool are needed"
                )
            )
        return item
    if isinstance(item, (bool, np.bool_)):
        return from_array(np.asarray(item))
    if isinstance(item, (list, np.ndarray)):
        try:
            array = np.asarray(item)
        except ValueError:
            raise _refuse(OutOfBoundsError(f"index: the nested list {item!r:.60} is ragged")) from None
        if array.size == 0 and array.dtype.kind == "f":
            array = array.astype(np.int64)
        if array.dtype.kind not in "iub":
            raise _refuse(OutOfBoundsError(f"an index must hold integers or bool, not {array.dtype}"))
        return from_array(array)
    try:
        return operator.index(item)
    except TypeError:
        raise _refuse(
            OutOfBoundsError(f"{item!r} of type {type(item).__name__} cannot be an index")
        ) from None


def _axes_taken(item: Any) -> int:
    if item is None or item is Ellipsis:
        return 0
    if isinstance(item, Value) and item.type.dtype is bool_:
        return item.type.ndim
    return 1


def _checked(index: int, shape: Sequence[Size], axis: int) -> int:
    size = shape[axis]
    if not isinstance(size, int):
        raise _refuse(ShapeError(f"axis {axis} has the symbolic size {size}: its elements cannot be indexed"))
    if not -size <= index < size:
        raise _refuse(OutOfBoundsError(f"index {index} is out of range for axis {axis} of size {size}"))
    return index % size


def _expand_mask(item: Value, shape: Sequence[Size], axis: int) -> list[Any]:
    """A bool tensor as the integer indices of its true elements, one tensor per axis."""
    if item.type.dtype is not bool_:
        return [item]
    taken = tuple(shape[axis : axis + item.type.ndim])
    # an axis of size 0 has no true elements, so it fits axes of any size
    fits = item.type.ndim <= len(taken) and all(
        k in (n, 0) for k, n in zip(item.type.shape, taken, strict=True)
    )
    if not fits:
        raise _refuse(
            OutOfBoundsError(
                f"a bool index of shape {shape_text(item.type.shape)} does not fit the axes of shape "
                f"{shape_text(taken)} it selects from"
            )
        )
    return [from_array(i) for i in np.nonzero(to_numpy(item))]


# --- builders --------------------------------------------------------------------------------


def _window(x: Var, starts: Sequence[Var], axes: Any) -> tuple[list[Var], list[Size]]:
    """Per axis the start and the extent of what is sliced."""
    zero = constant(0, int64)
    every: list[Var] = [zero] * x.ndim
    extents = list(x.shape)
    for (axis, length, step), start in zip(axes, starts, strict=True):
        every[axis] = start
        extents[axis] = (length - 1) * abs(step) + 1 if length else 0
    return every, extents


def _sliced(x: Var, starts: Sequence[Var], axes: Any) -> Var:
    if not axes:
        return x
    every, extents = _window(x, starts, axes)
    y = dynamic_slice(x, every, extents)
    steps = [1] * x.ndim
    for axis, _, step in axes:
        steps[axis] = abs(step)
    if any(s != 1 for s in steps):
        y = slice_(y, [0] * x.ndim, y.shape, steps)
    back = [axis for axis, _, step in axes if step < 0]
    return reverse(y, back) if back else y


def _result_shape(shape: Sequence[Size], dropped: Sequence[int], added: Sequence[int]) -> tuple[Size, ...]:
    out = [n for i, n in enumerate(shape) if i not in dropped]
    for position in added:
        out.insert(position, 1)
    return tuple(out)


def basic_select(x: Var, *rest: Any) -> Var:
    """``x[...]`` of integers, slices, new axes."""
    *starts, axes, dropped, added = rest
    y = _sliced(x, starts, axes)
    return reshape(y, _result_shape(y.shape, dropped, added))


def basic_update(x: Var, value: Var, *rest: Any) -> Var:
    """``x[...] = value`` for integers, slices, new axes."""
    *starts, axes, dropped, added = rest
    lengths = {axis: length for axis, length, _ in axes}
    region = [lengths.get(i, n) for i, n in enumerate(x.shape)]
    value = broadcast_to(cast(value, x.dtype), _result_shape(region, dropped, added), "x[...] = value")
    value = reshape(value, tuple(region))
    back = [axis for axis, _, step in axes if step < 0]
    if back:
        value = reverse(value, back)
    if all(abs(step) == 1 for _, _, step in axes):
        every, _ = _window(x, starts, axes)
        return dynamic_update_slice(x, value, every)
    index: list[Var] = []
    at = dict(zip([a for a, _, _ in axes], starts, strict=True))
    for axis, n in enumerate(region):
        counted = iota((n,), 0, int64)
        step = next((abs(s) for a, _, s in axes if a == axis), 1)
        if axis in at:
            counted = add(mul(counted, step), at[axis])
        index.append(broadcast(counted, tuple(region), (axis,)))
    return put_axes(x, tuple(range(x.ndim)), index, value)


def advanced_select(x: Var, *rest: Any) -> Var:
    """``x[...]`` with integer tensors among the indices."""
    *operands, axes, dropped, added, where, count = rest
    y = basic_select(x, *operands[:count], axes, dropped, added)
    return take_axes(y, where, operands[count:])


def advanced_update(x: Var, value: Var, *rest: Any) -> Var:
    """``x[...] = value`` with integer tensors among the indices."""
    *operands, axes, dropped, added, where, count = rest
    starts, indices = operands[:count], operands[count:]
    if not axes and not added:
        return put_axes(x, where, indices, cast(value, x.dtype))
    y = basic_select(x, *starts, axes, dropped, added)
    y = put_axes(y, where, indices, cast(value, x.dtype))
    return basic_update(x, y, *starts, axes, dropped, added)


def mask_update(x: Var, mask: Var, value: Var) -> Var:
    """``x[mask] = number``."""
    return masked_fill(x, mask, cast(value, x.dtype))


# --- what a tensor records -------------------------------------------------------------------


def _index_operand(part: Any) -> Any:
    return (part, int64) if isinstance(part, int) else part


_WHOLE_ROW = (((0, 1, 1),), (0,), ())


def select(x: Value, key: Any) -> Recorded:
    """How to record ``x[key]``."""
    shape = x.type.shape
    if shape and type(shape[0]) is int:  # the two most frequent kinds, in a fraction of the time
        size = shape[0]
        if type(key) is int and -size <= key < size:
            return basic_select, _WHOLE_ROW, [x, (key % size, int64)]
        if type(key) is slice and key.step is None:
            try:
                start, stop, _ = key.indices(size)
            except TypeError:
                start = stop = 0
            if 0 < stop - start < size:
                return basic_select, (((0, stop - start, 1),), (), ()), [x, (start, int64)]
    parsed = _Key(x.type.shape, key)
    if not parsed.advanced:
        return basic_select, parsed.basic, [x, *parsed.numbers()]
    indices = [_index_operand(part) for _, part in parsed.advanced]
    where = tuple([axis for axis, _ in parsed.advanced])
    return advanced_select, (*parsed.basic, where, len(parsed.starts)), [x, *parsed.numbers(), *indices]


def update(x: Value, key: Any, value: Any) -> Recorded:
    """How to record ``x[key] = value``."""
    if value is NotImplemented:
        raise _refuse(OperandError("x[...] = value: the value must be a tensor, an array or a number"))
    single = isinstance(value, tuple) or value.type.shape == ()
    if single and isinstance(key, (Value, np.ndarray)):
        mask = _as_item(key)
        if isinstance(mask, Value) and mask.type.dtype is bool_ and mask.type.ndim:
            fits = tuple(x.type.shape[: mask.type.ndim]) == mask.type.shape
            if fits:  # no need to know which elements are selected
                return mask_update, (), [x, mask, value]
    parsed = _Key(x.type.shape, key)
    if not parsed.advanced:
        return basic_update, parsed.basic, [x, value, *parsed.numbers()]
    indices = [_index_operand(part) for _, part in parsed.advanced]
    where = tuple([axis for axis, _ in parsed.advanced])
    return (
        advanced_update,
        (*parsed.basic, where, len(parsed.starts)),
        [x, value, *parsed.numbers(), *indices],
    )
