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
    add_up(f, shape, block, first, last)
    with f.when(last):
        write_epilogue(f, kernel, target, shape, block, inputs)


def write_epilogue(
    f: Function, kernel: Kernel, target: Target, shape: Shape, block: Block, inputs: Inputs
) -> None:
    """Runs the epilogue of a block, or of some columns of it, whose chunks are added up."""
    steps = {i: inputs.stride(i, -2) for i in block.starts}
    axis = axes_of(kernel).place(-2)
    with f.loop(f.i64(0), block.rows, 1) as row:
        chains = f.element(block.chains, shape.element, f.mul(row.index, f.i64(shape.width)))
        starts = {}
        for i, start in block.starts.items():
            row_step = inputs.stride(i, -3)
            element = memory_element(kernel.operands[i].dtype)
            starts[i] = start if row_step is None else f.element(start, element, f.mul(row.index, row_step))
        Row(f, kernel, target, shape, chains, block.columns, starts, steps, axis).write()


def add_up(f: Function, shape: Shape, block: Block, first: Value, last: Value) -> None:
    """Adds a chunk's chains to the sums of those before, unless there is one chunk only.

    The last chunk's sums replace the chains.  It takes whole vectors, beyond the last column: so a
    block must be added up as a whole, once.
    """
    type_ = vector(shape.lanes, shape.element)
    true = f.const("i1", True)
    later = f.binary("xor", first, true)
    target = f.select(last, block.chains, block.sums)
    with (
        f.when(f.binary("xor", f.binary("and", first, last), true)),
        f.loop(f.i64(0), block.rows, 1) as row,
        f.loop(f.i64(0), block.columns, shape.lanes) as column,
    ):
        at = f.add(f.mul(row.index, f.i64(shape.width)), column.index)
        chain = f.load(type_, f.element(block.chains, shape.element, at))
        with f.when(later, [chain]) as add:
            sums = f.load(type_, f.element(block.sums, shape.element, at))
            add.values = [f.binary("fadd", sums, chain)]
        f.store(add.merged[0], f.element(target, shape.element, at))


@dataclass(slots=True)
class Row:
    """The epilogue of one row of a finished block: ``columns`` numbers at ``chains``.

    ``starts`` has the address of each operand of the epilogue at the first of them, ``steps`` the elements
    between neighbours along ``axis``, that of the columns.
    """

    f: Function
    kernel: Kernel
    target: Target
    shape: Shape
    chains: Value
    columns: Value
    starts: dict[int, Value]
    steps: dict[int, Value | None]
    axis: int

    def write(self) -> None:
        f, lanes = self.f, self.shape.lanes
        with f.loop(f.i64(0), self.columns, lanes) as column:
            left = f.sub(self.columns, column.index)
            if self.target.has_masks:
                self._vector(column.index, f.first_lanes(left, lanes))
                return
            whole, part, end = f.new_block("whole"), f.new_block("part"), f.new_block("both")
            f.branch_if(f.icmp("sge", left, f.i64(lanes)), whole, part)
            f.place(whole)
            self._vector(column.index, None)
            f.branch(end)
            f.place(part)
            self._vector(column.index, f.first_lanes(left, lanes))
            f.branch(end)
            f.place(end)

    def _vector(self, column: Value, mask: Value | None) -> None:
        f, kernel, lanes = self.f, self.kernel, self.shape.lanes
        axis = self.axis

        def place(i: int) -> tuple[Value, Value | None, bool]:
            operand, step = kernel.operands[i], self.steps[i]
            start = self.starts[i]
            if step is not None:
                start = f.element(start, memory_element(operand.dtype), f.mul(column, step))
            return start, None if operand.strides[axis] is Stride.ONE else step, step is None

        def load(i: int, count: int) -> Value:
            start, step, same = place(i)
            if same:
                return f.splat(read_scalar(f, kernel.operands[i], start), count)
            return read_vector(f, kernel.operands[i], start, count, step, mask)

        def store(i: int, stored: Value) -> None:
            start, step, same = place(i)
            dtype = kernel.operands[i].dtype
            if same:  # an axis of one point: there is only the first lane
                store_scalar(f, f.extract(stored, 0), start, dtype)
            else:
                store_vector(f, stored, start, dtype, lanes, step, mask)

        body: Sequence[Instr] = kernel.body
        values = {i: self.chains for i, instr in enumerate(body) if instr.op == "load" and instr.operand < 2}
        chain = f.load(vector(lanes, self.shape.element), f.element(self.chains, self.shape.element, column))
        values[contract_index(kernel)] = chain
        emit_body(f, body, lanes, values, load, store)
