"""Writes the code of normalizations: see ``normalization`` for what it computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flambeau.compiler.ir import Function, Value
from flambeau.compiler.kernel import Kernel, Role, Stride
from flambeau.compiler.lowering import Arguments, emit_body, read_scalar, store_scalar
from flambeau.compiler.normalization_plan import Pass, Passes, passes_of
from flambeau.compiler.odometer import Odometer
from flambeau.compiler.reduction_plan import Plan
from flambeau.compiler.reduction_writer import LANES, RowWriter
from flambeau.compiler.target import Target

_CACHE_LINE = 64


class NormalizationWriter:
    """Writes one kernel's function."""

    def __init__(self, f: Function, kernel: Kernel, target: Target) -> None:
        self.f = f
        self.kernel = kernel
        self.target = target
        self.plan: Passes = passes_of(kernel)

    def write(self) -> None:
        """Writes the whole function."""
        f, plan, operands = self.f, self.plan, self.kernel.operands
        arguments = Arguments(f, f.params[0])
        bases = arguments.pointers(len(operands))
        points, chunk, chunks = arguments.integers(3)
        rows, rows_per_tile = arguments.integers(2)
        grid_sizes = arguments.integers(len(plan.grid))
        reduced_sizes = arguments.integers(len(plan.reduced))
        steps = arguments.strides(operands)
        passes = [
            _PassWriter(f, self.kernel, plan, own, self.target, (points, chunk, chunks), reduced_sizes, steps)
            for own in plan.passes
        ]
        begin = f.mul(f.params[1], rows_per_tile)
        end = f.min(rows, f.add(begin, rows_per_tile))
        odometer = Odometer(f, grid_sizes, [[own[a] for a in plan.grid] for own in steps])
        with f.loop(begin, end, 1, odometer.start(begin)) as loop:
            self._row(passes, passes[0].placed(bases, odometer.offsets(loop.carried)))
            loop.next = odometer.advance(loop.carried)
        f.ret()

    def _row(self, passes: Sequence[_PassWriter], places: list[Value]) -> None:
        """Runs all passes over the row that lies at ``places``."""
        f, operands = self.f, self.kernel.operands
        fixed = {
            i: read_scalar(f, operands[i], places[i])
            for i in sorted(self.plan.per_row)
            if operands[i].role is not Role.OUT
        }
        values: dict[int, Value] = {}  # per row, in one lane
        for own in passes:
            emit_body(
                f, self.kernel.body, 1, values,
                lambda i, lanes: f.splat(fixed[i], lanes),
                lambda i, value: store_scalar(f, f.extract(value, 0), places[i], operands[i].dtype),
                own.walk.once.__contains__,
            )  # fmt: skip
            values |= own.run(places, fixed, values)


class _PassWriter(RowWriter):
    """Writes one pass: a row reduction whose points may use what is known of the row."""

    def __init__(
        self,
        f: Function,
        kernel: Kernel,
        passes: Passes,
        walk: Pass,
        target: Target,
        chunked: tuple[Value, Value, Value],
        reduced_sizes: list[Value],
        steps: list[list[Value | None]],
    ) -> None:
        plan = Plan(
            True, passes.grid, passes.reduced, None, walk.reductions, walk.points, frozenset(), passes.per_row
        )
        super().__init__(f, kernel, plan, target)
        self.walk = walk
        self._fetches = walk is passes.passes[1]  # the first one loads what it reads itself
        self.points, self.chunk, self.chunks = chunked
        self.reduced_sizes = reduced_sizes
        self.steps = steps
        self._of_row: dict[int, Value] = {}

    def placed(self, pointers: Sequence[Value], offsets: Sequence[Value | None]) -> list[Value]:
        """The addresses of the operands, offset by elements."""
        return self._placed(pointers, offsets)

    def run(self, places: list[Value], fixed: dict[int, Value], row: dict[int, Value]) -> dict[int, Value]:
        """Walks along the row; gives the reductions' values, by instruction."""
        f = self.f
        if not self.walk.points and not self.reductions:
            return {}
        self._of_row = {i: f.splat(f.extract(row[i], 0), LANES) for i in self.walk.known}
        with f.loop(f.i64(0), self.chunks, 1, self._identities(1)) as loop:
            start = f.mul(loop.index, self.chunk)
            stop = f.min(self.points, f.add(start, self.chunk))
            loop.next = self._all_combined(loop.carried, self._chunk(places, fixed, start, stop))
        return self._results(loop.done)

    def _lanes(
        self,
        places: list[Value],
        fixed: dict[int, Value],
        sums: Sequence[Value],
        at: Value,
        mask: Value | None,
    ) -> list[Value]:
        if self._fetches and mask is None:
            self._fetch_next_row(places, at)
        return super()._lanes(places, fixed, sums, at, mask)

    def _fetch_next_row(self, places: list[Value], at: Value) -> None:
        """Asks for the same points of the next row, so that they are in cache when it begins.

        What is behind the last row is asked for in vain, which does no harm.
        """
        f = self.f
        for i, operand in enumerate(self.kernel.operands):
            step = self.steps[i][self.plan.grid[-1]] if self.plan.grid else None
            near = operand.strides[-1] is Stride.ONE and operand.role is Role.IN
            if step is None or not near or i in self.plan.per_output:
                continue
            start = self._moved(places[i], i, f.add(at, step))
            for place in range(0, LANES * operand.dtype.itemsize, _CACHE_LINE):
                f.prefetch(f.element(start, "i8", f.i64(place)))

    def _known(self, load: Callable[[int, int], Value]) -> dict[int, Value]:
        return self._of_row | {i: load(place, LANES) for i, place in self.walk.kept.items()}

    def _keep(self, values: dict[int, Value], store: Callable[[int, Value], None]) -> None:
        for i, place in self.walk.keeps.items():
            store(place, values[i])
