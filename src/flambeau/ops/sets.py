"""Distinct elements.  How many there are depends on the values, so these are looked at.

The elements come in ascending order; NaNs are distinct from each other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from flambeau.engine.convert import from_array
from flambeau.ops.record import record, value_of
from flambeau.primitives import array_api
from flambeau.tensor import Tensor


class UniqueAll(NamedTuple):
    """Result of ``unique_all``."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """Result of ``unique_counts``."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """Result of ``unique_inverse``."""

    values: Tensor
    inverse_indices: Tensor


def _tensor(array: np.ndarray) -> Tensor:
    return Tensor(from_array(np.asarray(array)))


def unique_all(x: Tensor, /) -> UniqueAll:
    """The distinct elements, where each lies first, which of them each element is, how often each comes.

    >>> import flambeau as fb
    >>> fb.unique_all(fb.asarray([3, 1, 3])).counts
    tensor([1, 2])
    """
    value = value_of(x, "unique_all")
    array = x.numpy()
    _, first, inverse, counts = np.unique(
        array, return_index=True, return_inverse=True, return_counts=True, equal_nan=False
    )
    indices = _tensor(first)
    # taken from the tensor, so that gradients flow to the elements that are shown
    values = record(array_api.take, (0,), record(array_api.reshape, ((-1,),), x), indices)
    return UniqueAll(values, indices, _tensor(inverse.reshape(value.type.shape)), _tensor(counts))


def unique_counts(x: Tensor, /) -> UniqueCounts:
    """The distinct elements, and how often each comes.

    >>> import flambeau as fb
    >>> fb.unique_counts(fb.asarray([3, 1, 3])).values
    tensor([1, 3])
    """
    found = unique_all(x)
    return UniqueCounts(found.values, found.counts)


def unique_inverse(x: Tensor, /) -> UniqueInverse:
    """The distinct elements, and which of them each element of ``x`` is.

    >>> import flambeau as fb
    >>> fb.unique_inverse(fb.asarray([3, 1, 3])).inverse_indices
    tensor([1, 0, 1])
    """
    found = unique_all(x)
    return UniqueInverse(found.values, found.inverse_indices)


def unique_values(x: Tensor, /) -> Tensor:
    """The distinct elements.

    >>> import flambeau as fb
    >>> fb.unique_values(fb.asarray([3, 1, 3]))
    tensor([1, 3])
    """
    return unique_all(x).values
