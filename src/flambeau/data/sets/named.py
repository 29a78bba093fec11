"""One entry point to all data sets."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from flambeau.data.fashion_mnist import fashion_mnist_mini
from flambeau.data.images import LabelledImages
from flambeau.data.sets.cifar10 import cifar10
from flambeau.data.sets.corpus import TextCorpus
from flambeau.data.sets.mnist import fashion_mnist, mnist
from flambeau.data.sets.shakespeare import shakespeare_mini
from flambeau.errors import OperandError

_SHIPPED: dict[str, Callable[[], Any]] = {
    "fashion-mnist-mini": fashion_mnist_mini,
    "shakespeare-mini": shakespeare_mini,
}
_FROM_FILES: dict[str, Callable[..., LabelledImages]] = {
    "cifar-10": cifar10,
    "fashion-mnist": fashion_mnist,
    "mnist": mnist,
}
NAMES = (*_SHIPPED, *_FROM_FILES)


def load(
    name: str, folder: str | os.PathLike[str] | None = None, *, download: bool = True
) -> LabelledImages | TextCorpus:
    """Load a data set by its name.

    Args:
        name: "fashion-mnist-mini" and "shakespeare-mini" come with flambeau; "cifar-10",
            "fashion-mnist" and "mnist" are read from files.
        folder: Where the files are; without it, the usual places are searched.
        download: Whether to download files that are not there.

    Returns:
        Images with labels, or a corpus of text.

    Raises:
        OperandError: There is no data set of that name, or it has no folder.
        DataError: Files are damaged, or nothing is there and nothing can be downloaded.
        FileNotFoundError: ``folder`` or a file in it is missing.

    Example:
        >>> import flambeau as fb
        >>> fb.data.load("fashion-mnist-mini").train_images.shape
        (10000, 28, 28)
    """
    if name in _SHIPPED:
        if folder is not None:
            raise OperandError(f"load: {name} comes with flambeau and is not read from a folder")
        made: LabelledImages | TextCorpus = _SHIPPED[name]()
        return made
    if name in _FROM_FILES:
        return _FROM_FILES[name](folder, download)
    raise OperandError(f"load: there is no data set {name!r}; there are {', '.join(NAMES)}")
