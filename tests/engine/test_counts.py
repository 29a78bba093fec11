"""Counts: what is compiled, planned and run again, and that nothing grows."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn, optim
from flambeau.compiler.jit import counters
from flambeau.counts import COUNTS
from flambeau.engine import executors, tape
from flambeau.engine.native import NativeExecutor
from flambeau.engine.tape import THREAD, TRIE, Trie, Value
from flambeau.runtime import buffers
from flambeau.tensor import Tensor


class Work:
    """How much of each was done inside a ``with`` block."""

    compiled = plans = partitions = runs = launches = host_calls = 0


@contextmanager
def counted() -> Iterator[Work]:
    def now() -> dict[str, int]:
        names = ("plans", "partitions", "runs", "launches", "host_calls")
        return {"compiled": counters.compiled + counters.from_disk} | {n: getattr(COUNTS, n) for n in names}

    work, before = Work(), now()
    yield work
    for name, value in now().items():
        setattr(work, name, value - before[name])


class Training:
    """A small MLP, trained step by step."""

    def __init__(self, inputs: int = 20, hidden: int = 33, classes: int = 5, lr: float = 1e-3) -> None:
        fb.random.seed(0)
        self.net = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))
        self.rule = optim.Adam(self.net.parameters(), lr)
        self.inputs, self.classes = inputs, classes

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng(size)
        x = rng.standard_normal((size, self.inputs)).astype(np.float32)
        return fb.asarray(x), fb.asarray(rng.integers(0, self.classes, size))

    def step(self, x: Tensor, y: Tensor) -> float:
        self.rule.zero_grad()
        loss = nn.functional.cross_entropy(self.net(x), y)
        loss.backward()
        self.rule.step()
        return float(loss.item())


def test_a_training_loop_compiles_and_plans_once() -> None:
    training = Training()
    x, y = training.batch(16)
    for _ in range(3):
        training.step(x, y)
    with counted() as work:
        for step in range(20):
            training.rule.param_groups[0]["lr"] = 1e-3 / (step + 1)
            training.step(x, y)
    assert (work.compiled, work.plans, work.partitions) == (0, 0, 0)
    assert work.runs == 20  # the loss is one of the values that the step's program gives


def test_numbers_and_slice_starts_are_no_part_of_a_program() -> None:
    x = fb.asarray(np.arange(100.0))
    (x[3:13] * 1.5 + x[7]).numpy()
    with counted() as work:
        for i in range(20):
            found = (x[i : i + 10] * (0.5 + i) + x[99 - i]).numpy()
            np.testing.assert_array_equal(found, np.arange(i, i + 10) * (0.5 + i) + 99 - i)
    assert (work.compiled, work.plans, work.partitions) == (0, 0, 0)


def test_a_hundred_batch_sizes_are_one_structure() -> None:
    training = Training(inputs=24, hidden=40, classes=7)
    for _ in range(2):
        training.step(*training.batch(2))
    with counted() as work:
        for size in range(2, 102):
            training.step(*training.batch(size))
    assert work.compiled == 0
    assert work.partitions == 0
    assert work.plans <= 100


def test_other_sizes_of_a_normalization_are_one_structure() -> None:
    def f(n: int) -> np.ndarray:
        x = fb.asarray(np.random.default_rng(n).standard_normal((n, n + 3)).astype(np.float32))
        return fb.softmax(x - fb.mean(x, axis=0), axis=1).numpy()

    f(7)
    with counted() as work:
        for n in (2, 8, 31, 64, 100, 257):
            f(n)
    assert (work.compiled, work.partitions) == (0, 0)


@pytest.mark.parametrize("collect", [True, False])
def test_a_long_loop_keeps_nothing(collect: bool) -> None:
    training = Training(inputs=5, hidden=4, classes=3)
    x, y = training.batch(6)
    for _ in range(5):
        training.step(x, y)

    def held() -> tuple[int, ...]:
        values = sum(type(o) is Value for o in gc.get_objects())
        stats = buffers.stats()
        return values, stats.live_buffers, stats.live_bytes, TRIE.size, len(THREAD.tape.index)

    gc.collect()
    if not collect:
        gc.disable()
    try:
        before = held()
        with counted() as work:
            for _ in range(2000):
                training.step(x, y)
        after = held()
    finally:
        gc.enable()
    assert after == before
    assert (work.compiled, work.plans, work.partitions) == (0, 0, 0)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_loop_of_ten_thousand_steps_with_gc_off() -> None:
    training = Training()
    x, y = training.batch(16)
    for _ in range(5):
        training.step(x, y)
    gc.collect()
    gc.disable()
    try:
        before = buffers.stats(), TRIE.size, COUNTS.plans
        for _ in range(10_000):
            training.step(x, y)
        after = buffers.stats(), TRIE.size, COUNTS.plans
    finally:
        gc.enable()
    assert (before[0].live_buffers, before[0].live_bytes, *before[1:]) == (
        after[0].live_buffers, after[0].live_bytes, *after[1:]
    )  # fmt: skip


def test_a_running_value_is_no_growing_history() -> None:
    x = fb.asarray(np.ones(64, np.float32))
    total = fb.asarray(np.zeros(64, np.float32))
    for _ in range(3):
        total += x
        total.numpy()
    before = buffers.stats().live_buffers, TRIE.size
    for _ in range(500):
        total += x
        total.numpy()
    assert (buffers.stats().live_buffers, TRIE.size) == before
    np.testing.assert_array_equal(total.numpy(), np.full(64, 503.0, np.float32))


def test_a_hundred_thousand_operations_in_a_row() -> None:
    x = fb.asarray(np.ones(8))
    with counted() as work:
        y = x
        for _ in range(50_000):
            y = y * 1.0001
            y = y - 1e-4
        found = y.numpy()
    expected = 1.0
    for _ in range(50_000):
        expected = expected * 1.0001 - 1e-4
    np.testing.assert_array_equal(found, np.full(8, expected))
    assert work.partitions <= 4  # the pieces between evaluations by overflow are alike
    assert work.compiled <= 8


def test_a_hundred_thousand_operations_are_differentiated() -> None:
    x = fb.asarray(np.full(4, 0.5), requires_grad=True)
    y = x
    for _ in range(50_000):
        y = y * 1.00001
        y = y + 1e-6
    fb.sum(y).backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), np.full(4, 1.00001**50_000), rtol=1e-9)


def test_looking_at_the_loss_first_runs_no_kernel_twice() -> None:
    def step(training: Training, look: bool) -> None:
        x, y = training.batch(64)
        training.rule.zero_grad()
        loss = nn.functional.cross_entropy(training.net(x), y)
        if look:
            loss.item()
        loss.backward()
        training.rule.step()

    whole, pieces = Training(), Training()
    for _ in range(2):
        step(whole, False)
        step(pieces, True)
    with counted() as at_once:
        step(whole, False)
    with counted() as in_two:
        step(pieces, True)
    assert in_two.runs == at_once.runs + 1
    products = _contractions(pieces, step)
    assert products == [2, 3]  # forward: two layers; backward: two weights and one activation
    assert in_two.launches <= at_once.launches + 4  # fusion ends where the loss was looked at


def _contractions(training: Training, step: object) -> list[int]:
    """How many matrix products each program of a step that looks at its loss has."""
    found: list[int] = []

    class Watching(NativeExecutor):
        def prepare(self, graph, donated, numbers, weights):  # type: ignore[no-untyped-def]
            found.append(sum(n.primitive.name == "dot_general" for n in graph.nodes))
            return super().prepare(graph, donated, numbers, weights)

    token = executors._ACTIVE.set(Watching())
    try:
        step(training, True)  # type: ignore[operator]
    finally:
        executors._ACTIVE.reset(token)
    return found


def test_a_value_already_computed_costs_nothing() -> None:
    x = fb.asarray(np.arange(10.0))
    y = fb.exp(x)
    y.numpy()
    with counted() as work:
        y.numpy()
        y.tolist()
        x.numpy()
    assert (work.runs, work.plans) == (0, 0)


def test_the_trie_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trie, "LIMIT", 500)
    x = fb.asarray(np.arange(3.0))
    for i in range(400):
        shaped = fb.reshape(fb.asarray(np.arange(float(i + 2))), (1, i + 2))
        np.testing.assert_array_equal((shaped * 2).numpy()[0, :2], [0, 2])
    assert TRIE.size <= 501
    assert len(TRIE.expansions) <= 1500
    np.testing.assert_array_equal((x + 1).numpy(), [1, 2, 3])


def test_partitions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from flambeau.engine import native

    monkeypatch.setattr(native, "_CACHED_STRUCTURES", 5)
    mine = NativeExecutor()
    token = executors._ACTIVE.set(mine)
    try:
        x = fb.asarray(np.arange(4.0))
        for n in range(1, 20):
            y = x
            for _ in range(n):
                y = y + 1
            np.testing.assert_array_equal(y.numpy(), np.arange(4.0) + n)
            assert len(mine.partitions) <= 5
    finally:
        executors._ACTIVE.reset(token)


def test_pending_operations_are_bounded() -> None:
    x = fb.asarray(np.arange(4.0))
    for _ in range(3 * tape.PENDING_LIMIT):
        x = x + 1
        assert len(THREAD.tape.types) <= tape.PENDING_LIMIT + 2
    np.testing.assert_array_equal(x.numpy(), np.arange(4.0) + 3 * tape.PENDING_LIMIT)


def test_training_that_never_looks_stays_short() -> None:
    def train(steps: int, look: bool) -> list[float]:
        w = fb.asarray(np.ones((1, 1)), requires_grad=True)
        longest = 0
        for _ in range(steps):
            loss = fb.mean((points @ w - points) ** 2)
            w.grad = None
            loss.backward()
            with fb.no_grad():
                w -= 0.01 * w.grad
            if look:
                loss.item()
            longest = max(longest, len(THREAD.tape.types))
        assert longest < tape.GRADIENT_LIMIT + 32
        values: list[float] = w.tolist()[0]
        return values

    points = fb.asarray(np.arange(4.0).reshape(4, 1) / 8)
    looking = train(300, True)
    before = fb.stats()
    assert train(300, False) == looking
    after = fb.stats()
    assert after.runs - before.runs < 20
    assert after.partitions - before.partitions <= 3
