"""Convolutions: the defined bits of all three passes, whatever the layout, the batch and the threads."""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flambeau import dtypes
from flambeau.compiler import contraction
from flambeau.compiler.contraction.axes import merged_columns
from flambeau.compiler.direct import blocking
from flambeau.compiler.kernel import Pointer
from flambeau.compiler.target import Target
from flambeau.engine import native
from flambeau.engine.native import NativeExecutor
from flambeau.graph.builder import Var
from flambeau.graph.types import TensorType
from flambeau.primitives import elementwise as e
from flambeau.primitives.contract import matmul
from flambeau.primitives.convolution import _input_gradient, _weight_gradient, conv_general, strided_windows
from flambeau.primitives.indexing import pad_array
from flambeau.primitives.views import broadcast, transpose
from flambeau.runtime import threads
from tests.compiler.builders import host_targets, same_bits
from tests.compiler.graphs import f32, graph_of, kinds, plan
from tests.compiler.test_contraction import defined
from tests.engine.checking import from_array

EXECUTOR = NativeExecutor()


def run(fn: Any, *arrays: np.ndarray, executor: NativeExecutor = EXECUTOR) -> np.ndarray:
    graph = graph_of(fn, *[TensorType(a.shape, dtypes.from_numpy(a.dtype)) for a in arrays])
    (made,) = executor.prepare(graph, frozenset(), 0).submit([from_array(a) for a in arrays]).wait()
    (t,) = graph.output_types
    return np.array(made.view(t.dtype.numpy, t.shape))


def by_definition(
    x: np.ndarray, w: np.ndarray, *, strides: Any, padding: Any, lhs_dilation: Any = None,
    rhs_dilation: Any = None, groups: int = 1,
) -> np.ndarray:  # fmt: skip
    """The windows laid out as a matrix, and the chains of a product of matrices."""
    ones = (1,) * (x.ndim - 2)
    lhs, rhs = lhs_dilation or ones, rhs_dilation or ones
    padded = pad_array(
        x,
        0,
        (0, 0, *[a for a, _ in padding]),
        (0, 0, *[b for _, b in padding]),
        (0, 0, *[d - 1 for d in lhs]),
    )
    out = tuple(
        (n - ((k - 1) * d + 1)) // s + 1
        for n, k, d, s in zip(padded.shape[2:], w.shape[2:], rhs, strides, strict=True)
    )
    count, per_group, outs = x.shape[0], w.shape[1], w.shape[0] // groups
    every = strided_windows(
        padded, (count, x.shape[1], *out), (1, 1, *w.shape[2:]), (1, 1, *strides), (1, 1, *rhs)
    ).reshape(count, x.shape[1], *out, *w.shape[2:])
    made = np.empty((count, w.shape[0], *out), x.dtype)
    k = len(out)
    for g in range(groups):
        own = every[:, g * per_group : (g + 1) * per_group]
        matrix = own.transpose(1, *range(2 + k, 2 + 2 * k), 0, *range(2, 2 + k)).reshape(w[0].size, -1)
        rows = w[g * outs : (g + 1) * outs].reshape(outs, -1)
        chunk = max(1, 4096 // math.prod(w.shape[2:])) * math.prod(w.shape[2:])
        parts = [defined(rows[:, i : i + chunk], matrix[i : i + chunk]) for i in range(0, w[0].size, chunk)]
        product = sum(parts[1:], parts[0]).reshape(outs, count, *out)
        made[:, g * outs : (g + 1) * outs] = np.moveaxis(product, 0, 1)
    return made


CASES: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((3, 5, 9, 10), (7, 5, 3, 3), {"strides": (1, 1), "padding": ((1, 1), (1, 1))}),
    ((2, 3, 17, 15), (33, 3, 5, 4), {"strides": (2, 2), "padding": ((0, 1), (2, 0))}),
    ((2, 6, 11, 13), (10, 3, 3, 2),
     {"strides": (1, 3), "padding": ((1, 0), (0, 0)), "rhs_dilation": (2, 1), "groups": 2}),
    ((1, 480, 4, 6), (9, 480, 3, 3), {"strides": (1, 1), "padding": ((1, 1), (1, 1))}),  # two chunks
    ((2, 1000, 4, 3), (5, 1000, 3, 3), {"strides": (1, 1), "padding": ((1, 1), (1, 1))}),  # three, short rows
    ((9, 7, 4, 4), (230, 7, 1, 1), {"strides": (1, 1), "padding": ((0, 0), (0, 0))}),
    ((5, 4, 40), (6, 4, 3), {"strides": (2,), "padding": ((1, 2),), "lhs_dilation": (2,)}),
    ((2, 3, 4, 5, 6), (4, 3, 2, 3, 2), {"strides": (1, 2, 1), "padding": ((0, 1), (1, 0), (0, 0))}),
    ((3, 6, 9, 8), (6, 1, 3, 3), {"strides": (1, 2), "padding": ((1, 1), (1, 0)), "groups": 6}),
    ((3, 4, 9, 8), (12, 1, 2, 3),
     {"strides": (1, 1), "padding": ((1, 1), (2, 1)), "groups": 4, "lhs_dilation": (2, 2)}),
    ((2, 3, 5, 1), (3, 3, 3, 1), {"strides": (1, 1), "padding": ((1, 1), (0, 0))}),
    ((1, 96, 7, 7), (40, 96, 3, 3), {"strides": (1, 1), "padding": ((1, 1), (1, 1))}),  # boxes together
    ((2, 480, 5, 5), (70, 480, 3, 3), {"strides": (1, 1), "padding": ((1, 1), (1, 1))}),  # and two chunks
]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("x_shape", "w_shape", "attrs"), CASES, ids=str)
def test_each_result_is_one_chain_over_channels_and_window(
    x_shape: Any, w_shape: Any, attrs: dict[str, Any], dtype: Any
) -> None:
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(s).astype(dtype) for s in (x_shape, w_shape))
    got = run(lambda x, w: conv_general(x, w, **attrs), x, w)
    assert same_bits(got, by_definition(x, w, **attrs))


@pytest.mark.parametrize("target", host_targets(), ids=lambda t: f"{t.name}-{t.vector_bits}")
def test_every_vector_width_gives_the_same_bits(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "Target", SimpleNamespace(host=lambda: target))
    executor = NativeExecutor()
    for x_shape, w_shape, attrs in CASES[:3]:
        rng = np.random.default_rng(1)
        x, w = (rng.standard_normal(s).astype(np.float32) for s in (x_shape, w_shape))
        got = run(lambda x, w, a=attrs: conv_general(x, w, **a), x, w, executor=executor)
        assert same_bits(got, by_definition(x, w, **attrs))


ATTRS: dict[str, Any] = {
    "strides": (1, 1), "padding": ((1, 1), (1, 1)), "lhs_dilation": (1, 1), "rhs_dilation": (1, 1),
    "groups": 1,
}  # fmt: skip
STRIDED = ATTRS | {"strides": (2, 2)}


@pytest.mark.parametrize("attrs", [ATTRS, STRIDED], ids=["stride 1", "stride 2"])
def test_gradients_are_such_chains_too(attrs: dict[str, Any]) -> None:
    rng = np.random.default_rng(2)
    x, w = (rng.standard_normal(s).astype(np.float32) for s in ((4, 5, 12, 10), (6, 5, 3, 3)))
    g = np.asarray(run(lambda x, w: conv_general(x, w, **attrs), x, w))
    step = attrs["strides"][0]
    dx = run(lambda g, x, w: _input_gradient(g, x, w, attrs), g, x, w)
    ends = (1, 1) if step == 1 else (1, 2)
    turned = np.ascontiguousarray(w.transpose(1, 0, 2, 3)[..., ::-1, ::-1])
    wanted = by_definition(g, turned, strides=(1, 1), padding=(ends, ends), lhs_dilation=(step, step))
    assert same_bits(dx, wanted)
    dw = run(lambda g, x, w: _weight_gradient(g, x, w, attrs), g, x, w)
    ends = (1, 1) if step == 1 else (1, 0)
    chains = by_definition(
        x.transpose(1, 0, 2, 3), g.transpose(1, 0, 2, 3), strides=(1, 1), padding=(ends, ends),
        rhs_dilation=(step, step),
    )  # fmt: skip
    assert same_bits(dw, np.ascontiguousarray(chains.transpose(1, 0, 2, 3)))


@pytest.mark.parametrize("positions", [1, 240], ids=["one box after the other", "boxes together"])
def test_weights_that_are_many_are_fetched_ahead(positions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocking, "second_cache", lambda: 1 << 14)
    monkeypatch.setattr(blocking, "_FEW_POSITIONS", positions)
    rng = np.random.default_rng(8)
    x, w = (rng.standard_normal(s).astype(np.float32) for s in ((1, 96, 13, 13), (72, 96, 3, 3)))
    attrs = {"strides": (1, 1), "padding": ((1, 1), (1, 1))}
    assert same_bits(run(lambda x, w: conv_general(x, w, **attrs), x, w), by_definition(x, w, **attrs))


def test_an_example_has_the_same_bits_alone_and_in_a_batch() -> None:
    rng = np.random.default_rng(3)
    x, w = (rng.standard_normal(s).astype(np.float32) for s in ((17, 19, 7, 6), (37, 19, 3, 3)))
    forward = partial(conv_general, **ATTRS)
    whole = run(forward, x, w)
    g = rng.standard_normal(whole.shape).astype(np.float32)

    def back(g: Var, x: Var, w: Var) -> Var:
        return _input_gradient(g, x, w, ATTRS)

    gradient = run(back, g, x, w)
    for part in (slice(0, 1), slice(16, 17), slice(3, 8)):
        assert same_bits(run(forward, x[part], w), whole[part])
        assert same_bits(run(back, g[part], x[part], w), gradient[part])


def test_any_number_of_threads_gives_the_same_bits() -> None:
    rng = np.random.default_rng(4)
    x, w = (rng.standard_normal(s).astype(np.float32) for s in ((16, 16, 20, 20), (32, 16, 3, 3)))
    g = rng.standard_normal((16, 32, 20, 20)).astype(np.float32)
    before = threads.get_num_threads()
    found = []
    try:
        for count in (1, 2, 3, 8):
            threads.set_num_threads(count)
            passes = (
                run(partial(conv_general, **ATTRS), x, w),
                run(lambda g, x, w: _input_gradient(g, x, w, ATTRS), g, x, w),
                run(lambda g, x, w: _weight_gradient(g, x, w, ATTRS), g, x, w),
            )
            found.append([made.tobytes() for made in passes])
    finally:
        threads.set_num_threads(before)
    assert all(other == found[0] for other in found)


def layer(x: Var, w: Var, b: Var, other: Var) -> Var:
    y = conv_general(x, w, padding=((1, 1), (1, 1)))
    return e.relu(e.add(e.add(y, broadcast(b, y.shape, (1,))), other))


def test_bias_residual_and_activation_are_its_epilogue() -> None:
    types = f32(3, 4, 9, 7), f32(5, 4, 3, 3), f32(5), f32(3, 5, 9, 7)
    assert kinds(graph_of(layer, *types)) == ["contraction conv_general add add relu"]
    rng = np.random.default_rng(5)
    x, w, b, other = (rng.standard_normal(t.shape).astype(np.float32) for t in types)
    y = by_definition(x, w, strides=(1, 1), padding=((1, 1), (1, 1)))
    assert same_bits(run(layer, x, w, b, other), np.maximum(y + b[:, None, None] + other, 0))

    def scaled(x: Var, w: Var, s: Var) -> Var:
        y = conv_general(x, w, padding=((1, 1), (1, 1)))
        return e.mul(broadcast(s, y.shape, (0, 1)), y)  # one number per example and channel

    s = rng.standard_normal((3, 5)).astype(np.float32)
    assert same_bits(run(scaled, x, w, s), y * s[..., None, None])


def test_operands_may_be_views() -> None:
    rng = np.random.default_rng(6)
    x, w = (rng.standard_normal(s).astype(np.float32) for s in ((3, 9, 8, 4), (3, 3, 4, 5)))

    def f(x: Var, w: Var) -> Var:  # channels last, as others store them
        y = conv_general(transpose(x, (0, 3, 1, 2)), transpose(w, (3, 2, 0, 1)), padding=((1, 1), (1, 1)))
        return transpose(y, (0, 2, 3, 1))

    channels_first = by_definition(
        x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1), strides=(1, 1), padding=((1, 1), (1, 1))
    )
    assert same_bits(run(f, x, w), np.ascontiguousarray(channels_first.transpose(0, 2, 3, 1)))


@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
@pytest.mark.parametrize(
    ("x_shape", "channels", "step"),
    [((3, 20, 9, 7), 48, 1), ((9, 21, 24, 24), 17, 1), ((5, 260, 6, 5), 33, 2), ((1, 3, 5, 5), 16, 1)],
    ids=str,
)
def test_input_is_read_where_it_lies_in_all_three_passes(
    x_shape: tuple[int, ...], channels: int, step: int, last: bool
) -> None:
    rng = np.random.default_rng(9)
    attrs = ATTRS | {"strides": (step, step)}
    x, w = (rng.standard_normal(s).astype(np.float32) for s in (x_shape, (channels, x_shape[1], 3, 3)))
    y = by_definition(x, w, strides=(step, step), padding=((1, 1), (1, 1)))
    g = rng.standard_normal(y.shape).astype(np.float32)

    def stored(a: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(a.transpose(0, 2, 3, 1)) if last else a

    def first(v: Var) -> Var:
        return transpose(v, (0, 3, 1, 2)) if last else v

    def passes(x: Var, w: Var, g: Var) -> list[Var]:
        x, g = first(x), first(g)
        return [
            conv_general(x, w, **attrs),
            _input_gradient(g, x, w, attrs),
            _weight_gradient(g, x, w, attrs),
        ]

    got = [run(lambda x, w, g, i=i: passes(x, w, g)[i], stored(x), w, stored(g)) for i in range(3)]
    assert same_bits(got[0], y)
    high = [1 + (n + 2 - 3) % step for n in x_shape[2:]]
    turned = np.ascontiguousarray(w.transpose(1, 0, 2, 3)[..., ::-1, ::-1])
    ends = tuple((1, b) for b in high)
    assert same_bits(
        got[1], by_definition(g, turned, strides=(1, 1), padding=ends, lhs_dilation=(step, step))
    )
    ends = tuple((1, 1 - (n + 2 - 3) % step) for n in x_shape[2:])
    chains = by_definition(
        x.transpose(1, 0, 2, 3), g.transpose(1, 0, 2, 3), strides=(1, 1), padding=ends,
        rhs_dilation=(step, step),
    )  # fmt: skip
    assert same_bits(got[2], np.ascontiguousarray(chains.transpose(1, 0, 2, 3)))


def test_other_sizes_need_no_new_kernel() -> None:
    def kernels(n: int, size: int) -> list[Any]:
        types = f32(n, 4, size, size), f32(6, 4, 3, 3), f32(6), f32(n, 6, size, size)
        return plan(graph_of(layer, *types))[1]

    first = kernels(4, 9)
    for n, size in ((2, 9), (64, 9), (5, 30)):
        assert set(kernels(n, size)) <= set(first)


def test_axes_are_made_one_where_sizes_allow_it() -> None:
    graph = graph_of(lambda x, w: conv_general(x, w), f32(4, 3, 8, 8), f32(5, 3, 1, 1))
    (kernel,) = plan(graph)[1]
    strides = ((3, 0, 0, 0, 1, 1, 1), (0, 192, 8, 1, 64, 8, 1), (64, 320, 8, 1, 0, 0, 0))
    sizes, made = merged_columns(kernel, [4, 8, 8], [3, 1, 1], strides)
    assert sizes == (1, 4, 64, 1, 4, 64, 1, 1, 3)
    assert made == ((3, 0, 0, 0, 1, 1, 1), (0, 0, 192, 1, 0, 0, 64), (64, 0, 320, 1, 0, 0, 0))


def test_results_that_meet_no_input_have_their_epilogue_all_the_same() -> None:
    rng = np.random.default_rng(7)
    x, w = (rng.standard_normal(s).astype(np.float32) for s in ((2, 3, 5, 5), (4, 3, 1, 1)))
    b = rng.standard_normal(4).astype(np.float32)

    def f(x: Var, w: Var, b: Var) -> Var:
        y = conv_general(x, w, lhs_dilation=(2, 2))
        return e.relu(e.add(y, broadcast(b, y.shape, (1,))))

    wanted = by_definition(x, w, strides=(1, 1), padding=((0, 0), (0, 0)), lhs_dilation=(2, 2))
    assert same_bits(run(f, x, w, b), np.maximum(wanted + b[:, None, None], 0))


def test_no_element_and_no_channel() -> None:
    none = np.zeros((2, 0, 5, 5), np.float32)
    assert not run(conv_general, none, np.zeros((3, 0, 3, 3), np.float32)).any()
    assert run(conv_general, np.zeros((0, 2, 5, 5), np.float32), np.zeros((3, 2, 3, 3), np.float32)).size == 0
    assert contraction.calls(plan(graph_of(conv_general, f32(0, 2, 5, 5), f32(3, 2, 3, 3)))[1][0],
        "", (3, 0, 3, 3, 2, 3, 3), ((18, 0, 0, 0, 1, 1, 1), (0, 50, 5, 1, 25, 5, 1), (9, 27, 3, 1, 0, 0, 0)),
        (), Pointer(0)) == []  # fmt: skip


@pytest.mark.parametrize("dtype", [dtypes.float16, dtypes.bfloat16], ids=lambda d: d.name)
def test_16_bit_numbers_are_multiplied_in_float32_and_rounded_once(dtype: dtypes.DType) -> None:
    rng = np.random.default_rng(8)
    x, w = (rng.standard_normal(s).astype(dtype.numpy) for s in ((3, 5, 9, 10), (7, 5, 3, 3)))
    wide_x, wide_w = x.astype(np.float32), w.astype(np.float32)
    how: dict[str, Any] = {"strides": (1, 2), "padding": ((1, 1), (1, 0))}
    wanted = by_definition(wide_x, wide_w, **how)
    got = run(lambda x, w: conv_general(x, w, **how), x, w)
    np.testing.assert_array_equal(got.view(np.uint16), wanted.astype(dtype.numpy).view(np.uint16))
    got = run(lambda x, w: conv_general(x, w, accumulate=dtypes.float32, **how), x, w)
    assert same_bits(got, wanted)
    a, b = x.reshape(3, -1)[:, :45], w.reshape(-1, 45).T.copy()
    product = defined(a.astype(np.float32), b.astype(np.float32)).astype(dtype.numpy)
    got = run(lambda a, b: e.relu(matmul(a, b)), a.copy(), b)
    np.testing.assert_array_equal(got, np.maximum(product, 0))
    assert kinds(graph_of(matmul, TensorType((3, 45), dtype), TensorType((45, 7), dtype))) == [
        "contraction dot_general"
    ]
