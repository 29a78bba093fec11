"""Sequences of different lengths, brought to one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.data.memory import Array
from flambeau.errors import OperandError, ShapeError


def truncate(sequence: Any, length: int, side: str = "right") -> Array:
    """At most ``length`` elements of a sequence: those that remain when the rest is cut off on ``side``.

    >>> from flambeau.data import truncate
    >>> truncate([1, 2, 3, 4], 3), truncate([1, 2, 3, 4], 3, side="left")
    (array([1, 2, 3]), array([2, 3, 4]))
    """
    _check(length, side)
    array = np.asarray(sequence)
    return array[:length] if side == "right" else array[max(0, len(array) - length) :]


def pad_sequences(
    sequences: Sequence[Any], length: int | None = None, value: float = 0, side: str = "right"
) -> tuple[Array, Array]:
    """Sequences as one array, filled up with ``value``, and how long each was.

    Use it in a loader's ``collate_fn``.

    Args:
        sequences: Arrays that differ in the size of their first axis only.
        length: What to fill up to; that of the longest if left out.  Longer ones are cut off.
        value: What to fill up with.
        side: On which side to fill up, and to cut off: "right" or "left".

    Returns:
        An array of shape (sequences, length, ...), and the lengths, cut off to ``length``, as int64.

    Raises:
        ShapeError: The other axes differ.

    Example:
        >>> from flambeau.data import pad_sequences
        >>> padded, lengths = pad_sequences([[1, 2, 3], [4]], value=-1)
        >>> padded.tolist(), lengths.tolist()
        ([[1, 2, 3], [4, -1, -1]], [3, 1])
    """
    if length is not None:
        _check(length, side)
    _check(0, side)
    arrays = [np.asarray(s) for s in sequences]
    if not arrays:
        raise OperandError("pad_sequences: there are no sequences")
    if any(not a.ndim or a.shape[1:] != arrays[0].shape[1:] for a in arrays):
        shapes = ", ".join(str(a.shape) for a in arrays[:8])
        raise ShapeError(
            f"pad_sequences: sequences may differ in the first axis only; their shapes are {shapes}"
        )
    longest = max(len(a) for a in arrays) if length is None else length
    filled = [a for a in arrays if len(a)] or arrays[:1]  # an empty list has no dtype to speak of
    padded = np.full((len(arrays), longest, *arrays[0].shape[1:]), value, np.result_type(*filled))
    lengths = np.zeros(len(arrays), np.int64)
    for row, array in zip(range(len(arrays)), arrays, strict=True):
        part = truncate(array, longest, side)
        lengths[row] = len(part)
        padded[row, (slice(len(part)) if side == "right" else slice(longest - len(part), longest))] = part
    return padded, lengths


def _check(length: int, side: str) -> None:
    if length < 0:
        raise OperandError(f"a length cannot be {length}")
    if side not in ("left", "right"):
        raise OperandError(f"side is left or right, not {side!r}")
