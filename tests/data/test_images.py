"""Loading a data set from a folder of four IDX files."""

from __future__ import annotations

import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from flambeau.data import DataError, load_idx_folder

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
ARRAYS = (
    np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3),
    np.array([0, 1, 2, 1, 0], np.uint8),
    np.arange(2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 3),
    np.array([3, 0], np.uint8),
)


def write(path: Path, array: np.ndarray, code: int = 0x08) -> None:
    content = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, array in zip(NAMES, ARRAYS, strict=True):
        write(tmp_path / name, array)
    return tmp_path


def test_loads_the_four_files(folder: Path) -> None:
    data = load_idx_folder(str(folder))
    for read, written in zip(data[:4], ARRAYS, strict=True):
        np.testing.assert_array_equal(read, written)
        assert read.dtype == np.uint8
    assert data.class_names == ("0", "1", "2", "3")


def test_names_may_end_in_gz_and_have_a_dot(tmp_path: Path) -> None:
    for name, array in zip(NAMES, ARRAYS, strict=True):
        write(tmp_path / (name.replace("-idx", ".idx") + ".gz"), array)
    assert load_idx_folder(tmp_path).train_images.shape == (5, 2, 3)


def test_class_names_are_kept(folder: Path) -> None:
    assert load_idx_folder(folder, ["a", "b", "c", "d"]).class_names == ("a", "b", "c", "d")


def test_missing_folder_and_missing_file_are_named(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        load_idx_folder(folder / "elsewhere")
    (folder / NAMES[2]).unlink()
    with pytest.raises(
        FileNotFoundError, match=r"neither t10k-images-idx3-ubyte nor t10k-images-idx3-ubyte\.gz"
    ):
        load_idx_folder(folder)


MISFITS = {
    "labels in place of images": (
        0,
        ARRAYS[1],
        0x08,
        "images are uint8 with 3 axes, but the file holds uint8",
    ),
    "images of another dtype": (
        0,
        ARRAYS[0].astype(">i2"),
        0x0B,
        "but the file holds int16 of shape (5, 2, 3)",
    ),
    "too few labels": (1, ARRAYS[1][:4], 0x08, "4 labels for 5 images"),
    "too many test labels": (3, ARRAYS[1], 0x08, "5 labels for 2 images"),
    "test images of another size": (2, np.zeros((2, 3, 3), np.uint8), 0x08, "test images of (3, 3) pixels"),
    "a label beyond the classes": (3, np.array([0, 9], np.uint8), 0x08, "label 9 is outside the 4 classes"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_files_that_do_not_fit_are_refused_by_name(folder: Path, case: str) -> None:
    position, array, code, message = MISFITS[case]
    write(folder / NAMES[position], array, code)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        load_idx_folder(folder, ["a", "b", "c", "d"])
    assert NAMES[position] in str(caught.value)


def test_an_empty_set_has_no_classes(tmp_path: Path) -> None:
    for name, array in zip(NAMES, ARRAYS, strict=True):
        write(tmp_path / name, array[:0])
    data = load_idx_folder(tmp_path)
    assert data.class_names == ()
    assert data.train_images.shape == (0, 2, 3)
