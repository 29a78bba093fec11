"""Tasks: kernels do not change with sizes, and their operands cover what they should."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flambeau.compiler import lowering
from flambeau.compiler.kernel import AxisKind, Kernel, Role, Stride
from flambeau.graph.builder import Var
from flambeau.primitives import elementwise as e
from flambeau.primitives.composites import softmax
from flambeau.primitives.contract import dot_general, matmul
from flambeau.primitives.indexing import reverse, slice_
from flambeau.primitives.views import broadcast, reduce_sum, reshape, transpose
from tests.compiler.graphs import f32, graph_of, plan

ANY, ONE, ZERO = Stride.ANY, Stride.ONE, Stride.ZERO
G, V, R = AxisKind.GRID, AxisKind.VECTOR, AxisKind.REDUCE


def kernels(fn: Callable[..., Any], *shapes: tuple[int, ...]) -> list[Kernel]:
    return plan(graph_of(fn, *[f32(*s) for s in shapes]))[1]


def strides(kernel: Kernel) -> list[tuple[Stride, ...]]:
    return [o.strides for o in kernel.operands]


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: e.relu(e.add(x, 1.0)),
        lambda x: e.exp(transpose(x, (1, 0))),
        lambda x: e.exp(reverse(x, (0, 1))),
        lambda x: reduce_sum(e.mul(x, x), (0,)),
        lambda x: reduce_sum(x, (1,)),
        lambda x: softmax(x, 1),
        lambda x: matmul(transpose(x, (1, 0)), x),
        lambda x: e.add(x, broadcast(reduce_sum(x, (0,)), x.shape, (1,))),
    ],
)
def test_kernels_do_not_change_with_sizes(fn: Callable[..., Any]) -> None:
    found = [kernels(fn, shape) for shape in ((2, 3), (7, 5), (64, 64), (1000, 33))]
    assert all(f == found[0] for f in found)


def test_dense_operands_are_walked_as_one_axis() -> None:
    (kernel,) = kernels(lambda x, y: e.add(x, y), (3, 4, 5), (3, 4, 5))
    assert kernel.axes == (V,) and strides(kernel) == [(ONE,)] * 3


def test_a_broadcast_row_keeps_two_axes() -> None:
    (kernel,) = kernels(lambda x, b: e.add(x, broadcast(b, x.shape, (1,))), (3, 4), (4,))
    assert kernel.axes == (G, V) and strides(kernel) == [(ANY, ONE), (ZERO, ONE), (ANY, ONE)]


def test_an_operand_read_twice_is_one_operand() -> None:
    (kernel,) = kernels(lambda x: e.mul(e.add(x, x), x), (5,))
    assert [o.role for o in kernel.operands] == [Role.IN, Role.OUT]
    (both,) = kernels(lambda x: e.mul(reverse(x, (0,)), x), (5,))
    assert len(both.operands) == 3


def test_one_point() -> None:
    (kernel,) = kernels(lambda x: e.exp(x), ())
    assert kernel.axes == (V,)
    (row,) = kernels(lambda x: e.exp(x), (1, 1))
    assert row == kernel


def test_rows_and_columns() -> None:
    (rows,) = kernels(lambda x: reduce_sum(x, (1,)), (30, 40))
    (columns,) = kernels(lambda x: reduce_sum(x, (0,)), (30, 40))
    assert rows.axes == (G, R) and columns.axes == (R, V)


def test_one_column_is_still_a_column() -> None:
    (single,) = kernels(lambda x: reduce_sum(x, (0,)), (30, 1))
    assert single.axes == (R, V)
    (inner,) = kernels(lambda x: reduce_sum(x, (1,)), (6, 30, 1))
    assert inner.axes == (G, R, V)
    (trailing,) = kernels(lambda x: reduce_sum(x, (0, 1)), (30, 1))
    assert trailing.axes == (R,)  # the axis of size 1 is reduced too


def test_one_row_is_still_a_row() -> None:
    (single,) = kernels(lambda x: reduce_sum(x, (1,)), (1, 30))
    assert single.axes[-1] is R


def test_a_reduction_of_everything() -> None:
    (kernel,) = kernels(lambda x: reduce_sum(x, (0, 1, 2)), (3, 4, 5))
    assert kernel.axes == (R,)
    (strided,) = kernels(lambda x: reduce_sum(transpose(x, (1, 0)), (0, 1)), (3, 4))
    assert strided.axes == (R, R)


def test_matrix_products_and_their_transposes() -> None:
    def product(x: Var, y: Var) -> Var:
        return dot_general(x, y, ((1,), (0,)))

    (plain,) = kernels(product, (3, 4), (4, 5))
    assert plain.axes == (G, V, R)
    assert strides(plain) == [(ANY, ZERO, ONE), (ZERO, ONE, ANY), (ANY, ONE, ZERO)]
    (turned,) = kernels(lambda x, y: product(transpose(x, (1, 0)), transpose(y, (1, 0))), (4, 3), (5, 4))
    assert strides(turned) == [(ONE, ZERO, ANY), (ZERO, ANY, ONE), (ANY, ONE, ZERO)]


def test_batches_that_lie_one_after_another_are_one_axis() -> None:
    axes = ((3,), (2,)), ((0, 1), (0, 1))
    (kernel,) = kernels(lambda x, y: dot_general(x, y, *axes), (2, 3, 4, 5), (2, 3, 5, 6))
    assert kernel.axes == (G, G, V, R)


def test_rows_of_several_axes_are_merged() -> None:
    (kernel,) = kernels(lambda x, w: matmul(x, w), (2, 3, 4, 5), (5, 6))
    assert kernel.axes == (G, V, R)


def test_what_cannot_be_merged_is_copied() -> None:
    found = kernels(lambda x, w: matmul(transpose(x, (1, 0, 2)), w), (2, 3, 4), (4, 5))
    assert [k.family for k in found] == ["elementwise", "contraction"]


def test_epilogue_operands_that_cannot_be_merged_are_copied() -> None:
    def fn(x: Var, w: Var, z: Var) -> Var:
        return e.add(matmul(x, w), transpose(z, (1, 0, 2)))

    found = kernels(fn, (2, 3, 4), (4, 5), (3, 2, 5))
    assert [k.family for k in found] == ["elementwise", "contraction"]


def test_a_reshape_of_strided_elements_is_a_copy() -> None:
    found = kernels(lambda x: e.exp(reshape(slice_(x, (0, 0), (4, 3)), (12,))), (4, 6))
    assert [[i.op for i in k.body] for k in found] == [["load", "store"], ["load", "exp", "store"]]


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0, 0)])
def test_empty_tensors_have_kernels_that_obey_the_grammar(shape: tuple[int, ...]) -> None:
    kernels(lambda x: e.add(x, broadcast(reduce_sum(x, (1,)), x.shape, (0,))), shape)
    kernels(lambda x: matmul(x, transpose(x, (1, 0))), shape)
    kernels(lambda x: matmul(transpose(x, (1, 0)), x), shape)


def test_facts_about_kernels_are_kept_for_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lowering, "_REMEMBERED", 5)
    computed: list[Kernel] = []

    @lowering.per_kernel
    def fact(kernel: Kernel) -> int:
        computed.append(kernel)
        return len(kernel.body)

    kernels = [Kernel("elementwise", (V,), (), ()) for _ in range(20)]
    assert [fact(kernel) for kernel in kernels for _ in range(2)] == [0] * 40
    assert len(computed) == 20  # each once while it is remembered
    fact(kernels[0])
    assert len(computed) == 21  # and that was long ago
