"""Contractions: values, the defined bits at every position, strides, batches, epilogues, registers."""

from __future__ import annotations

import ctypes
from functools import cache
from itertools import product

import numpy as np
import pytest
from llvmlite import binding as llvm

from flambeau.compiler import contraction, jit
from flambeau.compiler.caches import processors
from flambeau.compiler.contraction.shape import shape_for
from flambeau.compiler.kernel import Instr, Kernel, Pointer
from flambeau.compiler.target import Target
from flambeau.dtypes import DType, bool_, float32, float64, from_numpy, int32
from tests.compiler import assembly as asm
from tests.compiler.builders import AXES, host_targets, operand, same_bits
from tests.compiler.jit import Compiled, optimized

ROW, COLUMN, STRIDED = "s1", "1s", "ss"  # how the two axes of a matrix lie in memory
GUARD = 256


def kernel(
    dtype: DType = float32,
    a: str = "s01",
    b: str = "01s",
    batch: int = 0,
    epilogue: tuple[Instr, ...] | None = None,
    others: tuple[tuple[DType, str, str], ...] | None = None,
) -> Kernel:
    """A product with an epilogue; value 2 is the product. Strides are over batch axes, M, N, K."""
    if epilogue is None:
        epilogue = (Instr("store", dtype, (2,), operand=2),)
        others = ((dtype, "out", "s" * batch + "s10"),)
    assert others is not None
    body = (
        Instr("load", dtype, operand=0),
        Instr("load", dtype, operand=1),
        Instr("contract", dtype, (0, 1)),
    )
    layout = (operand(dtype, "in", a), operand(dtype, "in", b), *(operand(*other) for other in others))
    return Kernel("contraction", tuple(AXES[x] for x in "G" * batch + "GVR"), layout, body + epilogue)


@cache
def compiled(of: Kernel, target: Target) -> tuple[str, Compiled]:
    entry, text = contraction.lower(of, target)
    return entry, Compiled(entry, text, target)


def steps(array: np.ndarray) -> tuple[int, ...]:
    return tuple(s // array.itemsize for s in array.strides)


def run(of: Kernel, arrays: list[np.ndarray], target: Target | None = None, order: int = 1) -> int:
    """Runs a kernel on A (.., M, K), B (.., K, N) and others (.., M, N); gives the number of launches.

    The workspace is filled with NaN and surrounded by guards.
    """
    entry, code = compiled(of, target or Target.host())
    a, b, *others = arrays
    shape = np.broadcast_shapes(*(x.shape[:-2] for x in arrays))
    batch = len(of.axes) - 3
    shape = (1,) * (batch - len(shape)) + shape
    m, n, k = a.shape[-2], b.shape[-1], a.shape[-1]
    views = [np.broadcast_to(a, (*shape, m, k)), np.broadcast_to(b, (*shape, k, n))]
    views += [np.broadcast_to(x, (*shape, m, n)) for x in others]
    strides = [(*steps(views[0])[:-1], 0, steps(views[0])[-1])]
    strides.append((*steps(views[1])[:-2], 0, steps(views[1])[-1], steps(views[1])[-2]))
    strides += [(*steps(x), 0) for x in views[2:]]
    sizes = (*shape, m, n, k)
    size = contraction.workspace(of, sizes)
    space = np.full(size + 64 + 2 * GUARD, 0xFF, np.uint8)
    start = GUARD + -(space.ctypes.data + GUARD) % 64
    pointers = tuple(Pointer(i) for i in range(len(arrays)))
    calls = contraction.calls(of, entry, sizes, tuple(strides), pointers, Pointer(len(arrays), start))
    code.run(calls, [*arrays, space], order)
    assert (space[:start] == 0xFF).all() and (space[start + size :] == 0xFF).all()
    return len(calls)


@cache
def reference_code(type_: str) -> tuple[llvm.ExecutionEngine, object]:
    """The definition as a scalar loop: chains of fused multiply-adds, chunks of 4096 steps added up."""
    short = {"float": "f32", "double": "f64"}[type_]
    text = f"""
declare {type_} @llvm.fma.{short}({type_}, {type_}, {type_})
define void @chain(ptr %a, ptr %b, ptr %c, i64 %n, i64 %k) {{
entry:
  br label %columns
columns:
  %j = phi i64 [ 0, %entry ], [ %j1, %next ]
  br label %head
head:
  %i = phi i64 [ 0, %columns ], [ %i1, %step ]
  %sum = phi {type_} [ 0.0, %columns ], [ %sum1, %step ]
  %chain = phi {type_} [ 0.0, %columns ], [ %chain2, %step ]
  %more = icmp ult i64 %i, %k
  br i1 %more, label %step, label %next
step:
  %pa = getelementptr {type_}, ptr %a, i64 %i
  %at = mul i64 %i, %n
  %at1 = add i64 %at, %j
  %pb = getelementptr {type_}, ptr %b, i64 %at1
  %x = load {type_}, ptr %pa
  %y = load {type_}, ptr %pb
  %chain1 = call {type_} @llvm.fma.{short}({type_} %x, {type_} %y, {type_} %chain)
  %i1 = add i64 %i, 1
  %whole = urem i64 %i1, 4096
  %full = icmp eq i64 %whole, 0
  %last = icmp eq i64 %i1, %k
  %ends = or i1 %full, %last
  %first = icmp ule i64 %i1, 4096
  %added = fadd {type_} %sum, %chain1
  %kept = select i1 %first, {type_} %chain1, {type_} %added
  %sum1 = select i1 %ends, {type_} %kept, {type_} %sum
  %chain2 = select i1 %ends, {type_} 0.0, {type_} %chain1
  br label %head
next:
  %pc = getelementptr {type_}, ptr %c, i64 %j
  store {type_} %sum, ptr %pc
  %j1 = add i64 %j, 1
  %all = icmp eq i64 %j1, %n
  br i1 %all, label %done, label %columns
done:
  ret void
}}
"""
    module, machine = optimized(text, Target.host(), jit=True)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, *[ctypes.c_int64] * 2)
    return engine, signature(engine.get_function_address("chain"))


def defined(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product that the definition gives, bit for bit, of (M, K) and (K, N)."""
    _, chain = reference_code({4: "float", 8: "double"}[a.itemsize])
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    out = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for row, result in zip(a, out, strict=True):
        chain(row.ctypes.data, b.ctypes.data, result.ctypes.data, b.shape[1], b.shape[0])  # type: ignore[operator]
    return out


def close(a: np.ndarray, b: np.ndarray, got: np.ndarray) -> bool:
    """Within K * eps * sum |a| |b| of the product."""
    wide = np.longdouble if a.dtype == np.float64 else np.float64
    exact = a.astype(wide) @ b.astype(wide)
    bound = np.abs(a).astype(wide) @ np.abs(b).astype(wide)
    return bool((np.abs(got - exact) <= a.shape[-1] * np.finfo(a.dtype).eps * bound).all())


def laid_out(shape: tuple[int, ...], layout: str, dtype: DType, seed: int) -> np.ndarray:
    """Random numbers whose last two axes lie as ``layout`` says."""
    numbers = np.random.default_rng(seed).standard_normal(shape).astype(dtype.numpy)
    if layout == COLUMN:
        return np.ascontiguousarray(numbers.swapaxes(-1, -2)).swapaxes(-1, -2)
    if layout == STRIDED:
        wider = np.full((*shape[:-2], 2 * shape[-2], 3 * shape[-1]), np.nan, dtype.numpy)
        wider[..., ::2, ::3] = numbers
        return wider[..., ::2, ::3]
    return numbers


def product_kernel(dtype: DType, a: str, b: str, batch: str = "", b_batch: str | None = None) -> Kernel:
    b_batch = batch if b_batch is None else b_batch
    return kernel(dtype, f"{batch}{a[0]}0{a[1]}", f"{b_batch}0{b[1]}{b[0]}", len(batch))


def multiply(
    a: np.ndarray,
    b: np.ndarray,
    layouts: tuple[str, str] = (ROW, ROW),
    target: Target | None = None,
    order: int = 1,
) -> np.ndarray:
    out = np.full((a.shape[0], b.shape[1]), np.nan, a.dtype)
    run(product_kernel(from_numpy(a.dtype), *layouts), [a, b, out], target, order)
    return out


SQUARE = [(n, n, n) for n in (1, 2, 7, 33, 64, 129, 300)]
ODD = [
    (1, 1000, 1000), (1000, 1, 1000), (1000, 1000, 1), (7, 33, 129), (3, 130, 2), (17, 5, 1000),
    (200, 40, 77), (64, 96, 512), (1, 131, 4097), (5, 70, 9000), (230, 300, 1500), (2, 513, 1030),
    (1000, 65, 31), (9, 1, 8200),
]  # fmt: skip


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
@pytest.mark.parametrize(("m", "n", "k"), SQUARE + ODD)
def test_values_and_bits(dtype: DType, m: int, n: int, k: int) -> None:
    a, b = laid_out((m, k), ROW, dtype, m), laid_out((k, n), ROW, dtype, n)
    got = multiply(a, b)
    assert close(a, b, got)
    assert same_bits(got, defined(a, b))


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
@pytest.mark.parametrize("layouts", list(product((ROW, COLUMN, STRIDED), repeat=2)), ids="-".join)
@pytest.mark.parametrize(
    ("m", "n", "k"), [(33, 129, 7), (1, 300, 257), (65, 1, 40), (210, 77, 130), (8, 64, 64)]
)
def test_every_layout_gives_the_same_bits(
    dtype: DType, layouts: tuple[str, str], m: int, n: int, k: int
) -> None:
    a, b = laid_out((m, k), layouts[0], dtype, m), laid_out((k, n), layouts[1], dtype, n)
    assert same_bits(multiply(a, b, layouts), defined(a, b))


@pytest.mark.parametrize("n", [33, 1])
def test_any_number_of_rows(n: int) -> None:
    for m in range(1, 42):
        a, b = laid_out((m, 50), ROW, float32, m), laid_out((50, n), ROW, float32, n)
        assert same_bits(multiply(a, b), defined(a, b))


@pytest.mark.parametrize("layouts", [(ROW, ROW), (COLUMN, ROW), (COLUMN, COLUMN)], ids="-".join)
@pytest.mark.parametrize(("m", "n"), [(520, 40), (264, 70), (100, 20)])
def test_small_results_of_a_long_k(m: int, n: int, layouts: tuple[str, str]) -> None:
    a, b = laid_out((m, 4200), layouts[0], float32, m), laid_out((4200, n), layouts[1], float32, n)
    assert same_bits(multiply(a, b, layouts), defined(a, b))


def test_a_long_k_is_cut_into_few_large_blocks() -> None:
    # As many as share the processors evenly, since each packs what it reads.
    sizes, strides = (256, 64, 50_000), ((1, 0, 256), (0, 1, 64), (64, 1, 0))
    (call,) = contraction.calls(
        product_kernel(float32, COLUMN, ROW), "f", sizes, strides, tuple(map(Pointer, range(3))), Pointer(3)
    )
    assert call.tiles <= max(2, processors())


def test_a_is_packed_where_its_steps_are_far_apart() -> None:
    a, b = laid_out((1100, 700), COLUMN, float32, 1), laid_out((700, 70), ROW, float32, 2)
    entry, _ = compiled(product_kernel(float32, COLUMN, ROW), Target.host())
    sizes, strides = (1100, 70, 700), ((1, 0, 1100), (0, 1, 70), (70, 1, 0))
    calls = contraction.calls(
        product_kernel(float32, COLUMN, ROW), entry, sizes, strides, tuple(map(Pointer, range(3))), Pointer(3)
    )
    assert [call.entry for call in calls] == [f"{entry}_pack", entry]
    assert same_bits(multiply(a, b, (COLUMN, ROW)), defined(a, b))


@pytest.mark.parametrize("target", host_targets(), ids=lambda t: f"{t.name}-{t.vector_bits}")
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
@pytest.mark.parametrize("layouts", [(ROW, ROW), (COLUMN, COLUMN)], ids="-".join)
def test_every_target_gives_the_same_bits(target: Target, dtype: DType, layouts: tuple[str, str]) -> None:
    for m, n, k in ((1, 1, 1), (13, 29, 31), (1, 261, 100), (97, 130, 260), (3, 33, 5000), (260, 100, 64)):
        a, b = laid_out((m, k), layouts[0], dtype, k), laid_out((k, n), layouts[1], dtype, n)
        assert same_bits(multiply(a, b, layouts, target), defined(a, b)), (m, n, k)


@pytest.mark.parametrize("k", [100, 1025, 4097])
@pytest.mark.parametrize("n", [10, 33, 250])
@pytest.mark.parametrize("b_layout", [ROW, COLUMN])
def test_a_row_has_the_same_bits_alone_and_in_any_batch(k: int, n: int, b_layout: str) -> None:
    b = laid_out((k, n), b_layout, float32, n)
    rows = laid_out((1000, k), ROW, float32, k)
    alone = np.concatenate([multiply(rows[i : i + 1], b, (ROW, b_layout)) for i in range(40)])
    for count in (*range(1, 18), 33, 1000):
        got = multiply(rows[:count], b, (ROW, b_layout))
        assert same_bits(got[:40], alone[:count]), count
    moved = multiply(np.roll(rows, 501, 0), b, (ROW, b_layout))
    assert same_bits(moved[501:541], alone)


def test_a_column_has_the_same_bits_at_every_position() -> None:
    a, b = laid_out((20, 300), ROW, float32, 1), laid_out((300, 517), ROW, float32, 2)
    whole = multiply(a, b)
    for start, stop in ((0, 1), (1, 2), (31, 40), (500, 517), (3, 260)):
        assert same_bits(multiply(a, np.ascontiguousarray(b[:, start:stop])), whole[:, start:stop])


def test_tiles_may_run_in_any_order() -> None:
    a, b = laid_out((400, 600), ROW, float32, 1), laid_out((600, 500), COLUMN, float32, 2)
    assert same_bits(multiply(a, b, (ROW, COLUMN), order=-1), defined(a, b))


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_batches_and_broadcasting(dtype: DType) -> None:
    for (m, n, k), b_layout in product([(5, 7, 9), (64, 64, 64), (230, 40, 33)], (ROW, COLUMN)):
        a, b = laid_out((2, 3, m, k), ROW, dtype, m), laid_out((2, 3, k, n), b_layout, dtype, n)
        cases = [
            (product_kernel(dtype, ROW, b_layout, "ss"), a, b),
            (product_kernel(dtype, ROW, b_layout, "ss", "0s"), a, b[:1]),
            (product_kernel(dtype, ROW, b_layout, "ss", "s0"), a, b[:, :1]),
            (product_kernel(dtype, ROW, b_layout, "ss", "00"), a, b[:1, :1]),
            (product_kernel(dtype, ROW, b_layout, "0s", "ss"), a[:1], b),
        ]
        for of, left, right in cases:
            got = np.full((2, 3, m, n), np.nan, dtype.numpy)
            run(of, [left, right, got])
            for i, j in np.ndindex(2, 3):
                wanted = defined(left[i % len(left), j], right[i % len(right), j % right.shape[1]])
                assert same_bits(got[i, j], wanted), (m, n, k, i, j)


def test_batches_are_one_tall_product_where_they_follow_one_another() -> None:
    of = product_kernel(float32, ROW, ROW, "s", "0")
    a, b = laid_out((50, 1, 64), ROW, float32, 1), laid_out((64, 64), ROW, float32, 2)
    sizes, strides = (50, 1, 64, 64), ((64, 64, 0, 1), (0, 0, 1, 64), (64, 64, 1, 0))
    merged = contraction.calls(of, "f", sizes, strides, tuple(map(Pointer, range(3))), Pointer(3))
    tall = contraction.calls(
        product_kernel(float32, ROW, ROW), "f", (50, 64, 64), tuple(s[1:] for s in strides),
        tuple(map(Pointer, range(3))), Pointer(3),
    )  # fmt: skip
    assert [(c.tiles, c.cost) for c in merged] == [(c.tiles, c.cost) for c in tall]
    got = np.full((50, 1, 64), np.nan, np.float32)
    run(of, [a, b, got])
    assert same_bits(got[:, 0], defined(a[:, 0], b))


def test_many_small_products_share_tiles() -> None:
    of = product_kernel(float32, ROW, ROW, "s")
    a, b = laid_out((3000, 4, 4), ROW, float32, 1), laid_out((3000, 4, 4), ROW, float32, 2)
    got = np.full((3000, 4, 4), np.nan, np.float32)
    run(of, [a, b, got])
    assert all(same_bits(got[i], defined(a[i], b[i])) for i in range(0, 3000, 37))


# Epilogues --------------------------------------------------------------------------------------

BIAS_RELU = kernel(
    epilogue=(
        Instr("load", float32, operand=2),
        Instr("add", float32, (2, 3)),
        Instr("relu", float32, (4,)),
        Instr("store", float32, (5,), operand=3),
    ),
    others=((float32, "in", "010"), (float32, "out", "s10")),
)
RESIDUAL = kernel(
    b="0s1",
    epilogue=(
        Instr("load", float32, operand=2),
        Instr("add", float32, (3, 2)),
        Instr("store", float32, (4,), operand=3),
    ),
    others=((float32, "in", "ss0"), (float32, "out", "s10")),
)
MASK = kernel(
    epilogue=(
        Instr("const", float32, number=0.0),
        Instr("gt", bool_, (2, 3)),
        Instr("relu", float32, (2,)),
        Instr("store", bool_, (4,), operand=2),
        Instr("store", float32, (5,), operand=3),
        Instr("cast", int32, (2,)),
        Instr("store", int32, (8,), operand=4),
    ),
    others=((bool_, "out", "s10"), (float32, "out", "ss0"), (int32, "out", "s10")),
)
EPILOGUE_SIZES = [
    (1, 1, 1),
    (5, 33, 70),
    (64, 64, 64),
    (1, 300, 1500),
    (130, 70, 1030),
    (9, 40, 9000),
    (300, 50, 5),
]


@pytest.mark.parametrize("target", host_targets(), ids=lambda t: f"{t.name}-{t.vector_bits}")
@pytest.mark.parametrize(("m", "n", "k"), EPILOGUE_SIZES)
def test_bias_and_relu(target: Target, m: int, n: int, k: int) -> None:
    a, b = laid_out((m, k), ROW, float32, m), laid_out((k, n), ROW, float32, n)
    bias = laid_out((1, n), ROW, float32, k)
    out = np.full((m, n), np.nan, np.float32)
    run(BIAS_RELU, [a, b, bias, out], target)
    assert same_bits(out, np.maximum(defined(a, b) + bias, np.float32(0)))


@pytest.mark.parametrize(("m", "n", "k"), EPILOGUE_SIZES)
def test_residual_of_any_layout(m: int, n: int, k: int) -> None:
    a, b = laid_out((m, k), ROW, float32, m), laid_out((k, n), COLUMN, float32, n)
    wanted = defined(a, b)
    for layout in (ROW, COLUMN, STRIDED):
        residual = laid_out((m, n), layout, float32, k)
        out = np.full((m, n), np.nan, np.float32)
        run(RESIDUAL, [a, b, residual, out])
        assert same_bits(out, residual + wanted)
    in_place = laid_out((m, n), ROW, float32, k)
    expected = in_place + wanted
    run(RESIDUAL, [a, b, in_place, in_place])
    assert same_bits(in_place, expected)


@pytest.mark.parametrize(("m", "n", "k"), EPILOGUE_SIZES)
def test_several_outputs_of_several_dtypes(m: int, n: int, k: int) -> None:
    a, b = laid_out((m, k), ROW, float32, m), laid_out((k, n), ROW, float32, n)
    mask, whole = np.full((m, n), 7, np.bool_), np.full((m, n), -1, np.int32)
    guarded = np.full((m, 2 * n), 7.0, np.float32)
    run(MASK, [a, b, mask, guarded[:, ::2], whole])
    wanted = defined(a, b)
    assert (mask == (wanted > 0)).all() and mask.view(np.uint8).max() < 2
    assert same_bits(guarded[:, ::2].copy(), np.maximum(wanted, np.float32(0)))
    assert (guarded[:, 1::2] == 7).all()
    assert (whole == wanted.astype(np.int32)).all()


def test_what_lies_around_the_output_is_left_alone() -> None:
    for m, n, k in ((5, 33, 70), (1, 200, 3), (70, 95, 1100), (250, 31, 20)):
        a, b = laid_out((m, k), ROW, float32, m), laid_out((k, n), ROW, float32, n)
        around = np.full((m + 2, n + 40), 7.0, np.float32)
        run(product_kernel(float32, ROW, ROW), [a, b, around[1:-1, 3 : n + 3]])
        assert same_bits(around[1:-1, 3 : n + 3].copy(), defined(a, b))
        around[1:-1, 3 : n + 3] = 7.0
        assert (around == 7.0).all()


def test_reads_stay_within_the_operands() -> None:
    """Operands end where a page that must not be touched begins."""
    import mmap

    page = mmap.PAGESIZE
    libc = ctypes.CDLL(None)
    held = []

    def at_the_end(array: np.ndarray) -> np.ndarray:
        size = -(-array.nbytes // page) * page
        mapping = mmap.mmap(-1, size + page)
        address = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
        assert libc.mprotect(ctypes.c_void_p(address + size), ctypes.c_size_t(page), 0) == 0
        held.append((mapping, address + size))
        out = np.frombuffer(mapping, array.dtype, array.size, size - array.nbytes).reshape(array.shape)
        out[:] = array
        return out

    for target in host_targets():
        for (m, n, k), transposed in product(
            [(5, 33, 70), (1, 200, 3), (70, 95, 40), (230, 65, 1100)], (0, 1)
        ):
            a, b = laid_out((m, k), ROW, float32, m), laid_out((k, n), ROW, float32, n)
            if transposed:
                left, right = at_the_end(a.T.copy()).T, at_the_end(b.T.copy()).T
                got = multiply(left, right, (COLUMN, COLUMN), target)
            else:
                got = multiply(at_the_end(a), at_the_end(b), target=target)
            assert same_bits(got, defined(a, b))


# Limits and launches ----------------------------------------------------------------------------


def test_no_steps_give_the_empty_sum() -> None:
    out = np.full((20, 70), np.nan, np.float32)
    run(
        product_kernel(float32, ROW, ROW), [np.zeros((20, 0), np.float32), np.zeros((0, 70), np.float32), out]
    )
    assert same_bits(out, np.zeros((20, 70), np.float32))
    bias = laid_out((1, 70), ROW, float32, 1)
    run(BIAS_RELU, [np.zeros((20, 0), np.float32), np.zeros((0, 70), np.float32), bias, out])
    assert same_bits(out, np.maximum(np.broadcast_to(bias, (20, 70)), np.float32(0)))


@pytest.mark.parametrize("sizes", [(0, 5, 5), (5, 0, 5)])
def test_no_output_is_no_launch(sizes: tuple[int, int, int]) -> None:
    of = product_kernel(float32, ROW, ROW)
    strides = ((5, 0, 1), (0, 1, 5), (5, 1, 0))
    assert contraction.workspace(of, sizes) == 0
    assert contraction.calls(of, "f", sizes, strides, tuple(map(Pointer, range(3))), Pointer(3)) == []


def test_infinities_and_nans_pass_through() -> None:
    a, b = laid_out((9, 40), ROW, float32, 1), laid_out((40, 50), ROW, float32, 2)
    a[3, 7], b[2, 4], b[1, 1] = np.inf, np.nan, -np.inf
    assert same_bits(multiply(a, b), defined(a, b))


def launches(m: int, n: int, k: int, b: str = ROW) -> list[int]:
    of = product_kernel(float32, ROW, b)
    strides = ((k, 0, 1), (0, 1, n) if b == ROW else (0, k, 1), (n, 1, 0))
    calls = contraction.calls(of, "f", (m, n, k), strides, tuple(map(Pointer, range(3))), Pointer(3))
    return [call.tiles for call in calls]


def test_small_products_are_one_tile_and_large_ones_many() -> None:
    assert launches(64, 64, 64) == [1]
    assert launches(64, 64, 64, COLUMN) == [1]
    assert launches(7, 33, 129) == [1]
    assert launches(1, 100, 100) == [1]
    assert 2 <= launches(1, 1000, 1000)[-1] <= 16
    for n in (512, 1024, 2048):
        assert 64 <= launches(n, n, n)[-1] <= 1024
    assert len(launches(64, 1024, 4096)) == 1


def test_workspace_is_bounded_by_the_operands() -> None:
    for m, n, k in ((64, 64, 64), (512, 512, 512), (2048, 2048, 2048), (64, 1024, 4096), (4096, 4096, 4096)):
        for of in (product_kernel(float32, COLUMN, COLUMN), BIAS_RELU):
            size = contraction.workspace(of, (m, n, k))
            assert size <= 4 * 2 * (m * k + k * n + m * n) + 64 * 2**20 // 8, (m, n, k, size)


def test_other_products_are_refused() -> None:
    with pytest.raises(ValueError, match="int32"):
        contraction.lower(kernel(int32), Target.host())
    twice = kernel(epilogue=(Instr("contract", float32, (0, 1)), Instr("store", float32, (3,), operand=2)),
                   others=((float32, "out", "s10"),))  # fmt: skip
    with pytest.raises(ValueError, match="once"):
        contraction.lower(twice, Target.host())


# Machine code -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [Target.avx512(), Target.avx512(256), Target.avx2(), Target.neon()],
    ids=lambda t: f"{t.name}-{t.vector_bits}",
)
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_micro_kernels_keep_everything_in_registers(target: Target, dtype: DType) -> None:
    of = product_kernel(dtype, ROW, ROW)
    entry, text = contraction.lower(of, target)
    shape = shape_for(of, target)
    blocks = [(height, shape.vectors) for height in shape.heights] + [(1, shape.wide)]
    written = asm.functions(jit.assembly(text, target, optimise=False))
    for height, vectors in blocks:
        body = written[f"{entry}_micro_{height}x{vectors}"]
        loop = asm.hottest_loop(body)
        assert asm.multiply_adds(loop) == height * vectors
        assert not asm.spills(loop, body, target) and not asm.calls(loop)
        assert not asm.scalar_arithmetic(loop, target)


def test_machine_code_calls_nothing() -> None:
    for target in (Target.avx512(), Target.avx2(), Target.neon()):
        _, text = contraction.lower(BIAS_RELU, target)
        assert "inttoptr" not in text and " fast " not in text
        jit.compile_object(text, target, optimise=False)  # refuses code that asks for a library's symbol
