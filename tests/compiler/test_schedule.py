"""Schedules: where values lie, what is overwritten when, and host calls among kernels."""

from __future__ import annotations

import pytest

import flambeau as fb
from flambeau.compiler.kernel import Pointer
from flambeau.compiler.schedule import ARENA, Schedule
from flambeau.compiler.values import HostStep
from flambeau.graph.builder import Var
from flambeau.primitives import elementwise as e
from flambeau.primitives.contract import matmul
from flambeau.primitives.gather import gather
from flambeau.primitives.indexing import reverse, slice_
from flambeau.primitives.linalg import solve
from flambeau.primitives.views import broadcast, constant, iota, reduce_sum, reshape, transpose
from tests.compiler.graphs import f32, graph_of, i64, plan
from tests.compiler.test_partition import random_graph


def pointers(schedule: Schedule) -> list[Pointer]:
    calls = [c for s in schedule.steps if not isinstance(s, HostStep) for c in s] + schedule.overwriting
    return [a for c in calls for a in c.args if isinstance(a, Pointer)]


def test_slots_are_the_arena_inputs_fresh_outputs_and_host_results() -> None:
    def fn(x: Var, z: Var) -> list[Var]:
        y = e.exp(x)
        return [e.add(y, 1.0), solve(y, z)]

    schedule, _ = plan(graph_of(fn, f32(2, 4, 4), f32(2, 4, 1)))
    assert schedule.slots == 1 + 2 + 1 + 1
    assert schedule.fresh == {3: 128} and schedule.results == [3, 4]
    assert schedule.arena == 128  # exp, which the host reads from there


def test_intermediate_values_share_memory() -> None:
    def fn(x: Var) -> Var:
        for _ in range(20):
            x = e.exp(transpose(x, (1, 0)))
        return x

    schedule, _ = plan(graph_of(fn, f32(32, 32)))
    assert schedule.kernels == 20 and schedule.arena == 2 * 4096


def test_outputs_that_are_views_of_all_of_a_value_are_that_value() -> None:
    graph = graph_of(lambda x: [e.exp(x), reshape(e.exp(x), (6,)), x, reshape(x, (3, 2))], f32(2, 3))
    schedule, _ = plan(graph)
    assert schedule.results == [2, 2, 1, 1] and schedule.kernels == 1


def test_outputs_that_are_other_views_are_copied() -> None:
    graph = graph_of(lambda x: [transpose(x, (1, 0)), slice_(x, (0, 0), (1, 3)), reverse(x, (0,))], f32(2, 3))
    schedule, kernels = plan(graph)
    assert len(set(schedule.results)) == 3 and 1 not in schedule.results
    assert all([i.op for i in k.body] == ["load", "store"] for k in kernels)


def test_a_copy_is_made_once_for_all_readers() -> None:
    def fn(x: Var) -> list[Var]:
        flat = reshape(transpose(x, (1, 0)), (6,))
        return [e.exp(flat), reduce_sum(flat, (0,))]

    _, kernels = plan(graph_of(fn, f32(2, 3)))
    assert sum([i.op for i in k.body] == ["load", "store"] for k in kernels) == 1


def test_a_view_nobody_reads_is_not_copied() -> None:
    def fn(x: Var) -> Var:
        reshape(transpose(x, (1, 0)), (6,))
        return e.exp(x)

    assert plan(graph_of(fn, f32(2, 3)))[0].kernels == 1


def test_numbers_are_copied_when_they_are_results() -> None:
    schedule, _ = plan(graph_of(lambda n: [n, e.exp(n)], f32()), numbers=1)
    assert 1 not in schedule.results


def test_constants_are_made_with_the_program() -> None:
    graph = graph_of(lambda x: [broadcast(constant(2.0, x.dtype), (2, 3), ()), e.exp(x)], f32(3))
    schedule, _ = plan(graph)
    assert len(schedule.constants) == 1
    assert not any(isinstance(s, HostStep) for s in schedule.steps)


def test_what_only_counts_is_computed() -> None:
    """Positions of elements take no memory, unless a kernel that computes addresses reads them."""

    def fn(x: Var) -> list[Var]:
        places = iota((4, 6), 1, i64().dtype)
        turned = e.cast(transpose(reverse(places, (1,)), (1, 0)), x.dtype)
        return [e.mul(x, e.cast(places, x.dtype)), reduce_sum(e.add(transpose(x, (1, 0)), turned), (0,))]

    schedule, kernels = plan(graph_of(fn, f32(4, 6)))
    assert not schedule.constants and len(kernels) == 2
    graph = graph_of(lambda x: gather(x, [iota((3,), 0, i64().dtype)]), f32(5))
    assert len(plan(graph)[0].constants) == 1
    graph = graph_of(lambda: iota((3,), 0, i64().dtype))
    assert len(plan(graph)[0].constants) == 1


@pytest.mark.parametrize("size", [64, 100])
def test_donated_inputs_are_overwritten_last(size: int) -> None:
    def fn(x: Var, g: Var) -> list[Var]:
        total = reduce_sum(x, (0,))
        return [total, e.sub(x, e.mul(g, broadcast(total, x.shape, ())))]

    graph = graph_of(fn, f32(size), f32(size))
    schedule, _ = plan(graph, donated=frozenset({0}))
    assert schedule.reused == {schedule.results[1]: 1}
    assert len(schedule.overwriting) == 1
    assert [len(s) for s in schedule.steps if not isinstance(s, HostStep)] == [1]  # the sum has read x
    assert not plan(graph)[0].reused


def test_an_update_stays_in_place_beside_a_normalization() -> None:
    """Rows of weights are normalized, and the weights, of the same shape, are updated."""

    def fn(w: Var, g: Var) -> list[Var]:
        total = broadcast(reduce_sum(e.square(w), (1,)), w.shape, (0,))
        scaled = e.div(w, total)
        return [scaled, e.sub(w, e.mul(g, total))]

    graph = graph_of(fn, f32(30, 50), f32(30, 50))
    schedule, kernels = plan(graph)
    assert [k.family for k in kernels] == ["normalization"] and not schedule.reused
    schedule, kernels = plan(graph, donated=frozenset({0}))
    assert [k.family for k in kernels] == ["reduction", "elementwise", "elementwise"]
    assert schedule.reused and len(schedule.overwriting) == 1


def test_an_input_is_not_overwritten_where_others_read_it_later() -> None:
    def fn(x: Var) -> list[Var]:
        y = e.add(x, 1.0)
        return [y, matmul(reshape(x, (8, 8)), reshape(y, (8, 8)))]

    assert not plan(graph_of(fn, f32(64)), donated=frozenset({0}))[0].reused


def test_nor_before_a_host_call() -> None:
    def fn(x: Var, i: Var) -> list[Var]:
        y = e.add(x, 1.0)
        return [y, gather(y, [i])]

    assert not plan(graph_of(fn, f32(64), i64(2)), donated=frozenset({0}))[0].reused


def test_nor_where_elements_are_read_elsewhere() -> None:
    for fn in (
        lambda x: e.add(x, reverse(x, (0,))),
        lambda x: e.exp(reverse(x, (0,))),
        lambda x: [e.exp(x), x],
        lambda x: e.exp(slice_(x, (1,), (64,))),
    ):
        assert not plan(graph_of(fn, f32(64)), donated=frozenset({0}))[0].reused  # type: ignore[arg-type]


def test_empty_tensors_launch_nothing() -> None:
    schedule, _ = plan(graph_of(lambda x: e.exp(e.add(x, 1.0)), f32(0, 4)))
    assert all(not s for s in schedule.steps) and schedule.fresh == {2: 0}


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_stay_inside_their_memory(seed: int) -> None:
    graph = random_graph(seed, 40)
    schedule, _ = plan(graph)
    for p in pointers(schedule):
        assert 0 <= p.slot < schedule.slots
        if p.slot == ARENA:
            assert 0 <= p.offset <= schedule.arena
        elif p.slot in schedule.fresh:
            assert 0 <= p.offset < max(1, schedule.fresh[p.slot])
    made = set(schedule.fresh) | {
        schedule.place[v].slot for s in schedule.steps if isinstance(s, HostStep) for v in s.outputs
    }
    assert all(slot in made or 1 <= slot <= len(graph.inputs) for slot in schedule.results)


def test_values_without_elements() -> None:
    """What nothing writes has a place all the same."""
    assert (fb.pad(fb.ones((0, 4)), ((0, 0), (1, 1))) + 1).numpy().shape == (0, 6)
    assert (fb.concat([fb.ones((0, 4)), fb.ones((0, 4))], axis=1) * 2).numpy().shape == (0, 8)
    made = fb.nn.functional.conv2d(fb.ones((0, 4, 9, 9)), fb.ones((8, 4, 3, 3)), padding=1)
    assert made.numpy().shape == (0, 8, 9, 9)
