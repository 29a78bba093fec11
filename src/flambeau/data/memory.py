"""NumPy arrays on the framework's own memory, which a tensor takes over without a copy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.ops.creation import asarray
from flambeau.runtime.buffers import Buffer
from flambeau.tensor import Tensor

Array = np.ndarray[Any, np.dtype[Any]]
IndexArray = np.ndarray[Any, np.dtype[np.int64]]

# What tensors can hold, by NumPy's kind of dtype; bfloat16 is of kind V.
_NUMBERS = frozenset("biufcV")


def empty_array(shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
    """An array that is not initialised, in memory as tensors use it."""
    return Buffer(math.prod(shape) * dtype.itemsize).view(dtype, tuple(shape))


def take_rows(array: Array, indices: IndexArray) -> Array:
    """``array[indices]`` along the first axis, as a new array; the indices are within bounds."""
    if array.dtype.hasobject:
        return array[indices]
    rows = empty_array((len(indices), *array.shape[1:]), array.dtype)
    if rows.size:
        # Bounds were checked; "raise" would gather into a second array first.
        np.take(array, indices, axis=0, out=rows, mode="clip")
    return rows


def to_tensors(tree: Any, owned: bool) -> Any:
    """The same nested tuples, lists and dicts with tensors in place of arrays.

    ``owned``: nobody else holds the arrays, so that tensors may take over their memory.
    """
    if isinstance(tree, np.ndarray):
        if tree.dtype.kind not in _NUMBERS:
            return tree
        return asarray(tree, copy=False) if owned and tree.flags.c_contiguous else asarray(tree)
    if isinstance(tree, np.generic):
        return asarray(tree) if tree.dtype.kind in _NUMBERS else tree
    if isinstance(tree, dict):
        return {key: to_tensors(value, owned) for key, value in tree.items()}
    if isinstance(tree, tuple):
        parts = [to_tensors(part, owned) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    if isinstance(tree, list):
        return [to_tensors(part, owned) for part in tree]
    return tree


def to_arrays(tree: Any) -> Any:
    """The same nested tuples, lists and dicts with arrays in place of tensors."""
    if isinstance(tree, Tensor):
        return tree.numpy()
    if isinstance(tree, dict):
        return {key: to_arrays(value) for key, value in tree.items()}
    if isinstance(tree, tuple):
        parts = [to_arrays(part) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    if isinstance(tree, list):
        return [to_arrays(part) for part in tree]
    return tree
