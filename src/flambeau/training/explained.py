"""``fit(explain=True)``: the kernels of a training step, shown once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flambeau.transforms.explain import Explanation


class StepExplainer:
    """Explains one update of a training and prints it.

    The first update also makes the optimizer's state, so it is the second one that is explained,
    unless there is none.  ``accumulate`` steps make up an update; ``steps`` are all there are, where that
    is known.
    """

    def __init__(self, accumulate: int, steps: int | None) -> None:
        self.explanation = Explanation()
        self._first = 0 if steps is not None and steps < 2 * accumulate else accumulate
        self._last = self._first + min(accumulate, steps or accumulate) - 1
        self._step = 0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Within the block a step runs."""
        number = self._step
        self._step += 1
        if not self._first <= number <= self._last:
            yield
            return
        with self.explanation:
            yield
        if number == self._last:
            print(self.explanation)
