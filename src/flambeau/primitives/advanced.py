"""Indexing as users write it, made of gather, scatter and select."""

from __future__ import annotations

from collections.abc import Sequence

from flambeau.dtypes import bool_, int64
from flambeau.errors import DTypeError, ShapeError
from flambeau.graph.builder import Var
from flambeau.graph.types import Shape
from flambeau.primitives.cumulative import cumsum
from flambeau.primitives.elementwise import cast, maximum, select, sub
from flambeau.primitives.gather import gather, scatter, scatter_add
from flambeau.primitives.views import (
    Number,
    broadcast,
    broadcast_shapes,
    broadcast_to,
    inverse,
    iota,
    normalize_axis,
    product,
    reshape,
    shape_text,
    transpose,
)


def take(x: Var, indices: Var, axis: int) -> Var:
    """The slices of ``x`` at ``indices`` along ``axis``; the axes of ``indices`` come in its place."""
    axis = normalize_axis(axis, x.ndim, "take")
    z = gather(transpose(x, _front(x.ndim, (axis,))), (indices,))
    k = indices.ndim
    return transpose(z, (*range(k, k + axis), *range(k), *range(k + axis, z.ndim)))


def _front(ndim: int, axes: Sequence[int]) -> tuple[int, ...]:
    return (*axes, *[i for i in range(ndim) if i not in axes])


def _along(name: str, x: Var, indices: Var, axis: int) -> tuple[Var, list[Var]]:
    """``x`` and an index tensor per axis such that only ``axis`` is selected on."""
    if indices.ndim != x.ndim:
        raise ShapeError(
            f"{name}: indices of shape {shape_text(indices.shape)} need as many axes as {shape_text(x.shape)}"
        )
    others = broadcast_shapes(name, *[(*s[:axis], 1, *s[axis + 1 :]) for s in (x.shape, indices.shape)])
    shape = (*others[:axis], indices.shape[axis], *others[axis + 1 :])
    x = broadcast_to(x, (*others[:axis], x.shape[axis], *others[axis + 1 :]))
    indices = broadcast_to(indices, shape)
    return x, [indices if a == axis else iota(shape, a, int64) for a in range(x.ndim)]


def take_along_axis(x: Var, indices: Var, axis: int) -> Var:
    """For each position the element of ``x`` at ``indices`` along ``axis``; other axes broadcast."""
    axis = normalize_axis(axis, x.ndim, "take_along_axis")
    x, every = _along("take_along_axis", x, indices, axis)
    return gather(x, every)


def put_along_axis(x: Var, indices: Var, values: Var, axis: int) -> Var:
    """``x`` with ``values`` written at ``indices`` along ``axis``; of equal indices the last one counts."""
    axis = normalize_axis(axis, x.ndim, "put_along_axis")
    x, every = _along("put_along_axis", x, indices, axis)
    return scatter(x, broadcast_to(values, every[0].shape), every)


def add_along_axis(x: Var, indices: Var, values: Var, axis: int) -> Var:
    """``x`` with ``values`` added at ``indices`` along ``axis``."""
    axis = normalize_axis(axis, x.ndim, "add_along_axis")
    x, every = _along("add_along_axis", x, indices, axis)
    return scatter_add(x, broadcast_to(values, every[0].shape), every)


# --- several index tensors on any axes, as in x[:, i, :, j] ----------------------------------


def _common(name: str, indices: Sequence[Var]) -> list[Var]:
    shape = broadcast_shapes(name, *[i.shape for i in indices])
    return [broadcast_to(i, shape) for i in indices]


def _place(axes: Sequence[int]) -> int:
    """Where the axes of the index tensors go: at the first of neighbouring ``axes``, else in front."""
    neighbours = list(axes) == list(range(axes[0], axes[0] + len(axes)))
    return axes[0] if neighbours else 0


def _result_perm(ndim: int, axes: Sequence[int], index_ndim: int) -> tuple[int, ...]:
    """The order that takes (index axes, free axes) to where NumPy puts them."""
    at, k = _place(axes), index_ndim
    free = ndim - len(axes)
    return (*range(k, k + at), *range(k), *range(k + at, k + free))


def take_axes(x: Var, axes: Sequence[int], indices: Sequence[Var]) -> Var:
    """``x`` indexed on ascending ``axes`` by integer tensors that broadcast, whole on all others.

    The axes of the indices come where NumPy puts them: in the place of the first indexed axis if
    the indexed axes are neighbours, else in front.
    """
    same = _common("index", indices)
    z = gather(transpose(x, _front(x.ndim, axes)), same)
    return transpose(z, _result_perm(x.ndim, axes, same[0].ndim))


def _updates(
    x: Var, axes: Sequence[int], same: Sequence[Var], values: Var
) -> tuple[Var, Var, tuple[int, ...]]:
    front = _front(x.ndim, axes)
    moved = transpose(x, front)
    natural: Shape = (*same[0].shape, *moved.shape[len(axes) :])
    perm = _result_perm(x.ndim, axes, same[0].ndim)
    shaped = broadcast_to(values, tuple(natural[p] for p in perm), "x[...] = value")
    return moved, transpose(shaped, inverse(perm)), inverse(front)


def put_axes(x: Var, axes: Sequence[int], indices: Sequence[Var], values: Var) -> Var:
    """``x`` after ``x[..., indices, ...] = values``, with indices as in ``take_axes``; values broadcast."""
    same = _common("index", indices)
    moved, updates, back = _updates(x, axes, same, values)
    return transpose(scatter(moved, updates, same), back)


def add_axes(x: Var, axes: Sequence[int], indices: Sequence[Var], values: Var) -> Var:
    """``put_axes`` that adds, each of several equal indices."""
    same = _common("index", indices)
    moved, updates, back = _updates(x, axes, same, values)
    return transpose(scatter_add(moved, updates, same), back)


# --- masks -----------------------------------------------------------------------------------


def _full_mask(name: str, x: Var, mask: Var) -> Var:
    if mask.dtype is not bool_:
        raise DTypeError(f"{name}: a mask must be bool, not {mask.dtype}")
    if mask.shape != x.shape[: mask.ndim]:
        raise ShapeError(
            f"{name}: a mask of shape {shape_text(mask.shape)} does not fit "
            f"a tensor of shape {shape_text(x.shape)}"
        )
    return broadcast(mask, x.shape, range(mask.ndim))


def masked_fill(x: Var, mask: Var, value: Var | Number) -> Var:
    """``x`` after ``x[mask] = value``: a mask over the leading axes, a value that broadcasts to the rest."""
    spread = _full_mask("index", x, mask)
    if isinstance(value, Var):
        value = broadcast_to(cast(value, x.dtype), x.shape)
    return cast(select(spread, value, x), x.dtype)


def masked_put(x: Var, mask: Var, values: Var) -> Var:
    """``x`` after ``x[mask] = values`` with one entry of ``values`` for each true element of the mask.

    ``values`` has the shape ``(count, *rest)``; that ``count`` is right must be checked by who
    knows the mask.
    """
    spread = _full_mask("index", x, mask)
    size = product(mask.shape)
    position = sub(cumsum(reshape(cast(mask, int64), (size,)), 0), 1)
    if values.shape[0] == 0:
        return x
    chosen = gather(values, (reshape(maximum(position, 0), mask.shape),))
    return select(spread, cast(chosen, x.dtype), x)
