"""Fashion-MNIST: pictures of clothing in ten classes, harder than digits and as small.

Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking
Machine Learning Algorithms", 2017. Copyright 2017 Zalando SE, MIT licence.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from flambeau.data.errors import DataError
from flambeau.data.images import LabelledImages, load_idx_folder

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

_FOLDER = Path(__file__).parent / "fashion-mnist-mini"
# Of shapes and elements, not of files: the same whatever library compressed them.
# Printed by tools/make_fashion_mnist_mini.py.
_SHA256 = "f07f31d27f3370ed25221aee1efffaa08c70a321f90a64130a4f8aac24cb3a47"


def fashion_mnist_mini() -> LabelledImages:
    """Load the part of Fashion-MNIST that is shipped with flambeau.

    10,000 training and 2,000 test images of 28 x 28 pixels, the same number of each of the ten
    classes, each set in the order of the original. Nothing is downloaded. A few files are read and
    verified at each call; the arrays are new and may be written to.

    Returns:
        Images as uint8 of shape (10000, 28, 28) and (2000, 28, 28), labels as uint8 of shape
        (10000,) and (2000,), and the names of the classes.

    Raises:
        DataError: A file of the installed package is missing or damaged.

    Example:
        >>> from flambeau.data import fashion_mnist_mini
        >>> data = fashion_mnist_mini()
        >>> data.train_images.shape, data.test_labels.shape
        ((10000, 28, 28), (2000,))
        >>> data.class_names[data.train_labels[0]]
        'T-shirt/top'
    """
    return _load_verified(_FOLDER)


def digest(data: LabelledImages) -> str:
    """The SHA-256, in hexadecimal, of a data set's shapes and elements."""
    sha = hashlib.sha256()
    for array in data[:4]:
        sha.update(f"{array.dtype.name}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()


def _load_verified(folder: Path) -> LabelledImages:
    repair = "reinstall flambeau to repair it"
    try:
        data = load_idx_folder(folder, CLASS_NAMES)
    except (DataError, OSError) as error:
        raise DataError(f"fashion-mnist-mini is damaged; {repair}: {error}") from error
    if digest(data) != _SHA256:
        raise DataError(
            f"fashion-mnist-mini is damaged; {repair}: the files in {folder} are not the ones shipped"
        )
    return data
