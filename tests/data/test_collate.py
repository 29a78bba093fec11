"""From items to a batch."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import pytest

import flambeau as fb
from flambeau.data import default_collate
from flambeau.errors import OperandError, ShapeError


class Pair(NamedTuple):
    image: Any
    label: Any


CASES = {
    "ints": ([1, 2], np.array([1, 2], np.int64)),
    "floats": ([1.5, 2.0], np.array([1.5, 2.0], np.float32)),
    "int and float": ([1, 2.5], np.array([1, 2.5], np.float32)),
    "bools": ([True, False], np.array([True, False])),
    "complex": ([1j, 2], np.array([1j, 2], np.complex64)),
    "scalars keep their dtype": ([np.float64(1), np.float64(2)], np.array([1.0, 2.0])),
    "arrays": ([np.ones((2, 1), np.uint8)] * 3, np.ones((3, 2, 1), np.uint8)),
}


@pytest.mark.parametrize("case", CASES)
def test_values_are_stacked(case: str) -> None:
    samples, expected = CASES[case]
    made = default_collate(samples)
    np.testing.assert_array_equal(made, expected)
    assert made.dtype == expected.dtype


def test_tensors_are_stacked_and_strings_listed() -> None:
    assert default_collate([fb.asarray([1.0]), fb.asarray([2.0])]).tolist() == [[1.0], [2.0]]
    assert default_collate(["a", "b"]) == ["a", "b"]
    assert default_collate([b"a", b"b"]) == [b"a", b"b"]


def test_structures_are_kept() -> None:
    made = default_collate([{"x": Pair(np.zeros(2), i), "y": [i, (str(i),)]} for i in range(3)])
    assert isinstance(made["x"], Pair) and made["x"].image.shape == (3, 2)
    assert made["x"].label.tolist() == [0, 1, 2]
    assert isinstance(made["y"], list) and made["y"][1] == (["0", "1", "2"],)


REFUSED = {
    "shapes": ([(np.zeros((2, 3)), 0), (np.zeros((2, 4)), 0)], ShapeError, "the item[0] has shape (2, 3) in"),
    "keys": (
        [{"a": 1}, {"b": 1}],
        OperandError,
        "keys ['a'] in sample 0 of the batch and ['b'] in sample 1",
    ),
    "lengths": ([(1, 2), (1,)], OperandError, "the item has 2 parts in one sample and is a tuple of 1"),
    "kinds": ([1, "a"], OperandError, "is a number in one sample and of type str"),
    "none": ([{"a": None}], OperandError, "the item['a'] is of type NoneType, which has no batches"),
    "nothing": ([], OperandError, "no items"),
    "large": ([1 << 70], OperandError, "does not fit int64"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_items_that_do_not_fit_are_named(case: str) -> None:
    samples, error, message = REFUSED[case]
    with pytest.raises(error, match=re.escape(message)):
        default_collate(samples)
