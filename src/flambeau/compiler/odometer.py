"""Walking over several axes at once without dividing: indices that carry, and operands' offsets."""

from __future__ import annotations

from collections.abc import Sequence

from flambeau.compiler.ir import Function, Value


class Odometer:
    """Indices over some axes, the last one fastest, and each operand's offset in elements.

    ``sizes`` has one size per axis, ``steps`` per operand one step per axis, None where nothing
    moves.  A state is a flat list of values, fit for a loop to carry.
    """

    def __init__(self, f: Function, sizes: Sequence[Value], steps: Sequence[Sequence[Value | None]]) -> None:
        self._f = f
        self._sizes = sizes
        self._steps = steps
        self._moving = [i for i, own in enumerate(steps) if any(step is not None for step in own)]

    def start(self, flat: Value) -> list[Value]:
        """The state at a flat index; divides once per axis but the first."""
        f = self._f
        indices: list[Value] = []
        for size in reversed(self._sizes[1:]):
            quotient = f.binary("udiv", flat, size)
            indices.insert(0, f.sub(flat, f.mul(quotient, size)))
            flat = quotient
        if self._sizes:
            indices.insert(0, flat)
        return indices + [self._offset(i, indices) for i in self._moving]

    def offsets(self, state: Sequence[Value]) -> list[Value | None]:
        """Per operand its offset in elements, None where it does not move."""
        found: list[Value | None] = [None] * len(self._steps)
        for i, offset in zip(self._moving, state[len(self._sizes) :], strict=True):
            found[i] = offset
        return found

    def advance(self, state: Sequence[Value]) -> list[Value]:
        """The state one point further; past the last point it is meaningless."""
        count = len(self._sizes)
        return self._carry(list(state[:count]), list(state[count:]), count - 1) if count else []

    def _offset(self, operand: int, indices: Sequence[Value]) -> Value:
        f = self._f
        total: Value | None = None
        for index, step in zip(indices, self._steps[operand], strict=True):
            if step is not None:
                moved = f.mul(index, step)
                total = moved if total is None else f.add(total, moved)
        assert total is not None
        return total

    def _carry(self, indices: list[Value], offsets: list[Value], axis: int) -> list[Value]:
        """Steps along ``axis``; where that is full, goes back to its start and steps the one before."""
        f = self._f
        moved = [
            offset if (step := self._steps[i][axis]) is None else f.add(offset, step)
            for i, offset in zip(self._moving, offsets, strict=True)
        ]
        stepped = [*indices[:axis], f.add(indices[axis], f.i64(1)), *indices[axis + 1 :]]
        if axis == 0:
            return stepped + moved
        size = self._sizes[axis]
        with f.when(f.icmp("eq", stepped[axis], size), stepped + moved) as full:
            back = [
                offset if (step := self._steps[i][axis]) is None else f.sub(offset, f.mul(step, size))
                for i, offset in zip(self._moving, moved, strict=True)
            ]
            full.values = self._carry([*stepped[:axis], f.i64(0), *stepped[axis + 1 :]], back, axis - 1)
        return full.merged
