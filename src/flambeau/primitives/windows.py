"""Reductions over sliding windows, and what pooling layers are made of.

Windows, strides, padding and dilation are given for every axis, with 1, 1, (0, 0), 1 on those
that do not slide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flambeau.dtypes import int64
from flambeau.errors import DTypeError, OperandError, ShapeError
from flambeau.graph.builder import Var, emit
from flambeau.graph.primitive import Lowering, NoGradient, Primitive
from flambeau.graph.types import Shape, Size, TensorType
from flambeau.primitives.convolution import strided_windows, window_count
from flambeau.primitives.elementwise import ge, maximum, mod, select
from flambeau.primitives.gather import gather
from flambeau.primitives.indexing import dilated, pad, pad_array, with_batch_axis
from flambeau.primitives.sizes import size_value
from flambeau.primitives.views import full, product, reshape, shape_text, wide, zeros_like

Ints = tuple[int, ...]
Padding = tuple[tuple[Size, Size], ...]
KINDS = ("sum", "max", "min")


def _check(
    name: str, x: TensorType, kind: str, window: Ints, strides: Ints, padding: Padding, dilation: Ints
) -> Shape:
    if kind not in KINDS:
        raise OperandError(f"{name}: kind {kind!r} is none of {', '.join(KINDS)}")
    allowed = ("int", "uint", "float", "complex") if kind == "sum" else ("int", "uint", "float")
    if x.dtype.kind not in allowed:
        raise DTypeError(f"{name}: {kind} is not defined for {x.dtype}")
    for what, values in (
        ("window", window),
        ("strides", strides),
        ("padding", padding),
        ("dilation", dilation),
    ):
        if len(values) != x.ndim:
            raise ShapeError(f"{name}: {what} {values} for a tensor of shape {shape_text(x.shape)}")
    if any(v < 1 for v in (*window, *strides, *dilation)):
        raise ShapeError(
            f"{name}: window {window}, strides {strides} and dilation {dilation} must be positive"
        )
    out = []
    for axis, n in enumerate(x.shape):
        low, high = padding[axis]
        if (isinstance(low, int) and low < 0) or (isinstance(high, int) and high < 0):
            raise ShapeError(f"{name}: the padding of axis {axis} must not be negative: ({low}, {high})")
        out.append(window_count(n + low + high, dilated(window[axis], dilation[axis]), strides[axis]))
    return tuple(out)


def _infer(
    x: TensorType, *, kind: str, window: Ints, strides: Ints, padding: Padding, dilation: Ints
) -> TensorType:
    return TensorType(_check("reduce_window", x, kind, window, strides, padding, dilation), x.dtype)


def _neutral(kind: str, dtype: np.dtype[Any]) -> Any:
    """What padding holds: it must not win."""
    if kind == "sum":
        return 0
    if dtype.kind == "f":
        return -np.inf if kind == "max" else np.inf
    limits = np.iinfo(dtype)
    return limits.min if kind == "max" else limits.max


def _windows(
    x: np.ndarray,
    value: Any,
    window: Ints,
    strides: Ints,
    padding: tuple[tuple[int, int], ...],
    dilation: Ints,
) -> np.ndarray:
    """All windows of the padded array: (*out, *window)."""
    padded = pad_array(x, value, tuple(a for a, _ in padding), tuple(b for _, b in padding), (0,) * x.ndim)
    out: Any = tuple(
        window_count(n, dilated(k, d), s)
        for n, k, d, s in zip(padded.shape, window, dilation, strides, strict=True)
    )
    if 0 in out:
        return np.zeros((*out, *window), x.dtype)
    return strided_windows(padded, out, window, strides, dilation)


_NUMPY: dict[str, Callable[..., Any]] = {"sum": np.sum, "max": np.max, "min": np.min}


def _reference(
    x: np.ndarray, *, kind: str, window: Ints, strides: Ints, padding: Any, dilation: Ints
) -> np.ndarray:
    values = wide(x)
    every = _windows(values, _neutral(kind, values.dtype), window, strides, padding, dilation)
    axes = tuple(range(x.ndim, 2 * x.ndim))
    more = {"dtype": values.dtype} if kind == "sum" else {}
    with np.errstate(all="ignore"):
        return np.asarray(_NUMPY[kind](every, axis=axes, **more)).astype(x.dtype)


def _vjp(g: Var, inputs: Sequence[Var], outputs: Sequence[Var], **attrs: Any) -> Any:
    (x,) = inputs
    if attrs["kind"] != "sum":
        return (select_and_scatter(x, g, **attrs),)
    return (_spread_sum(g, x.shape, **attrs),)


def _spread_sum(
    g: Var, shape: Shape, *, kind: str, window: Ints, strides: Ints, padding: Padding, dilation: Ints
) -> Var:
    """Each element of the input gets the sum of ``g`` over the windows that it lies in."""
    if any(n == 0 for n in (*g.shape, *shape)):
        return full(shape, 0, g.dtype)
    low, high = [], []
    for axis, n in enumerate(shape):
        reach = dilated(window[axis], dilation[axis]) - 1
        before = reach - padding[axis][0]
        low.append(before)
        high.append(n + reach - before - dilated(g.shape[axis], strides[axis]))
    spread = pad(g, 0, low, high, [s - 1 for s in strides])
    return reduce_window(spread, "sum", window, dilation=dilation)


def _jvp(t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var], **attrs: Any) -> Any:
    if t[0] is None:
        return (None,)
    if attrs["kind"] == "sum":
        return (emit(reduce_window_p, t[0], **attrs),)
    return (_take_selected(t[0], emit(window_argext_p, inputs[0], **attrs)),)


def _batched_attrs(attrs: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": attrs["kind"],
        "window": (1, *attrs["window"]),
        "strides": (1, *attrs["strides"]),
        "padding": ((0, 0), *attrs["padding"]),
        "dilation": (1, *attrs["dilation"]),
    }


reduce_window_p: Primitive = Primitive(
    "reduce_window",
    infer=_infer,
    reference=_reference,
    vjp=_vjp,
    jvp=_jvp,
    batch=lambda inputs, batched, **attrs: emit(reduce_window_p, inputs[0], **_batched_attrs(attrs)),
    lowering=Lowering.HOST,
    sizes=("padding",),
)


def _attrs(
    kind: str,
    ndim: int,
    window: Sequence[int],
    strides: Sequence[int] | None,
    padding: Sequence[tuple[Size, Size]] | None,
    dilation: Sequence[int] | None,
) -> dict[str, Any]:
    ones = (1,) * ndim
    return {
        "kind": kind,
        "window": tuple(window),
        "strides": ones if strides is None else tuple(strides),
        "padding": ((0, 0),) * ndim if padding is None else tuple([(a, b) for a, b in padding]),
        "dilation": ones if dilation is None else tuple(dilation),
    }


def reduce_window(
    x: Var,
    kind: str,
    window: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Sequence[tuple[Size, Size]] | None = None,
    dilation: Sequence[int] | None = None,
) -> Var:
    """The "sum", "max" or "min" of every window; padding never wins, and adds nothing."""
    return emit(reduce_window_p, x, **_attrs(kind, x.ndim, window, strides, padding, dilation))


# --- where the extremum of each window is ----------------------------------------------------


def _infer_argext(x: TensorType, **attrs: Any) -> TensorType:
    if attrs["kind"] == "sum":
        raise OperandError("window_argext: a sum has no position")
    return TensorType(_check("window_argext", x, **attrs), int64)


def _ref_argext(
    x: np.ndarray, *, kind: str, window: Ints, strides: Ints, padding: Any, dilation: Ints
) -> np.ndarray:
    shape = (window, strides, padding, dilation)
    values = wide(x)
    every = _windows(values, _neutral(kind, values.dtype), *shape)
    numbers = np.arange(x.size, dtype=np.int64).reshape(x.shape)
    places = _windows(numbers, -1, *shape)
    out = every.shape[: x.ndim]
    count = int(np.prod(window, dtype=np.int64))
    every, places = every.reshape(*out, count), places.reshape(*out, count)
    best = _NUMPY[kind](every, axis=-1, keepdims=True)
    hit = (places >= 0) & ((every == best) | np.isnan(every))
    first = np.argmax(hit, axis=-1)[..., None]
    found = np.take_along_axis(places, first, -1)[..., 0]
    return np.where(hit.any(axis=-1), found, -1)


window_argext_p = Primitive(
    "window_argext",
    infer=_infer_argext,
    reference=_ref_argext,
    vjp=NoGradient("a position has no derivative"),
    jvp=NoGradient("a position has no derivative"),
    batch=lambda inputs, batched, **attrs: _batch_argext(inputs[0], attrs),
    lowering=Lowering.HOST,
    sizes=("padding",),
)


def _batch_argext(x: Var, attrs: dict[str, Any]) -> Var:
    """Positions count from the start of each example."""
    whole = emit(window_argext_p, x, **_batched_attrs(attrs))
    return select(ge(whole, 0), mod(whole, size_value(product(x.shape[1:]))), whole)


def window_argext(
    x: Var,
    kind: str,
    window: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Sequence[tuple[Size, Size]] | None = None,
    dilation: Sequence[int] | None = None,
) -> Var:
    """Where each window's "max" or "min" is: its row-major position in ``x``, the first of equals.

    -1 for a window that lies in the padding alone; the first NaN of a window that has one.
    """
    return emit(window_argext_p, x, **_attrs(kind, x.ndim, window, strides, padding, dilation))


def _take_selected(t: Var, positions: Var) -> Var:
    flat = reshape(t, (product(t.shape),))
    taken = gather(flat, (maximum(positions, 0),))
    return select(ge(positions, 0), taken, zeros_like(taken))


# --- the gradient of max and min -------------------------------------------------------------


def _infer_select_and_scatter(x: TensorType, source: TensorType, **attrs: Any) -> TensorType:
    if attrs["kind"] == "sum":
        raise OperandError("select_and_scatter: kind must be 'max' or 'min'")
    wanted = _check("select_and_scatter", x, **attrs)
    if source.shape != wanted or source.dtype is not x.dtype:
        raise ShapeError(
            f"select_and_scatter: a source {source} where {TensorType(wanted, x.dtype)} is needed"
        )
    return x


def _ref_select_and_scatter(x: np.ndarray, source: np.ndarray, **attrs: Any) -> np.ndarray:
    positions = _ref_argext(x, **attrs).reshape(-1)
    out = np.zeros(x.size, wide(x).dtype)
    inside = positions >= 0
    with np.errstate(all="ignore"):
        np.add.at(out, positions[inside], wide(source).reshape(-1)[inside])
    return out.reshape(x.shape).astype(x.dtype)


def _vjp_select_and_scatter(g: Var, inputs: Sequence[Var], outputs: Sequence[Var], **attrs: Any) -> Any:
    return (None, _take_selected(g, emit(window_argext_p, inputs[0], **attrs)))


def _jvp_select_and_scatter(
    t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var], **attrs: Any
) -> Any:
    return (None if t[1] is None else emit(select_and_scatter_p, inputs[0], t[1], **attrs),)


def _batch_select_and_scatter(inputs: Sequence[Var], batched: Sequence[bool], **attrs: Any) -> Any:
    return emit(select_and_scatter_p, *with_batch_axis(inputs, batched), **_batched_attrs(attrs))


select_and_scatter_p = Primitive(
    "select_and_scatter",
    infer=_infer_select_and_scatter,
    reference=_ref_select_and_scatter,
    vjp=_vjp_select_and_scatter,
    jvp=_jvp_select_and_scatter,
    batch=_batch_select_and_scatter,
    lowering=Lowering.HOST,
    sizes=("padding",),
)


def select_and_scatter(
    x: Var,
    source: Var,
    kind: str,
    window: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Sequence[tuple[Size, Size]] | None = None,
    dilation: Sequence[int] | None = None,
) -> Var:
    """Zeros like ``x``, with ``source`` added where each window of ``x`` has its extremum.

    The gradient of ``reduce_window`` with "max" or "min": of equal elements the first in the
    window gets everything.
    """
    return emit(select_and_scatter_p, x, source, **_attrs(kind, x.ndim, window, strides, padding, dilation))
