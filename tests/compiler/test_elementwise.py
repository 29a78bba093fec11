"""Elementwise kernels: every operation and dtype, layouts, tails, and the same bits everywhere."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest

from flambeau.compiler import elementwise, scalar_ops
from flambeau.compiler.kernel import Instr, Kernel, Pointer
from flambeau.compiler.target import Target
from flambeau.dtypes import (
    ALL,
    DType,
    bfloat16,
    bool_,
    complex64,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint32,
    uint64,
)  # fmt: skip
from flambeau.primitives.numerics import floor_divide
from tests.compiler.builders import AXES, host_targets, operand, run, same_bits, simple
from tests.compiler.jit import assembly

SIZES = (1, 2, 7, 31, 32, 33, 1000, 4097)
REAL = [d for d in ALL if d.kind != "complex"]


def samples(dtype: DType, size: int, seed: int) -> np.ndarray:
    """Numbers of all sizes with the special ones among them."""
    g = np.random.default_rng(seed)
    if dtype is bool_:
        return g.integers(0, 2, size).astype(bool)
    if dtype.kind in ("int", "uint"):
        info = np.iinfo(dtype.numpy)
        wide = g.integers(info.min, info.max, size, dtype.numpy, endpoint=True)
        small = g.integers(0 if dtype.kind == "uint" else -3, 4, size).astype(dtype.numpy)
        return np.where(g.uniform(size=size) < 0.5, wide, small)
    numbers = (g.standard_normal(size) * 10.0 ** g.integers(-3, 3, size)).astype(dtype.numpy)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 0.5, 1.5, 2.5, -2.5]).astype(dtype.numpy)
    at = g.uniform(size=size) < 0.3
    numbers[at] = g.choice(special, int(at.sum()))
    return numbers


def sixteen_bits(dtype: DType) -> bool:
    return dtype.floating and dtype.itemsize == 2


def reference(op: str, arrays: list[np.ndarray], dtype: DType) -> np.ndarray:
    """What NumPy says; 16-bit floats through float32."""
    x = [a.astype(np.float32) if a.dtype.itemsize == 2 and a.dtype.kind not in "iu" else a for a in arrays]
    ones = x[0].dtype.type(1) if x[0].dtype != bool else True
    rules: dict[str, Any] = {
        "neg": np.negative, "abs": np.abs, "sign": np.sign, "sqrt": np.sqrt, "square": lambda a: a * a,
        "rsqrt": lambda a: ones / np.sqrt(a), "reciprocal": lambda a: ones / a,
        "floor": np.floor, "ceil": np.ceil, "round": np.rint, "trunc": np.trunc,
        "relu": lambda a: np.where(a <= 0, a.dtype.type(0), a),
        "is_nan": np.isnan, "is_inf": np.isinf, "is_finite": np.isfinite,
        "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
        "maximum": np.maximum, "minimum": np.minimum, "select": np.where,
        "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal,
        "gt": np.greater, "ge": np.greater_equal,
        "bitwise_not": np.invert, "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or,
        "bitwise_xor": np.bitwise_xor, "logical_not": np.logical_not, "logical_and": np.logical_and,
        "logical_or": np.logical_or, "logical_xor": np.logical_xor,
        "shift_left": np.left_shift, "shift_right": np.right_shift,
        "floor_div": floor_divide, "mod": np.remainder, "copysign": np.copysign, "signbit": np.signbit,
        "bitcast": lambda a: a,
    }  # fmt: skip
    if op == "fma":
        if x[0].dtype.kind in "iu":
            return x[0] * x[1] + x[2]
        if x[0].dtype == np.float32:  # exact products in float64; the sum rounded twice hardly ever matters
            return (x[0].astype(np.float64) * x[1] + x[2]).astype(np.float32).astype(dtype.numpy)
        exact = [a.astype(np.longdouble) for a in x]
        return (exact[0] * exact[1] + exact[2]).astype(dtype.numpy)
    if op == "nextafter":  # in the dtype itself
        return np.nextafter(*arrays)
    if op in ("floor", "ceil", "round", "trunc") and x[0].dtype.kind in "biu":
        return x[0]
    return np.asarray(rules[op](*x)).astype(dtype.numpy)


def combinations() -> list[tuple[str, DType]]:
    """Every operation with every dtype of its last operand that is supported."""
    found = []
    plain = sorted(scalar_ops.OPS - {"cast", *scalar_ops.TRANSCENDENTAL})
    for op, dtype in itertools.product(plain, REAL):
        if layout(op, dtype) is not None:
            found.append((op, dtype))
    return found


def layout(op: str, dtype: DType) -> tuple[tuple[DType, ...], DType] | None:
    """The operands' dtypes and the result's, or None where there is no such operation."""
    for operands in ((dtype,), (dtype,) * 2, (dtype,) * 3, (bool_, dtype, dtype)):
        for result in (dtype, bool_):
            if scalar_ops.supports(op, result, operands):
                return operands, result
    return None


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("op", "dtype"), combinations(), ids=lambda p: str(p))
def test_operation(op: str, dtype: DType) -> None:
    found = layout(op, dtype)
    assert found is not None
    operands, result = found
    size = 517
    arrays = [samples(d, size, seed) for seed, d in enumerate(operands)]
    out = np.zeros(size, result.numpy)
    run(simple(op, operands, result), [*arrays, out], (size,))
    expected = reference(op, arrays, result)
    if op == "fma" and dtype.floating:
        bits = {2: 0, 4: 1e-7, 8: 3e-16}[dtype.itemsize]
        assert np.allclose(out.astype(float), expected.astype(float), rtol=bits, equal_nan=True)
    elif op in ("maximum", "minimum"):
        wide = np.float32 if sixteen_bits(dtype) else out.dtype
        np.testing.assert_array_equal(
            out.astype(wide), expected.astype(wide)
        )  # which zero is larger is not defined
    else:
        assert same_bits(out, expected), [
            (a[out != expected][:4], expected[out != expected][:4]) for a in arrays
        ]


def test_what_is_not_supported() -> None:
    assert not scalar_ops.supports("add", complex64, (complex64, complex64))
    assert not scalar_ops.supports("exp", int32, (int32,))
    assert not scalar_ops.supports("add", float32, (float32, float64))
    assert not scalar_ops.supports("add", float32, (float32,))
    assert not scalar_ops.supports("sub", bool_, (bool_, bool_))
    assert not scalar_ops.supports("bitwise_and", float32, (float32, float32))
    assert not scalar_ops.supports("eq", float32, (float32, float32))
    assert not scalar_ops.supports("conjugate", float32, (float32,))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("source", REAL, ids=str)
@pytest.mark.parametrize("to", REAL, ids=str)
def test_cast(source: DType, to: DType) -> None:
    x = samples(source, 517, 3)
    if source.floating and to.kind in ("int", "uint"):
        info = np.iinfo(to.numpy)
        wide = x.astype(np.float64)
        x = x[np.isfinite(wide) & (wide > float(info.min) - 0.5) & (wide < float(info.max) * 0.99)]
    out = np.zeros(x.size, to.numpy)
    run(simple("cast", (source,), to), [x, out], x.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        middle = x.astype(np.float32) if sixteen_bits(source) else x
        middle = middle.astype(np.float32) if to is bfloat16 and source is not float64 else middle
        expected = middle.astype(to.numpy)
    if not (source is float64 and to is bfloat16):
        assert same_bits(out, expected)


def test_float64_is_rounded_once_to_sixteen_bits() -> None:
    x = np.array([1 + 2.0**-8 + 2.0**-40, 1 + 2.0**-8, 1 + 3 * 2.0**-8 - 2.0**-40, -1 - 2.0**-8 - 2.0**-40])
    out = np.zeros(4, bfloat16.numpy)
    run(simple("cast", (float64,), bfloat16), [x, out], x.shape)
    assert out.astype(float).tolist() == [1 + 2.0**-7, 1, 1 + 2.0**-7, -1 - 2.0**-7]
    x = 1 + np.array([2.0**-11 + 2.0**-40, 2.0**-11, 3 * 2.0**-11 - 2.0**-40])
    half = np.zeros(3, np.float16)
    run(simple("cast", (float64,), float16), [x, half], x.shape)
    assert same_bits(half, x.astype(np.float16))


def test_numbers_out_of_range_become_the_nearest_integer() -> None:
    x = np.array([1e30, -1e30, np.inf, -np.inf, np.nan, 300.7, -300.7], np.float32)
    for to in (int8, int32, int64, uint8, uint32, uint64):
        info = np.iinfo(to.numpy)
        out = np.zeros(x.size, to.numpy)
        run(simple("cast", (float32,), to), [x, out], x.shape)
        low, high = max(-300, info.min), min(300, info.max)
        assert out.tolist() == [info.max, info.min, info.max, info.min, 0, high, low]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("target", host_targets(), ids=lambda t: t.key[:10])
@pytest.mark.parametrize("size", SIZES)
def test_sizes_and_nothing_beyond_them(target: Target, size: int) -> None:
    for dtype in (float32, float64, int16, bool_):
        op = "bitwise_xor" if dtype is bool_ else "add"
        a, b = samples(dtype, size, 1), samples(dtype, size, 2)
        guarded = np.ones(size + 64, dtype.numpy)
        run(simple(op, (dtype, dtype), dtype), [a, b, guarded[:size]], (size,), target)
        assert same_bits(guarded[:size], reference(op, [a, b], dtype))
        assert (guarded[size:] == 1).all()


def three_axes(a: str, b: str, out: str) -> Kernel:
    """out = a * b + a, over two outer axes and one in vectors."""
    f = float32
    body = (
        Instr("load", f, operand=0),
        Instr("load", f, operand=1),
        Instr("mul", f, (0, 1)),
        Instr("add", f, (2, 0)),
        Instr("store", f, (3,), operand=2),
    )
    return Kernel(
        "elementwise",
        tuple(AXES[k] for k in "GGV"),
        (operand(f, "in", a), operand(f, "in", b), operand(f, "out", out)),
        body,
    )


SHAPES = ((1, 1, 1), (3, 5, 7), (2, 70, 33), (1, 100, 4097), (9, 1, 1000), (130, 31, 3))


@pytest.mark.parametrize("target", host_targets(), ids=lambda t: t.key[:10])
@pytest.mark.parametrize("shape", SHAPES)
def test_strides_and_broadcasts(target: Target, shape: tuple[int, int, int]) -> None:
    g = np.random.default_rng(0)
    p, q, r = shape
    turned = g.standard_normal((r, p, q)).astype(np.float32).transpose(1, 2, 0)
    plain = g.standard_normal(shape).astype(np.float32)
    spread = {
        "ss1": plain,
        "0s1": plain[:1],
        "s01": plain[:, :1],
        "001": plain[:1, :1],
        "ss0": plain[:, :, :1],
        "000": plain[:1, :1, :1],
        "sss": plain[::-1, ::-1, ::-1],
    }
    for layout_, other in spread.items():
        out = np.full(shape, np.nan, np.float32)
        run(three_axes("sss", layout_, "ss1"), [turned, other, out], shape, target)
        assert same_bits(out, turned * other + turned), layout_
        out = np.full((r, p, q), np.nan, np.float32)
        run(three_axes("ss1", layout_, "sss"), [plain, other, out.transpose(1, 2, 0)], shape, target)
        assert same_bits(out.transpose(1, 2, 0), plain * other + plain), layout_


def test_eight_axes() -> None:
    shape = (2, 3, 1, 2, 3, 2, 2, 5)
    x = np.random.default_rng(0).standard_normal(shape[::-1]).astype(np.float32).T
    out = np.empty(shape, np.float32)
    body = (Instr("load", float32, operand=0), Instr("store", float32, (0,), operand=1))
    layout_ = (operand(float32, "in", "s" * 8), operand(float32, "out", "s" * 7 + "1"))
    run(Kernel("elementwise", tuple(AXES[k] for k in "G" * 7 + "V"), layout_, body), [x, out], shape)
    assert (out == x).all()


def test_a_kernel_without_axes_is_one_point() -> None:
    kernel = simple("add", (float32, float32), float32, axes="", strides="")
    a, b, out = (np.array([v], np.float32)[0:1].reshape(()) for v in (1, 2, 0))
    run(kernel, [a, b, out], ())
    assert out == 3


def test_in_place() -> None:
    for size in (33, 100_003):
        x = np.random.default_rng(0).standard_normal(size).astype(np.float32)
        expected = x * x
        run(simple("square", (float32,), float32), [x, x], (size,))
        assert same_bits(x, expected)


def test_nothing_to_do_is_no_call() -> None:
    empty = np.empty((3, 0), np.float32)
    kernel = simple("neg", (float32,), float32, "GV", "s1")
    assert run(kernel, [empty, empty], (3, 0)) == 0


def chain(dtype: DType) -> Kernel:
    """Constants, a fused chain and two outputs."""
    body = (
        Instr("load", dtype, operand=0),
        Instr("const", dtype, number=0.1),
        Instr("mul", dtype, (0, 1)),
        Instr("tanh", dtype, (2,)),
        Instr("store", dtype, (3,), operand=1),
        Instr("lt", bool_, (3, 0)),
        Instr("select", dtype, (5, 3, 0)),
        Instr("store", dtype, (6,), operand=2),
    )
    return Kernel(
        "elementwise", (AXES["V"],), tuple(operand(dtype, r, "1") for r in ("in", "out", "out")), body
    )


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", [float16, bfloat16, float32, float64], ids=str)
def test_fused_is_unfused(dtype: DType) -> None:
    x = samples(dtype, 1003, 5)
    tanh, picked = np.empty_like(x), np.empty_like(x)
    run(chain(dtype), [x, tanh, picked], x.shape)
    scaled, alone = np.empty_like(x), np.empty_like(x)
    tenth = np.array([0.1], dtype.numpy)
    run(simple("mul", (dtype, dtype), dtype, "GV", "01"), [x, np.repeat(tenth, x.size), scaled], (1, x.size))
    run(simple("tanh", (dtype,), dtype), [scaled, alone], x.shape)
    assert same_bits(alone, tanh)
    assert same_bits(picked, np.where(tanh < x, tanh, x))


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_the_same_bits_for_every_width_and_place(dtype: DType) -> None:
    x = samples(dtype, 700, 6)
    first, second = np.empty_like(x), np.empty_like(x)
    targets = host_targets()
    run(chain(dtype), [x, first, second], x.shape, targets[0])
    for target in targets:
        for start, size in ((0, 700), (1, 699), (693, 7), (5, 1), (37, 65)):
            part = x[start : start + size].copy()
            a, b = np.empty_like(part), np.empty_like(part)
            run(chain(dtype), [part, a, b], part.shape, target, order=-1)
            assert same_bits(a, first[start : start + size])
            assert same_bits(b, second[start : start + size])


def test_tiles_do_not_depend_on_anything_but_sizes() -> None:
    kernel = simple("add", (float32, float32), float32)
    pointers = (Pointer(0), Pointer(1), Pointer(2))
    (call,) = elementwise.calls(kernel, "entry", (1_000_000,), ((1,), (1,), (1,)), pointers)
    assert 16 <= call.tiles < 500
    assert call.args[:3] == pointers
    (call,) = elementwise.calls(kernel, "entry", (100,), ((1,), (1,), (1,)), pointers)
    assert call.tiles == 1


def test_names_tell_kernels_and_targets_apart() -> None:
    names = {
        elementwise.lower(simple(op, (d, d), d), t)[0]
        for op, d, t in itertools.product(
            ("add", "sub"), (float32, float64), (Target.avx2(), Target.avx2(128), Target.neon())
        )
    }
    assert len(names) == 12
    again = elementwise.lower(simple("add", (float32, float32), float32), Target.avx2())[0]
    assert again in names


@pytest.mark.parametrize("target", [Target.avx512(), Target.avx2(), Target.neon()], ids=lambda t: t.name)
@pytest.mark.parametrize("dtype", [float16, bfloat16, float32, float64], ids=str)
def test_assembly_has_no_calls(target: Target, dtype: DType) -> None:
    for kernel in (chain(dtype), simple("cast", (float64,), dtype), simple("cast", (int64,), dtype)):
        code = assembly(elementwise.lower(kernel, target)[1], target)
        assert "\tcall" not in code and "\tbl\t" not in code, code


def test_assembly_has_no_scalar_tail() -> None:
    code = assembly(
        elementwise.lower(simple("mul", (float32, float32), float32), Target.avx512())[1], Target.avx512()
    )
    assert "vmulps" in code and "mulss" not in code
    assert "{%k" in code  # the tail's mask


@pytest.mark.parametrize("dtype", [int8, int32, int64, uint8, uint64], ids=str)
def test_powers_of_integers(dtype: DType) -> None:
    g = np.random.default_rng(0)
    x = samples(dtype, 517, 0)
    y = g.integers(0, 70, 517).astype(dtype.numpy)
    out = np.zeros_like(x)
    run(simple("pow", (dtype, dtype), dtype), [x, y, out], (517,))
    np.testing.assert_array_equal(out, np.power(x, y))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_remainders_of_far_larger_numbers_are_exact(dtype: DType) -> None:
    g = np.random.default_rng(0)
    info = np.finfo(dtype.numpy)
    x, y = (
        (g.standard_normal(2000) * 2.0 ** g.integers(info.minexp + 2, info.maxexp - 3, 2000)).astype(
            dtype.numpy
        )
        for _ in range(2)
    )
    for op, rule in (("mod", np.remainder), ("floor_div", floor_divide)):
        out = np.zeros_like(x)
        run(simple(op, (dtype, dtype), dtype), [x, y, out], x.shape)
        expected = rule(x, y)
        if op == "mod":
            np.testing.assert_array_equal(out, expected)
        else:
            np.testing.assert_allclose(out, expected, rtol=2 * info.eps)
