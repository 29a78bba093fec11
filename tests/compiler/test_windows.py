"""Reductions over windows and the gradient of maxima: exact on ties, NaN and padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flambeau import dtypes
from flambeau.engine.native import NativeExecutor
from flambeau.graph.types import TensorType
from flambeau.primitives import elementwise as e
from flambeau.primitives.windows import (
    reduce_window,
    reduce_window_p,
    select_and_scatter,
    select_and_scatter_p,
)
from tests.compiler.graphs import f32, graph_of, kinds, plan
from tests.engine.checking import from_array

EXECUTOR = NativeExecutor()


def run(fn: Any, *arrays: np.ndarray) -> np.ndarray:
    graph = graph_of(fn, *[TensorType(a.shape, dtypes.from_numpy(a.dtype)) for a in arrays])
    (made,) = EXECUTOR.prepare(graph, frozenset(), 0).submit([from_array(a) for a in arrays]).wait()
    (t,) = graph.output_types
    return np.array(made.view(t.dtype.numpy, t.shape))


def attrs(window: Any, strides: Any, padding: Any, dilation: Any = None) -> dict[str, Any]:
    lead = (1,) * (4 - len(window))
    return {
        "window": (*lead, *window), "strides": (*lead, *strides),
        "padding": (*((0, 0),) * len(lead), *padding),
        "dilation": (*lead, *(dilation or (1,) * len(window))),
    }  # fmt: skip


CASES = [
    attrs((2, 2), (2, 2), ((0, 0), (0, 0))),
    attrs((3, 3), (2, 2), ((1, 1), (1, 1))),
    attrs((3, 2), (1, 1), ((1, 0), (0, 1))),
    attrs((2, 3), (3, 2), ((0, 2), (1, 0)), (2, 1)),
    attrs((2, 2), (1, 3), ((0, 0), (1, 2)), (3, 2)),
    attrs((2, 2, 2), (1, 2, 2), ((1, 1), (0, 0), (0, 0))),
]


def special(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Many ties, some NaN, and whole regions of minus infinity."""
    x = rng.integers(-2, 3, shape).astype(dtype)
    x[rng.random(shape) < 0.05] = np.nan
    x[..., :3, :3] = -np.inf
    x[..., -2:, :] = np.where(rng.random(x[..., -2:, :].shape) < 0.5, np.inf, -np.inf)
    return x


@pytest.mark.parametrize("kind", ["max", "min"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['window']}-{c['strides']}")
def test_extrema_and_who_gets_their_gradient(case: dict[str, Any], kind: str) -> None:
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.int32) if case in CASES[:2] else (np.float32,):
        x = special(rng, (2, 3, 11, 9), np.float32)
        x = np.nan_to_num(x, posinf=9, neginf=-9).astype(dtype) if dtype is np.int32 else x
        wanted = reduce_window_p.reference(x, kind=kind, **case)
        np.testing.assert_array_equal(run(lambda x: reduce_window(x, kind, **case), x), wanted)
        g = rng.integers(1, 100, wanted.shape).astype(dtype)  # sums of these are exact
        gradient = select_and_scatter_p.reference(x, g, kind=kind, **case)
        np.testing.assert_array_equal(
            run(lambda x, g: select_and_scatter(x, g, kind, **case), x, g), gradient
        )


@pytest.mark.parametrize("kind", ["max", "min"])
@pytest.mark.parametrize(
    ("case", "kernels"),
    [
        (attrs((2, 3), (2, 3), ((0, 0), (0, 0))), 1),  # side by side
        (attrs((2, 3), (2, 3), ((0, 0), (1, 2))), 0),
        (attrs((2, 1), (2, 1), ((1, 1), (0, 0))), 0),
        (attrs((2, 1), (2, 1), ((0, 0), (0, 0)), (3, 1)), 0),
    ],
    ids=["side by side", "padded to as many", "padded", "dilated"],
)
def test_windows_side_by_side_are_one_kernel(case: dict[str, Any], kernels: int, kind: str) -> None:
    x = special(np.random.default_rng(3), (2, 3, 12, 9), np.float32)
    g = np.random.default_rng(4).standard_normal(reduce_window_p.reference(x, kind=kind, **case).shape)
    g = g.astype(np.float32)

    def back(x: Any, g: Any) -> Any:
        return select_and_scatter(x, g, kind, **case)

    np.testing.assert_array_equal(run(back, x, g), select_and_scatter_p.reference(x, g, kind=kind, **case))
    _, made = plan(graph_of(back, f32(*x.shape), f32(*g.shape)))
    assert (len(made) == 1) == bool(kernels)


@pytest.mark.parametrize("window", [(3, 4), (7, 6)])  # written out, and reduced
def test_sums_go_in_the_order_of_the_window(window: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 3, 13, 17)).astype(np.float32)
    got = run(lambda x: reduce_window(x, "sum", (1, 1, *window), (1, 1, 2, 2)), x)
    total = np.zeros(got.shape, np.float32)
    for i in range(window[0]):
        for j in range(window[1]):
            rows, columns = got.shape[2:]
            total += x[:, :, i : i + 2 * rows : 2, j : j + 2 * columns : 2][:, :, :rows, :columns]
    np.testing.assert_array_equal(got, total)


def test_what_follows_a_window_runs_in_its_kernel() -> None:
    def pooled(x: Any) -> Any:
        return e.relu(e.mul(reduce_window(x, "sum", (1, 1, 2, 2), (1, 1, 2, 2)), 0.25))

    assert kinds(graph_of(pooled, f32(2, 3, 8, 8))) == ["window reduce_window mul relu"]
    first = set(plan(graph_of(pooled, f32(2, 3, 8, 8)))[1])
    assert set(plan(graph_of(pooled, f32(64, 5, 18, 30)))[1]) == first


def test_other_batches_need_no_new_kernel() -> None:
    case = CASES[1]

    def kernels(n: int, size: int) -> set[Any]:
        shape = reduce_window_p.infer(f32(n, 3, size, size), kind="max", **case).shape
        types = f32(n, 3, size, size), f32(*shape)  # type: ignore[arg-type]
        return set(plan(graph_of(lambda x, g: select_and_scatter(x, g, "max", **case), *types))[1])

    assert kernels(4, 9) == kernels(50, 9) == kernels(5, 21)
