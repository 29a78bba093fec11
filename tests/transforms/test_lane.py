"""Small compiled steps that run again use again what they can, and give way where somebody looks."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.engine.direct import Direct
from flambeau.errors import FlambeauError
from flambeau.runtime.driver import Program
from flambeau.tensor import Tensor
from flambeau.transforms.lane import Lane


class Training:
    """A small network and a step that clears gradients before, or leaves that to others."""

    def __init__(self, clears: bool = True, words: bool = False) -> None:
        fb.random.seed(0)
        first = nn.Embedding(10, 8) if words else nn.Linear(8, 8)
        self.net = nn.Sequential(first, nn.Tanh(), nn.Linear(8, 4))
        self.optimizer = fb.optim.SGD(self.net.parameters(), lr=0.1, momentum=0.9)
        self.clears = clears

    def step(self, x: fb.Tensor, labels: fb.Tensor) -> fb.Tensor:
        if self.clears:
            self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.net(x), labels)
        loss.backward()
        self.optimizer.step()
        return loss

    def everything(self) -> list[np.ndarray]:
        held = [p.numpy().copy() for p in self.net.parameters()]
        return held + [p.grad.numpy().copy() for p in self.net.parameters() if p.grad is not None]


def batch(i: int = 0) -> tuple[fb.Tensor, fb.Tensor]:
    g = np.random.default_rng(i)
    return fb.asarray(g.standard_normal((6, 8)).astype(np.float32)), fb.asarray(g.integers(0, 4, 6))


def words(i: int = 0) -> tuple[fb.Tensor, fb.Tensor]:
    g = np.random.default_rng(i)
    return fb.asarray(g.integers(0, 10, 6)), fb.asarray(g.integers(0, 4, 6))


def warm(training: Training, data: Callable[[int], Any] = batch, steps: int = 5) -> Any:
    """A compiled step that has run, and goes the shorter way."""
    step: Any = fb.compile(training.step)
    for i in range(steps):
        step(*data(i))
    assert lane_of(step) is not None
    return step


def gradient_of(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad


def lane_of(step: Any) -> Lane | None:
    return next(reversed(step._programs.values()))[0].lane


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each attempt, whether the shorter way was taken."""
    found: list[bool] = []
    run = Lane.run

    def noted(self: Lane, *args: Any) -> Any:
        made = run(self, *args)
        found.append(made is not None)
        return made

    monkeypatch.setattr(Lane, "run", noted)
    return found


def test_values_memory_and_gradients_are_used_again(taken: list[bool]) -> None:
    training = Training()
    step = warm(training)
    held = list(training.net.parameters())
    values, gradients = [p._value for p in held], [p.grad for p in held]
    assert all(g is not None for g in gradients)
    names = [(id(v), id(g)) for v, g in zip(values, gradients, strict=True)]
    places = {v.data.ptr for v in values}
    del values, gradients
    taken.clear()
    for i in range(5):
        step(*batch(i))
        places |= {p._value.data.ptr for p in held}
    assert taken == [True] * 5
    assert [(id(p._value), id(p.grad)) for p in held] == names
    assert len(places) <= 2 * len(held)  # they may change places with their momentum


@pytest.mark.parametrize("clears", [True, False], ids=["cleared inside", "added up"])
def test_the_bits_are_those_of_the_function_itself(clears: bool) -> None:
    a, b = Training(clears), Training(clears)
    step: Any = fb.compile(a.step)
    for i in range(12):
        for group in (*a.optimizer.param_groups, *b.optimizer.param_groups):
            group["lr"] = 0.1 / (1 + i)
        assert step(*batch(i)).item() == b.step(*batch(i)).item()
        assert same(a.everything(), b.everything())


@pytest.mark.parametrize("held", ["view", "alias", "gradient", "its alias"])
def test_what_somebody_holds_stays_as_it_is(held: str, taken: list[bool]) -> None:
    training, plain = Training(), Training()
    step = warm(training)
    for i in range(5):
        plain.step(*batch(i))
    weight = next(training.net.parameters())
    kept: Any = {
        "view": lambda: weight.numpy(),
        "alias": lambda: weight.detach(),
        "gradient": lambda: weight.grad,
        "its alias": lambda: gradient_of(weight).detach(),
    }[held]()
    before = np.array(kept.numpy() if isinstance(kept, Tensor) else kept)
    taken.clear()
    for i in range(3):
        assert step(*batch(i)).item() == plain.step(*batch(i)).item()
    assert taken[0] is False
    assert np.array_equal(kept.numpy() if isinstance(kept, Tensor) else kept, before)
    assert same(training.everything(), plain.everything())
    del kept
    for i in range(3):
        step(*batch(i))
    assert taken[-1] is True


def test_a_failing_step_changes_nothing(taken: list[bool]) -> None:
    training, plain = Training(words=True), Training(words=True)
    step = warm(training, words)
    for i in range(5):
        plain.step(*words(i))
    before = training.everything()
    taken.clear()
    bad = fb.asarray(np.full(6, 12))
    with pytest.raises(FlambeauError, match=r"(?s)index: 12 .*test_lane\.py"):
        step(bad, words()[1])
    assert same(training.everything(), before)
    assert step(*words(1)).item() == plain.step(*words(1)).item()
    assert taken[-1] is True
    assert same(training.everything(), plain.everything())


def test_an_interrupt_comes_when_the_step_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    training, plain = Training(), Training()
    step = warm(training)
    for i in range(6):
        plain.step(*batch(i))
    run = Program.run

    def interrupted(self: Program, bases: Any) -> int:
        signal.raise_signal(signal.SIGINT)
        status = run(self, bases)
        signal.raise_signal(signal.SIGINT)
        return status

    monkeypatch.setattr(Program, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        step(*batch(5))
    monkeypatch.undo()
    assert same(training.everything(), plain.everything())


@pytest.mark.parametrize("how", ["refused", "failing"])
def test_an_interrupt_is_not_lost_where_the_step_is_not_made(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training(words=True)
    step = warm(training, words)
    kept = next(training.net.parameters()).detach() if how == "refused" else None
    before = training.everything()
    bind = Lane._bind

    def interrupted(self: Lane, *args: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return bind(self, *args)

    monkeypatch.setattr(Lane, "_bind", interrupted)
    with pytest.raises(KeyboardInterrupt):
        step(fb.asarray(np.full(6, 12 if how == "failing" else 3)), words()[1])
    del kept
    assert same(training.everything(), before)


def test_what_is_read_is_held_while_the_program_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training()
    step = warm(training)
    x, y = batch()
    data = x._value.data
    run = Program.run
    count: list[int] = []

    def counted(self: Program, bases: Any) -> int:
        count.append(sys.getrefcount(data))
        return run(self, bases)

    before = sys.getrefcount(data)
    monkeypatch.setattr(Program, "run", counted)
    step(x, y)
    assert count == [before + 1]


@pytest.mark.parametrize("fails", [False, True])
def test_a_thread_that_asks_meanwhile_waits(monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    training = Training()
    step = warm(training)
    weight = next(training.net.parameters())
    before = weight.numpy().copy()
    inside, asked = threading.Event(), threading.Event()
    run = Program.run

    def slow(self: Program, bases: Any) -> int:
        inside.set()
        assert asked.wait(5)
        if fails:
            raise RuntimeError("on purpose")
        return run(self, bases)

    answers: list[np.ndarray] = []

    def ask() -> None:
        assert inside.wait(5)
        held = Tensor(weight._value)
        threading.Timer(0.05, asked.set).start()
        answers.append(held.numpy().copy())

    monkeypatch.setattr(Program, "run", slow)
    thread = threading.Thread(target=ask)
    thread.start()
    if fails:
        with pytest.raises(RuntimeError, match="on purpose"):
            step(*batch())
    else:
        step(*batch())
    thread.join(5)
    after = weight.numpy()
    assert np.array_equal(after, before) is fails
    assert np.array_equal(answers[0], after)


def test_steps_of_several_threads_all_count() -> None:
    net = fb.asarray(np.zeros(4, np.float32))

    def count() -> None:
        net[...] = net + 1.0

    step = fb.compile(count)
    for _ in range(4):
        step()
    lock = threading.Lock()  # each call reads and writes: they take turns, in several threads

    def several() -> None:
        for _ in range(200):
            with lock:
                step()

    workers = [threading.Thread(target=several) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert net.numpy().tolist() == [604.0] * 4


def test_a_tensor_that_changed_its_kind_is_noticed(taken: list[bool]) -> None:
    training = Training()
    step = warm(training)
    weight = next(training.net.parameters())
    taken.clear()
    weight.requires_grad = False
    step(*batch())
    assert taken == [False] and any("requires_grad" in why for why in step.explain())
    weight.requires_grad = True
    for p in training.net.parameters():
        p.grad = None
    step(*batch())
    assert any("gradient" in why for why in step.explain())


def test_long_programs_stay_on_the_longer_way() -> None:
    # Ctrl-C would have to wait until they are over.
    weight = fb.asarray(np.zeros((900, 900), np.float32))

    def step(x: fb.Tensor) -> None:
        weight[...] = weight + x @ x @ x @ x

    compiled: Any = fb.compile(step)
    x = fb.asarray(np.ones((900, 900), np.float32))
    for _ in range(4):
        compiled(x)
    program = next(iter(compiled._programs.values()))[0]
    assert isinstance(program.direct, Direct) and program.laned and program.lane is None
