"""Pooling with windows of one size: maxima, averages and power averages of what they see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from flambeau.dtypes import DType, int64
from flambeau.errors import DTypeError, ShapeError
from flambeau.graph.builder import Var
from flambeau.graph.types import Size
from flambeau.primitives.composites import sum_precision
from flambeau.primitives.elementwise import (
    add,
    cast,
    div,
    eq,
    integer_pow,
    maximum,
    minimum,
    mod,
    mul,
    pow,
    select,
    sub,
)
from flambeau.primitives.gather import scatter
from flambeau.primitives.sizes import size_value
from flambeau.primitives.spatial import check_float, check_input, check_window
from flambeau.primitives.views import broadcast, full, iota, product, reshape, shape_text
from flambeau.primitives.windows import reduce_window, window_argext

Ints = tuple[int, ...]


class PoolOptions(NamedTuple):
    """The static part of a pooling; ``name`` is what errors call it."""

    name: str
    window: Ints
    strides: Ints
    padding: Ints
    dilation: Ints
    ceil_mode: bool


def _checked_padding(x: Var, o: PoolOptions) -> list[tuple[int, int]]:
    """Padding before and after each spatial axis, after all checks.

    With ``ceil_mode`` a last window may hang over the end by any part, but must begin inside the
    input or the padding before it.  One formula says both, for known and symbolic sizes alike.
    """
    check_input(o.name, x, len(o.window))
    pairs = []
    for k, s, p, d in zip(o.window, o.strides, o.padding, o.dilation, strict=True):
        extent = (k - 1) * d + 1
        if p > k // 2:
            raise ShapeError(
                f"{o.name}: padding {o.padding} must be at most half of the window {shape_text(o.window)}"
            )
        pairs.append((p, min(p + s - 1, extent - 1) if o.ceil_mode else p))
    check_window(o.name, x, o.window, o.dilation, pairs)
    return pairs


def _around(
    x: Var, o: PoolOptions, pairs: Sequence[tuple[int, int]]
) -> tuple[Ints, Ints, tuple[tuple[int, int], ...], Ints]:
    """Window, strides, padding and dilation over all axes."""
    lead = x.ndim - len(o.window)
    ones = (1,) * lead
    return (*ones, *o.window), (*ones, *o.strides), (*((0, 0),) * lead, *pairs), (*ones, *o.dilation)


def _check_real(name: str, x: Var) -> None:
    if x.dtype.kind not in ("int", "uint", "float"):
        raise DTypeError(f"{name}: an input of real numbers is needed, not {x.dtype}")


def max_pool(x: Var, o: PoolOptions) -> Var:
    """The largest element of every window."""
    _check_real(o.name, x)
    around = _around(x, o, _checked_padding(x, o))
    return reduce_window(x, "max", *around)


def max_pool_with_indices(x: Var, o: PoolOptions) -> tuple[Var, Var]:
    """The largest element of every window, and its row-major position among the spatial axes."""
    _check_real(o.name, x)
    around = _around(x, o, _checked_padding(x, o))
    best = window_argext(x, "max", *around)
    inside = mod(best, size_value(product(x.shape[x.ndim - len(o.window) :])))
    return reduce_window(x, "max", *around), inside


# --- averages --------------------------------------------------------------------------------


def _lengths(n: Size, out: Size, k: int, stride: int, low: int, with_padding: bool, dtype: DType) -> Var:
    """Over how many elements each window along an axis is averaged."""
    start = sub(mul(iota((out,), 0, int64), stride), low)
    end = minimum(add(start, k), size_value(n + low if with_padding else n))
    return cast(sub(end, start if with_padding else maximum(start, 0)), dtype)


def _counts(
    x: Var, y: Var, o: PoolOptions, with_padding: bool, divisor: int | None, dtype: DType
) -> Var | float:
    """What the sums ``y`` of windows are divided by."""
    if divisor is not None:
        return float(divisor)
    if not o.ceil_mode and (with_padding or not any(o.padding)):
        return float(product(o.window))
    lead = x.ndim - len(o.window)
    total: Var | float = 1.0
    for axis, (k, s, p) in enumerate(zip(o.window, o.strides, o.padding, strict=True)):
        at = lead + axis
        lengths = _lengths(x.shape[at], y.shape[at], k, s, p, with_padding, dtype)
        behind = len(o.window) - axis - 1
        total = mul(reshape(lengths, (y.shape[at], *(1,) * behind)), total)
    return total


def avg_pool(x: Var, o: PoolOptions, count_include_pad: bool, divisor: int | None) -> Var:
    """The mean of every window."""
    check_float(o.name, x)
    around = _around(x, o, _checked_padding(x, o))
    wide = cast(x, sum_precision(x.dtype))
    total = reduce_window(wide, "sum", *around)
    mean = div(total, _counts(x, total, o, count_include_pad, divisor, wide.dtype))
    return cast(mean, x.dtype)


def lp_pool(x: Var, o: PoolOptions, norm: float) -> Var:
    """The sum of every window's ``norm``-th powers, and its root; where that is 0 the gradient is 0."""
    powers = integer_pow(x, int(norm)) if norm == int(norm) else pow(x, norm)
    total = mul(avg_pool(powers, o, True, None), float(product(o.window)))
    if norm == 1:
        return total
    none = eq(total, 0)
    return select(none, 0.0, pow(select(none, 1.0, total), 1.0 / norm))


# --- the way back ----------------------------------------------------------------------------


def max_unpool(x: Var, indices: Var, o: PoolOptions, output_size: Ints | None) -> Var:
    """Zeros, with ``x`` at the positions that ``max_pool_with_indices`` gave."""
    spatial = len(o.window)
    check_input(o.name, x, spatial)
    if indices.shape != x.shape:
        raise ShapeError(
            f"{o.name}: indices of the input's shape {shape_text(x.shape)} are needed, "
            f"not {shape_text(indices.shape)}"
        )
    if indices.dtype is not int64:
        raise DTypeError(f"{o.name}: the indices must be int64, not {indices.dtype}")
    lead, inner = x.shape[: x.ndim - spatial], x.shape[x.ndim - spatial :]
    default = [
        (n - 1) * s + k - 2 * p for n, s, k, p in zip(inner, o.strides, o.window, o.padding, strict=True)
    ]
    sizes: Sequence[Size] = default
    if output_size is not None:
        sizes = output_size[-spatial:]
        if len(output_size) not in (spatial, x.ndim) or any(
            not isinstance(a, int) or not a - s < b < a + s
            for a, b, s in zip(default, sizes, o.strides, strict=False)
        ):
            raise ShapeError(
                f"{o.name}: output_size {output_size} must be nearer than a stride {o.strides} to "
                f"{shape_text(default)} for an input of shape {shape_text(x.shape)}"
            )
    rows, places = product(lead), product(inner)
    flat, at = reshape(x, (rows, places)), reshape(indices, (rows, places))
    row = broadcast(iota((rows,), 0, int64), (rows, places), (0,))
    zeros = full((rows, product(sizes)), 0, x.dtype)
    return reshape(scatter(zeros, flat, (row, at)), (*lead, *sizes))
