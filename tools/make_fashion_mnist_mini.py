"""Make src/flambeau/data/fashion-mnist-mini from the full Fashion-MNIST.

The full set is the four gzip-compressed IDX files of https://github.com/zalandoresearch/fashion-mnist,
also found in the Debian package ``dataset-fashion-mnist`` under /usr/share/datasets/fashion-mnist.

Of each class it takes the 1,000 training and 200 test images with the smallest SHA-256 digest of
"fashion-mnist-mini:SPLIT:INDEX", and keeps the original order. So the choice depends on nothing but
the position of an image in the original files: on no random generator and no library's version.

    python tools/make_fashion_mnist_mini.py /usr/share/datasets/fashion-mnist
    python tools/make_fashion_mnist_mini.py --check /usr/share/datasets/fashion-mnist
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np

from flambeau.data.fashion_mnist import CLASS_NAMES, digest, fashion_mnist_mini
from flambeau.data.images import LabelledImages, load_idx_folder

OUTPUT = Path(__file__).parents[1] / "src" / "flambeau" / "data" / "fashion-mnist-mini"
# Of the full set's shapes and elements, as `digest` computes it. The compressed files differ between
# distributors; what they hold does not.
SOURCE_SHA256 = "82d70dcdc5da191ddf3b196edf5bb57def209309d3d0597d9a50cb21e8a89bc6"
TRAIN_PER_CLASS = 1000
TEST_PER_CLASS = 200

Array = np.ndarray[Any, np.dtype[Any]]


def choose(labels: Array, split: str, per_class: int) -> Array:
    """The positions of the chosen images, ascending."""

    def key(index: int) -> bytes:
        return hashlib.sha256(f"fashion-mnist-mini:{split}:{index}".encode()).digest()

    chosen: list[int] = []
    for label in range(len(CLASS_NAMES)):
        positions = np.flatnonzero(labels == label).tolist()
        chosen += sorted(positions, key=key)[:per_class]
    return np.array(sorted(chosen))


def reduce(full: LabelledImages) -> LabelledImages:
    """The small set within the full one."""
    train = choose(full.train_labels, "train", TRAIN_PER_CLASS)
    test = choose(full.test_labels, "test", TEST_PER_CLASS)
    return LabelledImages(
        full.train_images[train],
        full.train_labels[train],
        full.test_images[test],
        full.test_labels[test],
        CLASS_NAMES,
    )


def idx_bytes(array: Array) -> bytes:
    """An array of uint8 as an IDX file."""
    assert array.dtype == np.uint8
    return struct.pack(f">HBB{array.ndim}I", 0, 0x08, array.ndim, *array.shape) + array.tobytes()


def write(data: LabelledImages, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = (
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    )
    for name, array in zip(names, data[:4], strict=True):
        compressed = gzip.compress(idx_bytes(array), 9, mtime=0)
        (folder / name).write_bytes(compressed)
        print(f"{len(compressed):>9} bytes  {name}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Make fashion-mnist-mini from the full Fashion-MNIST.")
    parser.add_argument("source", type=Path, help="the folder with the four IDX files of the full set")
    parser.add_argument("--check", action="store_true", help="compare with what is shipped, write nothing")
    arguments = parser.parse_args()

    full = load_idx_folder(arguments.source, CLASS_NAMES)
    if digest(full) != SOURCE_SHA256:
        print(f"{arguments.source}: not the original Fashion-MNIST ({digest(full)})", file=sys.stderr)
        return 1
    mini = reduce(full)
    if arguments.check:
        same = digest(mini) == digest(fashion_mnist_mini())
        print("what is shipped is what would be made" if same else "what is shipped differs")
        return 0 if same else 1
    write(mini, OUTPUT)
    print(f"digest {digest(mini)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
