"""The end of a chain: chunks are added up, and the kernel's elementwise epilogue is run.

It is written once, as a loop over the vectors of a finished block that is still in the first
cache, rather than once per register of each micro-kernel: code stays small however long the
epilogue is, and its values are the same as those of a kernel of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flambeau.compiler.contraction.arguments import Inputs
from flambeau.compiler.contraction.axes import axes_of
from flambeau.compiler.contraction.shape import Shape
from flambeau.compiler.ir import Function, Value, vector
from flambeau.compiler.kernel import Instr, Kernel, Stride
from flambeau.compiler.lowering import (
    emit_body,
    per_kernel,
    read_scalar,
    read_vector,
    store_scalar,
    store_vector,
)
from flambeau.compiler.scalar_ops import memory_element
from flambeau.compiler.target import Target


def contract_index(kernel: Kernel) -> int:
    """The number of the kernel's ``contract`` instruction."""
    return next(i for i, instr in enumerate(kernel.body) if instr.op == "contract")


@per_kernel
def direct_output(kernel: Kernel) -> int | None:
    """The operand that takes the bare product and can hold unfinished chains; None where none can."""
    if axes_of(kernel).spread:
        return None
    at = contract_index(kernel)
    after = [instr for instr in kernel.body if instr.op != "load"][1:]
    if len(after) != 1 or after[0].op != "store" or after[0].args != (at,):
        return None
    operand = kernel.operands[after[0].operand]
    same = operand.dtype is kernel.body[at].dtype and operand.strides[-2] is Stride.ONE
    return after[0].operand if same else None


@dataclass(slots=True)
class Block:
    """A finished block: where its chains and its earlier chunks' sums are, and its place in the output.

    ``starts`` has the address of each operand of the epilogue at the block's first element.
    """

    chains: Value
    sums: Value
    rows: Value
    columns: Value
    starts: dict[int, Value]


def write_finish(
    f: Function,
    kernel: Kernel,
    target: Target,
    shape: Shape,
    block: Block,
    inputs: Inputs,
    first: Value,
    last: Value,
) -> None:
    """Adds up and, where ``last``, runs the epilogue; else keeps the sum.

    ``first`` says that no earlier chunk has left a sum.
    """
    lanes = shape.lanes
    with f.loop(f.i64(0), block.rows, 1) as row, f.loop(f.i64(0), block.columns, lanes) as column:
        left = f.sub(block.columns, column.index)
        point = _Point(f, kernel, shape, block, inputs, row.index, column.index, first, last)
        if target.has_masks:
            point.write(f.first_lanes(left, lanes))
        else:
            whole, part, end = f.new_block("whole"), f.new_block("part"), f.new_block("both")
            f.branch_if(f.icmp("sge", left, f.i64(lanes)), whole, part)
            f.place(whole)
            point.write(None)
            f.branch(end)
            f.place(part)
            point.write(f.first_lanes(left, lanes))
            f.branch(end)
            f.place(end)


@dataclass(slots=True)
class _Point:
    """One vector of a block."""

    f: Function
    kernel: Kernel
    shape: Shape
    block: Block
    inputs: Inputs
    row: Value
    column: Value
    first: Value
    last: Value

    def write(self, mask: Value | None) -> None:
        f, element = self.f, self.shape.element
        type_ = vector(self.shape.lanes, element)
        at = f.add(f.mul(self.row, f.i64(self.shape.width)), self.column)
        chain = f.load(type_, f.element(self.block.chains, element, at))
        later = f.binary("xor", self.first, f.const("i1", True))
        sums = f.element(self.block.sums, element, at)
        with f.when(later, [chain]) as add:
            add.values = [f.binary("fadd", f.load(type_, sums), chain)]
        (value,) = add.merged
        ends, goes_on, after = f.new_block("ends"), f.new_block("goes_on"), f.new_block("after")
        f.branch_if(self.last, ends, goes_on)
        f.place(goes_on)
        f.store(value, sums)
        f.branch(after)
        f.place(ends)
        self._epilogue(value, mask)
        f.branch(after)
        f.place(after)

    def _epilogue(self, value: Value, mask: Value | None) -> None:
        f, kernel = self.f, self.kernel
        column = axes_of(kernel).place(-2)

        def place(i: int) -> tuple[Value, Value | None, bool]:
            operand = kernel.operands[i]
            row_step, step = self.inputs.stride(i, -3), self.inputs.stride(i, -2)
            start = self.block.starts[i]
            element = memory_element(operand.dtype)
            kind = operand.strides[column]
            if row_step is not None:
                start = f.element(start, element, f.mul(self.row, row_step))
            if step is not None:
                start = f.element(start, element, f.mul(self.column, step))
            return start, None if kind is Stride.ONE else step, step is None

        def load(i: int, lanes: int) -> Value:
            start, step, same = place(i)
            if same:
                return f.splat(read_scalar(f, kernel.operands[i], start), lanes)
            return read_vector(f, kernel.operands[i], start, lanes, step, mask)

        def store(i: int, stored: Value) -> None:
            start, step, same = place(i)
            dtype = kernel.operands[i].dtype
            if same:  # an axis of one point: there is only the first lane
                store_scalar(f, f.extract(stored, 0), start, dtype)
            else:
                store_vector(f, stored, start, dtype, self.shape.lanes, step, mask)

        body: Sequence[Instr] = kernel.body
        values = {i: value for i, instr in enumerate(body) if instr.op == "load" and instr.operand < 2}
        values[contract_index(kernel)] = value
        emit_body(f, body, self.shape.lanes, values, load, store)
