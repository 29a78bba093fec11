"""Evaluation: which values, by which plan, and what is kept for gradients.

Plans hang on the states of the trie, under the set of positions that are still alive: exact
sizes, exact live handles.  Everything that does not depend on sizes is shared below, in the
executor's cache of structures and kernels.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from sys import getrefcount
from typing import Any

import numpy as np

from flambeau.autodiff.reverse import pullback
from flambeau.compiler.simplify import simplify
from flambeau.counts import COUNTS
from flambeau.engine.carry import carry_over, movable, unharmed
from flambeau.engine.executor import Executable, NodeFailure
from flambeau.engine.executors import active_executor
from flambeau.engine.flatten import Flat, flatten
from flambeau.engine.segment import FREED, Freed, Segment
from flambeau.engine.tape import HOOKS, THREAD, TRIE, Cell, State, Tape, Value
from flambeau.errors import FlambeauError, GradientError, TraceError, located
from flambeau.graph.graph import Graph
from flambeau.graph.verifier import check_graph
from flambeau.runtime.buffers import Buffer


def _baseline() -> int:
    """The references a value has when only the tape's index knows it."""
    index = {Value(None, None, 0, False): 0}  # type: ignore[arg-type]
    return next(iter(map(getrefcount, index)))


_ALONE = _baseline()


_PLAN_WEIGHT = 20  # a plan is about as large as so many states
_MANY = 64  # values worth recording again for one that was asked for: beyond, all are computed
_PAUSE = 50e-6  # seconds between looks at a recording that its own thread is evaluating


class Plan:
    """How to evaluate one recording with one set of live positions."""

    __slots__ = (
        "aliases",
        "donated",
        "executable",
        "executor",
        "keep",
        "leaves",
        "leftover",
        "marks",
        "numbers",
        "outputs",
        "scalars",
        "sources",
        "state",
    )

    def __init__(self, state: State, asked: tuple[int, ...], live: tuple[int, ...]) -> None:
        flat = flatten(state)
        self.state = state
        check_graph(flat.graph)
        alive = set(live) | set(asked)
        leaves = set(flat.leaves)
        pending = [p for p in sorted(alive) if p not in leaves]
        wanted = _connected(flat, asked, pending) if asked else pending
        self.leftover = [p for p in pending if p not in set(wanted)]
        if len(self.leftover) > _MANY or (self.leftover and not movable(state)):
            wanted, self.leftover = pending, []
        differentiable = [p for p in wanted if flat.needs_grad[p] and p not in flat.freed]
        differentiable = [p for p in differentiable if p not in flat.marks]
        kept = _residuals(flat, differentiable)
        numbers = {v: i for i, v in enumerate(flat.scalars)}
        leaf_of = {flat.values[p]: p for p in reversed(flat.leaves)}

        outs = [flat.values[p] for p in wanted] + [v for v in kept if v not in numbers and v not in leaf_of]
        graph = simplify(Graph(flat.graph.types, flat.graph.inputs, flat.graph.nodes, outs))
        used = {v for node in graph.nodes for v in node.inputs} | set(graph.outputs)
        self.leaves = [p for p in flat.leaves if flat.values[p] in used]
        self.scalars = [i for i, v in enumerate(flat.scalars) if v in used]
        inputs = [flat.values[p] for p in self.leaves] + [flat.scalars[i] for i in self.scalars]

        slot: dict[int, int] = {}
        for v in graph.outputs:
            if v not in slot and v not in leaf_of and v not in numbers:
                slot[v] = len(slot)
        place = dict(zip(outs, graph.outputs, strict=True))
        # (position, output index or -1, leaf position): an output may simply be a leaf
        self.outputs = [
            (
                p,
                slot.get(place[flat.values[p]], -1),
                leaf_of.get(place[flat.values[p]], -1),
                _afterwards(flat, p),
            )
            for p in wanted
            if place[flat.values[p]] not in numbers
        ]
        self.numbers = [
            (p, numbers[place[flat.values[p]]]) for p in wanted if place[flat.values[p]] in numbers
        ]
        self.keep = [
            (v, "number", numbers[v]) if v in numbers
            else (v, "number", numbers[place[v]]) if place.get(v) in numbers
            else (v, "leaf", leaf_of[v]) if v in leaf_of
            else (v, "leaf", leaf_of[place[v]]) if place[v] in leaf_of
            else (v, "output", slot[place[v]])
            for v in kept
        ]  # fmt: skip
        held = {p for _, at, p, _ in self.outputs if at < 0} | {
            p for _, kind, p in self.keep if kind == "leaf"
        }
        self.sources = {p: flat.values[p] for p in differentiable}
        self.marks = {flat.values[p]: p for p in flat.marks} if differentiable else {}
        self.donated = [
            i for i, p in enumerate(self.leaves) if p not in alive and p not in held and not self.leftover
        ]
        program = Graph(graph.types, inputs, graph.nodes, list(slot))
        check_graph(program)
        self.executor = active_executor()
        self.executable: Executable | None = None
        if program.nodes or slot:
            # Parameters change after each step that takes gradients, and between other programs hardly ever.
            steady = () if self.sources else [i for i, p in enumerate(self.leaves) if flat.needs_grad[p]]
            self.executable = self.executor.prepare(
                program, frozenset(self.donated), len(self.scalars), frozenset(steady) - set(self.donated)
            )
        COUNTS.plans += 1

    def run(self, tape: Tape, values: list[Value]) -> Callable[[], None] | None:
        """Compute, and give the live values their data; what is returned is to be called at the end."""
        inputs: list[Any] = [values[p].data for p in self.leaves]
        for i in self.donated:
            if getrefcount(inputs[i]) > SOLE or inputs[i].borrowed:
                inputs[i] = duplicate(inputs[i])  # a NumPy view or another value shows this memory
        numbers = tape.scalars
        for j in self.scalars:
            x = numbers[j]
            inputs.append(x.value if isinstance(x, Cell) else x)
        made: list[Buffer] = []
        after = None
        if self.executable is not None:
            pending = self.executable.submit(inputs)
            made = pending.wait()
            after = pending.after
        COUNTS.runs += 1
        segment: Segment | None = None
        if self.sources:
            kept: dict[int, Any] = {}
            for v, kind, at in self.keep:
                if kind == "number":
                    kept[v] = numbers[at].value if isinstance(numbers[at], Cell) else numbers[at]
                elif kind == "leaf":
                    kept[v] = values[at]
                else:
                    kept[v] = made[at]
            segment = Segment(self.state, kept, {v: values[p] for v, p in self.marks.items()})
            if tape.hooks:
                numbered = flatten(self.state).values
                segment.hooks = {numbered[p]: hooks for p, hooks in tape.hooks.items()}
        for position, at in self.numbers:
            x = numbers[at].value if isinstance(numbers[at], Cell) else numbers[at]
            value = values[position]
            value.data = Buffer(value.type.dtype.itemsize)
            with np.errstate(all="ignore"):
                value.data.view(value.type.dtype, ())[...] = np.asarray(x).astype(value.type.dtype.numpy)
            value.source = None
        for position, output, alias, afterwards in self.outputs:
            value = values[position]
            if value.data is None:
                value.data = made[output] if output >= 0 else values[alias].data
            if position in self.sources:
                value.source = segment
                value.position = self.sources[position]
            else:
                value.source = afterwards
        return after


def _afterwards(flat: Flat, position: int) -> Freed | None:
    """What an evaluated value that has no segment remembers of its history."""
    return FREED if flat.needs_grad[position] and position not in flat.marks else None


def _connected(flat: Flat, asked: Sequence[int], pending: Sequence[int]) -> list[int]:
    """``asked`` and the pending positions that share computation with them, directly or through others.

    The results of one entry belong together as well: a layer's running statistics would otherwise
    stay behind, more of them at each call, where only its output is looked at.
    """
    group: dict[int, int] = {}
    constant: set[int] = set()

    def find(v: int) -> int:
        while group[v] != v:
            group[v] = group[group[v]]
            v = group[v]
        return v

    for node in flat.graph.nodes:
        if all(v in constant for v in node.inputs):
            constant.update(node.outputs)  # constants connect nothing
            continue
        head = node.outputs[0]
        for v in node.outputs:
            group[v] = head
        for v in node.inputs:
            if v in group:
                group[find(v)] = head
    for made in flat.together:
        several = [v for v in made if v in group]
        for v in several[1:]:
            group[find(v)] = find(several[0])
    roots = {find(flat.values[p]) for p in asked if flat.values[p] in group}
    chosen = set(asked)
    return [p for p in pending if p in chosen or (flat.values[p] in group and find(flat.values[p]) in roots)]


def _residuals(flat: Flat, positions: Sequence[int]) -> tuple[int, ...]:
    if not positions:
        return ()
    try:
        marks = [flat.values[p] for p in flat.marks]
        return pullback(flat.graph, sorted({flat.values[p] for p in positions}), marks).residuals
    except GradientError:
        return ()  # raised again, with its reason, when the gradient is asked for


def duplicate(buffer: Buffer) -> Buffer:
    """Another buffer with the same contents."""
    made = Buffer(buffer.nbytes)
    ctypes.memmove(made.ptr, buffer.ptr, buffer.nbytes)
    return made


def _sole() -> int:
    inputs = [Buffer(64)]
    return getrefcount(inputs[0]) + 1  # the list, the argument, and the leaf value's own


SOLE = _sole()


def evaluate(tape: Tape, *asked: Value) -> None:
    """Compute ``asked`` (all live values where none is given) and what shares their computation."""
    if tape.abstract:
        raise TraceError(
            f"the value of a tensor was needed inside {tape.abstract}, "
            "where only its shape and dtype are known"
        )
    if tape.error is not None:
        raise tape.error
    own = THREAD.tape is tape
    if own:
        tape.busy = True
        try:
            _evaluate(tape, asked, own)
        finally:
            tape.busy = False
    else:
        _evaluate(tape, asked, own)


def _evaluate(tape: Tape, asked: tuple[Value, ...], own: bool) -> None:
    state = tape.state
    if own:
        index = tape.index
        live = tuple([p for p, n in enumerate(map(getrefcount, index)) if n > _ALONE])
        positions = tuple([v.position for v in asked])
        values = list(index)
    else:  # another thread's recording: take what is asked, leave the tape alone
        flat = flatten(state)
        # One step of the interpreter, after which the owner finds these values in use and overwrites none
        values = list(tape.index)[: len(flat.values)]
        if tape.busy or len(values) < len(flat.values):  # it is overwriting some right now
            del values
            time.sleep(_PAUSE)
            return
        positions = tuple([v.position for v in asked])
        live = (*positions, *flat.leaves)  # nothing here may be overwritten
    key = (positions, live, active_executor())
    plan = state.plans.get(key)
    if plan is None:
        plan = state.plans[key] = Plan(state, positions, live)
        TRIE.grown(_PLAN_WEIGHT)
    if own:
        THREAD.tape = fresh = Tape()
        fresh.layer = tape.layer
    THREAD.running = tape, plan
    try:
        after = plan.run(tape, values)
    except NodeFailure as failure:
        error = _fail(tape, failure)
        if own:
            rest = unharmed(flatten(state), failure.where.entry, live) if movable(state) else []
            carry_over(tape, THREAD.tape, values, rest)
        raise error from None
    except BaseException:
        if own:
            THREAD.tape = tape  # interrupted: nothing was changed, everything is still pending
        raise
    finally:
        THREAD.running = None
    if own:
        if plan.leftover:
            carry_over(tape, THREAD.tape, values, plan.leftover)
        tape.index = {}
    if after is not None:
        after()


def _fail(tape: Tape, failure: NodeFailure) -> FlambeauError:
    """The error of a program, located; what is left on the recording that holds it raises it again."""
    error = failure.error
    where = failure.where
    place = tape.where(where.entry) if where.entry >= 0 else where
    located(error, str(place))
    tape.error = error
    return error


def realize(value: Value) -> None:
    """Make sure that ``value`` has data."""
    while value.data is None:  # another thread may be computing it, or have carried it over
        source = value.source
        if not isinstance(source, Tape):
            if value.data is not None:
                return  # it has come since it was looked for
            raise TraceError("this tensor was lost: the step that should have computed it failed")
        evaluate(source, value)


HOOKS.evaluate = evaluate
HOOKS.realize = realize
