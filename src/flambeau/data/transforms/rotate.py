"""Rotation by random angles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flambeau.data.draws import uniform
from flambeau.data.memory import Array
from flambeau.data.transforms.base import Transform, as_given, height_first, rounded_like
from flambeau.errors import OperandError

_AT_ONCE = 1 << 20  # pixels whose coordinates are held at once


class RandomRotation(Transform):
    """Rotates each image around its middle by a random angle.

    Args:
        degrees: The angle is between -degrees and degrees, or between the two numbers of a pair;
            counter-clockwise.
        interpolation: "nearest" or "bilinear".
        fill: The value of pixels that come from outside the image.

    Example:
        >>> import flambeau as fb
        >>> import numpy as np
        >>> turn = fb.data.transforms.RandomRotation((90, 90))
        >>> turn(np.array([[1, 2], [3, 4]], np.uint8))
        array([[2, 4],
               [1, 3]], dtype=uint8)
    """

    def __init__(
        self, degrees: float | Sequence[float], interpolation: str = "nearest", fill: float = 0
    ) -> None:
        low, high = (-degrees, degrees) if isinstance(degrees, (int, float)) else tuple(degrees)
        if not low <= high:
            raise OperandError(f"RandomRotation: degrees is a number or a rising pair, not {degrees!r}")
        if interpolation not in ("nearest", "bilinear"):
            raise OperandError(f"RandomRotation: interpolation is nearest or bilinear, not {interpolation!r}")
        self.degrees = (float(low), float(high))
        self.interpolation = interpolation
        self.fill = fill

    def apply(self, images: Array) -> Array:
        """What the transform makes of many images."""
        low, high = self.degrees
        angles = np.radians(low + uniform(len(images))[:, 0] * (high - low))
        # Rounded, so that libraries that differ in the last bit make the same image.
        cos, sin = (np.rint(f(angles) * 2.0**40) * 2.0**-40 for f in (np.cos, np.sin))
        seen = height_first(images)
        result = np.empty_like(seen)
        step = max(1, _AT_ONCE // max(1, seen.shape[1] * seen.shape[2]))
        for at in range(0, len(seen), step):
            part = slice(at, at + step)
            result[part] = self._rotated(seen[part], cos[part], sin[part])
        return as_given(result, images)

    def _rotated(self, images: Array, cos: Array, sin: Array) -> Array:
        height, width = images.shape[1:3]
        dy = (np.arange(height) - (height - 1) / 2).reshape(1, -1, 1)
        dx = (np.arange(width) - (width - 1) / 2).reshape(1, 1, -1)
        cos, sin = cos.reshape(-1, 1, 1), sin.reshape(-1, 1, 1)
        x = cos * dx - sin * dy + (width - 1) / 2
        y = sin * dx + cos * dy + (height - 1) / 2
        # One pixel of ``fill`` all around stands for everything outside.
        framed = np.full((len(images), height + 2, width + 2, *images.shape[3:]), self.fill, images.dtype)
        framed[:, 1:-1, 1:-1] = images
        pixels = framed.reshape(len(images) * (height + 2) * (width + 2), *images.shape[3:])
        first = np.arange(len(images)).reshape(-1, 1, 1) * ((height + 2) * (width + 2))

        def at(rows: Array, columns: Array) -> Array:
            found: Array = np.take(pixels, first + rows + columns, axis=0)
            return found

        if self.interpolation == "nearest":
            return at(_inside(y + 0.5, height) * (width + 2), _inside(x + 0.5, width))
        top, down = _inside(y, height) * (width + 2), y - np.floor(y)
        left, right = _inside(x, width), x - np.floor(x)
        bottom, far = _inside(y + 1, height) * (width + 2), _inside(x + 1, width)
        if images.ndim == 4:
            down, right = down[..., None], right[..., None]
        above = at(top, left) * (1 - right) + at(top, far) * right
        below = at(bottom, left) * (1 - right) + at(bottom, far) * right
        return rounded_like(above * (1 - down) + below * down, images)


def _inside(places: Array, size: int) -> Array:
    """Which pixel a place lies in, counted from the frame on; the frame itself for those outside."""
    return np.asarray(np.clip(np.floor(places) + 1, 0, size + 1), np.int64)
