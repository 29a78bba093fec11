"""Random bits in kernels: the stream of the reference, wherever and however it is read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flambeau import dtypes
from flambeau.compiler.target import Target
from flambeau.engine import native
from flambeau.engine.native import NativeExecutor
from flambeau.graph.builder import Var
from flambeau.graph.types import TensorType
from flambeau.primitives import elementwise as e
from flambeau.primitives.contract import matmul
from flambeau.primitives.randomness import Part, bernoulli, random_bits, random_bits_p
from flambeau.primitives.views import reduce_sum, transpose, zeros_like
from tests.compiler.builders import host_targets
from tests.compiler.graphs import f32, graph_of, kinds
from tests.engine.checking import from_array

EXECUTOR = NativeExecutor()
KEY = np.asarray(0x123456789ABCDEF, np.uint64)
COUNTER = np.asarray(2**64 - 3, np.uint64)


def run(fn: Any, *arrays: np.ndarray, executor: NativeExecutor = EXECUTOR) -> np.ndarray:
    graph = graph_of(fn, *[TensorType(a.shape, dtypes.from_numpy(a.dtype)) for a in arrays])
    (made,) = executor.prepare(graph, frozenset(), 0).submit([from_array(a) for a in arrays]).wait()
    (t,) = graph.output_types
    return np.array(made.view(t.dtype.numpy, t.shape))


@pytest.mark.parametrize("target", host_targets(), ids=lambda t: f"{t.name}-{t.vector_bits}")
def test_the_stream_is_that_of_the_reference(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "Target", SimpleNamespace(host=lambda: target))
    executor = NativeExecutor()
    for dtype in (dtypes.uint32, dtypes.uint64):
        for shape in ((), (3,), (64,), (1003,), (5, 7, 3), (33, 64)):
            got = run(lambda k, c, s=shape, d=dtype: random_bits(k, c, s, d), KEY, COUNTER, executor=executor)
            wanted = random_bits_p.reference(KEY, COUNTER, shape=shape, dtype=dtype)
            np.testing.assert_array_equal(got, wanted)


def test_keys_of_their_own() -> None:
    keys = np.arange(1, 6, dtype=np.uint64) * np.uint64(2**40 + 7)
    for shape in ((), (3,), (64,)):
        got = run(lambda k, c, s=shape: random_bits(k, c, s), keys, keys[::-1].copy())
        wanted = random_bits_p.reference(keys, keys[::-1], shape=shape, dtype=dtypes.uint32)
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("dtype", [dtypes.uint32, dtypes.uint64])
@pytest.mark.parametrize(
    ("rows", "columns", "row", "start"), [(5, 33, 64, 128), (7, 30, 31, 3), (1, 64, 64, 0)]
)
def test_a_part_of_a_draw(dtype: dtypes.DType, rows: int, columns: int, row: int, start: int) -> None:
    whole = random_bits_p.reference(KEY, COUNTER, shape=(start + rows * row,), dtype=dtype)
    wanted = whole[start:].reshape(rows, row)[:, :columns]
    first = np.asarray(start, np.int64)

    def part(key: Var, counter: Var, start: Var) -> Var:
        return random_bits(key, counter, (rows, columns), dtype, Part(start, row))

    np.testing.assert_array_equal(run(part, KEY, COUNTER, first), wanted)
    found = random_bits_p.reference(KEY, COUNTER, first, shape=(rows, columns), dtype=dtype, row=row)
    np.testing.assert_array_equal(found, wanted)


def dropout(x: Var, key: Var, counter: Var) -> Var:
    mask = bernoulli(key, counter, 0.75, x.shape)
    return e.select(mask, e.mul(x, 1 / 0.75), zeros_like(x))


def mask_of(shape: tuple[int, ...]) -> np.ndarray:
    bits = random_bits_p.reference(KEY, COUNTER, shape=shape, dtype=dtypes.uint32)
    return (bits >> 8) * 2.0**-24 < 0.75


@pytest.mark.parametrize("shape", [(7, 30), (64, 33)])
def test_dropout_is_one_kernel_with_what_is_around_it(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    key = TensorType((), dtypes.uint64)
    wanted = np.where(mask_of(shape), x * np.float32(1 / 0.75), np.float32(0))
    np.testing.assert_array_equal(run(dropout, x, KEY, COUNTER), wanted)

    def turned(x: Var, key: Var, counter: Var) -> Var:  # the bits are walked across their rows
        return dropout(transpose(x, (1, 0)), key, counter)

    wanted = np.where(mask_of(shape[::-1]), x.T * np.float32(1 / 0.75), np.float32(0))
    np.testing.assert_array_equal(run(turned, x, KEY, COUNTER), wanted)

    def layer(x: Var, w: Var, key: Var, counter: Var) -> Var:
        return dropout(e.relu(matmul(x, w)), key, counter)

    (kind,) = kinds(graph_of(layer, f32(*shape), f32(shape[1], 50), key, key))
    assert kind.startswith("contraction dot_general relu")
    w = np.random.default_rng(1).standard_normal((shape[1], 50)).astype(np.float32)
    product = run(lambda x, w: e.relu(matmul(x, w)), x, w)
    wanted = np.where(mask_of(product.shape), product * np.float32(1 / 0.75), np.float32(0))
    np.testing.assert_array_equal(run(layer, x, w, KEY, COUNTER), wanted)

    def summed(x: Var, key: Var, counter: Var) -> Var:
        return reduce_sum(dropout(e.mul(x, 0.0), key, counter), (1,))

    assert len(kinds(graph_of(summed, f32(*shape), key, key))) == 1
    assert not run(summed, x, KEY, COUNTER).any()


def test_shifts_beyond_the_bits() -> None:
    for dtype in (np.uint8, np.int8, np.int32, np.uint64):
        info = np.iinfo(dtype)
        x = np.array([info.min, info.max, 5, 1, 0, 100] * 3, dtype)
        by = np.array([0, 1, info.bits - 1, info.bits, info.bits + 1, 7] * 3, dtype)[::-1].copy()
        for op, ufunc in ((e.shift_left, np.left_shift), (e.shift_right, np.right_shift)):
            np.testing.assert_array_equal(run(op, x, by), ufunc(x, by))
