"""The arguments of a direct convolution's calls: written by ``blocking``, read by the generated code.

Both entries of a kernel take the same ones.  The order is: an address per operand, that of all of B packed,
the workspace, the strides of class ANY, ``NUMBERS``, the sizes of the depth's axes and the elements of B that
the table counts per step along each, then a record of ``box_length`` numbers for each box.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flambeau.compiler.ir import Function, Value
from flambeau.compiler.kernel import Kernel, Stride

NUMBERS = (
    "groups",
    "m",  # channels of the result, of a group
    "k",  # steps of the whole depth
    "rows",  # positions of a block: what one unit of work computes
    "columns",  # its channels; a multiple of every target's micro-kernel width
    "depth",  # steps of K between reloads of the chains
    "channels",  # on which the depth has its first axis
    "chunk",  # channels whose chains are added to those of the next ones
    "walked",  # channels that all boxes of a unit are taken through before the next ones: a part of a chunk
    "together",  # boxes of a unit
    "chain_step",  # bytes between their unfinished chains
    "row_blocks",  # of all boxes, or of each where they are together
    "column_blocks",
    "units",
    "units_per_tile",
    "fetches",  # 1: weights are so many that those of later steps are fetched from memory meanwhile
    "claims",  # 1: results are so many that the lines they are written to are fetched from memory first
    "b_mode",  # one of the B_ constants below
    "group_step",  # elements between the groups' B, packed or not
    "panel_step",  # elements of B per channel between panels
    "run",  # so many steps of the depth are neighbours in B, if more than one; else 0
    "backwards",  # 1: the last of them comes first
    "keep",  # 1: unfinished chains of a whole block are kept, 0: of one micro-kernel
    "keep_column",  # elements between the unfinished chains of neighbouring panels, per channel
    "scratch",  # bytes from the workspace's start to the first tile's own part
    "scratch_size",  # bytes of a tile's own part
    "scratch_sums",  # bytes from a part's start to sums of chunks; unfinished chains are at its start
    "scratch_table",  # ... to the offsets of the steps of K in the input and in B, in turn
    "scratch_copies",  # ... to the same where B is copied by block
    "scratch_b",  # ... to that copy
    "scratch_rows",  # ... to those of the positions, per operand that moves along them
    "pack_depth",  # steps of K in a tile of the packing entry
    "pack_depth_tiles",
    "pack_columns",  # channels in such a tile
    "pack_column_tiles",
)

B_AHEAD = 0  # all of B has been packed by the packing entry
B_BY_BLOCK = 1  # channels of B are neighbours, and each unit of work copies its panels together
B_IN_PLACE = 2  # they are, in whole panels, and are read where they lie


@dataclass(frozen=True, slots=True)
class Axes:
    """Where a kernel's axes are: group, example, positions, channel of the result, channel, window."""

    window: int

    @property
    def positions(self) -> range:
        """The axes of examples and positions."""
        return range(1, 2 + self.window)

    @property
    def channel(self) -> int:
        """That of the result's channels."""
        return 2 + self.window

    @property
    def depth(self) -> range:
        """The axes that are summed over."""
        return range(3 + self.window, 4 + 2 * self.window)


def axes_of(kernel: Kernel) -> Axes:
    """The axes of a kernel."""
    return Axes((len(kernel.axes) - 4) // 2)


def box_length(kernel: Kernel) -> int:
    """Numbers per box: row blocks before its end and start, positions, steps of a channel, sizes, offsets."""
    return 4 + 2 * len(axes_of(kernel).positions) + len(kernel.operands)


class Inputs:
    """The arguments in generated code, each loaded where it is used."""

    def __init__(self, f: Function, kernel: Kernel) -> None:
        self._f, self._args, self._operands = f, f.params[0], kernel.operands
        self.axes = axes_of(kernel)
        names = [f"pointer {i}" for i in range(len(kernel.operands))] + ["packed", "workspace"]
        names += [
            f"stride {i} {axis}"
            for i, operand in enumerate(kernel.operands)
            for axis, kind in enumerate(operand.strides)
            if kind is Stride.ANY
        ]
        names += NUMBERS
        several = range(len(self.axes.depth))
        names += [f"depth {i}" for i in several] + [f"table {i}" for i in several]
        self._index = {name: i for i, name in enumerate(names)}
        self._boxes = len(names)
        boxed = ["end", "start", "n", "taps"]
        boxed += [f"row {i}" for i in several] + [f"step {i}" for i in several]
        boxed += [f"offset {i}" for i in range(len(kernel.operands))]
        self._boxed = {name: i for i, name in enumerate(boxed)}
        self._box = self._args

    def find_box(self, row_block: Value) -> Value:
        """Where the record is of the first box that has a row block."""
        f = self._f
        head, further, found = f.new_block("box"), f.new_block("further"), f.new_block("found")
        first = f.element(self._args, "i64", f.i64(self._boxes))
        before = f.current
        f.branch(head)
        f.place(head)
        at = f.phi("ptr")
        at.add(first, before)
        f.branch_if(f.icmp("slt", row_block, f.load("i64", at.value)), found, further)
        f.place(further)
        at.add(self._after(at.value, f.i64(1)), f.current)
        f.branch(head)
        f.place(found)
        return at.value

    @contextmanager
    def boxes(self, first: Value) -> Iterator[Value]:
        """Walks over the boxes of a unit of work, making each the one that ``boxed`` is about.

        Gives how many came before.
        """
        f = self._f
        with f.loop(f.i64(0), self.number("together"), 1) as loop:
            self._box = self._after(first, loop.index)
            yield loop.index

    def _after(self, box: Value, number: Value) -> Value:
        return self._f.element(box, "i64", self._f.mul(number, self._f.i64(len(self._boxed))))

    def boxed(self, name: str) -> Value:
        """A number of the box."""
        return self._f.load("i64", self._f.element(self._box, "i64", self._f.i64(self._boxed[name])))

    def several(self, name: str) -> list[Value]:
        """Numbers per axis of the depth, or of positions: of the box for ``row`` and ``step``."""
        get = self.boxed if name in ("row", "step") else self.number
        return [get(f"{name} {i}") for i in range(len(self.axes.depth))]

    def number(self, name: str) -> Value:
        """One of ``NUMBERS``."""
        return self._load("i64", name)

    def pointer(self, operand: int) -> Value:
        """The address of an operand."""
        return self._load("ptr", f"pointer {operand}")

    def packed(self) -> Value:
        """The address of all of B, packed."""
        return self._load("ptr", "packed")

    def workspace(self, offset: Value | None = None) -> Value:
        """The address ``offset`` bytes into the workspace."""
        start = self._load("ptr", "workspace")
        return start if offset is None else self._f.element(start, "i8", offset)

    def stride(self, operand: int, axis: int) -> Value | None:
        """The elements between neighbours along an axis; None along an axis of class ZERO."""
        kind = self._operands[operand].strides[axis]
        if kind is Stride.ZERO:
            return None
        return self._load("i64", f"stride {operand} {axis}") if kind is Stride.ANY else self._f.i64(1)

    def _load(self, type_: str, name: str) -> Value:
        f = self._f
        return f.load(type_, f.element(self._args, "i64", f.i64(self._index[name])))
