"""A normalization kernel taken apart: which pass over a row computes, combines, keeps and stores what."""

from __future__ import annotations

from dataclasses import dataclass, field

from flambeau.compiler import scalar_ops
from flambeau.compiler.kernel import AxisKind, Instr, Kernel, Stride
from flambeau.compiler.lowering import per_kernel

_LEAVES = ("load", "const", "index")
_DEAR = 6.0  # instructions from which on a value is kept for the next pass, not computed again


@dataclass
class Pass:
    """One walk over the points of a row.

    Before it, the instructions ``once`` run, one value per row each.  ``known`` are those of them that
    the points need.  ``kept`` are values of points, by instruction, that an earlier pass left in an
    output, and ``keeps`` those that this pass leaves in one.
    """

    reductions: tuple[int, ...] = ()
    once: frozenset[int] = frozenset()
    points: frozenset[int] = frozenset()
    known: tuple[int, ...] = ()
    kept: dict[int, int] = field(default_factory=dict)
    keeps: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Passes:
    """All passes, and the axes by role."""

    grid: tuple[int, ...]
    reduced: tuple[int, ...]
    per_row: frozenset[int]  # operands that do not move along reduced axes
    passes: tuple[Pass, ...]


@per_kernel
def passes_of(kernel: Kernel) -> Passes:
    """Takes a kernel apart."""
    reduced = tuple(a for a, kind in enumerate(kernel.axes) if kind is AxisKind.REDUCE)
    grid = tuple(a for a in range(len(kernel.axes)) if a not in reduced)
    per_row = frozenset(
        i for i, o in enumerate(kernel.operands) if all(o.strides[a] is Stride.ZERO for a in reduced)
    )
    return Passes(grid, reduced, per_row, _Planner(kernel, per_row).passes())


class _Planner:
    """Sorts instructions into passes.

    The level of an instruction is how many passes must be over before it can run: a reduction's
    value is one level above what it combines.
    """

    def __init__(self, kernel: Kernel, per_row: frozenset[int]) -> None:
        self.kernel = kernel
        self.body = kernel.body
        self.per_row = per_row
        self.level: list[int] = []
        self.at_points: list[bool] = []
        for instr in self.body:
            level = max((self.level[a] for a in instr.args), default=0)
            combines = instr.op.startswith("reduce_")
            moves = instr.operand >= 0 and instr.operand not in per_row
            self.level.append(level + combines)
            self.at_points.append(not combines and (moves or any(self.at_points[a] for a in instr.args)))

    def passes(self) -> tuple[Pass, ...]:
        """The passes in order; the last may serve stores per row alone and have no points."""
        found = [Pass() for _ in range(max(self.level) + 1)]
        roots: list[list[int]] = [[] for _ in found]
        once: list[set[int]] = [set() for _ in found]
        for i, instr in enumerate(self.body):
            if instr.op.startswith("reduce_"):
                own = found[self.level[i] - 1]
                own.reductions = (*own.reductions, i)
                roots[self.level[i] - 1].append(instr.args[0])
            elif not self.at_points[i]:
                once[self.level[i]].add(i)
            elif instr.op == "store":
                roots[self.level[i]].append(i)
        self._keep(found, roots)
        self._keep(found, roots)
        for number, (own, starts) in enumerate(zip(found, roots, strict=True)):
            points, known, read = self._closure([*starts, *own.keeps], own.kept)
            own.points, own.known = points, tuple(sorted(known))
            own.kept = {i: place for i, place in own.kept.items() if i in read}
            own.once = frozenset(once[number])
        return tuple(found)

    def _closure(
        self, roots: list[int], kept: dict[int, int]
    ) -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
        """What the points compute for ``roots``, and the values per row and those kept that this takes."""
        points: set[int] = set()
        known: set[int] = set()
        read: set[int] = set()
        pending = list(roots)
        while pending:
            i = pending.pop()
            if i in kept:
                read.add(i)
            elif i in points or i in known:
                continue
            elif self.at_points[i] or self.body[i].op in _LEAVES:
                points.add(i)
                pending.extend(self.body[i].args)
            else:
                known.add(i)
        return frozenset(points), frozenset(known), frozenset(read)

    def _keep(self, found: list[Pass], roots: list[list[int]]) -> None:
        """Decides which values of points later passes read from the memory of an output.

        An output that a pass has stored can be read by the next ones.  A dear value also goes into an
        output of its dtype that is stored by the last pass that needs the value, or later, and holds
        nothing that is still needed.
        """
        final: dict[int, int] = {}  # operand -> the pass that stores it
        for i, instr in enumerate(self.body):
            if instr.op != "store" or not self.at_points[i]:
                continue
            final[instr.operand] = self.level[i]
            if self.at_points[instr.args[0]] and self.body[instr.args[0]].op not in _LEAVES:
                for later in found[self.level[i] + 1 :]:
                    later.kept.setdefault(instr.args[0], instr.operand)
        for first in range(len(found) - 1):
            points, _, _ = self._closure(roots[first], found[first].kept)
            for i in sorted(points, reverse=True):
                if self.at_points[i] and self._cost(i, found[first].kept) >= _DEAR:
                    self._keep_one(i, first, found, roots, final)

    def _keep_one(
        self, i: int, first: int, found: list[Pass], roots: list[list[int]], final: dict[int, int]
    ) -> None:
        """Keeps the value ``i`` of pass ``first`` in an output, if a later pass needs it and one is free."""

        def closures(number: int) -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
            own = found[number]
            return self._closure([*roots[number], *own.keeps], own.kept)

        later = range(first + 1, len(found))
        uses = [n for n in later if i in closures(n)[0]]
        if not uses:
            return
        for n in uses:
            found[n].kept[i] = -1
        for place, level in final.items():
            while_kept = range(first + 1, level + 1)
            if level < uses[-1] or self.kernel.operands[place].dtype is not self.body[i].dtype:
                continue
            there = [{j for j, p in found[n].kept.items() if p == place} for n in while_kept]
            if any(held & closures(n)[2] for n, held in zip(while_kept, there, strict=True)):
                continue
            for n, held in zip(while_kept, there, strict=True):
                for j in held:
                    del found[n].kept[j]
            found[first].keeps[i] = place
            for n in uses:
                found[n].kept[i] = place
            return
        for n in uses:
            del found[n].kept[i]

    def _cost(self, i: int, kept: dict[int, int]) -> float:
        """What computing a value of a point again takes."""
        points, _, _ = self._closure([i], kept)
        return sum(
            scalar_ops.cost(self.body[k].op, self.body[k].dtype)
            for k in points
            if self.body[k].op not in _LEAVES
        )


def work(kernel: Kernel) -> float:
    """About how many vector instructions all passes take per vector of points."""
    body: tuple[Instr, ...] = kernel.body
    total = 0.0
    for own in passes_of(kernel).passes:
        total += sum(scalar_ops.cost(body[i].op, body[i].dtype) for i in own.points)
        total += len(own.reductions) + len(own.kept) + len(own.keeps)
    return total
