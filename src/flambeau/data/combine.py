"""Data sets made of others: parts, concatenations and random splits."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, SupportsIndex

import numpy as np

from flambeau.data.dataset import Dataset, Gather
from flambeau.data.draws import permutation, seed_of
from flambeau.data.memory import IndexArray
from flambeau.errors import OperandError, OutOfBoundsError
from flambeau.random import Generator


class Subset(Dataset[Any]):
    """The items of ``dataset`` at ``indices``, in their order.

    Raises:
        OutOfBoundsError: An index is not in the data set.

    Example:
        >>> import flambeau as fb
        >>> fb.data.Subset(["a", "b", "c"], [2, 0])[0]
        'c'
    """

    def __init__(self, dataset: Any, indices: Sequence[SupportsIndex]) -> None:
        self.dataset = dataset
        size = len(dataset)
        at = np.asarray(indices, np.int64).reshape(-1)
        wrong = at[(at < -size) | (at >= size)]
        if wrong.size:
            raise OutOfBoundsError(f"Subset: index {wrong[0]} is out of range for {size} items")
        self.indices: IndexArray = np.where(at < 0, at + size, at)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]

    @property
    def gather(self) -> Gather | None:  # type: ignore[override]
        """Fetches many items at once, where the whole data set can."""
        if isinstance(self.dataset, Dataset) and self.dataset.gather is not None:
            return self._gather
        return None

    def _gather(self, indices: IndexArray) -> Any:
        return self.dataset.gather(self.indices[indices])


class ConcatDataset(Dataset[Any]):
    """The items of several data sets, one after the other.

    Example:
        >>> import flambeau as fb
        >>> list(fb.data.ConcatDataset(["ab", "cde"]))
        ['a', 'b', 'c', 'd', 'e']
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise OperandError("ConcatDataset: at least one data set is needed")
        self.ends = list(accumulate(len(part) for part in self.datasets))

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int) -> Any:
        size = len(self)
        if not -size <= index < size:
            raise OutOfBoundsError(f"ConcatDataset: index {index} is out of range for {size} items")
        index %= size
        part = bisect_right(self.ends, index)
        return self.datasets[part][index - (self.ends[part - 1] if part else 0)]


def random_split(
    dataset: Any, lengths: Sequence[int | float], generator: Generator | int | None = None
) -> list[Subset]:
    """Disjoint random parts of a data set.

    Args:
        dataset: Anything with a length and items by number.
        lengths: The size of each part, together the size of the data set; or fractions that add up to
            1, where items that rounding leaves over go to the first parts, one each.
        generator: A seed or a generator that decides which items go where; the default generator if
            left out.

    Raises:
        OperandError: The lengths do not add up to the whole.

    Example:
        >>> import flambeau as fb
        >>> train, held_out = fb.data.random_split(range(10), [0.8, 0.2], generator=1)
        >>> len(train), len(held_out), sorted([*train, *held_out])
        (8, 2, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    size = len(dataset)
    if any(length < 0 for length in lengths):
        raise OperandError(f"random_split: lengths cannot be negative: {list(lengths)}")
    if any(isinstance(length, float) for length in lengths):
        if not math.isclose(sum(lengths), 1.0, abs_tol=1e-9):
            raise OperandError(
                f"random_split: the fractions {list(lengths)} add up to {sum(lengths)}, not to 1"
            )
        counts = [math.floor(size * length) for length in lengths]
        for i in range(size - sum(counts)):
            counts[i % len(counts)] += 1
    else:
        counts = [int(length) for length in lengths]
        if sum(counts) != size:
            raise OperandError(
                f"random_split: the lengths {counts} add up to {sum(counts)}, but there are {size} items"
            )
    order = permutation(seed_of(generator, "random_split"), 0, size)
    ends = list(accumulate(counts))
    return [
        Subset(dataset, order[end - count : end].tolist()) for count, end in zip(counts, ends, strict=True)
    ]
