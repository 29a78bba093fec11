"""What kernels compute again instead of reading it."""

from __future__ import annotations

from flambeau.graph.builder import Var
from flambeau.primitives import elementwise as e
from flambeau.primitives.contract import matmul
from flambeau.primitives.views import broadcast, constant, reduce_sum
from tests.compiler.graphs import f32, graph_of, kinds, parts


def two_kernels(first: Var, w: Var, *wanted: Var) -> list[Var]:
    """A kernel that reads ``wanted`` after a product that cannot be fused with what made them."""
    product = matmul(first, w)
    for v in wanted:
        product = e.mul(product, v)
    return [product]


def test_what_follows_from_what_is_read_is_not_read() -> None:
    def fn(x: Var, w: Var) -> list[Var]:
        t = e.tanh(x)
        return two_kernels(e.exp(t), w, t, e.add(t, 1.0), e.mul(t, t))

    graph = graph_of(fn, f32(4, 4), f32(4, 4))
    assert kinds(graph) == ["elementwise tanh exp", "contraction add mul dot_general mul mul mul"]
    first, second = parts(graph).groups
    assert len(first.outputs) == 2  # tanh and exp: neither the sum nor the square is written
    assert len(second.outputs) == 1


def test_one_value_is_read_for_two_that_follow_from_it() -> None:
    def fn(x: Var, w: Var) -> list[Var]:
        t = e.tanh(x)
        return two_kernels(e.exp(t), w, e.add(t, 1.0), e.mul(t, t))

    first, second = parts(graph_of(fn, f32(4, 4), f32(4, 4))).groups
    assert len(first.outputs) == 2 and len(first.nodes) == 2
    assert len(second.nodes) == 5


def test_one_value_is_read_as_it_is() -> None:
    def fn(x: Var, w: Var) -> list[Var]:
        t = e.tanh(x)
        return two_kernels(e.exp(t), w, e.add(t, 1.0))

    first, second = parts(graph_of(fn, f32(4, 4), f32(4, 4))).groups
    assert len(first.outputs) == 2 and len(second.nodes) == 2


def test_dear_operations_are_not_repeated() -> None:
    def fn(x: Var, w: Var) -> list[Var]:
        a, b = e.exp(x), e.div(1.0, x)
        return two_kernels(e.add(a, b), w, x, a, b)

    first, second = parts(graph_of(fn, f32(4, 4), f32(4, 4))).groups
    assert len(first.outputs) == 3 and len(second.nodes) == 4


def test_the_operand_of_a_product_is_read_again_rather_than_another_value_stored() -> None:
    def fn(x: Var, w: Var) -> list[Var]:
        t = e.tanh(x)
        return two_kernels(t, w, e.add(t, 1.0))

    first, second = parts(graph_of(fn, f32(4, 4), f32(4, 4))).groups
    assert len(first.outputs) == 1 and len(second.nodes) == 3


def test_a_product_reads_its_operands_whatever_its_epilogue_computes_again() -> None:
    def fn(x: Var, w: Var) -> list[Var]:
        t = e.tanh(x)
        u = e.add(t, 1.0)
        return two_kernels(u, w, t, u)

    first, second = parts(graph_of(fn, f32(4, 4), f32(4, 4))).groups
    assert len(first.outputs) == 2 and len(second.nodes) == 4


def test_rows_and_constants_may_be_read_besides() -> None:
    def fn(x: Var, w: Var, b: Var) -> list[Var]:
        t = e.tanh(x)
        moved = e.add(t, broadcast(b, t.shape, (1,)))
        return two_kernels(e.exp(t), w, t, moved, e.mul(moved, constant(2.0, t.dtype)))

    first, second = parts(graph_of(fn, f32(4, 4), f32(4, 4), f32(4))).groups
    assert len(first.outputs) == 2 and len(second.nodes) == 6


def test_reductions_compute_again_before_they_reduce() -> None:
    def fn(x: Var, w: Var) -> list[Var]:
        t = e.tanh(x)
        one = matmul(e.exp(t), w)
        return [one, reduce_sum(e.mul(reduce_sum(one, (0, 1)), e.mul(t, e.mul(t, t))), (1,))]

    found = parts(graph_of(fn, f32(4, 4), f32(4, 4)))
    assert all(len(g.outputs) == len(set(g.outputs)) for g in found.groups)
    assert len(found.groups[0].outputs) == 2


def test_what_is_stored_anyway_is_read_for_one_that_follows_from_it() -> None:
    def fn(x: Var, w: Var) -> list[Var]:
        t = e.tanh(x)
        return [*two_kernels(e.exp(t), w, e.add(t, 1.0)), *two_kernels(e.sin(t), w, t)]

    first, *_ = parts(graph_of(fn, f32(4, 4), f32(4, 4))).groups
    assert len(first.outputs) == 3  # tanh, exp and sin, not the sum


def test_a_mask_is_written_rather_than_the_numbers_read_again() -> None:
    def fn(x: Var, w: Var) -> list[Var]:
        t = e.tanh(x)
        masked = e.select(e.gt(t, 0.0), matmul(e.exp(t), w), 0.0)
        return [masked, *two_kernels(e.sin(t), w, t)]

    first, *_ = parts(graph_of(fn, f32(4, 4), f32(4, 4))).groups
    assert len(first.outputs) == 4  # a byte for each number
