"""Normalization layers: one entry of a recording each.

Variances are taken in two passes, so that a large mean costs no digits; half precision is computed
in float32 and rounded once.  Statistics of one row, group or instance never depend on another.

Builders take tensors, then one tuple of attributes that begins with the layer's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.errors import DTypeError, ShapeError
from flambeau.graph.builder import Var
from flambeau.primitives.composites import mean, sum_precision
from flambeau.primitives.elementwise import add, cast, div, maximum, mul, pow, rsqrt, square, sub
from flambeau.primitives.indexing import pad_axis, slice_axis
from flambeau.primitives.sizes import count
from flambeau.primitives.views import broadcast, require_float, reshape, shape_text

Axes = Sequence[int]


# --- pieces ----------------------------------------------------------------------------------


def _wide(x: Var) -> Var:
    return cast(x, sum_precision(x.dtype))


def _centred(x: Var, axes: Axes) -> Var:
    return sub(x, mean(x, axes, keepdims=True))


def _standardized(x: Var, axes: Axes, eps: float) -> Var:
    """Mean 0 and variance 1 over ``axes``."""
    centred = _centred(x, axes)
    return mul(centred, rsqrt(add(mean(square(centred), axes, keepdims=True), eps)))


def _affine(name: str, y: Var, x: Var, parameters: Sequence[Var], biased: bool, axes: Axes) -> Var:
    """``y * weight + bias`` along ``axes``, in the dtype of ``x``; either may be missing."""
    for p in parameters:
        if p.dtype is not x.dtype and p.dtype is not y.dtype:
            raise DTypeError(f"{name}: the input is {x.dtype}, the weights are {p.dtype}: cast one of them")
    spread = [broadcast(cast(p, y.dtype), y.shape, axes) for p in parameters]
    for factor in spread[: len(spread) - biased]:
        y = mul(y, factor)
    for shift in spread[len(spread) - biased :]:
        y = add(y, shift)
    return cast(y, x.dtype)


def _check_channels(name: str, x: Var, channels: int, spaces: Sequence[int], batched: bool) -> int:
    """Raise unless ``x`` has so many channels before one of ``spaces`` many axes; returns their axis."""
    require_float(name, x)
    for space in spaces:
        if x.ndim == space + 2 or (x.ndim == space + 1 and not batched):
            axis = x.ndim - space - 1
            if x.shape[axis] == channels:
                return axis
    places = [
        ", ".join([str(channels), *"DHW"[3 - s :]]) if s > 1 else f"{channels}" + ", L" * s for s in spaces
    ]
    wanted = [f"(N, {p})" for p in places] + ([] if batched else [f"({p})" for p in places])
    raise ShapeError(f"{name}: an input of shape {' or '.join(wanted)} is needed, not {shape_text(x.shape)}")


# --- over the last axes ----------------------------------------------------------------------


def _last_axes(name: str, x: Var, shape: tuple[int, ...]) -> tuple[int, ...]:
    require_float(name, x)
    start = x.ndim - len(shape)
    if start < 0 or x.shape[start:] != shape:
        wanted = ", ".join(["...", *map(str, shape)])
        raise ShapeError(f"{name}: an input of shape ({wanted}) is needed, not {shape_text(x.shape)}")
    return tuple(range(start, x.ndim))


def layer_norm(x: Var, *rest: Any) -> Var:
    """Mean 0 and variance 1 over the last axes, times weight, plus bias: ``(name, shape, eps, biased)``."""
    *parameters, (name, shape, eps, biased) = rest
    axes = _last_axes(name, x, shape)
    return _affine(name, _standardized(_wide(x), axes, eps), x, parameters, biased, axes)


def rms_norm(x: Var, *rest: Any) -> Var:
    """Mean square 1 over the last axes, times weight: ``(name, shape, eps)``."""
    *parameters, (name, shape, eps) = rest
    axes = _last_axes(name, x, shape)
    wide = _wide(x)
    if eps is None:
        eps = float(np.finfo(x.dtype.numpy).eps) if x.dtype.numpy.kind == "f" else 2.0**-7
    scale = rsqrt(add(mean(square(wide), axes, keepdims=True), eps))
    return _affine(name, mul(wide, scale), x, parameters, False, axes)


# --- over groups of channels -----------------------------------------------------------------


def group_norm(x: Var, *rest: Any) -> Var:
    """Mean 0 and variance 1 over groups of channels: ``(name, groups, channels, eps, biased)``."""
    *parameters, (name, groups, channels, eps, biased) = rest
    require_float(name, x)
    if x.ndim < 2 or x.shape[1] != channels:
        raise ShapeError(
            f"{name}: an input of shape (N, {channels}, ...) is needed, not {shape_text(x.shape)}"
        )
    parts = reshape(_wide(x), (x.shape[0], groups, channels // groups, *x.shape[2:]))
    y = reshape(_standardized(parts, range(2, parts.ndim), eps), x.shape)
    return _affine(name, y, x, parameters, biased, (1,))


# --- over the batch --------------------------------------------------------------------------


def _others(x: Var, axis: int) -> tuple[int, ...]:
    return tuple([a for a in range(x.ndim) if a != axis])


def _check_several(name: str, x: Var, axes: Axes) -> None:
    sizes = [x.shape[a] for a in axes]
    if all(n == 1 for n in sizes):
        raise ShapeError(
            f"{name}: an input of shape {shape_text(x.shape)} has one value for each channel, "
            "and a variance in training needs several"
        )


def batch_norm(x: Var, *rest: Any) -> Var:
    """Mean 0 and variance 1 for each channel over the batch: ``(name, channels, spaces, eps, biased)``."""
    *parameters, (name, channels, spaces, eps, biased) = rest
    axis = _check_channels(name, x, channels, spaces, True)
    axes = _others(x, axis)
    _check_several(name, x, axes)
    return _affine(name, _standardized(_wide(x), axes, eps), x, parameters, biased, (axis,))


def norm_by(x: Var, average: Var, variance: Var, *rest: Any) -> Var:
    """``(x - average) / sqrt(variance + eps)`` for each channel.

    The attributes are ``(name, channels, spaces, batched, eps, biased)``.
    """
    *parameters, (name, channels, spaces, batched, eps, biased) = rest
    axis = _check_channels(name, x, channels, spaces, batched)
    wide = _wide(x)
    centre = broadcast(cast(average, wide.dtype), wide.shape, (axis,))
    scale = broadcast(rsqrt(add(cast(variance, wide.dtype), eps)), wide.shape, (axis,))
    return _affine(name, mul(sub(wide, centre), scale), x, parameters, biased, (axis,))


def _moments(x: Var, axes: Axes) -> tuple[Var, Var]:
    """The mean and the unbiased variance over ``axes``."""
    wide = _wide(x)
    centred = _centred(wide, axes)
    n = count(wide, tuple(axes), wide.dtype)
    correction = div(n, maximum(sub(n, 1.0), 1.0))
    return mean(wide, axes), mul(mean(square(centred), axes), correction)


def _towards(old: Var, new: Var, factor: Var) -> Var:
    factor = cast(factor, old.dtype)
    return add(mul(old, sub(1.0, factor)), mul(cast(new, old.dtype), factor))


def tracked_batch_norm(
    x: Var, average: Var, variance: Var, batches: Var, *rest: Any
) -> tuple[Var, Var, Var, Var]:
    """``batch_norm``, and the running mean, variance and number of batches after this one.

    Attributes as those of ``batch_norm``, and whether a momentum comes first; without one all batches
    weigh the same.  All results are computed together, so that looking at one leaves nothing behind.
    """
    *others, (name, channels, spaces, eps, biased, weighted) = rest
    y = batch_norm(x, *others[weighted:], (name, channels, spaces, eps, biased))
    batches = add(batches, 1)
    factor = others[0] if weighted else div(1.0, cast(batches, _wide(average).dtype))
    now, spread = _moments(x, _others(x, 1))
    return y, _towards(average, now, factor), _towards(variance, spread, factor), batches


# --- over one example ------------------------------------------------------------------------


def instance_norm(x: Var, *rest: Any) -> Var:
    """Mean 0 and variance 1 for each channel of each example: ``(name, channels, spaces, eps, biased)``."""
    *parameters, (name, channels, spaces, eps, biased) = rest
    axis = _check_channels(name, x, channels, spaces, False)
    axes = range(axis + 1, x.ndim)
    _check_several(name, x, axes)
    return _affine(name, _standardized(_wide(x), axes, eps), x, parameters, biased, (axis,))


def tracked_instance_norm(
    x: Var, average: Var, variance: Var, momentum: Var, *rest: Any
) -> tuple[Var, Var, Var]:
    """``instance_norm``, and the running mean and variance, towards the mean of those of the examples."""
    y = instance_norm(x, *rest)
    name, channels, spaces, *_ = rest[-1]
    axis = _check_channels(name, x, channels, spaces, False)
    now, spread = _moments(x, range(axis + 1, x.ndim))
    if axis:
        now, spread = mean(now, (0,)), mean(spread, (0,))
    return y, _towards(average, now, momentum), _towards(variance, spread, momentum)


# --- over neighbours -------------------------------------------------------------------------


def local_response_norm(x: Var, alpha: Var, beta: Var, k: Var, size: int, name: str) -> Var:
    """``x`` divided by a power of the squares in ``size`` channels around each."""
    require_float(name, x)
    if x.ndim < 2:
        raise ShapeError(f"{name}: an input of shape (N, C, ...) is needed, not {shape_text(x.shape)}")
    wide = _wide(x)
    squares = pad_axis(square(wide), 1, size // 2, (size - 1) // 2)
    total = slice_axis(squares, 1, 0, x.shape[1])
    for i in range(1, size):
        total = add(total, slice_axis(squares, 1, i, x.shape[1] + i))
    base = add(mul(div(total, float(size)), cast(alpha, wide.dtype)), cast(k, wide.dtype))
    return cast(div(wide, pow(base, cast(beta, wide.dtype))), x.dtype)
