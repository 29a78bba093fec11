"""The executor of ``fb.explain``: programs run as always, then each kernel alone, on copies, and is timed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from flambeau.compiler.schedule import Schedule
from flambeau.compiler.units import settle
from flambeau.engine.evaluate import duplicate
from flambeau.engine.executor import Done, Pending
from flambeau.engine.executors import executor
from flambeau.engine.machine import machine
from flambeau.engine.native import NativeExecutable, NativeExecutor
from flambeau.engine.origins import Origins, trained
from flambeau.engine.report import Memory, ProgramReport
from flambeau.engine.rows import Reporter
from flambeau.engine.tape import THREAD
from flambeau.graph.graph import Graph, compact
from flambeau.runtime.driver import Program
from flambeau.runtime.interrupts import Deferred

# Where the programs that run are reported; None while nobody asks.
SINK: ContextVar[list[ProgramReport] | None] = ContextVar("flambeau_explained", default=None)


class _Timed(NativeExecutable):
    """A program that notes how long its host calls took, and what they gave."""

    __slots__ = ("answers",)

    def __init__(self, graph: Graph, plan: Schedule, addresses: dict[str, int], numbers: int) -> None:
        super().__init__(graph, plan, addresses, numbers)
        self.answers: dict[int, tuple[float, list[tuple[int, Any]]]] = {}

    def _host(self, host: Any, bases: list[int], held: list[Any]) -> None:
        start = time.perf_counter()
        super()._host(host, bases, held)
        seconds = time.perf_counter() - start
        self.answers[id(host.step)] = seconds, [(slot, held[slot]) for slot in host.slots]


class _Explained:
    """A program that reports on itself at each run."""

    __slots__ = ("addresses", "graph", "native", "plan")

    def __init__(self, graph: Graph, donated: frozenset[int], numbers: int, weights: frozenset[int]) -> None:
        native: Any = executor("llvm")
        assert isinstance(native, NativeExecutor)
        self.graph = compact(graph)
        self.plan = native.plan(self.graph, donated, numbers, weights, units=True)
        self.addresses = native.kernels.load()
        self.native = _Timed(self.graph, self.plan, self.addresses, numbers)
        for unit in self.plan.units:
            settle(unit)

    def submit(self, inputs: Sequence[Any]) -> Pending:
        sink = SINK.get()
        if sink is None:
            return self.native.submit(inputs)
        limits = machine()
        tape, plan = THREAD.running or (None, None)
        copies = list(inputs)
        for slot in self.plan.reused.values():
            copies[slot - 1] = duplicate(inputs[slot - 1])
        bases, held, _ = self.native.bind(copies)[:3]
        origins = Origins(self.graph, tape, trained(tape, inputs))
        parts = [s for s in (*self.native.steps, self.native.last) if isinstance(s, Program)]
        helpers = max((s.helpers for s in parts), default=0)
        reporter = Reporter(self.plan, self.addresses, origins, len(sink) + 1, limits, helpers)
        pending = self.native.submit(inputs)
        with Deferred() as deferred:  # inputs may be overwritten already: the results must be taken
            rows = reporter.rows(bases, held, self.native.answers)
        self.native.answers = {}
        hosts = sum(row.kind == "host" for row in rows)
        sink.append(ProgramReport(rows, self._memory(plan, reporter), hosts))
        waiting = [after for after in (pending.after, deferred.deliver) if after is not None]

        def afterwards() -> None:
            for after in waiting:
                after()

        return Done(pending.wait(), afterwards if waiting else None)

    def _memory(self, plan: Any, reporter: Reporter) -> Memory:
        """Bytes of the program; ``plan`` says what it is run for."""
        made = [int(t.nbytes) for t in self.graph.output_types]
        shown = {at for _, at, _, _ in plan.outputs} if plan is not None else set(range(len(made)))
        kept = {at for _, kind, at in plan.keep if kind == "output"} - shown if plan is not None else set()
        saved, copied, packed = reporter.arena()
        return Memory(
            arena=self.plan.arena,
            saved=saved,
            copied=copied,
            packed=packed,
            weights=sum(pack.nbytes for pack in self.plan.packs),
            results=sum(made),
            residuals=sum(made[at] for at in kept),
            in_place=sum(self.plan.fresh[slot] for slot in self.plan.reused),
            constants=sum(buffer.nbytes for _, buffer in self.native.constants),
        )


class ExplainingExecutor:
    """The native executor, reporting on each program that runs."""

    name = "explaining"

    def prepare(
        self, graph: Graph, donated: frozenset[int], numbers: int, weights: frozenset[int] = frozenset()
    ) -> _Explained:
        return _Explained(graph, donated, numbers, weights)


EXPLAINING = ExplainingExecutor()
