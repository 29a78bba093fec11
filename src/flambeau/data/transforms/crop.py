"""Padding and cropping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.data.draws import uniform
from flambeau.data.memory import Array
from flambeau.data.transforms.base import Transform, as_given, height_first, size_pair
from flambeau.errors import OperandError, ShapeError

_MODES = ("constant", "edge", "reflect", "symmetric")


class Pad(Transform):
    """Adds pixels around images.

    Args:
        padding: Pixels on all sides; or (left and right, top and bottom); or (left, top, right, bottom).
        fill: The value of new pixels in mode "constant".
        padding_mode: "constant", "edge", "reflect" or "symmetric", as NumPy's ``pad`` has them.

    Example:
        >>> import flambeau as fb
        >>> import numpy as np
        >>> fb.data.transforms.Pad((1, 0))(np.array([[7, 8]], np.uint8))
        array([[0, 7, 8, 0]], dtype=uint8)
    """

    def __init__(self, padding: int | Sequence[int], fill: float = 0, padding_mode: str = "constant") -> None:
        self.padding = _sides(padding, type(self).__name__)
        self.fill = fill
        self.padding_mode = padding_mode
        if padding_mode not in _MODES:
            raise OperandError(f"Pad: padding_mode is one of {', '.join(_MODES)}, not {padding_mode!r}")

    def apply(self, images: Array) -> Array:
        """What the transform makes of many images."""
        return as_given(self.around(height_first(images)), images)

    def around(self, images: Array) -> Array:
        """The padded images, height and width on axes 1 and 2."""
        left, top, right, bottom = self.padding
        count, height, width, *rest = images.shape
        if self.padding_mode == "constant":
            shape = (count, top + height + bottom, left + width + right, *rest)
            padded = np.full(shape, self.fill, images.dtype)
            padded[:, top : top + height, left : left + width] = images
            return padded
        mode: Any = self.padding_mode
        return np.pad(images, [(0, 0), (top, bottom), (left, right), *[(0, 0)] * len(rest)], mode)


class CenterCrop(Transform):
    """The middle of images, of ``size`` (one number for a square, or height and width).

    Raises:
        ShapeError: The image is smaller.

    Example:
        >>> import flambeau as fb
        >>> import numpy as np
        >>> fb.data.transforms.CenterCrop((1, 2))(np.arange(12, dtype=np.uint8).reshape(3, 4))
        array([[5, 6]], dtype=uint8)
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = size_pair(size, "CenterCrop")

    def apply(self, images: Array) -> Array:
        """What the transform makes of many images."""
        seen = height_first(images)
        height, width = self.size
        _must_hold(seen, self.size, "CenterCrop")
        top, left = (seen.shape[1] - height) // 2, (seen.shape[2] - width) // 2
        return as_given(seen[:, top : top + height, left : left + width], images)


class RandomCrop(Transform):
    """A part of ``size`` at a random place of each image, which may be padded before.

    With ``size`` that of the images and ``padding=2``, images are shifted by up to 2 pixels.

    Args:
        size: One number for a square, or height and width.
        padding: As in ``Pad``; none if left out.
        fill: As in ``Pad``.
        padding_mode: As in ``Pad``.

    Raises:
        ShapeError: A padded image is smaller than ``size``.

    Example:
        >>> import flambeau as fb
        >>> import numpy as np
        >>> fb.data.transforms.RandomCrop(32, padding=4).batch(np.zeros((10, 32, 32, 3), np.uint8)).shape
        (10, 32, 32, 3)
    """

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        fill: float = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size = size_pair(size, "RandomCrop")
        self.pad = None if padding is None else Pad(padding, fill, padding_mode)

    def apply(self, images: Array) -> Array:
        """What the transform makes of many images."""
        seen = height_first(images)
        if self.pad is not None:
            seen = self.pad.around(seen)
        _must_hold(seen, self.size, "RandomCrop")
        spare = np.array([seen.shape[1] - self.size[0] + 1, seen.shape[2] - self.size[1] + 1])
        corners = (uniform(len(seen), 2) * spare).astype(np.int64)
        windows = np.lib.stride_tricks.sliding_window_view(seen, self.size, axis=(1, 2))
        cropped = windows[np.arange(len(seen)), corners[:, 0], corners[:, 1]]
        if seen.ndim == 4:
            cropped = np.moveaxis(cropped, 1, 3)
        return as_given(cropped, images)


def _sides(padding: int | Sequence[int], name: str) -> tuple[int, int, int, int]:
    sides = (padding,) if isinstance(padding, int) else tuple(padding)
    if len(sides) not in (1, 2, 4) or any(not isinstance(n, int) or n < 0 for n in sides):
        raise OperandError(f"{name}: padding is one, two or four integers of at least 0, not {padding!r}")
    left, top, right, bottom = sides * (4 // len(sides))
    return left, top, right, bottom


def _must_hold(images: Array, size: tuple[int, int], name: str) -> None:
    if images.shape[1] < size[0] or images.shape[2] < size[1]:
        raise ShapeError(
            f"{name}: an image of {images.shape[1]}x{images.shape[2]} pixels is smaller than the "
            f"{size[0]}x{size[1]} to cut out of it; pad it before"
        )
