"""What the innermost loop computes at once: a small block of the output held in registers."""

from __future__ import annotations

from dataclasses import dataclass

from flambeau.compiler.kernel import Kernel
from flambeau.compiler.scalar_ops import memory_element
from flambeau.compiler.target import Target

# Results of chains of at most this many steps are added to one another.  Part of the definition
# of a contraction: changing it changes bits.
CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Shape:
    """Blocks of ``heights`` rows by ``vectors`` vectors of ``lanes`` elements of type ``element``.

    ``heights`` run from the largest, for whole blocks, to 1, so that any number of rows is a sum
    of them.  Few rows wait for their own chains: so where one to three would be left over, the second
    height is taken, which leaves more of them (25 rows are 8, 8, 5 and 4).  A single row is ``wide``
    vectors at once: it needs many chains to overlap.
    """

    element: str
    lanes: int
    vectors: int
    heights: tuple[int, ...]
    wide: int

    @property
    def width(self) -> int:
        """Columns of a block."""
        return self.lanes * self.vectors

    @property
    def wide_width(self) -> int:
        """Columns of a block of a single row."""
        return self.lanes * self.wide


def shape_for(kernel: Kernel, target: Target) -> Shape:
    """The block that fits the target's registers with room for a row of B and an element of A."""
    dtype = kernel.body[2].dtype
    lanes = target.lanes_of(dtype)
    if target.vector_registers >= 32:
        return Shape(memory_element(dtype), lanes, 2, (8, 5, 4, 2, 1), 8)
    return Shape(memory_element(dtype), lanes, 2, (6, 5, 4, 2, 1), 8)
