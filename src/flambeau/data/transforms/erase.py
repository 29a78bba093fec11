"""Hiding parts of images."""

from __future__ import annotations

import math

import numpy as np

from flambeau.data.draws import uniform
from flambeau.data.memory import Array
from flambeau.data.transforms.base import Transform, height_first, probability
from flambeau.errors import OperandError


class RandomErasing(Transform):
    """Fills a random rectangle of the image with ``value``, with probability ``p``.

    Source: Z. Zhong, L. Zheng, G. Kang, S. Li, Y. Yang, "Random erasing data augmentation", AAAI 2020.
    A rectangle that is longer than the image is cut to its length.

    Args:
        p: How probable it is.
        scale: The share of the image's area, between these two.
        ratio: Height divided by width, between these two (evenly on a logarithmic scale).
        value: What to fill with.

    Example:
        >>> import flambeau as fb
        >>> import numpy as np
        >>> hide = fb.data.transforms.RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0), value=9)
        >>> int((hide(np.zeros((4, 4), np.uint8)) == 9).sum())
        4
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        value: float = 0,
    ) -> None:
        self.p = probability(p, "RandomErasing")
        if not 0 <= scale[0] <= scale[1] <= 1:
            raise OperandError(f"RandomErasing: scale is a rising pair of numbers from 0 to 1, not {scale!r}")
        if not 0 < ratio[0] <= ratio[1]:
            raise OperandError(f"RandomErasing: ratio is a rising pair of numbers above 0, not {ratio!r}")
        self.scale = (float(scale[0]), float(scale[1]))
        self.ratio = (float(ratio[0]), float(ratio[1]))
        self.value = value

    def apply(self, images: Array) -> Array:
        """What the transform makes of many images."""
        result = images.copy()
        seen = height_first(result)
        height, width = seen.shape[1:3]
        draws = uniform(len(images), 5)
        for i in np.flatnonzero(draws[:, 0] < self.p).tolist():
            _, size, shape, down, right = draws[i].tolist()
            area = (self.scale[0] + size * (self.scale[1] - self.scale[0])) * height * width
            low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
            ratio = math.exp(low + shape * (high - low))
            rows = min(round(math.sqrt(area * ratio)), height)
            columns = min(round(math.sqrt(area / ratio)), width)
            top, left = int(down * (height - rows + 1)), int(right * (width - columns + 1))
            seen[i, top : top + rows, left : left + columns] = self.value
        return result
