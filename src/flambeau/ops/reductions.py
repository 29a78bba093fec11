"""Statistics and other reductions: one number, or one for each position of the axes that stay.

``axis`` is an axis, a tuple of axes, or None for all; ``keepdims`` leaves the reduced axes in
place with size 1.  Sums and products of integers are 64 bits wide; float16 and bfloat16 are
accumulated in float32.
"""

from __future__ import annotations

from typing import Any

from flambeau.engine.tape import THREAD
from flambeau.ops.manipulation import concat
from flambeau.ops.record import Axis, dtype_or_none, hashed, number, record, value_of
from flambeau.primitives import array_api
from flambeau.tensor import Tensor


def sum(x: Tensor, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The sum over ``axis``, in ``dtype`` if given; 0 of nothing.

    >>> import flambeau as fb
    >>> fb.sum(fb.asarray([[1, 2], [3, 4]]), axis=0)
    tensor([4, 6])
    """
    return record(array_api.sum, (hashed(axis), dtype_or_none(dtype), keepdims), x)


def prod(x: Tensor, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The product over ``axis``, in ``dtype`` if given; 1 of nothing.

    >>> import flambeau as fb
    >>> fb.prod(fb.asarray([[1, 2], [3, 4]]), axis=1)
    tensor([ 2, 12])
    """
    return record(array_api.prod, (hashed(axis), dtype_or_none(dtype), keepdims), x)


def max(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element over ``axis``; NaN where there is one.  Equal ones share the gradient.

    Raises ``ShapeError`` where there is no element.

    >>> import flambeau as fb
    >>> fb.max(fb.asarray([[1, 2], [3, 4]]), axis=1)
    tensor([2, 4])
    """
    return record(array_api.max, (hashed(axis), keepdims), x)


def min(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element over ``axis``; NaN where there is one.  Equal ones share the gradient.

    Raises ``ShapeError`` where there is no element.

    >>> import flambeau as fb
    >>> fb.min(fb.asarray([[1, 2], [3, 4]]), axis=1)
    tensor([1, 3])
    """
    return record(array_api.min, (hashed(axis), keepdims), x)


def mean(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The arithmetic mean over ``axis``; NaN of nothing.

    >>> import flambeau as fb
    >>> fb.mean(fb.asarray([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    tensor([2., 3.])
    """
    return record(array_api.mean, (hashed(axis), keepdims), x)


def var(x: Tensor, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The variance over ``axis`` with divisor ``n - correction`` (Bessel's is 1).

    >>> import flambeau as fb
    >>> fb.var(fb.asarray([1.0, 2.0, 3.0]), correction=1)
    tensor(1.)
    """
    return _spread(array_api.var, x, axis, correction, keepdims)


def std(x: Tensor, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The standard deviation over ``axis`` with divisor ``n - correction``.

    >>> import flambeau as fb
    >>> fb.std(fb.asarray([1.0, 3.0]))
    tensor(1.)
    """
    return _spread(array_api.std, x, axis, correction, keepdims)


def _spread(fn: Any, x: Any, axis: Any, correction: Any, keepdims: bool) -> Tensor:
    value = value_of(x, fn.__name__)
    dtype = array_api.deviation_dtype(value.type.dtype)
    operands = (value, number(correction, dtype, fn.__name__))
    return Tensor(THREAD.tape.record(fn, (hashed(axis), keepdims), operands))


def any(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether an element over ``axis`` is true (not zero); False of nothing.

    >>> import flambeau as fb
    >>> fb.any(fb.asarray([[False, True], [False, False]]), axis=1)
    tensor([ True, False])
    """
    return record(array_api.any, (hashed(axis), keepdims), x)


def all(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether all elements over ``axis`` are true (not zero); True of nothing.

    >>> import flambeau as fb
    >>> fb.all(fb.asarray([[True, True], [False, True]]), axis=1)
    tensor([ True, False])
    """
    return record(array_api.all, (hashed(axis), keepdims), x)


def count_nonzero(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """How many elements over ``axis`` differ from zero: int64.

    >>> import flambeau as fb
    >>> fb.count_nonzero(fb.asarray([0, 1, 2]))
    tensor(2)
    """
    return record(array_api.count_nonzero, (hashed(axis), keepdims), x)


def logsumexp(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """``log(sum(exp(x)))`` over ``axis`` without overflow; -inf of nothing but -inf.

    >>> import flambeau as fb
    >>> fb.logsumexp(fb.asarray([1000.0, -fb.inf]))
    tensor(1000.)
    """
    return record(array_api.logsumexp, (hashed(axis), keepdims), x)


def softmax(x: Tensor, /, *, axis: int = -1) -> Tensor:
    """Exponentials that sum to 1 along ``axis``.

    >>> import flambeau as fb
    >>> fb.softmax(fb.asarray([0.0, 0.0]))
    tensor([0.5, 0.5])
    """
    return record(array_api.softmax, (axis,), x)


def log_softmax(x: Tensor, /, *, axis: int = -1) -> Tensor:
    """The logarithm of ``softmax``, without its rounding to 0.

    >>> import flambeau as fb
    >>> fb.log_softmax(fb.asarray([0.0, -1000.0]))
    tensor([    0., -1000.])
    """
    return record(array_api.log_softmax, (axis,), x)


# --- running ---------------------------------------------------------------------------------


def cumulative_sum(
    x: Tensor, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Running sums along ``axis``, which only a vector may leave out.

    ``include_initial`` puts the empty sum, 0, in front.

    >>> import flambeau as fb
    >>> fb.cumulative_sum(fb.asarray([1, 2, 3]), include_initial=True)
    tensor([0, 1, 3, 6])
    """
    return record(array_api.cumulative_sum, (axis, dtype_or_none(dtype), include_initial), x)


def cumulative_prod(
    x: Tensor, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Running products along ``axis``, which only a vector may leave out.

    ``include_initial`` puts the empty product, 1, in front.

    >>> import flambeau as fb
    >>> fb.cumulative_prod(fb.asarray([1, 2, 3]))
    tensor([1, 2, 6])
    """
    return record(array_api.cumulative_prod, (axis, dtype_or_none(dtype), include_initial), x)


def cumulative_max(x: Tensor, /, *, axis: int | None = None) -> Tensor:
    """Running maxima along ``axis``, which only a vector may leave out.

    >>> import flambeau as fb
    >>> fb.cumulative_max(fb.asarray([1, 3, 2]))
    tensor([1, 3, 3])
    """
    return record(array_api.cumulative_max, (axis,), x)


def cumulative_min(x: Tensor, /, *, axis: int | None = None) -> Tensor:
    """Running minima along ``axis``, which only a vector may leave out.

    >>> import flambeau as fb
    >>> fb.cumulative_min(fb.asarray([3, 1, 2]))
    tensor([3, 1, 1])
    """
    return record(array_api.cumulative_min, (axis,), x)


def diff(
    x: Tensor,
    /,
    *,
    axis: int = -1,
    n: int = 1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """The ``n``-th differences of neighbours along ``axis``, after joining ``prepend`` and ``append``.

    >>> import flambeau as fb
    >>> fb.diff(fb.asarray([1, 4, 9]))
    tensor([3, 5])
    """
    parts = [p for p in (prepend, x, append) if p is not None]
    joined = x if len(parts) == 1 else concat(parts, axis=axis)
    return record(array_api.diff, (axis, n), joined)
