"""Recurrent layers: one step of each cell, and stacks of layers over sequences.

A layer is a ``scan``, so what is recorded does not grow with the number of steps.  The input's part
of all steps is one matrix product outside of it.

Where sequences have lengths, padding is replaced by zeros on the way in, the carried state stops
changing past a sequence's end and results there are 0.  The backward direction walks from the last
step to the first with the same rule, so that it begins at each sequence's own last element.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from flambeau.dtypes import bool_, int64
from flambeau.errors import DTypeError, OperandError, ShapeError
from flambeau.graph.builder import Var
from flambeau.graph.graph import Graph
from flambeau.graph.types import Size, TensorType
from flambeau.primitives.contract import dot_general
from flambeau.primitives.dropout import dropout
from flambeau.primitives.elementwise import add, lt, mul, relu, select, sigmoid, sub, tanh
from flambeau.primitives.gather import in_range
from flambeau.primitives.indexing import concatenate, slice_axis
from flambeau.primitives.scan import keeping, scan, step_residuals
from flambeau.primitives.splitting import chunk
from flambeau.primitives.subgraphs import build, floating
from flambeau.primitives.views import (
    broadcast,
    expand_dims,
    full,
    iota,
    move_axis,
    reshape,
    shape_text,
    squeeze,
    zeros_like,
)

Vars = Sequence[Var]


class Kind(NamedTuple):
    """Which cell: its name, how many gates it has, and what it carries (names of its states)."""

    name: str
    gates: int
    states: tuple[str, ...]


RNN_TANH = Kind("tanh", 1, ("h_0",))
RNN_RELU = Kind("relu", 1, ("h_0",))
LSTM = Kind("lstm", 4, ("h_0", "c_0"))
GRU = Kind("gru", 3, ("h_0",))


def project(x: Var, weight: Var) -> Var:
    """``x @ weight.T`` over the last axis of ``x``."""
    return dot_general(x, weight, ((x.ndim - 1,), (1,)))


# --- one step --------------------------------------------------------------------------------

# Each takes the input's part of the gates, the states and the weights of the state's part, and
# gives the states after the step.


def _simple_step(activation: Callable[[Var], Var], gates: Var, states: Vars, weights: Vars) -> list[Var]:
    (h,) = states
    return [activation(add(gates, project(h, weights[0])))]


def _tanh_step(gates: Var, states: Vars, weights: Vars) -> list[Var]:
    return _simple_step(tanh, gates, states, weights)


def _relu_step(gates: Var, states: Vars, weights: Vars) -> list[Var]:
    return _simple_step(relu, gates, states, weights)


def _lstm_step(gates: Var, states: Vars, weights: Vars) -> list[Var]:
    h, c = states
    hidden = c.shape[-1]
    assert isinstance(hidden, int)
    i, f, g, o = chunk(add(gates, project(h, weights[0])), hidden, 1)
    c = add(mul(sigmoid(f), c), mul(sigmoid(i), tanh(g)))
    h = mul(sigmoid(o), tanh(c))
    return [project(h, weights[1]) if len(weights) == 2 else h, c]


def _gru_step(gates: Var, states: Vars, weights: Vars) -> list[Var]:
    (h,) = states
    hidden = h.shape[-1]
    assert isinstance(hidden, int)
    own = project(h, weights[0])
    if len(weights) == 2:
        own = add(own, weights[1])
    r, z, n = chunk(gates, hidden, 1)
    own_r, own_z, own_n = chunk(own, hidden, 1)
    update = sigmoid(add(z, own_z))
    new = tanh(add(n, mul(sigmoid(add(r, own_r)), own_n)))
    return [add(new, mul(update, sub(h, new)))]


_STEPS: dict[Kind, Callable[[Var, Vars, Vars], list[Var]]] = {
    RNN_TANH: _tanh_step,
    RNN_RELU: _relu_step,
    LSTM: _lstm_step,
    GRU: _gru_step,
}


class Weights(NamedTuple):
    """One direction of one layer: (gates, input), (gates, state), two biases, and LSTM's projection."""

    input: Var
    state: Var
    biases: tuple[Var, ...]
    projection: Var | None

    def gates(self, kind: Kind, x: Var) -> Var:
        """The input's part of the gates, with the biases that can be added there."""
        z = project(x, self.input)
        if not self.biases:
            return z
        # the state's bias of a GRU is multiplied by the reset gate, so it belongs to the step
        return add(z, self.biases[0] if kind is GRU else add(*self.biases))

    def of_step(self, kind: Kind) -> list[Var]:
        """The operands of the step."""
        own = [self.state]
        if kind is GRU and self.biases:
            own.append(self.biases[1])
        return own if self.projection is None else [*own, self.projection]


def _weights(operands: Iterator[Var], bias: bool, projected: bool) -> Weights:
    own, state = next(operands), next(operands)
    biases = (next(operands), next(operands)) if bias else ()
    return Weights(own, state, biases, next(operands) if projected else None)


def _check_dtypes(name: str, x: Var, weight: Var) -> None:
    if x.dtype is not weight.dtype:
        raise DTypeError(f"{name}: the input is {x.dtype}, the weights are {weight.dtype}: cast one of them")


def _check_states(name: str, kind: Kind, states: Vars, shapes: Sequence[tuple[Size, ...]], x: Var) -> None:
    for what, state, shape in zip(kind.states, states, shapes, strict=True):
        if state.shape != shape:
            raise ShapeError(
                f"{name}: {what} must have shape {shape_text(shape)}, not {shape_text(state.shape)}"
            )
        if state.dtype is not x.dtype:
            raise DTypeError(f"{name}: {what} is {state.dtype}, the input {x.dtype}: cast one of them")


def cell(x: Var, *operands: Var | Kind | str | bool) -> Var | tuple[Var, ...]:
    """The builder of one step: input, weights, states if given, then (name, kind, bias, given)."""
    *given, name, kind, bias, started = operands
    assert isinstance(kind, Kind) and isinstance(name, str)
    it = iter([v for v in given if isinstance(v, Var)])
    weights = _weights(it, bool(bias), False)
    hidden, size = weights.state.shape[1], weights.input.shape[1]
    if x.ndim not in (1, 2) or x.shape[-1] != size:
        raise ShapeError(
            f"{name}: an input of shape (batch, {size}) or ({size},) is needed, not {shape_text(x.shape)}"
        )
    _check_dtypes(name, x, weights.input)
    lead = x.shape[:-1]
    states = list(it) if started else [full((*lead, hidden), 0, x.dtype) for _ in kind.states]
    _check_states(name, kind, states, [(*lead, hidden)] * len(states), x)
    if x.ndim == 1:
        x, states = expand_dims(x, 0), [expand_dims(v, 0) for v in states]
    made = _STEPS[kind](weights.gates(kind, x), states, weights.of_step(kind))
    if not lead:
        made = [squeeze(v, (0,)) for v in made]
    return tuple(made) if len(made) > 1 else made[0]


# --- layers over sequences -------------------------------------------------------------------


class Plan(NamedTuple):
    """What is known about a stack of layers before it sees numbers.

    ``started``: initial states are given; ``lengths``: the sequences' lengths are; ``dropped``: with
    dropout between the layers; ``kept``: a gradient may follow, so each step keeps what it needs.
    """

    name: str
    kind: Kind
    layers: int
    directions: int
    bias: bool
    projected: bool
    batch_first: bool
    started: bool
    lengths: bool
    dropped: bool
    kept: bool


@lru_cache(maxsize=512)
def _body(
    kind: Kind,
    weights: tuple[TensorType, ...],
    states: tuple[TensorType, ...],
    gates: TensorType,
    masked: bool,
) -> Graph:
    """A step as a graph: weights and states, the gates, whether each sequence is still running."""
    count = len(weights)

    def step(*operands: Var) -> list[Var]:
        own, before = operands[:count], operands[count : count + len(states)]
        after = _STEPS[kind](operands[count + len(states)], before, own)
        if not masked:
            return [*after, after[0]]
        running = [broadcast(operands[-1], v.shape, (0,)) for v in after]
        after = [select(r, new, old) for r, new, old in zip(running, after, before, strict=True)]
        return [*after, select(running[0], after[0], zeros_like(after[0]))]

    types = [*weights, *states, gates]
    if masked:
        types.append(TensorType(gates.shape[:1], bool_))
    return build(types, step)


def _run(
    plan: Plan, x: Var, weights: Weights, states: Vars, running: Var | None, reverse: bool
) -> tuple[Var, list[Var]]:
    """One direction of one layer: its outputs at all steps, and its last states."""
    gates = weights.gates(plan.kind, x)
    own = weights.of_step(plan.kind)
    body = _body(
        plan.kind,
        tuple([v.type for v in own]),
        tuple([v.type for v in states]),
        TensorType(gates.shape[1:], gates.dtype),
        running is not None,
    )
    split = (len(own), len(states))
    if plan.kept:
        body = keeping(body, step_residuals(body, split, floating(body.output_types))[1])
    along = [gates] if running is None else [gates, running]
    made = scan(body, split, x.shape[0], reverse, *own, *states, *along)
    return made[len(states)], list(made[: len(states)])


def _stacked(parts: Sequence[Var]) -> Var:
    return concatenate([expand_dims(v, 0) for v in parts], 0)


def _running(plan: Plan, lengths: Var, x: Var) -> Var:
    """Which steps belong to which sequence: (steps, batch)."""
    steps, batch = x.shape[:2]
    if lengths.shape != (batch,):
        raise ShapeError(
            f"{plan.name}: lengths must have shape {shape_text((batch,))}, one for each sequence, "
            f"not {shape_text(lengths.shape)}"
        )
    if lengths.dtype is not int64:
        raise DTypeError(f"{plan.name}: lengths must be int64, not {lengths.dtype}")
    known = in_range(lengths, steps + 1, f"{plan.name}: length")
    return lt(iota((steps, batch), 0, int64), broadcast(known, (steps, batch), (1,)))


def layers(*operands: Var | Plan) -> tuple[Var, ...]:
    """The builder of a stack of layers.

    Operands are the input, the weights of each layer's directions, initial states, lengths,
    dropout's probability and a key and counter for each gap between layers; then the ``Plan``.
    Gives the output and the last states, each of them (layers * directions, batch, size).
    """
    *given, plan = operands
    assert isinstance(plan, Plan)
    it = iter([v for v in given if isinstance(v, Var)])
    x = next(it)
    count = plan.layers * plan.directions
    weights = [_weights(it, plan.bias, plan.projected) for _ in range(count)]
    x, batched = _sequences(plan, x, weights[0])
    states = _starts(plan, it, weights[0], x, batched)
    running = None
    if plan.lengths:
        if not batched:
            raise OperandError(f"{plan.name}: lengths are for a batch of sequences, not for a single one")
        running = _running(plan, next(it), x)
        # padding may hold anything, even NaN, which products with zeros would let through
        x = select(broadcast(running, x.shape, (0, 1)), x, zeros_like(x))
    p = next(it) if plan.dropped else None
    last: list[list[Var]] = [[] for _ in states]
    for layer in range(plan.layers):
        if p is not None and layer:
            key, counter = next(it), next(it)
            x = dropout(key, counter, x, p, 0)
        made = []
        for direction in range(plan.directions):
            at = layer * plan.directions + direction
            own = [_entry(v, at) for v in states]
            y, after = _run(plan, x, weights[at], own, running, direction == 1)
            made.append(y)
            for found, v in zip(last, after, strict=True):
                found.append(v)
        x = concatenate(made, 2)
    ends = [_stacked(found) for found in last]
    if not batched:
        return (squeeze(x, (1,)), *[squeeze(v, (1,)) for v in ends])
    return (move_axis(x, 0, 1) if plan.batch_first else x, *ends)


def _entry(x: Var, at: int) -> Var:
    """``x[at]``."""
    return reshape(slice_axis(x, 0, at, at + 1), x.shape[1:])


def _sequences(plan: Plan, x: Var, weights: Weights) -> tuple[Var, bool]:
    """The input as (steps, batch, features), and whether it was a batch."""
    size = weights.input.shape[1]
    if x.ndim not in (2, 3) or x.shape[-1] != size:
        lead = "batch, steps" if plan.batch_first else "steps, batch"
        raise ShapeError(
            f"{plan.name}: an input of shape ({lead}, {size}) or (steps, {size}) is needed, "
            f"not {shape_text(x.shape)}"
        )
    _check_dtypes(plan.name, x, weights.input)
    if x.ndim == 2:
        return expand_dims(x, 1), False
    return (move_axis(x, 0, 1) if plan.batch_first else x), True


def _starts(plan: Plan, it: Iterator[Var], weights: Weights, x: Var, batched: bool) -> list[Var]:
    """The initial states: (layers * directions, batch, size) each."""
    gates, h = weights.state.shape
    assert isinstance(gates, int)
    sizes = [h, gates // plan.kind.gates][: len(plan.kind.states)]
    lead = plan.layers * plan.directions
    batch = x.shape[1]
    if not plan.started:
        return [full((lead, batch, size), 0, x.dtype) for size in sizes]
    states = [next(it) for _ in sizes]
    shapes = [(lead, batch, size) if batched else (lead, size) for size in sizes]
    _check_states(plan.name, plan.kind, states, shapes, x)
    return states if batched else [expand_dims(v, 1) for v in states]
