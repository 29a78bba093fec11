"""The work of kernels, told from their bodies alone."""

from __future__ import annotations

import pytest

from flambeau.compiler.kernel import AxisKind, Instr, Kernel, Operand, Role, Stride
from flambeau.compiler.tasks import Task
from flambeau.compiler.views import View
from flambeau.dtypes import bool_, float32, float64
from flambeau.engine.work import fused, work_of
from flambeau.graph.types import TensorType

ROWS, LENGTH = 50, 300
GRID, VECTOR, REDUCE = AxisKind.GRID, AxisKind.VECTOR, AxisKind.REDUCE


def _softmax() -> Task:
    """Several passes over a row, in a family that nobody has heard of."""
    body = (
        Instr("load", float32, operand=0),
        Instr("reduce_max", float32, (0,)),
        Instr("sub", float32, (0, 1)),
        Instr("exp", float32, (2,)),
        Instr("reduce_sum", float32, (3,)),
        Instr("reciprocal", float32, (4,)),  # once a row
        Instr("load", float32, operand=1),
        Instr("mul", float32, (5, 6)),  # once a row too
        Instr("mul", float32, (3, 7)),
        Instr("store", float32, (8,), operand=2),
    )
    operands = (
        Operand(float32, Role.IN, (Stride.ANY, Stride.ONE)),
        Operand(float32, Role.IN, (Stride.ANY, Stride.ZERO)),
        Operand(float32, Role.OUT, (Stride.ANY, Stride.ONE)),
    )
    strides = ((LENGTH, 1), (1, 0), (LENGTH, 1))
    places = [View(0, (ROWS, LENGTH), (LENGTH, 1)), View(1, (ROWS, LENGTH), (1, 0)), 2]
    return Task(Kernel("several passes", (GRID, REDUCE), operands, body), (ROWS, LENGTH), strides, places)


def _types(v: int) -> TensorType:
    return TensorType((ROWS,) if v == 1 else (ROWS, LENGTH), float32)


def test_several_passes_over_a_row() -> None:
    work = work_of(_softmax(), _types)
    points = ROWS * LENGTH
    assert work.flops == 5 * points + 2 * ROWS
    assert work.read == 4 * (points + ROWS)
    assert work.written == 4 * points
    assert work.products == 0
    assert 5 * points < work.steps < 100 * points
    assert fused(_softmax()) == ("max", "sub", "exp", "sum", "reciprocal", "mul", "mul")


@pytest.mark.parametrize("dtype", [float32, float64])
def test_a_product_with_an_epilogue(dtype) -> None:
    m, n, k = 4, 8, 100
    body = (
        Instr("load", dtype, operand=0),
        Instr("load", dtype, operand=1),
        Instr("contract", dtype, (0, 1)),
        Instr("const", dtype, number=0.0),
        Instr("gt", bool_, (2, 3)),
        Instr("select", dtype, (4, 2, 3)),
        Instr("add", dtype, (5, 5)),
        Instr("store", dtype, (6,), operand=2),
    )
    operands = (
        Operand(dtype, Role.IN, (Stride.ANY, Stride.ZERO, Stride.ONE)),
        Operand(dtype, Role.IN, (Stride.ZERO, Stride.ONE, Stride.ANY)),
        Operand(dtype, Role.OUT, (Stride.ANY, Stride.ONE, Stride.ZERO)),
    )
    strides = ((k, 0, 1), (0, 1, n), (n, 1, 0))
    places = [View(0, (m, n, k), strides[0]), View(1, (m, n, k), strides[1]), 2]
    task = Task(Kernel("contraction", (GRID, VECTOR, REDUCE), operands, body), (m, n, k), strides, places)
    shapes = {0: (m, k), 1: (k, n), 2: (m, n)}
    work = work_of(task, lambda v: TensorType(shapes[v], dtype))
    assert work.flops == 2 * m * n * k + m * n
    assert work.products == 2 * m * n * k * (dtype.itemsize // 4)
    assert work.read == dtype.itemsize * (m * k + k * n)
    assert work.written == dtype.itemsize * m * n
