"""The arguments of a contraction's calls: written by ``blocking``, read by the generated code.

Both entries of a kernel take the same ones.  The order is: an address per operand, the
workspace, the sizes (batch axes, M, N, K), the strides of class ANY, then ``BLOCKING`` and, for A
and for B, how many different matrices there are along each batch axis and the elements between
their packed copies.
"""

from __future__ import annotations

from dataclasses import dataclass

from flambeau.compiler.ir import Function, Value
from flambeau.compiler.kernel import Kernel
from flambeau.compiler.lowering import Arguments

BLOCKING = (
    "rows",  # of a block: what one unit of work computes
    "columns",  # of a block; a multiple of every target's micro-kernel width
    "depth",  # steps of K between reloads of the chains
    "row_blocks",
    "column_blocks",
    "units",  # blocks in all batches
    "units_per_tile",
    "a_packed",  # 1: the packing entry has copied A's rows of each block together, 0: they are read in place
    "packed_a",  # bytes from the workspace's start to packed A; packed B is at its start
    "a_step",  # elements between the steps of K of a packed A
    "b_mode",  # one of the B_ constants below
    "keep",  # 1: unfinished chains of a whole block are kept, 0: of one micro-kernel
    "keep_column",  # elements between the unfinished chains of neighbouring columns' panels, per column
    "scratch",  # bytes from the workspace's start to the first tile's own part, which begins with packed B
    "scratch_size",  # bytes of a tile's own part
    "scratch_chains",  # bytes from a part's start to unfinished chains
    "scratch_sums",  # ... to sums of chunks
    "b_tiles",  # tiles of the packing entry that pack B; those after them pack A
    "pack_columns",  # columns of B in such a tile
    "pack_column_tiles",
    "pack_depth",  # steps of K in a tile of the packing entry
    "pack_depth_tiles",
)

B_IN_PLACE = 0  # rows of B are read where they lie
B_BY_BLOCK = 1  # each unit packs the columns that it needs
B_AHEAD = 2  # all of B has been packed by the packing entry


@dataclass(slots=True)
class Inputs:
    """The arguments as values in generated code; strides are None along axes of class ZERO."""

    pointers: list[Value]
    workspace: Value
    batch: list[Value]
    m: Value
    n: Value
    k: Value
    strides: list[list[Value | None]]
    blocking: dict[str, Value]
    a_batch: list[Value]
    a_strides: list[Value]
    b_batch: list[Value]
    b_strides: list[Value]


def read_inputs(f: Function, kernel: Kernel) -> Inputs:
    """Loads all arguments at the start of an entry."""
    arguments = Arguments(f, f.params[0])
    batches = len(kernel.axes) - 3
    return Inputs(
        pointers=arguments.pointers(len(kernel.operands)),
        workspace=arguments.take("ptr"),
        batch=arguments.integers(batches),
        m=arguments.take("i64"),
        n=arguments.take("i64"),
        k=arguments.take("i64"),
        strides=arguments.strides(kernel.operands),
        blocking={name: arguments.take("i64") for name in BLOCKING},
        a_batch=arguments.integers(batches),
        a_strides=arguments.integers(batches),
        b_batch=arguments.integers(batches),
        b_strides=arguments.integers(batches),
    )
