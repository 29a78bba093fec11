"""Loading batches: order, position, structure, with and without workers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau.data import DataLoader, Dataset, IterableDataset, RandomSampler, Subset, TensorDataset
from flambeau.errors import OperandError


class Noisy(Dataset[Any]):
    """Items that draw random numbers: they show where and when they were drawn."""

    def __init__(self, size: int = 23) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        return {"index": index, "noise": fb.data.uniform(1, 3)[0], "name": f"item {index}"}


class Stream(IterableDataset[Any]):
    """A stream whose order depends on the epoch."""

    def __init__(self, size: int = 23) -> None:
        self.size = size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[Any]:
        for i in range(self.size):
            yield {"index": 100 * self.epoch + i, "noise": fb.data.uniform(1, 3)[0], "name": f"item {i}"}


def plain(batch: Any) -> Any:
    """A batch as numbers that can be compared."""
    return {key: value if isinstance(value, list) else value.tolist() for key, value in batch.items()}


def loader(dataset: Any, **options: Any) -> DataLoader:
    options = {
        "batch_size": 4,
        "shuffle": not isinstance(dataset, IterableDataset),
        "generator": 11,
        **options,
    }
    return DataLoader(dataset, **options)


WORKERS: list[dict[str, Any]] = [
    {"num_workers": 0},
    {"num_workers": 2},
    {"num_workers": 3, "persistent_workers": True, "prefetch_factor": 1},
]


@pytest.mark.parametrize("workers", WORKERS[1:], ids=str)
@pytest.mark.parametrize("dataset", [Noisy(), Stream()], ids=lambda d: type(d).__name__)
def test_batches_do_not_depend_on_workers(dataset: Any, workers: dict[str, Any]) -> None:
    alone, together = loader(dataset), loader(dataset, **workers)
    for _ in range(3):
        assert [plain(b) for b in together] == [plain(b) for b in alone]


@pytest.mark.parametrize("workers", WORKERS, ids=str)
@pytest.mark.parametrize("dataset", [Noisy(), Stream()], ids=lambda d: type(d).__name__)
def test_a_position_restored_gives_the_same_batches(dataset: Any, workers: dict[str, Any]) -> None:
    unbroken = loader(dataset, **workers)
    batches: list[Any] = []
    states = [unbroken.state_dict()]
    for _ in range(2):
        for batch in unbroken:
            batches.append(plain(batch))
            states.append(unbroken.state_dict())
    assert len(batches) == 12
    for at in (0, 1, 5, 6, 9):
        resumed = loader(dataset, generator=99, **workers)
        resumed.load_state_dict(json.loads(json.dumps(states[at])))
        assert resumed.state_dict() == states[at]
        found = []
        while len(found) < len(batches) - at:
            found += [plain(batch) for batch in resumed]
        assert found == batches[at:]


def test_a_restored_position_counts_on(rng: np.random.Generator) -> None:
    first = loader(Noisy())
    passing = iter(first)
    for _ in range(4):
        next(passing)
    second = loader(Noisy())
    second.load_state_dict(first.state_dict())
    passing = iter(second)
    next(passing)
    assert second.state_dict()["batch"] == 5
    second.load_state_dict(first.state_dict())
    next(passing)  # the pass before does not move the position any more
    assert second.state_dict() == first.state_dict()


def test_epochs_count_and_are_shuffled_differently() -> None:
    data = loader(fb.arange(64), batch_size=64)
    orders = [next(iter(batch.tolist() for batch in data)) for _ in range(3)]
    assert data.epoch == 2  # these passes were left before their end
    assert all(sorted(order) == list(range(64)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    list(data)
    assert data.epoch == 4 and data.state_dict()["batch"] == 0


def test_the_default_generator_decides_without_another() -> None:
    def first_order() -> Any:
        fb.random.seed(5)
        return next(iter(DataLoader(fb.arange(20), batch_size=20, shuffle=True))).tolist()

    assert first_order() == first_order()


def test_a_batch_is_one_gather_where_there_are_no_items_to_see() -> None:
    class Counting(TensorDataset):
        def __getitem__(self, index: int) -> Any:
            raise AssertionError("no single item is needed")

    data = Counting(fb.arange(10, dtype=fb.float32), np.arange(10, dtype=np.uint8))
    x, y = next(iter(loader(Subset(data, range(1, 9)), batch_size=3, shuffle=False)))
    assert x.tolist() == [1.0, 2.0, 3.0] and x.dtype is fb.float32
    assert y.tolist() == [1, 2, 3] and y.dtype is fb.uint8


def test_a_gathered_batch_is_no_view_of_the_data() -> None:
    array = np.arange(4.0)
    batch = next(iter(DataLoader(array, batch_size=4)))
    array[:] = 0
    assert batch.tolist() == [0, 1, 2, 3]


def test_what_a_collate_function_keeps_may_change_later() -> None:
    kept = np.zeros(2)

    def collate(samples: Any) -> Any:
        kept[:] = samples
        return kept

    batches = list(DataLoader([1.0, 2.0, 3.0, 4.0], batch_size=2, collate_fn=collate))
    assert [b.tolist() for b in batches] == [[1.0, 2.0], [3.0, 4.0]]


def test_what_a_transform_keeps_may_change_later() -> None:
    kept = np.zeros((2, 3))

    class Keeping:
        def __call__(self, row: np.ndarray) -> np.ndarray:
            raise AssertionError("whole batches are at hand")

        def batch(self, rows: np.ndarray) -> np.ndarray:
            kept[:] = rows
            return kept

    data = TensorDataset(np.arange(12.0).reshape(4, 3), transform=Keeping())
    for dataset in (data, Subset(Subset(data, range(4)), range(4))):
        batches = [x for (x,) in DataLoader(dataset, batch_size=2)]
        assert [batch[0, 0].item() for batch in batches] == [0.0, 6.0]


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_last_batch(num_workers: int, drop_last: bool) -> None:
    for dataset in (list(range(7)), Sized()):
        data = DataLoader(dataset, batch_size=3, drop_last=drop_last, num_workers=num_workers)
        sizes = [len(batch) for batch in data]
        assert sizes == [3, 3, 1][: 2 if drop_last else 3] and len(data) == len(sizes)


class Sized(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(7))

    def __len__(self) -> int:
        return 7


def test_samplers_decide() -> None:
    data = list(range(10))
    assert [b.tolist() for b in DataLoader(data, 2, sampler=[5, 1, 3])] == [[5, 1], [3]]
    assert [b.tolist() for b in DataLoader(data, batch_sampler=[[5, 1], [3]])] == [[5, 1], [3]]
    sampler = RandomSampler(data, generator=4)
    with_sampler = DataLoader(data, 10, sampler=sampler, generator=1)
    orders = [b.tolist() for _ in range(2) for b in with_sampler]
    assert orders[0] != orders[1]
    state = with_sampler.state_dict()
    following = [b.tolist() for b in with_sampler]
    other = DataLoader(data, 10, sampler=RandomSampler(data, generator=5))
    other.load_state_dict(state)
    assert [b.tolist() for b in other] == following


def test_an_empty_data_set_has_no_batches() -> None:
    assert list(DataLoader(np.zeros((0, 3)), 2, shuffle=True)) == []
    assert list(DataLoader([], 2)) == []


def test_a_failing_item_is_named() -> None:
    class Broken(Noisy):
        def __getitem__(self, index: int) -> Any:
            raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged") as caught:
        list(DataLoader(Broken()))
    assert caught.value.__notes__ == ["DataLoader: while item 0 was loaded"]
    with pytest.raises(IndexError, match="the sampler gave the index 4, but there are 4 items"):
        list(DataLoader(np.zeros(4), sampler=[4]))


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "batch size": ([1], {"batch_size": 0}, "batch_size is an integer of at least 1, not 0"),
    "workers": ([1], {"num_workers": -1}, "num_workers is an integer of at least 0"),
    "prefetch": ([1], {"prefetch_factor": 0}, "prefetch_factor is an integer of at least 1"),
    "timeout": ([1], {"timeout": -1}, "timeout cannot be negative"),
    "persistent": ([1], {"persistent_workers": True}, "persistent_workers needs num_workers"),
    "two orders": ([1], {"shuffle": True, "sampler": [0]}, "shuffle and sampler exclude each other"),
    "two batches": ([1], {"batch_sampler": [[0]], "batch_size": 2}, "with batch_sampler, leave out"),
    "no items": (iter([1]), {}, "has no __getitem__"),
    "shuffled stream": (Stream(), {"shuffle": True}, "shuffle, sampler and batch_sampler have no meaning"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_arguments_that_make_no_sense_are_refused(case: str) -> None:
    dataset, options, message = REFUSED[case]
    with pytest.raises(OperandError, match=message):
        DataLoader(dataset, **options)


def test_states_that_do_not_fit_are_refused() -> None:
    state = loader(Noisy(23)).state_dict()
    for other, message in (
        (loader(Noisy(24)), "of a loader with items = 23, but this one has 24"),
        (loader(Noisy(23), batch_size=5), "with batch_size = 4, but this one has 5"),
        (loader(Noisy(23), shuffle=False), "with shuffle = 1, but this one has 0"),
    ):
        with pytest.raises(OperandError, match=message):
            other.load_state_dict(state)
    with pytest.raises(OperandError, match="not the state of a DataLoader"):
        loader(Noisy()).load_state_dict({"epoch": 1})
    with pytest.raises(OperandError, match="no batch -1 of epoch 0"):
        loader(Noisy()).load_state_dict({**state, "batch": -1})


def test_a_stream_without_length_has_none() -> None:
    with pytest.raises(TypeError):
        len(loader(Stream()))
