"""What a task of a program has to do: operations and bytes, and the time a machine needs for it at least."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from flambeau.compiler.direct.arguments import axes_of
from flambeau.compiler.kernel import AxisKind, Instr, Role
from flambeau.compiler.scalar_ops import cost
from flambeau.compiler.tasks import NOWHERE, STATUS, Part, Task
from flambeau.dtypes import float64
from flambeau.engine.machine import Machine
from flambeau.graph.types import TensorType

_MOVING = frozenset(("load", "store", "index", "const", "load_at", "store_at", "fail", "cast", "select"))
_PLUMBING = frozenset(("load", "store", "index", "const", "load_at", "store_at", "fail"))
_SHORT = {
    "contract": "",
    "reduce_sum": "sum",
    "reduce_max": "max",
    "reduce_min": "min",
    "reduce_prod": "prod",
}


@dataclass(frozen=True, slots=True)
class Work:
    """Operations and bytes of one launch.

    ``flops`` are all floating-point operations, a multiplication and an addition counting as two;
    ``products`` those of them that are fused multiply-adds of a contraction, in units of float32;
    ``steps`` is the number of elements times instructions for everything else, in units of float32.
    """

    flops: int = 0
    products: float = 0.0
    steps: float = 0.0
    read: int = 0
    written: int = 0

    def times(self, n: int) -> Work:
        """The work of ``n`` such launches."""
        return Work(self.flops * n, self.products * n, self.steps * n, self.read * n, self.written * n)

    def plus(self, other: Work) -> Work:
        """Both."""
        return Work(
            self.flops + other.flops,
            self.products + other.products,
            self.steps + other.steps,
            self.read + other.read,
            self.written + other.written,
        )


def work_of(task: Task, type_of: Callable[[int], TensorType]) -> Work:
    """The work of a kernel of any family, as its body tells it; each operand is read or written once."""
    whole = math.prod(task.sizes)
    flops, products, steps = 0, 0.0, 0.0
    for instr, points in zip(task.kernel.body, _points(task), strict=True):
        if instr.op == "contract":
            made = _met(task) if task.boxes else whole
            flops += 2 * made
            products += 2.0 * made * (2 if instr.dtype is float64 else 1)
            continue
        if instr.op not in _MOVING and instr.dtype.floating:
            flops += points
        steps += points * _instructions(instr)
    read, written = _bytes(task, type_of)
    return Work(flops, products, steps, read, written)


def _met(task: Task) -> int:
    """The multiplications of a convolution: of each result with what its window meets."""
    axes = axes_of(task.kernel)
    whole = task.sizes[0] * task.sizes[1] * task.sizes[axes.channel] * task.sizes[axes.depth[0]]
    return whole * sum(math.prod(box.counts) * math.prod(box.taps) for box in task.boxes)


def _points(task: Task) -> list[int]:
    """How often each instruction of a kernel has to run: once per point of the axes its value varies along.

    What a reduction gives does not vary along the axes it reduces, nor does what follows from it alone.
    """
    kernel = task.kernel
    reduced = frozenset(i for i, kind in enumerate(kernel.axes) if kind is AxisKind.REDUCE)
    varies: list[frozenset[int]] = []
    often = []
    for instr in kernel.body:
        along = frozenset[int]().union(*[varies[a] for a in instr.args])
        if instr.operand >= 0:
            along |= {i for i, step in enumerate(task.strides[instr.operand]) if step}
        combines = instr.op.startswith("reduce_")
        often.append(math.prod([task.sizes[i] for i in (along | reduced if combines else along)]))
        varies.append(along - reduced if combines or instr.op == "contract" else along)
    return often


def _instructions(instr: Instr) -> float:
    if instr.op in ("const", "index", "load", "store"):  # memory has its own limit
        return 0.0
    return cost(instr.op, instr.dtype)


def _bytes(task: Task, type_of: Callable[[int], TensorType]) -> tuple[int, int]:
    """Bytes read and written: the elements that an operand's strides reach, at most all of its value."""
    kernel = task.kernel
    moved = {i.operand for i in kernel.body if i.op in ("load_at", "store_at")}
    seen: set[object] = set()
    read = written = 0
    for number, (place, operand, strides) in enumerate(
        zip(task.operands, kernel.operands, task.strides, strict=True)
    ):
        view = place.view if isinstance(place, Part) else place
        base = view if isinstance(view, int) else view.base
        if base in (NOWHERE, STATUS) or operand.role is Role.INDEX:
            continue
        key = (base, view if isinstance(view, int) else view.offset, strides, operand.role)
        if key in seen:
            continue
        seen.add(key)
        walked = [n for n, s in zip(task.sizes, strides, strict=True) if s or number in moved]
        count = min(math.prod(walked), max(1, int(type_of(base).size)))
        if operand.role is Role.IN:
            read += count * operand.dtype.itemsize
        else:
            written += count * operand.dtype.itemsize
    return read, written


def fused(task: Task, floating: bool = False) -> tuple[str, ...]:
    """What a kernel computes, in order: the names of its operations but loads, stores and constants.

    With ``floating`` only those whose result is a floating-point number.
    """
    names = []
    for instr in task.kernel.body:
        if instr.op not in _PLUMBING and (instr.dtype.floating or not floating):
            name = _SHORT.get(instr.op, instr.op)
            if name:
                names.append(name)
    return tuple(names)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The least seconds a machine needs, and which of its limits that is."""

    seconds: float
    limit: str


def predict(work: Work, launches: int, threads: int, machine: Machine) -> Prediction:
    """What the machine model says of so much work.

    ``limit`` is "compute" (multiply-adds), "issue" (other instructions), "cache" or "memory"
    (bytes, as many as the caches hold being in them already, by which takes longer), or "launch".
    """
    peak = machine.at(machine.flops, threads)
    products = work.products / peak
    steps = work.steps / machine.at(machine.issue, threads)
    nbytes = work.read + work.written
    held, inside = 0.0, 0
    for size, rate in zip(machine.sizes, machine.caches, strict=True):
        shared = size == machine.sizes[-1] and len(machine.sizes) > 1
        holds = size if shared else size * threads
        held += max(0, min(nbytes, holds) - inside) / machine.at(rate, threads)
        inside = max(inside, min(nbytes, holds))
    beyond = (nbytes - inside) / machine.at(machine.memory, threads)
    moving = held + beyond
    launch = launches * machine.launch
    seconds = max(products + steps, moving, launch)
    if seconds == launch:
        return Prediction(seconds, "launch")
    if seconds == moving:
        return Prediction(seconds, "memory" if beyond > held else "cache")
    return Prediction(seconds, "compute" if products > steps else "issue")
