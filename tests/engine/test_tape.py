"""Recording: what is part of a recording's identity, and what is not."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as fb
from flambeau.dtypes import float32, float64
from flambeau.engine.convert import from_array
from flambeau.engine.flatten import flatten
from flambeau.engine.tape import THREAD, TRIE, State, Tape, Value
from flambeau.errors import FlambeauError, TraceError
from flambeau.graph.verifier import verify
from flambeau.primitives import elementwise as e
from flambeau.tensor import Tensor


@pytest.fixture
def tape() -> Tape:
    """A tape of this thread with nothing on it."""
    THREAD.tape = Tape()
    return THREAD.tape


def vector(*numbers: float) -> Value:
    return from_array(np.asarray(numbers, np.float32))


def chain(tape: Tape, x: Value, *numbers: float) -> State:
    for n in numbers:
        x = tape.record(e.mul, (), (x, (n, float32)))
    return tape.state


def test_the_same_recording_is_the_same_state(tape: Tape) -> None:
    first = chain(tape, vector(1, 2), 0.5, 0.25)
    size = TRIE.size
    second = chain(Tape(), vector(3, 4), 0.5, 0.25)
    assert second is first
    assert TRIE.size == size


def test_numbers_are_no_part_of_a_recording(tape: Tape) -> None:
    other = Tape()
    assert chain(tape, vector(1, 2), 0.5) is chain(other, vector(1, 2), 7.5)
    assert tape.scalars == [0.5] and other.scalars == [7.5]


@pytest.mark.parametrize(
    "change",
    [
        lambda t, x, y: t.record(e.add, (), (x, y)),
        lambda t, x, y: t.record(e.mul, (), (y, x)),
        lambda t, x, y: t.record(e.mul, (), (x, x)),
        lambda t, x, y: t.record(e.mul, (), (x, (2.0, float32))),
        lambda t, x, y: t.record(e.cast, (float64,), (x,)),
    ],
)
def test_operations_operands_and_attributes_are(tape: Tape, change: object) -> None:
    x, y = vector(1, 2), vector(3, 4)
    tape.leaf(x)
    tape.leaf(y)
    tape.record(e.mul, (), (x, y))
    other = Tape()
    other.leaf(x)
    other.leaf(y)
    change(other, x, y)  # type: ignore[operator]
    assert other.state is not tape.state


@pytest.mark.parametrize(
    "array",
    [np.ones(3, np.float32), np.ones((2, 1), np.float32), np.ones(2, np.float64), np.ones(2, np.int32)],
)
def test_types_of_leaves_are(tape: Tape, array: np.ndarray) -> None:
    tape.leaf(vector(1, 2))
    other = Tape()
    other.leaf(from_array(array))
    assert other.state is not tape.state


def test_needing_gradients_is(tape: Tape) -> None:
    tape.leaf(vector(1, 2))
    other = Tape()
    marked = vector(1, 2)
    marked.needs_grad = True
    other.leaf(marked)
    assert other.state is not tape.state


def test_gradient_mode_is() -> None:
    THREAD.tape = Tape()
    x = fb.asarray([1.0, 2.0])
    x * x
    on = THREAD.tape.state
    THREAD.tape = Tape()
    with fb.no_grad():
        x * x
    assert THREAD.tape.state is not on


def test_a_leaf_has_one_position(tape: Tape) -> None:
    x = vector(1, 2)
    y = tape.record(e.add, (), (x, x))
    z = tape.record(e.mul, (), (y, x))
    assert [tape.index[v] for v in (x, y, z)] == [0, 1, 2]
    assert tape.types == [x.type, y.type, z.type]


def test_a_refused_operation_leaves_no_trace(tape: Tape) -> None:
    x, y = vector(1, 2), vector(1, 2, 3)
    tape.leaf(x)
    tape.leaf(y)
    state, positions = tape.state, len(tape.types)
    with pytest.raises(FlambeauError):
        tape.record(e.add, (), (x, y))
    with pytest.raises(FlambeauError):
        tape.record(e.bitwise_and, (), (x, (1.0, float32)))
    assert tape.state is state and len(tape.types) == positions and tape.scalars == []
    assert Tensor(tape.record(e.add, (), (x, (2.0, float32)))).tolist() == [3.0, 4.0]


def test_the_flat_graph_obeys_the_grammar(tape: Tape) -> None:
    x = fb.asarray([1.0, 2.0, 3.0], requires_grad=True)
    y = fb.softmax(x * 2.0, axis=0)
    z = fb.sum(y * y)
    z.backward()
    flat = flatten(tape.state)
    verify(flat.graph)
    assert len(flat.values) == len(flat.needs_grad) == len(tape.types)
    assert [flat.graph.types[v] for v in flat.values] == tape.types
    assert [flat.values[p] for p in flat.leaves] == [v for v in flat.graph.inputs if v not in flat.scalars]
    assert x.grad is not None and z.item() > 0


def test_equal_entries_stay_apart_until_they_have_been_differentiated(tape: Tape) -> None:
    x = fb.asarray([1.0, 2.0])
    a, b = fb.tanh(x), fb.tanh(x)
    assert [n.primitive.name for n in flatten(tape.state).graph.nodes] == ["tanh", "tanh"]
    a.numpy()
    assert b._value.data is None or b._value.data is a._value.data


def test_entries_know_the_line_and_layer(tape: Tape) -> None:
    tape.layer = ("net", "first")
    x = fb.asarray([1.0])
    y = x + 1.0
    place = str(tape.where(tape.index[y._value]))
    tape.layer = ()
    assert "test_tape.py" in place and "y = x + 1.0" in place and "net" in place


def test_tensors_of_a_trace_are_refused_outside() -> None:
    abstract = Tape("the function f")
    x = abstract.input(vector(1, 2).type, False)
    with pytest.raises(TraceError, match="the function f"):
        Tensor(THREAD.tape.record(e.neg, (), (x,)))
