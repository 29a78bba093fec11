"""Reductions along an inner axis of points that lie next to those of an outer one: lanes side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flambeau.compiler import scalar_ops
from flambeau.compiler.ir import Value
from flambeau.compiler.lowering import emit_body, lanes_for, load_vector, store_vector
from flambeau.compiler.odometer import Odometer
from flambeau.compiler.reduction_writer import LANES, Writer

_COLUMNS = 128  # whose lanes are kept at once: they stay in the first cache

Vector = tuple[Value, Value | None]  # the first column of a vector, and the mask of those that are real


class AcrossWriter(Writer):
    """The sums that ``RowWriter`` gives, of neighbouring columns at once.

    Each column has 32 lanes in memory; a point is added to those of its number, for all columns.
    """

    def write(self) -> None:
        f = self.f
        self.width = lanes_for(self.kernel, self.target)
        elements = [scalar_ops.memory_element(self._stored_dtype(j)) for j in range(len(self.reductions))]
        self.elements = elements
        self.lanes = [f.emit("ptr", f"alloca [{LANES * _COLUMNS} x {e}], align 64") for e in elements]
        self.totals = [f.emit("ptr", f"alloca [{_COLUMNS} x {e}], align 64") for e in elements]
        super().write()

    def at(self, output: Value, offsets: Sequence[Value | None]) -> None:
        f = self.f
        places = self._placed(self.bases, offsets)
        origin = f.mul(output, self.columns)
        stop = f.add(self.first, self.count)
        with f.loop(self.first, stop, _COLUMNS) as block:
            taken = f.min(f.sub(stop, block.index), f.i64(_COLUMNS))
            starts = [
                p if (step := self._vector_step(i)) is None else self._moved(p, i, f.mul(block.index, step))
                for i, p in enumerate(places)
            ]
            self._block(starts, f.add(origin, block.index), taken)

    def _block(self, starts: list[Value], output: Value, count: Value) -> None:
        """Reduces ``count`` columns whose first points are at ``starts``."""
        f = self.f
        none = self._identities(self.width)
        self._each(count, lambda at: self._set(self.totals, at, none))
        first = f.select(self.is_combine, f.i64(0), self.first_chunk)
        last = f.select(self.is_combine, self.chunks, self.last_chunk)
        with f.loop(first, last, 1) as chunk:
            number = chunk.index
            stored, computed, end = f.new_block("stored"), f.new_block("compute"), f.new_block("chunk")
            f.branch_if(self.is_combine, stored, computed)
            f.place(stored)
            self._each(count, lambda at: self._add(at, self._from_region(number, output, at)))
            f.branch(end)
            f.place(computed)
            start = f.mul(number, self.chunk)
            self._chunk(starts, count, start, f.min(self.points, f.add(start, self.chunk)))
            self._each(count, lambda at: self._add(at, self._get(self.lanes, at)))
            f.branch(end)
            f.place(end)
        with f.when(self.is_partial):
            self._each(count, lambda at: self._to_region(output, at))
        with self._unless(self.is_partial):
            self._each(count, lambda at: self._epilogue(starts, at))

    def _each(self, count: Value, work: Callable[[Vector], None]) -> None:
        """Does something for every vector of columns."""
        f, width = self.f, self.width
        whole = f.binary("and", count, f.i64(-width))
        with f.loop(f.i64(0), whole, width) as loop:
            work((loop.index, None))
        with f.when(f.icmp("slt", whole, count)):
            work((whole, f.first_lanes(f.sub(count, whole), width)))

    def _chunk(self, starts: list[Value], count: Value, start: Value, stop: Value) -> None:
        """Leaves the value of the reduced points ``start`` to ``stop`` in lane 0."""
        f, plan = self.f, self.plan
        none = self._identities(self.width)
        with f.loop(f.i64(0), f.i64(LANES), 1) as lane:
            places = self._lane(lane.index)
            self._each(count, lambda at: self._set(places, at, none))
        walk = Odometer(f, self.reduced_sizes, self._steps_along(plan.reduced))
        with f.loop(start, stop, 1, walk.start(start)) as point:
            here = self._placed(starts, walk.offsets(point.carried))
            lanes = self._lane(f.binary("and", point.index, f.i64(LANES - 1)))
            self._each(count, lambda at: self._point(here, starts, lanes, at))
            point.next = walk.advance(point.carried)
        half = LANES // 2
        while half:
            with f.loop(f.i64(0), f.i64(half), 1) as lane:
                low, high = self._lane(lane.index), self._lane(f.add(lane.index, f.i64(half)))

                def both(at: Vector, low: list[Value] = low, high: list[Value] = high) -> None:
                    self._set(low, at, self._all_combined(self._get(low, at), self._get(high, at)))

                self._each(count, both)
            half //= 2

    def _point(self, here: list[Value], starts: list[Value], lanes: list[Value], at: Vector) -> None:
        """Adds the columns of one point to their lanes."""
        f = self.f

        def place(i: int) -> Value:
            own = starts[i] if i in self.plan.per_output else here[i]
            return own if (step := self._vector_step(i)) is None else self._moved(own, i, f.mul(at[0], step))

        values: dict[int, Value] = {}
        emit_body(
            f, self.body, self.width, values,
            lambda i, width: self._load(place(i), i, width, at[1]),
            lambda i, value: self._store(value, place(i), i, self.width, at[1]),
            self.plan.at_points.__contains__,
        )  # fmt: skip
        new = [values[instr.args[0]] for instr in self.reductions]
        self._set(lanes, at, self._all_combined(self._get(lanes, at), new))

    def _epilogue(self, starts: list[Value], at: Vector) -> None:
        f = self.f

        def place(i: int) -> Value:
            step = self._vector_step(i)
            return starts[i] if step is None else self._moved(starts[i], i, f.mul(at[0], step))

        emit_body(
            f, self.body, self.width, self._results(self._get(self.totals, at)),
            lambda i, width: self._load(place(i), i, width, at[1]),
            lambda i, value: self._store(value, place(i), i, self.width, at[1]),
            self.plan.at_outputs.__contains__,
        )  # fmt: skip

    # -- numbers per column -------------------------------------------------------------------

    def _lane(self, number: Value) -> list[Value]:
        """Where the columns' lanes of a number are."""
        f = self.f
        at = f.mul(number, f.i64(_COLUMNS))
        return [f.element(p, e, at) for p, e in zip(self.lanes, self.elements, strict=True)]

    def _get(self, places: Sequence[Value], at: Vector) -> list[Value]:
        f = self.f
        return [
            load_vector(f, f.element(p, e, at[0]), self._stored_dtype(j), self.width, None, None)
            for j, (p, e) in enumerate(zip(places, self.elements, strict=True))
        ]

    def _set(self, places: Sequence[Value], at: Vector, values: Sequence[Value]) -> None:
        f = self.f
        for j, (p, e, value) in enumerate(zip(places, self.elements, values, strict=True)):
            store_vector(f, value, f.element(p, e, at[0]), self._stored_dtype(j), self.width, None, None)

    def _add(self, at: Vector, values: Sequence[Value]) -> None:
        self._set(self.totals, at, self._all_combined(self._get(self.totals, at), values))

    def _from_region(self, chunk: Value, output: Value, at: Vector) -> list[Value]:
        f, width = self.f, self.width
        first = f.add(output, at[0])
        return [
            load_vector(f, self._region_place(j, chunk, first), self._stored_dtype(j), width, None, at[1])
            for j in range(len(self.reductions))
        ]

    def _to_region(self, output: Value, at: Vector) -> None:
        f, first = self.f, self.f.add(output, at[0])
        for j, total in enumerate(self._get(self.totals, at)):
            place = self._region_place(j, self.split, first)
            store_vector(f, total, place, self._stored_dtype(j), self.width, None, at[1])
