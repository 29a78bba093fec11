"""What fails while running names the user's line and changes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn, optim
from flambeau.engine.tape import THREAD
from flambeau.errors import FlambeauError, OutOfBoundsError, ShapeError
from flambeau.tensor import Tensor


def test_an_index_out_of_range_names_the_line(both_executors: str) -> None:
    x, i = fb.asarray(np.arange(4.0)), fb.asarray([0, 4])
    y = x * 2.0
    picked = y[i]  # the culprit
    z = picked + 1.0
    with pytest.raises(IndexError, match="index 4 is out of range for axis 0 of size 4") as caught:
        z.numpy()
    assert "test_failures.py" in str(caught.value) and "the culprit" in str(caught.value)
    assert isinstance(caught.value, OutOfBoundsError)


def test_later_work_is_unaffected(both_executors: str) -> None:
    x, i = fb.asarray(np.arange(4.0)), fb.asarray([7])
    bad = fb.take(x, i, axis=0)
    for _ in range(2):  # each look raises
        with pytest.raises(IndexError):
            bad.numpy()
    np.testing.assert_array_equal((x * 3.0).numpy(), np.arange(4.0) * 3)
    np.testing.assert_array_equal(fb.take(x, fb.asarray([3]), axis=0).numpy(), [3.0])


def test_pending_work_beside_a_failure_survives(both_executors: str) -> None:
    x = fb.asarray(np.arange(4.0))
    bystander = x + 1.0
    with pytest.raises(IndexError):
        fb.take(x, fb.asarray([7]), axis=0).numpy()
    np.testing.assert_array_equal(bystander.numpy(), np.arange(4.0) + 1)


def test_what_needs_a_failed_value_fails_with_it(both_executors: str) -> None:
    bad = fb.take(fb.asarray(np.arange(4.0)), fb.asarray([9]), axis=0)
    with pytest.raises(IndexError):
        bad.numpy()
    with pytest.raises(FlambeauError):
        (bad + 1.0).numpy()
    assert (fb.asarray([1.0]) + 1.0).item() == 2.0


def bits_of(parameters: list[nn.Parameter], rule: optim.Optimizer) -> list[bytes]:
    """What training goes on from: the parameters and all that the optimizer keeps for them."""
    state = rule.state_dict()["state"]
    kept = [value for number in sorted(state) for _, value in sorted(state[number].items())]
    return [np.asarray(x.numpy() if isinstance(x, Tensor) else x).tobytes() for x in (*parameters, *kept)]


@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])
def test_a_failed_step_leaves_weights_and_state(both_executors: str, compiled: bool) -> None:
    rng = np.random.default_rng(0)
    table, weight = (nn.Parameter(fb.asarray(rng.standard_normal((n, 3)).astype(np.float32))) for n in (5, 3))
    rule = optim.Adam([table, weight], 0.1)

    def step(indices: Tensor) -> None:
        rule.zero_grad()
        fb.sum((fb.take(table, indices, axis=0) @ weight) ** 2).backward()
        rule.step()

    run = fb.compile(step) if compiled else step
    run(fb.asarray([0, 1]))
    run(fb.asarray([1, 2]))
    before, rows = bits_of([table, weight], rule), table.numpy().copy()
    assert len(before) >= 6  # with two moments each
    with pytest.raises(IndexError):
        run(fb.asarray([0, 5]))
    assert bits_of([table, weight], rule) == before
    assert table.requires_grad and table.is_leaf
    run(fb.asarray([2, 3]))
    assert (table.numpy()[3] != rows[3]).all() and (table.numpy()[4] == rows[4]).all()


def test_a_donated_input_survives_a_failure() -> None:
    x = fb.asarray(np.arange(1000.0))
    (x + 0.0).numpy()
    y = fb.asarray(np.arange(1000.0))
    y += 1.0
    y.numpy()
    kept = y
    y = y * 2.0  # could take over the memory
    with pytest.raises(IndexError):
        (y + fb.take(x, fb.asarray([1000]), axis=0)).numpy()
    np.testing.assert_array_equal(kept.numpy(), np.arange(1000.0) + 1)


def test_operands_that_do_not_fit_raise_where_they_are_written() -> None:
    a, b = fb.ones((2, 3)), fb.ones((4,))
    with pytest.raises(ShapeError) as caught:
        a + b
    assert "test_failures.py" in str(caught.value)
    np.testing.assert_array_equal((a + 1.0).numpy(), np.full((2, 3), 2.0))


def test_a_failing_executor_leaves_everything_pending(monkeypatch: pytest.MonkeyPatch) -> None:
    from flambeau.engine.native import NativeExecutor

    x = fb.asarray(np.arange(3.0))
    y = fb.expm1(x) * 2.0
    with monkeypatch.context() as patch:
        patch.setattr(NativeExecutor, "prepare", _no_memory)
        with pytest.raises(MemoryError):
            y.numpy()
    np.testing.assert_allclose(y.numpy(), np.expm1(np.arange(3.0)) * 2)


def _no_memory(*args: object) -> None:
    raise MemoryError


def test_code_that_could_not_be_loaded_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from flambeau.compiler import jit
    from flambeau.engine import executors
    from flambeau.engine.native import NativeExecutor

    token = executors._ACTIVE.set(NativeExecutor())
    try:
        y = fb.asarray(np.arange(3.0)) * 5.0 - 1.0
        with monkeypatch.context() as patch:
            patch.setattr(jit, "load", _no_memory)
            with pytest.raises(MemoryError):
                y.numpy()
        np.testing.assert_array_equal(y.numpy(), np.arange(3.0) * 5 - 1)
    finally:
        executors._ACTIVE.reset(token)


def _interrupt_soon(delay: float) -> threading.Thread:
    def kill() -> None:
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGINT)

    return threading.Thread(target=kill)


def test_an_interrupt_while_weights_are_overwritten_comes_after_the_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flambeau.runtime.interrupts import Deferred

    p = nn.Parameter(fb.asarray(np.ones(100, np.float32)))
    rule = optim.SGD([p], 0.5)
    for _ in range(2):
        rule.zero_grad()
        fb.sum(p * 1.0).backward()
        rule.step()
    inside = Deferred.__exit__

    def interrupted(self: Deferred, *rest: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        inside(self, *rest)

    rule.zero_grad()
    fb.sum(p * 1.0).backward()
    with monkeypatch.context() as patch:
        patch.setattr(Deferred, "__exit__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            rule.step()
    np.testing.assert_array_equal(p.numpy(), np.full(100, -0.5, np.float32))
    rule.step()
    np.testing.assert_array_equal(p.numpy(), np.full(100, -1.0, np.float32))
    assert p.is_leaf and p.requires_grad


def test_an_interrupt_in_the_middle_loses_nothing() -> None:
    """Ctrl-C at many moments of a training loop: afterwards it goes on as if nothing had happened."""

    def make() -> tuple[Tensor, optim.Optimizer]:
        p = nn.Parameter(fb.asarray(np.random.default_rng(0).standard_normal((120, 120)).astype(np.float32)))
        return p, optim.SGD([p], 1e-3)

    def step(p: Tensor, rule: optim.Optimizer) -> None:
        rule.zero_grad()
        fb.sum(fb.tanh(p @ p)).backward()
        rule.step()

    p, rule = make()
    versions = {p.numpy().tobytes(): 0}
    for i in range(1, 400):
        step(p, rule)
        versions.setdefault(p.numpy().tobytes(), i)
    p, rule = make()
    at = 0
    for round_ in range(6):
        thread = _interrupt_soon(0.002 + 0.0017 * round_)
        try:
            thread.start()
            while True:
                step(p, rule)
        except KeyboardInterrupt:
            pass
        thread.join()
        reached = versions[p.numpy().tobytes()]  # the state after a whole number of steps
        assert reached >= at
        at = reached
        step(p, rule)
        assert versions[p.numpy().tobytes()] == at + 1
        if at > 250:
            break
    assert THREAD.tape.error is None


def test_an_interrupt_in_the_middle_of_a_long_step_undoes_it() -> None:
    """Ctrl-C long before the one program of a step is done: no weight and no moment has changed."""
    weight = nn.Parameter(fb.asarray(np.full((96, 96), 1e-3, np.float32)))
    rule = optim.Adam([weight], 0.1)
    start, steps = fb.ones((96, 96)), 4

    def step() -> None:
        rule.zero_grad()
        with fb.no_grad():  # keeps nothing of its many rounds
            last, _ = fb.scan(lambda s, x: (fb.tanh(s @ start) + x, None), start, fb.ones(steps))
        fb.sum(last * weight).backward()
        rule.step()

    step()
    before = bits_of([weight], rule)
    steps = 1_000_000  # half a minute
    thread = _interrupt_soon(0.5)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        step()
    thread.join()
    steps = 4
    assert bits_of([weight], rule) == before
    step()
    assert bits_of([weight], rule) != before


@pytest.mark.parametrize(
    "body",
    [
        "pass",
        "y.numpy()",
        "import threading; t = threading.Thread(target=lambda: (x @ x).numpy()); t.start()",
        "import threading\n"
        "t = threading.Thread(target=lambda: [(x @ x).numpy() for _ in range(10**6)], daemon=True)\n"
        "t.start(); import time; time.sleep(0.2)",
        "loss = fb.sum(x * y); import sys; sys.exit(0)",
        # a daemon thread in the middle of a training step
        "import threading, time\n"
        "p = fb.nn.Parameter(x / 300); rule = fb.optim.Adam([p])\n"
        "def train():\n"
        "    while True:\n"
        "        rule.zero_grad(); fb.sum(fb.tanh(p @ x)).backward(); rule.step(); steps.append(1)\n"
        "steps = []; threading.Thread(target=train, daemon=True).start()\n"
        "while len(steps) < 5: time.sleep(0.01)",
    ],
)
def test_the_interpreter_ends_cleanly(body: str) -> None:
    program = "import numpy as np, flambeau as fb\nx = fb.asarray(np.ones((300, 300), np.float32))\n"
    program += "y = (x @ x) * 2.0\n" + textwrap.dedent(body)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_computes_after_a_fork() -> None:
    program = """
        import os, numpy as np, flambeau as fb
        fb.set_num_threads(2)
        x = fb.asarray(np.ones((300, 300), np.float32))
        (x @ x).numpy()
        waiting = x * 3.0
        child = os.fork()
        ok = (x @ x).numpy()[0, 0] == 300 and waiting.numpy()[0, 0] == 3
        ok = ok and (fb.exp(x - 1) @ x).numpy()[1, 1] == 300
        if child == 0:
            os._exit(0 if ok else 1)
        _, status = os.waitpid(child, 0)
        assert ok and status == 0, status
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
