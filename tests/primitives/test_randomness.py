"""The generator against its published vectors, and its distributions against their moments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from flambeau import dtypes
from flambeau.errors import DTypeError, OperandError
from flambeau.primitives import randomness
from flambeau.primitives.views import constant
from samples.evaluate import call, run, trace, type_of

KEY, COUNTER = np.uint64(0x1234567812345678), np.uint64(7)

# counter, key, result: the known answers that accompany the authors' implementation
PUBLISHED = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), PUBLISHED)
def test_philox_gives_the_published_answers(counter: Any, key: Any, answer: Any) -> None:
    words = randomness.philox([np.uint64(c) for c in counter], [np.uint64(k) for k in key])
    assert tuple(int(w) for w in words) == answer


def draw(function: Any, *extra: Any) -> Any:
    return call(function, KEY, COUNTER, *extra)


def test_a_longer_draw_begins_like_a_shorter_one() -> None:
    short, long = (draw(lambda k, c, n=n: randomness.random_bits(k, c, (n,))) for n in (7, 33))
    np.testing.assert_array_equal(short, long[:7])


def test_draws_with_other_counters_or_keys_differ() -> None:
    rows = [
        call(lambda k, c: randomness.random_bits(k, c, (8,)), np.uint64(k), np.uint64(c))
        for k, c in ((1, 1), (1, 2), (2, 1))
    ]
    assert len({tuple(r) for r in rows}) == 3


def test_equal_draws_are_not_merged() -> None:
    graph = trace(
        lambda k, c: [randomness.random_bits(k, c, (2,)), randomness.random_bits(k, c, (2,))],
        type_of(np.asarray(KEY)),
        type_of(np.asarray(COUNTER)),
    )
    assert len(graph.nodes) == 2
    first, second = run(graph, KEY, COUNTER)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("dtype", [dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64])
def test_uniform(dtype: Any) -> None:
    x = draw(lambda k, c: randomness.uniform(k, c, (20000,), dtype)).astype(np.float64)
    assert x.min() >= 0 and x.max() < 1
    assert abs(x.mean() - 0.5) < 0.01 and abs(x.var() - 1 / 12) < 0.01


@pytest.mark.parametrize("dtype", [dtypes.float16, dtypes.float32, dtypes.float64])
def test_normal(dtype: Any) -> None:
    x = draw(lambda k, c: randomness.normal(k, c, (100, 300), dtype)).astype(np.float64)
    assert np.isfinite(x).all()
    assert abs(x.mean()) < 0.03 and abs(x.std() - 1) < 0.02
    assert abs((x**3).mean()) < 0.06 and abs((x**4).mean() - 3) < 0.2
    inside = np.mean(np.abs(x) < 1)
    assert abs(inside - math.erf(math.sqrt(0.5))) < 0.01


def test_the_smallest_bits_give_a_finite_normal() -> None:
    """log(0) must not happen: the radius of the smallest word is finite."""
    assert (0 + 1.0) * 2.0**-32 > 0 and math.sqrt(-2 * math.log(2.0**-32)) < 6.7


def test_integers() -> None:
    x = draw(lambda k, c: randomness.integers(k, c, -3, 4, (7000,)))
    assert x.dtype == np.int64
    counts = np.bincount(x + 3, minlength=7)
    assert len(counts) == 7 and counts.min() > 850 and counts.max() < 1150
    again = draw(lambda k, c, a, b: randomness.integers(k, c, a, b, (7000,)), np.int64(-3), np.int64(4))
    np.testing.assert_array_equal(x, again)
    small = draw(lambda k, c: randomness.integers(k, c, 0, 10, (5,), dtypes.int8))
    assert small.dtype == np.int8
    whole = draw(lambda k, c: randomness.integers(k, c, -(2**63), 2**63 - 1, (100,)))
    assert (whole < 0).any() and (whole > 0).any()


def test_bernoulli() -> None:
    x = draw(lambda k, c: randomness.bernoulli(k, c, 0.25, (20000,)))
    assert x.dtype == np.bool_ and abs(x.mean() - 0.25) < 0.01
    p = np.array([0.0, 1.0], np.float32)
    rows = draw(lambda k, c, p: randomness.bernoulli(k, c, p, (500, 2)), p)
    assert not rows[:, 0].any() and rows[:, 1].all()


@pytest.mark.parametrize("n", [0, 1, 2, 33])
def test_permutation(n: int) -> None:
    order = draw(lambda k, c: randomness.permutation(k, c, n))
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
    assert n < 3 or not np.array_equal(order, np.arange(n))


def test_exponential() -> None:
    x = draw(lambda k, c: randomness.exponential(k, c, (20000,)))
    assert np.isfinite(x).all() and x.min() >= 0 and abs(x.mean() - 1) < 0.03


def test_bad_arguments() -> None:
    with pytest.raises(DTypeError, match="floating-point dtype is needed, not int32"):
        draw(lambda k, c: randomness.uniform(k, c, (2,), dtypes.int32))
    with pytest.raises(OperandError, match="no number from 3 up to and without 3"):
        draw(lambda k, c: randomness.integers(k, c, 3, 3, (2,)))
    with pytest.raises(OperandError, match="key must be uint64"):
        draw(lambda k, c: randomness.random_bits(constant(1, dtypes.int64), c, (2,)))
