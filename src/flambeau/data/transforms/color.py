"""Brightness, contrast and colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flambeau.data.draws import uniform
from flambeau.data.memory import Array
from flambeau.data.transforms.base import Transform, as_given, height_first, rounded_like, spread
from flambeau.errors import OperandError, ShapeError

# How bright red, green and blue are: ITU-R BT.601.
_LUMA = (0.299, 0.587, 0.114)


class Grayscale(Transform):
    """The brightness of images with three channels, as one channel or as three that are the same.

    Raises:
        ShapeError: The image does not have three channels.

    Example:
        >>> import flambeau as fb
        >>> import numpy as np
        >>> fb.data.transforms.Grayscale()(np.array([[[200, 100, 50]]], np.uint8))
        array([[[124]]], dtype=uint8)
    """

    def __init__(self, num_output_channels: int = 1) -> None:
        if num_output_channels not in (1, 3):
            raise OperandError(f"Grayscale: num_output_channels is 1 or 3, not {num_output_channels!r}")
        self.num_output_channels = num_output_channels

    def apply(self, images: Array) -> Array:
        """What the transform makes of many images."""
        seen = height_first(images)
        if seen.ndim != 4 or seen.shape[3] != 3:
            raise ShapeError(f"Grayscale: three channels are needed; the image has shape {images.shape[1:]}")
        grey = rounded_like(_brightness(seen), images)
        return as_given(np.repeat(grey, self.num_output_channels, axis=3), images)


class ColorJitter(Transform):
    """Changes brightness, contrast and saturation of each image by random factors, in this order.

    A number x stands for factors between max(0, 1 - x) and 1 + x, a pair for those between its two
    numbers; 0 leaves the property as it is.  Images are of integers, or of floating-point numbers from 0
    to 1; what leaves the range is cut off at the end.

    Args:
        brightness: Factors of all pixels; 0 is black.
        contrast: Factors of the distance from the image's mean brightness; 0 is even grey.
        saturation: Factors of the distance from the same image in grey; 0 has no colours.

    Example:
        >>> import flambeau as fb
        >>> import numpy as np
        >>> fb.data.transforms.ColorJitter(brightness=(0.5, 0.5))(np.array([[0, 100, 200]], np.uint8))
        array([[  0,  50, 100]], dtype=uint8)
    """

    def __init__(
        self,
        brightness: float | Sequence[float] = 0,
        contrast: float | Sequence[float] = 0,
        saturation: float | Sequence[float] = 0,
    ) -> None:
        self.brightness = _factors(brightness, "brightness")
        self.contrast = _factors(contrast, "contrast")
        self.saturation = _factors(saturation, "saturation")

    def apply(self, images: Array) -> Array:
        """What the transform makes of many images."""
        seen = height_first(images)
        pixels: Array = seen.astype(np.float64 if images.dtype == np.float64 else np.float32)
        draws = uniform(len(images), 3)
        ranges = (self.brightness, self.contrast, self.saturation)
        brightness, contrast, saturation = (
            spread((low + draws[:, i] * (high - low)).astype(pixels.dtype), pixels)
            for i, (low, high) in enumerate(ranges)
        )
        if self.brightness != (1.0, 1.0):
            pixels = pixels * brightness
        if self.contrast != (1.0, 1.0):
            grey = np.ascontiguousarray(_brightness(pixels)).reshape(len(pixels), -1)
            means = spread(grey.mean(1, dtype=np.float64).astype(pixels.dtype), pixels)
            pixels = means + (pixels - means) * contrast
        if self.saturation != (1.0, 1.0) and pixels.ndim == 4 and pixels.shape[3] == 3:
            grey = _brightness(pixels)
            pixels = grey + (pixels - grey) * saturation
        if images.dtype.kind == "f":
            pixels = np.clip(pixels, 0.0, 1.0)
        return as_given(rounded_like(pixels, images), images)


def _brightness(pixels: Array) -> Array:
    """The brightness of each pixel; height and width are axes 1 and 2, an axis of channels is kept as 1."""
    if pixels.ndim != 4 or pixels.shape[3] != 3:
        return pixels if pixels.ndim == 3 else pixels.mean(3, keepdims=True)
    dtype = pixels.dtype if pixels.dtype.kind == "f" else np.dtype(np.float32)
    red, green, blue = (pixels[..., i : i + 1] * dtype.type(_LUMA[i]) for i in range(3))
    total: Array = red + green + blue
    return total


def _factors(given: float | Sequence[float], name: str) -> tuple[float, float]:
    low, high = (max(0.0, 1.0 - given), 1.0 + given) if isinstance(given, (int, float)) else tuple(given)
    if not 0 <= low <= high:
        raise OperandError(f"ColorJitter: {name} is a number of at least 0 or a rising pair, not {given!r}")
    return float(low), float(high)
