"""Several Python threads: each with a tape of its own, tensors shared between them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.engine import executors
from flambeau.engine.native import NativeExecutor
from flambeau.engine.tape import THREAD
from flambeau.errors import FlambeauError
from flambeau.tensor import Tensor

WORKERS = 4


def together(work: Callable[[int], object], workers: int = WORKERS) -> list[object]:
    """Run ``work(i)`` on several threads that start at the same moment; their results."""
    barrier = threading.Barrier(workers)

    def run(i: int) -> object:
        barrier.wait()
        return work(i)

    with ThreadPoolExecutor(workers) as pool:
        return [f.result(60) for f in [pool.submit(run, i) for i in range(workers)]]


def test_threads_record_apart() -> None:
    here = THREAD.tape
    x = fb.asarray(np.arange(3.0))
    waiting = x + 1.0

    def work(i: int) -> list[float]:
        assert THREAD.tape is not here
        return (x * float(i) - 1.0).tolist()

    assert together(work) == [[-1.0, i - 1.0, 2 * i - 1.0] for i in range(WORKERS)]
    assert waiting._value.data is None
    assert waiting.tolist() == [1.0, 2.0, 3.0]


def test_threads_compile_and_run_the_same_and_different_programs() -> None:
    def work(i: int) -> bytes:
        rng = np.random.default_rng(0)
        out = b""
        for n in range(3, 23):
            x = fb.asarray(rng.standard_normal((n, 7)))
            y = fb.softmax(x @ fb.permute_dims(x, (1, 0)), axis=1)
            for _ in range(n % 5):
                y = fb.tanh(y) + 0.5
            out += fb.sum(y, axis=0).numpy().tobytes()
        return out

    assert len(set(together(work))) == 1


def test_a_tensor_pending_here_is_used_there() -> None:
    x = fb.asarray(np.arange(8.0))
    y = fb.exp(x) * 2.0
    z = y + 1.0

    def work(i: int) -> bytes:
        return (y * float(1) + z).numpy().tobytes()

    found = set(together(work))
    assert found == {(np.frombuffer(z.numpy().tobytes()) + y.numpy()).tobytes()}
    np.testing.assert_allclose(y.numpy(), np.exp(np.arange(8.0)) * 2)


def test_gradients_through_a_tensor_of_another_thread() -> None:
    x = fb.asarray(np.arange(1.0, 4.0), requires_grad=True)
    y = x * x

    def work(i: int) -> None:
        fb.sum(y * 3.0).backward()

    together(work, 1)
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), 6 * np.arange(1.0, 4.0))


def test_both_threads_look_at_once() -> None:
    """The owner evaluates, updates in place and goes on while another thread reads what was pending."""
    for round_ in range(300):
        base = fb.asarray(np.full(300, float(round_)))
        (base + 0.0).numpy()
        y = base * 2.0
        z = y + 1.0
        del base
        found: list[np.ndarray] = []
        failed: list[BaseException] = []
        go = threading.Barrier(2)

        def read(
            z: Tensor = z, found: list = found, failed: list = failed, go: threading.Barrier = go
        ) -> None:
            go.wait()
            try:
                found.append((z * 1.0).numpy())
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        go.wait()
        y.numpy()
        y += 5.0
        y.numpy()
        thread.join()
        assert not failed, failed
        np.testing.assert_array_equal(found[0], np.full(300, 2.0 * round_ + 1.0))
        np.testing.assert_array_equal(y.numpy(), np.full(300, 2.0 * round_ + 5.0))


def test_an_input_being_taken_over_is_not_read_by_others() -> None:
    """The owner has overwritten a leaf and not yet said so when another thread asks for what read it."""
    ran, answered = threading.Event(), threading.Event()

    class Slow(NativeExecutor):
        def prepare(self, graph, donated, numbers, weights):  # type: ignore[no-untyped-def]
            inner = super().prepare(graph, donated, numbers, weights)
            return SimpleNamespace(submit=lambda inputs: self.submit(inner, inputs))

        def submit(self, inner, inputs):  # type: ignore[no-untyped-def]
            done = inner.submit(inputs)
            ran.set()
            answered.wait(0.3)  # a reader that waits for the owner never answers before this ends
            return done

    base = fb.asarray(np.arange(300.0))
    y = base * 2.0
    z = y + 1.0
    del base
    found: list[np.ndarray] = []

    def read() -> None:
        ran.wait(10)
        found.append((z * 1.0).numpy())
        answered.set()

    thread = threading.Thread(target=read)
    thread.start()
    token = executors._ACTIVE.set(Slow())
    try:
        y.numpy()
    finally:
        executors._ACTIVE.reset(token)
    thread.join()
    np.testing.assert_array_equal(found[0], 2 * np.arange(300.0) + 1)


def test_a_model_serves_several_threads() -> None:
    net = nn.Sequential(nn.Linear(30, 40), nn.ReLU(), nn.Linear(40, 5))
    rows = np.random.default_rng(0).standard_normal((WORKERS, 30)).astype(np.float32)
    with fb.no_grad():
        expected = net(fb.asarray(rows)).numpy()

    def work(i: int) -> bool:
        with fb.no_grad():
            found = [net(fb.asarray(rows[i : i + 1])).numpy()[0].tobytes() for _ in range(100)]
        return set(found) == {expected[i].tobytes()}

    assert all(together(work))


def test_gradient_mode_belongs_to_a_thread() -> None:
    x = fb.asarray([1.0], requires_grad=True)
    with fb.no_grad():
        assert together(lambda i: (x * 2.0).requires_grad) == [True] * WORKERS
        assert not (x * 2.0).requires_grad


def test_a_failure_of_one_thread_stays_there() -> None:
    x = fb.asarray(np.arange(4.0))

    def work(i: int) -> object:
        for _ in range(30):
            if i == 0:
                with pytest.raises(IndexError):
                    fb.take(x, fb.asarray([9]), axis=0).numpy()
            else:
                assert (x + float(i)).tolist() == [i, i + 1.0, i + 2.0, i + 3.0]
        return True

    assert all(together(work))


def test_threads_leave_and_their_values_stay() -> None:
    made: list[Tensor] = []
    x = fb.asarray(np.arange(4.0))
    thread = threading.Thread(target=lambda: made.append(fb.exp(x) + 1.0))
    thread.start()
    thread.join()
    np.testing.assert_allclose(made[0].numpy(), np.exp(np.arange(4.0)) + 1)
    with pytest.raises(FlambeauError):
        made[0] + fb.ones(3)
