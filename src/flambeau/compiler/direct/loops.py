"""The module of a direct convolution: its two entries, and the loops around the innermost one."""

from __future__ import annotations

from flambeau.compiler.contraction.finish import Block, Row, add_up
from flambeau.compiler.contraction.gemm import DepthBlock, address, split
from flambeau.compiler.contraction.micro import fits
from flambeau.compiler.contraction.module import check, kept_apart
from flambeau.compiler.contraction.shape import Shape, shape_for
from flambeau.compiler.contraction.spread import runs
from flambeau.compiler.direct.arguments import B_AHEAD, B_BY_BLOCK, Inputs
from flambeau.compiler.direct.micro import LINE, loop_name, write_micro
from flambeau.compiler.direct.packing import Packing
from flambeau.compiler.ir import Module, Value, size_of, vector
from flambeau.compiler.kernel import Kernel, Role, Stride
from flambeau.compiler.lowering import entry_name
from flambeau.compiler.odometer import Odometer
from flambeau.compiler.scalar_ops import memory_element
from flambeau.compiler.target import Target


def lower(kernel: Kernel, target: Target) -> tuple[str, str]:
    """The entry's name and a module defining it and ``<entry>_pack`` as LLVM IR text.

    Both are ``void @f(ptr %args, i64 %tile)``; ``blocking.calls`` says which to call with what.
    Raises ``ValueError`` for a kernel that is not operand 0 times operand 1 with an epilogue.
    """
    check(kernel)
    entry = entry_name(kernel, target)
    shape = shape_for(kernel, target)
    module = Module(entry, target.triple)
    for height in shape.heights:
        for vectors in range(1, shape.vectors + 1):
            write_micro(module, entry, shape, height, vectors)
    write_micro(module, entry, shape, shape.heights[0], shape.vectors, fetches=True)
    Packing(module, entry, kernel, shape).write()
    _Convolution(module, entry, kernel, target, shape).write()
    return entry, kept_apart(module.text())


class _Convolution:
    """Writes the entry that computes blocks of the result: some positions of a box, some channels."""

    def __init__(self, module: Module, entry: str, kernel: Kernel, target: Target, shape: Shape) -> None:
        self.entry, self.kernel, self.target, self.shape = entry, kernel, target, shape
        self.element = shape.element
        self.f = module.function(entry, [("ptr", "args"), ("i64", "tile")])
        self.inputs = Inputs(self.f, kernel)
        positions = self.inputs.axes.positions
        self.others = range(2, len(kernel.operands))
        # Operands whose elements are elsewhere for each position have a table of offsets each.
        self.moving = [
            i
            for i in (0, *self.others)
            if any(kernel.operands[i].strides[a] is not Stride.ZERO for a in positions)
        ]

    def write(self) -> None:
        f, inputs = self.f, self.inputs
        own = f.add(inputs.number("scratch"), f.mul(f.params[1], inputs.number("scratch_size")))
        self.all_chains = inputs.workspace(own)
        names = ("sums", "table", "copies", "rows", "b")
        self.all_sums, self.table, self.copies, self.rows_at, self.own_b = [
            f.element(self.all_chains, "i8", inputs.number(f"scratch_{name}")) for name in names
        ]
        per_tile = inputs.number("units_per_tile")
        first = f.mul(f.params[1], per_tile)
        stop = f.min(f.add(first, per_tile), inputs.number("units"))
        with f.loop(first, stop, 1) as unit:
            self._unit(unit.index)
        f.ret()

    def _unit(self, unit: Value) -> None:
        f, inputs = self.f, self.inputs
        parts = [inputs.number(name) for name in ("groups", "column_blocks", "row_blocks")]
        group, column_block, row_block = split(f, unit, parts)
        self.n0 = f.mul(column_block, inputs.number("columns"))
        self.columns = f.min(inputs.number("columns"), f.sub(inputs.number("m"), self.n0))
        first = inputs.find_box(row_block)
        channels, walked = inputs.number("channels"), inputs.number("walked")
        # No channel at all still has one round, which gives the empty sum.
        rounds = f.intrinsic("smax", "i64", channels, f.i64(1))
        with f.loop(f.i64(0), rounds, walked) as block, inputs.boxes(first) as number:
            self._find_places(group, row_block, number)
            self._channels(block.index, f.min(channels, f.add(block.index, walked)))

    def _find_places(self, group: Value, row_block: Value, number: Value) -> None:
        """Finds where the operands of a box are for the unit's positions and channels."""
        f, inputs = self.f, self.inputs
        r0 = f.mul(f.sub(row_block, inputs.boxed("start")), inputs.number("rows"))
        self.rows = f.min(inputs.number("rows"), f.sub(inputs.boxed("n"), r0))
        self.chains, self.sums = [
            f.element(part, "i8", f.mul(number, inputs.number("chain_step")))
            for part in (self.all_chains, self.all_sums)
        ]
        self.starts = {}
        for i in (0, *self.others):
            element = memory_element(self.kernel.operands[i].dtype)
            places = [(group, inputs.stride(i, 0)), (self.n0, inputs.stride(i, inputs.axes.channel))]
            start = address(f, inputs.pointer(i), element, *places)
            self.starts[i] = f.element(start, element, inputs.boxed(f"offset {i}"))
        mode = inputs.number("b_mode")
        self.b_by_block = f.icmp("eq", mode, f.i64(B_BY_BLOCK))
        ahead = f.icmp("eq", mode, f.i64(B_AHEAD))
        b = f.select(ahead, inputs.packed(), inputs.pointer(1))
        b = address(f, b, self.element, (group, inputs.number("group_step")))
        b = address(f, b, self.element, (self.n0, inputs.number("panel_step")))
        self.unit = f.select(ahead, f.i64(self.shape.width), f.i64(1))
        self.b = f.element(b, self.element, f.mul(inputs.boxed("offset 1"), self.unit))
        self._find_rows(r0)

    def _channels(self, first: Value, last: Value) -> None:
        """The steps of K of channels ``first`` to ``last`` of a box: a part of one chunk."""
        f, inputs = self.f, self.inputs
        taps, chunk = inputs.boxed("taps"), inputs.number("chunk")
        part = f.mul(f.binary("udiv", first, chunk), chunk)
        start = f.mul(part, taps)
        stop = f.mul(f.min(f.add(part, chunk), inputs.number("channels")), taps)
        k, k0, k1 = [f.mul(at, taps) for at in (inputs.number("channels"), first, last)]
        rounds = f.intrinsic("smax", "i64", k1, f.add(k0, f.i64(1)))
        with f.loop(k0, rounds, inputs.number("depth")) as block:
            end = f.min(f.add(block.index, inputs.number("depth")), k1)
            self._depth(
                DepthBlock(
                    block.index,
                    f.sub(end, block.index),
                    f.icmp("ne", block.index, start),
                    f.icmp("eq", end, stop),
                    f.icmp("eq", f.mul(part, taps), f.i64(0)),
                    f.icmp("eq", end, k),
                )
            )

    def _find_rows(self, first: Value) -> None:
        """Writes the tables of the block's positions."""
        f, inputs = self.f, self.inputs
        steps = [[inputs.stride(i, axis) for axis in inputs.axes.positions] for i in self.moving]
        odometer = Odometer(f, inputs.several("row"), steps)
        start = odometer.start(first)
        with f.loop(f.i64(0), self.rows, 1, start) as row:
            for i, offset in zip(self.moving, odometer.offsets(row.carried), strict=True):
                f.store(offset or f.i64(0), f.element(self._rows_of(i), "i64", row.index))
            row.next = odometer.advance(row.carried)

    def _rows_of(self, operand: int) -> Value:
        f, number = self.f, self.moving.index(operand)
        if not number:
            return self.rows_at
        return f.element(self.rows_at, "i64", f.mul(self.inputs.number("rows"), f.i64(number)))

    def _depth(self, block: DepthBlock) -> None:
        """Some steps of K, for all of the block."""
        f, self.block = self.f, block
        self._find_steps()
        with f.loop(f.i64(0), self.columns, self.shape.width) as panel:
            self._panel(panel.index)

    def _find_steps(self) -> None:
        """Writes the tables of the steps: where their elements are in the input and in B."""
        f, inputs, steps = self.f, self.inputs, self.block.steps
        of_input = [inputs.stride(0, axis) for axis in inputs.axes.depth]
        of_b = [f.mul(step, self.unit) for step in inputs.several("table")]
        first = f.min(steps, inputs.boxed("taps"))
        walk = runs(f, self.block.k0, first, inputs.several("step"), [of_input, of_b])
        with walk as (done, length, offsets):
            start = self._pair(*[offset or f.i64(0) for offset in offsets])
            further = self._pair(of_input[-1] or f.i64(0), of_b[-1])
            with f.loop(f.i64(0), length, 1, [start]) as step:
                f.store(step.carried[0], self._entry(self.table, f.add(done, step.index)))
                step.next = [f.add(step.carried[0], further)]
        # The window of another channel is the same, elsewhere.
        further = self._pair(of_input[0] or f.i64(0), of_b[0])
        with f.loop(first, steps, 1) as step:
            before = self._entry(self.table, f.sub(step.index, inputs.boxed("taps")))
            f.store(f.add(f.load(further.type, before), further), self._entry(self.table, step.index))
        with f.when(self.b_by_block):
            further = self._pair(f.i64(0), f.i64(self.shape.width))
            with f.loop(f.i64(0), steps, 1, [f.zero(further.type)]) as step:
                in_a = f.load("i64", self._entry(self.table, step.index))
                own = f.emit(further.type, f"insertelement {step.carried[0]}, {in_a}, i32 0")
                f.store(own, self._entry(self.copies, step.index))
                step.next = [f.add(step.carried[0], further)]
        self.steps_at = f.select(self.b_by_block, self.copies, self.table)

    def _pair(self, a: Value, b: Value) -> Value:
        f = self.f
        made = f.splat(b, 2)
        return f.emit(made.type, f"insertelement {made}, {a}, i32 0")

    def _entry(self, table: Value, number: Value) -> Value:
        return self.f.element(table, "i64", self.f.mul(number, self.f.i64(2)))

    def _copy_panel(self, b: Value, taken: Value) -> None:
        """Copies the channels of a panel together, step after step."""
        f, element, shape = self.f, self.element, self.shape
        type_ = vector(shape.lanes, element)
        starts = [f.i64(j * shape.lanes) for j in range(shape.vectors)]
        zero = f.i64(0)
        masks = [
            f.first_lanes(f.intrinsic("smax", "i64", f.sub(taken, at), zero), shape.lanes) for at in starts
        ]
        with f.loop(zero, self.block.steps, 1) as k:
            in_b = f.load("i64", f.element(self._entry(self.table, k.index), "i64", f.i64(1)))
            read = f.element(b, element, in_b)
            write = f.element(self.own_b, element, f.mul(k.index, f.i64(shape.width)))
            for at, mask in zip(starts, masks, strict=True):
                f.store(
                    f.load_masked(type_, f.element(read, element, at), mask), f.element(write, element, at)
                )

    def _panel(self, j: Value) -> None:
        """The channels from ``j`` on that are in registers at once, for all positions of the block."""
        f, inputs = self.f, self.inputs
        taken = f.min(f.i64(self.shape.width), f.sub(self.columns, j))
        narrow = f.icmp("sle", taken, f.i64(self.shape.lanes * (self.shape.vectors - 1)))
        b = address(f, self.b, self.element, (j, inputs.number("panel_step")))
        with f.when(self.b_by_block):
            self._copy_panel(b, taken)
        b = f.select(self.b_by_block, self.own_b, b)
        behind = self._behind(b)
        lines = self.shape.width * size_of(self.element) // LINE
        head, body, end = f.new_block("rows"), f.new_block("row"), f.new_block("rows_done")
        before = f.current
        f.branch(head)
        f.place(head)
        at = f.phi("i64")
        at.add(f.i64(0), before)
        i = at.value
        f.branch_if(f.icmp("slt", i, self.rows), body, end)
        f.place(body)
        line = f.mul(f.mul(i, inputs.number("keep")), f.i64(self.shape.width))
        kept = f.add(line, f.mul(j, inputs.number("keep_column")))
        c = f.element(self.chains, self.element, kept)
        rows = f.element(self.rows_at, "i64", i)
        # Where weights are many, the first calls for a panel fetch a share each of those of the next steps.
        share = f.binary("udiv", i, f.i64(self.shape.heights[0]))
        fetches = f.icmp("slt", share, f.mul(inputs.number("fetches"), f.i64(lines)))
        ahead = f.element(behind, "i8", f.mul(f.mul(share, self.block.steps), f.i64(LINE)))
        operands = (self.block.steps, self.steps_at, rows, self.starts[0], b, ahead, c, self.block.go_on)
        with f.when(f.binary("and", self.block.last, f.icmp("ne", inputs.number("claims"), f.i64(0)))):
            self._claim(i, j, f.sub(self.rows, i))
        height = self._micro(f.sub(self.rows, i), narrow, fetches, ", ".join(map(str, operands)))
        with f.when(self.block.chain_ends):
            sums = f.element(self.sums, self.element, kept)
            block = Block(c, sums, height, taken, {})
            add_up(f, self.shape, block, self.block.first, self.block.last)
            with f.when(self.block.last):
                self._finish(c, i, j, height, taken)
        at.add(f.add(i, height), f.current)
        f.branch(head)
        f.place(end)

    def _behind(self, b: Value) -> Value:
        """Where a panel's weights for the next steps are: behind those of the last of these."""
        f = self.f
        last = self._entry(self.steps_at, f.sub(self.block.steps, f.i64(1)))
        offset = f.load("i64", f.element(last, "i64", f.i64(1)))
        return f.element(b, self.element, f.add(offset, f.i64(self.shape.width)))

    def _claim(self, i: Value, j: Value, left: Value) -> None:
        """Fetches the lines that a block's results will be written to, while it is computed."""
        f, inputs, kernel = self.f, self.inputs, self.kernel
        channel = inputs.axes.channel
        near = [
            n for n in self.others
            if kernel.operands[n].role is Role.OUT and kernel.operands[n].strides[channel] is Stride.ONE
        ]  # fmt: skip
        if not near:
            return
        with f.loop(f.i64(0), f.min(left, f.i64(self.shape.heights[0])), 1) as row:
            for number in near:
                element = memory_element(kernel.operands[number].dtype)
                start = f.element(self.starts[number], element, j)
                if number in self.moving:
                    offset = f.load("i64", f.element(self._rows_of(number), "i64", f.add(i, row.index)))
                    start = f.element(start, element, offset)
                for line in range(0, self.shape.width * size_of(element), LINE):
                    f.prefetch(f.element(start, "i8", f.i64(line)), write=True)

    def _micro(self, left: Value, narrow: Value, fetches: Value, arguments: str) -> Value:
        """Calls the innermost loop of the most positions that are left; gives their number."""
        f, shape = self.f, self.shape
        end = f.new_block("computed")
        reached: list[tuple[int, str]] = []

        def call(height: int, vectors: int, fetches: bool) -> None:
            f.line(f"call void @{loop_name(self.entry, height, vectors, fetches)}({arguments})")
            reached.append((height, f.current))
            f.branch(end)

        for height in shape.heights:
            less = f.new_block("less")
            if height > 1:
                enough = f.new_block("enough")
                f.branch_if(fits(f, shape, left, height), enough, less)
                f.place(enough)
            whole = height == shape.heights[0]
            few, many = f.new_block("few"), f.new_block("many")
            f.branch_if(narrow, few, many)
            for label, vectors in ((few, shape.vectors - 1), (many, shape.vectors)):
                f.place(label)
                if whole and label == many:
                    fetching, plain = f.new_block("fetching"), f.new_block("plain")
                    f.branch_if(fetches, fetching, plain)
                    f.place(fetching)
                    call(height, vectors, True)
                    f.place(plain)
                call(height, vectors, False)
            if height > 1:
                f.place(less)
        f.place(end)
        done = f.phi("i64")
        for height, block in reached:
            done.add(f.i64(height), block)
        return done.value

    def _finish(self, chains: Value, i: Value, j: Value, height: Value, taken: Value) -> None:
        """Runs the epilogue, position by position."""
        f, inputs = self.f, self.inputs
        channel = inputs.axes.channel
        steps = {number: inputs.stride(number, channel) for number in self.others}
        bases = {}
        for number, step in steps.items():
            element = memory_element(self.kernel.operands[number].dtype)
            bases[number] = address(f, self.starts[number], element, (j, step))
        with f.loop(f.i64(0), height, 1) as row:
            starts = {}
            for number, base in bases.items():
                if number not in self.moving:
                    starts[number] = base
                    continue
                at = f.element(self._rows_of(number), "i64", f.add(i, row.index))
                element = memory_element(self.kernel.operands[number].dtype)
                starts[number] = f.element(base, element, f.load("i64", at))
            own = f.element(chains, self.element, f.mul(row.index, f.i64(self.shape.width)))
            Row(f, self.kernel, self.target, self.shape, own, taken, starts, steps, channel).write()
