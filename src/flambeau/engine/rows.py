"""The rows of ``fb.explain``: each kernel of a program, timed by itself and described."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from flambeau.compiler.control import ControlTask
from flambeau.compiler.kernel import AxisKind, Call, Op
from flambeau.compiler.schedule import ARENA, Schedule
from flambeau.compiler.tasks import Task
from flambeau.compiler.units import Unit
from flambeau.compiler.values import HostStep
from flambeau.engine.gradients import InGradient
from flambeau.engine.machine import Machine
from flambeau.engine.origins import Origins, shown
from flambeau.engine.report import Row
from flambeau.engine.work import Work, fused, predict, work_of
from flambeau.graph.where import NOWHERE, Where
from flambeau.runtime.buffers import Buffer
from flambeau.runtime.driver import Program, is_shared
from flambeau.runtime.threads import get_num_threads

_LEAST, _MOST = 3, 9  # timed runs of a kernel
_ENOUGH = 0.05  # seconds after which it was timed often enough
_LONG = 200e-6  # a timed run has as many launches as fill this
_REPEATS = 200

_ROOTED = frozenset(("contraction", "window", "move", "whole"))  # kinds whose root is no instruction


class Reporter:
    """Times the units of one program and describes them.

    ``helpers`` are the threads that its kernels may share besides the caller's; ``answers`` say of each
    host call how long it took and what it gave.
    """

    def __init__(
        self,
        plan: Schedule,
        addresses: dict[str, int],
        origins: Origins,
        number: int,
        limits: Machine,
        helpers: int,
    ) -> None:
        self.plan = plan
        self.addresses = addresses
        self.origins = origins
        self.number = number
        self.machine = limits
        self.helpers = helpers
        self.found: list[Row] = []

    def rows(self, bases: list[int], held: list[Any], answers: dict[int, Any]) -> list[Row]:
        """A row per unit, in the order they run, on the memory at ``bases``."""
        self.bases, self.held = bases, held
        for unit in self.plan.units:
            if isinstance(unit.task, HostStep):
                answer = answers.get(id(unit.task))
                if answer is not None:  # not a constant
                    self._host(unit, *answer)
            elif unit.ops:
                self._unit(unit, 0, 1, NOWHERE)
        return self.found

    def _host(self, unit: Unit, seconds: float, results: Sequence[tuple[int, Buffer]]) -> None:
        for slot, buffer in results:
            self.bases[slot], self.held[slot] = buffer.ptr, buffer
        node = unit.task.node
        types = unit.type_of
        read = sum(int(t.nbytes) for view, t in unit.task.inputs if view is not None)
        written = sum(int(types(v).nbytes) for v in unit.task.outputs)
        sizes = " x ".join(str(n) for n in types(unit.task.outputs[0]).shape) if unit.task.outputs else ""
        where = self.origins.of([node])
        work = Work(read=read, written=written)
        self._add(unit, "host", (node.primitive.name,), where, sizes, 1, 0, 0, work, (0.0, ""), seconds)

    def _unit(self, unit: Unit, depth: int, count: int, outer: Where) -> Work:
        """Add the row of a unit and those inside it; the work of one of its runs."""
        seconds = self._time(unit)
        where = self.place(unit, outer)
        launches = sum(isinstance(op, Call) for op in unit.ops)
        if not isinstance(unit.task, ControlTask):
            task: Task = unit.task
            work = work_of(task, unit.type_of)
            kind, names = _described(unit, task)
            least = predict(work, launches, self._threads(unit.ops), self.machine)
            given = least.seconds * count, least.limit
            sizes = _sizes(task)
            self._add(unit, kind, names, where, sizes, count, depth, launches, work, given, seconds)
            return work
        return self._control(unit, where, depth, count, launches, seconds)

    def _control(
        self, unit: Unit, where: Where, depth: int, count: int, launches: int, seconds: float
    ) -> Work:
        """The row of a loop or branch, then those of its bodies."""
        node = unit.task.node
        name = node.primitive.name
        length = int(node.attrs["length"]) if name == "scan" else 1
        above, self.found = self.found, []
        works: list[Work] = []
        least: list[float] = []
        for body in unit.bodies:
            first = len(self.found)
            works.append(_sum([self._unit(one, depth + 1, count * length, where) for one in body if one.ops]))
            least.append(sum(row.predicted for row in self.found[first:] if row.depth == depth + 1))
        inside, self.found = self.found, above
        direct = [row for row in inside if row.depth == depth + 1]
        slowest = max(direct, key=lambda row: row.predicted, default=None)
        limit = slowest.limit if slowest is not None else "launch"
        if name == "cond":  # at least the shorter branch
            work, given = max(works, key=lambda w: w.flops, default=Work()), (min(least, default=0.0), limit)
        else:
            work, given = _sum(works).times(length), (sum(least), limit)
        sizes = f"{length} steps" if name == "scan" else ""
        self._add(unit, "control", (name,), where, sizes, count, depth, launches, work, given, seconds)
        self.found += inside
        return work

    def _add(
        self,
        unit: Unit,
        kind: str,
        names: tuple[str, ...],
        where: Where,
        sizes: str,
        count: int,
        depth: int,
        launches: int,
        work: Work,
        predicted: tuple[float, str],
        seconds: float,
    ) -> None:
        gradient = ""
        if kind == "contraction" and not depth and unit.root is not None:
            shape = unit.type_of(unit.root.outputs[0]).shape
            gradient = self.origins.gradient(unit.root, where, shape)
        self.found.append(
            Row(
                number=0,
                program=self.number,
                kind=kind,
                fused=names,
                operation=self.origins.operation(where),
                layer=".".join(where.layer),
                line=where.short,
                phase="backward" if isinstance(where, InGradient) else "forward",
                gradient=gradient,
                sizes=sizes,
                count=count,
                depth=depth,
                launches=launches * count,
                threads=self._threads(unit.ops),
                flops=work.flops * count,
                read=work.read * count,
                written=work.written * count,
                predicted=predicted[0],
                measured=seconds * count,
                limit=predicted[1],
            )
        )

    def place(self, unit: Unit, outer: Where = NOWHERE) -> Where:
        """Where a unit's operations were written."""
        return self.origins.of([unit.root, *unit.nodes] if unit.root else unit.nodes, outer)

    def arena(self) -> tuple[int, int, int]:
        """Bytes in the arena: kept from forward to backward, of copies, and the most packed at once."""
        written: dict[int, tuple[Unit, bool]] = {}
        saved: set[int] = set()
        copied: set[int] = set()
        packed = 0
        for unit in self.plan.units:
            if isinstance(unit.task, HostStep):
                continue
            backward = isinstance(self.place(unit), InGradient)
            packed = max(packed, unit.workspace)
            for v in unit.task.reads:
                if backward and v in written and not written[v][1]:
                    saved.add(v)
            for v in unit.task.writes:
                if v in self.plan.place and self.plan.place[v].slot == ARENA:
                    written.setdefault(v, (unit, backward))
                    if isinstance(unit.task, Task) and _described(unit, unit.task)[0] == "move":
                        copied.add(v)

        def total(values: set[int]) -> int:
            return sum(int(written[v][0].type_of(v).nbytes) for v in values)

        return total(saved), total(copied - saved), packed

    # -- timing -------------------------------------------------------------------------------

    def _threads(self, ops: Sequence[Op]) -> int:
        shared = any(isinstance(op, Call) and is_shared(op) for op in ops)
        return min(1 + self.helpers, get_num_threads()) if shared else 1

    def _time(self, unit: Unit) -> float:
        """Seconds of one run of a unit: the median of several, after one that nobody looks at."""
        once = self._once(self._program(unit, 1))
        if once < _LONG:
            once = self._once(self._program(unit, 1))
        repeats = max(1, min(_REPEATS, int(_LONG / max(once, 1e-9))))
        program = self._program(unit, repeats)
        found: list[float] = []
        while len(found) < _LEAST or (len(found) < _MOST and sum(found) < _ENOUGH):
            found.append(self._once(program))
        return sorted(found)[len(found) // 2] / repeats

    def _program(self, unit: Unit, repeats: int) -> Program:
        helpers = self._threads(unit.ops) - 1
        ops = [*unit.before, *unit.ops * repeats]
        return Program(ops, self.addresses, self.plan.slots, self.plan.status, helpers)

    def _once(self, program: Program) -> float:
        start = time.perf_counter()
        program.run(self.bases)
        return time.perf_counter() - start


def _described(unit: Unit, task: Task) -> tuple[str, tuple[str, ...]]:
    """A kernel's kind, and the names of what it computes."""
    kind, root, names = unit.kind, unit.root, fused(task)
    if kind == "indexed":  # its other instructions are about addresses
        return kind, (_name(unit), *fused(task, floating=True))
    if not names and task.kernel.family == "elementwise":
        return "move", ("fill" if any(i.op == "const" for i in task.kernel.body) else "copy",)
    if root is not None and kind in _ROOTED:
        names = (_name(unit), *names)
    return (task.kernel.family if kind in ("whole", "output") else kind), names


def _name(unit: Unit) -> str:
    node = unit.root or (unit.nodes[0] if unit.nodes else None)
    return "" if node is None else shown(node.primitive.name)


def _sum(works: Sequence[Work]) -> Work:
    total = Work()
    for work in works:
        total = total.plus(work)
    return total


def _sizes(task: Task) -> str:
    """The sizes of a kernel's axes, reduced ones in brackets."""
    parts = [
        f"[{n}]" if kind is AxisKind.REDUCE else str(n)
        for n, kind in zip(task.sizes, task.kernel.axes, strict=True)
    ]
    return " x ".join(parts)
