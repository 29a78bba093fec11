"""Other sizes of images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flambeau.data.memory import Array
from flambeau.data.transforms.base import Transform, as_given, height_first, rounded_like, size_pair
from flambeau.errors import OperandError


class Resize(Transform):
    """Images of another size.

    Each new pixel is a weighted mean of the pixels around its middle, first along the height, then along
    the width ("bilinear"), or the pixel that its middle lies in ("nearest").

    Args:
        size: Height and width; or one number for the shorter side, which keeps the proportions.
        interpolation: "bilinear" or "nearest".
        antialias: Whether smaller images are means over all pixels that fall together, rather than of
            the two nearest ones ("bilinear" only).

    Example:
        >>> import flambeau as fb
        >>> import numpy as np
        >>> halved = fb.data.transforms.Resize((1, 2), antialias=False)
        >>> halved(np.array([[0, 10, 20, 30]], np.float32))
        array([[ 5., 25.]], dtype=float32)
    """

    def __init__(
        self, size: int | Sequence[int], interpolation: str = "bilinear", antialias: bool = True
    ) -> None:
        size_pair(size, "Resize")
        if interpolation not in ("bilinear", "nearest"):
            raise OperandError(f"Resize: interpolation is bilinear or nearest, not {interpolation!r}")
        self.size = size
        self.interpolation = interpolation
        self.antialias = antialias

    def apply(self, images: Array) -> Array:
        """What the transform makes of many images."""
        seen = height_first(images)
        height, width = self._new_size(seen.shape[1], seen.shape[2])
        if self.interpolation == "nearest":
            rows, columns = _middles(seen.shape[1], height), _middles(seen.shape[2], width)
            return as_given(seen[:, rows][:, :, columns], images)
        exact = seen.astype(np.float64 if images.dtype == np.float64 else np.float32, copy=False)
        for axis, size in ((1, height), (2, width)):
            if exact.shape[axis] != size:
                exact = _weighted(exact, axis, *_taps(exact.shape[axis], size, self.antialias))
        return as_given(rounded_like(exact, images), images)

    def _new_size(self, height: int, width: int) -> tuple[int, int]:
        if not isinstance(self.size, int):
            return size_pair(self.size, "Resize")
        short = min(height, width)
        return max(1, height * self.size // short), max(1, width * self.size // short)


def _middles(old: int, new: int) -> Array:
    """In which old pixel the middle of each new one lies."""
    return np.minimum((2 * np.arange(new) + 1) * old // (2 * new), old - 1)


def _taps(old: int, new: int, antialias: bool) -> tuple[Array, Array]:
    """For each new pixel the old ones it depends on, and their weights: both of shape (new, taps)."""
    scale = old / new
    middle = (np.arange(new) + 0.5) * scale
    if scale <= 1 or not antialias:
        place = np.maximum(middle - 0.5, 0.0)
        first = np.minimum(np.floor(place).astype(np.int64), old - 1)
        share = place - first
        indices = np.stack([first, np.minimum(first + 1, old - 1)], 1)
        return indices, np.stack([1 - share, share], 1)
    first = np.maximum(np.floor(middle - scale + 0.5).astype(np.int64), 0)
    last = np.minimum(np.floor(middle + scale + 0.5).astype(np.int64), old)
    indices = first[:, None] + np.arange(int((last - first).max()))
    weights = np.maximum(0.0, 1.0 - np.abs((indices + 0.5 - middle[:, None]) / scale))
    weights[indices >= last[:, None]] = 0.0
    return np.minimum(indices, old - 1), weights / weights.sum(1, keepdims=True)


def _weighted(images: Array, axis: int, indices: Array, weights: Array) -> Array:
    """Sums of weighted pixels along an axis, tap by tap in order: the same for one image and for many."""
    shape = [1] * images.ndim
    shape[axis] = len(indices)
    total: Array | None = None
    for tap in range(indices.shape[1]):
        weight = weights[:, tap].astype(images.dtype).reshape(shape)
        part = np.take(images, indices[:, tap], axis=axis) * weight
        total = part if total is None else total + part
    assert total is not None
    return total
