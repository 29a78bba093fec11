"""A value that a loop's body gives twice, or gives as it got it: stored by a kernel that has it, not copied.

A step of an LSTM hands its state on and stacks it as well; and its gradient asks for the states before each
step.  What computes or reads them is an elementwise kernel, for which one more store is cheaper than a copy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from flambeau.compiler.kernel import Instr, Kernel, Operand, Role
from flambeau.compiler.tasks import Task
from flambeau.compiler.views import View


def stores_too(tasks: Sequence[object], base: int, size: int, fresh: int) -> int | None:
    """Lets a kernel that has all ``size`` elements of value ``base`` in order store them as ``fresh`` too.

    The number of its task; None where there is no such kernel.
    """
    for t, task in enumerate(tasks):
        if not isinstance(task, Task) or task.kernel.family != "elementwise":
            continue
        for number, value in _held(task, base):
            own = task.strides[number]
            if math.prod(task.sizes) != size or not _row_by_row(task.sizes, own):
                continue
            kernel, described = task.kernel, task.kernel.operands[number]
            store = Instr("store", described.dtype, (value,), len(kernel.operands))
            operands = (*kernel.operands, Operand(described.dtype, Role.OUT, described.strides))
            task.kernel = Kernel(kernel.family, kernel.axes, operands, (*kernel.body, store))
            task.strides = (*task.strides, own)
            task.operands = [*task.operands, fresh]
            return t
    return None


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


def _row_by_row(sizes: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether a kernel's points, in order, are neighbours in memory."""
    step = 1
    for n, own in zip(reversed(sizes), reversed(strides), strict=True):
        if n != 1 and own != step:
            return False
        step *= n
    return True
