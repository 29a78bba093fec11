"""The native executor: structures, numbers, host calls, and inputs it may take over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from flambeau import dtypes
from flambeau.engine.native import NativeExecutor, Numbers, structure
from flambeau.graph.builder import GraphBuilder, Var
from flambeau.graph.graph import Graph, compact
from flambeau.graph.types import TensorType
from flambeau.primitives import elementwise as e
from flambeau.primitives.contract import matmul
from flambeau.primitives.gather import gather
from flambeau.primitives.indexing import concatenate, reverse, slice_
from flambeau.primitives.views import broadcast, constant, reduce_sum, reshape, transpose
from flambeau.runtime.buffers import Buffer
from tests.engine.checking import from_array


def graph_of(fn: Callable[..., Any], *types: TensorType) -> Graph:
    with GraphBuilder() as builder:
        made = fn(*[builder.input(t) for t in types])
        return compact(builder.graph(list(made) if isinstance(made, (tuple, list)) else [made]))


def f32(*shape: int) -> TensorType:
    return TensorType(shape, dtypes.float32)


def run(
    fn: Callable[..., Any],
    *arrays: np.ndarray,
    donated: frozenset[int] = frozenset(),
    numbers: tuple[Any, ...] = (),
) -> tuple[list[np.ndarray], list[Buffer], list[Buffer]]:
    """The results of a builder compiled for these arrays; also the buffers that came and went."""
    types = [TensorType(a.shape, dtypes.from_numpy(a.dtype)) for a in arrays]
    types += [TensorType((), dtypes.float32) for _ in numbers]
    graph = graph_of(fn, *types)
    executable = NativeExecutor().prepare(graph, donated, len(numbers))
    inputs = [from_array(a) for a in arrays]
    made = executable.submit([*inputs, *numbers]).wait()
    results = [b.view(t.dtype.numpy, t.shape) for b, t in zip(made, graph.output_types, strict=True)]
    return results, inputs, made


# --- structures ------------------------------------------------------------------------------


def network(x: Var, w: Var) -> Var:
    return reduce_sum(e.relu(matmul(x, w)), (1,))


def test_sizes_are_no_part_of_a_structure() -> None:
    one = structure(graph_of(network, f32(4, 5), f32(5, 6)))
    assert structure(graph_of(network, f32(14, 15), f32(15, 16))) == one


@pytest.mark.parametrize("shapes", [((1, 5), (5, 6)), ((4, 1), (1, 6)), ((4, 5), (5, 1))])
def test_sizes_of_one_are(shapes: tuple[tuple[int, ...], ...]) -> None:
    one = structure(graph_of(network, f32(4, 5), f32(5, 6)))
    assert structure(graph_of(network, *[f32(*s) for s in shapes])) != one


def test_constants_axes_dtypes_and_signs_of_zero_are() -> None:
    def with_number(n: float) -> Any:
        return structure(graph_of(lambda x: e.add(x, constant(n, dtypes.float32)), f32(3)))

    assert len({with_number(n) for n in (0.0, -0.0, 1.0, float("inf"))}) == 4
    turned = [
        structure(graph_of(lambda x, p=p: transpose(x, p), f32(2, 3, 4))) for p in ((0, 2, 1), (1, 0, 2))
    ]
    assert turned[0] != turned[1]


# --- numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [d for d in dtypes.ALL if d.kind != "complex"], ids=lambda d: d.name)
def test_numbers_are_written_in_their_dtype(dtype: dtypes.DType) -> None:
    values: tuple[Any, ...] = (0, 1) if dtype.kind in ("bool", "uint") else (-3, 7)
    buffer = Numbers([dtype, dtype]).write(values)
    for i, value in enumerate(values):
        assert buffer.view(dtype, (1,), offset=16 * i)[0] == value


def test_numbers_beyond_a_dtype_become_infinite() -> None:
    buffer = Numbers([dtypes.float32, dtypes.float32]).write((1e300, -1e300))
    assert [float(buffer.view(dtypes.float32, (1,), offset=16 * i)[0]) for i in (0, 1)] == [np.inf, -np.inf]


def test_numbers_are_read_at_each_run() -> None:
    graph = graph_of(lambda x, n: e.mul(x, n), f32(3), f32())
    executable = NativeExecutor().prepare(graph, frozenset(), 1)
    x = np.arange(3, dtype=np.float32)
    for n in (0.5, 2.0, -1.0):
        (made,) = executable.submit([from_array(x), n]).wait()
        np.testing.assert_array_equal(made.view(np.float32, (3,)), x * np.float32(n))


# --- outputs ---------------------------------------------------------------------------------


def test_outputs_that_are_inputs_views_constants_and_twins() -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)

    def fn(x: Var) -> list[Var]:
        y = e.add(x, 1.0)
        return [
            x, reshape(x, (3, 2)), transpose(x, (1, 0)), y, reshape(y, (6,)), y,
            broadcast(constant(2.5, dtypes.float32), (2, 2), ()), slice_(y, (0, 1), (2, 3)), reverse(y, (0,)),
        ]  # fmt: skip

    (a, b, c, d, f, g, h, i, j), inputs, made = run(fn, x)
    expected = [
        (a, x), (b, x.reshape(3, 2)), (c, x.T), (d, x + 1), (f, (x + 1).reshape(6)), (g, x + 1),
        (h, np.full((2, 2), 2.5)), (i, (x + 1)[:, 1:]), (j, (x + 1)[::-1]),
    ]  # fmt: skip
    for got, want in expected:
        np.testing.assert_array_equal(got, want)
    assert made[0] is inputs[0] and made[3] is made[5]


def test_host_calls_between_kernels() -> None:
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    i = np.array([2, 0])

    def fn(x: Var, i: Var) -> list[Var]:
        turned = transpose(e.mul(x, 2.0), (1, 0))  # the host reads a view
        picked = gather(turned, [i])
        return [e.add(concatenate([picked, reverse(picked, (1,))], 0), 1.0), picked]

    (sum_, picked), _, _ = run(fn, x, i)
    want = (x * 2).T[i]
    np.testing.assert_array_equal(picked, want)
    np.testing.assert_array_equal(sum_, np.concatenate([want, want[:, ::-1]]) + 1)


# --- inputs that may be taken over -----------------------------------------------------------


def test_a_donated_input_becomes_the_output() -> None:
    x = np.arange(100, dtype=np.float32)
    (y,), inputs, made = run(lambda x: e.add(x, 1.0), x, donated=frozenset({0}))
    assert made[0] is inputs[0]
    np.testing.assert_array_equal(y, x + 1)


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: e.add(x, reverse(x, (0,))),  # other elements are still to be read
        lambda x: [e.add(x, 1.0), reduce_sum(x, (0,))],
        lambda x: e.add(reverse(x, (0,)), 1.0),
        lambda x: [e.add(x, 1.0), x],
        lambda x: e.add(broadcast(slice_(x, (0,), (1,)), (100,), (0,)), x),
        lambda x: e.mul(broadcast(reduce_sum(x, (0,)), (100,), ()), x),
        lambda x: [e.cast(e.gt(x, 3.0), dtypes.float32), e.add(x, 1.0), e.mul(x, x)],
        lambda x: matmul(reshape(x, (10, 10)), reshape(x, (10, 10))),
    ],
)
def test_donating_changes_no_result(fn: Callable[..., Any]) -> None:
    x = np.random.default_rng(0).standard_normal(100).astype(np.float32)
    kept, _, _ = run(fn, x)
    given, _, _ = run(fn, x, donated=frozenset({0}))
    for a, b in zip(kept, given, strict=True):
        assert a.tobytes() == b.tobytes()


def test_an_input_is_not_taken_over_before_a_host_call_that_may_fail() -> None:
    x, i = np.arange(8, dtype=np.float32), np.array([99])
    graph = graph_of(
        lambda x, i: [e.add(x, 1.0), gather(e.mul(x, 3.0), [i])],
        f32(8), TensorType((1,), dtypes.int64),
    )  # fmt: skip
    executable = NativeExecutor().prepare(graph, frozenset({0}), 0)
    given = from_array(x)
    with pytest.raises(Exception, match="99"):
        executable.submit([given, from_array(i)])
    np.testing.assert_array_equal(given.view(np.float32, (8,)), x)
