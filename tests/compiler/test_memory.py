"""The arena: values that live at the same time never overlap, and memory is used again."""

from __future__ import annotations

import random

import pytest

from flambeau.compiler.memory import ALIGNMENT, plan_arena


def check(sizes: dict[int, int], born: dict[int, int], dies: dict[int, int]) -> int:
    offsets, total = plan_arena(sizes, born, dies)
    assert set(offsets) == set(sizes)
    for v, at in offsets.items():
        assert at % ALIGNMENT == 0 and at + sizes[v] <= total
        for w, other in offsets.items():
            if v < w and born[v] <= dies[w] and born[w] <= dies[v]:
                assert at + sizes[v] <= other or other + sizes[w] <= at, (v, w)
    return total


@pytest.mark.parametrize("seed", range(100))
def test_random_lifetimes(seed: int) -> None:
    r = random.Random(seed)
    count = r.randint(0, 40)
    sizes = {v: r.choice((0, 1, 63, 64, 65, 1000, 4096)) for v in range(count)}
    born = {v: r.randint(0, 30) for v in range(count)}
    dies = {v: born[v] + r.choice((0, 0, 1, 2, 10)) for v in range(count)}
    total = check(sizes, born, dies)
    rounded = {v: -(-n // ALIGNMENT) * ALIGNMENT for v, n in sizes.items()}
    peak = max((sum(n for v, n in rounded.items() if born[v] <= t <= dies[v]) for t in range(50)), default=0)
    assert peak <= total <= sum(rounded.values())
    assert total <= 2 * peak  # first fit, largest first


def test_a_chain_needs_two_places() -> None:
    sizes = dict.fromkeys(range(100), 4096)
    total = check(sizes, {v: v for v in sizes}, {v: v + 1 for v in sizes})
    assert total == 2 * 4096


def test_nothing() -> None:
    assert plan_arena({}, {}, {}) == ({}, 0)


def test_the_same_plan_again() -> None:
    sizes = {v: 64 * (v % 5) for v in range(50)}
    born = {v: v for v in sizes}
    dies = {v: v + v % 7 for v in sizes}
    backwards = dict(reversed(sizes.items()))
    assert plan_arena(sizes, born, dies) == plan_arena(backwards, born, dies)
