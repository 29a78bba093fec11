"""Backward over recordings: the current tape first, then evaluated segments from last to first.

Each recording contributes one entry: the cached gradient graph of its state, applied to the
residuals.  The gradient graphs are ordinary recorded operations, so they can be differentiated.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any

from flambeau.autodiff.reverse import Pullback, active_values, pullback
from flambeau.engine.evaluate import realize
from flambeau.engine.flatten import flatten
from flambeau.engine.modes import grad_enabled
from flambeau.engine.segment import Freed, Segment
from flambeau.engine.tape import THREAD, FlatCall, State, Tape, Value, leaf
from flambeau.errors import GradientError
from flambeau.graph.builder import Var, current
from flambeau.graph.graph import Graph, Node
from flambeau.primitives.elementwise import add
from flambeau.primitives.views import full
from flambeau.runtime.buffers import Buffer

Hook = Callable[[Value], Value]

_FREED = (
    "the gradient through this tensor was already taken and its graph freed: "
    "use backward(retain_graph=True) the first time"
)


def ones(shape: Any, dtype: Any) -> Var:
    """The builder of the cotangent that ``backward()`` starts from."""
    return full(shape, 1, dtype)


def apply_graph(*operands: Any) -> Any:
    """The builder of a whole graph; its last argument is the graph."""
    *inputs, graph = operands
    return current().inline(graph, inputs)


class _Work:
    """Cotangents that have arrived, by the recording and number of the value they belong to."""

    def __init__(self) -> None:
        self.cotangents: dict[Any, dict[int, Value]] = {}
        self.heap: list[tuple[int, int, Segment]] = []
        self.results: dict[Value, Value] = {}

    def deliver(self, mark: Value, g: Value) -> None:
        """A gradient has reached a leaf of a recording: it goes on, or it is a result."""
        if isinstance(mark.source, Segment):
            self.arrive(mark, g)
        else:
            known = self.results.get(mark)
            self.results[mark] = g if known is None else record_add(known, g)

    def arrive(self, value: Value, g: Value) -> None:
        source = value.source
        if isinstance(source, (Tape, Segment)):
            table = self.cotangents.get(source)
            if table is None:
                table = self.cotangents[source] = {}
                if isinstance(source, Segment):
                    heapq.heappush(self.heap, (-source.order, id(source), source))
            known = table.get(value.position)
            table[value.position] = g if known is None else record_add(known, g)
        else:
            self.deliver(value, g)


def record_add(x: Value, y: Value) -> Value:
    """The recorded sum of two gradients."""
    total: Value = THREAD.tape.record(add, (), (x, y))
    return total


def cotangents(
    outputs: Sequence[Value],
    seeds: Sequence[Value | None],
    *,
    wanted: set[Value] | None = None,
    retain_graph: bool = False,
    create_graph: bool = False,
) -> dict[Value, Value]:
    """The gradients of the outputs, weighted by the seeds, for every leaf they depend on.

    ``wanted`` limits the leaves.  A missing seed is ones.  Raises ``GradientError`` where an output has no history, where the
    history was freed, or where an operation on the way has no derivative.
    """
    work = _Work()
    token = grad_enabled.set(create_graph)
    try:
        for value, seed in zip(outputs, seeds, strict=True):
            _check(value)
            if isinstance(value.source, Tape) and value.source is not THREAD.tape:
                realize(value)
            if seed is None:
                seed = THREAD.tape.record(ones, (value.type.shape, value.type.dtype), ())
            work.arrive(value, seed)
        tape = THREAD.tape
        while tape in work.cotangents or work.heap:
            if tape in work.cotangents:
                _tape_step(tape, work, wanted, retain_graph or create_graph, create_graph)
            elif THREAD.tape is not tape:  # an overflow evaluated the tape in between
                raise GradientError("the recording was evaluated while its gradient was recorded")
            else:
                _, _, segment = heapq.heappop(work.heap)
                _segment_step(segment, work, wanted, retain_graph or create_graph)
    finally:
        grad_enabled.reset(token)
    return work.results


def _check(value: Value) -> None:
    if not value.needs_grad:
        reason = "it does not depend on a tensor with requires_grad=True"
        if not value.type.dtype.floating:
            reason = f"it is {value.type.dtype}: only floating-point tensors have gradients"
        raise GradientError(f"this tensor has no gradient: {reason}")
    if isinstance(value.source, Freed):
        raise GradientError(_FREED)


def _cached_pullback(state: State, outputs: tuple[int, ...], wanted: tuple[int, ...], cut: frozenset[int]) -> Pullback:
    key = (outputs, wanted, cut)
    found: Pullback | None = state.graphs.get(key)
    if found is None:
        found = state.graphs[key] = pullback(flatten(state).graph, outputs, wanted, cut)
    return found


def _pull(
    state: State,
    table: dict[int, Value],
    marks: Sequence[int],
    hooks: dict[int, list[Hook]],
    call: Callable[[Pullback, list[Value]], Sequence[Value]],
) -> dict[int, Value]:
    """Pull cotangents of one recording back to its marks, stopping at each hooked value on the way.

    Hooked values are visited from last to first, so each one's gradient is complete when its hook
    sees it.
    """
    arrived = dict(table)
    remaining = {v for v in hooks if v not in marks}
    results: dict[int, Value] = {}
    while True:
        direct = {v: g for v, g in arrived.items() if v not in remaining}
        if direct:
            found = _cached_pullback(
                state, tuple(direct), (*marks, *sorted(remaining)), frozenset(remaining)
            )
            arrived = {v: g for v, g in arrived.items() if v in remaining}
            for v, g in zip(found.sources, call(found, list(direct.values())), strict=True):
                into = arrived if v in remaining else results
                into[v] = record_add(into[v], g) if v in into else g
        if not arrived:
            return results
        last = max(arrived)
        g = arrived.pop(last)
        for hook in hooks[last]:
            g = hook(g)
        remaining.discard(last)
        arrived[last] = g


def _as_tuple(made: Any) -> tuple[Value, ...]:
    return made if isinstance(made, tuple) else (made,)


def _tape_step(tape: Tape, work: _Work, wanted: set[Value] | None, retain: bool, create_graph: bool) -> None:
    state = tape.state
    flat = flatten(state)
    values = list(tape.index)
    table: dict[int, Value] = {}
    for position, g in work.cotangents.pop(tape).items():
        if position in flat.freed:
            raise GradientError(_FREED)
        v = flat.values[position]
        table[v] = record_add(table[v], g) if v in table else g
    marks = [
        p for p in flat.marks
        if wanted is None or values[p] in wanted or isinstance(values[p].source, Segment)
    ]  # fmt: skip
    frees = frozenset() if retain else _history(state, tuple(table))

    def call(found: Pullback, seeds: list[Value]) -> Sequence[Value]:
        if not found.sources:
            return ()
        key = ("call", id(found), create_graph, retain)
        entry = state.graphs.get(key)
        if entry is None:
            entry = state.graphs[key] = FlatCall(found.graph, found.residuals, create_graph, frees)
        return _as_tuple(THREAD.tape.record(entry, (), seeds))

    results = _pull(state, table, [flat.values[p] for p in marks], {flat.values[p]: h for p, h in tape.hooks.items()}, call)
    for p in marks:
        g = results.get(flat.values[p])
        if g is not None:
            work.deliver(values[p], g)


def _history(state: State, outputs: tuple[int, ...]) -> frozenset[int]:
    """The positions whose gradients are used up once those of ``outputs`` have been taken."""
    key = ("history", outputs)
    found: frozenset[int] | None = state.graphs.get(key)
    if found is None:
        flat = flatten(state)
        reached = set(outputs)
        for node in reversed(flat.graph.nodes):
            if any(v in reached for v in node.outputs):
                reached.update(node.inputs)
        marks = set(flat.marks)
        found = state.graphs[key] = frozenset(
            p
            for p, v in enumerate(flat.values)
            if v in reached and flat.needs_grad[p] and p not in marks
        )
    return found


def _segment_step(segment: Segment, work: _Work, wanted: set[Value] | None, retain: bool) -> None:
    state = segment.state
    if segment.kept is None:
        raise GradientError(_FREED)
    kept = segment.kept
    marks = [
        v for v, m in segment.marks.items() if wanted is None or m in wanted or isinstance(m.source, Segment)
    ]
    flat = flatten(state)
    active: set[int] | None = state.graphs.get("active")
    if active is None:
        active = state.graphs["active"] = active_values(flat.graph, [flat.values[p] for p in flat.marks])

    def operand(v: int) -> Any:
        data = kept[v]
        if isinstance(data, Value):
            return data
        type = flat.graph.types[v]
        if not isinstance(data, Buffer):
            return (data, type.dtype)
        value = leaf(type, data, needs_grad=v in active)
        value.source, value.position = segment, v
        return value

    def call(found: Pullback, seeds: list[Value]) -> Sequence[Value]:
        if not found.sources:
            return ()
        key = ("entry", id(found))
        graph: Graph | None = state.graphs.get(key)
        if graph is None:
            graph = state.graphs[key] = _without_entries(found.graph)
        return _as_tuple(THREAD.tape.record(apply_graph, (graph,), [*map(operand, found.residuals), *seeds]))

    table = work.cotangents.pop(segment)
    for v, g in _pull(state, table, marks, segment.hooks, call).items():
        work.deliver(segment.marks[v], g)
    if not retain:
        segment.kept = None


def _without_entries(graph: Graph) -> Graph:
    """The graph with its origins kept, but no longer tied to positions of the tape it came from."""
    nodes = [Node(n.primitive, n.inputs, n.attrs, n.outputs, n.where._replace(entry=-1)) for n in graph.nodes]
    return Graph(graph.types, graph.inputs, nodes, graph.outputs)
