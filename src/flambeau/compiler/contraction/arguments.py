"""The arguments of a contraction's calls: written by ``blocking``, read by the generated code.

Both entries of a kernel take the same ones.  The order is: an address per operand, that of all of B
packed, the workspace, the sizes (batch axes, M, N, K), the strides of class ANY, then ``BLOCKING`` and, for A
and for B, how many different matrices there are along each batch axis and the elements between
their packed copies.  Where columns or depth are spread over several axes, the sizes of these
follow: of the columns as B is read, of the columns as results are written, and of the depth.
"""

from __future__ import annotations

from flambeau.compiler.contraction.axes import axes_of
from flambeau.compiler.ir import Function, Value
from flambeau.compiler.kernel import Kernel, Stride

BLOCKING = (
    "rows",  # of a block: what one unit of work computes
    "columns",  # of a block; a multiple of every target's micro-kernel width
    "depth",  # steps of K between reloads of the chains
    "chunk",  # steps of K whose chains are added to those of the next ones
    "row_blocks",
    "column_blocks",
    "units",  # blocks in all batches
    "units_per_tile",
    "a_mode",  # one of the A_ constants below
    "packed_a",  # bytes from the workspace's start to packed A
    "a_step",  # elements between the steps of K of a packed A
    "b_mode",  # one of the B_ constants below
    "keep",  # 1: unfinished chains of a whole block are kept, 0: of one micro-kernel
    "keep_column",  # elements between the unfinished chains of neighbouring columns' panels, per column
    "scratch",  # bytes from the workspace's start to the first tile's own part, which begins with packed B
    "scratch_size",  # bytes of a tile's own part
    "scratch_chains",  # bytes from a part's start to unfinished chains
    "scratch_sums",  # ... to sums of chunks
    "scratch_a",  # ... to packed rows of A
    "b_tiles",  # tiles of the packing entry that pack B; those after them pack A
    "pack_columns",  # columns of B in such a tile
    "pack_column_tiles",
    "pack_depth",  # steps of K in a tile of the packing entry
    "pack_depth_tiles",
)

A_IN_PLACE = 0  # rows of A are read where they lie
A_AHEAD = 1  # the packing entry has copied A's rows of each block together
A_BY_BLOCK = 2  # each unit copies its rows together

B_IN_PLACE = 0  # rows of B are read where they lie
B_BY_BLOCK = 1  # each unit packs the columns that it needs
B_AHEAD = 2  # all of B has been packed by the packing entry


class Inputs:
    """The arguments in generated code, each loaded where it is used.

    There are several times as many as registers: loading them once would only spill them again.
    """

    def __init__(self, f: Function, kernel: Kernel) -> None:
        self._f = f
        self._args = f.params[0]
        self._operands = kernel.operands
        axes = self._axes = axes_of(kernel)
        batches = range(axes.batch)
        self._batches = axes.batch
        names = [f"pointer {i}" for i in range(len(kernel.operands))] + ["packed", "workspace"]
        names += [f"batch {i}" for i in batches] + ["m", "n", "k"]
        names += [
            f"stride {i} {axis}"
            for i, operand in enumerate(kernel.operands)
            for axis, kind in enumerate(operand.strides)
            if kind is Stride.ANY
        ]
        names += BLOCKING
        for which in ("a", "b"):
            names += [f"{which}_batch {i}" for i in batches] + [f"{which}_strides {i}" for i in batches]
        if axes.spread:
            for which, count in (
                ("b_column", axes.columns),
                ("out_column", axes.columns),
                ("depth", axes.depth),
            ):
                names += [f"{which} {i}" for i in range(count)]
        self._index = {name: i for i, name in enumerate(names)}

    def number(self, name: str) -> Value:
        """A size or one of ``BLOCKING``."""
        return self._load("i64", name)

    def numbers(self, name: str) -> list[Value]:
        """One of ``batch``, ``a_batch``, ``a_strides``, ``b_batch`` and ``b_strides``."""
        return [self._load("i64", f"{name} {i}") for i in range(self._batches)]

    def columns(self, operand: int) -> tuple[list[Value], list[Value | None]]:
        """The sizes and an operand's strides along the axes that columns are spread over."""
        which = "b_column" if operand == 1 else "out_column"
        sizes = [self._load("i64", f"{which} {i}") for i in range(self._axes.columns)]
        return sizes, [self.stride(operand, self._axes.batch + 1 + i) for i in range(self._axes.columns)]

    def depths(self) -> tuple[list[Value], list[Value | None]]:
        """The sizes and B's strides along the axes that the depth is spread over."""
        first = self._axes.batch + 1 + self._axes.columns
        sizes = [self._load("i64", f"depth {i}") for i in range(self._axes.depth)]
        return sizes, [self.stride(1, first + i) for i in range(self._axes.depth)]

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
        """The elements between neighbours along an axis; None along an axis of class ZERO.

        Axis -3 is that of the rows, -2 the innermost of the columns, -1 the innermost of the depth.
        """
        kinds = self._operands[operand].strides
        axis = self._axes.place(axis)
        if kinds[axis] is Stride.ZERO:
            return None
        known = {Stride.ONE: 1, Stride.TWO: 2}.get(kinds[axis])
        return self._load("i64", f"stride {operand} {axis}") if known is None else self._f.i64(known)

    def batch_strides(self, operand: int) -> list[Value | None]:
        """The strides along the batch axes."""
        return [self.stride(operand, axis) for axis in range(self._batches)]

    def _load(self, type_: str, name: str) -> Value:
        f = self._f
        return f.load(type_, f.element(self._args, "i64", f.i64(self._index[name])))
