"""DataLoader: batches of tensors from a data set, in a position that can be saved and restored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice, repeat
from typing import Any

import numpy as np

from flambeau.data.dataset import IterableDataset, Rows
from flambeau.data.draws import seed_of
from flambeau.data.fetch import Collate, Fetcher, ItemFetcher, StreamFetcher
from flambeau.data.iteration import ParallelIteration, SerialIteration, Tasks
from flambeau.data.sampler import BatchSampler, RandomSampler, SequentialSampler, set_epoch
from flambeau.errors import OperandError
from flambeau.random import Generator
from flambeau.tensor import Tensor


class DataLoader:
    """Batches of a data set, as tensors, epoch after epoch.

    Each ``for`` loop is one epoch.  The order of an epoch depends on the seed and the number of the
    epoch alone, and so do the numbers that random transforms draw for an item: the batches are the
    same, bit for bit, whatever the number of workers, and the same after ``load_state_dict``.

    Args:
        dataset: A ``Dataset``, an ``IterableDataset``, a tensor or array whose rows are the items, or
            anything with a length and items by number.
        batch_size: Items per batch.
        shuffle: Whether each epoch has an order of its own.
        sampler: Gives the indices in the order to load them, instead of ``shuffle``.
        batch_sampler: Gives lists of indices, instead of all of the above and ``drop_last``.
        num_workers: Processes that prepare batches; 0 prepares them in this one when they are asked
            for.  A ``TensorDataset`` is fastest without.
        collate_fn: Makes a batch of a list of items; ``default_collate`` if left out.  Arrays in what it
            returns become tensors.
        drop_last: Whether to leave out a last batch that is not full.
        timeout: Seconds to wait for a batch of a worker; 0 for ever.
        worker_init_fn: Called in each worker with its number.
        generator: A seed or a generator; the default generator if left out.
        prefetch_factor: How many batches each worker prepares in advance.
        persistent_workers: Whether workers live on between epochs.
        start_method: How workers start: "fork" (the default on Linux), "spawn" or "forkserver"; see
            ``flambeau.data.workers`` for what each asks of the program.

    Raises:
        OperandError: Arguments that exclude each other or are out of range.
        WorkerError: A worker failed, died or took too long; raised by the loop.

    Example:
        >>> import flambeau as fb
        >>> loader = fb.data.DataLoader(fb.arange(6), batch_size=4, shuffle=True, generator=0)
        >>> [len(batch) for batch in loader], len(loader)
        ([4, 2], 2)
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[Iterable[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Collate | None = None,
        *,
        drop_last: bool = False,
        timeout: float = 0.0,
        worker_init_fn: Callable[[int], None] | None = None,
        generator: Generator | int | None = None,
        prefetch_factor: int = 2,
        persistent_workers: bool = False,
        start_method: str | None = None,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("num_workers", num_workers, 0),
            ("prefetch_factor", prefetch_factor, 1),
        ):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise OperandError(f"DataLoader: {name} is an integer of at least {least}, not {value!r}")
        if timeout < 0:
            raise OperandError(f"DataLoader: timeout cannot be negative: {timeout}")
        if persistent_workers and not num_workers:
            raise OperandError("DataLoader: persistent_workers needs num_workers of at least 1")
        self.dataset = Rows(dataset) if isinstance(dataset, (Tensor, np.ndarray)) else dataset
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.num_workers = num_workers
        self.collate_fn = collate_fn
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.prefetch_factor = prefetch_factor
        self.persistent_workers = persistent_workers
        self.start_method = start_method
        self._seed = seed_of(generator, "DataLoader")
        self._shuffle = shuffle
        self._batches = self._make_batches(shuffle, sampler, batch_sampler)
        self._epoch = 0
        self._batch = 0
        self._started = False  # whether a pass over this epoch has begun
        self._pass = 0  # the latest one: only it moves the position
        self._workers: Any = None

    def _make_batches(
        self, shuffle: bool, sampler: Iterable[int] | None, batch_sampler: Iterable[Iterable[int]] | None
    ) -> Any:
        """The batch sampler; None for a stream."""
        if isinstance(self.dataset, IterableDataset):
            if shuffle or sampler is not None or batch_sampler is not None:
                raise OperandError(
                    "DataLoader: the items of an IterableDataset have no numbers, so shuffle, sampler and "
                    "batch_sampler have no meaning; let the data set give its own order"
                )
            return None
        for method in ("__getitem__", "__len__"):
            if not hasattr(self.dataset, method):
                raise OperandError(
                    f"DataLoader: {type(self.dataset).__name__} has no {method}; a Dataset, an "
                    "IterableDataset, a sequence, a tensor or an array is needed"
                )
        if batch_sampler is not None:
            if shuffle or sampler is not None or self.drop_last or self.batch_size != 1:
                raise OperandError(
                    "DataLoader: with batch_sampler, leave out batch_size, shuffle, sampler and drop_last"
                )
            return batch_sampler
        if sampler is not None and shuffle:
            raise OperandError("DataLoader: shuffle and sampler exclude each other")
        if sampler is None:
            if shuffle:
                sampler = RandomSampler(self.dataset, generator=self._seed)
            else:
                sampler = SequentialSampler(self.dataset)
        return BatchSampler(sampler, self.batch_size, self.drop_last)

    def __len__(self) -> int:
        """The number of batches of an epoch; ``TypeError`` for a stream without length."""
        if self._batches is not None:
            return len(self._batches)
        items = len(self.dataset)
        return items // self.batch_size if self.drop_last else -(-items // self.batch_size)

    @property
    def epoch(self) -> int:
        """The number of the epoch that is being delivered, or, between epochs, that comes next."""
        return self._epoch

    # -- the position -------------------------------------------------------------------------

    def state_dict(self) -> dict[str, int]:
        """The position: numbers that ``load_state_dict`` continues from.

        Batches count when the loop receives them, not when a worker prepares them, so within the
        loop the position is after the batch at hand.
        """
        order = self._order_with_seed()
        return {
            "epoch": self._epoch,
            "batch": self._batch,
            "seed": self._seed,
            "order_seed": self._seed if order is None else order.seed,
            "batch_size": self.batch_size,
            "shuffle": int(self._shuffle),
            "items": -1 if self._batches is None else len(self.dataset),
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue where ``state`` was taken: the next loop delivers the rest of that epoch.

        A stream is read from its beginning and passed over up to the position.

        Raises:
            OperandError: The state is not of a loader, or of one with other data or batches.
        """
        own = self.state_dict()
        if not isinstance(state, dict) or state.keys() != own.keys():
            raise OperandError("load_state_dict: this is not the state of a DataLoader")
        for name in ("items", "batch_size", "shuffle"):
            if int(state[name]) != own[name]:
                raise OperandError(
                    f"load_state_dict: the state is of a loader with {name} = {state[name]}, "
                    f"but this one has {own[name]}"
                )
        if int(state["epoch"]) < 0 or int(state["batch"]) < 0:
            raise OperandError(
                f"load_state_dict: there is no batch {state['batch']} of epoch {state['epoch']}"
            )
        self._epoch, self._batch = int(state["epoch"]), int(state["batch"])
        self._seed = int(state["seed"])
        order = self._order_with_seed()
        if order is not None:
            order.seed = int(state["order_seed"])
        self._started = False
        self._pass += 1

    def _order_with_seed(self) -> Any:
        """The sampler whose seed decides the order, if there is one."""
        for sampler in (self._batches, getattr(self._batches, "sampler", None)):
            if isinstance(getattr(sampler, "seed", None), int):
                return sampler
        return None

    # -- passes -------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Any]:
        if self._started:
            self._epoch, self._batch = self._epoch + 1, 0
        self._started = True
        self._pass += 1
        this_pass, epoch = self._pass, self._epoch

        def latest() -> bool:
            return self._pass == this_pass

        def delivered(number: int) -> bool:
            if latest():
                self._batch = number + 1
            return latest()

        def ended() -> bool:
            if latest():
                self._epoch, self._batch, self._started = epoch + 1, 0, False
            return latest()

        tasks = self._tasks(epoch, self._batch)
        if not self.num_workers:
            return SerialIteration(self._fetcher(), self._seed, epoch, tasks, delivered, ended)
        keep = self.persistent_workers
        workers = self._workers if keep else None
        if workers is None or not workers.members:
            workers = self._start_workers()
            self._workers = workers if keep else None
        return ParallelIteration(
            workers, self.prefetch_factor, keep, self._seed, epoch, latest, tasks, delivered, ended
        )

    def _tasks(self, epoch: int, start: int) -> Tasks:
        """Numbers and indices of the batches from ``start`` on."""
        batches = self._batches
        if batches is None:
            return zip(count(start), repeat(None))
        set_epoch(batches, epoch)
        if isinstance(batches, BatchSampler):
            return enumerate(batches.batches(start), start)
        rest = islice(iter(batches), start, None)
        return enumerate((np.asarray(list(batch), np.int64) for batch in rest), start)

    def _fetcher(self) -> Fetcher:
        if self._batches is None:
            return StreamFetcher(self.dataset, self.collate_fn, self.batch_size, self.drop_last)
        return ItemFetcher(self.dataset, self.collate_fn)

    def _start_workers(self) -> Any:
        from flambeau.data.workers import Workers, default_start_method

        return Workers(
            self.num_workers,
            self._fetcher(),
            self.worker_init_fn,
            self.start_method or default_start_method(),
            self.timeout,
        )
