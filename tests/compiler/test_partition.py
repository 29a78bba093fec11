"""Partition: what becomes one kernel, that kernels can run in some order, and that sizes do not matter."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from typing import Any

import pytest

from flambeau import dtypes
from flambeau.compiler import groups as module
from flambeau.compiler.groups import GROUP_LIMIT, OPERAND_LIMIT, Group, Partition
from flambeau.compiler.simplify import simplify
from flambeau.compiler.views import MOVES_NOTHING
from flambeau.graph.builder import Var
from flambeau.graph.graph import Graph
from flambeau.primitives import elementwise as e
from flambeau.primitives.composites import softmax
from flambeau.primitives.contract import matmul
from flambeau.primitives.gather import gather
from flambeau.primitives.indexing import concatenate, reverse
from flambeau.primitives.linalg import inv
from flambeau.primitives.reduce import reduce_max
from flambeau.primitives.views import broadcast, constant, reduce_sum, reshape, transpose
from tests.compiler.graphs import f32, graph_of, i64, kinds, parts


def test_elementwise_operations_of_one_shape_join() -> None:
    graph = graph_of(lambda x, y: e.relu(e.add(e.mul(x, y), x)), f32(3, 4), f32(3, 4))
    assert kinds(graph) == ["elementwise mul add relu"]


def test_views_and_constants_are_no_kernels() -> None:
    graph = graph_of(lambda x: e.mul(transpose(reverse(x, (0,)), (1, 0)), 2.0), f32(3, 4))
    assert kinds(graph) == ["elementwise mul"]


def test_a_view_between_separates() -> None:
    graph = graph_of(lambda x: e.exp(transpose(e.relu(x), (1, 0))), f32(3, 4))
    assert kinds(graph) == ["elementwise relu", "elementwise exp"]


def test_contractions_take_what_follows() -> None:
    graph = graph_of(
        lambda x, w, b: e.relu(e.add(matmul(x, w), broadcast(b, (3, 5), (1,)))), f32(3, 4), f32(4, 5), f32(5)
    )
    assert kinds(graph) == ["contraction dot_general add relu"]


def test_but_not_where_others_need_the_product() -> None:
    def fn(x: Var, w: Var) -> list[Var]:
        z = matmul(x, w)
        return [e.relu(z), transpose(z, (1, 0))]

    assert kinds(graph_of(fn, f32(3, 4), f32(4, 5))) == ["contraction dot_general", "elementwise relu"]
    both = graph_of(lambda x, w: [e.relu(matmul(x, w)), matmul(x, w)], f32(3, 4), f32(4, 5))
    assert kinds(both) == ["contraction dot_general", "elementwise relu"]


def test_reductions_take_what_comes_before_and_after() -> None:
    graph = graph_of(lambda x: e.exp(reduce_sum(e.mul(x, x), (1,))), f32(3, 4))
    assert kinds(graph) == ["reduction mul reduce_sum exp"]


def test_reductions_of_one_operand_over_the_same_axes_join() -> None:
    def fn(x: Var) -> list[Var]:
        y = e.relu(x)
        return [reduce_sum(y, (1,)), reduce_max(y, (1,))]

    assert kinds(graph_of(fn, f32(3, 4))) == ["reduction relu reduce_sum reduce_max"]


def test_reductions_of_values_that_different_kernels_make_join_where_they_read_one() -> None:
    def fn(x: Var, w: Var, y: Var) -> list[Var]:
        z = matmul(x, w)
        return [z, reduce_sum(z, (0,)), reduce_sum(e.mul(z, y), (0,))]

    graph = graph_of(fn, f32(6, 4), f32(4, 5), f32(6, 5))
    assert kinds(graph) == ["contraction dot_general", "reduction reduce_sum mul reduce_sum"]


def test_several_sums_of_what_follows_from_a_product_leave_one_value_to_store() -> None:
    """The backward pass of a normalization: all sums read the gradient, and none a product stored for it."""

    def fn(x: Var, w: Var, y: Var) -> list[Var]:
        z = e.relu(matmul(x, w))
        scaled = e.mul(z, 3.0)
        return [reduce_sum(z, (0,)), reduce_sum(e.mul(z, y), (0,)), reduce_sum(e.mul(scaled, y), (0,))]

    graph = graph_of(fn, f32(6, 4), f32(4, 5), f32(6, 5))
    found = parts(graph)
    assert [group.kind for group in found.groups] == ["contraction", "reduction"]
    assert [len(group.outputs) for group in found.groups] == [1, 3]


def test_one_sum_stays_with_the_product() -> None:
    graph = graph_of(
        lambda x, w, y: reduce_sum(e.mul(matmul(x, w), y), (0,)), f32(6, 4), f32(4, 5), f32(6, 5)
    )
    assert kinds(graph) == ["contraction dot_general mul", "reduction reduce_sum"]


def test_reductions_over_other_axes_do_not() -> None:
    def fn(x: Var) -> list[Var]:
        y = e.relu(x)
        return [reduce_sum(y, (1,)), reduce_sum(y, (0,))]

    assert len(kinds(graph_of(fn, f32(3, 4)))) == 2


def test_a_reduction_over_axes_of_size_one_keeps_points_and_results_apart() -> None:
    graph = graph_of(lambda x: e.exp(e.add(reduce_sum(x, (0,)), 1.0)), f32(1))
    found = parts(graph)
    assert sum(len(g.nodes) for g in found.groups) == 3


def test_softmax_is_one_kernel_of_three_passes() -> None:
    graph = simplify(graph_of(lambda x: softmax(x, 1), f32(30, 40)))
    assert kinds(graph) == ["normalization reduce_max sub exp reduce_sum div"]
    (group,) = parts(graph).groups
    found = [[graph.nodes[i].primitive.name for i in part.nodes] for part in group.parts]
    assert found == [["reduce_max"], ["sub", "exp", "reduce_sum"], ["div"]]


def test_products_of_integers_are_sums_and_those_of_complex_numbers_run_on_the_host() -> None:
    from flambeau.graph.types import TensorType

    for dtype, kind in ((dtypes.int32, "whole"), (dtypes.complex64, "host")):
        graph = graph_of(matmul, TensorType((2, 3), dtype), TensorType((3, 4), dtype))
        assert kinds(graph) == [f"{kind} dot_general"]


def test_kernels_stay_small() -> None:
    def long(x: Var) -> Var:
        for _ in range(3 * GROUP_LIMIT):
            x = e.add(x, 1.0)
        return x

    found = parts(graph_of(long, f32(8)))
    assert len(found.groups) == 3 and all(len(g.nodes) <= GROUP_LIMIT for g in found.groups)

    def wide(*xs: Var) -> Var:
        total = xs[0]
        for x in xs[1:]:
            total = e.add(total, x)
        return total

    graph = graph_of(wide, *[f32(8)] * 100)
    for group in parts(graph).groups:
        inside = {v for i in group.nodes for v in graph.nodes[i].outputs}
        assert len({v for i in group.nodes for v in graph.nodes[i].inputs} - inside) <= OPERAND_LIMIT


def test_single_numbers_share_a_kernel() -> None:
    graph = graph_of(lambda a, b, c: [e.exp(a), e.sin(b), e.mul(c, 2.0)], f32(), f32(), f32())
    assert len(kinds(graph)) == 1


def test_nothing_joins_around_a_host_call() -> None:
    """x * 2 and the sum with its inverse cannot be one kernel."""

    def fn(x: Var) -> Var:
        y = e.mul(x, 2.0)
        return e.add(y, inv(y))

    assert kinds(graph_of(fn, f32(4, 4))) == ["elementwise mul", "host inv", "elementwise add"]


def test_no_cycle_through_a_third_kernel() -> None:
    """Each of two groups could take the other's part; together they would wait for each other."""

    def fn(x: Var) -> Var:
        a, b = e.exp(x), e.sin(x)
        sa, sb = reduce_sum(a, (0,)), reduce_sum(b, (0,))
        c = e.mul(a, broadcast(sb, x.shape, ()))
        d = e.mul(b, broadcast(sa, x.shape, ()))
        return e.add(c, d)

    check(graph_of(fn, f32(100)))


def random_graph(seed: int, size: int) -> Graph:
    r = random.Random(seed)

    def fn(x: Var, w: Var, i: Var) -> list[Var]:
        square, column = [x], [reduce_sum(x, (1,))]
        n = x.shape[0]
        for _ in range(size):
            a, b = r.choice(square[-5:]), r.choice(square)
            kind = r.randrange(9)
            if kind < 3:
                square.append(r.choice((e.add, e.mul, e.maximum))(a, b))
            elif kind == 3:
                square.append(e.tanh(a))
            elif kind == 4:
                column.append(r.choice((reduce_sum, reduce_max))(a, (r.randrange(2),)))
            elif kind == 5:
                square.append(e.sub(a, broadcast(r.choice(column), a.shape, (r.randrange(2),))))
            elif kind == 6:
                square.append(r.choice((lambda v: transpose(v, (1, 0)), lambda v: reverse(v, (1,))))(a))
            elif kind == 7:
                square.append(matmul(a, w))
            else:
                square.append(gather(a, [i]))
            if r.random() < 0.1:
                column.append(e.exp(reshape(reduce_sum(square[-1], (0,)), (n,))))
        return [r.choice(square), r.choice(column), square[-1]]

    return graph_of(fn, f32(6, 6), f32(6, 6), i64(6))


def check(graph: Graph) -> Partition:
    """Every group runs after what it reads, one group stores a value, what is read is stored.

    So it is also where normalizations run as their parts.
    """
    found = parts(graph)
    check_order(graph, found.groups, found.stored)
    check_order(graph, [part for group in found.groups for part in group.parts or [group]], found.stored)
    return found


def check_order(graph: Graph, groups: Sequence[Group], stored: Collection[int]) -> None:
    storing = {v: n for n, g in enumerate(groups) for v in g.outputs}
    assert sum(len(g.outputs) for g in groups) == len(storing) and storing.keys() <= stored
    sources: dict[int, set[int]] = {v: set() for v in graph.inputs}
    for node in graph.nodes:
        view = node.primitive.name in (*MOVES_NOTHING, "constant")
        for v in node.outputs:
            sources[v] = {s for u in node.inputs for s in sources[u]} if view else {v}
    for n, group in enumerate(groups):
        assert group.nodes == sorted(set(group.nodes))
        made: set[int] = set()
        for i in group.nodes:
            for s in {s for v in graph.nodes[i].inputs for s in sources[v]}:
                here = s in made and (i != group.root or group.kind in ("reduction", "normalization"))
                assert here or storing[s] < n
            made.update(graph.nodes[i].outputs)
        assert made.issuperset(group.outputs)
    for v in graph.outputs:
        assert sources[v] <= storing.keys()


@pytest.mark.parametrize("seed", range(60))
def test_random_graphs_are_cut_so_that_they_can_run(seed: int) -> None:
    check(random_graph(seed, 60))


@pytest.mark.parametrize("seed", range(60, 66))
def test_long_programs_are_cut_into_windows(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW", 16)
    check(random_graph(seed, 200))


def test_a_window_ends_fusion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW", 4)

    def fn(x: Var) -> Var:
        for _ in range(12):
            x = e.exp(x)
        return x

    assert [len(g.nodes) for g in parts(graph_of(fn, f32(8))).groups] == [4, 4, 4]


@pytest.mark.parametrize("size", [2, 3, 64, 1000])
def test_sizes_do_not_matter(size: int) -> None:
    def fn(x: Var, w: Var) -> list[Var]:
        h = e.relu(matmul(x, w))
        return [softmax(h, 1), reduce_sum(e.mul(h, h), (0,)), concatenate([h, x], 1)]

    def shape(n: int) -> list[tuple[str, list[int], list[int]]]:
        found = parts(graph_of(fn, f32(n, n + 1), f32(n + 1, n + 2)))
        return [(g.kind, g.nodes, g.outputs) for g in found.groups]

    assert shape(size) == shape(7)


def test_constants_feed_any_kernel() -> None:
    def fn(x: Var) -> Any:
        return e.add(x, broadcast(constant(1.5, dtypes.float32), x.shape, ()))

    assert kinds(graph_of(fn, f32(3))) == ["elementwise add"]
