"""Reductions: values, the defined bits, parallel chunks, and what surrounds a reduction."""

from __future__ import annotations

import numpy as np
import pytest

from flambeau.compiler import reduction
from flambeau.compiler.kernel import Instr, Kernel
from flambeau.compiler.target import Target
from flambeau.dtypes import DType, bfloat16, bool_, float16, float32, float64, int8, int32, uint16
from tests.compiler.builders import AXES, compiled, host_targets, operand, run, same_bits
from tests.compiler.jit import assembly

SIZES = (1, 2, 7, 31, 32, 33, 1000, 4097)
ADD = {"reduce_sum": np.add, "reduce_prod": np.multiply, "reduce_max": np.maximum, "reduce_min": np.minimum}


def reduce_kernel(op: str, dtype: DType, axes: str, source: str) -> Kernel:
    """``op`` over the R axes; the output has the contiguous layout of the others."""
    kept = [i for i, a in enumerate(axes) if a != "R"]
    out = "".join("0" if a == "R" else "1" if i == kept[-1] else "s" for i, a in enumerate(axes))
    body = (Instr("load", dtype, operand=0), Instr(op, dtype, (0,)), Instr("store", dtype, (1,), operand=1))
    layout = (operand(dtype, "in", source), operand(dtype, "out", out))
    return Kernel("reduction", tuple(AXES[a] for a in axes), layout, body)


def chained(values: np.ndarray, op: str) -> np.ndarray:
    """Combines along axis 0 strictly in order, from the identity."""
    start = {"reduce_sum": 0, "reduce_prod": 1, "reduce_max": -np.inf, "reduce_min": np.inf}[op]
    total = np.full(values.shape[1:], start, values.dtype)
    for value in values:
        total = ADD[op](total, value)
    return total


def defined(rows: bool, points: np.ndarray, op: str = "reduce_sum") -> np.ndarray:
    """The definition of a reduction along axis 0, word for word."""
    length = reduction.chunk_length(rows, len(points))
    chunks = []
    for start in range(0, len(points), length):
        chunk = points[start : start + length]
        if rows:
            lanes = [chained(chunk[lane::32], op) for lane in range(32)]
            while len(lanes) > 1:
                half = len(lanes) // 2
                lanes = [ADD[op](lanes[i], lanes[i + half]) for i in range(half)]
            chunks.append(lanes[0])
        else:
            chunks.append(chained(chunk, op))
    return chained(np.array(chunks).reshape(len(chunks), *points.shape[1:]), op)


@pytest.mark.parametrize("target", host_targets(), ids=lambda t: t.key[:10])
@pytest.mark.parametrize("size", SIZES)
def test_rows_have_the_defined_bits(target: Target, size: int) -> None:
    x = np.random.default_rng(size).standard_normal((5, size)).astype(np.float32)
    out = np.full((5, 1), np.nan, np.float32)
    run(reduce_kernel("reduce_sum", float32, "GR", "s1"), [x, out], (5, size), target)
    assert same_bits(out[:, 0], defined(True, x.T))


@pytest.mark.parametrize("target", host_targets(), ids=lambda t: t.key[:10])
@pytest.mark.parametrize("columns", [1, 2, 33, 1000])
@pytest.mark.parametrize("size", [1, 2, 33, 1000, 1537])
def test_columns_have_the_defined_bits(target: Target, size: int, columns: int) -> None:
    x = np.random.default_rng(size).standard_normal((size, columns)).astype(np.float32)
    out = np.full((1, columns), np.nan, np.float32)
    run(reduce_kernel("reduce_sum", float32, "RV", "s1"), [x, out], (size, columns), target)
    assert same_bits(out[0], defined(False, x))


@pytest.mark.parametrize("target", host_targets(), ids=lambda t: t.key[:10])
@pytest.mark.parametrize("order", [1, -1])
def test_a_large_sum_runs_its_chunks_in_parallel_with_the_same_bits(target: Target, order: int) -> None:
    x = np.random.default_rng(1).standard_normal(200_003).astype(np.float32)
    out = np.empty(1, np.float32)
    launches = run(reduce_kernel("reduce_sum", float32, "GR", "01"), [x, out], (1, x.size), target, order)
    assert launches == 2
    assert same_bits(out, defined(True, x[:, None]))
    many = np.empty((40, 1), np.float32)
    x2 = np.broadcast_to(x, (40, x.size))
    assert run(reduce_kernel("reduce_sum", float32, "GR", "01"), [x2, many], x2.shape, target, order) == 1
    assert (many == out).all()


def test_a_full_reduction_without_grid_axes() -> None:
    x = np.random.default_rng(1).standard_normal(70_001)
    body = (Instr("load", float64, operand=0), Instr("reduce_sum", float64, (0,)),
            Instr("store", float64, (1,), operand=1))  # fmt: skip
    kernel = Kernel(
        "reduction", (AXES["R"],), (operand(float64, "in", "1"), operand(float64, "out", "0")), body
    )
    out = np.empty(1)
    run(kernel, [x, out], x.shape)
    assert same_bits(out, defined(True, x[:, None]))


def test_adjacent_axes_give_the_same_bits_merged_or_not() -> None:
    x = np.random.default_rng(2).standard_normal((3, 9, 7, 1001)).astype(np.float32)
    out = np.empty((3, 1, 1, 1), np.float32)
    run(reduce_kernel("reduce_sum", float32, "GRRR", "sss1"), [x, out], x.shape)
    merged = np.empty((3, 1), np.float32)
    run(reduce_kernel("reduce_sum", float32, "GR", "s1"), [x.reshape(3, -1), merged], (3, 9 * 7 * 1001))
    assert same_bits(out.ravel(), merged.ravel())
    assert same_bits(merged[:, 0], defined(True, x.reshape(3, -1).T))


@pytest.mark.parametrize("op", ADD)
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_mixed_axes(op: str, dtype: DType) -> None:
    x = np.random.default_rng(3).uniform(0.9, 1.1, (6, 5, 4, 35)).astype(dtype.numpy)
    out = np.empty((1, 5, 1, 35), dtype.numpy)
    run(reduce_kernel(op, dtype, "RGRV", "sss1"), [x, out], x.shape)
    assert same_bits(out[0, :, 0], defined(False, x.transpose(0, 2, 1, 3).reshape(24, 5, 35), op))
    out = np.empty((1, 5, 1, 1), dtype.numpy)
    run(reduce_kernel(op, dtype, "RGRR", "sss1"), [x, out], x.shape)
    assert same_bits(out[0, :, 0, 0], defined(True, x.transpose(0, 2, 3, 1).reshape(-1, 5), op))


def test_a_row_has_the_same_bits_alone_and_in_a_batch() -> None:
    kernel = reduce_kernel("reduce_sum", float32, "GR", "s1")
    row = np.random.default_rng(4).standard_normal(777).astype(np.float32)
    alone = np.empty((1, 1), np.float32)
    run(kernel, [row[None], alone], (1, 777))
    for batch in (2, 17, 1000):
        x, out = np.tile(row, (batch, 1)), np.empty((batch, 1), np.float32)
        run(kernel, [x, out], x.shape)
        assert (out == alone).all()


def test_strided_rows_and_columns() -> None:
    x = np.random.default_rng(5).standard_normal((33, 70)).astype(np.float32)
    out = np.empty((70, 1), np.float32)
    run(reduce_kernel("reduce_sum", float32, "GR", "1s"), [x.T, out], (70, 33))
    assert same_bits(out[:, 0], defined(True, x))
    out = np.empty((1, 33), np.float32)
    run(reduce_kernel("reduce_sum", float32, "RV", "1s"), [x.T, out], (70, 33))
    assert same_bits(out[0], defined(False, x.T))


@pytest.mark.parametrize("dtype", [int8, int32, uint16], ids=str)
@pytest.mark.parametrize("op", ADD)
def test_integers(dtype: DType, op: str) -> None:
    info = np.iinfo(dtype.numpy)
    x = np.random.default_rng(6).integers(info.min, info.max, (7, 45), dtype.numpy, endpoint=True)
    for axes, source, shape, axis in (("GR", "s1", (7, 1), 1), ("RV", "s1", (1, 45), 0)):
        out = np.empty(shape, dtype.numpy)
        run(reduce_kernel(op, dtype, axes, source), [x, out], x.shape)
        assert (out == ADD[op].reduce(x, axis=axis, keepdims=True, dtype=x.dtype)).all()


@pytest.mark.parametrize("rows", [True, False])
def test_any_and_all(rows: bool) -> None:
    x = np.random.default_rng(7).uniform(size=(9, 40)) < np.linspace(0, 1, 40)
    axes, shape, axis = ("GR", (9, 1), 1) if rows else ("RV", (1, 40), 0)
    for op, expected in (("reduce_max", x.any), ("reduce_min", x.all)):
        out = np.empty(shape, np.bool_)
        run(reduce_kernel(op, bool_, axes, "s1"), [x, out], x.shape)
        assert (out == expected(axis=axis, keepdims=True)).all()
    large = np.zeros(100_000, np.bool_)
    large[77_777] = True
    out = np.empty(1, np.bool_)
    assert run(reduce_kernel("reduce_max", bool_, "GR", "01"), [large, out], (1, large.size)) == 2
    assert out[0]


@pytest.mark.parametrize("dtype", [float16, bfloat16], ids=str)
def test_short_floats_are_accumulated_in_float32(dtype: DType) -> None:
    x = np.random.default_rng(8).standard_normal((3, 1000)).astype(dtype.numpy)
    out = np.empty((3, 1), dtype.numpy)
    run(reduce_kernel("reduce_sum", dtype, "GR", "s1"), [x, out], x.shape)
    assert same_bits(out[:, 0], defined(True, x.T.astype(np.float32)).astype(dtype.numpy))


def test_nothing_sums_to_zero() -> None:
    for axes, shape in (("GR", (3, 0)), ("RV", (0, 3))):
        out = np.full(3, np.nan, np.float32).reshape([3 if a != "R" else 1 for a in axes])
        run(reduce_kernel("reduce_sum", float32, axes, "s1"), [np.empty(shape, np.float32), out], shape)
        assert (out == 0).all()
    out = np.empty((0, 1), np.float32)
    sized = (np.empty((0, 5), np.float32), out)
    assert run(reduce_kernel("reduce_sum", float32, "GR", "s1"), list(sized), (0, 5)) == 0


@pytest.mark.parametrize("op", ["reduce_max", "reduce_min", "reduce_sum"])
def test_nan_reaches_the_result(op: str) -> None:
    for size in (1, 33, 100):
        for place in {0, size // 2, size - 1}:
            x = np.ones((1, size), np.float32)
            x[0, place] = np.nan
            out = np.empty((1, 1), np.float32)
            run(reduce_kernel(op, float32, "GR", "s1"), [x, out], x.shape)
            assert np.isnan(out[0, 0])


def moments(axes: str, per_point: str, per_output: str) -> Kernel:
    """Stores y = x * scale per point; then sum(y) + bias and max(y) per output."""
    f = float32
    body = (
        Instr("load", f, operand=0),
        Instr("load", f, operand=1),
        Instr("mul", f, (0, 1)),
        Instr("store", f, (2,), operand=2),
        Instr("reduce_sum", f, (2,)),
        Instr("reduce_max", f, (2,)),
        Instr("add", f, (4, 1)),
        Instr("store", f, (6,), operand=3),
        Instr("store", f, (5,), operand=4),
    )
    layout = tuple(
        operand(f, role, strides)
        for role, strides in (
            ("in", per_point),
            ("in", per_output),
            ("out", per_point),
            ("out", per_output),
            ("out", per_output),
        )
    )
    return Kernel("reduction", tuple(AXES[a] for a in axes), layout, body)


@pytest.mark.parametrize("target", host_targets(), ids=lambda t: t.key[:10])
@pytest.mark.parametrize("shape", [(3, 1000), (40, 33), (2, 70_000), (1600, 5)])
@pytest.mark.parametrize("rows", [True, False])
def test_prologue_stores_and_epilogue(target: Target, shape: tuple[int, int], rows: bool) -> None:
    x = np.random.default_rng(9).standard_normal(shape).astype(np.float32)
    kept = (shape[0], 1) if rows else (1, shape[1])
    scale = np.random.default_rng(10).standard_normal(kept).astype(np.float32)
    y, total, largest = np.empty_like(x), np.empty_like(scale), np.empty_like(scale)
    kernel = moments("GR", "s1", "s0") if rows else moments("RV", "s1", "01")
    run(kernel, [x, scale, y, total, largest], shape, target)
    expected = x * scale
    assert same_bits(y, expected)
    axis = 1 if rows else 0
    sums = defined(rows, np.moveaxis(expected, axis, 0))
    assert same_bits(total.ravel(), sums + scale.ravel())
    assert same_bits(largest.ravel(), expected.max(axis))


def test_a_second_pass_over_the_points_is_refused() -> None:
    body = (
        Instr("load", float32, operand=0),
        Instr("reduce_sum", float32, (0,)),
        Instr("div", float32, (0, 1)),
        Instr("store", float32, (2,), operand=1),
    )
    layout = (operand(float32, "in", "s1"), operand(float32, "out", "s1"))
    with pytest.raises(ValueError, match="second kernel"):
        reduction.lower(Kernel("reduction", (AXES["G"], AXES["R"]), layout, body), Target.host())


@pytest.mark.parametrize("target", [Target.avx512(), Target.avx2(), Target.neon()], ids=lambda t: t.name)
@pytest.mark.parametrize("axes", ["GR", "RV", "VR"])
def test_other_targets_compile_without_library_calls(target: Target, axes: str) -> None:
    strides = "1s" if axes == "VR" else "s1"
    text = assembly(reduction.lower(reduce_kernel("reduce_sum", float32, axes, strides), target)[1], target)
    assert "call" not in text and "\tbl\t" not in text


def test_one_kernel_serves_all_sizes() -> None:
    before = compiled.cache_info().misses
    for size in (3, 30, 300):
        test_rows_have_the_defined_bits(Target.avx2(), size)
    assert compiled.cache_info().misses - before <= 1


@pytest.mark.parametrize("target", host_targets(), ids=lambda t: t.key[:10])
@pytest.mark.parametrize(("columns", "size"), [(1, 33), (5, 1000), (33, 1), (200, 97), (40, 40_000)])
def test_rows_that_lie_across_one_another_have_the_bits_of_rows(
    target: Target, columns: int, size: int
) -> None:
    x = np.random.default_rng(size).standard_normal((3, size, columns)).astype(np.float32)
    turned = x.transpose(0, 2, 1)
    out = np.full((3, columns, 1), np.nan, np.float32)
    run(reduce_kernel("reduce_sum", float32, "GVR", "s1s"), [turned, out], turned.shape, target)
    for of_x, of_out in zip(x, out, strict=True):
        assert same_bits(of_out[:, 0], defined(True, of_x))


@pytest.mark.parametrize("target", host_targets(), ids=lambda t: t.key[:10])
@pytest.mark.parametrize("shape", [(1000, 3), (33, 140), (70_000, 2)])
def test_across_with_prologue_stores_and_epilogue(target: Target, shape: tuple[int, int]) -> None:
    x = np.random.default_rng(9).standard_normal(shape).astype(np.float32)
    scale = np.random.default_rng(10).standard_normal((shape[1], 1)).astype(np.float32)
    y, total, largest = np.empty_like(x), np.empty_like(scale), np.empty_like(scale)
    given = [x.T, scale, y.T, total, largest]
    run(moments("VR", "1s", "10"), given, shape[::-1], target)
    expected = x * scale[:, 0]
    assert same_bits(y, expected)
    assert same_bits(total[:, 0], defined(True, expected) + scale[:, 0])
    assert same_bits(largest[:, 0], expected.max(0))
