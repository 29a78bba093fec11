"""The loops around the micro-kernel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from flambeau.compiler.contraction.arguments import (
    A_BY_BLOCK,
    A_IN_PLACE,
    B_AHEAD,
    B_BY_BLOCK,
    B_IN_PLACE,
    Inputs,
)
from flambeau.compiler.contraction.axes import reads_b_in_place
from flambeau.compiler.contraction.blocking import packs_a
from flambeau.compiler.contraction.finish import Block, direct_output, write_finish
from flambeau.compiler.contraction.micro import fits, micro_name
from flambeau.compiler.contraction.packing import transposes
from flambeau.compiler.contraction.shape import Shape
from flambeau.compiler.ir import Function, Module, Value
from flambeau.compiler.kernel import Kernel
from flambeau.compiler.scalar_ops import memory_element
from flambeau.compiler.target import Target


def offset_of(f: Function, *parts: tuple[Value, Value | None]) -> Value:
    """The sum of index times stride."""
    total = f.i64(0)
    for index, step in parts:
        if step is not None:
            total = f.add(total, f.mul(index, step))
    return total


def pairs(indices: Sequence[Value], steps: Sequence[Value | None]) -> list[tuple[Value, Value | None]]:
    return list(zip(indices, steps, strict=True))


def address(f: Function, base: Value, element: str, *parts: tuple[Value, Value | None]) -> Value:
    """The address index times stride elements from ``base``."""
    return f.element(base, element, offset_of(f, *parts))


def split(f: Function, number: Value, sizes: list[Value]) -> list[Value]:
    """The indices along axes of these sizes of the point with this number."""
    indices: list[Value] = []
    for size in reversed(sizes):
        quotient = f.binary("udiv", number, size)
        indices.insert(0, f.sub(number, f.mul(quotient, size)))
        number = quotient
    return indices


@dataclass(slots=True)
class DepthBlock:
    """Steps of K between reloads of the chains: ``steps`` from ``k0`` on.

    ``go_on`` says that their chains have begun before, ``chain_ends`` that they end here; ``first`` that no
    chunk came before theirs, ``last`` that it is the last one and ends here.
    """

    k0: Value
    steps: Value
    go_on: Value
    chain_ends: Value
    first: Value
    last: Value


@contextmanager
def depth_blocks(f: Function, k: Value, chunk: Value, depth: Value) -> Iterator[DepthBlock]:
    """Walks ``k`` steps in chunks, and each of these in blocks of ``depth``."""
    # K of zero still has one round, which gives the empty sum.
    rounds = f.intrinsic("smax", "i64", k, f.i64(1))
    with f.loop(f.i64(0), rounds, chunk) as part:
        stop = f.min(f.add(part.index, chunk), rounds)
        with f.loop(part.index, stop, depth) as block:
            end = f.min(f.add(block.index, depth), f.min(stop, k))
            yield DepthBlock(
                block.index,
                f.sub(end, block.index),
                f.icmp("ne", block.index, part.index),
                f.icmp("eq", end, f.min(stop, k)),
                f.icmp("eq", part.index, f.i64(0)),
                f.icmp("eq", end, k),
            )


class Packing:
    """Writes the entry that packs all of B, and A where that helps, ahead of the product."""

    def __init__(self, module: Module, entry: str, kernel: Kernel, shape: Shape) -> None:
        self.entry, self.kernel, self.shape = entry, kernel, shape
        self.f = module.function(f"{entry}_pack", [("ptr", "args"), ("i64", "tile")])
        self.inputs = Inputs(self.f, kernel)

    def write(self) -> None:
        f = self.f
        tile, b_tiles = f.params[1], self.inputs.number("b_tiles")
        pack_b, pack_a, end = f.new_block("pack_b"), f.new_block("pack_a"), f.new_block("packed")
        f.branch_if(f.icmp("slt", tile, b_tiles), pack_b, pack_a)
        f.place(pack_b)
        self._pack_b(tile)
        f.branch(end)
        f.place(pack_a)
        if packs_a(self.kernel):
            self._pack_a(f.sub(tile, b_tiles))
        f.branch(end)
        f.place(end)
        f.ret()

    def _pack_b(self, tile: Value) -> None:
        f, element, inputs = self.f, self.shape.element, self.inputs
        width = f.i64(self.shape.width)
        parts = inputs.number("pack_depth_tiles"), inputs.number("pack_column_tiles")
        *batch, depth, block = split(f, tile, [*inputs.numbers("b_batch"), *parts])
        k0, steps = self._steps(depth)
        pack_columns = inputs.number("pack_columns")
        n0 = f.mul(block, pack_columns)
        stop = f.min(f.add(n0, pack_columns), inputs.number("n"))
        column, step = inputs.stride(1, -2), inputs.stride(1, -1)
        source = address(f, inputs.pointer(1), element, *pairs(batch, inputs.batch_strides(1)), (k0, step))
        target = address(f, inputs.packed(), element, *pairs(batch, inputs.numbers("b_strides")), (k0, width))
        zero = f.i64(0)
        with f.loop(n0, stop, self.shape.width) as panel:
            read = address(f, source, element, (panel.index, column))
            write = address(f, target, element, (panel.index, inputs.number("k")))
            columns = f.min(f.sub(stop, panel.index), width)
            f.line(
                f"call void @{self.entry}_pack_b({read}, {step or zero}, {column or zero}, {write}, {steps}, "
                f"{columns}{', ptr null, i64 0, ptr null, i1 0, i1 0' if transposes(self.kernel) else ''})"
            )

    def _pack_a(self, tile: Value) -> None:
        f, element, inputs = self.f, self.shape.element, self.inputs
        parts = inputs.number("row_blocks"), inputs.number("pack_depth_tiles")
        *batch, block, depth = split(f, tile, [*inputs.numbers("a_batch"), *parts])
        k0, steps = self._steps(depth)
        block_rows, a_step = inputs.number("rows"), inputs.number("a_step")
        m0 = f.mul(block, block_rows)
        row, step = inputs.stride(0, -3), inputs.stride(0, -1)
        places = pairs(batch, inputs.batch_strides(0))
        read = address(f, inputs.pointer(0), element, *places, (m0, row), (k0, step))
        packed = inputs.workspace(inputs.number("packed_a"))
        line = f.add(f.mul(block, inputs.number("k")), k0)
        write = address(f, packed, element, *pairs(batch, inputs.numbers("a_strides")), (line, a_step))
        rows = f.min(block_rows, f.sub(inputs.number("m"), m0))
        f.line(
            f"call void @{self.entry}_copy_a({read}, {step or f.i64(0)}, {write}, {a_step}, {steps}, {rows})"
        )

    def _steps(self, depth: Value) -> tuple[Value, Value]:
        """The first step of K of a tile, and their number."""
        f, most = self.f, self.inputs.number("pack_depth")
        k0 = f.mul(depth, most)
        return k0, f.min(most, f.sub(self.inputs.number("k"), k0))


class Product:
    """Writes the entry that computes blocks of the output."""

    def __init__(self, module: Module, entry: str, kernel: Kernel, target: Target, shape: Shape) -> None:
        self.entry, self.kernel, self.target, self.shape = entry, kernel, target, shape
        self.element = shape.element
        self.direct = direct_output(kernel)
        self.b_in_place = reads_b_in_place(kernel)
        self.packs_a = packs_a(kernel)
        self.transposes = transposes(kernel)
        self.f = module.function(entry, [("ptr", "args"), ("i64", "tile")])
        self.inputs = Inputs(self.f, kernel)

    def write(self) -> None:
        f, inputs = self.f, self.inputs
        own = f.mul(f.params[1], inputs.number("scratch_size"))
        self.scratch = inputs.workspace(f.add(inputs.number("scratch"), own))
        per_tile = inputs.number("units_per_tile")
        first = f.mul(f.params[1], per_tile)
        stop = f.min(f.add(first, per_tile), inputs.number("units"))
        with f.loop(first, stop, 1) as unit:
            self._unit(unit.index)
        f.ret()

    def _unit(self, unit: Value) -> None:
        """One block of the output: finds its operands and runs through K."""
        f, inputs = self.f, self.inputs
        parts = inputs.number("column_blocks"), inputs.number("row_blocks")
        *batch, column_block, row_block = split(f, unit, [*inputs.numbers("batch"), *parts])
        block_rows, block_columns = inputs.number("rows"), inputs.number("columns")
        m0, n0 = f.mul(row_block, block_rows), f.mul(column_block, block_columns)
        self.rows = f.min(block_rows, f.sub(inputs.number("m"), m0))
        self.columns = f.min(block_columns, f.sub(inputs.number("n"), n0))
        self.first_column = n0
        self.starts = self._starts(batch, m0, n0)
        copies = pairs(batch, inputs.numbers("b_strides"))
        if self.transposes:
            by_block = f.icmp("eq", inputs.number("b_mode"), f.i64(B_BY_BLOCK))
            self.single = f.binary("and", by_block, f.icmp("eq", self.rows, f.i64(1)))
        self.b_ahead = address(f, inputs.packed(), self.element, *copies, (n0, inputs.number("k")))
        if self.packs_a:
            copies = pairs(batch, inputs.numbers("a_strides"))
            packed = inputs.workspace(inputs.number("packed_a"))
            line = f.mul(row_block, inputs.number("k"))
            self.a_ahead = address(f, packed, self.element, *copies, (line, inputs.number("a_step")))

        with depth_blocks(f, inputs.number("k"), inputs.number("chunk"), inputs.number("depth")) as block:
            self._depth(block)

    def _starts(self, batch: Sequence[Value], m0: Value, n0: Value) -> list[Value]:
        """The address of each operand at the block's first element."""
        f, inputs = self.f, self.inputs
        starts = []
        for i, operand in enumerate(self.kernel.operands):
            places = (*pairs(batch, inputs.batch_strides(i)), (m0, inputs.stride(i, -3)))
            places += ((n0, inputs.stride(i, -2)),)
            starts.append(address(f, inputs.pointer(i), memory_element(operand.dtype), *places))
        return starts

    def _depth(self, block: DepthBlock) -> None:
        """Some steps of K, for all rows and columns of the block."""
        f, self.block = self.f, block
        self.k0, self.steps, self.go_on = block.k0, block.steps, block.go_on
        self._place_a()
        head, body, done = f.new_block("columns"), f.new_block("column"), f.new_block("columns_done")
        before = f.current
        f.branch(head)
        f.place(head)
        at = f.phi("i64")
        at.add(f.i64(0), before)
        f.branch_if(f.icmp("slt", at.value, self.columns), body, done)
        f.place(body)
        left = f.sub(self.columns, at.value)
        taken = f.min(f.i64(self.shape.width), left)
        self.wide = f.const("i1", False)
        if self.b_in_place:
            wide = f.i64(self.shape.wide_width)
            single = f.icmp("eq", self.rows, f.i64(1))
            in_place = f.icmp("eq", self.inputs.number("b_mode"), f.i64(B_IN_PLACE))
            self.wide = f.binary("and", f.icmp("sge", left, wide), f.binary("and", single, in_place))
            taken = f.select(self.wide, wide, taken)
        self._column(at.value, taken)
        at.add(f.add(at.value, taken), f.current)
        f.branch(head)
        f.place(done)

    def _place_a(self) -> None:
        """Finds the block's rows of A for these steps: where they lie, or where they are packed."""
        f, inputs = self.f, self.inputs
        zero = f.i64(0)
        row, step = inputs.stride(0, -3), inputs.stride(0, -1)
        where = [address(f, self.starts[0], self.element, (self.k0, step)), row or zero, step or zero]
        if self.packs_a:
            mode, a_step = inputs.number("a_mode"), inputs.number("a_step")
            by_block = f.icmp("eq", mode, f.i64(A_BY_BLOCK))
            own = self._scratch("scratch_a")
            with f.when(by_block):
                f.line(
                    f"call void @{self.entry}_copy_a({where[0]}, {where[2]}, {own}, {a_step}, {self.steps}, "
                    f"{self.rows})"
                )
            ahead = address(f, self.a_ahead, self.element, (self.k0, a_step))
            packed = [f.select(by_block, own, ahead), f.i64(1), a_step]
            in_place = f.icmp("eq", mode, f.i64(A_IN_PLACE))
            where = [f.select(in_place, old, new) for new, old in zip(packed, where, strict=True)]
        self.a, self.a_row, self.a_step = where

    def _column(self, j: Value, taken: Value) -> None:
        """One micro-kernel's columns, from ``j`` on, for all rows of the block."""
        f = self.f
        whole = f.icmp("sge", taken, f.i64(self.shape.width))
        b, b_step = self._place_b(j, taken, whole)
        a, steps, go_on = self.a, self.steps, self.go_on
        if self.transposes:
            done = f.select(self.single, f.binary("and", steps, f.i64(-self.shape.lanes)), f.i64(0))
            b = address(f, b, self.element, (done, b_step))
            a, steps = address(f, a, self.element, (done, self.a_step)), f.sub(steps, done)
            go_on = f.binary("or", go_on, f.icmp("ne", done, f.i64(0)))
        head, body, end = f.new_block("rows"), f.new_block("row"), f.new_block("rows_done")
        before = f.current
        f.branch(head)
        f.place(head)
        at = f.phi("i64")
        at.add(f.i64(0), before)
        i = at.value
        f.branch_if(f.icmp("slt", i, self.rows), body, end)
        f.place(body)
        c, c_row, kept, to_output = self._place_c(i, j, whole)
        a = address(f, a, self.element, (i, self.a_row))
        height = self._micro(
            f.sub(self.rows, i), (steps, a, self.a_row, self.a_step, b, b_step, c, c_row, go_on)
        )
        with f.when(f.binary("and", self.block.chain_ends, f.binary("xor", to_output, f.const("i1", True)))):
            self._finish(c, kept, i, j, height, taken)
        at.add(f.add(i, height), f.current)
        f.branch(head)
        f.place(end)

    def _place_c(self, i: Value, j: Value, whole: Value) -> tuple[Value, Value, Value, Value]:
        """Where chains end: address, elements between rows, place in the scratch, whether in the output."""
        f, inputs = self.f, self.inputs
        width = f.i64(self.shape.width)
        line = f.mul(i, inputs.number("keep"))
        kept = offset_of(f, (j, inputs.number("keep_column")), (line, width))
        c, c_row, to_output = (
            f.element(self._scratch("scratch_chains"), self.element, kept),
            width,
            f.const("i1", False),
        )
        if self.direct is not None:
            to_output = f.binary("and", whole, f.icmp("sle", inputs.number("k"), inputs.number("chunk")))
            out_row = inputs.stride(self.direct, -3) or f.i64(0)
            out = address(f, self.starts[self.direct], self.element, (i, out_row), (j, f.i64(1)))
            c, c_row = f.select(to_output, out, c), f.select(to_output, out_row, c_row)
        return c, c_row, kept, to_output

    def _scratch(self, name: str) -> Value:
        return self.f.element(self.scratch, "i8", self.inputs.number(name))

    def _place_b(self, j: Value, taken: Value, whole: Value) -> tuple[Value, Value]:
        """Where the columns' elements of B are, and the elements between steps of K."""
        f, element, inputs = self.f, self.element, self.inputs
        column, step = inputs.stride(1, -2), inputs.stride(1, -1)
        zero, width = f.i64(0), f.i64(self.shape.width)
        mode = inputs.number("b_mode")
        start = address(f, self.starts[1], element, (self.k0, step), (j, column))
        in_place = f.const("i1", False)
        if self.b_in_place:
            in_place = f.binary("and", whole, f.icmp("eq", mode, f.i64(B_IN_PLACE)))
        ahead = f.icmp("eq", mode, f.i64(B_AHEAD))
        ready = address(f, self.b_ahead, element, (j, inputs.number("k")), (self.k0, width))
        with f.when(f.binary("xor", f.binary("or", in_place, ahead), f.const("i1", True))):
            arguments = [start, step or zero, column or zero, self.scratch, self.steps, taken]
            if self.transposes:
                c, *_ = self._place_c(zero, j, whole)
                arguments += [self.a, self.a_step, c, self.go_on, self.single]
            f.line(f"call void @{self.entry}_pack_b({', '.join(map(str, arguments))})")
        b = f.select(in_place, start, f.select(ahead, ready, self.scratch))
        return b, f.select(in_place, step or zero, width)

    def _micro(self, left: Value, operands: Sequence[Value]) -> Value:
        """Calls the largest micro-kernel that the rows left fill; gives its height."""
        f, shape = self.f, self.shape
        arguments = ", ".join(map(str, operands))
        end = f.new_block("computed")
        reached: list[tuple[int, str]] = []

        def call(height: int, vectors: int) -> None:
            f.line(f"call void @{micro_name(self.entry, height, vectors)}({arguments})")
            reached.append((height, f.current))
            f.branch(end)

        for height in shape.heights[:-1]:
            enough, less = f.new_block("enough"), f.new_block("less")
            f.branch_if(fits(f, shape, left, height), enough, less)
            f.place(enough)
            call(height, shape.vectors)
            f.place(less)
        if self.b_in_place:
            row, narrow = f.new_block("wide"), f.new_block("narrow")
            f.branch_if(self.wide, row, narrow)
            f.place(row)
            call(1, shape.wide)
            f.place(narrow)
        call(1, shape.vectors)
        f.place(end)
        done = f.phi("i64")
        for height, block in reached:
            done.add(f.i64(height), block)
        return done.value

    def _finish(self, chains: Value, kept: Value, i: Value, j: Value, height: Value, taken: Value) -> None:
        f, inputs = self.f, self.inputs
        starts = {}
        for number, operand in enumerate(self.kernel.operands[2:], 2):
            places = (i, inputs.stride(number, -3)), (j, inputs.stride(number, -2))
            starts[number] = address(f, self.starts[number], memory_element(operand.dtype), *places)
        sums = f.element(self._scratch("scratch_sums"), self.element, kept)
        block = Block(chains, sums, height, taken, starts)
        write_finish(
            f, self.kernel, self.target, self.shape, block, inputs, self.block.first, self.block.last
        )
