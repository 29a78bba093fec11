"""``explain``: the kernels of a program, what each has to do, how long it takes, and what limits it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from flambeau.engine.executors import observing
from flambeau.engine.explain import EXPLAINING, SINK
from flambeau.engine.machine import Machine, machine
from flambeau.engine.report import Memory, ProgramReport, Row, total_memory
from flambeau.engine.tables import size, table


class Explanation:
    """What ran, kernel by kernel: ``print`` it for a table.

    ``rows`` are dataclasses in the order the kernels run; ``host_calls`` is how many steps are no
    kernels but calls of Python; ``memory`` are the bytes of the programs; ``measured`` and
    ``predicted`` are the seconds of all kernels together; ``result`` is what the function returned.
    As a context manager it explains what runs inside of the block.
    """

    def __init__(self) -> None:
        self.result: Any = None
        self._programs: list[ProgramReport] = []

    def __enter__(self) -> Explanation:
        self._block = observing(EXPLAINING, SINK, self._programs)
        self._block.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._block.__exit__(*error)

    @property
    def rows(self) -> list[Row]:
        """A row per kernel, numbered from 1."""
        rows = [row for program in self._programs for row in program.rows]
        return [replace(row, number=i) for i, row in enumerate(rows, 1)]

    @property
    def programs(self) -> int:
        """How many programs ran."""
        return len(self._programs)

    @property
    def host_calls(self) -> int:
        """How many steps are calls of Python."""
        return sum(program.host_calls for program in self._programs)

    @property
    def memory(self) -> Memory:
        """Bytes: the largest arena, and the sums over the programs of everything else."""
        return total_memory(self._programs)

    @property
    def machine(self) -> Machine:
        """The limits that predictions are made with."""
        return machine()

    @property
    def flops(self) -> int:
        """Floating-point operations of all kernels."""
        return sum(row.flops for row in self.rows if not row.depth)

    @property
    def measured(self) -> float:
        """Seconds of all kernels, each measured by itself."""
        return sum(row.measured for row in self.rows if not row.depth)

    @property
    def predicted(self) -> float:
        """Seconds that the machine needs at least; host calls count as measured."""
        rows = [row for row in self.rows if not row.depth]
        return sum(row.measured if row.kind == "host" else row.predicted for row in rows)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain dictionaries, lists, strings and numbers, for JSON."""
        return {
            "rows": [asdict(row) for row in self.rows],
            "host_calls": self.host_calls,
            "programs": self.programs,
            "memory": asdict(self.memory),
            "machine": asdict(self.machine),
            "measured": self.measured,
            "predicted": self.predicted,
        }

    def verdict(self) -> str:
        """One sentence: what there is to gain, and where."""
        rows = [row for row in self.rows if not row.depth]
        if not rows:
            return "nothing was computed"
        # What runs faster than predicted is taken to be as fast as it can be.
        least = sum(row.measured - row.gap for row in rows)
        factor = self.measured / least if least > 0 else 1.0
        inner = [row for row in self.rows if row.kind != "control"]
        worst = max(inner, key=lambda row: row.measured if row.kind == "host" else row.gap)
        sentence = f"this step could be {factor:.1f} times faster at most; "
        if factor < 1.05:
            sentence = "this step is about as fast as the machine allows; "
        what = worst.name if worst.layer else f"the {worst.name}"
        if worst.kind == "host":
            return f"{sentence}the largest part that is no kernel is {what}"
        return f"{sentence}the largest gap is {what}"

    def table(self, every: bool = False) -> str:
        """The table that ``print`` shows: neighbouring rows of one place that take little time share a line.

        With ``every`` each kernel has a line of its own.
        """
        memory = self.memory
        facts = [
            f"memory: arena {size(memory.arena)}, with {size(memory.saved)} kept from forward to backward, "
            f"{size(memory.copied)} of copies, {size(memory.packed)} to pack operands",
            f"        results {size(memory.results)}, {size(memory.residuals)} of them kept for gradients; "
            f"updated in place {size(memory.in_place)}; constants {size(memory.constants)}, "
            f"weights kept packed {size(memory.weights)}",
            f"machine: {self.machine}",
            f"programs: {self.programs}, host calls: {self.host_calls}",
            self.verdict(),
        ]
        return "\n".join([*table(self.rows, self.predicted, self.measured, every), "", *facts])

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return f"<explanation of {self.programs} programs: {len(self.rows)} kernels>"


def explain(f: Callable[..., Any] | None = None, /, *args: Any, **kwargs: Any) -> Explanation:
    """The kernels of a function's programs: what is fused in each, its work, its time, and its limit.

    ``f(*args, **kwargs)`` is called once, as it always is: a training step updates its parameters, and
    a compiled function runs its program.  Every program that runs is reported, in order; each kernel
    is then timed alone on copies of the data (the median of several runs).  Without a function
    it is a context manager that explains what runs inside of the block.

    Predictions come from the limits of the machine (peak arithmetic, bandwidth of memory and cache,
    the cost of a launch), which are measured once, in less than a second, and kept in the cache folder.

    >>> import flambeau as fb
    >>> w = fb.ones((64, 32))
    >>> found = fb.explain(lambda x: fb.tanh(x @ w), fb.ones((16, 64)))
    >>> [(row.kind, row.fused, row.flops) for row in found.rows]
    [('contraction', ('matmul', 'tanh'), 66048)]
    >>> found.host_calls
    0
    >>> with fb.explain() as found:
    ...     total = fb.sum(w * 2)
    >>> found.rows[0].sizes
    '[2048]'
    """
    found = Explanation()
    if f is None:
        return found
    with found:
        found.result = f(*args, **kwargs)
    return found
