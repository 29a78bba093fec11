"""What a program consists of, for those who explain it: its tasks with what they came from.

Ordinary scheduling keeps none of this; ``schedule(..., units=True)`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from flambeau.compiler.kernel import Bind, Op
from flambeau.graph.graph import Node
from flambeau.graph.types import TensorType


@dataclass(slots=True)
class Unit:
    """A task, its operations, and the nodes of its group.

    ``kind`` and ``root`` are those of the group that the task is part of or was needed for; ``type_of``
    gives the types of the values that its operands name.  ``at`` is where the operations begin among
    those of the surrounding unit, or of the program.  Control flow has a list of units per body.
    """

    kind: str
    nodes: list[Node]
    root: Node | None
    task: Any
    type_of: Callable[[int], TensorType]
    at: int = 0
    ops: list[Op] = field(default_factory=list)
    bodies: list[list[Unit]] = field(default_factory=list)
    before: list[Op] = field(default_factory=list)  # what binds the addresses that a body's calls use
    workspace: int = 0  # bytes it needs while it runs, for packed operands and partial results


def enter_bodies(unit: Unit, inner: Sequence[Sequence[Unit]], written: Sequence[Sequence[Op]]) -> None:
    """Give a unit of control flow its bodies, whose operations are now among its own.

    ``written[i]`` are the operations of body ``i`` as they were written into the unit's.
    """
    places = {id(op): i for i, op in enumerate(unit.ops)}
    for units, ops in zip(inner, written, strict=True):
        start = places.get(id(ops[0])) if ops else None
        if start is None:  # a branch that is never taken
            unit.bodies.append([])
            continue
        for one in units:
            one.at += start
        unit.bodies.append(list(units))


def settle(unit: Unit) -> None:
    """Give the units inside a unit of a program their final operations."""
    waiting = [unit]
    while waiting:
        outer = waiting.pop()
        for units in outer.bodies:
            for one in units:
                one.ops = outer.ops[one.at : one.at + len(one.ops)]
                one.before = [*outer.before, *[op for op in outer.ops[: one.at] if isinstance(op, Bind)]]
                waiting.append(one)
