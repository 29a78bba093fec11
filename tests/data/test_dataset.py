"""Data sets and data sets made of others."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest

import flambeau as fb
from flambeau.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset, random_split
from flambeau.errors import OperandError, OutOfBoundsError, ShapeError


def test_a_tensor_dataset_has_rows_of_tensors_and_arrays() -> None:
    data = TensorDataset(fb.arange(6).reshape((3, 2)), np.array([7, 8, 9], np.uint8))
    assert len(data) == 3
    x, y = data[-1]
    assert x.tolist() == [4, 5] and y == 9
    with pytest.raises(OutOfBoundsError, match="index 3 is out of range for 3 items"):
        data[3]


def test_a_tensor_dataset_gathers_what_its_items_collate_to(rng: np.random.Generator) -> None:
    data = TensorDataset(rng.normal(size=(20, 3, 2)), np.arange(20), np.array(list("abcdefghijklmnopqrst")))
    at = np.array([3, 0, 19, 3])
    gathered = data.gather(at)
    for whole, part in zip(data.arrays, gathered, strict=True):
        np.testing.assert_array_equal(part, whole[at])
        assert not np.shares_memory(whole, part)


def test_tensors_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ShapeError, match=re.escape("the shapes are (3,), (4,)")):
        TensorDataset(np.zeros(3), np.zeros(4))
    with pytest.raises(OperandError, match="NumPy arrays are needed, not list"):
        TensorDataset([1, 2])  # type: ignore[arg-type]
    with pytest.raises(OperandError, match="at least one tensor"):
        TensorDataset()
    with pytest.raises(ShapeError):
        TensorDataset(np.zeros(()))


def test_a_transform_sees_one_row_or_all() -> None:
    class Doubled:
        calls = 0

        def __call__(self, row: np.ndarray) -> np.ndarray:
            return 2 * row

        def batch(self, rows: np.ndarray) -> np.ndarray:
            self.calls += 1
            return 2 * rows

    double = Doubled()
    data = TensorDataset(np.arange(4.0), np.arange(4), transform=double)
    assert data[3][0] == 6.0
    assert data.gather(np.array([1, 2]))[0].tolist() == [2.0, 4.0] and double.calls == 1
    data = TensorDataset(np.arange(4.0), transform=np.negative)
    assert data.gather(np.array([1, 2]))[0].tolist() == [-1.0, -2.0]


def test_subsets_and_concatenations() -> None:
    subset = Subset(range(10), [3, -1])
    assert list(subset) == [3, 9] and subset.gather is None
    with pytest.raises(OutOfBoundsError, match="index 10 is out of range for 10 items"):
        Subset(range(10), [0, 10])
    joined = ConcatDataset([range(3), [], [7]])
    assert len(joined) == 4 and [joined[i] for i in (0, 2, 3, -1)] == [0, 2, 7, 7]
    with pytest.raises(OutOfBoundsError):
        joined[4]
    with pytest.raises(OperandError):
        ConcatDataset([])


def test_a_subset_gathers_where_the_whole_can() -> None:
    data = TensorDataset(np.arange(10) ** 2)
    nested = Subset(Subset(data, [9, 8, 7, 6]), [3, 1])
    assert nested.gather is not None
    assert nested.gather(np.array([1, 0]))[0].tolist() == [64, 36]
    assert pickle.loads(pickle.dumps(nested))[0] == (36,)


def test_random_split_is_a_seeded_partition() -> None:
    parts = random_split(range(103), [0.5, 0.25, 0.25], generator=7)
    assert [len(p) for p in parts] == [52, 26, 25]
    assert sorted(i for p in parts for i in p) == list(range(103))
    again = random_split(range(103), [52, 26, 25], generator=7)
    assert [list(p) for p in again] == [list(p) for p in parts]
    assert [list(p) for p in random_split(range(103), [52, 26, 25], generator=8)] != [list(p) for p in parts]
    fb.random.seed(3)
    first = list(random_split(range(50), [50])[0])
    assert first != list(random_split(range(50), [50])[0])
    fb.random.seed(3)
    assert first == list(random_split(range(50), [50])[0])


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([3, 3], "add up to 6, but there are 10 items"),
        ([0.5, 0.6], "not to 1"),
        ([-1, 11], "cannot be negative"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(lengths: list[float], message: str) -> None:
    with pytest.raises(OperandError, match=message):
        random_split(range(10), lengths)


def test_a_dataset_without_methods_says_so() -> None:
    class Nothing(Dataset[int]):
        pass

    with pytest.raises(NotImplementedError, match="Nothing has no __len__"):
        len(DataLoader(Nothing()))
