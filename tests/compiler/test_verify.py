"""The grammar of kernels: right ones pass, and every way of being wrong has its message."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flambeau.compiler.kernel import AxisKind, Instr, Kernel, Operand, Role, Stride
from flambeau.compiler.verify import verify_kernel
from flambeau.dtypes import bool_, float32, float64, int32
from flambeau.errors import VerificationError

GRID, VECTOR, REDUCE = AxisKind.GRID, AxisKind.VECTOR, AxisKind.REDUCE
ZERO, ONE, ANY = Stride.ZERO, Stride.ONE, Stride.ANY


def _in(*strides, dtype=float32):
    return Operand(dtype, Role.IN, strides)


def _out(*strides, dtype=float32):
    return Operand(dtype, Role.OUT, strides)


def load(operand, dtype=float32):
    return Instr("load", dtype, operand=operand)


def store(operand, value, dtype=float32):
    return Instr("store", dtype, (value,), operand=operand)


def op(name, *args, dtype=float32):
    return Instr(name, dtype, args)


def number(value, dtype=float32):
    return Instr("const", dtype, number=value)


ADD = Kernel(
    "elementwise",
    (GRID, VECTOR),
    (_in(ANY, ONE), _in(ZERO, ONE), _out(ANY, ONE)),
    (load(0), load(1), op("add", 0, 1), number(0.0), op("maximum", 2, 3), store(2, 4)),
)
# The log of a row's sum of exponentials: the values are read by two reductions.
LOGSUMEXP = Kernel(
    "reduction",
    (GRID, REDUCE),
    (_in(ANY, ONE), _out(ONE, ZERO)),
    (
        load(0),
        op("reduce_max", 0),
        op("sub", 0, 1),
        op("exp", 2),
        op("reduce_sum", 3),
        op("log", 4),
        op("add", 5, 1),
        store(1, 6),
    ),
)
# The exponentials that a second pass has summed are divided by their sum in a third.
SOFTMAX = Kernel(
    "normalization",
    (GRID, REDUCE),
    (_in(ANY, ONE), _out(ANY, ONE)),
    (*LOGSUMEXP.body[:5], op("div", 3, 4), store(1, 5)),
)
GEMM = Kernel(
    "contraction",
    (GRID, VECTOR, REDUCE),
    (_in(ANY, ZERO, ONE), _in(ZERO, ONE, ANY), _in(ZERO, ONE, ZERO), _out(ANY, ONE, ZERO)),
    (load(0), load(1), op("contract", 0, 1), load(2), op("add", 2, 3), op("relu", 4), store(3, 5)),
)


def _refused(kernel, match, **changes):
    with pytest.raises(VerificationError, match=match):
        verify_kernel(replace(kernel, **changes))


def _with(kernel, position, instr):
    """The kernel's body with one instruction replaced."""
    return (*kernel.body[:position], instr, *kernel.body[position + 1 :])


@pytest.mark.parametrize("kernel", [ADD, LOGSUMEXP, SOFTMAX, GEMM], ids=lambda k: k.family)
def test_kernels_that_pass(kernel):
    verify_kernel(kernel)


def test_more_that_passes():
    copy = Kernel("elementwise", (), (_in(), _out()), (load(0), store(1, 0)))
    verify_kernel(copy)
    mask = (load(0), load(1), op("lt", 0, 1, dtype=bool_), op("select", 2, 0, 1), store(2, 3))
    verify_kernel(replace(ADD, body=mask))
    # A value that varies along the reduced axis may be stored before the reduction.
    both = (load(0), op("square", 0), store(2, 1), op("reduce_sum", 1), store(1, 3))
    operands = (_in(ANY, ONE), _out(ONE, ZERO), _out(ANY, ONE))
    verify_kernel(Kernel("reduction", (GRID, REDUCE), operands, both))
    wide = (
        load(0),
        op("cast", 0, dtype=float64),
        op("reduce_sum", 1, dtype=float64),
        op("cast", 2),
        store(1, 3),
    )
    verify_kernel(replace(LOGSUMEXP, body=wide))


def test_families_and_their_axes():
    _refused(ADD, "no family of kernels called 'stencil'", family="stencil")
    _refused(ADD, "last axis of an elementwise kernel must be VECTOR", axes=(VECTOR, GRID))
    _refused(ADD, "an elementwise kernel has no REDUCE axis", axes=(REDUCE, VECTOR))
    _refused(ADD, "an elementwise kernel has no REDUCE axis", body=_with(ADD, 2, op("reduce_sum", 0)))
    _refused(LOGSUMEXP, "a reduction kernel needs a REDUCE axis", axes=(GRID, VECTOR))
    _refused(GEMM, "a contraction kernel needs a REDUCE axis", axes=(GRID, GRID, VECTOR))
    _refused(GEMM, "has GRID axes, then VECTOR axes, then REDUCE axes", axes=(GRID, REDUCE, VECTOR))
    _refused(LOGSUMEXP, "one reduce_", body=(load(0), store(1, 0)))
    _refused(SOFTMAX, "a normalization kernel needs a REDUCE axis", axes=(GRID, GRID))
    for axes in ((REDUCE, GRID), (GRID, VECTOR, REDUCE), (REDUCE, VECTOR)):
        operands = tuple(replace(o, strides=(ANY,) * len(axes)) for o in SOFTMAX.operands)
        _refused(SOFTMAX, "has GRID axes, then REDUCE axes", axes=axes, operands=operands)
    _refused(SOFTMAX, "one reduce_", body=(load(0), op("exp", 0), store(1, 1)))
    _refused(SOFTMAX, "and no contraction", body=_with(SOFTMAX, 2, op("contract", 0, 0)))
    _refused(GEMM, "contracts exactly once .* not 2 and 0", body=_with(GEMM, 4, op("contract", 0, 1)))
    _refused(GEMM, "contracts exactly once .* not 1 and 1", body=_with(GEMM, 5, op("reduce_sum", 4)))
    _refused(ADD, "axis 0 of the elementwise kernel is 'grid', not an AxisKind", axes=("grid", VECTOR))


def test_operands():
    a, b, out = ADD.operands
    _refused(ADD, "operand 1 .* has 1 strides for 2 axes", operands=(a, replace(b, strides=(ONE,)), out))
    _refused(ADD, "has stride 4 along axis 1", operands=(a, replace(b, strides=(ONE, 4)), out))
    _refused(ADD, "operand 0 .* needs a Role and a DType", operands=(replace(a, role="in"), b, out))
    _refused(ADD, "operand 0 .* needs a Role and a DType", operands=(replace(a, dtype="float32"), b, out))


@pytest.mark.parametrize("arg", [2, 3, -1, 9, True])
def test_arguments_are_earlier_values(arg):
    _refused(ADD, f"instruction 2 .*, add, uses value {arg}", body=_with(ADD, 2, op("add", 0, arg)))


def test_stores_have_no_value():
    body = (load(0), store(2, 0), op("neg", 1))
    _refused(ADD, "neg, uses value 1, a store, which has no value", body=body)


def test_numbers_of_arguments():
    _refused(
        LOGSUMEXP, "reduce_max, has 2 arguments where 1", body=_with(LOGSUMEXP, 1, op("reduce_max", 0, 0))
    )
    _refused(GEMM, "contract, has 1 arguments where 2", body=_with(GEMM, 2, op("contract", 0)))
    _refused(ADD, "store, has 0 arguments where 1", body=_with(ADD, 5, Instr("store", float32, operand=2)))
    _refused(ADD, r"add, cannot give float32 from \(float32\)", body=_with(ADD, 2, op("add", 0)))


def test_loads_and_stores():
    _refused(ADD, "load, reads operand 2, whose role is out", body=_with(ADD, 1, load(2)))
    _refused(ADD, "store, writes operand 0, whose role is in", body=_with(ADD, 5, store(0, 4)))
    _refused(ADD, "load, names operand 3 of 3", body=_with(ADD, 1, load(3)))
    _refused(ADD, "load, names operand -1 of 3", body=_with(ADD, 1, load(-1)))
    _refused(ADD, "load, reads operand 2", body=(*ADD.body, load(2)))
    _refused(
        ADD, "add, names operand 1; only load and store", body=_with(ADD, 2, Instr("add", float32, (0, 1), 1))
    )
    _refused(ADD, "store, stores operand 2 again, after instruction 5", body=(*ADD.body, store(2, 4)))
    _refused(ADD, "never stores operand 2, an output", body=ADD.body[:-1])


def test_dtypes():
    _refused(ADD, "load, of float64 names operand 0 of float32", body=_with(ADD, 0, load(0, float64)))
    _refused(ADD, "store, of float64 names operand 2 of float32", body=_with(ADD, 5, store(2, 4, float64)))
    mixed = (load(0), op("cast", 0, dtype=float64), op("add", 0, 1), store(2, 2))
    _refused(ADD, r"add, cannot give float32 from \(float32, float64\)", body=mixed)
    _refused(ADD, "store, of float64 names operand 2", body=(*mixed[:2], store(2, 1, float64)))
    _refused(ADD, r"frobnicate, cannot give", body=_with(ADD, 2, op("frobnicate", 0, 1)))
    widened = _with(LOGSUMEXP, 1, op("reduce_max", 0, dtype=float64))
    _refused(LOGSUMEXP, "reduce_max, gives float64 from float32: cast", body=widened)
    cast = (load(0), op("cast", 0, dtype=float64), op("contract", 0, 1), store(3, 2))
    _refused(GEMM, "contract, multiplies float32 by float64", body=cast)


@pytest.mark.parametrize(
    ("value", "dtype"), [(1, float32), (None, float32), (1.0, int32), (True, int32), (0, bool_)]
)
def test_numbers_suit_their_dtype(value, dtype):
    _refused(ADD, f"const, of {dtype} has the number {value!r}", body=_with(ADD, 3, number(value, dtype)))


def test_only_constants_have_numbers():
    instr = Instr("add", float32, (0, 1), number=2.0)
    _refused(ADD, "add, has the number 2.0; only const", body=_with(ADD, 2, instr))


def test_points_do_not_overwrite_each_other():
    operands = (*ADD.operands[:2], _out(ZERO, ONE))
    _refused(ADD, "stores value 4, which varies along axis 0, to operand 2", operands=operands)
    # A value that does not vary along the axis may be stored there.
    row = (load(1), op("neg", 0), store(2, 1))
    verify_kernel(replace(ADD, operands=operands, body=row))
    inside = Kernel("reduction", (GRID, REDUCE), (_in(ANY, ONE), _out(ONE, ZERO), _out(ONE, ZERO)), (
        load(0), store(1, 0), op("reduce_sum", 0), store(2, 2)))  # fmt: skip
    _refused(inside, "stores value 0, which varies along axis 1, to operand 1")
    row = (SOFTMAX.operands[0], _out(ONE, ZERO))
    _refused(SOFTMAX, "stores value 5, which varies along axis 1, to operand 1", operands=row)


def test_what_was_reduced_is_gone():
    _refused(
        SOFTMAX,
        "needs, after the reduction at 4, value 5, which varies along REDUCE axis 1",
        family="reduction",
    )
    epilogue = (*GEMM.body[:4], op("add", 2, 0), op("relu", 4), store(3, 5))
    _refused(GEMM, "after the reduction at 2, value 5, which varies along REDUCE axis 2", body=epilogue)
