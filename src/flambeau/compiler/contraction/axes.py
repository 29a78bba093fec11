"""Which axes of a contraction kernel are batches, rows, columns and depth.

Columns and depth may be spread over several axes each, of which the last is the innermost. Then B is
any strided array over all of them, such as the windows of a convolution's input; A still walks the
depth, and results the rows, with one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flambeau.compiler.kernel import AxisKind, Kernel, Stride
from flambeau.compiler.lowering import per_kernel


@dataclass(frozen=True, slots=True)
class Axes:
    """How many axes of each kind there are; between batches and columns lie the rows, a single one."""

    batch: int
    columns: int
    depth: int

    @property
    def spread(self) -> bool:
        """Whether columns or depth have several axes."""
        return self.columns > 1 or self.depth > 1

    def place(self, axis: int) -> int:
        """The number of an axis given from the end as if there were one of each: -3, -2 or -1."""
        if axis >= 0:
            return axis
        return (self.batch, self.batch + self.columns, self.batch + self.columns + self.depth)[axis + 3]

    def split(self, sizes: Sequence[int]) -> tuple[list[int], int, list[int], list[int]]:
        """Sizes of the batches, rows, columns and depth."""
        first = self.batch + 1
        last = first + self.columns
        return list(sizes[: self.batch]), sizes[self.batch], list(sizes[first:last]), list(sizes[last:])


@per_kernel
def axes_of(kernel: Kernel) -> Axes:
    """The axes of a kernel."""
    kinds = [kernel.axes.count(kind) for kind in (AxisKind.GRID, AxisKind.VECTOR, AxisKind.REDUCE)]
    return Axes(kinds[0] - 1, kinds[1], kinds[2])


@per_kernel
def reads_b_in_place(kernel: Kernel) -> bool:
    """Whether rows of B can be read where they lie: neighbouring columns are neighbours in memory."""
    return not axes_of(kernel).spread and kernel.operands[1].strides[-2] is Stride.ONE


def merged_columns(
    kernel: Kernel, columns: Sequence[int], depths: Sequence[int], strides: Sequence[Sequence[int]]
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Sizes and strides with axes made one where these sizes allow it: runs become longer.

    The sizes are those of B's columns, of the others' columns and of the depth; there are as many
    axes as before, those left over of size 1 in front.
    """
    axes = axes_of(kernel)
    first = axes.batch + 1
    last = first + axes.columns
    free = [operand.strides[last - 1] is Stride.ANY for operand in kernel.operands]
    b_sizes, b_steps = _fewer(columns, [strides[1][first:last]], free[1])
    others = [s[first:last] for i, s in enumerate(strides) if i > 1]
    out_sizes, out_steps = _fewer(columns, others, all(free[2:]))
    depth_sizes, depth_steps = _fewer(depths, [strides[1][last:]], True)
    made = [tuple(strides[0]), (*strides[1][:first], *b_steps[0], *depth_steps[0])]
    made += [(*s[:first], *own, *s[last:]) for s, own in zip(strides[2:], out_steps, strict=True)]
    return (*b_sizes, *out_sizes, *[max(1, n) for n in depth_sizes]), tuple(made)


def _fewer(
    sizes: Sequence[int], strides: Sequence[Sequence[int]], free: bool
) -> tuple[list[int], list[list[int]]]:
    """The same points with axes made one where all strides allow it.

    Another axis may take the place of the innermost one, of size 1, only where its strides are ``free``.
    """
    made = [sizes[-1]]
    steps = [[s[-1]] for s in strides]
    for axis in range(len(sizes) - 2, -1, -1):
        size = sizes[axis]
        if size == 1:
            continue
        if made[0] == 1 and (free or len(made) > 1):
            made[0] = size
            for own, s in zip(steps, strides, strict=True):
                own[0] = s[axis]
        elif all(s[axis] == own[0] * made[0] for own, s in zip(steps, strides, strict=True)):
            made[0] *= size
        else:
            made.insert(0, size)
            for own, s in zip(steps, strides, strict=True):
                own.insert(0, s[axis])
    missing = len(sizes) - len(made)
    return [1] * missing + made, [[0] * missing + own for own in steps]
