"""What remains of an evaluated recording through which gradients may still flow."""

from __future__ import annotations

import itertools
from typing import Any

from flambeau.engine.tape import State, Value

_COUNTER = itertools.count()


class Segment:
    """An evaluated recording: its state, the residuals that were kept, and its leaves.

    Values in it are numbered as in the flat graph of ``state``.  ``kept`` maps a number to data
    or a number, and is None once it was freed; ``marks`` maps the numbers of leaves that need
    gradients to their values.  ``order`` grows with time: gradients visit segments from last to first.
    """

    __slots__ = ("hooks", "kept", "marks", "order", "state")

    def __init__(self, state: State, kept: dict[int, Any] | None, marks: dict[int, Value]) -> None:
        self.state = state
        self.kept = kept
        self.marks = marks
        self.order = next(_COUNTER)
        self.hooks: dict[int, Any] = {}


class Freed:
    """Stands where a segment was whose gradient has been taken."""

    __slots__ = ()


FREED = Freed()
