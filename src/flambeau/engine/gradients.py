"""Backward over recordings: the current tape first, then evaluated segments from last to first.

Each recording contributes one entry: the cached gradient graph of its state, applied to the
residuals.  The gradient graphs are ordinary recorded operations, so they can be differentiated.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from flambeau.autodiff import subgraphs as _subgraphs  # noqa: F401  gives the primitives with bodies their rules
from flambeau.autodiff.reverse import Pullback, active_values, pullback
from flambeau.engine.evaluate import realize
from flambeau.engine.flatten import flatten
from flambeau.engine.modes import grad_enabled
from flambeau.engine.segment import _COUNTER, Freed, Segment
from flambeau.engine.tape import THREAD, FlatCall, State, Tape, Value, leaf
from flambeau.errors import GradientError
from flambeau.graph.builder import Var, current
from flambeau.graph.graph import Graph, Node
from flambeau.graph.where import NOWHERE, Where
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


def moment() -> int:
    """A number between the orders of the segments evaluated before and after this moment."""
    return next(_COUNTER)


class InGradient(Where):
    """The place of an operation whose gradient is being computed."""

    __slots__ = ()

    def __str__(self) -> str:
        text = super().__str__()
        return f"in the gradient of what was computed {text}" if text else ""


class Frontier:
    """Where gradients are wanted: at ``wanted`` values, at which they stop.

    ``home`` is the tape and ``since`` the moment the values were made: nothing recorded around
    the tape, or evaluated before the moment, can depend on them.  With ``detached``, what is
    computed stays connected to the seeds alone.
    """

    __slots__ = ("detached", "home", "since", "wanted")

    def __init__(self, wanted: set[Value], home: Tape, since: int) -> None:
        self.wanted = wanted
        self.home = home
        self.since = since
        self.detached = False

    def reachable(self, source: Tape | Segment) -> bool:
        """Whether values of ``source`` may depend on the wanted ones."""
        if isinstance(source, Segment):
            return source.order >= self.since
        return not self.home.encloses(source)


class _Work:
    """Cotangents that have arrived, by the recording and number of the value they belong to."""

    def __init__(self, frontier: Frontier | None) -> None:
        self.frontier = frontier
        self.tapes: dict[Tape, dict[int, Value]] = {}
        self.segments: dict[Segment, dict[int, Value]] = {}
        self.heap: list[tuple[int, int, Segment]] = []
        self.results: dict[Value, Value] = {}
        self.detached = frontier is not None and frontier.detached

    def wants(self, value: Value) -> bool:
        """Whether the gradient of ``value`` is a result by itself."""
        return self.frontier is not None and value in self.frontier.wanted

    def continues(self, mark: Value, here: Tape | Segment) -> bool:
        """Whether the gradient of a leaf of ``here`` has further to go, or is asked for."""
        source = mark.source
        if self.frontier is None or mark in self.frontier.wanted:
            return True
        if source is here or not isinstance(source, (Tape, Segment)):
            return False
        return self.frontier.reachable(source)

    def partial(self, mark: Value, here: Tape | Segment | None) -> Value | None:
        """The gradient that has reached a leaf of ``here`` so far, from later recordings."""
        source = mark.source
        if self.ends(mark, here):
            return self.results.get(mark)
        tables: Any = self.tapes if isinstance(source, Tape) else self.segments
        known: Value | None = tables.get(source, {}).get(mark.position)
        return known

    def deliver(self, mark: Value, g: Value, here: Tape | Segment | None) -> None:
        """The gradient of a leaf of ``here``, ``partial`` included: it goes on, or it is a result."""
        source = mark.source
        if isinstance(source, Freed) and not self.wants(mark) and here is not None:
            raise GradientError(_FREED)
        if self.ends(mark, here):
            self.results[mark] = g
            return
        if self.frontier is not None and not self.frontier.reachable(source):  # type: ignore[arg-type]
            return
        if isinstance(source, Tape):
            self.tapes.setdefault(source, {})[mark.position] = g
        elif isinstance(source, Segment):
            if source not in self.segments:
                heapq.heappush(self.heap, (-source.order, id(source), source))
            self.segments.setdefault(source, {})[mark.position] = g

    def arrive(self, value: Value, g: Value) -> None:
        """A gradient of ``value`` that has yet to be taken through what the value came from."""
        known = self.partial(value, None)
        self.deliver(value, g if known is None else record_add(known, g), None)

    def ends(self, mark: Value, here: Tape | Segment | None) -> bool:
        """Whether gradients of a leaf of ``here`` go no further."""
        source = mark.source
        return self.wants(mark) or source is here or not isinstance(source, (Tape, Segment))

    def wanted_in(self, source: Tape | Segment) -> dict[int, Value]:
        """The wanted values that are no leaves of ``source``, by their number there."""
        if self.frontier is None:
            return {}
        return {w.position: w for w in self.frontier.wanted if w.source is source}


class _Leaves:
    """The leaves of one recording, by number, and what has reached them from later ones.

    Two leaves may be the same value of an earlier recording; the first one asked for has what
    reached it so far.
    """

    def __init__(self, work: _Work, targets: dict[int, Value], here: Tape | Segment) -> None:
        self.work = work
        self.targets = targets
        self.here = here
        self.owners: dict[Any, int] = {}

    def _place(self, v: int) -> Any:
        mark = self.targets[v]
        return mark if self.work.ends(mark, self.here) else (mark.source, mark.position)

    def partial(self, v: int) -> Value | None:
        """The gradient that leaf ``v`` starts from."""
        if self.owners.setdefault(self._place(v), v) != v:
            return None
        return self.work.partial(self.targets[v], self.here)

    def deliver(self, gradients: dict[int, Value]) -> None:
        """Hand on gradients, each with what its leaf started from."""
        done: dict[Any, Value] = {}
        for v, g in gradients.items():
            place = self._place(v)
            done[place] = total = record_add(done[place], g) if place in done else g
            self.work.deliver(self.targets[v], total, self.here)


def record_add(x: Value, y: Value) -> Value:
    """The recorded sum of two gradients."""
    total: Value = THREAD.tape.record(add, (), (x, y))
    return total


def cotangents(
    outputs: Sequence[Value],
    seeds: Sequence[Value | None],
    *,
    frontier: Frontier | None = None,
    retain_graph: bool = False,
    create_graph: bool = False,
) -> dict[Value, Value]:
    """The gradients of the outputs, weighted by the seeds, for every leaf they depend on.

    ``frontier`` names the values to take gradients to instead.  A missing seed is ones.  Raises
    ``GradientError`` where an output has no history, where the history was freed, or where an
    operation on the way has no derivative.
    """
    work = _Work(frontier)
    retain = retain_graph or create_graph
    token = grad_enabled.set(create_graph)
    try:
        for value in outputs:
            _check(value)
            if THREAD.tape.hooks and not THREAD.tape.abstract:
                realize(value)  # a hook may look at values, which must not evaluate the tape being read
        tape = THREAD.tape
        tape.held += 1
        try:
            _tape_steps(tape, work, outputs, seeds, retain, create_graph)
        finally:
            tape.held -= 1
        while work.heap:
            _, _, segment = heapq.heappop(work.heap)
            _segment_step(segment, work, retain)
    finally:
        grad_enabled.reset(token)
    return work.results


def _tape_steps(
    tape: Tape,
    work: _Work,
    outputs: Sequence[Value],
    seeds: Sequence[Value | None],
    retain: bool,
    create_graph: bool,
) -> None:
    """Seed the outputs, and go back over what is pending: the thread's own tape, then those around it."""
    for value, seed in zip(outputs, seeds, strict=True):
        source = value.source
        if isinstance(source, Tape) and source is not tape and not tape.encloses(source):
            realize(value)
        if seed is None:
            seed = tape.record(ones, (value.type.shape, value.type.dtype), ())
        work.arrive(value, seed)
    at: Tape | None = tape
    while at is not None:
        if at in work.tapes:
            _tape_step(at, work, retain, create_graph)
        at = at.outer


def _check(value: Value) -> None:
    if not value.needs_grad:
        reason = "it does not depend on a tensor with requires_grad=True"
        if not value.type.dtype.floating:
            reason = f"it is {value.type.dtype}: only floating-point tensors have gradients"
        raise GradientError(f"this tensor has no gradient: {reason}")
    if isinstance(value.source, Freed):
        raise GradientError(_FREED)


def _cached_pullback(
    state: State, outputs: tuple[int, ...], wanted: tuple[int, ...], cut: frozenset[int]
) -> Pullback:
    key = (outputs, wanted, cut)
    found: Pullback | None = state.graphs.get(key)
    if found is None:
        found = state.graphs[key] = _marked(pullback(flatten(state).graph, outputs, wanted, cut))
    return found


def _marked(found: Pullback) -> Pullback:
    """The pullback with its nodes' origins told from those of the operations they are gradients of."""
    graph = found.graph
    nodes = [
        n if n.where is NOWHERE else Node(n.primitive, n.inputs, n.attrs, n.outputs, InGradient(*n.where))
        for n in graph.nodes
    ]
    return replace(found, graph=Graph(graph.types, graph.inputs, nodes, graph.outputs))


def _pull(
    state: State,
    table: dict[int, Value],
    marks: Sequence[int],
    stops: frozenset[int],
    hooks: dict[int, list[Hook]],
    partial: Callable[[int], Value | None],
    call: Callable[[Pullback, list[Value]], Sequence[Value]],
) -> dict[int, Value]:
    """Pull cotangents of one recording back to its marks, stopping at each hooked value on the way.

    Hooked values are visited from last to first, so each one's gradient is complete when its hook
    sees it.  At ``stops``, which are marks too, gradients end.  What later recordings contributed
    to a mark, its ``partial`` gradient, goes in as a seed: so a gradient is one chain of additions
    from the last use to the first, wherever recordings end.
    """
    arrived = dict(table)
    remaining = {v for v in hooks if v not in marks}
    results: dict[int, Value] = {}

    def so_far(v: int) -> Value | None:
        if v in remaining:
            return arrived.get(v)
        return results[v] if v in results else partial(v)

    while True:
        direct = {v: g for v, g in arrived.items() if v not in remaining}
        if direct:
            arrived = {v: g for v, g in arrived.items() if v in remaining}
            wanted, cut = (*marks, *sorted(remaining)), stops | frozenset(remaining)
            found = _cached_pullback(state, tuple(direct), wanted, cut)
            known = {v: g for v in found.sources if (g := so_far(v)) is not None}
            seeds = {v: g for v, g in known.items() if v not in direct}
            if seeds:
                found = _cached_pullback(state, (*direct, *seeds), wanted, cut)
            for v, g in zip(found.sources, call(found, [*direct.values(), *seeds.values()]), strict=True):
                into = arrived if v in remaining else results
                into[v] = record_add(known[v], g) if v in known and v not in seeds else g
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


def _tape_step(tape: Tape, work: _Work, retain: bool, create_graph: bool) -> None:
    """Take the gradients that arrived on a tape, the thread's own or one around it, to its leaves."""
    state = tape.state
    flat = flatten(state)
    values = list(tape.index)
    table: dict[int, Value] = {}
    for position, g in work.tapes.pop(tape).items():
        if position in flat.freed:
            raise GradientError(_FREED)
        v = flat.values[position]
        table[v] = record_add(table[v], g) if v in table else g
    if flat.freed and work.frontier is None and not flat.freed.isdisjoint(_history(state, tuple(table))):
        raise GradientError(_FREED)
    targets = {flat.values[p]: values[p] for p in flat.marks if work.continues(values[p], tape)}
    inner = {flat.values[p]: w for p, w in work.wanted_in(tape).items()}
    stops = frozenset(inner)
    targets.update(inner)
    own = tape is THREAD.tape
    frees = frozenset() if retain or not own else _history(state, tuple(table))

    def call(found: Pullback, seeds: list[Value]) -> Sequence[Value]:
        if not found.sources:
            return ()
        if not own:
            connected = create_graph and not work.detached
            return _call_from_within(tape, state, found, seeds, connected)
        key = ("call", id(found), create_graph, retain)
        entry = state.graphs.get(key)
        if entry is None:
            entry = state.graphs[key] = FlatCall(found.graph, found.residuals, create_graph, frees)
        return _as_tuple(THREAD.tape.record(entry, (), seeds))

    hooks = {flat.values[p]: h for p, h in tape.hooks.items()}
    leaves = _Leaves(work, targets, tape)
    leaves.deliver(_pull(state, table, tuple(targets), stops, hooks, leaves.partial, call))


def _call_from_within(
    tape: Tape, state: State, found: Pullback, seeds: list[Value], connected: bool
) -> Sequence[Value]:
    """Apply a gradient graph of an enclosing tape on the thread's own: its residuals are captured."""
    key = ("residuals", found.residuals, connected)
    entry: FlatCall | None = state.graphs.get(key)
    if entry is None:
        types = [flatten(state).graph.types[v] for v in found.residuals]
        numbers = range(len(types))
        entry = state.graphs[key] = FlatCall(
            Graph(types, numbers, (), numbers), found.residuals, connected, frozenset()
        )
    inner = THREAD.tape
    residuals: tuple[Value, ...] = ()
    if found.residuals:
        THREAD.tape = tape
        try:
            residuals = _as_tuple(tape.record(entry, (), ()))
        finally:
            THREAD.tape = inner
    return _as_tuple(inner.record(apply_graph, (_portable(state, found),), [*residuals, *seeds]))


def _history(state: State, outputs: tuple[int, ...]) -> frozenset[int]:
    """The positions whose gradients are used up once those of ``outputs`` have been taken."""
    key = ("history", outputs)
    found: frozenset[int] | None = state.graphs.get(key)
    if found is None:
        flat = flatten(state)
        reached = set(outputs)
        for node in reversed(flat.graph.nodes):
            constant = node.primitive.name == "stop_gradient"  # no gradient goes beyond
            if not constant and any(v in reached for v in node.outputs):
                reached.update(node.inputs)
        marks = set(flat.marks)
        found = state.graphs[key] = frozenset(
            p for p, v in enumerate(flat.values) if v in reached and flat.needs_grad[p] and p not in marks
        )
    return found


def _segment_step(segment: Segment, work: _Work, retain: bool) -> None:
    state = segment.state
    if segment.kept is None:
        raise GradientError(_FREED)
    kept = segment.kept
    targets = {v: m for v, m in segment.marks.items() if work.continues(m, segment)}
    inner = work.wanted_in(segment)
    targets.update(inner)
    flat = flatten(state)
    active: set[int] | None = state.graphs.get("active")
    if active is None:
        active = state.graphs["active"] = active_values(flat.graph, [flat.values[p] for p in flat.marks])

    def operand(v: int) -> Any:
        data = kept[v]
        type = flat.graph.types[v]
        if isinstance(data, Value):
            if v not in active or (segment.marks.get(v) is data and not work.detached):
                return data
            data = data.data  # computed, though its memory is a leaf's: it has a history of its own
        if not isinstance(data, Buffer):
            return (data, type.dtype)
        if work.detached:
            return leaf(type, data)
        value = leaf(type, data, needs_grad=v in active)
        value.source, value.position = segment, v
        return value

    def call(found: Pullback, seeds: list[Value]) -> Sequence[Value]:
        if not found.sources:
            return ()
        operands = [*map(operand, found.residuals), *seeds]
        return _as_tuple(THREAD.tape.record(apply_graph, (_portable(state, found),), operands))

    table = work.segments.pop(segment)
    leaves = _Leaves(work, targets, segment)
    leaves.deliver(_pull(state, table, tuple(targets), frozenset(inner), segment.hooks, leaves.partial, call))
    if not retain:
        segment.kept = None


def _portable(state: State, found: Pullback) -> Graph:
    key = ("portable", id(found))
    graph: Graph | None = state.graphs.get(key)
    if graph is None:
        graph = state.graphs[key] = without_entries(found.graph)
    return graph


def without_entries(graph: Graph) -> Graph:
    """The graph with its origins kept, but no longer tied to positions of the tape it came from."""
    nodes = [
        n
        if n.where is NOWHERE
        else Node(n.primitive, n.inputs, n.attrs, n.outputs, n.where._replace(entry=-1))
        for n in graph.nodes
    ]
    return Graph(graph.types, graph.inputs, nodes, graph.outputs)
