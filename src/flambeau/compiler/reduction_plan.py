"""A reduction kernel taken apart: its axes by role, and what of its body runs when."""

from __future__ import annotations

from dataclasses import dataclass

from flambeau.compiler.kernel import AxisKind, Instr, Kernel, Operand, Stride
from flambeau.compiler.lowering import per_kernel
from flambeau.dtypes import DType

DIRECT, PARTIAL, COMBINE = 0, 1, 2  # what a launch does


@dataclass(frozen=True)
class Plan:
    """A reduction kernel taken apart."""

    rows: bool  # the innermost axis is reduced
    grid: tuple[int, ...]  # axes of the outputs, without the vector axis
    reduced: tuple[int, ...]
    vector: int | None  # the axis that is kept and whose points are taken several at a time
    reductions: tuple[int, ...]  # instructions
    at_points: frozenset[int]  # instructions of the prologue
    at_outputs: frozenset[int]  # instructions of the epilogue
    per_output: frozenset[int]  # operands that do not move along reduced axes


def register_bytes(dtype: DType) -> int:
    """Bytes of an accumulated value in the workspace."""
    return 4 if dtype.floating and dtype.itemsize == 2 else dtype.itemsize


def _moves(operand: Operand, axes: tuple[int, ...]) -> bool:
    return any(operand.strides[a] is not Stride.ZERO for a in axes)


@per_kernel
def plan_of(kernel: Kernel) -> Plan:
    """Takes a kernel apart; raises ``ValueError`` for one that this family cannot run."""
    reduced = tuple(a for a, kind in enumerate(kernel.axes) if kind is AxisKind.REDUCE)
    if not reduced:
        raise ValueError("a reduction needs a REDUCE axis")
    rows = reduced[-1] == len(kernel.axes) - 1
    vector = kernel.axes.index(AxisKind.VECTOR) if AxisKind.VECTOR in kernel.axes else None
    grid = tuple(a for a in range(len(kernel.axes)) if a not in reduced and a != vector)
    per_output = frozenset(i for i, o in enumerate(kernel.operands) if not _moves(o, reduced))
    body = kernel.body
    reductions = tuple(i for i, instr in enumerate(body) if instr.op.startswith("reduce_"))
    point_roots = [a for i in reductions for a in body[i].args]
    output_roots: list[int] = []
    for i, instr in enumerate(body):
        if instr.op == "store":
            (output_roots if instr.operand in per_output else point_roots).append(i)
    at_points = _closure(body, point_roots, stop=frozenset())
    if any(i in at_points for i in reductions):
        raise ValueError("a value per point depends on a reduction: that needs a second kernel")
    at_outputs = _closure(body, output_roots, stop=frozenset(reductions))
    for i in at_outputs:
        if body[i].op in ("load", "index") and body[i].operand not in per_output:
            raise ValueError("a value per output depends on a single point")
    return Plan(rows, grid, reduced, vector, reductions, at_points, at_outputs, per_output)


def _closure(body: tuple[Instr, ...], roots: list[int], stop: frozenset[int]) -> frozenset[int]:
    """The roots and all that they are computed from, not looking behind ``stop``."""
    found: set[int] = set()
    pending = list(roots)
    while pending:
        i = pending.pop()
        if i not in found and i not in stop:
            found.add(i)
            pending.extend(body[i].args)
    return frozenset(found)
