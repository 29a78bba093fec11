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
from flambeau.compiler.contraction.finish import Block, add_up, write_epilogue
from flambeau.compiler.contraction.gemm import Product, address, pairs
from flambeau.compiler.contraction.shape import Shape
from flambeau.compiler.ir import Function, Module, Value, vector
from flambeau.compiler.kernel import Kernel, Stride
from flambeau.compiler.odometer import Odometer
from flambeau.compiler.scalar_ops import memory_element

Steps = Sequence[Value | None]
Load = Callable[[Value], Value]
_STEPS_AT_ONCE = 4  # of K, when packing


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
        f = self.f
        sums = f.element(self._scratch("scratch_sums"), self.element, kept)
        whole = Block(chains, sums, height, taken, {})
        add_up(f, self.shape, whole, self.block.first, self.block.last)
        with f.when(self.block.last):
            self._runs(whole, i, j)

    def _runs(self, whole: Block, i: Value, j: Value) -> None:
        """Runs the epilogue on each run of the columns."""
        f, inputs, taken = self.f, self.inputs, whole.columns
        others = range(2, len(self.kernel.operands))
        sizes, _ = inputs.columns(2)
        steps = [inputs.columns(number)[1] for number in others]
        with runs(f, f.add(self.first_column, j), taken, sizes, steps) as (done, length, offsets):
            starts = {}
            for number, offset in zip(others, offsets, strict=True):
                element = memory_element(self.kernel.operands[number].dtype)
                start = address(f, self.starts[number], element, (i, inputs.stride(number, -3)))
                starts[number] = start if offset is None else f.element(start, element, offset)
            chains = f.element(whole.chains, self.element, done)
            block = Block(chains, whole.sums, whole.rows, length, starts)
            write_epilogue(f, self.kernel, self.target, self.shape, block, inputs)


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

    The result has ``shape.width`` neighbours for each step of K, those at ``table``'s offsets; where
    ``columns`` are fewer, the others hold any numbers.
    """
    axes = axes_of(kernel)
    params = [("ptr", "from"), ("ptr", "table"), ("ptr", "to"), ("i64", "steps"), ("i64", "first")]
    params.append(("i64", "columns"))
    params += [("i64", f"{which}{i}") for which in ("size", "step") for i in range(axes.columns)]
    f = module.function(name, params, internal=True)
    near = kernel.operands[1].strides[axes.place(-2)] is Stride.ONE
    _Packer(f, shape, axes.columns, near).write()
    f.ret()


class _Packer:
    """Writes the packing of one panel, vector by vector.

    A vector is put together of pieces, the parts of runs that lie in it, two at a time: most have no
    more.  For each pair all steps of K are copied.
    """

    def __init__(self, f: Function, shape: Shape, axes: int, near: bool) -> None:
        self.f, self.shape, self.near = f, shape, near
        self.source, self.table, self.target, self.steps, self.first, self.columns = f.params[:6]
        self.sizes, strides = f.params[6 : 6 + axes], f.params[6 + axes :]
        self.step = f.i64(1) if near else strides[-1]
        self.outer = Odometer(f, self.sizes[:-1], [strides[:-1]])
        self.type = vector(shape.lanes, shape.element)

    def write(self) -> None:
        f, lanes = self.f, self.shape.lanes
        row = f.binary("udiv", self.first, self.sizes[-1])
        start = [f.sub(self.first, f.mul(row, self.sizes[-1])), *self.outer.start(row)]
        with f.loop(f.i64(0), self.columns, lanes, start) as vectors:
            begin = vectors.index
            limit = f.min(f.add(begin, f.i64(lanes)), self.columns)
            read, length, state = self._piece(vectors.carried, begin, begin, limit)
            done = f.add(begin, length)
            write = f.element(self.target, self.shape.element, begin)
            mask = f.first_lanes(length, lanes)
            single, several, end = f.new_block("single"), f.new_block("several"), f.new_block("packed")
            f.branch_if(f.icmp("eq", done, limit), single, several)
            f.place(single)
            self._copy(write, [(read, mask)], keeps=False)
            left_single = f.current
            f.branch(end)
            f.place(several)
            second, length, later = self._piece(state, begin, done, limit)
            both = f.add(done, length)
            rest = f.binary("xor", mask, f.first_lanes(f.sub(both, begin), lanes))
            self._copy(write, [(read, mask), (second, rest)], keeps=False)
            found = self._more(write, begin, limit, both, later)
            left_several = f.current
            f.branch(end)
            f.place(end)
            following = []
            for one, other in zip(state, found, strict=True):
                phi = f.phi(one.type)
                phi.add(one, left_single)
                phi.add(other, left_several)
                following.append(phi.value)
            vectors.next = following

    def _more(self, write: Value, begin: Value, limit: Value, done: Value, state: list[Value]) -> list[Value]:
        """The pieces from the third on; gives the state after them."""
        f, lanes = self.f, self.shape.lanes
        head, body, end = f.new_block("more"), f.new_block("pair"), f.new_block("no_more")
        before = f.current
        f.branch(head)
        f.place(head)
        phis = [f.phi(v.type) for v in (done, *state)]
        for phi, value in zip(phis, (done, *state), strict=True):
            phi.add(value, before)
        at, *now = [phi.value for phi in phis]
        f.branch_if(f.icmp("slt", at, limit), body, end)
        f.place(body)
        pieces = []
        for _ in range(2):
            read, length, now = self._piece(now, begin, at, limit)
            low = f.first_lanes(f.sub(at, begin), lanes)
            at = f.add(at, length)
            high = f.first_lanes(f.sub(at, begin), lanes)
            pieces.append((read, f.binary("xor", low, high)))
        self._copy(write, pieces, keeps=True)
        for phi, value in zip(phis, (at, *now), strict=True):
            phi.add(value, f.current)
        f.branch(head)
        f.place(end)
        return [phi.value for phi in phis[1:]]

    def _piece(
        self, state: Sequence[Value], begin: Value, done: Value, limit: Value
    ) -> tuple[Value, Value, list[Value]]:
        """The piece from column ``done`` on: where lane 0 would lie, its length, the state after it."""
        f = self.f
        at, *outer = state
        length = f.min(f.sub(self.sizes[-1], at), f.sub(limit, done))
        lane = f.sub(at, f.sub(done, begin))
        (moved,) = self.outer.offsets(outer)
        offset = f.mul(lane, self.step)
        offset = offset if moved is None else f.add(offset, moved)
        after = f.add(at, length)
        with f.when(f.icmp("eq", after, self.sizes[-1]), [after, *outer]) as full:
            full.values = [f.i64(0), *self.outer.advance(outer)]
        return f.element(self.source, self.shape.element, offset), length, full.merged

    def _copy(self, write: Value, pieces: Sequence[tuple[Value, Value]], keeps: bool) -> None:
        """A vector for every step of K; what no piece covers stays as it is where it ``keeps``."""
        f = self.f
        if self.near:
            self._steps(write, [(read, mask, self._neighbours(mask)) for read, mask in pieces], keeps)
            return
        twos, others, end = f.new_block("twos"), f.new_block("others"), f.new_block("copied")
        f.branch_if(f.icmp("eq", self.step, f.i64(2)), twos, others)
        f.place(twos)
        self._steps(write, [(read, mask, self._every_other(mask)) for read, mask in pieces], keeps)
        f.branch(end)
        f.place(others)
        self._steps(write, [(read, mask, self._apart(mask)) for read, mask in pieces], keeps)
        f.branch(end)
        f.place(end)

    def _steps(self, write: Value, pieces: Sequence[tuple[Value, Value, Load]], keeps: bool) -> None:
        f, element, width = self.f, self.shape.element, self.shape.width

        def copy(first: Value, count: int) -> None:
            own = f.element(self.table, "i64", first)
            to = f.element(write, element, f.mul(first, f.i64(width)))
            places = [f.element(to, element, f.i64(i * width)) for i in range(count)]
            offsets = [f.load("i64", f.element(own, "i64", f.i64(i))) for i in range(count)]
            for place, offset in zip(places, offsets, strict=True):
                made = f.load(self.type, place) if keeps else None
                for read, mask, load in pieces:
                    loaded = load(f.element(read, element, offset))
                    made = loaded if made is None else f.select(mask, loaded, made)
                assert made is not None
                f.store(made, place)

        together = f.binary("and", self.steps, f.i64(-_STEPS_AT_ONCE))
        with f.loop(f.i64(0), together, _STEPS_AT_ONCE) as k:
            copy(k.index, _STEPS_AT_ONCE)
        with f.loop(together, self.steps, 1) as k:
            copy(k.index, 1)

    # What is not in the mask is not touched in memory.

    def _neighbours(self, mask: Value) -> Load:
        return lambda place: self.f.load_masked(self.type, place, mask)

    def _every_other(self, mask: Value) -> Load:
        """Lanes two elements apart: two vectors are loaded, and every other lane is taken."""
        f, lanes, element = self.f, self.shape.lanes, self.shape.element
        none = f.const(mask.type, False)
        picks = [i // 2 if i % 2 == 0 else lanes for i in range(2 * lanes)]
        first, second = f.shuffle(mask, none, picks[:lanes]), f.shuffle(mask, none, picks[lanes:])

        def load(place: Value) -> Value:
            low = f.load_masked(self.type, place, first)
            high = f.load_masked(self.type, f.element(place, element, f.i64(lanes)), second)
            return f.shuffle(low, high, range(0, 2 * lanes, 2))

        return load

    def _apart(self, mask: Value) -> Load:
        f, lanes = self.f, self.shape.lanes
        at = f.mul(f.iota(vector(lanes, "i64")), f.splat(self.step, lanes))
        return lambda place: f.gather(self.type, f.element(place, self.shape.element, at), mask)
