"""Transforms of images: one at a time as in batches, and each of them by what it makes."""

from __future__ import annotations

import pickle
import re
from typing import Any

import numpy as np
import pytest

from flambeau.data import DataLoader, TensorDataset
from flambeau.data import transforms as T
from flambeau.data.draws import placed
from flambeau.errors import FlambeauError

RANDOM: list[Any] = [
    T.RandomCrop((9, 7)),
    T.RandomCrop((12, 10), padding=(2, 3), fill=1),
    T.RandomCrop(10, padding=2, padding_mode="reflect"),
    T.RandomHorizontalFlip(),
    T.RandomVerticalFlip(0.3),
    T.RandomRotation(40),
    T.RandomRotation((10, 170), "bilinear", fill=1),
    T.RandomErasing(0.7, value=1),
    T.ColorJitter(0.5, 0.4, (0.2, 1.9)),
    T.Compose([T.RandomCrop(8), T.RandomHorizontalFlip(), np.negative, T.RandomVerticalFlip()]),
]
PLAIN: list[Any] = [
    T.CenterCrop((5, 7)),
    T.Pad((1, 2, 3, 4), fill=1),
    T.Pad(2, padding_mode="symmetric"),
    T.Resize((17, 5)),
    T.Resize(7, antialias=False),
    T.Resize((5, 20), "nearest"),
    T.Lambda(np.fliplr),
]
SHAPES = [(12, 10), (12, 10, 3), (12, 10, 1)]


def images(rng: np.random.Generator, shape: tuple[int, ...], dtype: type, count: int = 6) -> np.ndarray:
    if dtype is np.uint8:
        return rng.integers(0, 256, (count, *shape), np.uint8)
    return rng.random((count, *shape[2:], *shape[:2])).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("transform", [*RANDOM, *PLAIN], ids=lambda t: type(t).__name__)
def test_one_by_one_is_the_same_as_a_batch(
    rng: np.random.Generator, transform: Any, shape: tuple[int, ...], dtype: type
) -> None:
    given = images(rng, shape, dtype)
    before = given.copy()
    indices = np.array([4, 0, 9, 100, 3, 7])
    with placed(1, 2, indices):
        together = transform.batch(given)
    for image, index, made in zip(given, indices, together, strict=True):
        with placed(1, 2, [index]):
            alone = transform(image)
        np.testing.assert_array_equal(alone, made)
    assert together.dtype == dtype
    np.testing.assert_array_equal(given, before)
    assert pickle.loads(pickle.dumps(transform)).batch(given).shape == together.shape


@pytest.mark.parametrize("transform", [*RANDOM[:-1], *PLAIN[:-1]], ids=lambda t: type(t).__name__)
def test_channels_first_and_last_are_treated_alike(rng: np.random.Generator, transform: Any) -> None:
    """Bytes of (height, width, channels) and the same numbers as (channels, height, width)."""
    given = images(rng, (12, 10, 3), np.uint8)
    with placed(0, 0, np.arange(6)):
        from_bytes = transform.batch(given)
    if isinstance(transform, T.ColorJitter):
        given = given / 255
        from_bytes = from_bytes / 255
    with placed(0, 0, np.arange(6)):
        from_floats = transform.batch(np.moveaxis(given.astype(np.float64), 3, 1))
    rounding = 0.51 / (255 if isinstance(transform, T.ColorJitter) else 1)
    np.testing.assert_allclose(np.moveaxis(from_floats, 1, 3), from_bytes, atol=rounding)


def test_random_transforms_differ_between_items_and_epochs(rng: np.random.Generator) -> None:
    given = np.repeat(images(rng, (12, 10, 3), np.uint8, 1), 8, axis=0)
    for transform in RANDOM:
        with placed(0, 0, np.arange(8)):
            first = transform.batch(given)
        with placed(0, 1, np.arange(8)):
            second = transform.batch(given)
        assert len({image.tobytes() for image in first}) > 1
        assert not np.array_equal(first, second)


def test_augmentation_does_not_depend_on_workers_or_resumption(rng: np.random.Generator) -> None:
    augment = T.Compose([T.RandomCrop(12, padding=2), T.RandomHorizontalFlip(), T.ToFloat()])
    data = TensorDataset(images(rng, (12, 12), np.uint8, 30), np.arange(30), transform=augment)

    def load(**options: Any) -> DataLoader:
        return DataLoader(data, 7, shuffle=True, generator=5, **options)

    alone = load()
    batches = [(x.numpy(), y.tolist()) for _ in range(2) for x, y in alone]
    together = load(num_workers=2)
    resumed = load()
    resumed.load_state_dict({**alone.state_dict(), "epoch": 1, "batch": 2})
    for loader, expected in ((together, batches), (resumed, batches[7:])):
        found = [(x.numpy(), y.tolist()) for _ in range(2) for x, y in loader][: len(expected)]
        for (x, y), (u, v) in zip(found, expected, strict=True):
            assert y == v and np.array_equal(x, u)
    one_by_one = DataLoader([data[i][0] for i in range(3)], 3)
    assert next(iter(one_by_one)).shape == (3, 1, 12, 12)


# --- each by what it makes -------------------------------------------------------------------


def test_to_float_and_normalize(rng: np.random.Generator) -> None:
    given = images(rng, (4, 5, 3), np.uint8)
    made = T.ToFloat().batch(given)
    assert made.shape == (6, 3, 4, 5) and made.dtype == np.float32 and made.flags.c_contiguous
    np.testing.assert_array_equal(made, (np.moveaxis(given, 3, 1) / 255).astype(np.float32))
    mean, std = np.array([0.1, 0.2, 0.3]), np.array([0.5, 0.6, 0.7])
    normal = T.Normalize(mean.tolist(), std.tolist()).batch(made)
    np.testing.assert_allclose(normal, (made - mean[:, None, None]) / std[:, None, None], rtol=1e-5)
    assert normal.dtype == np.float32
    assert T.Normalize(0.5, 2.0)(made[0, 0]).shape == (4, 5)


def test_padding_and_crops() -> None:
    image = np.arange(1, 7, dtype=np.uint8).reshape(2, 3)
    assert T.Pad((1, 0, 0, 1), fill=9)(image).tolist() == [[9, 1, 2, 3], [9, 4, 5, 6], [9, 9, 9, 9]]
    assert T.Pad((1, 0), padding_mode="edge")(image).tolist() == [[1, 1, 2, 3, 3], [4, 4, 5, 6, 6]]
    assert T.CenterCrop(1)(np.arange(9, dtype=np.uint8).reshape(3, 3)).tolist() == [[4]]


def test_random_crops_reach_every_place() -> None:
    given = np.tile(np.arange(12, dtype=np.uint8).reshape(3, 4), (500, 1, 1))
    corners = T.RandomCrop((2, 2)).batch(given)[:, 0, 0]
    counts = np.bincount(corners, minlength=7)
    assert np.flatnonzero(counts).tolist() == [0, 1, 2, 4, 5, 6] and counts[counts > 0].min() > 50
    shifted = T.RandomCrop((3, 4), padding=1).batch(given)
    assert len({image.tobytes() for image in shifted}) == 9


def test_flips_happen_as_often_as_asked() -> None:
    given = np.tile(np.array([[0, 1], [2, 3]], np.uint8), (1000, 1, 1))
    for transform, corner in ((T.RandomHorizontalFlip(0.3), 1), (T.RandomVerticalFlip(0.3), 2)):
        first = transform.batch(given)[:, 0, 0]
        assert set(first.tolist()) == {0, corner} and 240 < (first == corner).sum() < 360


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_right_angles_are_exact(rng: np.random.Generator, interpolation: str) -> None:
    image = images(rng, (7, 7, 3), np.uint8, 1)[0]
    for quarter in range(-2, 5):
        turn = T.RandomRotation((90 * quarter, 90 * quarter), interpolation)
        np.testing.assert_array_equal(turn(image), np.rot90(image, quarter))


def test_rotation_fills_what_comes_from_outside() -> None:
    turned = T.RandomRotation((45, 45), "bilinear", fill=7)(np.full((9, 9), 3, np.uint8))
    assert turned[0, 0] == 7 and turned[4, 4] == 3


@pytest.mark.torch
@pytest.mark.parametrize("size", [(5, 4), (3, 17), (20, 30), (12, 10), (1, 1)], ids=str)
@pytest.mark.parametrize("antialias", [True, False])
def test_bilinear_resizing_agrees_with_torch(
    rng: np.random.Generator, size: tuple[int, int], antialias: bool
) -> None:
    torch = pytest.importorskip("torch")
    given = rng.random((2, 3, 12, 10))
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(given), size, mode="bilinear", align_corners=False, antialias=antialias
    )
    np.testing.assert_allclose(T.Resize(size, antialias=antialias).batch(given), expected.numpy(), atol=1e-12)


@pytest.mark.torch
@pytest.mark.parametrize("size", [(5, 4), (3, 17), (24, 30)], ids=str)
def test_nearest_resizing_agrees_with_torch(rng: np.random.Generator, size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    given = rng.random((2, 3, 12, 10))
    expected = torch.nn.functional.interpolate(torch.from_numpy(given), size, mode="nearest-exact")
    np.testing.assert_array_equal(T.Resize(size, "nearest").batch(given), expected.numpy())


def test_one_size_is_that_of_the_shorter_side() -> None:
    assert T.Resize(6)(np.zeros((12, 20), np.uint8)).shape == (6, 10)
    assert T.Resize(6)(np.zeros((3, 20, 12), np.float32)).shape == (3, 10, 6)


def test_erasing_hides_a_rectangle_of_the_asked_area() -> None:
    made = T.RandomErasing(1.0, (0.1, 0.2), (0.5, 2.0), value=1).batch(np.zeros((300, 80, 80), np.uint8))
    for image in made:
        rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        assert image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert 0.09 < image.mean() < 0.21 and 0.45 < len(rows) / len(columns) < 2.2
    assert not T.RandomErasing(0.0).batch(made * 0).any()


def test_colours() -> None:
    image = np.array([[[200, 100, 50], [10, 20, 30]]], np.uint8)
    assert T.Grayscale(3)(image).tolist() == [[[124, 124, 124], [18, 18, 18]]]
    grey = T.ColorJitter(saturation=(0, 0))(image)
    np.testing.assert_array_equal(grey, T.Grayscale(3)(image))
    assert T.ColorJitter(brightness=(2, 2))(image).tolist() == [[[255, 200, 100], [20, 40, 60]]]
    assert (T.ColorJitter(contrast=(0, 0))(image) == 71).all()  # the mean of 124.2 and 18.15
    np.testing.assert_array_equal(T.ColorJitter()(image), image)
    assert T.ColorJitter(brightness=(3, 3))(np.full((1, 1), 0.5, np.float32)).tolist() == [[1.0]]


def test_a_function_of_a_whole_batch() -> None:
    reverse = T.Lambda(lambda batch: batch[:, ::-1], batched=True)
    assert reverse(np.array([[1], [2]], np.uint8)).tolist() == [[2], [1]]
    assert reverse.batch(np.zeros((3, 4, 5), np.uint8)).shape == (3, 4, 5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: T.ToFloat()(np.zeros((2, 2))), "ToFloat: the image must be uint8, not float64"),
        (lambda: T.Normalize(0, 1)(np.zeros((2, 2), np.uint8)), "of floating-point numbers, not uint8"),
        (lambda: T.Normalize([0, 1], 1)(np.zeros((3, 2, 2))), "2 numbers in mean for 3 channels"),
        (lambda: T.Normalize(0, 0), "std above 0"),
        (lambda: T.CenterCrop(3)(np.zeros((2, 4))), "an image of 2x4 pixels is smaller than the 3x3"),
        (lambda: T.RandomCrop(9, padding=1)(np.zeros((6, 9))), "an image of 8x11 pixels is smaller"),
        (lambda: T.CenterCrop((1, 2, 3)), "a positive integer or a pair of them"),
        (lambda: T.Pad((1, 2, 3)), "one, two or four integers"),
        (lambda: T.Pad(1, padding_mode="wrap"), "padding_mode is one of"),
        (lambda: T.RandomHorizontalFlip(1.5), "RandomHorizontalFlip: p is a probability"),
        (lambda: T.RandomVerticalFlip(-1), "RandomVerticalFlip: p is a probability"),
        (lambda: T.RandomRotation((3, 1)), "a number or a rising pair"),
        (lambda: T.RandomRotation(3, "cubic"), "interpolation is nearest or bilinear"),
        (lambda: T.Resize(3, "cubic"), "interpolation is bilinear or nearest"),
        (lambda: T.RandomErasing(scale=(0.5, 0.1)), "scale is a rising pair"),
        (lambda: T.RandomErasing(ratio=(0, 1)), "ratio is a rising pair"),
        (lambda: T.ColorJitter(brightness=-1), "brightness is a number of at least 0"),
        (lambda: T.Grayscale(2), "is 1 or 3, not 2"),
        (lambda: T.Grayscale()(np.zeros((2, 2), np.uint8)), "three channels are needed"),
        (lambda: T.RandomHorizontalFlip()(np.zeros(3)), "Flip: an image of float64 has shape"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(make: Any, message: str) -> None:
    with pytest.raises(FlambeauError, match=re.escape(message)):
        make()
