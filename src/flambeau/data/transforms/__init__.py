"""Transforms of images, one at a time or a whole batch at once, as NumPy arrays.

Images of integers (uint8, from 0 to 255) have the shape (height, width) or (height, width, channels),
images of floating-point numbers (from 0 to 1 before ``Normalize``) have the shape (height, width) or
(channels, height, width); ``ToFloat`` leads from the one to the other.  Calling a transform takes one
image; its method ``batch`` takes many, with one axis more in front, and gives the same for each.

Random transforms draw with ``fb.data.uniform``: within a ``DataLoader`` the seed, the epoch and the index
of the item decide, whatever the number of workers and whether a batch comes at once or one by one.

>>> import flambeau as fb
>>> import numpy as np
>>> T = fb.data.transforms
>>> augment = T.Compose([T.RandomCrop(28, padding=2), T.RandomHorizontalFlip(), T.ToFloat()])
>>> augment.batch(np.zeros((64, 28, 28), np.uint8)).shape
(64, 1, 28, 28)
"""

from __future__ import annotations

from flambeau.data.transforms.base import Compose, Lambda, Transform
from flambeau.data.transforms.color import ColorJitter, Grayscale
from flambeau.data.transforms.convert import Normalize, ToFloat
from flambeau.data.transforms.crop import CenterCrop, Pad, RandomCrop
from flambeau.data.transforms.erase import RandomErasing
from flambeau.data.transforms.flip import RandomHorizontalFlip, RandomVerticalFlip
from flambeau.data.transforms.resize import Resize
from flambeau.data.transforms.rotate import RandomRotation

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "Grayscale",
    "Lambda",
    "Normalize",
    "Pad",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "ToFloat",
    "Transform",
]
