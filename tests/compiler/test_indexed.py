"""Gathers, scatters and dynamic slices: order, what is outside, and loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import dtypes
from flambeau.engine.executor import NodeFailure
from flambeau.engine.native import NativeExecutor
from flambeau.errors import OutOfBoundsError
from flambeau.graph.builder import Var
from flambeau.graph.types import TensorType
from flambeau.primitives import elementwise as e
from flambeau.primitives.gather import gather, in_range, scatter, scatter_add, scatter_add_p, scatter_p
from flambeau.primitives.indexing import dynamic_slice, dynamic_update_slice
from flambeau.primitives.views import transpose
from flambeau.runtime import threads
from tests.compiler.graphs import f32, graph_of, i64, kinds, plan
from tests.engine.checking import from_array

EXECUTOR = NativeExecutor()


def run(fn: Any, *arrays: np.ndarray) -> np.ndarray:
    graph = graph_of(fn, *[TensorType(a.shape, dtypes.from_numpy(a.dtype)) for a in arrays])
    (made,) = EXECUTOR.prepare(graph, frozenset(), 0).submit([from_array(a) for a in arrays]).wait()
    (t,) = graph.output_types
    return np.array(made.view(t.dtype.numpy, t.shape))


def ordered_sum(x: np.ndarray, updates: np.ndarray, index: np.ndarray) -> np.ndarray:
    """One addition at a time, in the order of the indices."""
    out = x.copy()
    for i, at in enumerate(index):
        out[at] += updates[i]
    return out


@pytest.mark.parametrize("width", [1, 3, 700])
def test_scatters_go_in_the_order_of_their_indices(width: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((7, width)).astype(np.float32)
    updates = rng.standard_normal((900, width)).astype(np.float32)
    index = rng.integers(0, 7, 900)
    before = threads.get_num_threads()
    try:
        for count in (1, 2, 3, 8):
            threads.set_num_threads(count)
            got = run(lambda x, u, i: scatter_add(x, u, [i]), x, updates, index)
            assert got.tobytes() == ordered_sum(x, updates, index).tobytes()
            got = run(lambda x, u, i: scatter(x, u, [i]), x, updates, index)
            np.testing.assert_array_equal(got, scatter_p.reference(x, updates, index))
    finally:
        threads.set_num_threads(before)


def test_single_elements() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((5, 6)).astype(np.float32)
    rows, columns = rng.integers(-5, 5, (40,)), rng.integers(-6, 6, (40,))
    updates = rng.standard_normal(40).astype(np.float32)
    np.testing.assert_array_equal(run(lambda x, i, j: gather(x, [i, j]), x, rows, columns), x[rows, columns])
    got = run(lambda x, u, i, j: scatter_add(x, u, [i, j]), x, updates, rows, columns)
    wanted = x.copy()
    for i, j, u in zip(rows, columns, updates, strict=True):
        wanted[i, j] += u
    assert got.tobytes() == wanted.tobytes()
    half = x.astype(np.float16)
    got = run(lambda x, u, i: scatter_add(x, u, [i]), half[:, 0].copy(), updates.astype(np.float16), rows)
    wanted = scatter_add_p.reference(half[:, 0], updates.astype(np.float16), rows)
    np.testing.assert_array_equal(got, wanted)  # rounded once


def test_what_follows_runs_in_the_kernel_and_operands_may_be_views() -> None:
    def f(x: Var, i: Var, b: Var) -> Var:
        return e.mul(e.add(gather(transpose(x, (1, 0)), [transpose(i, (1, 0))]), b), 2.0)

    types = f32(9, 4), i64(3, 5), f32(5, 3, 9)
    assert kinds(graph_of(f, *types)) == ["indexed gather add mul"]
    rng = np.random.default_rng(2)
    x, b = (rng.standard_normal(s).astype(np.float32) for s in ((9, 4), (5, 3, 9)))
    i = rng.integers(-4, 4, (3, 5))
    np.testing.assert_array_equal(run(f, x, i, b), (x.T[i.T] + b) * 2)
    first = set(plan(graph_of(f, *types))[1])
    assert set(plan(graph_of(f, f32(30, 8), i64(7, 11), f32(11, 7, 30)))[1]) == first


@pytest.mark.parametrize("bad", [4, -5, 2**40, -(2**62)])
def test_an_index_outside_stops_the_program(bad: int) -> None:
    x = np.arange(4 * 100, dtype=np.float32).reshape(4, 100)
    index = np.zeros(3000, np.int64)
    index[2777] = bad
    message = f"index {bad} is out of range for axis 0 of size 4"
    with pytest.raises(NodeFailure, match=message):
        run(lambda x, i: e.mul(gather(x, [i]), 2.0), x, index)
    with pytest.raises(NodeFailure, match=message):
        run(lambda x, i: scatter_add(x, gather(x, [e.mul(i, 0)]), [i]), x, index)
    with pytest.raises(NodeFailure, match=message.replace("axis 0", "axis 1")):
        run(lambda x, i: gather(x, [e.mul(i, 0), i]), x[:, :4].copy(), index)
    with pytest.raises(NodeFailure, match=f"a target: {bad} is not in the range from 0 to 3"):
        run(lambda i: in_range(i, 4, "a target"), index)
    nothing = np.zeros((0, 3), np.float32)
    with pytest.raises(NodeFailure, match="axis 0 of size 0"):
        run(lambda x, i: gather(x, [i]), nothing, np.zeros(2, np.int64))
    updates = np.ones((2, 3), np.float32)
    with pytest.raises(NodeFailure, match="axis 0 of size 0"):
        run(lambda x, u, i: scatter_add(x, u, [i]), nothing, updates, np.zeros(2, np.int64))


def test_dynamic_slices_are_moved_inside() -> None:
    x = np.arange(60, dtype=np.float32).reshape(6, 10)
    u = -np.ones((2, 3), np.float32)
    for a, b in ((0, 0), (3, 5), (100, -7), (-1, 100)):
        starts = np.asarray(a), np.asarray(b)
        i, j = min(max(a, 0), 4), min(max(b, 0), 7)
        np.testing.assert_array_equal(
            run(lambda x, a, b: dynamic_slice(x, [a, b], (2, 3)), x, *starts), x[i : i + 2, j : j + 3]
        )
        wanted = x.copy()
        wanted[i : i + 2, j : j + 3] = u
        got = run(lambda x, u, a, b: dynamic_update_slice(x, u, [a, b]), x, u, *starts)
        np.testing.assert_array_equal(got, wanted)


def test_an_index_outside_in_a_loop_names_its_line(both_executors: str) -> None:
    table = fb.asarray(np.arange(8.0))

    def body(total: Any, i: Any) -> Any:
        return total + fb.take(table, i, axis=0), total  # the culprit

    start = fb.asarray(0.0, dtype=fb.float64)
    total, _ = fb.scan(body, start, fb.asarray([1, 2, 7]))
    assert total.item() == 10.0
    bad, _ = fb.scan(body, start, fb.asarray([1, 8, 7]))
    with pytest.raises(OutOfBoundsError, match="index 8 is out of range for axis 0 of size 8"):
        bad.item()
    assert (table + 1.0).numpy()[0] == 1.0
