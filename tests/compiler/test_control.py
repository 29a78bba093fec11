"""Loops and branches run as native code: the same values as the reference, and no Python in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau.compiler.kernel import Call, Repeat
from flambeau.compiler.simplify import simplify
from flambeau.counts import COUNTS
from flambeau.engine.executors import use_executor
from flambeau.graph.graph import compact
from flambeau.runtime import buffers, threads
from tests.compiler.graphs import plan

Trees = Callable[..., Any]


def floats(*shape: int, seed: int = 0) -> fb.Tensor:
    return fb.asarray(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def flat(tree: Any) -> list[fb.Tensor]:
    if isinstance(tree, fb.Tensor):
        return [tree]
    return [t for part in tree for t in flat(part)]


W, ROWS, START = floats(8, 8), floats(6, 3, 8, seed=1), floats(3, 8, seed=2)


def recurrent(h: Any, x: Any) -> Any:
    new = fb.tanh(h @ W + x)
    return new, new * h


def passing(carry: Any, x: Any) -> Any:
    """Carried values that stay, that change places, that are a step, a constant or used twice."""
    a, b, _, n = carry
    return (b, a, x, n + 1), (a, a, x, fb.ones((2, 3)), n)


def nested(total: Any, row: Any) -> Any:
    inner, steps = fb.scan(lambda s, x: (s * 0.5 + x, s - x), total, row)
    return inner + total, (steps, inner)


def branching(s: Any, x: Any) -> Any:
    made = fb.cond(fb.sum(x) > 0, lambda v: (v + x, v * 2.0), lambda v: (v - x, x * 3.0), s)
    return made[0], made[1]


def halving(s: Any, x: Any) -> Any:
    y, n = fb.while_loop(lambda c: fb.max(c[0]) > 0.5, lambda c: (c[0] * 0.5, c[1] + 1), (x * x, s))
    return n, y


PROGRAMS: dict[str, Trees] = {
    "a recurrent step": lambda: fb.scan(recurrent, START, ROWS),
    "backwards": lambda: fb.scan(recurrent, START, ROWS, reverse=True),
    "steps of a transposed, a reversed and a repeated tensor": lambda: fb.scan(
        lambda s, x: (s + x[0] * x[1], x[2] + s),
        fb.zeros((3, 8)),
        (
            fb.permute_dims(floats(3, 6, 8), (1, 0, 2)),
            fb.flip(ROWS, axis=0),
            fb.broadcast_to(START, (6, 3, 8)),
        ),
    ),
    "values that only pass": lambda: fb.scan(
        passing, (fb.zeros((2, 3)), floats(2, 3), floats(2, 3, seed=5), fb.asarray(0)), floats(5, 2, 3)
    ),
    "no steps": lambda: fb.scan(recurrent, START, fb.zeros((0, 3, 8))),
    "one step": lambda: fb.scan(recurrent, START, floats(1, 3, 8)),
    "without steps to walk along": lambda: fb.scan(lambda s, _: (s * 1.5, s), floats(4), length=7),
    "a loop in a loop": lambda: fb.scan(nested, floats(4), floats(3, 5, 4)),
    "a branch in a loop": lambda: fb.scan(branching, floats(4), floats(9, 4)),
    "a loop without known end in a loop": lambda: fb.scan(halving, fb.asarray(0), floats(6, 4) * 3.0),
    "a condition that holds": lambda: fb.cond(fb.sum(W) < 1e9, lambda x: (x @ W, x), lambda x: (x, x), START),
    "a condition that does not": lambda: fb.cond(fb.sum(W) > 1e9, lambda x: x @ W, lambda x: x * 2.0, START),
    "while": lambda: fb.while_loop(
        lambda c: fb.sum(c[0]) < 1000.0, lambda c: (c[0] * 2.0, c[1] + c[0]), (fb.ones(5), fb.zeros(5))
    ),
    "while, never": lambda: fb.while_loop(lambda x: fb.sum(x) < 0.0, lambda x: x + 1.0, fb.ones(5)),
    "a number from outside": lambda: fb.scan(lambda s, x: (s * 0.25 + x, s), fb.zeros(3), floats(4, 3)),
    "integers and truth values": lambda: fb.scan(
        lambda c, x: ((c[0] + x, ~c[1]), c[1] & (x > 1)), (fb.asarray(0), fb.asarray(True)), fb.arange(6)
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_native_and_reference_agree(name: str) -> None:
    run = PROGRAMS[name]
    before = COUNTS.host_calls
    made = [t.numpy() for t in flat(run())]
    assert COUNTS.host_calls == before
    with fb.use_executor("reference"):
        expected = [t.numpy() for t in flat(run())]
    for a, b in zip(made, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


def gradients(run: Callable[..., Any], *leaves: fb.Tensor) -> list[np.ndarray]:
    own = [fb.asarray(t.numpy(), requires_grad=True) for t in leaves]
    total: Any = 0.0
    for made in flat(run(*own)):
        total = total + fb.sum(made * made)
    total.backward()
    return [t.grad.numpy() for t in own]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("run", "leaves"),
    [
        (
            lambda w, h, xs: fb.scan(lambda s, x: ((y := fb.tanh(s @ w + x)), y * s), h, xs),
            (W, START, ROWS),
        ),
        (lambda s, xs: fb.scan(nested, s, xs), (floats(4), floats(3, 5, 4))),
        (lambda s, xs: fb.scan(branching, s, xs), (floats(4), floats(9, 4))),
        (lambda x: fb.cond(fb.sum(x) > 0, lambda v: fb.exp(v), lambda v: v * v, x), (floats(5),)),
    ],
)
def test_gradients_are_native_too(run: Callable[..., Any], leaves: tuple[fb.Tensor, ...]) -> None:
    before = COUNTS.host_calls
    made = gradients(run, *leaves)
    assert COUNTS.host_calls == before
    with fb.use_executor("reference"):
        expected = gradients(run, *leaves)
    for a, b in zip(made, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_kernels_and_partitions_do_not_depend_on_the_length() -> None:
    def step(length: int, batch: int) -> None:
        fb.scan(recurrent, fb.zeros((batch, 8)), floats(length, batch, 8))[1].numpy()

    def counts() -> tuple[int, int]:
        now = fb.stats()
        return now.kernels_compiled + now.kernels_from_disk, now.partitions

    step(5, 3)
    before = counts()
    for length, batch in ((50, 3), (7, 3), (500, 3), (5, 4), (6, 5)):
        step(length, batch)
    assert counts() == before


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_bits_do_not_depend_on_threads_or_on_other_rows(count: int) -> None:
    h, xs = floats(64, 96, seed=3), floats(9, 64, 96, seed=4)
    w = floats(96, 96, seed=5)

    def run(h: fb.Tensor, xs: fb.Tensor) -> np.ndarray:
        return fb.scan(lambda s, x: ((y := fb.tanh(s @ w + x)), y), h, xs)[1].numpy()

    before = threads.get_num_threads()
    threads.set_num_threads(1)
    whole = run(h, xs)
    threads.set_num_threads(count)
    try:
        assert run(h, xs).tobytes() == whole.tobytes()
        for row in (0, 5, 63):
            alone = run(h[row : row + 1], xs[:, row : row + 1])
            assert alone.tobytes() == np.ascontiguousarray(whole[:, row : row + 1]).tobytes()
    finally:
        threads.set_num_threads(before)


def test_a_long_loop_lets_python_see_signals() -> None:
    import _thread
    import threading

    timer = threading.Timer(0.3, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        fb.while_loop(lambda x: x >= 0, lambda x: x * 0 + 1, fb.asarray(1)).numpy()
    timer.join()
    assert fb.scan(lambda s, _: (s + 1, s), fb.asarray(0), length=3)[0].item() == 3


def test_a_body_with_something_only_python_can_do() -> None:
    def body(s: fb.Tensor, x: fb.Tensor) -> Any:
        return s + fb.host_call(np.cbrt, x, x), s

    before = COUNTS.host_calls
    made = fb.scan(body, fb.zeros(2), fb.asarray([[8.0, 27.0], [1.0, 64.0]]))[0]
    np.testing.assert_allclose(made.numpy(), [3.0, 7.0], rtol=1e-6)
    assert COUNTS.host_calls > before


WIDE = floats(144, 144, seed=3) * 0.05


def projecting(h: Any, x: Any) -> Any:
    """A step with a weight that has to be packed, one that moves along, and one that changes."""
    own, along = x
    new = fb.tanh(h @ fb.matrix_transpose(WIDE) + own)
    return new + new @ fb.matrix_transpose(along), new


def operations(fn: Callable[..., Any], *args: Any) -> list[Any]:
    """What the driver does for a function."""
    graph = compact(simplify(fb.trace(fn, *args).graph))
    made, _ = plan(graph)
    return [op for step in made.steps for op in step]


def twice(carry: Any, x: Any) -> Any:
    """Results that are given several times, and as they came."""
    _, c = carry
    c_new = c * 0.5 + x
    h_new = fb.tanh(c_new)
    return (h_new, c_new), (h_new, h_new, c, c_new)


def test_what_a_step_gives_twice_is_stored_twice_and_not_copied() -> None:
    start, along = (floats(3, 8), floats(3, 8, seed=1)), floats(5, 3, 8, seed=2)
    ops = operations(lambda a, b, xs: fb.scan(twice, (a, b), xs), *start, along)
    (repeat,) = [i for i, op in enumerate(ops) if isinstance(op, Repeat)]
    first = repeat - ops[repeat].back
    assert sum(isinstance(op, Call) for op in ops[first:repeat]) == 1
    actual = [t.numpy() for t in flat(fb.scan(twice, start, along))]
    with use_executor("reference"):
        expected = [t.numpy() for t in flat(fb.scan(twice, start, along))]
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
    assert np.array_equal(actual[2], actual[3]) and np.array_equal(actual[4][1:], actual[5][:-1])


@pytest.mark.parametrize("dtype", [fb.float16, fb.bool, fb.int32])
def test_values_of_any_dtype_are_stored_twice(dtype: Any) -> None:
    def step(s: Any, x: Any) -> Any:
        new = fb.where(x > 0, s, ~s) if dtype is fb.bool else s + fb.astype(x, dtype)
        return new, (new, s, x)

    start = fb.astype(floats(4, 6) > 0, dtype)
    along = floats(5, 4, 6, seed=1)
    actual = [t.numpy() for t in flat(fb.scan(step, start, along))]
    with use_executor("reference"):
        expected = [t.numpy() for t in flat(fb.scan(step, start, along))]
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_stays_is_packed_before_the_loop() -> None:
    def run(h: Any, own: Any, along: Any) -> Any:
        return fb.scan(projecting, h, (own, along))

    ops = operations(run, floats(24, 144), floats(5, 24, 144), floats(5, 144, 144))
    (repeat,) = [i for i, op in enumerate(ops) if isinstance(op, Repeat)]
    packing = [i for i, op in enumerate(ops) if isinstance(op, Call) and op.entry.endswith("_pack")]
    assert len(packing) == 1
    assert packing[0] < repeat - ops[repeat].back


@pytest.mark.parametrize("rows", [1, 24])
def test_packed_weights_in_loops_of_loops(rows: int) -> None:
    def inner(h: Any, x: Any) -> Any:
        new = fb.tanh(h @ fb.matrix_transpose(WIDE) + x)
        return new, new

    def outer(h: Any, x: Any) -> Any:
        h, steps = fb.scan(inner, h @ fb.matrix_transpose(WIDE), x)
        return h, steps

    def loss(h: Any, x: Any) -> Any:
        last, steps = fb.scan(outer, h, x)
        return fb.sum(last * last) + fb.sum(steps)

    given = floats(rows, 144, seed=5), floats(2, 3, rows, 144, seed=6)
    actual = [t.numpy() for t in flat(fb.value_and_grad(loss, argnums=(0, 1))(*given))]
    with use_executor("reference"):
        expected = [t.numpy() for t in flat(fb.value_and_grad(loss, argnums=(0, 1))(*given))]
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4 * np.abs(b).max())


def test_a_checkpointed_body_keeps_nothing_of_its_inside() -> None:
    steps, rows, width = 50, 40, 8
    w, x = floats(width, 64, seed=7), floats(steps, rows, width, seed=8)

    @fb.checkpoint
    def inside(w: fb.Tensor, x: fb.Tensor) -> fb.Tensor:
        return fb.sum(fb.tanh(x @ w) ** 2)

    def loss(w: fb.Tensor, x: fb.Tensor) -> fb.Tensor:
        return fb.scan(lambda s, row: (s + inside(w, row), None), fb.asarray(0.0), x)[0]

    given = fb.asarray(w.numpy(), requires_grad=True)
    before, calls = buffers.stats().live_bytes, COUNTS.host_calls
    buffers.reset_peak()
    loss(given, x).backward()
    assert given.grad is not None
    made = given.grad.numpy()
    assert buffers.stats().peak_bytes - before < steps * rows * 64 * 4 / 4  # of one factor, stacked
    assert COUNTS.host_calls == calls
    with use_executor("reference"):
        wanted = fb.grad(loss)(w, x).numpy()
    np.testing.assert_allclose(made, wanted, rtol=1e-4, atol=1e-4)
