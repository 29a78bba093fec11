"""Mirror images."""

from __future__ import annotations

import numpy as np

from flambeau.data.draws import uniform
from flambeau.data.memory import Array
from flambeau.data.transforms.base import Transform, height_first, probability


class RandomHorizontalFlip(Transform):
    """Exchanges left and right with probability ``p``.

    >>> import flambeau as fb
    >>> import numpy as np
    >>> fb.data.transforms.RandomHorizontalFlip(p=1.0)(np.array([[1, 2, 3]], np.uint8))
    array([[3, 2, 1]], dtype=uint8)
    """

    axis = 2

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(p, type(self).__name__)

    def apply(self, images: Array) -> Array:
        """What the transform makes of many images."""
        flipped = np.flatnonzero(uniform(len(images))[:, 0] < self.p)
        result = images.copy()
        height_first(result)[flipped] = np.flip(height_first(images)[flipped], self.axis)
        return result


class RandomVerticalFlip(RandomHorizontalFlip):
    """Exchanges top and bottom with probability ``p``.

    >>> import flambeau as fb
    >>> import numpy as np
    >>> fb.data.transforms.RandomVerticalFlip(p=1.0)(np.array([[1], [2]], np.uint8))
    array([[2],
           [1]], dtype=uint8)
    """

    axis = 1
