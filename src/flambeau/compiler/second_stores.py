"""A value that a loop's body gives twice, or gives as it got it: stored by a kernel that has it, not copied.

A step of an LSTM hands its state on and stacks it as well; and its gradient asks for the states before each
step.  What computes or reads them is an elementwise kernel, for which one more store is cheaper than a copy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from flambeau.compiler.kernel import Instr, Kernel, Operand, Role
from flambeau.compiler.tasks import Task
from flambeau.compiler.views import View


class Holder(NamedTuple):
    """A kernel that has all elements of a value in order, and the instruction that gives them."""

    task: int
    operand: int
    instruction: int


def holder_of(tasks: Sequence[object], base: int, size: int) -> Holder | None:
    """An elementwise kernel that loads or stores all ``size`` elements of value ``base``."""
    for t, task in enumerate(tasks):
        if isinstance(task, Task) and task.kernel.family == "elementwise" and math.prod(task.sizes) == size:
            for operand, instruction in _held(task, base):
                if View(base, task.sizes, task.strides[operand]).is_dense():
                    return Holder(t, operand, instruction)
    return None


def store_too(task: Task, holder: Holder, fresh: int) -> None:
    """Lets the kernel store the same elements as value ``fresh``."""
    kernel, described = task.kernel, task.kernel.operands[holder.operand]
    store = Instr("store", described.dtype, (holder.instruction,), len(kernel.operands))
    operands = (*kernel.operands, Operand(described.dtype, Role.OUT, described.strides))
    task.kernel = Kernel(kernel.family, kernel.axes, operands, (*kernel.body, store))
    task.strides = (*task.strides, task.strides[holder.operand])
    task.operands = [*task.operands, fresh]


def _held(task: Task, base: int) -> Iterator[tuple[int, int]]:
    """Operands that are all of a value, and the instruction that loads it or that is stored."""
    for number, place in enumerate(task.operands):
        if isinstance(place, View):
            whole = place.base == base and place.is_dense() and place.offset == 0
        else:
            whole = place == base
        if not whole:
            continue
        for i, instr in enumerate(task.kernel.body):
            if instr.operand == number and instr.op in ("load", "store"):
                yield number, i if instr.op == "load" else instr.args[0]
