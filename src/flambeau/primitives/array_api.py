"""The array API's arguments on top of the builders: raw axes, ``keepdims``, ``dtype``.

Functions and ``Tensor`` methods record these.  What users write (an axis that may be negative, a
tuple or None) is part of an entry's key as it stands and is only looked at here, when an entry is
recorded for the first time.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from flambeau.dtypes import DType, bool_, default_float, int64, real_of, uint64
from flambeau.errors import OperandError, OutOfBoundsError, ShapeError
from flambeau.graph.builder import Var
from flambeau.graph.dims import Dim
from flambeau.graph.types import Shape, Size
from flambeau.primitives import advanced, arranging, composites, cumulative, norms, sorting
from flambeau.primitives.elementwise import cast, ne, select
from flambeau.primitives.indexing import pad_axis, reverse
from flambeau.primitives.reduce import argmax as argmax_
from flambeau.primitives.reduce import argmin as argmin_
from flambeau.primitives.reduce import reduce_all, reduce_any, reduce_max, reduce_min, reduce_prod
from flambeau.primitives.views import (
    broadcast_to,
    infer_minus_one,
    keep_dims,
    normalize_axes,
    normalize_axis,
    product,
    reduce_sum,
    shape_text,
    transpose,
)
from flambeau.primitives.views import reshape as reshape_

Axes = int | Sequence[int] | None


class AxisError(ShapeError, OutOfBoundsError):
    """An axis that is not there; also an ``IndexError``, as the array API asks."""


# --- arguments -------------------------------------------------------------------------------


def as_sizes(shape: Any, name: str, lowest: int = 0) -> Shape:
    """A shape from a size or a sequence of sizes; raises where one is no integer or too small."""
    listed = shape if isinstance(shape, (tuple, list)) else (shape,)
    sizes: list[Size] = []
    for n in listed:
        if isinstance(n, Dim):
            sizes.append(n)
            continue
        try:
            size = operator.index(n)
        except TypeError:
            raise OperandError(f"{name}: sizes must be integers, not {n!r}") from None
        if size < lowest:
            raise ShapeError(f"{name}: {size} in shape {tuple(listed)} is no size")
        sizes.append(size)
    return tuple(sizes)


def one_axis(x: Var, axis: int | None, name: str) -> int:
    """The axis of an operation along one axis; it may be left out where there is only one."""
    if axis is None:
        if x.ndim != 1:
            raise ShapeError(f"{name}: a tensor of shape {shape_text(x.shape)} needs the argument axis")
        return 0
    return normalize_axis(axis, x.ndim, name)


def ordered_axes(axes: Axes, ndim: int, name: str) -> tuple[int, ...]:
    """Distinct, non-negative axes in the order they were given; None means all."""
    listed = range(ndim) if axes is None else axes if isinstance(axes, (tuple, list)) else (axes,)
    found = tuple([normalize_axis(a, ndim, name) for a in listed])
    if len(set(found)) != len(found):
        raise ShapeError(f"{name}: an axis is named twice in {tuple(listed)}")
    return found


def accumulated(dtype: DType) -> DType:
    """The dtype sums and products of ``dtype`` are given in: 64 bits for integers."""
    if dtype.kind in ("bool", "int"):
        return int64
    return uint64 if dtype.kind == "uint" else dtype


# --- reductions ------------------------------------------------------------------------------


def _reduced(
    reduce: Callable[[Var, Sequence[int]], Var], x: Var, axis: Axes, keepdims: bool, name: str
) -> Var:
    axes = normalize_axes(axis, x.ndim, name)
    y = reduce(x, axes)
    return keep_dims(y, x.shape, axes) if keepdims else y


def sum(x: Var, axis: Axes, dtype: DType | None, keepdims: bool) -> Var:
    """The sum over ``axis``."""
    return _reduced(reduce_sum, cast(x, dtype or accumulated(x.dtype)), axis, keepdims, "sum")


def prod(x: Var, axis: Axes, dtype: DType | None, keepdims: bool) -> Var:
    """The product over ``axis``."""
    return _reduced(reduce_prod, cast(x, dtype or accumulated(x.dtype)), axis, keepdims, "prod")


def max(x: Var, axis: Axes, keepdims: bool) -> Var:
    """The largest element over ``axis``."""
    return _reduced(reduce_max, x, axis, keepdims, "max")


def min(x: Var, axis: Axes, keepdims: bool) -> Var:
    """The smallest element over ``axis``."""
    return _reduced(reduce_min, x, axis, keepdims, "min")


def any(x: Var, axis: Axes, keepdims: bool) -> Var:
    """Whether an element over ``axis`` is true."""
    return _reduced(reduce_any, cast(x, bool_), axis, keepdims, "any")


def all(x: Var, axis: Axes, keepdims: bool) -> Var:
    """Whether all elements over ``axis`` are true."""
    return _reduced(reduce_all, cast(x, bool_), axis, keepdims, "all")


def count_nonzero(x: Var, axis: Axes, keepdims: bool) -> Var:
    """How many elements over ``axis`` differ from zero."""
    hit = x if x.dtype is bool_ else ne(x, 0)
    return _reduced(reduce_sum, cast(hit, int64), axis, keepdims, "count_nonzero")


def mean(x: Var, axis: Axes, keepdims: bool) -> Var:
    """The mean over ``axis``."""
    return composites.mean(x, normalize_axes(axis, x.ndim, "mean"), keepdims)


def var(x: Var, correction: Any, axis: Axes, keepdims: bool) -> Var:
    """The variance over ``axis``."""
    return composites.variance(x, normalize_axes(axis, x.ndim, "var"), correction, keepdims)


def std(x: Var, correction: Any, axis: Axes, keepdims: bool) -> Var:
    """The standard deviation over ``axis``."""
    return composites.std(x, normalize_axes(axis, x.ndim, "std"), correction, keepdims)


def logsumexp(x: Var, axis: Axes, keepdims: bool) -> Var:
    """The logarithm of the sum of exponentials over ``axis``."""
    return composites.logsumexp(x, normalize_axes(axis, x.ndim, "logsumexp"), keepdims)


def vector_norm(x: Var, axis: Axes, keepdims: bool, ord: float) -> Var:
    """The norm over ``axis``."""
    return norms.vector_norm(x, normalize_axes(axis, x.ndim, "vector_norm"), keepdims, ord)


def _arg(find: Callable[[Var, int], Var], x: Var, axis: int | None, keepdims: bool, name: str) -> Var:
    if axis is None:
        y = find(flatten(x), 0)
        return reshape_(y, (1,) * x.ndim) if keepdims else y
    at = normalize_axis(axis, x.ndim, name)
    y = find(x, at)
    return keep_dims(y, x.shape, (at,)) if keepdims else y


def argmax(x: Var, axis: int | None, keepdims: bool) -> Var:
    """Where the first largest element lies along ``axis``."""
    return _arg(argmax_, x, axis, keepdims, "argmax")


def argmin(x: Var, axis: int | None, keepdims: bool) -> Var:
    """Where the first smallest element lies along ``axis``."""
    return _arg(argmin_, x, axis, keepdims, "argmin")


def cumulative_sum(x: Var, axis: int | None, dtype: DType | None, include_initial: bool) -> Var:
    """Running sums along ``axis``."""
    at = one_axis(x, axis, "cumulative_sum")
    y = cumulative.cumsum(cast(x, dtype or accumulated(x.dtype)), at)
    return pad_axis(y, at, 1, 0, 0) if include_initial else y


def cumulative_prod(x: Var, axis: int | None, dtype: DType | None, include_initial: bool) -> Var:
    """Running products along ``axis``."""
    at = one_axis(x, axis, "cumulative_prod")
    y = cumulative.cumprod(cast(x, dtype or accumulated(x.dtype)), at)
    return pad_axis(y, at, 1, 0, 1) if include_initial else y


def cumulative_max(x: Var, axis: int | None) -> Var:
    """Running maxima along ``axis``."""
    return cumulative.cummax(x, one_axis(x, axis, "cumulative_max"))


def cumulative_min(x: Var, axis: int | None) -> Var:
    """Running minima along ``axis``."""
    return cumulative.cummin(x, one_axis(x, axis, "cumulative_min"))


# --- shapes ----------------------------------------------------------------------------------


def reshape(x: Var, shape: Any) -> Var:
    """The same elements under another shape; one size may be -1."""
    sizes = as_sizes(shape, "reshape", lowest=-1)
    return reshape_(x, infer_minus_one(sizes, product(x.shape)))


def flatten(x: Var, start_axis: int = 0, end_axis: int = -1) -> Var:
    """The axes from ``start_axis`` to ``end_axis`` (inclusive) as one."""
    if x.ndim == 0:
        return reshape_(x, (1,))
    start, end = normalize_axis(start_axis, x.ndim, "flatten"), normalize_axis(end_axis, x.ndim, "flatten")
    if start > end:
        raise ShapeError(f"flatten: axis {start_axis} comes after axis {end_axis}")
    return reshape_(x, (*x.shape[:start], product(x.shape[start : end + 1]), *x.shape[end + 1 :]))


def expand_dims(x: Var, axis: Axes) -> Var:
    """New axes of size 1 at ``axis`` of the result."""
    wanted = (axis,) if not isinstance(axis, (tuple, list)) else tuple(axis)
    ndim = x.ndim + len(wanted)
    for a in wanted:
        if isinstance(a, int) and not -ndim <= a < ndim:
            raise AxisError(f"expand_dims: axis {a} is out of range for a result with {ndim} axes")
    places = ordered_axes(wanted, ndim, "expand_dims")
    rest = iter(x.shape)
    return reshape_(x, tuple([1 if i in places else next(rest) for i in range(ndim)]))


def squeeze(x: Var, axis: Axes) -> Var:
    """``x`` without the axes ``axis`` of size 1."""
    axes = normalize_axes(axis, x.ndim, "squeeze")
    for a in axes:
        if x.shape[a] != 1:
            raise ShapeError(f"squeeze: axis {a} of shape {shape_text(x.shape)} has size {x.shape[a]}, not 1")
    return reshape_(x, tuple([n for i, n in enumerate(x.shape) if i not in axes]))


def permute_dims(x: Var, axes: Sequence[int]) -> Var:
    """``x`` with its axes in the order ``axes``."""
    order = ordered_axes(axes, x.ndim, "permute_dims")
    if len(order) != x.ndim:
        raise ShapeError(
            f"permute_dims: {tuple(axes)} does not order the axes of shape {shape_text(x.shape)}"
        )
    return transpose(x, order)


def transposed(x: Var) -> Var:
    """A matrix with rows and columns exchanged."""
    if x.ndim != 2:
        raise ShapeError(
            f"T: a matrix is needed, not shape {shape_text(x.shape)}; mT exchanges the last two axes, "
            "permute_dims orders any"
        )
    return transpose(x, (1, 0))


def matrix_transpose(x: Var) -> Var:
    """``x`` with its last two axes exchanged."""
    if x.ndim < 2:
        raise ShapeError(f"matrix_transpose: shape {shape_text(x.shape)} has fewer than two axes")
    return transpose(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def moveaxis(x: Var, source: Axes, destination: Axes) -> Var:
    """``x`` with the axes ``source`` moved to ``destination``, the others in order."""
    moved = ordered_axes(source, x.ndim, "moveaxis")
    places = ordered_axes(destination, x.ndim, "moveaxis")
    if len(moved) != len(places):
        raise ShapeError(f"moveaxis: {len(moved)} axes cannot move to {len(places)} places")
    perm = [i for i in range(x.ndim) if i not in moved]
    for place, axis in sorted(zip(places, moved, strict=True)):
        perm.insert(place, axis)
    return transpose(x, perm)


def flip(x: Var, axis: Axes) -> Var:
    """``x`` with the order along ``axis`` turned round."""
    return reverse(x, normalize_axes(axis, x.ndim, "flip"))


def broadcast(x: Var, shape: Any) -> Var:
    """``x`` repeated to ``shape``, axes aligned at the right."""
    return broadcast_to(x, as_sizes(shape, "broadcast_to"))


def repeat(x: Var, repeats: int, axis: int | None) -> Var:
    """Each element ``repeats`` times in a row."""
    if axis is None:
        return arranging.repeat(flatten(x), repeats, 0)
    return arranging.repeat(x, repeats, normalize_axis(axis, x.ndim, "repeat"))


def diff(x: Var, axis: int, n: int) -> Var:
    """Differences of neighbours."""
    if n < 0:
        raise OperandError(f"diff: n must not be negative: {n}")
    return arranging.diff(x, normalize_axis(axis, x.ndim, "diff"), n)


# --- selecting and ordering ------------------------------------------------------------------


def take(x: Var, indices: Var, axis: int | None) -> Var:
    """The slices of ``x`` at ``indices``."""
    return advanced.take(x, indices, one_axis(x, axis, "take"))


def sort(x: Var, axis: int, descending: bool, stable: bool) -> Var:
    """The elements in order."""
    return sorting.sort(x, normalize_axis(axis, x.ndim, "sort"), descending, stable)[0]


def argsort(x: Var, axis: int, descending: bool, stable: bool) -> Var:
    """The indices that sort."""
    return sorting.argsort(x, normalize_axis(axis, x.ndim, "argsort"), descending, stable)


def where(condition: Var, x: Var, y: Var) -> Var:
    """``x`` where the condition holds, else ``y``."""
    return select(cast(condition, bool_), x, y)


def clip(x: Var, low: Var, high: Var) -> Var:
    """``x`` limited on both sides."""
    return composites.clip(x, low, high)


def clip_low(x: Var, low: Var) -> Var:
    """``x``, at least ``low``."""
    return composites.clip(x, low, None)


def clip_high(x: Var, high: Var) -> Var:
    """``x``, at most ``high``."""
    return composites.clip(x, None, high)


def same(x: Var) -> Var:
    """``x``."""
    return x


# --- normalizing -----------------------------------------------------------------------------


def softmax(x: Var, axis: int) -> Var:
    """Exponentials that sum to 1."""
    return composites.softmax(x, normalize_axis(axis, x.ndim, "softmax"))


def log_softmax(x: Var, axis: int) -> Var:
    """The logarithm of ``softmax``."""
    return composites.log_softmax(x, normalize_axis(axis, x.ndim, "log_softmax"))


def deviation_dtype(dtype: DType) -> DType:
    """The dtype variances of ``dtype`` are computed in."""
    return composites.sum_precision(real_of(dtype)) if dtype.inexact else default_float
