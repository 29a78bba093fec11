"""Pieces of a long text to learn from."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.data.dataset import Dataset
from flambeau.data.memory import Array, IndexArray
from flambeau.errors import OperandError, OutOfBoundsError


class TextWindows(Dataset[tuple[Array, Array]]):
    """Windows of ``length`` tokens with their successors: item i is (inputs, targets).

    Both have the shape (length,); ``targets[j]`` is the token that follows ``inputs[j]``.

    Args:
        tokens: The numbers of a long text, in one axis.
        length: Tokens in a window.
        stride: Tokens from the start of a window to that of the next; ``length`` if left out, so that
            every token is learnt once.  A rest too short for a window is left out.

    Raises:
        OperandError: The tokens are not integers in one axis, or fewer than ``length + 1``.

    Example:
        >>> from flambeau.data import TextWindows
        >>> windows = TextWindows(list(range(10)), length=4)
        >>> len(windows), windows[1]
        (2, (array([4, 5, 6, 7]), array([5, 6, 7, 8])))
    """

    def __init__(self, tokens: Any, length: int, stride: int | None = None) -> None:
        array = np.asarray(tokens)
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise OperandError(
                f"TextWindows: tokens are integers in one axis, not {array.dtype} of shape {array.shape}"
            )
        self.stride = length if stride is None else stride
        if length < 1 or self.stride < 1:
            raise OperandError(
                f"TextWindows: length and stride are at least 1, not {length} and {self.stride}"
            )
        if len(array) <= length:
            raise OperandError(
                f"TextWindows: windows of {length} tokens and their successors need {length + 1} tokens; "
                f"there are {len(array)}"
            )
        self.tokens = array
        self.length = length

    def __len__(self) -> int:
        return (len(self.tokens) - self.length - 1) // self.stride + 1

    def __getitem__(self, index: int) -> tuple[Array, Array]:
        size = len(self)
        if not -size <= index < size:
            raise OutOfBoundsError(f"TextWindows: index {index} is out of range for {size} windows")
        start = (index % size) * self.stride
        window = self.tokens[start : start + self.length + 1]
        return window[:-1], window[1:]

    def gather(self, indices: IndexArray) -> tuple[Array, Array]:
        """Many windows at once, each of shape (indices, length)."""
        windows = np.lib.stride_tricks.sliding_window_view(self.tokens, self.length + 1)
        chosen = windows[indices * self.stride]
        return np.ascontiguousarray(chosen[:, :-1]), np.ascontiguousarray(chosen[:, 1:])
