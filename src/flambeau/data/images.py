"""Labelled images for classification, and how to load them from a folder of IDX files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from flambeau.data.errors import DataError
from flambeau.data.idx import read_idx

Array = np.ndarray[Any, np.dtype[Any]]


class LabelledImages(NamedTuple):
    """Images with class labels, split into a training set and a test set, as NumPy arrays.

    Attributes:
        train_images: uint8, shape (count, height, width), or (count, height, width, 3) for colours;
            0 = black to 255 = white.
        train_labels: uint8, shape (count,), each an index into ``class_names``.
        test_images: As ``train_images``, with its own count.
        test_labels: As ``train_labels``.
        class_names: What each label means.
    """

    train_images: Array
    train_labels: Array
    test_images: Array
    test_labels: Array
    class_names: tuple[str, ...]


# The stem of each file, in the order of LabelledImages' fields.
IDX_STEMS = ("train-images", "train-labels", "t10k-images", "t10k-labels")


def load_idx_folder(
    folder: str | os.PathLike[str], class_names: Sequence[str] | None = None
) -> LabelledImages:
    """Load a data set laid out like MNIST: four IDX files in one folder.

    The files are ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte``
    and ``t10k-labels-idx1-ubyte``, each with or without ``.gz``; a dot may stand for the hyphen
    before ``idx``. MNIST, Fashion-MNIST, KMNIST and others are distributed in this way.

    Args:
        folder: Where the files lie.
        class_names: What the labels mean. Without it, the classes are called by their numbers, as
            many as the largest label asks for.

    Returns:
        The data set, with images as uint8 of shape (count, height, width) and labels as uint8 of
        shape (count,).

    Raises:
        FileNotFoundError: The folder or one of the files is missing.
        DataError: A file is damaged, is not what its name says, or does not fit the others.

    Example:
        ```
        data = load_idx_folder("/usr/share/datasets/fashion-mnist")
        ```
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    paths = [_find(folder, stem) for stem in IDX_STEMS]
    train_images, train_labels, test_images, test_labels = (read_idx(path) for path in paths)
    for images, path in ((train_images, paths[0]), (test_images, paths[2])):
        _require(images, 3, "images", path)
    for labels, path in ((train_labels, paths[1]), (test_labels, paths[3])):
        _require(labels, 1, "labels", path)
    for images, labels, path in (
        (train_images, train_labels, paths[1]),
        (test_images, test_labels, paths[3]),
    ):
        if len(images) != len(labels):
            raise DataError(f"{path}: {len(labels)} labels for {len(images)} images")
    if train_images.shape[1:] != test_images.shape[1:]:
        raise DataError(
            f"{paths[2]}: test images of {test_images.shape[1:]} pixels, "
            f"but the training images have {train_images.shape[1:]}"
        )
    if class_names is None:
        count = 1 + max((int(y.max()) for y in (train_labels, test_labels) if y.size), default=-1)
        names = tuple(str(i) for i in range(count))
    else:
        names = tuple(class_names)
        for labels, path in ((train_labels, paths[1]), (test_labels, paths[3])):
            if labels.size and int(labels.max()) >= len(names):
                raise DataError(f"{path}: label {int(labels.max())} is outside the {len(names)} classes")
    return LabelledImages(train_images, train_labels, test_images, test_labels, names)


def _find(folder: Path, stem: str) -> Path:
    kind = "idx3-ubyte" if stem.endswith("images") else "idx1-ubyte"
    for separator in "-.":
        for suffix in ("", ".gz"):
            path = folder / f"{stem}{separator}{kind}{suffix}"
            if path.is_file():
                return path
    raise FileNotFoundError(f"{folder}: neither {stem}-{kind} nor {stem}-{kind}.gz is there")


def _require(array: Array, ndim: int, what: str, path: Path) -> None:
    if array.dtype != np.uint8 or array.ndim != ndim:
        raise DataError(
            f"{path}: {what} are uint8 with {ndim} axes, "
            f"but the file holds {array.dtype} of shape {array.shape}"
        )
