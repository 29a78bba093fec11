"""The kernel representation: loop nests over typed tiles.

A kernel says what is computed for every point of its axes, not how wide the vectors are, where
the data lies, or how large anything is: sizes, strides and addresses arrive as run-time
arguments, so one kernel serves every size.  Lowerings (``elementwise``, ``reduction``,
``normalization``, ``contraction``) turn it into LLVM IR.

The loops over REDUCE axes are over once something has been combined, except in a ``normalization``:
there, values of points may depend on what has been combined, and each such step is another pass.

The body is straight-line code over tiles in SSA form: instruction *i* defines value *i*.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from flambeau.dtypes import DType


class AxisKind(Enum):
    """How the points of an axis may be visited."""

    GRID = "grid"  # in any order, by any thread
    VECTOR = "vector"  # in any order, several at a time
    SERIAL = "serial"  # in order
    REDUCE = "reduce"  # combined into one, in the order the reduction defines


class Stride(Enum):
    """What is known of an operand's step along an axis before sizes are known."""

    ZERO = "0"  # the same element everywhere (broadcast)
    ONE = "1"  # neighbours in memory
    TWO = "2"  # every other element, where that is part of the program's structure
    ANY = "s"  # a run-time number of elements


class Role(Enum):
    """What a kernel does with an operand."""

    IN = "in"
    OUT = "out"
    INDEX = "index"  # no memory: its elements are the places, in elements, that its strides lead to


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor a kernel reads or writes: its dtype, role, and a stride class per axis.

    A number is a tensor whose strides are all ZERO: one element in memory.
    """

    dtype: DType
    role: Role
    strides: tuple[Stride, ...] = ()


@dataclass(frozen=True, slots=True)
class Instr:
    """One instruction: ``op`` on earlier values.

    ``load``, ``index`` and ``store`` name an operand, of role IN, INDEX and OUT; ``const`` has a
    number; ``cast`` changes the dtype;
    ``reduce_sum``, ``reduce_max``, ``reduce_min``, ``reduce_prod`` combine over all REDUCE axes;
    ``load_at`` and ``store_at`` do so a computed number of elements (the last argument) further;
    ``fail`` writes to the status where its first argument is true: (condition, index, code);
    ``contract`` multiplies operands and sums over the REDUCE axis; everything else is elementwise.
    A ``bool`` value is a mask in registers and a byte (0 or 1) in memory.
    """

    op: str
    dtype: DType
    args: tuple[int, ...] = ()
    operand: int = -1
    number: float | int | bool | None = None


@dataclass(frozen=True, slots=True)
class Kernel:
    """A loop nest: axes from outermost to innermost, operands, and what happens at each point."""

    family: str  # "elementwise", "reduction", "normalization", "contraction"
    axes: tuple[AxisKind, ...]
    operands: tuple[Operand, ...]
    body: tuple[Instr, ...]


@dataclass(frozen=True, slots=True)
class Pointer:
    """An address known when a program runs: ``offset`` bytes into the memory bound to ``slot``."""

    slot: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """One launch: ``entry`` runs once for each tile number in ``range(tiles)``, in any order.

    ``args`` are 8 bytes each, in order: resolved pointers and 64-bit integers.  ``cost`` is an
    estimate of the whole launch in nanoseconds on one thread.
    """

    entry: str
    tiles: int
    args: tuple[Pointer | int, ...]
    cost: float


# What else a program is made of: loops and branches between its calls.  Slots that they write to are
# moving: their addresses belong to the program, not to its caller.  Jumps are relative to themselves.


@dataclass(frozen=True, slots=True)
class Bind:
    """Give each of the moving ``slots`` the address of a place."""

    slots: tuple[int, ...]
    places: tuple[Pointer, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """Move slots on by a number of bytes each."""

    steps: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Swap:
    """Exchange the addresses of two slots, for each pair."""

    pairs: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The end of a loop that begins ``back`` operations before and runs ``count`` times (at least once)."""

    back: int
    count: int


@dataclass(frozen=True, slots=True)
class Branch:
    """Go on ``ahead`` operations further if the byte at ``condition`` is ``when``; without one, always."""

    ahead: int
    condition: Pointer | None = None
    when: bool = True


Op = Call | Bind | Step | Swap | Repeat | Branch
