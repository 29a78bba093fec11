"""Convolutions that are products of matrices: windows of one element, and windows as large as the image.

The first are most layers of many networks, the second the gradients of their weights.  Where positions can be
walked with one step, and channels and window with another, the chains are those of a product's rows and
columns, and its kernel reads both operands in an order that suits the caches better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from flambeau.compiler.direct.arguments import axes_of
from flambeau.compiler.kernel import AxisKind, Kernel, Operand
from flambeau.compiler.tasks import Task, stride_kinds
from flambeau.compiler.views import collapse


def matrix_product(task: Task) -> Task | None:
    """The same results as those of a convolution's kernel, as a contraction; None where it is none."""
    axes = axes_of(task.kernel)
    if len(task.boxes) != 1:
        return None
    (box,) = task.boxes
    window = [task.sizes[a] for a in axes.depth[1:]]
    if box.taps != tuple(window) or (math.prod(window) != 1 and math.prod(box.counts) != 1):
        return None
    rows = _one_axis(task, axes.positions)
    depth = _one_axis(task, axes.depth)
    if rows is None or depth is None:
        return None
    batches = 1 if task.sizes[0] != 1 else 0
    sizes = [*task.sizes[:batches], rows[0], task.sizes[axes.channel], depth[0]]
    strides = [
        [*own[:batches], row, own[axes.channel], step]
        for own, row, step in zip(task.strides, rows[1], depth[1], strict=True)
    ]
    operands, places = list(task.kernel.operands), list(task.operands)
    if strides[-1][batches] == 1 and strides[-1][batches + 1] != 1:
        # Results are neighbours along what were rows: the same chains as those of the transposed product.
        operands[:2], places[:2], strides[:2] = operands[1::-1], places[1::-1], strides[1::-1]
        for steps in (sizes, *strides):
            steps[batches : batches + 2] = steps[batches + 1], steps[batches]
    kinds = (*[AxisKind.GRID] * (batches + 1), AxisKind.VECTOR, AxisKind.REDUCE)
    told = range(batches, batches + 3)
    operands = [
        Operand(operand.dtype, operand.role, stride_kinds(steps, told))
        for operand, steps in zip(operands, strides, strict=True)
    ]
    kernel = Kernel("contraction", kinds, tuple(operands), task.kernel.body)
    made = Task(kernel, tuple(sizes), tuple([tuple(own) for own in strides]), places)
    made.chunk = task.chunk * math.prod(window)
    return made


def _one_axis(task: Task, axes: Sequence[int]) -> tuple[int, list[int]] | None:
    """The points along some axes and each operand's step between them; None where no one step does."""
    strides = [[own[a] for a in axes] for own in task.strides]
    sizes, steps, _ = collapse([task.sizes[a] for a in axes], strides)
    if len(sizes) > 1:
        return None
    return (sizes[0], [step for (step,) in steps]) if sizes else (1, [0] * len(strides))
