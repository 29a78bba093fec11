"""What running a task once means: the launches of its kernel's family, and the memory they need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flambeau.compiler import contraction, direct, elementwise, normalization, reduction, sorting
from flambeau.compiler.kernel import Call, Pointer
from flambeau.compiler.tasks import NOWHERE, Part, Task
from flambeau.compiler.views import View


def launches(
    task: Task,
    entry: str,
    place: Mapping[int, Pointer],
    workspace: Pointer,
    packed: Pointer | None = None,
) -> list[Call]:
    """The calls of ``entry``, a task's machine code; ``place`` says where the values in memory lie.

    With ``packed`` all but the last call only put the second operand there in the order it is read in.
    """
    pointers: list[Pointer | int] = []
    for operand, described in zip(task.operands, task.kernel.operands, strict=True):
        if isinstance(operand, int):
            pointers.append(place[operand])
        else:
            view = operand.view if isinstance(operand, Part) else operand
            if view.base == NOWHERE:
                pointers.append(view.offset * described.dtype.itemsize)
                continue
            at = place[view.base]
            pointers.append(Pointer(at.slot, at.offset + view.offset * described.dtype.itemsize))
    family = task.kernel.family
    given = task.kernel, entry, task.sizes, task.strides, tuple(pointers)
    if family == "elementwise":
        return elementwise.calls(*given, streams=task.streams)
    if family == "normalization":
        return normalization.calls(*given)
    if family == "convolution":
        return direct.calls(*given, workspace, task.boxes, task.chunk, packed)
    if family == "contraction":
        return contraction.calls(*given, workspace, packed, task.chunk)
    return sorting.calls(*given, workspace) if family == "sort" else reduction.calls(*given, workspace)


def workspace_of(task: Task) -> int:
    """The bytes of workspace that a task's launches need, apart from a second operand packed once."""
    family = task.kernel.family
    if family in ("elementwise", "normalization"):
        return 0
    if family == "reduction":
        return reduction.workspace(task.kernel, task.sizes)
    if family == "sort":
        return sorting.workspace(task.kernel, task.sizes)
    if family == "convolution":
        return direct.workspace(task.kernel, task.sizes, task.strides, task.boxes, task.chunk, task.once)
    return contraction.workspace(task.kernel, task.sizes, task.once, task.chunk)


def packed_of(task: Task) -> int:
    """The bytes of a task's second operand as packed, where doing so once for many runs can pay; else 0."""
    if task.kernel.family == "convolution":
        return direct.packed(task.kernel, task.sizes, task.strides)
    if task.kernel.family == "contraction" and contraction.packs_alone(task.kernel, task.sizes, task.strides):
        return contraction.packed(task.kernel, task.sizes)
    return 0


def packed_key(task: Task, entry: str) -> Any:
    """What the packed second operand depends on besides the contents of its memory."""
    view = task.operands[1]
    assert isinstance(view, View)
    family = direct if task.kernel.family == "convolution" else contraction
    return entry, view.offset, task.strides[1], family.packed_sizes(task.kernel, task.sizes)
