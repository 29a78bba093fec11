"""Static and dynamic slices, padding, concatenation and reversal.

Slices and padding are each other's transposes, which is why they share a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.dtypes import bool_, int64
from flambeau.errors import DTypeError, OperandError, ShapeError
from flambeau.graph.builder import Var, emit
from flambeau.graph.primitive import Lowering, Primitive
from flambeau.graph.types import Shape, Size, TensorType
from flambeau.primitives.elementwise import add, maximum, minimum, select
from flambeau.primitives.gather import gather, scatter
from flambeau.primitives.sizes import size_value
from flambeau.primitives.views import (
    Number,
    broadcast,
    constant,
    full,
    iota,
    jvp_linear,
    reduce_sum,
    shape_text,
    zeros_like,
)

Sizes = tuple[Size, ...]
Ints = tuple[int, ...]


def _one_each(name: str, what: str, values: Sequence[Any], ndim: int) -> None:
    if len(values) != ndim:
        raise ShapeError(f"{name}: {len(values)} {what} for a tensor with {ndim} axes")


# --- slice -----------------------------------------------------------------------------------


def _infer_slice(x: TensorType, *, starts: Sizes, limits: Sizes, strides: Ints) -> TensorType:
    for what, values in (("starts", starts), ("limits", limits), ("strides", strides)):
        _one_each("slice", what, values, x.ndim)
    out: list[Size] = []
    for axis, (n, a, b, step) in enumerate(zip(x.shape, starts, limits, strides, strict=True)):
        if step < 1:
            raise ShapeError(f"slice: the stride of axis {axis} must be positive, not {step}")
        known = isinstance(a, int) and isinstance(b, int) and isinstance(n, int)
        if known and not 0 <= a <= b <= n:
            raise ShapeError(f"slice: {a}:{b} does not lie within axis {axis} of size {n}")
        out.append(b - a if step == 1 else (b - a + (step - 1)) // step)
    return TensorType(tuple(out), x.dtype)


def _ref_slice(x: np.ndarray, *, starts: Ints, limits: Ints, strides: Ints) -> np.ndarray:
    return x[tuple([slice(a, b, c) for a, b, c in zip(starts, limits, strides, strict=True)])]


def _vjp_slice(
    g: Var, inputs: Sequence[Var], outputs: Sequence[Var], *, starts: Sizes, limits: Sizes, strides: Ints
) -> Any:
    (x,) = inputs
    high: list[Size] = []
    for n, m, a, b, step in zip(x.shape, g.shape, starts, limits, strides, strict=True):
        if step == 1:
            high.append(n - b)
        else:
            high.append(n - a if m == 0 else n - a - (m - 1) * step - 1)
    return (pad(g, 0, starts, high, [step - 1 for step in strides]),)


def _batch_slice(
    inputs: Sequence[Var], batched: Sequence[bool], *, starts: Sizes, limits: Sizes, strides: Ints
) -> Var:
    (x,) = inputs
    return slice_(x, (0, *starts), (x.shape[0], *limits), (1, *strides))


slice_p = Primitive(
    "slice",
    infer=_infer_slice,
    reference=_ref_slice,
    vjp=_vjp_slice,
    jvp=jvp_linear("slice"),
    batch=_batch_slice,
    lowering=Lowering.VIEW,
    sizes=("starts", "limits"),
)


def slice_(
    x: Var, starts: Sequence[Size], limits: Sequence[Size], strides: Sequence[int] | None = None
) -> Var:
    """The elements from ``starts`` (inclusive) to ``limits`` (exclusive) in steps of ``strides``, per axis.

    ``0 <= start <= limit <= size`` must hold on every axis, and strides are positive.
    """
    steps = (1,) * len(starts) if strides is None else tuple(strides)
    if all(s == 1 for s in steps) and all(a == 0 for a in starts) and tuple(limits) == x.shape:
        return x
    return emit(slice_p, x, starts=tuple(starts), limits=tuple(limits), strides=steps)


def slice_axis(x: Var, axis: int, start: Size, limit: Size, stride: int = 1) -> Var:
    """``slice_`` along one axis only."""
    starts: list[Size] = [0] * x.ndim
    limits = list(x.shape)
    strides = [1] * x.ndim
    starts[axis], limits[axis], strides[axis] = start, limit, stride
    return slice_(x, starts, limits, strides)


# --- pad -------------------------------------------------------------------------------------


def dilated(size: Size, step: int) -> Size:
    """The extent of ``size`` elements that lie ``step`` apart."""
    if step == 1 or size == 0:
        return size
    return (size - 1) * step + 1


def _infer_pad(x: TensorType, value: TensorType, *, low: Sizes, high: Sizes, interior: Ints) -> TensorType:
    for what, values in (("low", low), ("high", high), ("interior", interior)):
        _one_each("pad", f"{what} sizes", values, x.ndim)
    if value.shape != ():
        raise ShapeError(f"pad: the value must be a scalar, not of shape {shape_text(value.shape)}")
    if value.dtype is not x.dtype:
        raise DTypeError(f"pad: the value has dtype {value.dtype}, the tensor {x.dtype}")
    out: list[Size] = []
    for axis, (n, a, b, c) in enumerate(zip(x.shape, low, high, interior, strict=True)):
        if c < 0:
            raise ShapeError(f"pad: the interior padding of axis {axis} must not be negative: {c}")
        size = a + dilated(n, c + 1) + b
        if isinstance(size, int) and size < 0:
            raise ShapeError(f"pad: padding ({a}, {b}) takes more from axis {axis} of size {n} than it has")
        out.append(size)
    return TensorType(tuple(out), x.dtype)


def pad_array(x: np.ndarray, value: Any, low: Ints, high: Ints, interior: Ints) -> np.ndarray:
    """NumPy's side of ``pad``."""
    extents = [int(dilated(n, c + 1)) for n, c in zip(x.shape, interior, strict=True)]
    out = np.full([a + n + b for n, a, b in zip(extents, low, high, strict=True)], value, x.dtype)
    to, source = [], []
    for n, extent, a, b, c in zip(x.shape, extents, low, high, interior, strict=True):
        step = c + 1
        first = 0 if a >= 0 else (-a + step - 1) // step  # the first element that is not cropped
        last = min(n, (extent + min(b, 0) + step - 1) // step)
        source.append(slice(first, max(first, last)))
        start = a + first * step
        to.append(
            slice(start, start + max(0, (last - first - 1) * step + 1) if last > first else start, step)
        )
    out[tuple(to)] = x[tuple(source)]
    return out


def _vjp_pad(
    g: Var, inputs: Sequence[Var], outputs: Sequence[Var], *, low: Sizes, high: Sizes, interior: Ints
) -> Any:
    x, value = inputs
    steps = [c + 1 for c in interior]
    full_g = pad(g, 0, [-a for a in low], [-b for b in high], [0] * x.ndim)
    own = slice_(full_g, [0] * x.ndim, full_g.shape, steps)
    outside = pad(full(x.shape, False, bool_), True, low, high, interior)
    rest = reduce_sum(select(outside, g, zeros_like(g)), range(g.ndim))
    return (own, rest if value.dtype.inexact else None)


def _jvp_pad(t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var], **attrs: Any) -> Any:
    if t[0] is None and t[1] is None:
        return (None,)
    tx, tv = (zeros_like(x) if d is None else d for d, x in zip(t, inputs, strict=True))
    return (emit(pad_p, tx, tv, **attrs),)


def _batch_pad(
    inputs: Sequence[Var], batched: Sequence[bool], *, low: Sizes, high: Sizes, interior: Ints
) -> Var:
    x, value = inputs
    if not batched[0]:
        size = value.shape[0]
        x = broadcast(x, (size, *x.shape), range(1, x.ndim + 1))
    low, high, interior = (0, *low), (0, *high), (0, *interior)
    if not batched[1]:
        return pad(x, value, low, high, interior)
    own = pad(x, 0, low, high, interior)
    outside = pad(full(x.shape, False, bool_), True, low, high, interior)
    return select(outside, broadcast(value, own.shape, (0,)), own)


pad_p = Primitive(
    "pad",
    infer=_infer_pad,
    reference=lambda x, value, low, high, interior: pad_array(x, value, low, high, interior),
    vjp=_vjp_pad,
    jvp=_jvp_pad,
    batch=_batch_pad,
    lowering=Lowering.HOST,
    sizes=("low", "high"),
)


def pad(
    x: Var,
    value: Var | Number,
    low: Sequence[Size],
    high: Sequence[Size],
    interior: Sequence[int] | None = None,
) -> Var:
    """``x`` with ``value`` put before, after and between its elements, per axis.

    Negative ``low`` and ``high`` take elements away (after the interior padding).  ``value`` is a
    scalar of the dtype of ``x``, or a number of the framework's own.
    """
    between = (0,) * x.ndim if interior is None else tuple(interior)
    if all(a == 0 for a in (*low, *high, *between)) and len(low) == len(high) == x.ndim:
        return x
    fill = value if isinstance(value, Var) else constant(value, x.dtype)
    return emit(pad_p, x, fill, low=tuple(low), high=tuple(high), interior=between)


def pad_axis(x: Var, axis: int, low: Size, high: Size, value: Var | Number = 0) -> Var:
    """``pad`` along one axis only."""
    lows: list[Size] = [0] * x.ndim
    highs: list[Size] = [0] * x.ndim
    lows[axis], highs[axis] = low, high
    return pad(x, value, lows, highs)


# --- concatenate, reverse --------------------------------------------------------------------


def _infer_concatenate(*operands: TensorType, axis: int) -> TensorType:
    if not operands:
        raise OperandError("concatenate: at least one tensor is needed")
    first = operands[0]
    if not 0 <= axis < first.ndim:
        raise ShapeError(f"concatenate: axis {axis} is out of range for a tensor with {first.ndim} axes")
    total: Size = 0
    for x in operands:
        if x.dtype is not first.dtype:
            raise DTypeError(f"concatenate: dtypes {first.dtype} and {x.dtype} differ")
        if x.shape[:axis] != first.shape[:axis] or x.shape[axis + 1 :] != first.shape[axis + 1 :]:
            raise ShapeError(
                f"concatenate: shapes {shape_text(first.shape)} and {shape_text(x.shape)} "
                f"differ elsewhere than on axis {axis}"
            )
        total = total + x.shape[axis]
    return TensorType((*first.shape[:axis], total, *first.shape[axis + 1 :]), first.dtype)


def _vjp_concatenate(g: Var, inputs: Sequence[Var], outputs: Sequence[Var], *, axis: int) -> Any:
    parts = []
    start: Size = 0
    for x in inputs:
        limit = start + x.shape[axis]
        parts.append(slice_axis(g, axis, start, limit))
        start = limit
    return tuple(parts)


def _jvp_concatenate(
    t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var], *, axis: int
) -> Any:
    if all(d is None for d in t):
        return (None,)
    return (concatenate([zeros_like(x) if d is None else d for d, x in zip(t, inputs, strict=True)], axis),)


def _batch_concatenate(inputs: Sequence[Var], batched: Sequence[bool], *, axis: int) -> Var:
    return concatenate(with_batch_axis(inputs, batched), axis + 1)


def with_batch_axis(inputs: Sequence[Var], batched: Sequence[bool]) -> list[Var]:
    """All ``inputs`` with a leading batch axis; those without one are repeated along it."""
    size = next(x.shape[0] for x, b in zip(inputs, batched, strict=True) if b)
    return [
        x if b else broadcast(x, (size, *x.shape), range(1, x.ndim + 1))
        for x, b in zip(inputs, batched, strict=True)
    ]


concatenate_p = Primitive(
    "concatenate",
    infer=_infer_concatenate,
    reference=lambda *arrays, axis: np.concatenate(arrays, axis=axis),
    vjp=_vjp_concatenate,
    jvp=_jvp_concatenate,
    batch=_batch_concatenate,
    lowering=Lowering.HOST,
)


def concatenate(operands: Sequence[Var], axis: int) -> Var:
    """Tensors of one dtype joined along ``axis``; all other sizes agree."""
    if len(operands) == 1 and 0 <= axis < operands[0].ndim:
        return operands[0]
    return emit(concatenate_p, *operands, axis=axis)


def _infer_reverse(x: TensorType, *, axes: Ints) -> TensorType:
    if len(set(axes)) != len(axes) or any(not 0 <= a < x.ndim for a in axes):
        raise ShapeError(
            f"reverse: axes {axes} are no distinct axes of a tensor of shape {shape_text(x.shape)}"
        )
    return x


reverse_p = Primitive(
    "reverse",
    infer=_infer_reverse,
    reference=lambda x, axes: np.flip(x, axes),
    vjp=lambda g, inputs, outputs, axes: (reverse(g, axes),),
    jvp=jvp_linear("reverse"),
    batch=lambda inputs, batched, axes: reverse(inputs[0], [a + 1 for a in axes]),
    lowering=Lowering.VIEW,
)


def reverse(x: Var, axes: Sequence[int]) -> Var:
    """``x`` with the order of its elements turned round along ``axes``."""
    return emit(reverse_p, x, axes=tuple(axes)) if axes else x


# --- slices whose start is known only when the program runs ----------------------------------


def _check_starts(name: str, x: TensorType, starts: Sequence[TensorType]) -> None:
    _one_each(name, "starts", starts, x.ndim)
    for s in starts:
        if s.shape != () or s.dtype is not int64:
            raise OperandError(f"{name}: a start must be an int64 scalar, not {s}")


def _check_fits(name: str, x: TensorType, lengths: Sizes) -> None:
    _one_each(name, "lengths", lengths, x.ndim)
    for axis, (n, m) in enumerate(zip(x.shape, lengths, strict=True)):
        if isinstance(m, int) and (m < 0 or (isinstance(n, int) and m > n)):
            raise ShapeError(f"{name}: length {m} does not fit axis {axis} of size {n}")


def _infer_dynamic_slice(x: TensorType, *starts: TensorType, lengths: Sizes) -> TensorType:
    _check_starts("dynamic_slice", x, starts)
    _check_fits("dynamic_slice", x, lengths)
    return TensorType(tuple(lengths), x.dtype)


def _window(shape: Sequence[int], starts: Sequence[np.ndarray], lengths: Sequence[int]) -> tuple[slice, ...]:
    """The slices of a dynamic slice; starts are moved so that the slice lies inside."""
    out = []
    for n, start, m in zip(shape, starts, lengths, strict=True):
        a = min(max(int(start), 0), n - m)
        out.append(slice(a, a + m))
    return tuple(out)


def _ref_dynamic_slice(x: np.ndarray, *starts: np.ndarray, lengths: Ints) -> np.ndarray:
    return x[_window(x.shape, starts, lengths)]


def _vjp_dynamic_slice(g: Var, inputs: Sequence[Var], outputs: Sequence[Var], *, lengths: Sizes) -> Any:
    x, *starts = inputs
    return (dynamic_update_slice(zeros_like(x), g, starts), *[None] * len(starts))


def _jvp_dynamic_slice(
    t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var], *, lengths: Sizes
) -> Any:
    return (None if t[0] is None else dynamic_slice(t[0], inputs[1:], lengths),)


def _window_indices(shape: Shape, starts: Sequence[Var], lengths: Sizes) -> list[Var]:
    """Index tensors (batch, *lengths) of slices with batched starts, clamped like a single one."""
    size = next(s.shape[0] for s in starts if s.ndim)
    whole = (size, *lengths)
    out = [iota(whole, 0, int64)]
    for axis, (n, start, m) in enumerate(zip(shape, starts, lengths, strict=True)):
        inside = maximum(minimum(start, size_value(n - m)), 0)
        spread = broadcast(inside, whole, (0,) if start.ndim else ())
        out.append(add(spread, iota(whole, axis + 1, int64)))
    return out


def _batch_dynamic_slice(inputs: Sequence[Var], batched: Sequence[bool], *, lengths: Sizes) -> Var:
    x, *starts = inputs
    if not any(batched[1:]):
        return dynamic_slice(x, [constant(0, int64), *starts], (x.shape[0], *lengths))
    own = x.shape[1:] if batched[0] else x.shape
    indices = _window_indices(own, starts, lengths)
    return gather(x, indices if batched[0] else indices[1:])


dynamic_slice_p = Primitive(
    "dynamic_slice",
    infer=_infer_dynamic_slice,
    reference=_ref_dynamic_slice,
    vjp=_vjp_dynamic_slice,
    jvp=_jvp_dynamic_slice,
    batch=_batch_dynamic_slice,
    lowering=Lowering.HOST,
    sizes=("lengths",),
)


def dynamic_slice(x: Var, starts: Sequence[Var], lengths: Sequence[Size]) -> Var:
    """A part of ``x`` of size ``lengths`` that begins at int64 scalars ``starts``, one per axis.

    A start that would make the part stick out is moved inside.
    """
    return emit(dynamic_slice_p, x, *starts, lengths=tuple(lengths))


def _infer_dynamic_update_slice(x: TensorType, update: TensorType, *starts: TensorType) -> TensorType:
    _check_starts("dynamic_update_slice", x, starts)
    _check_fits("dynamic_update_slice", x, update.shape)
    if update.dtype is not x.dtype:
        raise DTypeError(f"dynamic_update_slice: the update has dtype {update.dtype}, the tensor {x.dtype}")
    return x


def _ref_dynamic_update_slice(x: np.ndarray, update: np.ndarray, *starts: np.ndarray) -> np.ndarray:
    out = x.copy()
    out[_window(x.shape, starts, update.shape)] = update
    return out


def _vjp_dynamic_update_slice(g: Var, inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    _, update, *starts = inputs
    own = dynamic_update_slice(g, zeros_like(update), starts)
    return (own, dynamic_slice(g, starts, update.shape), *[None] * len(starts))


def _jvp_dynamic_update_slice(t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    if t[0] is None and t[1] is None:
        return (None,)
    tx, tu = (zeros_like(x) if d is None else d for d, x in zip(t[:2], inputs[:2], strict=True))
    return (dynamic_update_slice(tx, tu, inputs[2:]),)


def _batch_dynamic_update_slice(inputs: Sequence[Var], batched: Sequence[bool]) -> Var:
    starts = inputs[2:]
    if not any(batched[2:]):
        x, update = with_batch_axis(inputs[:2], batched[:2])
        return dynamic_update_slice(x, update, [constant(0, int64), *starts])
    size = next(s.shape[0] for s, b in zip(starts, batched[2:], strict=True) if b)
    x, update = (
        v if b else broadcast(v, (size, *v.shape), range(1, v.ndim + 1))
        for v, b in zip(inputs[:2], batched[:2], strict=True)
    )
    return scatter(x, update, _window_indices(x.shape[1:], starts, update.shape[1:]))


dynamic_update_slice_p = Primitive(
    "dynamic_update_slice",
    infer=_infer_dynamic_update_slice,
    reference=_ref_dynamic_update_slice,
    vjp=_vjp_dynamic_update_slice,
    jvp=_jvp_dynamic_update_slice,
    batch=_batch_dynamic_update_slice,
    lowering=Lowering.HOST,
)


def dynamic_update_slice(x: Var, update: Var, starts: Sequence[Var]) -> Var:
    """``x`` with ``update`` written over the part that begins at int64 scalars ``starts``."""
    return emit(dynamic_update_slice_p, x, update, *starts)
