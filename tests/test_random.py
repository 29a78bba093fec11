"""Generators: reproducible, independent, with the right distributions, and nothing recompiles."""

from __future__ import annotations

import copy
import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau.errors import DTypeError, OperandError
from flambeau.random import CAPTURE, Generator

N = 20_000


def test_the_same_seed_gives_the_same_numbers(both_executors: str) -> None:
    a, b = Generator(3), Generator(3)
    for draw in ("uniform", "normal", "exponential"):
        assert getattr(a, draw)((7,)).tolist() == getattr(b, draw)((7,)).tolist()
    assert a.integers(0, 100, (7,)).tolist() == b.integers(0, 100, (7,)).tolist()
    assert a.permutation(9).tolist() == b.permutation(9).tolist()
    assert Generator(4).uniform((7,)).tolist() != Generator(3).uniform((7,)).tolist()


def test_executors_agree_to_the_bit() -> None:
    found = []
    for name in ("llvm", "reference"):
        with fb.use_executor(name):
            g = Generator(11)
            found.append((g.uniform((33,)).tolist(), g.bernoulli(0.3, (33,)).tolist()))
    assert found[0] == found[1]


def test_state_can_be_kept() -> None:
    g = Generator(5)
    g.normal((3,))
    state = g.state
    first = g.normal((3,)).tolist()
    g.state = state
    assert g.normal((3,)).tolist() == first
    for twin in (pickle.loads(pickle.dumps(g)), copy.deepcopy(g)):
        assert twin.state == g.state
    assert twin.uniform((2,)).tolist() == g.uniform((2,)).tolist()
    g.seed(5)
    assert g.state == (5, 0)
    assert repr(g) == "Generator(seed=5, drawn=0)"


def test_one_draw_is_not_the_next() -> None:
    g = Generator(0)
    assert g.uniform((8,)).tolist() != g.uniform((8,)).tolist()
    x = g.normal((N,)).numpy()
    y = g.normal((N,)).numpy()
    assert abs(np.corrcoef(x, y)[0, 1]) < 5 / math.sqrt(N)
    assert abs(np.corrcoef(x[1:], x[:-1])[0, 1]) < 5 / math.sqrt(N)


def test_spawned_generators_differ() -> None:
    g = Generator(0)
    keys = [c.state[0] for c in (*g.spawn(50), *g.spawn(50))]
    assert len({g.state[0], *keys}) == 101


def test_the_default_generator() -> None:
    fb.random.seed(9)
    first = [
        fb.random.uniform((3,)).tolist(),
        fb.random.normal((2,)).tolist(),
        fb.random.permutation(5).tolist(),
    ]
    fb.random.seed(9)
    assert first == [
        fb.random.uniform((3,)).tolist(),
        fb.random.normal((2,)).tolist(),
        fb.random.permutation(5).tolist(),
    ]
    assert fb.random.default_generator().state == (9, 3)
    assert fb.random.exponential(()).shape == fb.random.bernoulli(0.5).shape == ()
    assert fb.random.integers(5, shape=(2, 3)).shape == (2, 3)


def test_drawing_again_compiles_nothing() -> None:
    g = Generator(0)
    (g.uniform((50,), -1.0, 1.0) + g.normal((50,))).numpy()
    before = fb.stats()
    for low in (0.0, 2.0, 5.0):
        (g.uniform((50,), low, 9.0) + g.normal((50,))).numpy()
    g.seed(123)
    (g.uniform((50,), -1.0, 1.0) + g.normal((50,))).numpy()
    after = fb.stats()
    assert (after.kernels_compiled, after.plans) == (before.kernels_compiled, before.plans)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_distributions(dtype: str) -> None:
    g = Generator(1)
    u = g.uniform((N,), dtype=dtype)
    assert u.dtype.name == dtype
    values = np.sort(u.numpy().astype(np.float64))
    assert values[0] >= 0
    assert values[-1] < 1
    # Kolmogorov-Smirnov, far out on its tail; half precision has steps of its own
    step = {"float16": 2.0**-11, "bfloat16": 2.0**-8}.get(dtype, 0.0)
    assert np.abs(values - (np.arange(N) + 0.5) / N).max() < 2.2 / math.sqrt(N) + step
    z = g.normal((N,), mean=2.0, std=3.0, dtype=dtype).numpy().astype(np.float64)
    assert abs(z.mean() - 2) < 0.15
    assert abs(z.std() - 3) < 0.15
    e = g.exponential((N,), 2.0, dtype=dtype).numpy().astype(np.float64)
    assert e.min() >= 0
    assert abs(e.mean() - 2) < 0.15


def test_integers_are_spread_evenly() -> None:
    counts = np.bincount(Generator(2).integers(-3, 4, (N,)).numpy() + 3, minlength=7)
    assert counts.size == 7
    assert np.abs(counts - N / 7).max() < 6 * math.sqrt(N / 7)
    assert Generator(0).integers(10, shape=(3,), dtype=fb.uint8).dtype is fb.uint8
    wide = Generator(0).integers(-(2**63), 2**63 - 1, (100,)).numpy()
    assert wide.min() < -(2**61)
    assert wide.max() > 2**61


def test_bernoulli() -> None:
    g = Generator(3)
    assert abs(g.bernoulli(0.3, (N,)).numpy().mean() - 0.3) < 0.02
    p = fb.asarray([0.0, 1.0, 0.5])
    x = g.bernoulli(p)
    assert x.shape == (3,)
    assert x.tolist()[:2] == [False, True]
    assert g.bernoulli(p, (4, 3)).shape == (4, 3)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_categorical(dtype: str) -> None:
    g = Generator(7)
    p = np.array([0.5, 0.0, 0.25, 0.25])
    with np.errstate(divide="ignore"):
        logits = fb.asarray(np.log(np.stack([p, p[::-1]])) + 3.0).astype(dtype)
    drawn = g.categorical(logits, N).numpy()
    assert (drawn.shape, drawn.dtype) == ((N, 2), np.int64)
    for row, expected in zip(drawn.T, (p, p[::-1]), strict=True):
        found = np.bincount(row, minlength=4) / N
        assert (found[expected == 0] == 0).all()
        assert np.abs(found - expected).max() < 5 * math.sqrt(0.25 / N)
    assert g.categorical(logits).shape == (2,)
    assert g.categorical(logits[0], (3, 5)).shape == (3, 5)


def test_categorical_refuses() -> None:
    with pytest.raises(
        fb.errors.DTypeError, match="categorical: logits must be a floating-point tensor, not int64"
    ):
        fb.random.categorical(fb.asarray([1, 2]))
    with pytest.raises(
        fb.errors.ShapeError, match=r"a last axis with a position to draw, not shape \(3, 0\)"
    ):
        fb.random.categorical(fb.zeros((3, 0)))


def test_permutations() -> None:
    g = Generator(4)
    assert sorted(g.permutation(100).tolist()) == list(range(100))
    assert g.permutation(0).shape == (0,)
    x = fb.asarray(np.arange(12).reshape(3, 4))
    for axis in (0, 1, -1):
        y = g.permutation(x, axis=axis).numpy()
        np.testing.assert_array_equal(np.sort(y, axis), np.arange(12).reshape(3, 4))


def test_gradients_flow_to_the_parameters_of_a_distribution() -> None:
    mean = fb.asarray([1.0, 2.0], requires_grad=True)
    std = fb.asarray([0.5, 1.0], requires_grad=True)
    g = Generator(5)
    state = g.state
    fb.sum(g.normal((3, 2), mean, std)).backward()
    g.state = state
    noise = g.normal((3, 2)).numpy()
    assert mean.grad is not None
    assert std.grad is not None
    assert mean.grad.tolist() == [3.0, 3.0]
    np.testing.assert_allclose(std.grad.numpy(), noise.sum(0), rtol=1e-5)


def test_threads_share_a_generator() -> None:
    g = Generator(0)
    with ThreadPoolExecutor(4) as pool:
        counters = [
            c for cs in pool.map(lambda _: [g.advance()[1] for _ in range(500)], range(4)) for c in cs
        ]
    assert sorted(counters) == list(range(2000))


def test_capture_asks_for_the_operands() -> None:
    seen: list[Generator] = []

    def capture(generator: Generator) -> Any:
        seen.append(generator)
        key, counter = generator.advance()
        return (key, fb.uint64), (counter, fb.uint64)

    g = Generator(6)
    expected = Generator(6).uniform((3,)).tolist()
    token = CAPTURE.set(capture)
    try:
        assert g.uniform((3,)).tolist() == expected
    finally:
        CAPTURE.reset(token)
    assert seen == [g]


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda: Generator(-1), OperandError, r"an integer from 0 to 2\*\*64 - 1 is needed, not -1"),
        (lambda: fb.random.seed(1.5), OperandError, "not 1.5"),  # type: ignore[arg-type]
        (lambda: fb.random.integers(3, 3), OperandError, "no int64 from 3 up to and without 3"),
        (
            lambda: fb.random.integers(3, dtype=fb.float32),
            DTypeError,
            "an integer dtype is needed, not float32",
        ),
        (lambda: fb.random.uniform((2,), dtype=fb.int32), DTypeError, "uniform: a floating-point dtype"),
        (lambda: fb.random.normal((2, -1)), ValueError, "normal: -1 in shape"),
        (lambda: fb.random.normal((2,), fb.ones(3)), ValueError, r"\(3,\)"),
        (lambda: fb.random.permutation(-1), OperandError, "permutation: a number of elements or a tensor"),
        (
            lambda: fb.random.permutation(fb.ones(3), axis=1),
            ValueError,
            "permutation: axis 1 is out of range",
        ),
    ],
)
def test_refusals_name_the_line(draw: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        draw()
    assert "test_random.py" in str(raised.value)
