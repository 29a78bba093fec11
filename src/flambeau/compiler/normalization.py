"""Lowering of normalizations: several passes over one row after another, while it lies in cache.

A *row* is all points of the REDUCE axes, which come last.  A pass walks along it; it computes
values at its points, combines them, and may store some.  What one pass has combined, and what
is computed from that once per row, the next passes may use at their points:

    softmax     the largest x; the sum of exp(x - largest); exp(x - largest) / sum
    LayerNorm   the sum of x; the sum of (x - mean) ** 2; (x - mean) * scale * weight + bias

The bits are those of a reduction kernel per pass with elementwise kernels between: each
reduction has the lanes, the tree and the chunks that ``reduction`` defines, and a value that is
computed in two passes comes from the same instructions in both.  A dear value (an exponential, say)
is not computed again but kept in the memory of an output that a later pass overwrites.

A tile is some rows.  So few, long rows are better served by separate kernels, which share out the
points of one row: see ``normalization_task``.
"""

from __future__ import annotations

import math

from flambeau.compiler.ir import Function, Module
from flambeau.compiler.kernel import Call, Kernel, Pointer
from flambeau.compiler.lowering import entry_name, per_kernel, stride_args
from flambeau.compiler.normalization_plan import passes_of, work
from flambeau.compiler.normalization_writer import NormalizationWriter
from flambeau.compiler.reduction import chunk_length
from flambeau.compiler.target import Target

_TILE_POINTS = 16 * 1024
_NS_PER_BYTE = 0.03
_NS_PER_INSTRUCTION = 0.012
_NS_PER_PASS = 12.0  # of one row


def lower(kernel: Kernel, target: Target) -> tuple[str, str]:
    """The entry's name and a module defining ``void @entry(ptr %args, i64 %tile)`` as LLVM IR text."""
    entry = entry_name(kernel, target)
    module = Module(entry, target.triple)
    f: Function = module.function(entry, [("ptr", "args"), ("i64", "tile")])
    NormalizationWriter(f, kernel, target).write()
    return entry, module.text()


def calls(
    kernel: Kernel,
    entry: str,
    sizes: tuple[int, ...],
    strides: tuple[tuple[int, ...], ...],
    pointers: tuple[Pointer | int, ...],
) -> list[Call]:
    """The launch that runs a kernel once; none where an axis is empty.

    Arguments are as for ``elementwise.calls``.
    """
    if 0 in sizes:
        return []
    plan = passes_of(kernel)
    rows = math.prod(sizes[a] for a in plan.grid)
    points = math.prod(sizes[a] for a in plan.reduced)
    chunk = chunk_length(True, points)
    rows_per_tile = max(1, min(rows, _TILE_POINTS // points))
    args: tuple[Pointer | int, ...] = (*pointers, points, chunk, -(-points // chunk), rows, rows_per_tile)
    args += (*(sizes[a] for a in plan.grid), *(sizes[a] for a in plan.reduced))
    args += stride_args(kernel, strides)
    cost = rows * (points * _cost_per_point(kernel) + len(plan.passes) * _NS_PER_PASS)
    return [Call(entry, -(-rows // rows_per_tile), args, cost)]


@per_kernel
def _cost_per_point(kernel: Kernel) -> float:
    plan = passes_of(kernel)
    moved = sum(o.dtype.itemsize for i, o in enumerate(kernel.operands) if i not in plan.per_row)
    return max(moved * _NS_PER_BYTE, work(kernel) * _NS_PER_INSTRUCTION)
