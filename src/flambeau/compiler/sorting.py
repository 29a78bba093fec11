"""Lowering of sorts: a stable merge sort of each row, with the places that its elements had.

The last axis is sorted; a tile is a block of rows.  Elements are merged bottom up without a branch
on what they are: runs of 1, 2, 4, ... elements and their numbers go from one half of a workspace to
the other.  NaN counts as greater than every number.  Equal elements, both zeros among them, keep
their order, also where the order descends.

A kernel's body is a load, ``sorted`` and ``order`` (or ``sorted_down`` and ``order_down``) of it, and
their stores, either of which may be missing.
"""

from __future__ import annotations

import math

from flambeau.compiler import scalar_ops
from flambeau.compiler.ir import Function, Module, Value
from flambeau.compiler.kernel import Call, Kernel, Pointer
from flambeau.compiler.lowering import Arguments, entry_name, stride_args
from flambeau.compiler.odometer import Odometer
from flambeau.compiler.target import Target
from flambeau.dtypes import DType

OPS = ("sorted", "order", "sorted_down", "order_down")
_TILES = 64  # at most: each has its own workspace
_TILE_ELEMENTS = 2048
_NS_PER_STEP = 3.0


def lower(kernel: Kernel, target: Target) -> tuple[str, str]:
    """The entry's name and a module defining ``void @entry(ptr %args, i64 %tile)`` as LLVM IR text."""
    entry = entry_name(kernel, target)
    module = Module(entry, target.triple)
    _Writer(module.function(entry, [("ptr", "args"), ("i64", "tile")]), kernel).write()
    return entry, module.text()


def _tiles(sizes: tuple[int, ...]) -> tuple[int, int]:
    """How many tiles there are, and rows in each."""
    rows = math.prod(sizes[:-1])
    each = max(1, _TILE_ELEMENTS // max(1, sizes[-1]), -(-rows // _TILES))
    return -(-rows // each), each


def _room(kernel: Kernel, columns: int) -> int:
    """Bytes that a tile needs: numbers twice and elements twice, each with one to spare."""
    return -(-2 * (columns + 1) * (8 + kernel.operands[0].dtype.itemsize) // 64) * 64


def workspace(kernel: Kernel, sizes: tuple[int, ...]) -> int:
    """Bytes of workspace that ``calls`` for these sizes needs."""
    return 0 if 0 in sizes else _tiles(sizes)[0] * _room(kernel, sizes[-1])


def calls(
    kernel: Kernel,
    entry: str,
    sizes: tuple[int, ...],
    strides: tuple[tuple[int, ...], ...],
    pointers: tuple[Pointer | int, ...],
    workspace: Pointer,
) -> list[Call]:
    """The launch that runs a kernel once, or none where an axis is empty; as for ``elementwise.calls``."""
    if 0 in sizes:
        return []
    tiles, each = _tiles(sizes)
    columns, rows = sizes[-1], math.prod(sizes[:-1])
    passes = max(0, (columns - 1).bit_length())
    args = (*pointers, workspace, _room(kernel, columns), columns, passes, rows, each, *sizes[:-1])
    cost = _NS_PER_STEP * rows * columns * (passes + 2)
    return [Call(entry, tiles, (*args, *stride_args(kernel, strides)), cost)]


class _Writer:
    """Writes one kernel's function."""

    def __init__(self, f: Function, kernel: Kernel) -> None:
        self.f = f
        self.kernel = kernel
        self.dtype: DType = kernel.operands[0].dtype
        self.element = scalar_ops.memory_element(self.dtype)
        self.args, self.tile = f.params
        self.stored = {
            kernel.body[i.args[0]].op.removesuffix("_down"): i.operand for i in kernel.body if i.op == "store"
        }
        self.down = any(i.op.endswith("_down") for i in kernel.body)

    def write(self) -> None:
        f = self.f
        arguments = Arguments(f, self.args)
        bases = arguments.pointers(len(self.kernel.operands))
        space = arguments.take("ptr")
        room, self.columns, self.passes, rows, each = arguments.integers(5)
        outer = arguments.integers(len(self.kernel.axes) - 1)
        steps = arguments.strides(self.kernel.operands)
        space = f.element(space, "i8", f.mul(self.tile, room))
        spare = f.add(self.columns, f.i64(1))
        halves = [f.element(space, "i64", f.mul(spare, f.i64(i))) for i in range(3)]
        self.numbers = halves[:2]
        self.keys = [halves[2], f.element(halves[2], self.element, spare)]
        first = f.mul(self.tile, each)
        stop = f.min(rows, f.add(first, each))
        own = [step[:-1] for step in steps]
        odometer = Odometer(f, outer, own)
        start = odometer.start(first) if outer else []
        with f.loop(first, stop, 1, start) as loop:
            places = []
            for operand, base, offset in zip(
                self.kernel.operands, bases, odometer.offsets(loop.carried), strict=True
            ):
                element = scalar_ops.memory_element(operand.dtype)
                places.append(base if offset is None else f.element(base, element, offset))
            self._row(places, [step[-1] for step in steps])
            loop.next = odometer.advance(loop.carried) if outer else []
        f.ret()

    def _row(self, places: list[Value], steps: list[Value | None]) -> None:
        f = self.f
        with f.loop(f.i64(0), self.columns, 1) as loop:
            at = loop.index
            there = places[0] if steps[0] is None else f.element(places[0], self.element, f.mul(at, steps[0]))
            f.store(f.load(self.element, there), f.element(self.keys[0], self.element, at))
            f.store(at, f.element(self.numbers[0], "i64", at))
        buffers = [*self.keys, *self.numbers]
        with f.loop(f.i64(0), self.passes, 1, buffers) as loop:
            key, other_key, number, other_number = loop.carried
            self._pass(f.binary("shl", f.i64(1), loop.index), key, other_key, number, other_number)
            loop.next = [other_key, key, other_number, number]
        key, _, number, _ = loop.done
        for what, source, element in (("sorted", key, self.element), ("order", number, "i64")):
            operand = self.stored.get(what)
            if operand is None:
                continue
            step = steps[operand]
            with f.loop(f.i64(0), self.columns, 1) as loop:
                made = f.load(element, f.element(source, element, loop.index))
                to = places[operand]
                f.store(made, to if step is None else f.element(to, element, f.mul(loop.index, step)))

    def _pass(self, width: Value, key: Value, other_key: Value, number: Value, other_number: Value) -> None:
        """Merges neighbouring runs of ``width`` elements."""
        f = self.f
        with f.loop(f.i64(0), self.columns, f.binary("shl", width, f.i64(1))) as runs:
            middle = f.min(f.add(runs.index, width), self.columns)
            end = f.min(f.add(middle, width), self.columns)
            with f.loop(runs.index, end, 1, [runs.index, middle]) as loop:
                left, right = loop.carried
                a = f.load(self.element, f.element(key, self.element, left))
                b = f.load(self.element, f.element(key, self.element, right))
                more = f.icmp("slt", right, end)
                only = f.icmp("sge", left, middle)
                take = f.binary("and", more, f.binary("or", only, self._before(b, a)))
                # Arithmetic, not a choice between values: that may become a branch, often mispredicted.
                chosen = f.convert("sext", take, "i64")
                apart = f.binary("and", f.binary("xor", left, right), chosen)
                source = f.binary("xor", left, apart)
                moved = f.load(self.element, f.element(key, self.element, source))
                f.store(moved, f.element(other_key, self.element, loop.index))
                place = f.load("i64", f.element(number, "i64", source))
                f.store(place, f.element(other_number, "i64", loop.index))
                step = f.convert("zext", take, "i64")
                loop.next = [f.add(left, f.sub(f.i64(1), step)), f.add(right, step)]

    def _before(self, a: Value, b: Value) -> Value:
        """Whether ``a`` has to come before ``b``, which stood before it."""
        f, d = self.f, self.dtype
        a, b = (scalar_ops.from_memory(f, x, d) for x in (a, b))
        if self.down:
            a, b = b, a
        if d.floating:
            nan = f.binary("and", f.fcmp("uno", b, b), f.fcmp("ord", a, a))
            return f.binary("or", f.fcmp("olt", a, b), nan)
        return f.icmp("slt" if d.kind == "int" else "ult", a, b)
