"""Running sums, products, extrema, log-sum-exps, and the linear recurrence their gradients need.

Every derivative here is itself a running computation of the same length, free of divisions, so it
is right at zeros and infinitely differentiable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flambeau.dtypes import int64
from flambeau.errors import DTypeError, ShapeError
from flambeau.graph.builder import Var, emit
from flambeau.graph.primitive import Lowering, Primitive, Rule
from flambeau.graph.types import TensorType
from flambeau.primitives.elementwise import add, eq, exp, is_nan, logical_or, mul, select, sub
from flambeau.primitives.gather import gather, scatter_add
from flambeau.primitives.indexing import pad_axis, with_batch_axis
from flambeau.primitives.sizes import size_value
from flambeau.primitives.views import Number, broadcast_to, iota, jvp_linear, shape_text, wide, zeros_like

_NUMBERS = ("int", "uint", "float", "complex")
_REAL = ("int", "uint", "float")


def _infer(name: str, kinds: Sequence[str]) -> Rule:
    def infer(x: TensorType, *, axis: int, reverse: bool) -> TensorType:
        if x.dtype.kind not in kinds:
            raise DTypeError(f"{name}: is not defined for {x.dtype}")
        if not 0 <= axis < x.ndim:
            raise ShapeError(f"{name}: axis {axis} is out of range for a tensor with {x.ndim} axes")
        return x

    return infer


def _reference(accumulate: Callable[..., Any]) -> Rule:
    def reference(x: np.ndarray, *, axis: int, reverse: bool) -> np.ndarray:
        turned = np.flip(wide(x), axis) if reverse else wide(x)
        with np.errstate(all="ignore"):
            out = np.asarray(accumulate(turned, axis=axis, dtype=turned.dtype))
        return (np.flip(out, axis) if reverse else out).astype(x.dtype)

    return reference


_TABLE: dict[str, Primitive] = {}
Builder = Callable[..., Var]


def _define(name: str, kinds: Sequence[str], accumulate: Callable[..., Any], vjp: Rule, jvp: Rule) -> Builder:
    made = _TABLE[name] = Primitive(
        name,
        infer=_infer(name, kinds),
        reference=_reference(accumulate),
        vjp=vjp,
        jvp=jvp,
        batch=lambda inputs, batched, axis, reverse: emit(made, inputs[0], axis=axis + 1, reverse=reverse),
        lowering=Lowering.HOST,
    )

    def build(x: Var, axis: int, reverse: bool = False) -> Var:
        return emit(made, x, axis=axis, reverse=reverse)

    build.__name__ = name
    return build


def previous(x: Var, axis: int, reverse: bool, start: Number = 0) -> Var:
    """``x`` moved by one along ``axis``: each element becomes what came before it, the first ``start``."""
    return pad_axis(x, axis, -1, 1, start) if reverse else pad_axis(x, axis, 1, -1, start)


# --- linear recurrence -----------------------------------------------------------------------


def _infer_recurrence(a: TensorType, b: TensorType, *, axis: int, reverse: bool) -> TensorType:
    if a.shape != b.shape:
        raise ShapeError(f"linear_recurrence: shapes {shape_text(a.shape)} and {shape_text(b.shape)} differ")
    if a.dtype is not b.dtype:
        raise DTypeError(f"linear_recurrence: dtypes {a.dtype} and {b.dtype} differ")
    return _infer("linear_recurrence", _NUMBERS)(a, axis=axis, reverse=reverse)  # type: ignore[no-any-return]


def _ref_recurrence(a: np.ndarray, b: np.ndarray, *, axis: int, reverse: bool) -> np.ndarray:
    factors, terms = (np.moveaxis(wide(v), axis, 0) for v in (a, b))
    out = np.empty(terms.shape, terms.dtype)
    state = np.zeros(terms.shape[1:], terms.dtype)
    steps = range(len(terms))
    with np.errstate(all="ignore"):
        for i in reversed(steps) if reverse else steps:
            # the first factor meets no state: an infinity there must not make 0 * inf
            first = i == (len(terms) - 1 if reverse else 0)
            state = terms[i] if first else factors[i] * state + terms[i]
            out[i] = state
    return np.moveaxis(out, 0, axis).astype(a.dtype)


def _vjp_recurrence(
    g: Var, inputs: Sequence[Var], outputs: Sequence[Var], *, axis: int, reverse: bool
) -> Any:
    (a, _), (y,) = inputs, outputs
    if not a.dtype.inexact:
        return (None, None)
    g_b = linear_recurrence(previous(a, axis, not reverse), g, axis, not reverse)
    return (mul(g_b, previous(y, axis, reverse)), g_b)


def _jvp_recurrence(
    t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var], *, axis: int, reverse: bool
) -> Any:
    (a, _), (y,) = inputs, outputs
    ta, tb = t
    drive = tb
    if ta is not None:
        change = mul(ta, previous(y, axis, reverse))
        drive = change if drive is None else add(drive, change)
    return (None if drive is None else linear_recurrence(a, drive, axis, reverse),)


def _batch_recurrence(inputs: Sequence[Var], batched: Sequence[bool], *, axis: int, reverse: bool) -> Var:
    a, b = with_batch_axis(inputs, batched)
    return linear_recurrence(a, b, axis + 1, reverse)


linear_recurrence_p = Primitive(
    "linear_recurrence",
    infer=_infer_recurrence,
    reference=_ref_recurrence,
    vjp=_vjp_recurrence,
    jvp=_jvp_recurrence,
    batch=_batch_recurrence,
    lowering=Lowering.HOST,
)


def linear_recurrence(a: Var, b: Var, axis: int, reverse: bool = False) -> Var:
    """``y[i] = a[i] * y[i - 1] + b[i]`` along ``axis``, from the first element or from the last.

    ``y[-1]`` is 0, so the first ``a`` is not used.
    """
    return emit(linear_recurrence_p, a, b, axis=axis, reverse=reverse)


# --- sum and product -------------------------------------------------------------------------


def _vjp_cumsum(g: Var, inputs: Sequence[Var], outputs: Sequence[Var], *, axis: int, reverse: bool) -> Any:
    return (cumsum(g, axis, not reverse),)


def _vjp_cumprod(g: Var, inputs: Sequence[Var], outputs: Sequence[Var], *, axis: int, reverse: bool) -> Any:
    """Of element i: the product before it, times a recurrence over all after it."""
    (x,), (y,) = inputs, outputs
    after = linear_recurrence(previous(x, axis, not reverse), g, axis, not reverse)
    return (mul(previous(y, axis, reverse, 1), after),)


def _jvp_cumprod(
    t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var], *, axis: int, reverse: bool
) -> Any:
    (x,), (y,) = inputs, outputs
    if t[0] is None:
        return (None,)
    return (linear_recurrence(x, mul(t[0], previous(y, axis, reverse, 1)), axis, reverse),)


cumsum = _define("cumsum", _NUMBERS, np.add.accumulate, _vjp_cumsum, jvp_linear("cumsum"))
cumprod = _define("cumprod", _NUMBERS, np.multiply.accumulate, _vjp_cumprod, _jvp_cumprod)


# --- extrema ---------------------------------------------------------------------------------


def _positions(x: Var, y: Var, axis: int, reverse: bool) -> Var:
    """Where each running extremum was last reached."""
    hit = logical_or(eq(x, y), is_nan(x))
    here = iota(x.shape, axis, int64)
    if reverse:
        return cummin(select(hit, here, broadcast_to(size_value(x.shape[axis]), x.shape)), axis, True)
    return cummax(select(hit, here, -1), axis)


def _grid(positions: Var, axis: int) -> list[Var]:
    return [positions if a == axis else iota(positions.shape, a, int64) for a in range(positions.ndim)]


def _vjp_extremum(g: Var, inputs: Sequence[Var], outputs: Sequence[Var], *, axis: int, reverse: bool) -> Any:
    (x,), (y,) = inputs, outputs
    return (scatter_add(zeros_like(g), g, _grid(_positions(x, y, axis, reverse), axis)),)


def _jvp_extremum(
    t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var], *, axis: int, reverse: bool
) -> Any:
    (x,), (y,) = inputs, outputs
    return (None if t[0] is None else gather(t[0], _grid(_positions(x, y, axis, reverse), axis)),)


cummax = _define("cummax", _REAL, np.maximum.accumulate, _vjp_extremum, _jvp_extremum)
cummin = _define("cummin", _REAL, np.minimum.accumulate, _vjp_extremum, _jvp_extremum)


# --- log-sum-exp -----------------------------------------------------------------------------


def _gap(x: Var, y: Var) -> Var:
    """``x - y``, and 0 where they are the same infinity."""
    return select(eq(x, y), zeros_like(x), sub(x, y))


def _vjp_logsumexp(g: Var, inputs: Sequence[Var], outputs: Sequence[Var], *, axis: int, reverse: bool) -> Any:
    (x,), (y,) = inputs, outputs
    keep = exp(_gap(previous(y, axis, reverse), y))  # what a step leaves of the weights before it: at most 1
    after = linear_recurrence(previous(keep, axis, not reverse), g, axis, not reverse)
    return (mul(exp(_gap(x, y)), after),)


def _jvp_logsumexp(
    t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var], *, axis: int, reverse: bool
) -> Any:
    (x,), (y,) = inputs, outputs
    if t[0] is None:
        return (None,)
    keep = exp(_gap(previous(y, axis, reverse), y))
    return (linear_recurrence(keep, mul(t[0], exp(_gap(x, y))), axis, reverse),)


cumlogsumexp = _define("cumlogsumexp", ("float",), np.logaddexp.accumulate, _vjp_logsumexp, _jvp_logsumexp)
