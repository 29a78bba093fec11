"""MNIST and Fashion-MNIST in full: 60,000 + 10,000 grey images of 28 x 28 pixels in ten classes.

Sources: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits"; H. Xiao,
K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
Algorithms", 2017.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from flambeau.data.errors import DataError
from flambeau.data.fashion_mnist import CLASS_NAMES
from flambeau.data.images import LabelledImages, load_idx_folder
from flambeau.data.sets.download import Remote, cache_folder, download

DIGITS = tuple("0123456789")
FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
# SHA-256 of the decompressed files.
_MNIST = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)
_FASHION = (
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
)
_MNIST_URLS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_FASHION_URLS = (
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
# Where Debian's package dataset-fashion-mnist puts it.
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
_MAX_BYTES = 64 << 20


def mnist(folder: str | os.PathLike[str] | None = None, download: bool = True) -> LabelledImages:
    """Load MNIST: handwritten digits.

    Args:
        folder: Where the four IDX files are, compressed or not.  Without it they are looked for in
            flambeau's cache folder, and downloaded to it.
        download: Whether to download what is missing; checksums are verified.

    Raises:
        FileNotFoundError: ``folder`` or a file in it is missing.
        DataError: A file is damaged, or nothing is there and nothing can be downloaded.

    Example:
        ```
        digits = fb.data.mnist()
        ```
    """
    return _load("mnist", DIGITS, folder, download, (), remotes(_MNIST_URLS, _MNIST))


def fashion_mnist(folder: str | os.PathLike[str] | None = None, download: bool = True) -> LabelledImages:
    """Load Fashion-MNIST: pictures of clothing, harder to tell apart than digits.

    Args:
        folder: Where the four IDX files are, compressed or not.  Without it they are looked for in
            /usr/share/datasets/fashion-mnist, where a Debian package puts them, and in flambeau's
            cache folder, and downloaded to the latter.
        download: Whether to download what is missing; checksums are verified.

    Raises:
        FileNotFoundError: ``folder`` or a file in it is missing.
        DataError: A file is damaged, or nothing is there and nothing can be downloaded.

    Example:
        ```
        clothes = fb.data.fashion_mnist()
        ```
    """
    files = remotes(_FASHION_URLS, _FASHION)
    return _load("fashion-mnist", CLASS_NAMES, folder, download, (_DEBIAN,), files)


def remotes(bases: Sequence[str], digests: Sequence[str]) -> list[Remote]:
    """The four files at addresses that begin with ``bases``."""
    return [
        Remote(name, tuple(base + name for base in bases), "sha256", digest, _MAX_BYTES, unpacked=True)
        for name, digest in zip(FILES, digests, strict=True)
    ]


def _load(
    name: str,
    class_names: Sequence[str],
    folder: str | os.PathLike[str] | None,
    may_download: bool,
    places: Sequence[Path],
    files: Sequence[Remote],
) -> LabelledImages:
    if folder is not None:
        return load_idx_folder(folder, class_names)
    kept = cache_folder(name)
    for place in (*places, kept):
        try:
            return load_idx_folder(place, class_names)
        except FileNotFoundError:
            continue
    if not may_download:
        searched = ", ".join(map(str, (*places, kept)))
        raise DataError(f"{name}: the files are not in {searched}; allow the download or name their folder")
    download(files, kept, name)
    return load_idx_folder(kept, class_names)
