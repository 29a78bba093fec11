"""Data sets: what ships with flambeau, and readers for common file formats."""

from __future__ import annotations

from flambeau.data.errors import DataError
from flambeau.data.fashion_mnist import fashion_mnist_mini
from flambeau.data.images import LabelledImages, load_idx_folder

__all__ = ["DataError", "LabelledImages", "fashion_mnist_mini", "load_idx_folder"]
