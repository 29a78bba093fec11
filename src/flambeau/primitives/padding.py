"""Padding as layers do it: with a number, a reflection, the edge, or the other end."""

from __future__ import annotations

from collections.abc import Sequence

from flambeau.errors import OperandError, ShapeError
from flambeau.graph.builder import Var
from flambeau.graph.types import Size
from flambeau.primitives.elementwise import cast
from flambeau.primitives.indexing import concatenate, pad, reverse, slice_axis
from flambeau.primitives.spatial import check_input
from flambeau.primitives.views import broadcast, shape_text

MODES = ("constant", "reflect", "replicate", "circular")


def _refuse_width(name: str, x: Var, axis: int, low: int, high: int, limit: str) -> None:
    raise ShapeError(
        f"{name}: padding ({low}, {high}) of axis {axis} must be {limit} its size {x.shape[axis]}; "
        f"the input has shape {shape_text(x.shape)}"
    )


def _cropped(name: str, x: Var, axis: int, low: int, high: int) -> Var:
    """``x`` without what negative widths take away."""
    if low >= 0 and high >= 0:
        return x
    n = x.shape[axis]
    first, last = max(-low, 0), n - max(-high, 0)
    if isinstance(last, int) and last < first:
        _refuse_width(name, x, axis, low, high, "no crop of more than")
    return slice_axis(x, axis, first, last)


def _reflect(name: str, x: Var, axis: int, low: int, high: int) -> Var:
    n = x.shape[axis]
    if isinstance(n, int) and (low >= n or high >= n):
        _refuse_width(name, x, axis, low, high, "smaller than")
    parts = [_cropped(name, x, axis, low, high)]
    if low > 0:
        parts.insert(0, reverse(slice_axis(x, axis, 1, low + 1), (axis,)))
    if high > 0:
        parts.append(reverse(slice_axis(x, axis, n - 1 - high, n - 1), (axis,)))
    return concatenate(parts, axis)


def _repeated(x: Var, axis: int, at: Size, times: int) -> Var:
    edge = slice_axis(x, axis, at, at + 1)
    return broadcast(edge, (*x.shape[:axis], times, *x.shape[axis + 1 :]), range(x.ndim))


def _replicate(name: str, x: Var, axis: int, low: int, high: int) -> Var:
    inner = _cropped(name, x, axis, low, high)
    n = inner.shape[axis]
    if n == 0:
        raise ShapeError(
            f"{name}: axis {axis} of the input {shape_text(x.shape)}, padded by ({low}, {high}), "
            "has no edge to repeat: it is empty"
        )
    parts = [inner]
    if low > 0:
        parts.insert(0, _repeated(inner, axis, 0, low))
    if high > 0:
        parts.append(_repeated(inner, axis, n - 1, high))
    return concatenate(parts, axis)


def _circular(name: str, x: Var, axis: int, low: int, high: int) -> Var:
    inner = _cropped(name, x, axis, low, high)
    n = inner.shape[axis]
    if isinstance(n, int) and (low > n or high > n):
        _refuse_width(name, x, axis, low, high, "at most")
    parts = [inner]
    if low > 0:
        parts.insert(0, slice_axis(inner, axis, n - low, n))
    if high > 0:
        parts.append(slice_axis(inner, axis, 0, high))
    return concatenate(parts, axis)


_BY_MODE = {"reflect": _reflect, "replicate": _replicate, "circular": _circular}


def pad_around(x: Var, pairs: Sequence[tuple[int, int]], mode: str, name: str) -> Var:
    """``x`` padded on its last axes by (before, after) each, with elements of its own."""
    first = x.ndim - len(pairs)
    for axis, (low, high) in enumerate(pairs, first):
        if low or high:
            x = _BY_MODE[mode](name, x, axis, low, high)
    return x


def last_axis_first(widths: Sequence[int]) -> list[tuple[int, int]]:
    """PyTorch's list of widths, which begins with the last axis, as pairs in the order of axes."""
    return [(widths[i], widths[i + 1]) for i in range(len(widths) - 2, -1, -2)]


def _checked(x: Var, widths: Sequence[int], name: str) -> list[tuple[int, int]]:
    if len(widths) % 2 or len(widths) > 2 * x.ndim:
        raise ShapeError(
            f"{name}: a pair of widths for each of at most {x.ndim} axes is needed, the last axis first, "
            f"not {tuple(widths)}; the input has shape {shape_text(x.shape)}"
        )
    return last_axis_first(widths)


def pad_with_number(x: Var, value: Var, widths: tuple[int, ...], name: str) -> Var:
    """``x`` with a scalar around it; negative widths take elements away."""
    pairs = _checked(x, widths, name)
    lead = x.ndim - len(pairs)
    low = (*(0,) * lead, *[a for a, _ in pairs])
    high = (*(0,) * lead, *[b for _, b in pairs])
    for axis, n in enumerate(x.shape):
        size = n + low[axis] + high[axis]
        if isinstance(size, int) and size < 0:
            _refuse_width(name, x, axis, low[axis], high[axis], "no crop of more than")
    return pad(x, cast(value, x.dtype), low, high)


def pad_with_own(x: Var, widths: tuple[int, ...], mode: str, name: str, spatial: int) -> Var:
    """``x`` with elements of its own around its last axes; ``spatial`` axes are needed where it is not 0."""
    if mode not in _BY_MODE:
        raise OperandError(f"{name}: mode must be one of {', '.join(MODES)}, not {mode!r}")
    if spatial:
        check_input(name, x, spatial)
    return pad_around(x, _checked(x, widths, name), mode, name)
