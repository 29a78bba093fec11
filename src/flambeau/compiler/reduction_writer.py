"""Writes the code of reductions: see ``reduction`` for what it computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from flambeau.compiler import scalar_ops
from flambeau.compiler.ir import Function, Value, lanes_of, vector
from flambeau.compiler.kernel import Instr, Kernel, Role, Stride
from flambeau.compiler.lowering import (
    Arguments,
    emit_body,
    lanes_for,
    load_vector,
    read_scalar,
    read_vector,
    store_scalar,
    store_vector,
)  # fmt: skip
from flambeau.compiler.odometer import Odometer
from flambeau.compiler.reduction_plan import COMBINE, PARTIAL, Plan, register_bytes
from flambeau.compiler.target import Target
from flambeau.dtypes import DType, bool_

LANES = 32


def identity(dtype: DType, op: str) -> float | int | bool:
    """What combines with anything to give that."""
    if op == "reduce_sum":
        return 0
    if op == "reduce_prod":
        return 1
    largest = op == "reduce_min"
    if dtype.floating:
        return float("inf") if largest else -float("inf")
    if dtype is bool_:
        return largest
    if dtype.kind == "uint":
        return (1 << dtype.bits) - 1 if largest else 0
    return (1 << (dtype.bits - 1)) - 1 if largest else -(1 << (dtype.bits - 1))


_COMBINE = {"reduce_sum": "add", "reduce_prod": "mul", "reduce_max": "maximum", "reduce_min": "minimum"}


class Writer:
    """What all of them share."""

    def __init__(self, f: Function, kernel: Kernel, plan: Plan, target: Target) -> None:
        self.f = f
        self.kernel = kernel
        self.plan = plan
        self.target = target
        self.body = kernel.body
        self.reductions = [kernel.body[i] for i in plan.reductions]

    def write(self) -> None:
        """Writes the whole function."""
        f, plan, operands = self.f, self.plan, self.kernel.operands
        arguments = Arguments(f, f.params[0])
        self.bases = arguments.pointers(len(operands))
        self.regions = arguments.pointers(len(self.reductions))
        self.mode, self.points, self.chunk, self.chunks = arguments.integers(4)
        chunks_per_tile, splits = arguments.integers(2)
        self.grid, grid_per_tile, self.columns, block, blocks = arguments.integers(5)
        self.grid_sizes = arguments.integers(len(plan.grid))
        self.reduced_sizes = arguments.integers(len(plan.reduced))
        self.steps = arguments.strides(operands)
        rest = f.binary("udiv", f.params[1], splits)
        self.split = f.sub(f.params[1], f.mul(rest, splits))
        part = f.binary("udiv", rest, blocks)
        self.first = f.mul(f.sub(rest, f.mul(part, blocks)), block)
        self.count = f.min(f.sub(self.columns, self.first), block)
        self.first_chunk = f.mul(self.split, chunks_per_tile)
        self.last_chunk = f.min(self.chunks, f.add(self.first_chunk, chunks_per_tile))
        begin = f.mul(part, grid_per_tile)
        end = f.min(self.grid, f.add(begin, grid_per_tile))
        self.is_partial = f.icmp("eq", self.mode, f.i64(PARTIAL))
        self.is_combine = f.icmp("eq", self.mode, f.i64(COMBINE))
        odometer = Odometer(f, self.grid_sizes, self._steps_along(plan.grid))
        with f.loop(begin, end, 1, odometer.start(begin)) as loop:
            self.at(loop.index, odometer.offsets(loop.carried))
            loop.next = odometer.advance(loop.carried)
        f.ret()

    def at(self, output: Value, offsets: Sequence[Value | None]) -> None:
        """Computes the outputs at one point of the grid axes."""
        raise NotImplementedError

    def _steps_along(self, axes: Sequence[int]) -> list[list[Value | None]]:
        return [[own[a] for a in axes] for own in self.steps]

    def _moved(self, pointer: Value, operand: int, offset: Value | None) -> Value:
        if offset is None:
            return pointer
        element = scalar_ops.memory_element(self.kernel.operands[operand].dtype)
        return self.f.element(pointer, element, offset)

    def _placed(self, pointers: Sequence[Value], offsets: Sequence[Value | None]) -> list[Value]:
        return [self._moved(p, i, o) for i, (p, o) in enumerate(zip(pointers, offsets, strict=True))]

    def _identities(self, lanes: int) -> list[Value]:
        return [
            self.f.const(
                vector(lanes, scalar_ops.register_element(instr.dtype)), identity(instr.dtype, instr.op)
            )
            for instr in self.reductions
        ]

    def _combined(self, instr: Instr, a: Value, b: Value) -> Value:
        """One step; 16-bit floats are not rounded here."""
        return scalar_ops.combine(self.f, _COMBINE[instr.op], instr.dtype, a, b)

    def _all_combined(self, a: Sequence[Value], b: Sequence[Value]) -> list[Value]:
        return [self._combined(i, x, y) for i, x, y in zip(self.reductions, a, b, strict=True)]

    def _results(self, totals: Sequence[Value]) -> dict[int, Value]:
        """The reductions' values, by instruction."""
        return {
            i: scalar_ops.rounded(self.f, total, self.body[i].dtype)
            for i, total in zip(self.plan.reductions, totals, strict=True)
        }

    def _unless(self, condition: Value, values: Sequence[Value] = ()) -> AbstractContextManager[object]:
        return self.f.when(self.f.binary("xor", condition, self.f.const("i1", True)), values)

    def _fold(
        self,
        lanes: int,
        chunk_value: Callable[[Value, Value], list[Value]],
        stored: Callable[[int, Value], Value],
    ) -> list[Value]:
        """Combines the tile's chunks in order, computing them or, in a second launch, loading them."""
        f = self.f
        none = self._identities(lanes)
        first = f.select(self.is_combine, f.i64(0), self.first_chunk)
        last = f.select(self.is_combine, self.chunks, self.last_chunk)
        with f.loop(first, last, 1, none) as loop:
            with f.when(self.is_combine, none) as loading:
                loading.values = [stored(j, loop.index) for j in range(len(self.reductions))]
            compute, end = f.new_block("compute"), f.new_block("chunk")
            before = f.current
            f.branch_if(self.is_combine, end, compute)
            f.place(compute)
            start = f.mul(loop.index, self.chunk)
            computed = chunk_value(start, f.min(self.points, f.add(start, self.chunk)))
            left = f.current
            f.branch(end)
            f.place(end)
            values = []
            for old, new in zip(loading.merged, computed, strict=True):
                phi = f.phi(old.type)
                phi.add(old, before)
                phi.add(new, left)
                values.append(phi.value)
            loop.next = self._all_combined(loop.carried, values)
        return loop.done

    def _region_place(self, j: int, chunk: Value, output: Value) -> Value:
        """Where the value of reduction ``j`` for a chunk and an output lies in the workspace."""
        f = self.f
        at = f.add(f.mul(chunk, f.mul(self.grid, self.columns)), output)
        return f.element(self.regions[j], f"i{8 * register_bytes(self.reductions[j].dtype)}", at)

    @property
    def _vector_axis(self) -> int:
        assert self.plan.vector is not None
        return self.plan.vector

    def _vector_step(self, i: int) -> Value | None:
        return self.steps[i][self._vector_axis]

    def _stored_dtype(self, j: int) -> DType:
        return scalar_ops.accumulator(self.reductions[j].dtype)

    def _load(self, place: Value, i: int, lanes: int, mask: Value | None) -> Value:
        operand = self.kernel.operands[i]
        step = self._vector_step(i)
        if step is None:
            return self.f.splat(read_scalar(self.f, operand, place), lanes)
        near = operand.strides[self._vector_axis] is Stride.ONE
        return read_vector(self.f, operand, place, lanes, None if near else step, mask)

    def _store(self, value: Value, place: Value, i: int, lanes: int, mask: Value | None) -> None:
        operand = self.kernel.operands[i]
        step = self._vector_step(i)
        if step is None:  # an axis of one point
            store_scalar(self.f, self.f.extract(value, 0), place, operand.dtype)
            return
        near = operand.strides[self._vector_axis] is Stride.ONE
        store_vector(self.f, value, place, operand.dtype, lanes, None if near else step, mask)


_NOT_A_NUMBER = 0x7FC00000
_INFINITY_DOUBLED = 0xFF000000  # the bits of a float32 without its sign, times two: more than this is NaN
_SMALLEST_DOUBLED = 0x01000000  # less than this is zero or counts as zero
_SIGN = -(1 << 31)


class RowWriter(Writer):
    """Reduces along the innermost axis: 32 lanes.

    A largest or smallest float32 is found by comparisons that a NaN does not survive, since these
    take half as long; beside it the largest magnitude is kept as an integer, which a NaN exceeds.
    """

    def __init__(self, f: Function, kernel: Kernel, plan: Plan, target: Target) -> None:
        super().__init__(f, kernel, plan, target)
        self._watched = [
            j
            for j, instr in enumerate(self.reductions)
            if instr.op in ("reduce_max", "reduce_min")
            and scalar_ops.register_element(instr.dtype) == "float"
        ]

    def at(self, output: Value, offsets: Sequence[Value | None]) -> None:
        f, operands = self.f, self.kernel.operands
        places = self._placed(self.bases, offsets)
        fixed = {
            i: read_scalar(f, operands[i], places[i])
            for i in self.plan.per_output
            if operands[i].role is not Role.OUT
        }

        def stored(j: int, chunk: Value) -> Value:
            type_ = scalar_ops.register_element(self.reductions[j].dtype)
            place = self._region_place(j, chunk, output)
            byte = type_ == "i1"
            value = f.load("i8" if byte else type_, place)
            return f.splat(f.convert("trunc", value, "i1") if byte else value, 1)

        totals = self._fold(1, lambda a, b: self._chunk(places, fixed, a, b), stored)
        with f.when(self.is_partial):
            for j, total in enumerate(totals):
                value = f.extract(total, 0)
                value = f.convert("zext", value, "i8") if value.type == "i1" else value
                f.store(value, self._region_place(j, self.split, output))
        with self._unless(self.is_partial):
            emit_body(
                f, self.body, 1, self._results(totals),
                lambda i, lanes: f.splat(fixed[i], lanes),
                lambda i, value: store_scalar(f, f.extract(value, 0), places[i], operands[i].dtype),
                self.plan.at_outputs.__contains__,
            )  # fmt: skip

    def _chunk(self, places: list[Value], fixed: dict[int, Value], start: Value, stop: Value) -> list[Value]:
        """The value of the reduced points ``start`` to ``stop``, in one lane."""
        f, plan = self.f, self.plan
        none = self._identities(LANES)
        none += [f.const(vector(LANES, "i32"), 0)] * len(self._watched)
        if len(plan.reduced) == 1:
            inner = self._inner(places, start)
            sums = self._segment(inner, fixed, none, f.sub(stop, start))
            return self._tree(sums)
        length = self.reduced_sizes[-1]
        outer = Odometer(f, self.reduced_sizes[:-1], self._steps_along(plan.reduced[:-1]))
        row = f.binary("udiv", start, length)
        column = f.sub(start, f.mul(row, length))
        last = f.binary("udiv", f.add(stop, f.sub(length, f.i64(1))), length)
        with f.loop(row, last, 1, [start, column, *none, *outer.start(row)]) as loop:
            at, column = loop.carried[:2]
            sums, state = loop.carried[2 : 2 + len(none)], loop.carried[2 + len(none) :]
            here = self._inner(self._placed(places, outer.offsets(state)), column)
            count = f.min(f.sub(length, column), f.sub(stop, at))
            phase = f.binary("and", at, f.i64(LANES - 1))
            sums = self._shifted_segment(here, fixed, sums, count, phase)
            loop.next = [f.add(at, count), f.i64(0), *sums, *outer.advance(state)]
        return self._tree(loop.done[2 : 2 + len(none)])

    def _inner(self, places: Sequence[Value], column: Value) -> list[Value]:
        """The addresses ``column`` points along the innermost axis."""
        steps = [own[-1] for own in self.steps]
        return [
            p if step is None else self._moved(p, i, self.f.mul(column, step))
            for i, (p, step) in enumerate(zip(places, steps, strict=True))
        ]

    def _segment(
        self, places: list[Value], fixed: dict[int, Value], sums: list[Value], count: Value
    ) -> list[Value]:
        """Adds ``count`` neighbouring points, of which the first belongs to lane 0."""
        f = self.f
        whole = f.binary("and", count, f.i64(-LANES))
        with f.loop(f.i64(0), whole, LANES, sums) as loop:
            loop.next = self._lanes(places, fixed, loop.carried, loop.index, None)
        with f.when(f.icmp("slt", whole, count), loop.done) as rest:
            mask = f.first_lanes(f.sub(count, whole), LANES)
            rest.values = self._lanes(places, fixed, loop.done, whole, mask)
        return rest.merged

    def _shifted_segment(
        self, places: list[Value], fixed: dict[int, Value], sums: list[Value], count: Value, phase: Value
    ) -> list[Value]:
        """Adds ``count`` neighbouring points, of which the first belongs to lane ``phase``."""
        f = self.f
        numbers = f.iota(vector(LANES, "i32"))
        begin = f.sub(f.i64(0), phase)
        with f.loop(begin, count, LANES, sums) as loop:
            before = f.intrinsic("smax", "i64", f.sub(f.i64(0), loop.index), f.i64(0))
            above = f.icmp("sge", numbers, f.splat(f.convert("trunc", before, "i32"), LANES))
            below = f.first_lanes(f.sub(count, loop.index), LANES)
            mask = f.binary("and", above, below)
            loop.next = self._lanes(places, fixed, loop.carried, loop.index, mask)
        return loop.done

    def _lanes(
        self,
        places: list[Value],
        fixed: dict[int, Value],
        sums: Sequence[Value],
        at: Value,
        mask: Value | None,
    ) -> list[Value]:
        """Adds the points ``at`` to ``at + 32`` to their lanes, those outside ``mask`` not."""
        f, operands = self.f, self.kernel.operands

        def place(i: int) -> tuple[Value, Value | None]:
            step = self.steps[i][-1]
            assert step is not None
            near = operands[i].strides[-1] is Stride.ONE
            return self._moved(places[i], i, at if near else f.mul(at, step)), None if near else step

        def load(i: int, lanes: int) -> Value:
            if i in fixed:
                return f.splat(fixed[i], lanes)
            if self.steps[i][-1] is None:  # moves along an outer reduced axis only
                return f.splat(read_scalar(f, operands[i], places[i]), lanes)
            start, step = place(i)
            return read_vector(f, operands[i], start, lanes, step, mask)

        def store(i: int, value: Value) -> None:
            start, step = place(i)
            store_vector(f, value, start, operands[i].dtype, LANES, step, mask)

        values = self._known(load)
        emit_body(f, self.body, LANES, values, load, store, self.plan.at_points.__contains__)
        self._keep(values, store)
        added = self._stepped(sums, [values[instr.args[0]] for instr in self.reductions])
        if mask is None:
            return added
        return [f.select(mask, new, old) for new, old in zip(added, sums, strict=True)]

    def _stepped(self, sums: Sequence[Value], points: Sequence[Value]) -> list[Value]:
        """The lanes after some points."""
        f, added = self.f, []
        for j, (instr, old, x) in enumerate(zip(self.reductions, sums, points, strict=False)):
            if j in self._watched:
                larger = f.fcmp("ogt" if instr.op == "reduce_max" else "olt", old, x)
                added.append(f.select(larger, old, x))
            else:
                added.append(self._combined(instr, old, x))
        for j, old in zip(self._watched, sums[len(added) :], strict=True):
            added.append(f.intrinsic("umax", old.type, old, self._doubled(points[j])))
        return added

    def _doubled(self, x: Value) -> Value:
        bits = self.f.convert("bitcast", x, "i32")
        return self.f.binary("shl", bits, self.f.const(bits.type, 1))

    def _settled(self, sums: Sequence[Value]) -> list[Value]:
        """The lanes' values, NaN where one was seen."""
        f = self.f
        out = list(sums[: len(self.reductions)])
        for j, seen in zip(self._watched, sums[len(out) :], strict=True):
            bits = f.convert("bitcast", out[j], "i32")
            small = f.icmp("ult", self._doubled(out[j]), f.const(bits.type, _SMALLEST_DOUBLED))
            bits = f.select(small, f.binary("and", bits, f.const(bits.type, _SIGN)), bits)
            missing = f.icmp("ugt", seen, f.const(bits.type, _INFINITY_DOUBLED))
            bits = f.select(missing, f.const(bits.type, _NOT_A_NUMBER), bits)
            out[j] = f.convert("bitcast", bits, "float")
        return out

    def _known(self, load: Callable[[int, int], Value]) -> dict[int, Value]:
        """The values of instructions at these points that need not be computed."""
        return {}

    def _keep(self, values: dict[int, Value], store: Callable[[int, Value], None]) -> None:
        """Puts away what a later pass over these points needs."""

    def _tree(self, sums: Sequence[Value]) -> list[Value]:
        """Combines the upper half of the lanes into the lower until one is left."""
        f = self.f
        out = []
        for instr, value in zip(self.reductions, self._settled(sums), strict=True):
            while (half := lanes_of(value.type) // 2) > 0:
                low = f.shuffle(value, value, range(half))
                high = f.shuffle(value, value, range(half, 2 * half))
                value = self._combined(instr, low, high)
            out.append(value)
        return out


class ColumnWriter(Writer):
    """Reduces along outer axes, keeping the innermost: a chain per column, columns in vectors."""

    def at(self, output: Value, offsets: Sequence[Value | None]) -> None:
        f = self.f
        places = self._placed(self.bases, offsets)
        places = [
            p if (step := self.steps[i][-1]) is None else self._moved(p, i, f.mul(self.first, step))
            for i, p in enumerate(places)
        ]
        origin = f.add(f.mul(output, self.columns), self.first)
        lanes = lanes_for(self.kernel, self.target)
        wide = lanes * self._unroll()
        whole = f.binary("and", self.count, f.i64(-wide))
        with f.loop(f.i64(0), whole, wide) as loop:
            self._strip(places, f.add(origin, loop.index), loop.index, wide, None)
        with f.loop(whole, self.count, lanes) as loop:
            mask = f.first_lanes(f.sub(self.count, loop.index), lanes)
            self._strip(places, f.add(origin, loop.index), loop.index, lanes, mask)

    def _unroll(self) -> int:
        """How many vectors of columns are summed side by side: long runs of memory per row."""
        work = sum(scalar_ops.cost(self.body[i].op, self.body[i].dtype) for i in self.plan.at_points)
        strided = any(o.strides[-1] is Stride.ANY for o in self.kernel.operands)
        if strided or work > 40:
            return 1
        room = self.target.vector_registers // (4 * max(1, len(self.reductions)))
        return 2 if work > 12 else max(2, room)

    def _strip(self, places: list[Value], output: Value, at: Value, lanes: int, mask: Value | None) -> None:
        """Reduces ``lanes`` columns from column ``at`` of the tile on."""
        f, operands = self.f, self.kernel.operands
        starts = [
            p if (step := self.steps[i][-1]) is None else self._moved(p, i, f.mul(at, step))
            for i, p in enumerate(places)
        ]
        fixed = {
            i: self._load(starts[i], i, lanes, mask)
            for i in self.plan.per_output
            if operands[i].role is not Role.OUT
        }

        def chunk(start: Value, stop: Value) -> list[Value]:
            walk = Odometer(f, self.reduced_sizes, self._steps_along(self.plan.reduced))
            none = self._identities(lanes)
            with f.loop(start, stop, 1, [*none, *walk.start(start)]) as loop:
                sums, state = loop.carried[: len(none)], loop.carried[len(none) :]
                here = self._placed(starts, walk.offsets(state))
                values: dict[int, Value] = {}
                emit_body(
                    f, self.body, lanes, values,
                    lambda i, lanes: fixed[i] if i in fixed else self._load(here[i], i, lanes, mask),
                    lambda i, value: self._store(value, here[i], i, lanes, mask),
                    self.plan.at_points.__contains__,
                )  # fmt: skip
                added = self._all_combined(sums, [values[instr.args[0]] for instr in self.reductions])
                loop.next = [*added, *walk.advance(state)]
            return loop.done[: len(none)]

        def stored(j: int, number: Value) -> Value:
            dtype = self._stored_dtype(j)
            return load_vector(f, self._region_place(j, number, output), dtype, lanes, None, mask)

        totals = self._fold(lanes, chunk, stored)
        with f.when(self.is_partial):
            for j, total in enumerate(totals):
                place = self._region_place(j, self.split, output)
                store_vector(f, total, place, self._stored_dtype(j), lanes, None, mask)
        with self._unless(self.is_partial):
            emit_body(
                f, self.body, lanes, self._results(totals),
                lambda i, lanes: fixed[i],
                lambda i, value: self._store(value, starts[i], i, lanes, mask),
                self.plan.at_outputs.__contains__,
            )  # fmt: skip
