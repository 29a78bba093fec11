"""Pooling to a given size: windows from ``floor(i n / m)`` to ``ceil((i + 1) n / m)``."""

from __future__ import annotations

from flambeau.dtypes import int64
from flambeau.errors import ShapeError
from flambeau.graph.builder import Var
from flambeau.graph.types import Size
from flambeau.primitives.advanced import take
from flambeau.primitives.composites import pick, sum_precision
from flambeau.primitives.elementwise import add, cast, div, floor_div, lt, minimum, mod, mul, select, sub
from flambeau.primitives.reduce import argmax
from flambeau.primitives.sizes import size_value
from flambeau.primitives.spatial import check_float, check_input
from flambeau.primitives.views import (
    broadcast,
    expand_dims,
    iota,
    product,
    reduce_sum,
    reshape,
    shape_text,
    transpose,
)
from flambeau.primitives.windows import reduce_window, window_argext

Sizes = tuple[Size | None, ...]


def _targets(x: Var, sizes: Sizes, name: str) -> list[Size]:
    """The sizes to pool to, None being the input's."""
    check_input(name, x, len(sizes))
    inner = x.shape[x.ndim - len(sizes) :]
    if any(n == 0 for n in inner):
        raise ShapeError(f"{name}: the input {shape_text(x.shape)} has nothing to pool")
    return [n if m is None else m for n, m in zip(inner, sizes, strict=True)]


def _bounds(n: Size, m: Size) -> tuple[Var, Var]:
    """Where the windows along an axis begin and end."""
    i = iota((m,), 0, int64)
    size, parts = size_value(n), size_value(m)
    start = floor_div(mul(i, size), parts)
    end = floor_div(add(mul(add(i, 1), size), sub(parts, 1)), parts)
    return start, end


def _longest(n: Size, m: Size) -> Size:
    """At least the length of the longest window."""
    if isinstance(n, int) and isinstance(m, int):
        return max([-(-(i + 1) * n // m) - i * n // m for i in range(m)], default=1)
    return n // m + 2


def _places(n: Size, start: Var, end: Var) -> Var:
    """Positions (m, longest) of the windows' elements, the last one repeated."""
    shape = (start.shape[0], _longest(n, start.shape[0]))
    along = add(broadcast(start, shape, (0,)), iota(shape, 1, int64))
    return minimum(along, broadcast(sub(end, 1), shape, (0,)))


def _divides(n: Size, m: Size) -> bool:
    return m != 0 and n % m == 0


def _uneven_mean(x: Var, axis: int, m: Size) -> Var:
    start, end = _bounds(x.shape[axis], m)
    places, lengths = _places(x.shape[axis], start, end), sub(end, start)
    windows = take(x, places, axis)  # (..., m, longest, ...)
    inside = lt(iota(places.shape, 1, int64), expand_dims(lengths, 1))
    behind = (1,) * (x.ndim - axis - 1)
    windows = select(reshape(inside, (*places.shape, *behind)), windows, 0.0)
    total = reduce_sum(windows, (axis + 1,))
    return div(total, cast(reshape(lengths, (m, *behind)), x.dtype))


def adaptive_avg_pool(x: Var, sizes: Sizes, name: str) -> Var:
    """Means over windows that together cover every axis, as many as ``sizes`` says."""
    targets = _targets(x, sizes, name)
    check_float(name, x)
    lead = x.ndim - len(targets)
    y = cast(x, sum_precision(x.dtype))
    for axis, m in enumerate(targets, lead):
        if not _divides(y.shape[axis], m):
            y = _uneven_mean(y, axis, m)
    split: list[Size] = list(y.shape[:lead])
    axes: list[int] = []
    for n, m in zip(y.shape[lead:], targets, strict=True):
        split.append(m)
        if n != m:
            axes.append(len(split))
            split.append(n // m)
    if axes:
        total = reduce_sum(reshape(y, tuple(split)), axes)
        y = div(total, size_value(product([split[a] for a in axes]), y.dtype))
    return cast(y, x.dtype)


# --- maxima ----------------------------------------------------------------------------------


def _even_windows(x: Var, targets: list[Size]) -> list[int] | None:
    """The size of windows, where all along an axis have the same known one."""
    windows = []
    for n, m in zip(x.shape[x.ndim - len(targets) :], targets, strict=True):
        k = n // m if _divides(n, m) else None
        if not isinstance(k, int):
            return None
        windows.append(k)
    return windows


def _uneven_max(x: Var, targets: list[Size]) -> tuple[Var, Var]:
    """Maxima and their positions over windows of several sizes; the first of equals counts."""
    spatial = len(targets)
    lead = x.ndim - spatial
    windows = x
    starts = []
    for i, m in enumerate(targets):
        n = x.shape[lead + i]
        start, end = _bounds(n, m)
        starts.append(start)
        windows = take(windows, _places(n, start, end), lead + 2 * i)
    outer = [lead + 2 * i for i in range(spatial)]
    inner = [lead + 2 * i + 1 for i in range(spatial)]
    lengths = [windows.shape[a] for a in inner]
    together = transpose(windows, (*range(lead), *outer, *inner))
    shape = together.shape[: lead + spatial]
    together = reshape(together, (*shape, product(lengths)))
    best = argmax(together, lead + spatial)
    return pick(together, best, lead + spatial), _flat_positions(x, best, starts, lengths)


def _flat_positions(x: Var, best: Var, starts: list[Var], lengths: list[Size]) -> Var:
    """Row-major positions in the input of the elements numbered ``best`` in their windows."""
    lead = x.ndim - len(starts)
    flat: Var | int = 0
    for i, start in enumerate(starts):
        behind = size_value(product(lengths[i + 1 :]))
        inside = mod(floor_div(best, behind), size_value(lengths[i]))
        position = add(broadcast(start, best.shape, (lead + i,)), inside)
        flat = add(mul(flat, size_value(x.shape[lead + i])), position)
    assert isinstance(flat, Var)
    return flat


def _even_attrs(x: Var, windows: list[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    whole = (*(1,) * (x.ndim - len(windows)), *windows)
    return whole, whole


def adaptive_max_pool(x: Var, sizes: Sizes, name: str) -> Var:
    """The largest elements of windows that together cover every axis, as many as ``sizes`` says."""
    targets = _targets(x, sizes, name)
    windows = _even_windows(x, targets)
    if windows is None:
        return _uneven_max(x, targets)[0]
    return reduce_window(x, "max", *_even_attrs(x, windows))


def adaptive_max_pool_with_indices(x: Var, sizes: Sizes, name: str) -> tuple[Var, Var]:
    """``adaptive_max_pool``, and the row-major positions of the elements among the spatial axes."""
    targets = _targets(x, sizes, name)
    windows = _even_windows(x, targets)
    if windows is None:
        return _uneven_max(x, targets)
    attrs = _even_attrs(x, windows)
    best = window_argext(x, "max", *attrs)
    inner = x.shape[x.ndim - len(targets) :]
    return reduce_window(x, "max", *attrs), mod(best, size_value(product(inner)))
