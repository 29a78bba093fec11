"""Compiled steps run without being recorded: the same results, the same promises, and less Python."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.engine.direct import Direct
from flambeau.engine.tape import THREAD
from flambeau.errors import FlambeauError
from flambeau.tensor import Tensor


class Training:
    """A small classifier, its optimizer, and a step."""

    def __init__(self) -> None:
        fb.random.seed(0)
        self.net = nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 4))
        self.optimizer = fb.optim.Adam(self.net.parameters(), lr=0.01)

    def step(self, words: fb.Tensor, labels: fb.Tensor) -> fb.Tensor:
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.net(words), labels)
        loss.backward()
        self.optimizer.step()
        return loss

    def weights(self) -> list[np.ndarray]:
        return [p.numpy().copy() for p in self.net.parameters()]


def batch(n: int = 6) -> tuple[fb.Tensor, fb.Tensor]:
    g = np.random.default_rng(n)
    return fb.asarray(g.integers(0, 10, n)), fb.asarray(g.integers(0, 4, n))


def test_a_step_is_not_recorded_and_planned_once() -> None:
    training = Training()
    step = fb.compile(training.step)
    x, y = batch()
    for _ in range(3):
        step(x, y)
    before = fb.stats()
    for _ in range(5):
        loss = step(x, y)
        assert not THREAD.tape.types and loss._value.data is not None
    after = fb.stats()
    assert after.runs == before.runs + 5
    assert (after.plans, after.partitions) == (before.plans, before.partitions)


def test_the_bits_are_those_of_the_function_itself() -> None:
    found = []
    for compiled in (False, True):
        training = Training()
        step: Any = fb.compile(training.step) if compiled else training.step
        losses = [step(*batch(4 + i % 2)).item() for i in range(8)]
        found.append((losses, training.weights()))
    assert found[0][0] == found[1][0]
    for a, b in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_parameters_and_moments_give_their_memory_to_the_new_ones() -> None:
    training = Training()
    step = fb.compile(training.step)
    places: list[set[int]] = []
    for _ in range(8):
        step(*batch())
        held = [p._value.data.ptr for p in training.net.parameters()]
        places.append(set(held))
    seen = set().union(*places[3:])
    assert len(seen) <= 3 * len(places[0])  # they may change places with the two moments of each


def test_what_others_hold_is_not_overwritten() -> None:
    training = Training()
    step = fb.compile(training.step)
    for _ in range(3):
        step(*batch())
    weight = next(iter(training.net.parameters()))
    views = [weight.numpy(), weight.detach()]
    before = weight.numpy().copy()
    step(*batch())
    assert not np.array_equal(weight.numpy(), before)
    for view in views:
        np.testing.assert_array_equal(np.asarray(view), before)


def test_pending_operands_are_fused_with_the_step() -> None:
    training, other = Training(), Training()
    step, plain = fb.compile(training.step), other.step
    for _ in range(4):
        x, y = batch()
        pending = fb.asarray(x.numpy() - 1) + 1
        assert pending._value.data is None
        assert step(pending, y).item() == plain(x, y).item()


def test_a_failing_step_changes_nothing() -> None:
    training = Training()
    step = fb.compile(training.step)
    x, y = batch()
    for _ in range(3):
        step(x, y)
    before, state = training.weights(), training.optimizer.state_dict()
    with pytest.raises(FlambeauError, match=r"(?s)index: 12 .*test_direct\.py"):
        step(fb.asarray(x.numpy() * 0 + 12), y)
    for a, b in zip(before, training.weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    again = training.optimizer.state_dict()
    assert str(state) == str(again)
    other = Training()
    for _ in range(4):
        other.step(x, y)
    step(x, y)
    for a, b in zip(other.weights(), training.weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("fails", [False, True])
def test_a_thread_that_asks_meanwhile_waits(monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    training = Training()
    step = fb.compile(training.step)
    for _ in range(3):
        step(*batch())
    weight = next(iter(training.net.parameters()))
    before = weight.numpy().copy()
    inside, asked = threading.Event(), threading.Event()
    run = Direct.run

    def slow(self: Direct, operands: list[Any]) -> Any:
        inside.set()
        assert asked.wait(5)
        if fails:
            raise KeyboardInterrupt
        return run(self, operands)

    answers: list[Any] = []

    def ask() -> None:
        inside.wait(5)
        held = Tensor(weight._value)
        asked.set()
        answers.append(held.numpy().copy())

    monkeypatch.setattr(Direct, "run", slow)
    thread = threading.Thread(target=ask)
    thread.start()
    if fails:
        with pytest.raises(KeyboardInterrupt):
            step(*batch())
    else:
        step(*batch())
    thread.join(5)
    after = weight.numpy()
    if fails:
        np.testing.assert_array_equal(after, before)
        np.testing.assert_array_equal(answers[0], before)
    else:
        assert not np.array_equal(after, before)
        np.testing.assert_array_equal(answers[0], after)
