"""The shipped part of Fashion-MNIST."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest

import flambeau.data
from flambeau.data import DataError, fashion_mnist_mini
from flambeau.data.fashion_mnist import _FOLDER, _load_verified

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(_FOLDER, tmp_path / "copy"))


def test_shapes_dtypes_and_balance() -> None:
    data = fashion_mnist_mini()
    assert data.train_images.shape == (10_000, 28, 28)
    assert data.test_images.shape == (2_000, 28, 28)
    assert all(array.dtype == np.uint8 for array in data[:4])
    assert np.bincount(data.train_labels).tolist() == [1000] * 10
    assert np.bincount(data.test_labels).tolist() == [200] * 10
    assert len(set(data.class_names)) == 10


def test_images_are_pictures_of_their_classes() -> None:
    """A nearest-mean classifier does far better than the 10 % of chance."""
    data = fashion_mnist_mini()
    train = data.train_images.reshape(-1, 784).astype(np.float32)
    test = data.test_images.reshape(-1, 784).astype(np.float32)
    means = np.stack([train[data.train_labels == label].mean(0) for label in range(10)])
    squared_distance = (means**2).sum(1) - 2 * test @ means.T
    assert (squared_distance.argmin(1) == data.test_labels).mean() > 0.6


def test_no_test_image_is_among_the_training_images() -> None:
    data = fashion_mnist_mini()
    train = {image.tobytes() for image in data.train_images}
    assert len(train) == 10_000
    assert not any(image.tobytes() in train for image in data.test_images)


def test_each_call_gives_arrays_of_its_own() -> None:
    first = fashion_mnist_mini()
    first.train_labels[:] = 0
    assert fashion_mnist_mini().train_labels.any()


def test_an_unharmed_copy_loads(copy: Path) -> None:
    np.testing.assert_array_equal(_load_verified(copy).train_labels, fashion_mnist_mini().train_labels)


def test_compression_does_not_matter_content_does(copy: Path) -> None:
    path = copy / f"{FILES[1]}.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    path.write_bytes(gzip.compress(content, 1))
    _load_verified(copy)
    content[-1] = (content[-1] + 1) % 10
    path.write_bytes(gzip.compress(content))
    with pytest.raises(
        DataError, match=r"damaged; reinstall flambeau to repair it: the files in .* are not the ones"
    ):
        _load_verified(copy)


@pytest.mark.parametrize("name", FILES)
def test_damage_is_reported_with_file_and_remedy(copy: Path, name: str) -> None:
    path = copy / f"{name}.gz"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=f"fashion-mnist-mini is damaged; reinstall flambeau.*{name}"):
        _load_verified(copy)
    path.unlink()
    with pytest.raises(DataError, match=f"fashion-mnist-mini is damaged; reinstall flambeau.*{name}"):
        _load_verified(copy)


def test_the_shipped_files_are_small_and_licensed() -> None:
    assert sum(path.stat().st_size for path in _FOLDER.iterdir()) <= 6_000_000
    assert "Zalando SE" in (_FOLDER / "LICENSE").read_text(encoding="utf-8")


def test_public_names_exist() -> None:
    assert all(hasattr(flambeau.data, name) for name in flambeau.data.__all__)
