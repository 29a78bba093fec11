"""Cumulative operations and positions of extrema: in order, in one place, exact on ties and NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flambeau import dtypes
from flambeau.engine.native import NativeExecutor
from flambeau.graph.types import TensorType
from flambeau.primitives import cumulative, reduce
from flambeau.runtime import threads
from tests.compiler.graphs import f32, graph_of, kinds, plan
from tests.engine.checking import from_array

EXECUTOR = NativeExecutor()


def run(fn: Any, *arrays: np.ndarray) -> np.ndarray:
    graph = graph_of(fn, *[TensorType(a.shape, dtypes.from_numpy(a.dtype)) for a in arrays])
    (made,) = EXECUTOR.prepare(graph, frozenset(), 0).submit([from_array(a) for a in arrays]).wait()
    (t,) = graph.output_types
    return np.array(made.view(t.dtype.numpy, t.shape))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("reverse", [False, True])
def test_each_step_is_rounded_in_order(axis: int, reverse: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 70, 9)).astype(np.float32)
    turned = np.flip(x, axis) if reverse else x
    ufuncs = {"cumsum": np.add, "cumprod": np.multiply, "cummax": np.maximum, "cummin": np.minimum}
    before = threads.get_num_threads()
    try:
        for count in (1, 3):
            threads.set_num_threads(count)
            for name, ufunc in ufuncs.items():
                wanted = ufunc.accumulate(turned, axis=axis)
                wanted = np.flip(wanted, axis) if reverse else wanted
                got = run(lambda x, n=name: getattr(cumulative, n)(x, axis, reverse), x)
                np.testing.assert_array_equal(got, wanted)
    finally:
        threads.set_num_threads(before)


def test_a_long_row_and_other_dtypes() -> None:
    for dtype in (np.float32, np.int16, np.float16):
        x = np.random.default_rng(1).integers(-3, 4, 10_001).astype(dtype)
        wanted = cumulative._TABLE["cumsum"].reference(x, axis=0, reverse=False)
        np.testing.assert_array_equal(run(lambda x: cumulative.cumsum(x, 0), x), wanted)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.uint64, np.bool_])
def test_positions_of_ties_and_nan(axis: int, dtype: Any) -> None:
    rng = np.random.default_rng(2)
    x = rng.integers(0, 3, (40, 33)).astype(dtype)
    if dtype in (np.float32, np.float16):
        x[rng.random(x.shape) < 0.02] = np.nan
        x[:, 3] = -np.inf
        x[7] = np.inf
    for op, function in ((reduce.argmax, np.argmax), (reduce.argmin, np.argmin)):
        np.testing.assert_array_equal(run(lambda x, op=op: op(x, axis), x), function(x, axis=axis))


def test_other_sizes_need_no_new_kernel() -> None:
    for fn in (lambda x: reduce.argmax(x, 1), lambda x: cumulative.cumsum(x, 1)):
        graph = graph_of(fn, f32(8, 10))
        assert kinds(graph)[0].startswith("whole")
        first = set(plan(graph)[1])
        assert set(plan(graph_of(fn, f32(100, 7)))[1]) == first
