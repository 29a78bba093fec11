"""How the values around a reduction relate to its points: the frames that one kernel can hold.

A reduction of a value of shape ``whole`` over ``axes`` has *points* and *rows*.  Values of four shapes
are understood beside it: one element per point; one per row, without the reduced axes or with size
1 in their place; and single numbers.  The broadcasts and reshapes between them move nothing and
need no memory within a kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flambeau.graph.graph import Graph, Node

POINT, ROW, ROW_OF_ONES, NUMBER = "point", "row", "row of ones", "number"
Shape = Sequence[Any]


@dataclass(frozen=True)
class Frames:
    """The shapes of a reduction of ``whole`` over ``axes``."""

    whole: tuple[Any, ...]
    axes: tuple[int, ...]

    @staticmethod
    def of(graph: Graph, reduction: Node) -> Frames:
        """The frames of a reduction."""
        axes = tuple(sorted(reduction.attrs["axes"]))
        return Frames(tuple(graph.types[reduction.inputs[0]].shape), axes)

    @property
    def kept(self) -> tuple[int, ...]:
        """The axes that are not reduced."""
        return tuple([i for i in range(len(self.whole)) if i not in self.axes])

    @property
    def innermost(self) -> bool:
        """Whether the reduced axes come last, after others, and can be told from the result."""
        first = len(self.whole) - len(self.axes)
        return first > 0 and self.axes[0] == first and self.tells_points

    @property
    def tells_points(self) -> bool:
        """Whether points and rows differ in shape."""
        return any(self.whole[a] != 1 for a in self.axes)

    def frame(self, shape: Shape) -> str | None:
        """Which of the four a value of this shape is."""
        if not shape:
            return NUMBER
        if tuple(shape) == self.whole:
            return POINT
        if tuple(shape) == tuple([self.whole[i] for i in self.kept]):
            return ROW
        if tuple(shape) == tuple([1 if i in self.axes else n for i, n in enumerate(self.whole)]):
            return ROW_OF_ONES
        return None

    def passes(self, graph: Graph, view: Node) -> bool:
        """Whether a view leads from one of these shapes to another so that rows stay rows."""
        given = self.frame(graph.types[view.inputs[0]].shape)
        made = self.frame(graph.types[view.outputs[0]].shape)
        if given is None or made is None:
            return False
        name = view.primitive.name
        if name == "reshape":
            return {given, made} <= {ROW, ROW_OF_ONES}
        if name != "broadcast":
            return False
        spread = tuple(view.attrs["axes"])
        if given == NUMBER:
            return True
        if given == ROW and made != ROW:
            return spread == self.kept
        return given != POINT and spread == tuple(range(len(spread))) and made != NUMBER

    def spread(self, shape: Shape, steps: Sequence[int]) -> list[int]:
        """The steps, along the axes of ``whole``, of an operand of one of these shapes."""
        frame = self.frame(shape)
        if frame == POINT:
            return list(steps)
        if frame == ROW_OF_ONES:
            return [0 if i in self.axes else s for i, s in enumerate(steps)]
        out = [0] * len(self.whole)
        if frame == ROW:
            for axis, step in zip(self.kept, steps, strict=True):
                out[axis] = step
        return out
