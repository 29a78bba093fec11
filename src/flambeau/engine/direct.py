"""Programs that run without being recorded: compiled steps, whose recording would be evaluated at once.

A graph is planned once for each set of operands that may be overwritten, and runs on the buffers of the
values it is given.  Nothing is recorded, so nothing may be pending that it should be fused with.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from sys import getrefcount
from typing import Any

import numpy as np

from flambeau.compiler.simplify import simplify
from flambeau.counts import COUNTS
from flambeau.engine.evaluate import SOLE, duplicate
from flambeau.engine.executor import Executable, Executor, NodeFailure
from flambeau.engine.executors import DEFAULT, active_executor, executor
from flambeau.engine.tape import THREAD, Cell, Tape, Value
from flambeau.errors import located
from flambeau.graph.graph import Graph
from flambeau.graph.verifier import check_graph
from flambeau.runtime.buffers import Buffer

# The source of values that a program is about to give: who asks for them waits.
RUNNING = Tape()
RUNNING.busy = True


def _alone() -> int:
    """The references to an operand that only the list of operands and one other list hold."""
    operands: list[Any] = [Value(None, None, 0, False)]  # type: ignore[arg-type]
    also = [operands[0]]
    return getrefcount(operands[0]) + 0 * len(also)


_ALONE = _alone()


def possible(operands: Sequence[Any]) -> bool:
    """Whether a program may run on these operands now: all are there, nothing is pending, nobody watches."""
    if THREAD.tape.types or active_executor() is not executor(DEFAULT):
        return False
    return all(type(x) is tuple or x.data is not None for x in operands)


class Direct:
    """A graph to run at once; operands at ``replaced`` may be overwritten where nobody else holds them.

    Operands are values, or ``(number, dtype)``, one for each input of the graph.
    """

    __slots__ = ("candidates", "executables", "leaves", "numbers", "outputs", "program", "types")

    def __init__(self, graph: Graph, operands: Sequence[Any], replaced: Collection[int]) -> None:
        self.types = graph.output_types
        graph = simplify(graph)
        used = {v for node in graph.nodes for v in node.inputs} | set(graph.outputs)
        given = {v: i for i, v in enumerate(graph.inputs)}
        wanted = [i for v, i in given.items() if v in used]
        self.leaves = [i for i in wanted if type(operands[i]) is not tuple]
        self.numbers = [i for i in wanted if type(operands[i]) is tuple]
        slot: dict[int, int] = {}
        for v in graph.outputs:
            if v not in given:
                slot.setdefault(v, len(slot))
        self.outputs = [(slot.get(v, -1), given.get(v, -1)) for v in graph.outputs]
        held = {i for _, i in self.outputs}
        self.candidates = [(n, i) for n, i in enumerate(self.leaves) if i in replaced and i not in held]
        inputs = [graph.inputs[i] for i in (*self.leaves, *self.numbers)]
        self.program = Graph(graph.types, inputs, graph.nodes, list(slot))
        check_graph(self.program)
        self.executables: dict[tuple[Executor, tuple[int, ...]], Executable] = {}

    @property
    def whole(self) -> Executable | None:
        """The executable that overwrites all it may, if it has run."""
        return self.executables.get((active_executor(), tuple([n for n, _ in self.candidates])))

    def run(self, operands: list[Any]) -> tuple[list[Buffer], Callable[[], None] | None]:
        """A buffer for each output, and what is to be called when they have been taken.

        Besides ``operands`` one list may hold an operand that is to be overwritten.
        """
        donated = tuple([n for n, i in self.candidates if getrefcount(operands[i]) <= _ALONE])
        key = active_executor(), donated
        executable = self.executables.get(key)
        if executable is None:
            executable = key[0].prepare(self.program, frozenset(donated), len(self.numbers))
            self.executables[key] = executable
            COUNTS.plans += 1
        inputs: list[Any] = [operands[i].data for i in self.leaves]
        for n in donated:
            if getrefcount(inputs[n]) > SOLE or inputs[n].borrowed:
                inputs[n] = duplicate(inputs[n])  # a NumPy view or another value shows this memory
        for i in self.numbers:
            x = operands[i][0]
            inputs.append(x.value if isinstance(x, Cell) else x)
        try:
            pending = executable.submit(inputs)
            made = pending.wait()
        except NodeFailure as failure:
            located(failure.error, str(failure.where))
            raise failure.error from None
        COUNTS.runs += 1
        return [
            made[at] if at >= 0 else self._operand(operands[i], type.dtype.numpy)
            for (at, i), type in zip(self.outputs, self.types, strict=True)
        ], pending.after

    def _operand(self, operand: Any, dtype: np.dtype[Any]) -> Buffer:
        """The buffer of an operand that is an output itself."""
        if type(operand) is not tuple:
            found: Buffer = operand.data
            return found
        number = operand[0].value if isinstance(operand[0], Cell) else operand[0]
        buffer = Buffer(dtype.itemsize)
        with np.errstate(all="ignore"):
            buffer.view(dtype, ())[...] = np.asarray(number).astype(dtype)
        return buffer
