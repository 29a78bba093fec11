"""Lowering of elementwise kernels: any number of axes, broadcasts and strides, fused operations.

The points of the outer axes are *rows*; the last axis is run in vectors.  A tile is a block of
rows by a block of columns; its first row is found by division once, and the next ones by an
odometer.  Each row runs a loop over wide vectors, and then a loop over single vectors whose last
round is masked: the same instructions for every point, so the same bits wherever it lies.

Outputs may be exactly the memory of an input (in place); other overlap is not allowed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from flambeau.compiler import scalar_ops, transposing
from flambeau.compiler.caches import last_cache
from flambeau.compiler.ir import Function, Module, Value, lanes_of, vector
from flambeau.compiler.kernel import AxisKind, Call, Kernel, Operand, Pointer, Role, Stride
from flambeau.compiler.lowering import (
    Arguments,
    emit_body,
    entry_name,
    lanes_for,
    load_scalar,
    load_vector,
    per_kernel,
    per_row,
    read_scalar,
    read_vector,
    store_scalar,
    store_vector,
    stride_args,
)  # fmt: skip
from flambeau.compiler.odometer import Odometer
from flambeau.compiler.target import Target

# A tile is some ten microseconds of work: enough to make taking it from the queue cheap, little
# enough to share a kernel evenly.  Both figures count one point of one row.
_TILE_BYTES = 256 * 1024
_TILE_INSTRUCTIONS = 1536 * 1024
_TILES = 16  # where tiles would be fewer they are smaller, down to a quarter
_COLUMN_UNIT = 256  # blocks of columns are multiples of this, so that only a row's end is masked
_STRIDED_COLUMNS = 256  # a block this wide keeps the cache lines of a strided operand for the next row

# As many runs of memory at once, read or written, are fetched so many bytes ahead.
_MANY_STREAMS = 3
_AHEAD = 1024

# Estimates of time on one thread: bytes from memory, and one vector instruction for one lane.
_NS_PER_BYTE = 0.03
_NS_PER_INSTRUCTION = 0.012
_NS_PER_ROW = 6.0


def lower(kernel: Kernel, target: Target) -> tuple[str, str]:
    """The entry's name and a module defining ``void @entry(ptr %args, i64 %tile)`` as LLVM IR text."""
    entry = entry_name(kernel, target)
    module = Module(entry, target.triple)
    f = module.function(entry, [("ptr", "args"), ("i64", "tile")])
    (transposing.Writer if transposing.transposes(kernel) else _Writer)(f, kernel, target).write()
    return entry, module.text()


def calls(
    kernel: Kernel,
    entry: str,
    sizes: tuple[int, ...],
    strides: tuple[tuple[int, ...], ...],
    pointers: tuple[Pointer | int, ...],
    streams: bool = False,
) -> list[Call]:
    """The launches that run a kernel once: one, or none where an axis is empty.

    ``sizes`` has one size per axis; ``strides`` one tuple per operand with a step in elements per
    axis; ``pointers`` one address per operand, of its first element.  With ``streams`` results go past
    the caches, where they begin and each row begins at a multiple of 64 bytes.
    """
    if 0 in sizes:
        return []
    if transposing.transposes(kernel):
        return transposing.calls(kernel, entry, sizes, strides, pointers)
    columns = sizes[-1] if sizes else 1
    outer = sizes[:-1]
    rows = math.prod(outer)
    bytes_per_point, instructions, strided = _price(kernel)
    points = _TILE_BYTES / max(bytes_per_point, 1)
    points = min(points, _TILE_INSTRUCTIONS / instructions)
    points = max(_COLUMN_UNIT, int(min(points, max(points / 4, rows * columns / _TILES))))
    widest = _STRIDED_COLUMNS if strided else points // _COLUMN_UNIT * _COLUMN_UNIT
    chunks = -(-columns // widest)
    chunk = columns if chunks == 1 else -(-columns // (chunks * _COLUMN_UNIT)) * _COLUMN_UNIT
    chunks = -(-columns // chunk)
    rows_per_tile = max(1, min(rows, points // (chunk + 16)))
    if AxisKind.SERIAL in kernel.axes:  # each tile runs all rows of its columns, in order
        rows_per_tile = max(1, rows)
    tiles = -(-rows // rows_per_tile) * chunks
    cost = rows * columns * max(bytes_per_point * _NS_PER_BYTE, instructions * _NS_PER_INSTRUCTION)
    past = streams and _aligned(kernel, sizes, strides, pointers)
    args: tuple[Pointer | int, ...] = (*pointers, columns, chunk, int(past))
    if outer:
        args += (rows, rows_per_tile, chunks, *outer)
    args += stride_args(kernel, strides)
    return [Call(entry, tiles, args, cost + rows * chunks * _NS_PER_ROW)]


def _aligned(
    kernel: Kernel,
    sizes: tuple[int, ...],
    strides: tuple[tuple[int, ...], ...],
    pointers: tuple[Pointer | int, ...],
) -> bool:
    """Whether each row of each result begins at a multiple of 64 bytes."""
    for operand, steps, pointer in zip(kernel.operands, strides, pointers, strict=True):
        if operand.role is not Role.OUT:
            continue
        if not isinstance(pointer, Pointer) or pointer.offset % 64:
            return False
        if any(n > 1 and s * operand.dtype.itemsize % 64 for n, s in zip(sizes[:-1], steps, strict=False)):
            return False
    return True


def streams(kernel: Kernel, nbytes: int) -> bool:
    """Whether ``nbytes`` of results that nobody reads soon are better not kept in the caches.

    A kernel that computes for longer than it waits for memory loses nothing by it sooner.
    """
    moved, instructions, _ = _price(kernel)
    computes = instructions * _NS_PER_INSTRUCTION > moved * _NS_PER_BYTE
    return nbytes > last_cache() / (4 if computes else 2)


@per_kernel
def _price(kernel: Kernel) -> tuple[float, float, bool]:
    """Bytes and instructions per point, and whether an operand has a stride along the columns."""
    moved = [o for o in kernel.operands if not o.strides or o.strides[-1] is not Stride.ZERO]
    instructions: float = sum(scalar_ops.cost(i.op, i.dtype) for i in kernel.body)
    strided = any(o.strides and o.strides[-1] is Stride.ANY for o in kernel.operands)
    return float(sum(o.dtype.itemsize for o in moved)), max(1.0, instructions), strided


def _fetched(kernel: Kernel, role: Role) -> frozenset[int]:
    """A role's operands that are fetched ahead: more than the processor does so for by itself."""
    near = [
        i
        for i, o in enumerate(kernel.operands)
        if o.role is role and o.strides and o.strides[-1] is Stride.ONE
    ]
    return frozenset(near if len(near) >= _MANY_STREAMS else ())


class _Writer:
    """Writes one kernel's function."""

    def __init__(self, f: Function, kernel: Kernel, target: Target) -> None:
        self.f = f
        self.kernel = kernel
        self.args, self.tile = f.params
        self.outer = max(0, len(kernel.axes) - 1)
        # A kernel without axes is one point; it runs as a row of one column.
        self.operands = [
            o if kernel.axes else Operand(o.dtype, o.role, (Stride.ONE,)) for o in kernel.operands
        ]
        self.lanes = lanes_for(kernel, target)
        self.wide = self.lanes * self._unroll()

    def _unroll(self) -> int:
        """How many vectors a round of the main loop takes: two overlap, more only cost registers."""
        return 1 if _price(self.kernel)[2] else 2

    def write(self) -> None:
        f = self.f
        arguments = Arguments(f, self.args)
        self.bases = arguments.pointers(len(self.operands))
        columns, chunk, streams = arguments.integers(3)
        self.streams = f.icmp("ne", streams, f.i64(0))
        if not self.outer:
            self.steps = arguments.strides(self.operands)
            first = f.mul(self.tile, chunk)
            self._fixed()
            self._row([None] * len(self.operands), first, f.min(f.sub(columns, first), chunk))
        else:
            rows, rows_per_tile, chunks = arguments.integers(3)
            self.sizes = arguments.integers(self.outer)
            self.steps = arguments.strides(self.operands)
            block = f.binary("udiv", self.tile, chunks)
            first = f.mul(f.sub(self.tile, f.mul(block, chunks)), chunk)
            count = f.min(f.sub(columns, first), chunk)
            first_row = f.mul(block, rows_per_tile)
            stop = f.min(rows, f.add(first_row, rows_per_tile))
            self._fixed()
            self._rows(first_row, stop, first, count)
        with f.when(self.streams):
            f.line("fence seq_cst")
        f.ret()

    def _fixed(self) -> None:
        """Loads the operands that are one element for the whole kernel."""
        self.fixed: dict[int, Value] = {}
        for i, operand in enumerate(self.operands):
            if operand.role is not Role.OUT and all(step is None for step in self.steps[i]):
                self.fixed[i] = read_scalar(self.f, operand, self.bases[i])

    def _rows(self, first_row: Value, stop: Value, first: Value, count: Value) -> None:
        """Runs rows ``first_row`` to ``stop``."""
        f = self.f
        odometer = Odometer(f, self.sizes, [own[:-1] for own in self.steps])
        with f.loop(first_row, stop, 1, odometer.start(first_row)) as loop:
            self._row(odometer.offsets(loop.carried), first, count)
            loop.next = odometer.advance(loop.carried)

    def _row(self, offsets: Sequence[Value | None], first: Value, count: Value) -> None:
        """Runs ``count`` columns from ``first`` on of the row that lies at ``offsets``."""
        f = self.f
        starts: list[Value] = []
        for i, (operand, offset) in enumerate(zip(self.operands, offsets, strict=True)):
            step = self.steps[i][-1]
            at = None if step is None else f.mul(first, step)
            if offset is not None:
                at = offset if at is None else f.add(offset, at)
            element = scalar_ops.memory_element(operand.dtype)
            starts.append(self.bases[i] if at is None else f.element(self.bases[i], element, at))
        scalars = dict(self.fixed)
        for i, operand in enumerate(self.operands):
            if i not in scalars and operand.role is not Role.OUT and self.steps[i][-1] is None:
                scalars[i] = read_scalar(f, operand, starts[i])
        whole = f.binary("and", count, f.i64(-self.wide))
        past = f.select(self.streams, whole, f.i64(0))
        with f.loop(f.i64(0), past, self.wide) as loop:
            self._points(starts, scalars, loop.index, self.wide, None, streams=self.lanes)
        with f.loop(past, whole, self.wide) as loop:
            self._points(starts, scalars, loop.index, self.wide, None)
        with f.loop(whole, count, self.lanes) as loop:
            mask = f.first_lanes(f.sub(count, loop.index), self.lanes)
            self._points(starts, scalars, loop.index, self.lanes, mask)

    def _points(
        self,
        starts: list[Value],
        scalars: dict[int, Value],
        at: Value,
        lanes: int,
        mask: Value | None,
        streams: int = 0,
    ) -> None:
        """Computes ``lanes`` neighbouring points from column ``at`` of a row on."""
        f = self.f
        fetched, claimed = _fetched(self.kernel, Role.IN), _fetched(self.kernel, Role.OUT)

        def place(i: int) -> tuple[Value, Value | None]:
            step = self.steps[i][-1]
            assert step is not None
            neighbours = self.operands[i].strides[-1] is Stride.ONE
            element = scalar_ops.memory_element(self.operands[i].dtype)
            start = f.element(starts[i], element, at if neighbours else f.mul(at, step))
            return start, None if neighbours else step

        def load(i: int, lanes: int) -> Value:
            if i in scalars:
                return f.splat(scalars[i], lanes)
            start, step = place(i)
            if i in fetched and mask is None:
                for line in range(0, lanes * self.operands[i].dtype.itemsize, 64):
                    f.prefetch(f.element(start, "i8", f.i64(_AHEAD + line)))
            return read_vector(f, self.operands[i], start, lanes, step, mask)

        def store(i: int, value: Value) -> None:
            if self.steps[i][-1] is None:  # an axis of one point: there is only the first lane
                store_scalar(f, f.extract(value, 0), starts[i], self.operands[i].dtype)
                return
            start, step = place(i)
            if i in claimed and mask is None and not streams:
                for line in range(0, lanes * self.operands[i].dtype.itemsize, 64):
                    f.prefetch(f.element(start, "i8", f.i64(_AHEAD + line)), write=True)
            store_vector(f, value, start, self.operands[i].dtype, lanes, step, mask, streams)

        def indexed(i: int, arguments: list[Value]) -> Value | None:
            return self._indexed(i, arguments, starts, at, lanes, mask)

        emit_body(f, self.kernel.body, lanes, {}, load, store, indexed=indexed)

    def _indexed(
        self, i: int, arguments: list[Value], starts: list[Value], at: Value, lanes: int, mask: Value | None
    ) -> Value | None:
        """Loads or stores at computed places, or reports what was outside."""
        f, instr = self.f, self.kernel.body[i]
        operand = self.operands[instr.operand]
        if instr.op == "fail":
            self._fail(arguments, starts[instr.operand], mask)
            return None
        element = scalar_ops.memory_element(operand.dtype)
        step = self.steps[instr.operand][-1]
        near = operand.strides[-1] is Stride.ONE
        start = starts[instr.operand]
        if step is not None:
            start = f.element(start, element, at if near else f.mul(at, step))
        offset = arguments[-1]
        if instr.args[-1] in per_row(self.kernel):  # the whole row is moved alike
            start = f.element(start, element, f.extract(offset, 0))
            if instr.op == "load_at":
                if step is None:
                    return f.splat(load_scalar(f, start, operand.dtype), lanes)
                return load_vector(f, start, operand.dtype, lanes, None if near else step, mask)
            if step is None:
                store_scalar(f, f.extract(arguments[0], 0), start, operand.dtype)
            else:
                store_vector(f, arguments[0], start, operand.dtype, lanes, None if near else step, mask)
            return None
        if step is not None:
            along = f.mul(f.iota(vector(lanes, "i64")), f.splat(step, lanes))
            offset = f.add(offset, along)
        places = f.element(start, element, offset)
        chosen = mask or f.const(vector(lanes, "i1"), True)
        if instr.op == "load_at":
            loaded = f.gather(vector(lanes, element), places, chosen)
            return scalar_ops.from_memory(f, loaded, operand.dtype)
        f.scatter(scalar_ops.to_memory(f, arguments[0], operand.dtype), places, chosen)
        return None

    def _fail(self, arguments: list[Value], status: Value, mask: Value | None) -> None:
        """Writes the code and the first index that is bad, unless something has failed before."""
        f = self.f
        bad, index, code = arguments
        bad = bad if mask is None else f.binary("and", bad, mask)
        with f.when(f.any_lane(bad)), f.when(f.icmp("eq", f.load("i64", status), f.i64(0))):
            bits = f.emit(f"i{lanes_of(bad.type)}", f"bitcast {bad} to i{lanes_of(bad.type)}")
            lane = f.emit(bits.type, f"call {bits.type} @llvm.cttz.{bits.type}({bits}, i1 true)")
            f.module.declare(f"llvm.cttz.{bits.type}", bits.type, [bits.type, "i1"])
            at = lane if bits.type == "i64" else f.emit("i64", f"zext {lane} to i64")
            f.store(f.extract(index, at), f.element(status, "i64", f.i64(1)))
            f.store(f.extract(code, 0), status)
