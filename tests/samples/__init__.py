"""One database of samples per primitive: what every check of a primitive is driven by."""

from __future__ import annotations

from samples import contractions, elementwise, linalg, moving, others, views, windows
from samples.core import SAMPLES, Sample

__all__ = [
    "SAMPLES",
    "Sample",
    "contractions",
    "elementwise",
    "linalg",
    "moving",
    "others",
    "views",
    "windows",
]
