"""Copies that transpose: squares of elements turn in registers, so that both sides are whole vectors.

The last axis is that along which results are neighbours, the one before it that of the source.
"""

from __future__ import annotations

import math

from flambeau.compiler import scalar_ops
from flambeau.compiler.contraction.gemm import offset_of, split
from flambeau.compiler.contraction.packing import transposed
from flambeau.compiler.ir import Function, Value, vector
from flambeau.compiler.kernel import Call, Kernel, Pointer, Stride
from flambeau.compiler.lowering import Arguments, per_kernel, stride_args
from flambeau.compiler.target import Target

_BLOCK = 64  # elements of a tile along either axis
_NS_PER_ELEMENT = 0.3


@per_kernel
def transposes(kernel: Kernel) -> bool:
    """Whether a kernel is such a copy."""
    if len(kernel.axes) < 2 or [instr.op for instr in kernel.body] != ["load", "store"]:
        return False
    (source, result) = kernel.operands
    return (
        source.dtype is result.dtype
        and source.dtype.itemsize in (4, 8)
        and source.strides[-2:] == (Stride.ONE, Stride.ANY)
        and result.strides[-2:] == (Stride.ANY, Stride.ONE)
    )


def calls(
    kernel: Kernel,
    entry: str,
    sizes: tuple[int, ...],
    strides: tuple[tuple[int, ...], ...],
    pointers: tuple[Pointer | int, ...],
) -> list[Call]:
    """The launch that runs a kernel once; see ``elementwise.calls``."""
    *outer, rows, columns = sizes
    blocks = [-(-rows // _BLOCK), -(-columns // _BLOCK)]
    args = (*pointers, *outer, rows, columns, *blocks, *stride_args(kernel, strides))
    tiles = math.prod(outer) * math.prod(blocks)
    return [Call(entry, tiles, args, math.prod(sizes) * _NS_PER_ELEMENT)] if tiles else []


class Writer:
    """Writes one kernel's function."""

    def __init__(self, f: Function, kernel: Kernel, target: Target) -> None:
        self.f, self.kernel = f, kernel
        self.element = scalar_ops.memory_element(kernel.operands[0].dtype)
        self.lanes = target.lanes_of(kernel.operands[0].dtype)

    def write(self) -> None:
        f, kernel = self.f, self.kernel
        arguments = Arguments(f, f.params[0])
        source, result = arguments.pointers(2)
        outer = arguments.integers(len(kernel.axes) - 2)
        rows, columns, row_blocks, column_blocks = arguments.integers(4)
        steps = arguments.strides(kernel.operands)
        *at, row_block, column_block = split(f, f.params[1], [*outer, row_blocks, column_blocks])
        r0, c0 = f.mul(row_block, f.i64(_BLOCK)), f.mul(column_block, f.i64(_BLOCK))
        places = [offset_of(f, *zip((*at, r0, c0), own, strict=True)) for own in steps]
        source, result = [
            f.element(p, self.element, place) for p, place in zip((source, result), places, strict=True)
        ]
        self.across, self.down = steps[0][-1] or f.i64(0), steps[1][-2] or f.i64(0)
        height, width = [f.min(f.i64(_BLOCK), f.sub(n, first)) for n, first in ((rows, r0), (columns, c0))]
        with f.loop(f.i64(0), height, self.lanes) as r, f.loop(f.i64(0), width, self.lanes) as c:
            left, right = f.sub(height, r.index), f.sub(width, c.index)
            read = f.element(source, self.element, f.add(r.index, f.mul(c.index, self.across)))
            write = f.element(result, self.element, f.add(c.index, f.mul(r.index, self.down)))
            whole = f.icmp("sge", f.min(left, right), f.i64(self.lanes))
            full, part, end = f.new_block("full"), f.new_block("part"), f.new_block("turned")
            f.branch_if(whole, full, part)
            f.place(full)
            self._square(read, write, None)
            f.branch(end)
            f.place(part)
            self._square(read, write, (left, right))
            f.branch(end)
            f.place(end)
        f.ret()

    def _square(self, read: Value, write: Value, left: tuple[Value, Value] | None) -> None:
        """Turns a square, or the ``left`` rows and columns of one."""
        f, lanes, element = self.f, self.lanes, self.element
        type_ = vector(lanes, element)
        if left is None:
            loaded = [
                f.load(type_, f.element(read, element, f.mul(self.across, f.i64(i)))) for i in range(lanes)
            ]
            for i, row in enumerate(transposed(f, loaded)):
                f.store(row, f.element(write, element, f.mul(self.down, f.i64(i))))
            return
        height, width = left
        rows, columns = f.first_lanes(height, lanes), f.first_lanes(width, lanes)
        last = f.sub(f.min(width, f.i64(lanes)), f.i64(1))
        loaded = []
        for i in range(lanes):  # beyond the last column the last one is read again
            at = f.mul(self.across, f.min(f.i64(i), last))
            loaded.append(f.load_masked(type_, f.element(read, element, at), rows))
        for i, row in enumerate(transposed(f, loaded)):
            with f.when(f.icmp("slt", f.i64(i), height)):
                f.store_masked(row, f.element(write, element, f.mul(self.down, f.i64(i))), columns)
