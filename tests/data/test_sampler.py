"""Samplers: orders that depend on seed and epoch alone."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as fb
from flambeau.data import BatchSampler, RandomSampler, SequentialSampler, WeightedRandomSampler
from flambeau.data.draws import permutation
from flambeau.errors import OperandError


def test_the_order_of_an_epoch_is_fixed_for_ever() -> None:
    """Literal numbers: another order would break the resumption of trainings begun before."""
    assert permutation(0, 0, 10).tolist() == [0, 2, 1, 4, 6, 5, 9, 8, 7, 3]
    assert permutation(12345, 7, 10).tolist() == [9, 5, 6, 0, 3, 2, 8, 1, 7, 4]


def test_permutations_are_even() -> None:
    """Every item lands everywhere about equally often."""
    where = np.stack([permutation(1, epoch, 8) for epoch in range(4000)])
    counts = np.stack([np.bincount(where[:, i], minlength=8) for i in range(8)])
    assert ((counts - 500) ** 2 / 500).sum() < 49 + 5 * np.sqrt(2 * 49)  # chi squared, five sigma


def test_a_random_sampler_changes_with_the_epoch_and_comes_back() -> None:
    sampler = RandomSampler(range(100), generator=5)
    first = list(sampler)
    assert sorted(first) == list(range(100)) and list(sampler) == first
    sampler.set_epoch(1)
    assert sorted(sampler) == list(range(100)) and list(sampler) != first
    sampler.set_epoch(0)
    assert list(sampler) == first
    assert list(RandomSampler(range(100), generator=6)) != first


def test_a_random_sampler_draws_more_and_fewer() -> None:
    more = list(RandomSampler(range(10), num_samples=25, generator=0))
    assert len(more) == 25 and sorted(more[:10]) == sorted(more[10:20]) == list(range(10))
    assert more[:10] != more[10:20]
    assert len(list(RandomSampler(range(10), num_samples=3, generator=0))) == 3
    drawn = list(RandomSampler(range(10), replacement=True, num_samples=1000, generator=0))
    assert set(drawn) == set(range(10)) and len(drawn) == 1000
    with pytest.raises(OperandError, match="no items to draw 2 from"):
        list(RandomSampler([], num_samples=2, generator=0))
    assert list(RandomSampler([], generator=0)) == []


@pytest.mark.parametrize("replacement", [True, False])
def test_weights_decide_how_often_an_index_comes(replacement: bool) -> None:
    weights = [0.0, 1.0, 3.0, 0.0, 6.0]
    count = 2000 if replacement else 1
    sampler = WeightedRandomSampler(weights, count, replacement, generator=2)
    drawn = []
    for epoch in range(1 if replacement else 2000):
        sampler.set_epoch(epoch)
        drawn += list(sampler)
    shares = np.bincount(drawn, minlength=5) / len(drawn)
    np.testing.assert_allclose(shares, [0, 0.1, 0.3, 0, 0.6], atol=0.05)
    assert shares[0] == shares[3] == 0


def test_without_replacement_every_index_comes_once() -> None:
    sampler = WeightedRandomSampler(np.arange(50), 49, replacement=False, generator=0)
    assert sorted(sampler) == list(range(1, 50))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, -1.0], 1), "finite and not negative"),
        (([np.nan], 1), "finite and not negative"),
        (([0.0, 0.0], 1), "cannot draw 1 from 0 weights"),
        (([1.0, 0.0], 2, False), "cannot draw 2 times without replacement"),
    ],
)
def test_weights_that_make_no_sense_are_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(OperandError, match=message):
        WeightedRandomSampler(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("source", [SequentialSampler(range(7)), range(7), iter(range(7))])
def test_batches_from_any_number_on(source: object, drop_last: bool) -> None:
    if not isinstance(source, (SequentialSampler, range)):
        source = list(range(7))
    batches = BatchSampler(source, 3, drop_last)  # type: ignore[arg-type]
    whole = [[0, 1, 2], [3, 4, 5], [6]][: 2 if drop_last else 3]
    assert list(batches) == whole and len(batches) == len(whole)
    assert [b.tolist() for b in batches.batches(1)] == whole[1:]
    assert [b.tolist() for b in batches.batches(9)] == []


def test_a_seed_must_be_one() -> None:
    for wrong in (-1, 1 << 64):
        with pytest.raises(OperandError, match="a seed is an integer from 0"):
            RandomSampler(range(3), generator=wrong)
    with pytest.raises(OperandError, match="generator is a seed or"):
        RandomSampler(range(3), generator="3")  # type: ignore[arg-type]
    generator = fb.random.Generator(3)
    assert (
        RandomSampler(range(3), generator=generator).seed != RandomSampler(range(3), generator=generator).seed
    )
