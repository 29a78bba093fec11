"""From items to a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flambeau.errors import OperandError, ShapeError
from flambeau.tensor import Tensor

# Python's numbers become what fb.asarray makes of them; each kind takes in those before it.
_NUMBERS: dict[type, Any] = {bool: np.bool_, int: np.int64, float: np.float32, complex: np.complex64}


def default_collate(samples: Sequence[Any]) -> Any:
    """One batch of a list of items of the same structure.

    Arrays, tensors and numbers are stacked along a new first axis (Python's int, float and complex
    become int64, float32 and complex64), strings and bytes are listed, and tuples, lists and dicts are
    collated part by part.  The result holds NumPy arrays, which the loader turns into tensors.

    Raises:
        ShapeError: Arrays differ in shape; the message says which and where.
        OperandError: Items differ in structure or are of a kind that cannot be stacked.

    Example:
        >>> from flambeau.data import default_collate
        >>> default_collate([{"x": [1, 2], "name": "a"}, {"x": [3, 4], "name": "b"}])
        {'x': [array([1, 3]), array([2, 4])], 'name': ['a', 'b']}
    """
    if not samples:
        raise OperandError("collate: there are no items to make a batch of")
    return _collate(list(samples), "the item")


def _collate(samples: list[Any], where: str) -> Any:
    first = samples[0]
    kind = type(first)
    if isinstance(first, (str, bytes)):
        return samples
    if kind in _NUMBERS:
        return _numbers(samples, where)
    if isinstance(first, (np.ndarray, np.generic, Tensor)):
        return _stacked(samples, where)
    if isinstance(first, Mapping):
        return _mappings(samples, where)
    if isinstance(first, (tuple, list)):
        lengths = {len(s) if isinstance(s, (tuple, list)) else -1 for s in samples}
        if lengths != {len(first)}:
            other = next(s for s in samples if not isinstance(s, (tuple, list)) or len(s) != len(first))
            raise OperandError(
                f"collate: {where} has {len(first)} parts in one sample and is "
                f"{_described(other)} in another; give the loader a collate_fn"
            )
        parts = [_collate(list(part), f"{where}[{i}]") for i, part in enumerate(zip(*samples, strict=True))]
        if isinstance(first, list):
            return parts
        return kind(*parts) if hasattr(first, "_fields") else tuple(parts)
    raise OperandError(
        f"collate: {where} is of type {kind.__name__}, which has no batches; give the loader a collate_fn"
    )


def _numbers(samples: list[Any], where: str) -> Any:
    odd = next((s for s in samples if type(s) not in _NUMBERS), None)
    if odd is not None:
        if isinstance(odd, (np.ndarray, np.generic, Tensor)) and np.ndim(odd) == 0:
            return _stacked(samples, where)
        raise OperandError(f"collate: {where} is a number in one sample and {_described(odd)} in another")
    kinds = {type(s) for s in samples}
    dtype = [_NUMBERS[kind] for kind in _NUMBERS if kind in kinds][-1]
    try:
        return np.array(samples, dtype)
    except OverflowError:
        raise OperandError(f"collate: {where} holds an integer that does not fit int64") from None


def _stacked(samples: list[Any], where: str) -> Any:
    arrays = [np.asarray(s) for s in samples]
    for number, array in enumerate(arrays):
        if array.shape != arrays[0].shape:
            raise ShapeError(
                f"collate: {where} has shape {arrays[0].shape} in sample 0 of the batch and {array.shape} in "
                f"sample {number}; bring them to one shape, or give the loader a collate_fn that pads"
            )
    try:
        return np.stack(arrays)
    except TypeError as error:
        raise OperandError(f"collate: {where} cannot be stacked: {error}") from None


def _mappings(samples: list[Any], where: str) -> dict[Any, Any]:
    first = samples[0]
    for number, sample in enumerate(samples):
        if not isinstance(sample, Mapping) or sample.keys() != first.keys():
            have = list(sample) if isinstance(sample, Mapping) else _described(sample)
            raise OperandError(
                f"collate: {where} has the keys {list(first)} in sample 0 of the batch and {have} "
                f"in sample {number}"
            )
    return {key: _collate([s[key] for s in samples], f"{where}[{key!r}]") for key in first}


def _described(sample: Any) -> str:
    if isinstance(sample, (tuple, list)):
        return f"a {type(sample).__name__} of {len(sample)}"
    return f"of type {type(sample).__name__}"
