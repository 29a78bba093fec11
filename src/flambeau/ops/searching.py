"""Where elements are, elements at given places, and order."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from flambeau.dtypes import default_float, of_number, promote
from flambeau.engine.convert import from_array
from flambeau.errors import DTypeError, OperandError, ShapeError
from flambeau.graph.builder import Var
from flambeau.ops.record import (
    Number,
    operand,
    operands,
    record,
    record_all,
    record_mixed,
    refuse,
    to_dtype,
    value_of,
)
from flambeau.primitives import advanced, array_api, sorting
from flambeau.primitives.elementwise import cast, harmonize_dtypes
from flambeau.primitives.indexing import slice_axis
from flambeau.primitives.reduce import one_hot as one_hot_
from flambeau.primitives.views import normalize_axis
from flambeau.tensor import Tensor


def argmax(x: Tensor, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the largest element lies along ``axis`` (in the flattened tensor without it): int64.

    The first of equal ones, and the first NaN if there is one.

    >>> import flambeau as fb
    >>> fb.argmax(fb.asarray([[1, 5, 5], [7, 0, 0]]), axis=1)
    tensor([1, 0])
    """
    return record(array_api.argmax, (axis, keepdims), x)


def argmin(x: Tensor, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the smallest element lies along ``axis`` (in the flattened tensor without it): int64.

    The first of equal ones, and the first NaN if there is one.

    >>> import flambeau as fb
    >>> fb.argmin(fb.asarray([[1, 5, 5], [7, 0, 0]]), axis=1)
    tensor([0, 1])
    """
    return record(array_api.argmin, (axis, keepdims), x)


def nonzero(x: Tensor, /) -> tuple[Tensor, ...]:
    """The indices of the elements that are not zero, one int64 vector for each axis.

    How many there are depends on the values, so these are looked at.

    >>> import flambeau as fb
    >>> fb.nonzero(fb.asarray([[0, 7], [8, 0]]))
    (tensor([0, 1]), tensor([1, 0]))
    """
    value = value_of(x, "nonzero")
    if not value.type.shape:
        refuse(ShapeError("nonzero: a tensor without axes has no indices"))
    return tuple([Tensor(from_array(i)) for i in np.nonzero(x.numpy())])


def where(condition: Tensor, x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """``x1`` where the condition holds, else ``x2``; all three broadcast.

    >>> import flambeau as fb
    >>> fb.where(fb.asarray([True, False]), fb.asarray([1.0, 2.0]), 0.0)
    tensor([1., 0.])
    """
    test = value_of(condition, "where")
    if isinstance(x1, Tensor) or isinstance(x2, Tensor):
        first, second = operands("where", x1, x2)
    else:
        dtype = promote(of_number(x1), of_number(x2))
        first, second = (x1, dtype), (x2, dtype)
    return record_mixed(array_api.where, (), [test, first, second])


def _searchsorted(x: Var, values: Var, side: str) -> Var:
    table, wanted = harmonize_dtypes("searchsorted", x, values)
    return sorting.searchsorted(table, wanted, side)


def searchsorted(
    x1: Tensor,
    x2: Tensor | Number,
    /,
    *,
    side: Literal["left", "right"] = "left",
    sorter: Tensor | None = None,
) -> Tensor:
    """Where the elements of ``x2`` would have to be inserted into the sorted vector ``x1``: int64.

    With ``side`` "left" before equal elements, with "right" behind them.  ``sorter`` holds the
    indices that sort ``x1`` where it is not.

    >>> import flambeau as fb
    >>> fb.searchsorted(fb.asarray([1, 3, 5]), fb.asarray([3, 4]))
    tensor([1, 2])
    """
    if side not in ("left", "right"):
        refuse(OperandError(f"searchsorted: side must be 'left' or 'right', not {side!r}"))
    if value_of(x1, "searchsorted").type.ndim != 1:
        refuse(ShapeError(f"searchsorted: a sorted vector is needed, not shape {x1.shape}"))
    table = x1 if sorter is None else take(x1, sorter)
    return record_mixed(_searchsorted, (side,), [table._value, operand(x2, x1.dtype, "searchsorted")])


# --- order -----------------------------------------------------------------------------------


def sort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The elements in order along ``axis``; NaN counts as larger than any number.

    >>> import flambeau as fb
    >>> fb.sort(fb.asarray([3, 1, 2]), descending=True)
    tensor([3, 2, 1])
    """
    return record(array_api.sort, (axis, descending, stable), x)


def argsort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The indices that sort ``x`` along ``axis``: int64.

    >>> import flambeau as fb
    >>> fb.argsort(fb.asarray([3, 1, 2]))
    tensor([1, 2, 0])
    """
    return record(array_api.argsort, (axis, descending, stable), x)


def _topk(x: Var, k: int, axis: int, largest: bool) -> tuple[Var, Var]:
    at = normalize_axis(axis, x.ndim, "topk")
    size = x.shape[at]
    if k < 0 or (isinstance(size, int) and k > size):
        raise ShapeError(f"topk: {k} of the {size} elements along axis {axis}")
    values, indices = sorting.sort(x, at, descending=largest)
    return slice_axis(values, at, 0, k), slice_axis(indices, at, 0, k)


def topk(x: Tensor, k: int, /, *, axis: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
    """The ``k`` largest (or smallest) elements along ``axis``, in order, and their indices.

    >>> import flambeau as fb
    >>> fb.topk(fb.asarray([3, 9, 5]), 2)
    (tensor([9, 5]), tensor([1, 2]))
    """
    values, indices = record_all(_topk, (k, axis, largest), x)
    return values, indices


# --- elements at given places ----------------------------------------------------------------


def take(x: Tensor, indices: Tensor, /, *, axis: int | None = None) -> Tensor:
    """The slices of ``x`` at ``indices`` along ``axis``, which only a vector may leave out.

    Raises ``OutOfBoundsError`` for an index outside ``[-size, size)``.

    >>> import flambeau as fb
    >>> fb.take(fb.asarray([10, 20, 30]), fb.asarray([2, 0]))
    tensor([30, 10])
    """
    return record(array_api.take, (axis,), x, indices)


def take_along_axis(x: Tensor, indices: Tensor, /, *, axis: int = -1) -> Tensor:
    """For each position the element of ``x`` at ``indices`` along ``axis``; other axes broadcast.

    >>> import flambeau as fb
    >>> fb.take_along_axis(fb.asarray([[1, 2], [3, 4]]), fb.asarray([[1], [0]]), axis=1)
    tensor([[2],
            [3]])
    """
    return record(advanced.take_along_axis, (axis,), x, indices)


def put_along_axis(x: Tensor, indices: Tensor, values: Tensor | Number, /, *, axis: int = -1) -> Tensor:
    """``x`` with ``values`` at ``indices`` along ``axis``; of equal indices the last one counts.

    >>> import flambeau as fb
    >>> fb.put_along_axis(fb.asarray([[1, 2], [3, 4]]), fb.asarray([[1], [0]]), 9, axis=1)
    tensor([[1, 9],
            [9, 4]])
    """
    return _along(_put, x, indices, values, axis)


def add_along_axis(x: Tensor, indices: Tensor, values: Tensor | Number, /, *, axis: int = -1) -> Tensor:
    """``x`` with ``values`` added at ``indices`` along ``axis``, each of several equal ones.

    >>> import flambeau as fb
    >>> fb.add_along_axis(fb.zeros(3), fb.asarray([0, 2, 2]), 1.0)
    tensor([1., 0., 2.])
    """
    return _along(_add, x, indices, values, axis)


def _put(x: Var, indices: Var, values: Var, axis: int) -> Var:
    return advanced.put_along_axis(x, indices, cast(values, x.dtype), axis)


def _add(x: Var, indices: Var, values: Var, axis: int) -> Var:
    return advanced.add_along_axis(x, indices, cast(values, x.dtype), axis)


def _along(fn: Any, x: Any, indices: Any, values: Any, axis: int) -> Tensor:
    own = value_of(x, fn.__name__)
    new = operand(values, own.type.dtype, fn.__name__)
    return record_mixed(fn, (axis,), [own, value_of(indices, fn.__name__), new])


def one_hot(indices: Tensor, size: int, /, *, dtype: Any = None) -> Tensor:
    """A new last axis of ``size`` that is 1 at the index and 0 elsewhere, float32 unless ``dtype`` is given.

    An index outside ``[0, size)`` gives zeros.

    >>> import flambeau as fb
    >>> fb.one_hot(fb.asarray([0, 2]), 3)
    tensor([[1., 0., 0.],
            [0., 0., 1.]])
    """
    if value_of(indices, "one_hot").type.dtype.kind not in ("int", "uint"):
        refuse(DTypeError(f"one_hot: integers are needed, not {indices.dtype}"))
    return record(one_hot_, (size, default_float if dtype is None else to_dtype(dtype)), indices)
