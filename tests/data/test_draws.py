"""Random choices that depend on seed, epoch and index alone."""

from __future__ import annotations

import numpy as np

import flambeau as fb
from flambeau.data.draws import for_each, placed, uniform


def at(seed: int, epoch: int, indices: list[int], counts: tuple[int, ...] = (3,)) -> list[np.ndarray]:
    with placed(seed, epoch, np.array(indices)):
        return [uniform(len(indices), count) for count in counts]


def test_the_numbers_are_fixed_for_ever() -> None:
    """Literal numbers: others would break the resumption of trainings begun before."""
    assert (at(1, 2, [3])[0] * 2**32).tolist() == [[3699241308, 700428858, 1286164974]]


def test_a_batch_draws_what_its_items_draw_alone() -> None:
    indices = [5, 2**40, 0]
    together = at(9, 1, indices, (3, 5, 1))
    for i, index in enumerate(indices):
        for whole, alone in zip(together, at(9, 1, [index], (3, 5, 1)), strict=True):
            np.testing.assert_array_equal(whole[i], alone[0])


def test_everything_else_is_different() -> None:
    rows = [at(s, e, [i])[0][0] for s in (0, 1) for e in (0, 1) for i in (0, 1)]
    rows += at(0, 0, [0], (3, 3))[1].tolist()
    assert len({tuple(row) for row in rows}) == 9


def test_the_numbers_are_uniform() -> None:
    numbers = at(0, 0, list(range(5000)), (4,))[0]
    assert numbers.min() >= 0 and numbers.max() < 1
    counts = np.histogram(numbers, 50, (0, 1))[0]
    assert ((counts - 400) ** 2 / 400).sum() < 49 + 5 * np.sqrt(2 * 49)
    assert np.abs(np.corrcoef(numbers.T) - np.eye(4)).max() < 0.08


def test_one_by_one_is_the_same_and_moves_on() -> None:
    def draw_twice(row: int) -> list[float]:
        return [uniform(1)[0, 0], uniform(1)[0, 0]]

    with placed(3, 0, np.arange(4)):
        first = uniform(4)
        made = np.array(for_each(draw_twice, np.arange(4)))
        last = uniform(4)
    np.testing.assert_array_equal(
        np.concatenate([first, made, last], 1), np.concatenate(at(3, 0, [0, 1, 2, 3], (1, 1, 1, 1)), 1)
    )


def test_the_default_generator_decides_elsewhere() -> None:
    fb.random.seed(4)
    first = uniform(2, 2)
    assert not np.array_equal(first, uniform(2, 2))
    fb.random.seed(4)
    np.testing.assert_array_equal(first, uniform(2, 2))


def test_several_images_of_an_item_draw_for_themselves() -> None:
    with placed(3, 0, [7]):
        frames = uniform(5, 2)
    assert len({tuple(row) for row in frames.tolist()}) == 5
    with placed(3, 0, [7]):
        np.testing.assert_array_equal(frames, uniform(5, 2))
    with placed(3, 0, [8]):
        assert not np.array_equal(frames, uniform(5, 2))
