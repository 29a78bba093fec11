"""Elements moved between channels and space, and sliding blocks as columns."""

from __future__ import annotations

from typing import NamedTuple

from flambeau.dtypes import int64
from flambeau.errors import ShapeError
from flambeau.graph.builder import Var
from flambeau.graph.types import Size
from flambeau.primitives.advanced import add_axes, take
from flambeau.primitives.convolution import window_count
from flambeau.primitives.elementwise import add, mul
from flambeau.primitives.indexing import pad, slice_
from flambeau.primitives.spatial import check_input, check_window, with_batch, without_batch
from flambeau.primitives.views import full, iota, product, reshape, shape_text, transpose

Ints = tuple[int, ...]


def pixel_shuffle(x: Var, factor: int, name: str) -> Var:
    """(..., C * r * r, H, W) as (..., C, H * r, W * r)."""
    if x.ndim < 3 or x.shape[-3] % (factor * factor) != 0:
        raise ShapeError(
            f"{name}: an input of shape (..., C, H, W) with C divisible by {factor}**2 is needed, "
            f"not {shape_text(x.shape)}"
        )
    *lead, c, h, w = x.shape
    k = len(lead)
    parts = reshape(x, (*lead, c // (factor * factor), factor, factor, h, w))
    parts = transpose(parts, (*range(k + 1), k + 3, k + 1, k + 4, k + 2))
    return reshape(parts, (*lead, c // (factor * factor), h * factor, w * factor))


def pixel_unshuffle(x: Var, factor: int, name: str) -> Var:
    """(..., C, H * r, W * r) as (..., C * r * r, H, W)."""
    if x.ndim < 3 or x.shape[-2] % factor != 0 or x.shape[-1] % factor != 0:
        raise ShapeError(
            f"{name}: an input of shape (..., C, H, W) with H and W divisible by {factor} is needed, "
            f"not {shape_text(x.shape)}"
        )
    *lead, c, h, w = x.shape
    k = len(lead)
    parts = reshape(x, (*lead, c, h // factor, factor, w // factor, factor))
    parts = transpose(parts, (*range(k + 1), k + 2, k + 4, k + 1, k + 3))
    return reshape(parts, (*lead, c * (factor * factor), h // factor, w // factor))


def channel_shuffle(x: Var, groups: int, name: str) -> Var:
    """(N, C, ...) with the channels dealt out in turn to ``groups`` of them."""
    if x.ndim < 3 or x.shape[1] % groups != 0:
        raise ShapeError(
            f"{name}: an input of shape (N, C, *spatial) with C divisible by {groups} groups is needed, "
            f"not {shape_text(x.shape)}"
        )
    n, c, *rest = x.shape
    parts = reshape(x, (n, groups, c // groups, *rest))
    return reshape(transpose(parts, (0, 2, 1, *range(3, parts.ndim))), x.shape)


# --- sliding blocks --------------------------------------------------------------------------


class BlockOptions(NamedTuple):
    """The static part of ``unfold`` and ``fold``; ``name`` is what errors call it."""

    name: str
    window: Ints
    dilation: Ints
    padding: Ints
    strides: Ints


def _places(count: Size, k: int, dilation: int, stride: int) -> Var:
    """Positions (k, count) of element i of block j in the padded axis."""
    shape = (k, count)
    return add(mul(iota(shape, 0, int64), dilation), mul(iota(shape, 1, int64), stride))


def _counts(inner: tuple[Size, ...], o: BlockOptions) -> list[Size]:
    """How many blocks lie along each axis."""
    return [
        window_count(n + 2 * p, (k - 1) * d + 1, s)
        for n, k, d, p, s in zip(inner, o.window, o.dilation, o.padding, o.strides, strict=True)
    ]


def unfold(x: Var, o: BlockOptions) -> Var:
    """(N, C, H, W) as (N, C * kh * kw, blocks): every block a column."""
    check_input(o.name, x, 2)
    check_window(o.name, x, o.window, o.dilation, [(p, p) for p in o.padding])
    batch = with_batch(x, 2)
    counts = _counts(batch.shape[2:], o)
    around = (0, 0, *o.padding)
    y = pad(batch, False if x.dtype.kind == "bool" else 0, around, around)
    y = take(y, _places(counts[1], o.window[1], o.dilation[1], o.strides[1]), 3)
    y = take(y, _places(counts[0], o.window[0], o.dilation[0], o.strides[0]), 2)
    y = transpose(y, (0, 1, 2, 4, 3, 5))  # (N, C, kh, kw, blocks down, blocks across)
    columns = batch.shape[1] * (o.window[0] * o.window[1])
    return without_batch(reshape(y, (batch.shape[0], columns, product(counts))), x, 2)


def fold(x: Var, output_size: Ints, o: BlockOptions) -> Var:
    """(N, C * kh * kw, blocks) as (N, C, H, W): where blocks overlap they are added."""
    volume = o.window[0] * o.window[1]
    counts = _counts(output_size, o)
    if any(isinstance(n, int) and n < 1 for n in counts):
        raise ShapeError(
            f"{o.name}: no block of {shape_text(o.window)} fits into output_size {output_size}; "
            f"the input has shape {shape_text(x.shape)}"
        )
    blocks = product(counts)
    if x.ndim not in (2, 3) or x.shape[-1] != blocks or x.shape[-2] % volume != 0:
        raise ShapeError(
            f"{o.name}: an input of shape (N, C * {volume}, {blocks}) or (C * {volume}, {blocks}) is needed "
            f"for output_size {output_size} and the window {shape_text(o.window)}, not {shape_text(x.shape)}"
        )
    batch = with_batch(x, 1)
    n, c = batch.shape[0], batch.shape[1] // volume
    y = reshape(batch, (n, c, *o.window, *counts))
    y = transpose(y, (0, 1, 2, 4, 3, 5))  # (N, C, kh, blocks down, kw, blocks across)
    padded = [m + 2 * p for m, p in zip(output_size, o.padding, strict=True)]
    for axis in (0, 1):
        places = _places(counts[axis], o.window[axis], o.dilation[axis], o.strides[axis])
        shape = (*y.shape[: 2 + axis], padded[axis], *y.shape[4 + axis :])
        y = add_axes(full(shape, 0, y.dtype), (2 + axis,), (places,), y)
    low = (0, 0, *o.padding)
    limits = (n, c, *[p + m for p, m in zip(o.padding, output_size, strict=True)])
    return without_batch(slice_(y, low, limits), x, 1)
