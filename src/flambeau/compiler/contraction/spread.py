"""Products whose columns or depth are spread over several axes: convolutions, above all.

B is never laid out as a matrix. Each unit of work packs the panels of columns that it needs out of
the array itself: for the steps of K it keeps a table of offsets, made anew for each block of the
depth, and it walks the columns in runs along their innermost axis. Results are written in runs
likewise, along the innermost axis of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from flambeau.compiler.contraction.axes import axes_of
from flambeau.compiler.contraction.finish import Block, write_finish
from flambeau.compiler.contraction.gemm import Product, address, pairs
from flambeau.compiler.contraction.shape import Shape
from flambeau.compiler.ir import Function, Module, Value, vector
from flambeau.compiler.kernel import Kernel, Stride
from flambeau.compiler.odometer import Odometer
from flambeau.compiler.scalar_ops import memory_element

Steps = Sequence[Value | None]


class SpreadProduct(Product):
    """Writes the entry that computes blocks of the output."""

    def _starts(self, batch: Sequence[Value], m0: Value, n0: Value) -> list[Value]:
        """The address of each operand at the block's first row; columns are found run by run."""
        f, inputs = self.f, self.inputs
        starts = []
        for i, operand in enumerate(self.kernel.operands):
            places = (*pairs(batch, inputs.batch_strides(i)), (m0, inputs.stride(i, -3)))
            starts.append(address(f, inputs.pointer(i), memory_element(operand.dtype), *places))
        return starts

    def _place_a(self) -> None:
        super()._place_a()
        f = self.f
        # The table of offsets lies behind the packed panel.
        panel = f.mul(self.inputs.number("depth"), f.i64(self.shape.width))
        self.table = f.element(self.scratch, self.element, panel)
        sizes, steps = self.inputs.depths()
        odometer = Odometer(f, sizes, [steps])
        with f.loop(f.i64(0), self.steps, 1, odometer.start(self.k0)) as loop:
            (offset,) = odometer.offsets(loop.carried)
            f.store(offset or f.i64(0), f.element(self.table, "i64", loop.index))
            loop.next = odometer.advance(loop.carried)

    def _place_b(self, j: Value, taken: Value, whole: Value) -> tuple[Value, Value]:
        f = self.f
        sizes, steps = self.inputs.columns(1)
        arguments = [self.starts[1], self.table, self.scratch, self.steps, f.add(self.first_column, j), taken]
        arguments += [*sizes, *[step or f.i64(0) for step in steps]]
        f.line(f"call void @{self.entry}_pack_b({', '.join(map(str, arguments))})")
        return self.scratch, f.i64(self.shape.width)

    def _finish(self, chains: Value, kept: Value, i: Value, j: Value, height: Value, taken: Value) -> None:
        f, inputs = self.f, self.inputs
        sums = f.element(self._scratch("scratch_sums"), self.element, kept)
        others = range(2, len(self.kernel.operands))
        sizes, _ = inputs.columns(2)
        steps = [inputs.columns(number)[1] for number in others]
        with runs(f, f.add(self.first_column, j), taken, sizes, steps) as (done, length, offsets):
            starts = {}
            for number, offset in zip(others, offsets, strict=True):
                element = memory_element(self.kernel.operands[number].dtype)
                start = address(f, self.starts[number], element, (i, inputs.stride(number, -3)))
                starts[number] = start if offset is None else f.element(start, element, offset)
            block = Block(
                f.element(chains, self.element, done),
                f.element(sums, self.element, done),
                height,
                length,
                starts,
            )
            write_finish(f, self.kernel, self.target, self.shape, block, inputs, self.first_chunk, self.last)


@contextmanager
def runs(
    f: Function, first: Value, count: Value, sizes: Sequence[Value], steps: Sequence[Steps]
) -> Iterator[tuple[Value, Value, list[Value | None]]]:
    """Walks ``count`` points from the flat index ``first`` on, in runs along the innermost axis.

    Gives how many points came before, the length of the run, and per operand the offset of its
    first point, None where the operand does not move.
    """
    inner = sizes[-1]
    outer = Odometer(f, sizes[:-1], [own[:-1] for own in steps])
    row = f.binary("udiv", first, inner)
    start = f.sub(first, f.mul(row, inner))
    state = outer.start(row)
    head, body, end = f.new_block("runs"), f.new_block("run"), f.new_block("runs_done")
    before = f.current
    f.branch(head)
    f.place(head)
    carried = [f.zero("i64"), start, *state]
    phis = [f.phi(v.type) for v in carried]
    for phi, value in zip(phis, carried, strict=True):
        phi.add(value, before)
    done, at, *now = [phi.value for phi in phis]
    f.branch_if(f.icmp("slt", done, count), body, end)
    f.place(body)
    length = f.min(f.sub(inner, at), f.sub(count, done))
    offsets: list[Value | None] = []
    for own, offset in zip(steps, outer.offsets(now), strict=True):
        step = own[-1]
        if step is not None:
            moved = f.mul(at, step)
            offset = moved if offset is None else f.add(offset, moved)
        offsets.append(offset)
    yield done, length, offsets
    following = [f.add(done, length), f.i64(0), *outer.advance(now)]
    for phi, value in zip(phis, following, strict=True):
        phi.add(value, f.current)
    f.branch(head)
    f.place(end)


def write_pack_spread(module: Module, name: str, shape: Shape, kernel: Kernel) -> None:
    """Writes ``pack(from, table, to, steps, first, columns, sizes.., strides..)`` for a panel of columns.

    The result has ``shape.width`` neighbours for each step of K, those at ``table``'s offsets.
    """
    axes = axes_of(kernel)
    neighbours = kernel.operands[1].strides[axes.place(-2)] is Stride.ONE
    names = [
        ("ptr", "from"),
        ("ptr", "table"),
        ("ptr", "to"),
        ("i64", "steps"),
        ("i64", "first"),
        ("i64", "columns"),
    ]
    names += [("i64", f"size{i}") for i in range(axes.columns)] + [
        ("i64", f"step{i}") for i in range(axes.columns)
    ]
    f = module.function(name, names, internal=True)
    source, table, target, steps, first, columns = f.params[:6]
    sizes, strides = f.params[6 : 6 + axes.columns], f.params[6 + axes.columns :]
    element, lanes = shape.element, shape.lanes
    step = f.i64(1) if neighbours else strides[-1]
    with runs(f, first, columns, sizes, [[*strides[:-1], step]]) as (done, length, offsets):
        start = address(f, source, element, (offsets[0] or f.i64(0), f.i64(1)))
        with f.loop(f.i64(0), length, lanes) as part:
            left = f.sub(length, part.index)
            read = address(f, start, element, (part.index, step))
            write = f.element(target, element, f.add(done, part.index))
            few = f.first_lanes(left, lanes)
            if neighbours:
                _copy(f, shape, table, steps, read, write, few, _neighbours(f, shape, few))
            else:
                twos, others, end = f.new_block("twos"), f.new_block("others"), f.new_block("copied")
                f.branch_if(f.icmp("eq", step, f.i64(2)), twos, others)
                f.place(twos)
                _copy(f, shape, table, steps, read, write, few, _every_second(f, shape, left))
                f.branch(end)
                f.place(others)
                _copy(f, shape, table, steps, read, write, few, _apart(f, shape, few, step))
                f.branch(end)
                f.place(end)
    f.ret()


Load = Callable[[Value], Value]


def _copy(
    f: Function, shape: Shape, table: Value, steps: Value, read: Value, write: Value, few: Value, load: Load
) -> None:
    """A vector of columns for every step of K."""
    with f.loop(f.i64(0), steps, 1) as k:
        offset = f.load("i64", f.element(table, "i64", k.index))
        loaded = load(f.element(read, shape.element, offset))
        f.store_masked(loaded, f.element(write, shape.element, f.mul(k.index, f.i64(shape.width))), few)


def _neighbours(f: Function, shape: Shape, few: Value) -> Load:
    type_ = vector(shape.lanes, shape.element)
    return lambda place: f.load_masked(type_, place, few)


def _every_second(f: Function, shape: Shape, left: Value) -> Load:
    """Lanes two elements apart: two vectors are loaded, and every other lane is taken."""
    lanes = shape.lanes
    type_ = vector(lanes, shape.element)
    reach = f.sub(f.mul(left, f.i64(2)), f.i64(1))
    beyond = f.intrinsic("smax", "i64", f.sub(reach, f.i64(lanes)), f.i64(0))
    first, second = f.first_lanes(reach, lanes), f.first_lanes(beyond, lanes)

    def load(place: Value) -> Value:
        low = f.load_masked(type_, place, first)
        high = f.load_masked(type_, f.element(place, shape.element, f.i64(lanes)), second)
        return f.shuffle(low, high, range(0, 2 * lanes, 2))

    return load


def _apart(f: Function, shape: Shape, few: Value, step: Value) -> Load:
    type_ = vector(shape.lanes, shape.element)
    at = f.mul(f.iota(vector(shape.lanes, "i64")), f.splat(step, shape.lanes))
    return lambda place: f.gather(type_, f.element(place, shape.element, at), few)
