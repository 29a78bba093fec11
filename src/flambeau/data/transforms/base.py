"""What all image transforms share: one image or many, and where height and width are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flambeau.data.dataset import transformed
from flambeau.data.memory import Array
from flambeau.errors import OperandError, ShapeError


class Transform:
    """A function of images: subclasses have ``apply``, which takes many.

    ``apply`` gets an array of shape (count, height, width), (count, height, width, channels) for
    integers or (count, channels, height, width) for floating-point numbers, and leaves it unchanged.

    Example:
        >>> import flambeau as fb
        >>> import numpy as np
        >>> class Invert(fb.data.transforms.Transform):
        ...     def apply(self, images):
        ...         return 255 - images
        >>> Invert()(np.array([[0, 255]], np.uint8))
        array([[255,   0]], dtype=uint8)
    """

    def __call__(self, image: Any) -> Array:
        """The transformed image."""
        one: Array = self.batch(np.asarray(image)[None])[0]
        return one

    def batch(self, images: Any) -> Array:
        """The transformed images; the first axis counts them."""
        array = np.asarray(images)
        if array.ndim not in (3, 4) or array.dtype.kind not in "biuf":
            shape = "(height, width, channels)" if array.dtype.kind in "biu" else "(channels, height, width)"
            raise ShapeError(
                f"{type(self).__name__}: an image of {array.dtype} has shape (height, width) or {shape}, "
                f"not {array.shape[1:]}"
            )
        return self.apply(array)

    def apply(self, images: Array) -> Array:
        """What the transform makes of many images."""
        raise NotImplementedError(f"{type(self).__name__} has no method apply")

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if name[0] != "_")
        return f"{type(self).__name__}({settings})"


class Compose(Transform):
    """One transform after the other; functions of one image may be among them.

    >>> import flambeau as fb
    >>> import numpy as np
    >>> T = fb.data.transforms
    >>> T.Compose([T.CenterCrop(2), np.fliplr])(np.arange(16, dtype=np.uint8).reshape(4, 4))
    array([[ 6,  5],
           [10,  9]], dtype=uint8)
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = list(transforms)

    def __call__(self, image: Any) -> Array:
        """The transformed image."""
        for transform in self.transforms:
            image = transform(image)
        return np.asarray(image)

    def batch(self, images: Any) -> Array:
        """The transformed images; the first axis counts them."""
        array = np.asarray(images)
        for transform in self.transforms:
            array = transformed(transform, array)
        return array


class Lambda(Transform):
    """A function as a transform; with ``batched`` it takes all images of a batch at once.

    >>> import flambeau as fb
    >>> import numpy as np
    >>> invert = fb.data.transforms.Lambda(lambda images: 255 - images, batched=True)
    >>> invert(np.array([[0, 255]], np.uint8))
    array([[255,   0]], dtype=uint8)
    """

    def __init__(self, function: Callable[[Any], Any], batched: bool = False) -> None:
        self.function = function
        self.batched = batched

    def __call__(self, image: Any) -> Array:
        """The transformed image."""
        if self.batched:
            image = np.asarray(image)[None]
            one: Array = np.asarray(self.function(image))[0]
            return one
        return np.asarray(self.function(image))

    def batch(self, images: Any) -> Array:
        """The transformed images; the first axis counts them."""
        array = np.asarray(images)
        return np.asarray(self.function(array)) if self.batched else transformed(self.function, array)


def height_first(images: Array) -> Array:
    """A view of shape (count, height, width) or (count, height, width, channels)."""
    return np.moveaxis(images, 1, 3) if images.ndim == 4 and images.dtype.kind == "f" else images


def as_given(images: Array, like: Array) -> Array:
    """Undo ``height_first``: the order of axes that ``like`` has, row-major in memory."""
    if like.ndim == 4 and like.dtype.kind == "f":
        images = np.moveaxis(images, 3, 1)
    return np.ascontiguousarray(images)


def spread(values: Array, images: Array) -> Array:
    """One value per image, to be broadcast with the images."""
    return values.reshape(-1, *[1] * (images.ndim - 1))


def rounded_like(values: Array, like: Array) -> Array:
    """Floating-point pixels in the dtype of ``like``: whole numbers within its range for integers."""
    if like.dtype.kind == "f":
        return values.astype(like.dtype, copy=False)
    limits = np.iinfo(like.dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(like.dtype)


def size_pair(size: int | Sequence[int], name: str) -> tuple[int, int]:
    """Height and width."""
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or any(not isinstance(n, int) or n < 1 for n in pair):
        raise OperandError(f"{name}: a size is a positive integer or a pair of them, not {size!r}")
    return pair[0], pair[1]


def probability(p: float, name: str) -> float:
    """A number from 0 to 1."""
    if not 0.0 <= p <= 1.0:
        raise OperandError(f"{name}: p is a probability from 0 to 1, not {p!r}")
    return float(p)
