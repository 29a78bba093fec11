"""Sorts and searches in machine code: every dtype and axis, stable, NaN last, in the order of NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as fb
from flambeau.counts import COUNTS
from flambeau.errors import OperandError

DTYPES = (
    "float32",
    "float64",
    "float16",
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint64",
)


def numbers(dtype: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    made = (rng.standard_normal(shape) * 3).astype(dtype)
    if made.dtype.kind == "f":
        flat = made.reshape(-1)
        flat[::5], flat[1::7], flat[2::7], flat[3::11] = np.nan, 0.0, -0.0, np.inf
    return made


@pytest.mark.parametrize("dtype", DTYPES)
def test_sort(dtype: str, rng: np.random.Generator) -> None:
    for shape, axis in (((1000,), 0), ((5, 7), 1), ((5, 7), 0), ((3, 1, 4), 1), ((2, 33, 5), 1), ((1,), 0)):
        x = numbers(dtype, shape, rng)
        for descending in (False, True):
            with fb.use_executor("reference"):
                values = fb.sort(fb.asarray(x), axis=axis, descending=descending).numpy()
                order = fb.argsort(fb.asarray(x), axis=axis, descending=descending).numpy()
            before = COUNTS.host_calls
            found = fb.sort(fb.asarray(x), axis=axis, descending=descending).numpy()
            places = fb.argsort(fb.asarray(x), axis=axis, descending=descending).numpy()
            assert COUNTS.host_calls == before
            assert found.tobytes() == values.tobytes() and places.tobytes() == order.tobytes()


def test_views_are_sorted_and_empty_axes_are_empty(rng: np.random.Generator) -> None:
    x = fb.asarray(rng.standard_normal((6, 40)))
    part = x[::2, 5:35:3]
    np.testing.assert_array_equal(fb.sort(part, axis=0).numpy(), np.sort(part.numpy(), axis=0))
    turned = fb.permute_dims(x, (1, 0))
    np.testing.assert_array_equal(fb.sort(turned, axis=-1).numpy(), np.sort(turned.numpy(), axis=-1))
    assert fb.sort(fb.zeros((3, 0)), axis=1).shape == (3, 0)
    assert fb.argsort(fb.zeros((0, 3)), axis=1).numpy().shape == (0, 3)


def test_new_sizes_compile_nothing(rng: np.random.Generator) -> None:
    fb.sort(fb.asarray(rng.standard_normal((4, 100)))).numpy()
    before = fb.stats().kernels_compiled + fb.stats().kernels_from_disk
    for n in (2, 3, 64, 999):
        x = rng.standard_normal((n, n))
        np.testing.assert_array_equal(fb.sort(fb.asarray(x)).numpy(), np.sort(x))
    assert fb.stats().kernels_compiled + fb.stats().kernels_from_disk == before


@pytest.mark.parametrize("threads", [1, 2])
def test_any_number_of_threads_sorts_alike(threads: int, rng: np.random.Generator) -> None:
    x = numbers("float32", (512, 300), rng)
    before = fb.get_num_threads()
    fb.set_num_threads(threads)
    try:
        found = fb.argsort(fb.asarray(x), axis=1).numpy()
    finally:
        fb.set_num_threads(before)
    np.testing.assert_array_equal(found, np.argsort(x, axis=1, kind="stable"))


def test_search(rng: np.random.Generator) -> None:
    for dtype in ("float32", "int64", "uint8"):
        for n in (0, 1, 2, 3, 8, 100, 1000):
            table = np.sort(numbers(dtype, (n,), rng))
            x = numbers(dtype, (4, 50), rng)
            for side in ("left", "right"):
                before = COUNTS.host_calls
                found = fb.searchsorted(fb.asarray(table), fb.asarray(x), side=side).numpy()
                assert COUNTS.host_calls == before
                np.testing.assert_array_equal(found, np.searchsorted(table, x, side=side))


def test_what_is_made_of_sorts_is_native(rng: np.random.Generator) -> None:
    x = fb.asarray(rng.standard_normal((5, 50)).astype(np.float32), requires_grad=True)
    before = COUNTS.host_calls
    values, _ = fb.topk(x, 7)
    fb.sum(values * values).backward()
    assert np.count_nonzero(x.grad.numpy()) == 35
    assert sorted(fb.random.permutation(40).numpy().tolist()) == list(range(40))
    assert COUNTS.host_calls == before


def test_negative_powers_of_integers_are_an_error() -> None:
    x = fb.asarray([2, 3, 4])
    np.testing.assert_array_equal((x ** fb.asarray([3, 0, 2])).numpy(), [8, 1, 16])
    with pytest.raises(OperandError, match="integers have no negative powers"):
        (x ** fb.asarray([3, -1, 2])).numpy()


@pytest.mark.parametrize("window", [(7, 7), (3, 20)])
def test_gradients_of_large_windows(window: tuple[int, int], rng: np.random.Generator) -> None:
    x = fb.asarray(rng.standard_normal((2, 3, 12, 24)), requires_grad=True)
    made = {}
    for name in ("llvm", "reference"):
        with fb.use_executor(name):
            x.grad = None
            y = fb.nn.functional.max_pool2d(x, window, stride=2, padding=1)
            fb.sum(y * y).backward()
            made[name] = x.grad.numpy()
    np.testing.assert_allclose(made["llvm"], made["reference"], rtol=1e-12)


def test_loops_over_sizes_and_counters_are_native() -> None:
    def step(s, x):  # type: ignore[no-untyped-def]
        return s + fb.mean(x * fb.arange(3.0)), s

    before = COUNTS.host_calls
    last, _ = fb.scan(step, fb.asarray(0.0), fb.ones((10, 3)))
    assert last.item() == 10.0
    assert COUNTS.host_calls == before


def test_checkpoints_are_native() -> None:
    x = fb.asarray(np.linspace(0, 1, 12).reshape(3, 4), requires_grad=True)
    before = COUNTS.host_calls
    fb.sum(fb.checkpoint(lambda v: fb.tanh(fb.exp(v)) * v)(x)).backward()
    assert np.isfinite(x.grad.numpy()).all()
    assert COUNTS.host_calls == before
