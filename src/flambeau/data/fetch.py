"""From indices or a stream to finished batches of NumPy arrays, in whatever process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from flambeau.data.collate import default_collate
from flambeau.data.combine import Subset
from flambeau.data.dataset import Dataset, Rows, TensorDataset
from flambeau.data.draws import placed
from flambeau.data.memory import IndexArray
from flambeau.data.sampler import set_epoch

Collate = Callable[[Sequence[Any]], Any]


class EndOfStream:
    """What stands in place of a batch when a stream has no more."""


class ItemFetcher:
    """Batches of a data set whose items have numbers."""

    def __init__(self, dataset: Any, collate_fn: Collate | None) -> None:
        self.dataset = dataset
        self.collate = collate_fn or default_collate
        self.gather = dataset.gather if collate_fn is None and isinstance(dataset, Dataset) else None
        # Arrays of batches that no code of the user's has seen are the loader's own.
        self.owned = collate_fn is None and (self.gather is None or _gathers_anew(dataset))

    def begin(self, seed: int, epoch: int) -> None:
        """Start an epoch."""
        self.seed, self.epoch = seed, epoch

    def fetch(self, number: int, indices: IndexArray) -> Any:
        """The batch of these items."""
        if self.gather is not None:
            self._check(indices)
            with placed(self.seed, self.epoch, indices):
                return self.gather(indices)
        samples = []
        with placed(self.seed, self.epoch) as place:
            for index in indices.tolist():
                place.move(index)
                try:
                    samples.append(self.dataset[index])
                except Exception as error:
                    error.add_note(f"DataLoader: while item {index} was loaded")
                    raise
        with placed(self.seed, self.epoch, indices, "batch"):
            return self.collate(samples)

    def _check(self, indices: IndexArray) -> None:
        size = len(self.dataset)
        if indices.size and not (int(indices.min()) >= 0 and int(indices.max()) < size):
            wrong = indices[(indices < 0) | (indices >= size)][0]
            raise IndexError(f"the sampler gave the index {wrong}, but there are {size} items")


def _gathers_anew(dataset: Any) -> bool:
    """Whether a data set's batches are arrays that nobody else holds."""
    while type(dataset) is Subset:
        dataset = dataset.dataset
    return type(dataset) in (Rows, TensorDataset) and getattr(dataset, "transform", None) is None


class StreamFetcher:
    """Batches of a stream, by number; those before the one asked for are passed over."""

    def __init__(self, dataset: Any, collate_fn: Collate | None, batch_size: int, drop_last: bool) -> None:
        self.dataset = dataset
        self.collate = collate_fn or default_collate
        self.owned = collate_fn is None
        self.batch_size = batch_size
        self.drop_last = drop_last

    def begin(self, seed: int, epoch: int) -> None:
        """Start an epoch: the stream from its beginning."""
        self.seed, self.epoch = seed, epoch
        set_epoch(self.dataset, epoch)
        self.items: Iterator[Any] = iter(self.dataset)
        self.position = 0

    def fetch(self, number: int, indices: None) -> Any:
        """Batch ``number``, which is not before the last one fetched; or EndOfStream."""
        first = number * self.batch_size
        samples: list[Any] = []
        with placed(self.seed, self.epoch) as place:
            while self.position < first + self.batch_size:
                place.move(self.position)
                item = next(self.items, EndOfStream)
                if item is EndOfStream:
                    break
                if self.position >= first:
                    samples.append(item)
                self.position += 1
        if not samples or (self.drop_last and len(samples) < self.batch_size):
            return EndOfStream
        with placed(self.seed, self.epoch, np.arange(first, self.position), "batch"):
            return self.collate(samples)


Fetcher = ItemFetcher | StreamFetcher
