"""Carrying over: what an evaluation left pending is recorded again on the next tape."""

from __future__ import annotations

from collections.abc import Sequence

from flambeau.dtypes import DType
from flambeau.engine.flatten import Flat
from flambeau.engine.tape import FlatCall, State, Tape, Value


def trie_path(state: State) -> list[State]:
    """The states from the first entry to ``state``."""
    path: list[State] = []
    at: State | None = state
    while at is not None and at.entry is not None:
        path.append(at)
        at = at.parent
    path.reverse()
    return path


def movable(state: State) -> bool:
    """Whether entries can be recorded elsewhere: gradient calls read inside earlier entries."""
    return not any(isinstance(s.entry[0], FlatCall) for s in trie_path(state))


def unharmed(flat: Flat, failed: int, live: Sequence[int]) -> list[int]:
    """The pending positions among ``live`` that do not need the entry at position ``failed``."""
    if failed < 0:
        return []
    tainted: set[int] = set()
    for node in flat.graph.nodes:
        if node.where.entry == failed or any(v in tainted for v in node.inputs):
            tainted.update(node.outputs)
    leaves = set(flat.leaves)
    return [p for p in live if p not in leaves and flat.values[p] not in tainted]


def carry_over(old: Tape, new: Tape, values: list[Value], leftover: Sequence[int]) -> None:
    """Record the entries that ``leftover`` positions of ``old`` need on ``new``.

    The values keep their identity, so every handle stays valid.
    """
    path = trie_path(old.state)
    starts: list[int] = []
    numbers: list[int] = []
    position = scalar = 0
    for step in path:
        starts.append(position)
        numbers.append(scalar)
        position += len(step.types)
        if step.entry[0] != "leaf":
            scalar += sum(isinstance(i, DType) for i in step.entry[2])
    needed = set(leftover)
    chosen: list[int] = []
    for k in range(len(path) - 1, -1, -1):
        step, start = path[k], starts[k]
        mine = range(start, start + len(step.types))
        if step.entry[0] == "leaf" or not any(p in needed for p in mine):
            continue
        chosen.append(k)
        needed.update(i for i in step.entry[2] if not isinstance(i, DType) and values[i].data is None)
    places = {place[0]: place for place in old.places}
    for k in reversed(chosen):
        step, start, number = path[k], starts[k], numbers[k]
        fn, attrs, ids = step.entry
        moved: list[DType | int] = []
        for i in ids:
            if isinstance(i, DType):
                new.scalars.append(old.scalars[number])
                number += 1
                moved.append(i)
            else:
                at = new.index.get(values[i])
                moved.append(new.leaf(values[i]) if at is None else at)
        key = (fn, attrs, tuple(moved))
        state = (new.state.next if step.recorded_grad else new.state.next_off).get(key)
        new.state = state or new.extend(key, step.recorded_grad)
        _, code, offset, layer = places[start]
        new.places.append((len(new.types), code, offset, layer))
        for p in range(start, start + len(step.types)):
            value = values[p]
            value.source, value.position = new, len(new.types)
            new.index[value] = len(new.types)
            new.types.append(value.type)
