"""Builders that put elements elsewhere: stacking, rolling, repeating, diagonals."""

from __future__ import annotations

from collections.abc import Sequence

from flambeau.dtypes import int64
from flambeau.errors import ShapeError
from flambeau.graph.builder import Var
from flambeau.graph.types import Size
from flambeau.primitives.elementwise import add, ne, sub
from flambeau.primitives.gather import gather, scatter
from flambeau.primitives.indexing import concatenate, reverse, slice_axis
from flambeau.primitives.views import (
    broadcast,
    expand_dims,
    full,
    iota,
    normalize_axis,
    reduce_sum,
    reshape,
    shape_text,
    squeeze,
    transpose,
)


def stack(operands: Sequence[Var], axis: int) -> Var:
    """Tensors of one shape joined along a new ``axis``."""
    for x in operands[1:]:
        if x.shape != operands[0].shape:
            raise ShapeError(
                f"stack: shapes {shape_text(operands[0].shape)} and {shape_text(x.shape)} differ"
            )
    return concatenate([expand_dims(x, axis) for x in operands], axis)


def unstack(x: Var, axis: int) -> tuple[Var, ...]:
    """The slices of ``x`` along ``axis``, whose size must be known."""
    n = x.shape[axis]
    if not isinstance(n, int):
        raise ShapeError(f"unstack: the size of axis {axis} of shape {shape_text(x.shape)} must be known")
    return tuple([squeeze(slice_axis(x, axis, i, i + 1), (axis,)) for i in range(n)])


flip = reverse


def roll(x: Var, shifts: Sequence[Size], axes: Sequence[int]) -> Var:
    """``x`` moved round by ``shifts`` along ``axes``: what leaves at one end comes in at the other."""
    for shift, axis in zip(shifts, axes, strict=True):
        n = x.shape[axis]
        if n == 0:
            continue
        cut = (n - shift) % n
        if cut == 0:
            continue
        x = concatenate([slice_axis(x, axis, cut, n), slice_axis(x, axis, 0, cut)], axis)
    return x


def repeat(x: Var, repeats: int, axis: int) -> Var:
    """Each element ``repeats`` times in a row along ``axis``."""
    if repeats < 0:
        raise ShapeError(f"repeat: repeats must not be negative: {repeats}")
    shape = (*x.shape[: axis + 1], repeats, *x.shape[axis + 1 :])
    spread = broadcast(x, shape, [i for i in range(x.ndim + 1) if i != axis + 1])
    return reshape(spread, (*x.shape[:axis], x.shape[axis] * repeats, *x.shape[axis + 1 :]))


def tile(x: Var, reps: Sequence[int]) -> Var:
    """``x`` as a tile, laid ``reps`` times along each axis; aligned at the right like NumPy's."""
    if any(r < 0 for r in reps):
        raise ShapeError(f"tile: repetitions must not be negative: {tuple(reps)}")
    ndim = max(len(reps), x.ndim)
    shape = (*(1,) * (ndim - x.ndim), *x.shape)
    counts = (*(1,) * (ndim - len(reps)), *reps)
    x = reshape(x, shape)
    between = [n for pair in zip(counts, shape, strict=True) for n in pair]
    spread = broadcast(x, tuple(between), range(1, 2 * ndim, 2))
    return reshape(spread, tuple(r * n for r, n in zip(counts, shape, strict=True)))


def diff(x: Var, axis: int, n: int = 1) -> Var:
    """The ``n``-th differences of neighbours along ``axis``; of booleans, whether they differ."""
    for _ in range(n):
        size = x.shape[axis]
        if size == 0:
            return x
        later, earlier = slice_axis(x, axis, 1, size), slice_axis(x, axis, 0, size - 1)
        x = ne(later, earlier) if x.dtype.kind == "bool" else sub(later, earlier)
    return x


def meshgrid(operands: Sequence[Var], indexing: str = "xy") -> tuple[Var, ...]:
    """Coordinate vectors spread over the grid that they span; "xy" exchanges the first two axes."""
    order = list(range(len(operands)))
    if indexing == "xy" and len(operands) > 1:
        order[0], order[1] = 1, 0
    elif indexing not in ("xy", "ij"):
        raise ShapeError(f"meshgrid: indexing must be 'xy' or 'ij', not {indexing!r}")
    shape: list[Size] = [0] * len(operands)
    for x, axis in zip(operands, order, strict=True):
        if x.ndim > 1:
            raise ShapeError(f"meshgrid: vectors are needed, not shape {shape_text(x.shape)}")
        shape[axis] = x.shape[0] if x.ndim else 1
    return tuple(
        [
            broadcast(x if x.ndim else reshape(x, (1,)), tuple(shape), (axis,))
            for x, axis in zip(operands, order, strict=True)
        ]
    )


# --- diagonals -------------------------------------------------------------------------------


def _diagonal_length(rows: Size, columns: Size, offset: int) -> Size:
    high, wide = (rows, columns - offset) if offset >= 0 else (rows + offset, columns)
    shorter = high if high == wide or high <= wide else wide
    return 0 if isinstance(shorter, int) and shorter < 0 else shorter


def diagonal(x: Var, offset: int = 0, axis1: int = -2, axis2: int = -1) -> Var:
    """The ``offset``-th diagonal over two axes, as the last axis of the result."""
    if x.ndim < 2:
        raise ShapeError(f"diagonal: matrices are needed, not shape {shape_text(x.shape)}")
    first = normalize_axis(axis1, x.ndim, "diagonal")
    second = normalize_axis(axis2, x.ndim, "diagonal")
    if first == second:
        raise ShapeError(f"diagonal: axes {axis1} and {axis2} are the same")
    rest = [i for i in range(x.ndim) if i not in (first, second)]
    n = _diagonal_length(x.shape[first], x.shape[second], offset)
    z = gather(transpose(x, (first, second, *rest)), _diagonal_indices(n, offset))
    return transpose(z, (*range(1, z.ndim), 0))


def _diagonal_indices(n: Size, offset: int) -> tuple[Var, Var]:
    along = iota((n,), 0, int64)
    if offset == 0:
        return along, along
    moved = add(along, offset if offset > 0 else -offset)
    return (along, moved) if offset > 0 else (moved, along)


def trace(x: Var, offset: int = 0) -> Var:
    """The sum of a diagonal of the last two axes."""
    if x.ndim < 2:
        raise ShapeError(f"trace: matrices are needed, not shape {shape_text(x.shape)}")
    d = diagonal(x, offset)
    return reduce_sum(d, (d.ndim - 1,))


def diagonal_matrix(d: Var, offset: int = 0) -> Var:
    """Square matrices with the last axis of ``d`` on the ``offset``-th diagonal, zeros elsewhere."""
    n = d.shape[-1] + (offset if offset >= 0 else -offset)
    values = transpose(d, (d.ndim - 1, *range(d.ndim - 1)))
    zeros = full((n, n, *d.shape[:-1]), False if d.dtype.kind == "bool" else 0, d.dtype)
    z = scatter(zeros, values, _diagonal_indices(d.shape[-1], offset))
    return transpose(z, (*range(2, z.ndim), 0, 1))
