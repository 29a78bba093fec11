"""Samplers: in which order items are loaded.

The order of an epoch depends on the sampler's seed and the number of the epoch alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any

import numpy as np

from flambeau.data.draws import fractions, permutation, seed_of
from flambeau.data.memory import IndexArray
from flambeau.errors import OperandError
from flambeau.random import Generator


class Sampler:
    """Gives the indices of an epoch: subclasses have ``order``, or ``__iter__``, and ``__len__``.

    Attributes:
        epoch: The number of the epoch, which ``DataLoader`` sets.

    Example:
        >>> import flambeau as fb
        >>> class Backwards(fb.data.Sampler):
        ...     def __iter__(self):
        ...         return iter([2, 1, 0])
        ...
        ...     def __len__(self):
        ...         return 3
        >>> [batch.item() for batch in fb.data.DataLoader([10, 11, 12], sampler=Backwards())]
        [12, 11, 10]
    """

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch is next."""
        self.epoch = epoch

    def order(self) -> IndexArray:
        """All indices of the epoch."""
        raise NotImplementedError(f"{type(self).__name__} has neither order nor __iter__")

    def __iter__(self) -> Iterator[int]:
        return iter(self.order().tolist())

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} has no __len__")


class SequentialSampler(Sampler):
    """The indices in order.

    >>> import flambeau as fb
    >>> list(fb.data.SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __len__(self) -> int:
        return len(self.data_source)

    def order(self) -> IndexArray:
        """All indices of the epoch."""
        return np.arange(len(self.data_source), dtype=np.int64)


class RandomSampler(Sampler):
    """The indices in random order, or draws with ``replacement``.

    Args:
        data_source: What has the length of the data.
        replacement: Whether an index may come twice.
        num_samples: How many indices an epoch has; as many as there are items if left out.
        generator: A seed or a generator; the default generator if left out.

    Example:
        >>> import flambeau as fb
        >>> sorted(fb.data.RandomSampler(range(5), generator=3))
        [0, 1, 2, 3, 4]
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | int | None = None,
    ) -> None:
        self.data_source = data_source
        self.replacement = replacement
        self.num_samples = num_samples
        self.seed = seed_of(generator, "RandomSampler")
        if num_samples is not None and num_samples < 0:
            raise OperandError(f"RandomSampler: num_samples cannot be {num_samples}")

    def __len__(self) -> int:
        return len(self.data_source) if self.num_samples is None else self.num_samples

    def order(self) -> IndexArray:
        """All indices of the epoch."""
        size, count = len(self.data_source), len(self)
        if count and not size:
            raise OperandError(f"RandomSampler: there are no items to draw {count} from")
        if self.replacement:
            drawn = fractions(self.seed, self.epoch, count, "draws")
            drawn = np.minimum(drawn * size, size - 1)
            return np.asarray(drawn, np.int64)
        rounds = -(-count // size) if size else 0
        # More indices than items: whole permutations one after the other.
        orders = [permutation(self.seed + (i << 64), self.epoch, size) for i in range(rounds)]
        return np.concatenate([np.empty(0, np.int64), *orders])[:count]


class WeightedRandomSampler(Sampler):
    """Random indices, index i with a probability proportional to ``weights[i]``.

    Without replacement each next index is drawn in proportion to the weights of those that are left.

    Source: P. S. Efraimidis, P. G. Spirakis, "Weighted random sampling with a reservoir", Information
    Processing Letters 97, 2006 (for draws without replacement).

    Raises:
        OperandError: A weight is negative or not finite, all are 0, or there are fewer positive weights
            than draws without replacement.

    Example:
        >>> import flambeau as fb
        >>> list(fb.data.WeightedRandomSampler([0.0, 1.0, 0.0], 4))
        [1, 1, 1, 1]
    """

    def __init__(
        self,
        weights: Sequence[float] | Any,
        num_samples: int,
        replacement: bool = True,
        generator: Generator | int | None = None,
    ) -> None:
        self.weights = np.asarray(weights, np.float64).reshape(-1)
        if not np.isfinite(self.weights).all() or (self.weights < 0).any():
            raise OperandError("WeightedRandomSampler: weights must be finite and not negative")
        positive = int((self.weights > 0).sum())
        if num_samples < 0 or (num_samples and not positive):
            raise OperandError(
                f"WeightedRandomSampler: cannot draw {num_samples} from {positive} weights above 0"
            )
        if not replacement and num_samples > positive:
            raise OperandError(
                f"WeightedRandomSampler: cannot draw {num_samples} times without replacement "
                f"from {positive} weights above 0"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.seed = seed_of(generator, "WeightedRandomSampler")

    def __len__(self) -> int:
        return self.num_samples

    def order(self) -> IndexArray:
        """All indices of the epoch."""
        if not self.num_samples:
            return np.empty(0, np.int64)
        if self.replacement:
            sums = np.cumsum(self.weights)
            drawn = fractions(self.seed, self.epoch, self.num_samples, "draws") * sums[-1]
            found = np.searchsorted(sums, drawn, side="right")
            last = int(np.flatnonzero(self.weights)[-1])  # where rounding leads past the end
            return np.asarray(np.minimum(found, last), np.int64)
        drawn = 1.0 - fractions(self.seed, self.epoch, len(self.weights), "draws")  # in (0, 1]
        with np.errstate(divide="ignore"):
            waiting = np.where(self.weights > 0, -np.log(drawn) / self.weights, np.inf)
        return np.asarray(np.argsort(waiting, kind="stable")[: self.num_samples], np.int64)


class BatchSampler:
    """The indices of a sampler in lists of ``batch_size``; the last may be shorter unless ``drop_last``.

    >>> import flambeau as fb
    >>> list(fb.data.BatchSampler(range(5), 2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise OperandError(f"BatchSampler: batch_size is an integer of at least 1, not {batch_size!r}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch is next."""
        set_epoch(self.sampler, epoch)

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        return (batch.tolist() for batch in self.batches())

    def batches(self, start: int = 0) -> Iterator[IndexArray]:
        """The batches from number ``start`` on, as arrays."""
        size, sampler = self.batch_size, self.sampler
        if isinstance(sampler, Sampler) and type(sampler).order is not Sampler.order:
            order = sampler.order()
            stop = len(order) - len(order) % size if self.drop_last else len(order)
            for begin in range(start * size, stop, size):
                yield order[begin : begin + size]
            return
        batch: list[int] = []
        number = 0
        for index in sampler:
            batch.append(index)
            if len(batch) == size:
                if number >= start:
                    yield np.array(batch, np.int64)
                number += 1
                batch = []
        if batch and not self.drop_last and number >= start:
            yield np.array(batch, np.int64)


def set_epoch(what: Any, epoch: int) -> None:
    """Tell a sampler or data set which epoch is next, where it wants to know."""
    tell = getattr(what, "set_epoch", None)
    if tell is not None:
        tell(epoch)
