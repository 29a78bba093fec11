"""Block sizes and launches for given sizes; they change speed, never results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from flambeau.compiler.caches import processors, second_cache
from flambeau.compiler.direct.arguments import B_AHEAD, B_BY_BLOCK, B_IN_PLACE, axes_of
from flambeau.compiler.direct.boxes import Box
from flambeau.compiler.kernel import Call, Kernel, Pointer
from flambeau.compiler.lowering import stride_args

# Blocks are multiples of every target's micro-kernel: then only an axis's last one is ragged.
_COLUMN_BYTES = 128
_ROW_UNIT = 24
_BLOCK_ROWS = 120
_BLOCK_COLUMN_BYTES = 512
_PANELS_PART = 0.625  # of the second cache: weights of a block's channels stay there for all positions
_LINE = 64
_MICRO_BYTES = 4096  # no micro-kernel's block of the result is larger

# Boxes of a few positions of many examples, those of a weight's gradient, are taken together through so much
# of the depth as fits the second cache, where their unfinished chains wait.
_TOGETHER = 32
_TOGETHER_ROWS, _TOGETHER_COLUMN_BYTES = 128, 256
_TOGETHER_PART = 0.25

# So are all positions of a few small images: many weights are then read from memory once, not once per box.
_FEW_POSITIONS = 240
_FEW_COLUMN_BYTES = 512

# Chains are reloaded after so many steps where K has more than the second figure.
_DEPTH = 256
_LONGEST = 640

# A launch is cut until it has so many tiles or until a tile takes so long, in nanoseconds.
_TILES, _FEW_UNITS = 40, 4
_TILE_NS = 40_000.0
_PACK_BYTES = 128 * 1024
_PACK_DEPTH = 128

# Estimates of time on one thread.
_NS_PER_STEP = 0.0045  # per byte of an element: 0.018 ns for a multiply-add of float32
_NS_PER_PACKED_BYTE = 0.12
_NS_PER_UNIT = 500.0


def _round_up(number: int, unit: int) -> int:
    return -(-number // unit) * unit


def _b_mode(step: int, nbytes: int) -> int:
    """How channels ``step`` apart, ``nbytes`` in all, are read."""
    if step != 1:
        return B_AHEAD
    return B_BY_BLOCK if nbytes % _COLUMN_BYTES else B_IN_PLACE


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of a convolution and what they say about memory."""

    groups: int
    examples: int
    m: int  # channels of the result, of a group
    depths: tuple[int, ...]  # channels and window
    boxes: tuple[Box, ...]
    chunk: int  # channels whose chains are added to those of the next ones
    item: int
    tables: int  # operands that may have a table of offsets
    turned: bool  # positions are few, and neighbours along the examples
    b_mode: int

    @staticmethod
    def of(
        kernel: Kernel,
        sizes: Sequence[int],
        strides: Sequence[Sequence[int]],
        boxes: Sequence[Box],
        chunk: int,
    ) -> Sizes:
        """The sizes of a call."""
        axes = axes_of(kernel)
        single = all(n == 1 for box in boxes for n in box.counts)
        return Sizes(
            sizes[0],
            sizes[1],
            sizes[axes.channel],
            tuple([sizes[a] for a in axes.depth]),
            tuple(boxes),
            chunk,
            kernel.operands[0].dtype.itemsize,
            len(kernel.operands) - 1,
            single and sizes[1] > 1 and strides[0][1] == 1,
            _b_mode(strides[1][axes.channel], sizes[axes.channel] * kernel.operands[1].dtype.itemsize),
        )

    @property
    def k(self) -> int:
        """Steps of the whole depth."""
        return math.prod(self.depths)

    @property
    def padded(self) -> int:
        """Channels of the result in whole panels."""
        return _round_up(self.m, _COLUMN_BYTES // self.item)

    @property
    def packed(self) -> int:
        """Bytes of all weights as packed ahead; 0 where they are not."""
        return self.groups * self.padded * self.k * self.item if self.b_mode == B_AHEAD else 0

    @property
    def written(self) -> int:
        """Bytes of all results."""
        return self.groups * self.m * sum(self.positions) * self.item

    @property
    def positions(self) -> list[int]:
        """Of each box."""
        return [self.examples * math.prod(box.counts) for box in self.boxes]

    @property
    def products(self) -> int:
        """Multiplications."""
        met = zip(self.positions, self.boxes, strict=True)
        return self.groups * self.m * self.depths[0] * sum(n * math.prod(box.taps) for n, box in met)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a convolution is cut up."""

    rows: int
    columns: int
    depth: int
    walked: int
    together: int
    row_blocks: tuple[int, ...]  # of each box
    units: int
    units_per_tile: int

    @property
    def tiles(self) -> int:
        return -(-self.units // self.units_per_tile)


def _plan(s: Sizes) -> _Plan:
    unit = _COLUMN_BYTES // s.item
    depth = max(1, s.k if s.k <= _LONGEST else _DEPTH)
    together, walked = 1, max(1, s.chunk)
    few = sum(s.positions) <= _FEW_POSITIONS
    rows, columns = _BLOCK_ROWS, _BLOCK_COLUMN_BYTES // s.item
    if s.turned and 1 < len(s.boxes) <= _TOGETHER:
        together = len(s.boxes)
        rows, columns = _TOGETHER_ROWS, _TOGETHER_COLUMN_BYTES // s.item
        per_channel = max(1, s.k // max(1, s.depths[0])) * (s.examples + s.m) * s.item
        most = max(1, int(_TOGETHER_PART * second_cache()) // per_channel)
        walked = max(1, math.gcd(s.chunk, 1 << (most.bit_length() - 1)))
    elif s.b_mode == B_AHEAD and s.k > _LONGEST and 1 < len(s.boxes) <= _TOGETHER and few:
        together, rows = len(s.boxes), _FEW_POSITIONS
        window = s.k // s.depths[0]
        walked = max([n for n in range(1, _LONGEST // window + 1) if s.chunk % n == 0], default=1)
        depth = max(depth, min(walked * window, _LONGEST))
        columns = min(_FEW_COLUMN_BYTES // s.item, _round_up(-(-s.padded // (2 * processors())), unit))
    elif s.b_mode == B_AHEAD and s.k:
        columns = min(columns, max(unit, int(_PANELS_PART * second_cache()) // (s.k * s.item) // unit * unit))
    columns = min(columns, s.padded)
    positions = s.positions
    total = s.products * _NS_PER_STEP * s.item
    while True:
        blocks = s.groups * -(-s.m // columns)
        row_blocks = tuple([-(-n // rows) for n in positions])
        units = blocks * (row_blocks[0] if together > 1 else sum(row_blocks))
        if total <= _TILE_NS or units >= _TILES or total / max(1, units) <= _TILE_NS:
            break
        if rows > 3 * _ROW_UNIT and together == 1:
            rows = _round_up(rows // 2, _ROW_UNIT)
        elif columns > unit and (together == 1 or units < _FEW_UNITS):
            columns = _round_up(columns // 2, unit)
        elif rows > _ROW_UNIT and together == 1:
            rows = _ROW_UNIT
        else:
            break
    longest = max(positions, default=1) or 1
    rows = min(rows, _round_up(-(-longest // -(-longest // rows)), 8))
    row_blocks = tuple([-(-n // rows) for n in positions])
    units = blocks * (row_blocks[0] if together > 1 else sum(row_blocks))
    per_tile = max(1, min(int(_TILE_NS * units / max(total, 1.0)), -(-units // _TILES)))
    if total <= 2 * _TILE_NS:
        per_tile = max(1, units)
    return _Plan(rows, columns, depth, walked, together, row_blocks, units, per_tile)


@dataclass(frozen=True, slots=True)
class _Scratch:
    """Where things lie in the workspace, in bytes."""

    own: int  # the first tile's own part, after packed weights that have no memory of their own
    part: int  # a tile's own part; what follows is within it
    sums: int
    table: int
    copies: int
    rows: int
    b: int
    chain_step: int
    keep: bool  # unfinished chains are kept for a whole block


def _scratch(s: Sizes, p: _Plan, apart: bool) -> _Scratch:
    keep = s.k > p.depth or s.depths[0] > p.walked
    kept = _round_up(_MICRO_BYTES + (p.rows * p.columns * s.item if keep else 0), _LINE)
    sums = kept * p.together
    table = sums + (sums if s.depths[0] > s.chunk else 0)
    copies = _round_up(table + 16 * p.depth, _LINE)
    rows = _round_up(copies + 16 * p.depth, _LINE)
    b = _round_up(rows + 8 * p.rows * s.tables, _LINE)
    part = _round_up(b + (p.depth * _COLUMN_BYTES if s.b_mode == B_BY_BLOCK else 0), _LINE)
    own = 0 if apart else _round_up(s.packed, _LINE)
    return _Scratch(own, part, sums, table, copies, rows, b, kept, keep)


def packed(kernel: Kernel, sizes: tuple[int, ...], strides: tuple[tuple[int, ...], ...]) -> int:
    """The bytes, aligned to 64, of all weights as they are packed ahead; 0 where they are not."""
    return Sizes.of(kernel, sizes, strides, (), 1).packed


def packed_sizes(kernel: Kernel, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes that the order of packed weights depends on: all but those of examples and positions."""
    rows = axes_of(kernel).positions
    return tuple([n for axis, n in enumerate(sizes) if axis not in rows])


def workspace(
    kernel: Kernel,
    sizes: tuple[int, ...],
    strides: tuple[tuple[int, ...], ...],
    boxes: Sequence[Box],
    chunk: int,
    apart: bool = False,
) -> int:
    """The bytes, aligned to 64, that ``calls`` of these sizes use; ``apart`` from packed weights."""
    s = Sizes.of(kernel, sizes, strides, boxes, chunk)
    if not s.groups * s.examples * s.m or not boxes:
        return 0
    p = _plan(s)
    scratch = _scratch(s, p, apart)
    return scratch.own + scratch.part * p.tiles


def calls(
    kernel: Kernel,
    entry: str,
    sizes: tuple[int, ...],
    strides: tuple[tuple[int, ...], ...],
    pointers: tuple[Pointer | int, ...],
    workspace: Pointer,
    boxes: Sequence[Box],
    chunk: int,
    place: Pointer | None = None,
) -> list[Call]:
    """The launches that run a kernel once, in order; none where there is no element of the result.

    ``sizes`` has one size per axis; ``strides`` one tuple per operand with a step in elements per axis;
    ``pointers`` one address per operand, of the input that of what the first result and the first element of
    the window meet, which need not exist; ``workspace`` is as many bytes, aligned to 64, as the function of
    that name says; ``boxes`` cover all positions; chains go over ``chunk`` channels each.

    With a ``place``, as many bytes as ``packed`` says, the first launch packs all weights there, for one or
    more of the second.
    """
    s = Sizes.of(kernel, sizes, strides, boxes, chunk)
    if not s.groups * s.examples * s.m or not boxes:
        return []
    p = _plan(s)
    scratch = _scratch(s, p, place is not None)
    axes = axes_of(kernel)
    b_steps = [strides[1][a] for a in axes.depth]
    # The code multiplies what is counted in steps of packed weights by a panel's width.
    table = b_steps if s.b_mode != B_AHEAD else [math.prod(s.depths[i + 1 :]) for i in range(len(s.depths))]
    group_step = strides[1][0] if s.b_mode != B_AHEAD else s.padded * s.k
    panel_step = 1 if s.b_mode != B_AHEAD else s.k
    pack_columns = max(_COLUMN_BYTES // s.item, min(s.padded, _PACK_BYTES // (_PACK_DEPTH * s.item)))
    run, backwards = _run(s.depths, b_steps) if strides[1][axes.channel] != 1 else (0, False)
    pack_depth = run * max(1, _PACK_DEPTH // run) if 0 < run < s.k else _PACK_DEPTH
    depth_tiles, column_tiles = max(1, -(-s.k // pack_depth)), -(-s.padded // pack_columns)
    records: list[int] = []
    end = 0
    for box, n, row_blocks in zip(s.boxes, s.positions, p.row_blocks, strict=True):
        start, end = (0, row_blocks) if p.together > 1 else (end, end + row_blocks)
        where = [_dot(box.starts, [own[a] for a in axes.positions[1:]]) for own in strides]
        where[0] += _dot(box.firsts, [strides[0][a] for a in axes.depth[1:]])
        where[1] = _dot(box.firsts, table[1:])
        records += [end, start, n, math.prod(box.taps)]
        # A box that meets nothing takes no step; but what it would walk is divided by these sizes.
        records += [s.examples, *box.counts, s.depths[0], *[max(1, taps) for taps in box.taps], *where]
    args: tuple[Pointer | int, ...] = (
        *pointers, place or workspace, workspace, *stride_args(kernel, strides),
        s.groups, s.m, s.k, p.rows, p.columns, p.depth, s.depths[0], s.chunk, p.walked, p.together,
        scratch.chain_step, end, -(-s.m // p.columns), p.units, p.units_per_tile,
        int(s.packed > second_cache()), int(s.written > second_cache()), s.b_mode, group_step, panel_step,
        run, int(backwards), int(scratch.keep), p.rows if scratch.keep else 0,
        scratch.own, scratch.part, scratch.sums, scratch.table, scratch.copies, scratch.b,
        scratch.rows, pack_depth, depth_tiles, pack_columns, column_tiles,
        *s.depths, *table, *records,
    )  # fmt: skip
    made = []
    if moved := s.packed:
        made.append(
            Call(f"{entry}_pack", s.groups * depth_tiles * column_tiles, args, moved * _NS_PER_PACKED_BYTE)
        )
    made.append(Call(entry, p.tiles, args, s.products * s.item * _NS_PER_STEP + p.units * _NS_PER_UNIT))
    return made


def _dot(indices: Sequence[int], steps: Sequence[int]) -> int:
    return sum(a * b for a, b in zip(indices, steps, strict=True))


def _run(sizes: Sequence[int], steps: Sequence[int]) -> tuple[int, bool]:
    """How many elements over these axes are neighbours, one after the other, and whether backwards.

    0 where they are not.
    """
    length, way = 1, 0
    for n, step in zip(reversed(sizes), reversed(steps), strict=True):
        if n == 1:
            continue
        if not way and abs(step) == 1:
            way = step
        if step != way * length or not way:
            break
        length *= n
    return (length, way < 0) if length > 1 else (0, False)
