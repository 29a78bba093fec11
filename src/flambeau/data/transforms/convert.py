"""From bytes to numbers that networks like."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flambeau.data.memory import Array
from flambeau.data.transforms.base import Transform
from flambeau.errors import DTypeError, OperandError, ShapeError


class ToFloat(Transform):
    """uint8 from 0 to 255 as float32 from 0 to 1, with the channels in front.

    (height, width) becomes (1, height, width), and (height, width, channels) becomes
    (channels, height, width).

    Raises:
        DTypeError: The image is not uint8.

    Example:
        >>> import flambeau as fb
        >>> import numpy as np
        >>> fb.data.transforms.ToFloat()(np.array([[0, 51, 255]], np.uint8))
        array([[[0. , 0.2, 1. ]]], dtype=float32)
    """

    def apply(self, images: Array) -> Array:
        """What the transform makes of many images."""
        if images.dtype != np.uint8:
            raise DTypeError(f"ToFloat: the image must be uint8, not {images.dtype}")
        moved = images[:, None] if images.ndim == 3 else np.moveaxis(images, 3, 1)
        scaled: Array = np.ascontiguousarray(moved) / np.float32(255)
        return scaled


class Normalize(Transform):
    """Subtracts a mean from each channel of floating-point images and divides by a standard deviation.

    Args:
        mean: One number, or one per channel.
        std: As ``mean``; not 0.

    Raises:
        DTypeError: The image is not of a floating-point dtype.
        ShapeError: There are more or fewer channels than numbers.

    Example:
        >>> import flambeau as fb
        >>> import numpy as np
        >>> fb.data.transforms.Normalize(0.5, 0.25)(np.array([[[0.0, 1.0]]], np.float32))
        array([[[-2.,  2.]]], dtype=float32)
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean = np.atleast_1d(np.asarray(mean, np.float64))
        self.std = np.atleast_1d(np.asarray(std, np.float64))
        if self.mean.ndim != 1 or self.std.ndim != 1 or not (self.std > 0).all():
            raise OperandError("Normalize: mean and std are numbers or one number per channel, std above 0")

    def apply(self, images: Array) -> Array:
        """What the transform makes of many images."""
        if images.dtype.kind != "f":
            raise DTypeError(f"Normalize: the image must be of floating-point numbers, not {images.dtype}")
        channels = images.shape[1] if images.ndim == 4 else 1
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if len(numbers) not in (1, channels):
                raise ShapeError(f"Normalize: {len(numbers)} numbers in {name} for {channels} channels")
        mean, std = (
            x.astype(images.dtype).reshape(-1, 1, 1)[(...,) if images.ndim == 4 else 0]
            for x in (self.mean, self.std)
        )
        normalised: Array = images - mean
        normalised /= std
        return normalised
