"""Block sizes, packing and launches for given sizes; they change speed, never results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from flambeau.compiler.caches import processors, second_cache
from flambeau.compiler.contraction.arguments import (
    A_AHEAD,
    A_BY_BLOCK,
    A_IN_PLACE,
    B_AHEAD,
    B_BY_BLOCK,
    B_IN_PLACE,
)
from flambeau.compiler.contraction.axes import axes_of, merged_columns, reads_b_in_place
from flambeau.compiler.contraction.finish import direct_output
from flambeau.compiler.contraction.shape import CHUNK
from flambeau.compiler.kernel import Call, Kernel, Pointer, Stride
from flambeau.compiler.lowering import per_kernel, stride_args

# Blocks are multiples of every target's micro-kernel: then only an axis's last one is ragged.
_ROW_UNIT = 24
_COLUMN_BYTES = 128
_BLOCK_ROWS = 96
_BLOCK_COLUMN_BYTES = 1024
_SINGLE_ROW_BYTES = 512  # no narrower where there is one row: as many columns as its micro-kernel takes
_SPREAD_COLUMN_BYTES = 512  # no narrower where columns are spread: all of A is read for each block
_LINE = 64
_TABLE_BYTES = 8  # of an offset, where the depth is spread over several axes
_MICRO_BYTES = 4096  # no micro-kernel's block of the output is larger

# Chains are reloaded after so many steps where K has more than the second figure.
_DEPTH = 512
_LONGEST = 1024

# A small result of a long K would be cut into blocks so small that they do little else than pack.  Its blocks
# are as large as these, and as few as share the processors evenly; a few more are worth this part of one.
_LONG_ROWS, _LONG_COLUMN_BYTES = 256, 1024
_LONG_UNIT = 8
_LONG_DEPTH = 256  # where A's rows are neighbours
_FINER = 0.15
_NS_PER_BLOCK_BYTE = 0.2, 0.05  # of B, which is packed for each block of rows, and of A

# With at most so many rows, each block packs the columns of B that it needs and is their only
# user; with more, B is packed once, ahead.
_ROWS_BY_BLOCK = 192

# B is read in place while its rows, used once per eight rows of A, stay in the second cache (take this
# part of it); and also when it is used so seldom that packing costs more than it gains.
_IN_PLACE_PART = 0.5
_IN_PLACE_ROWS = 16
# Rows an odd number of lines apart spread over the caches' sets: then a larger B may stay in place.
_SPREAD_PARTS = 4  # times the second cache
_SPREAD_ROWS = 128
_CROWDING = 512

# Steps of K this far apart share few sets of a cache and need a page each: A is packed.
_A_STEP_BYTES = 4096
# Packed ahead it is written to memory and read again, which shows where it is large and few columns use it:
# then each block packs its rows for itself.
_A_AHEAD_BYTES = 4 * 1024 * 1024

# A launch is cut until it has so many tiles or until a tile takes so long, in nanoseconds.
_TILES = 80
_FEW_UNITS = 8
_TILE_NS = 20_000.0
_PACK_BYTES = 128 * 1024
_PACK_DEPTH = 128

# Estimates of time on one thread.
_NS_PER_STEP = 0.0045  # per byte of an element: 0.018 ns for a multiply-add of float32
_FEWEST_ROWS = 3  # fewer rows than these take no less time: B must be read all the same
_NS_PER_PACKED_BYTE = 0.12
_NS_PER_UNIT = 60.0


class Facts(NamedTuple):
    """What block sizes depend on besides sizes."""

    item: int  # bytes of an element
    b_rows: bool  # neighbouring columns of B are neighbours in memory
    spread: bool  # columns or depth are spread over several axes
    a_packs: bool
    direct: bool  # unfinished chains can wait in the output
    a_moves: tuple[bool, ...]  # per batch axis
    b_moves: tuple[bool, ...]


@per_kernel
def facts_of(kernel: Kernel) -> Facts:
    """The facts about a kernel."""
    a, b = kernel.operands[:2]
    axes = axes_of(kernel)
    return Facts(
        item=a.dtype.itemsize,
        b_rows=reads_b_in_place(kernel),
        spread=axes.spread,
        a_packs=packs_a(kernel),
        direct=direct_output(kernel) is not None,
        a_moves=tuple(kind is not Stride.ZERO for kind in a.strides[: axes.batch]),
        b_moves=tuple(kind is not Stride.ZERO for kind in b.strides[: axes.batch]),
    )


class Plan(NamedTuple):
    """How products of one size are cut up: sizes in elements."""

    rows: int
    columns: int
    depth: int
    a_mode: int
    b_mode: int
    units_per_tile: int


def make_plan(
    facts: Facts, batches: int, m: int, n: int, k: int, a_step: int, b_step: int, ahead: bool = False
) -> Plan:
    """Chooses how to run ``batches`` products; ``a_step`` and ``b_step`` are strides along K.

    With ``ahead`` B is packed ahead where it is packed at all.
    """
    item = facts.item
    unit = _COLUMN_BYTES // item
    depth = max(1, k if k <= _LONGEST else _DEPTH)
    b_size = k * n * item / second_cache()
    in_place = facts.b_rows and (
        m <= _IN_PLACE_ROWS
        or b_size <= _IN_PLACE_PART
        or (m <= _SPREAD_ROWS and b_size <= _SPREAD_PARTS and b_step * item % _CROWDING != 0)
    )
    by_block = facts.spread or m <= _ROWS_BY_BLOCK
    b_mode = B_IN_PLACE if in_place else B_BY_BLOCK if by_block else B_AHEAD
    a_mode = A_IN_PLACE
    if facts.a_packs and m > _ROWS_BY_BLOCK and a_step * item >= _A_STEP_BYTES:
        few = n * item <= _BLOCK_COLUMN_BYTES and k * m * item > _A_AHEAD_BYTES
        a_mode = A_BY_BLOCK if few and not facts.spread else A_AHEAD
    columns = min(_round_up(n, unit), _BLOCK_COLUMN_BYTES // item)
    rows = m if m <= (_BLOCK_ROWS + _ROW_UNIT if b_mode != B_BY_BLOCK else _ROWS_BY_BLOCK) else _BLOCK_ROWS
    if facts.spread and m > _ROWS_BY_BLOCK:
        rows = _round_up(-(-m // -(-m // _ROWS_BY_BLOCK)), _ROW_UNIT)
    if not facts.spread and m > 1 and k > _LONGEST and batches * -(-m // rows) * -(-n // columns) < _TILES:
        rows, columns = _long_blocks(item, batches, m, n)
        depth = _LONG_DEPTH if facts.a_packs else _DEPTH
        if b_mode != B_IN_PLACE:
            b_mode = B_BY_BLOCK if not ahead and m <= 2 * rows else B_AHEAD
        return Plan(rows, columns, depth, a_mode, b_mode, 1)
    ns = _NS_PER_STEP * item * k
    least = unit if m > 1 else _SINGLE_ROW_BYTES // item
    if facts.spread:
        least = _SPREAD_COLUMN_BYTES // item
    while True:
        units = batches * -(-m // rows) * -(-n // columns)
        unit_ns = ns * max(rows, _FEWEST_ROWS) * columns + _NS_PER_UNIT
        if units >= _TILES or unit_ns <= _TILE_NS:
            break
        if a_mode == A_BY_BLOCK:  # more columns would pack the same rows again
            if rows <= _BLOCK_ROWS // 2:
                break
            rows = _round_up(rows // 2, _ROW_UNIT)
        elif columns > 2 * least or (columns > least and rows <= _ROW_UNIT):
            columns = _round_up(columns // 2, unit)
        elif rows > _ROW_UNIT and b_mode != B_BY_BLOCK:
            rows = _round_up(rows // 2, _ROW_UNIT)
        elif facts.spread and rows >= 2 * _BLOCK_ROWS and units < _FEW_UNITS:
            rows = _BLOCK_ROWS  # packs its columns once more, but lets a few threads share evenly
        else:
            break
    per_tile = max(1, min(int(_TILE_NS / unit_ns), -(-units // _TILES) if units > _TILES else units))
    if units * unit_ns <= 2 * _TILE_NS:
        per_tile = units
    if ahead and b_mode == B_BY_BLOCK:
        b_mode = B_AHEAD
    return Plan(rows, columns, depth, a_mode, b_mode, per_tile)


@lru_cache(1024)
def _long_blocks(item: int, batches: int, m: int, n: int) -> tuple[int, int]:
    """Rows and columns of the blocks of products with a long K and few results."""
    unit = _COLUMN_BYTES // item
    most = min(_round_up(n, unit), _LONG_COLUMN_BYTES // item)
    least_time, best = math.inf, (m, most)
    for columns in range(unit, most + 1, unit):
        for row_blocks in range(-(-m // _LONG_ROWS), -(-m // _ROW_UNIT) + 1):
            rows = min(m, _round_up(-(-m // row_blocks), _LONG_UNIT))
            units = batches * -(-m // rows) * -(-n // columns)
            packing, reading = _NS_PER_BLOCK_BYTE
            step = _NS_PER_STEP * rows * columns + packing * columns + reading * rows
            time = step * (-(-units // processors()) + _FINER)
            if time < least_time:
                least_time, best = time, (rows, columns)
    return best


def packs_a(kernel: Kernel) -> bool:
    """Whether A is of a kind that packing helps: its rows are neighbours, its steps of K are not."""
    strides = kernel.operands[0].strides
    return strides[axes_of(kernel).batch] is Stride.ONE and strides[-1] is not Stride.ONE


def _round_up(number: int, unit: int) -> int:
    return -(-number // unit) * unit


class Scratch(NamedTuple):
    """Where things lie in the workspace: bytes, but for ``a_step`` and ``keep_column``."""

    packed_a: int  # from the start; packed B is at the start, where it has no memory of its own
    tiles: int  # from the start
    tile: int  # of each tile's own part
    chains: int  # within it
    sums: int
    a: int
    total: int
    a_step: int  # elements
    keep: int  # 1: unfinished chains are kept for a whole block
    keep_column: int  # elements per column of a block between its panels' unfinished chains


def make_scratch(
    facts: Facts,
    p: Plan,
    copies: Sequence[int],
    batches: int,
    m: int,
    n: int,
    k: int,
    chunk: int,
    apart: bool,
) -> Scratch:
    """Lays out the workspace; ``copies`` are the numbers of different matrices among A and among B.

    With ``apart`` packed B lies elsewhere.
    """
    item = facts.item
    row_blocks, column_blocks = -(-m // p.rows), -(-n // p.columns)
    tiles = -(-batches * row_blocks * column_blocks // p.units_per_tile)
    b_size = copies[1] * _packed_bytes(facts, n, k) if p.b_mode == B_AHEAD and not apart else 0
    a_step = _round_up(p.rows, 16) + 16
    a_size = copies[0] * row_blocks * k * a_step * item if p.a_mode == A_AHEAD else 0
    unfinished = p.depth < k
    # Where chains wait in the output itself, only those of a ragged last panel are kept here.
    whole = unfinished and (k > chunk or not facts.direct)
    kept = _MICRO_BYTES + (p.rows * (p.columns * item if whole else _COLUMN_BYTES) if unfinished else 0)
    table = p.depth * _TABLE_BYTES if facts.spread else 0
    chains = 0 if p.b_mode == B_AHEAD else p.depth * _COLUMN_BYTES + table
    sums = _round_up(chains + kept, _LINE)
    a = _round_up(sums + (kept if k > chunk else 0), _LINE)
    tile = _round_up(a + (p.depth * a_step * item if p.a_mode == A_BY_BLOCK else 0), _LINE)
    packed_a = _round_up(b_size, _LINE)
    own = _round_up(packed_a + a_size, _LINE)
    return Scratch(
        packed_a,
        own,
        tile,
        chains,
        sums,
        a,
        own + tile * tiles,
        a_step,
        int(unfinished),
        p.rows if whole else 0,
    )


def packs_alone(kernel: Kernel, sizes: tuple[int, ...], strides: tuple[tuple[int, ...], ...]) -> bool:
    """Whether B would be packed by each block, or ahead, and nothing else: once is enough if B stays."""
    batch, m, columns, depths = axes_of(kernel).split(sizes)
    n, k = math.prod(columns), math.prod(depths)
    if batch or not m * n:
        return False
    facts = facts_of(kernel)
    p = make_plan(facts, 1, m, n, k, strides[0][-1], strides[1][-1])
    return not facts.spread and p.a_mode != A_AHEAD and p.b_mode != B_IN_PLACE


def packed(kernel: Kernel, sizes: tuple[int, ...]) -> int:
    """The bytes, aligned to 64, of all of B where it is packed apart from the workspace."""
    batch, _, columns, depths = axes_of(kernel).split(sizes)
    facts = facts_of(kernel)
    copies = math.prod(_different(facts.b_moves, batch))
    return copies * _packed_bytes(facts, math.prod(columns), math.prod(depths))


def packed_sizes(kernel: Kernel, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes that the order of packed B depends on: all but that of the rows."""
    batch, _, columns, depths = axes_of(kernel).split(sizes)
    return (*batch, *columns, *depths)


def _packed_bytes(facts: Facts, n: int, k: int) -> int:
    return _round_up(n, _COLUMN_BYTES // facts.item) * k * facts.item


def workspace(kernel: Kernel, sizes: tuple[int, ...], apart: bool = False, chunk: int = CHUNK) -> int:
    """The bytes, aligned to 64, that ``calls`` of these sizes may use, whatever the strides.

    With ``apart`` all of B is packed, but elsewhere.
    """
    batch, m, columns, depths = axes_of(kernel).split(sizes)
    n, k = math.prod(columns), math.prod(depths)
    if not math.prod(batch) * m * n:
        return 0
    facts = facts_of(kernel)
    needed = 0
    while True:
        batches = math.prod(batch)
        copies = math.prod(_different(facts.a_moves, batch)), math.prod(_different(facts.b_moves, batch))
        for step in (_A_STEP_BYTES, _A_STEP_BYTES + 1):
            p = make_plan(facts, batches, m, n, k, step, step, apart)
            needed = max(needed, make_scratch(facts, p, copies, batches, m, n, k, chunk, apart).total)
        if facts.spread or not batch or facts.b_moves[len(batch) - 1]:
            return needed
        m *= batch.pop()


def calls(
    kernel: Kernel,
    entry: str,
    sizes: tuple[int, ...],
    strides: tuple[tuple[int, ...], ...],
    pointers: tuple[Pointer | int, ...],
    workspace: Pointer,
    place: Pointer | None = None,
    chunk: int = CHUNK,
) -> list[Call]:
    """The launches that run a kernel once, in order; none where there is no output element.

    With a ``place``, as many bytes as ``packed`` says, the first launch packs all of B there, for one or
    more of the second.  Chains are ``chunk`` long.

    ``sizes`` has one size per axis; ``strides`` one tuple per operand with a step in elements per
    axis; ``pointers`` one address per operand; ``workspace`` is as many bytes, aligned to 64, as
    the function of that name says.
    """
    batch, m, columns, depths = axes_of(kernel).split(sizes)
    n, k = math.prod(columns), math.prod(depths)
    if not math.prod(batch) * m * n:
        return []
    facts = facts_of(kernel)
    item = facts.item
    apart = place is not None
    axes = len(batch)
    spread: tuple[int, ...] = ()
    if facts.spread:
        spread, strides = merged_columns(kernel, columns, depths, strides)
    elif batch:
        m = _merge(facts, batch, m, strides)
    batches = math.prod(batch)
    p = make_plan(facts, batches, m, n, k, strides[0][-1], strides[1][-1], apart)
    a_batch, b_batch = _different(facts.a_moves, batch), _different(facts.b_moves, batch)
    copies = math.prod(a_batch), math.prod(b_batch)
    s = make_scratch(facts, p, copies, batches, m, n, k, chunk, apart)
    if merged := axes - len(batch):
        ones = [1] * merged
        batch, a_batch, b_batch = batch + ones, a_batch + ones, b_batch + ones
    row_blocks, column_blocks = -(-m // p.rows), -(-n // p.columns)
    units = batches * row_blocks * column_blocks
    padded = _round_up(n, _COLUMN_BYTES // item)
    pack_columns = min(padded, _PACK_BYTES // (_PACK_DEPTH * item))
    depth_tiles = -(-k // _PACK_DEPTH)
    b_tiles = copies[1] * depth_tiles * -(-padded // pack_columns) if p.b_mode == B_AHEAD else 0
    a_tiles = copies[0] * depth_tiles * row_blocks if p.a_mode == A_AHEAD else 0
    args: tuple[Pointer | int, ...] = (
        *pointers, place or workspace, workspace, *batch, m, n, k, *stride_args(kernel, strides),
        p.rows, p.columns, p.depth, chunk, row_blocks, column_blocks, units, p.units_per_tile,
        p.a_mode, s.packed_a, s.a_step, p.b_mode, s.keep, s.keep_column,
        s.tiles, s.tile, s.chains, s.sums, s.a,
        b_tiles, pack_columns, -(-padded // pack_columns), _PACK_DEPTH, depth_tiles,
        *a_batch, *_packed_strides(a_batch, row_blocks * k * s.a_step),
        *b_batch, *_packed_strides(b_batch, padded * k), *spread,
    )  # fmt: skip
    made = []
    if a_tiles + b_tiles:
        moved = (a_tiles > 0) * copies[0] * m * k + (b_tiles > 0) * copies[1] * padded * k
        made.append(Call(f"{entry}_pack", a_tiles + b_tiles, args, moved * item * _NS_PER_PACKED_BYTE))
    steps = batches * max(m, _FEWEST_ROWS) * padded * k * item * _NS_PER_STEP
    made.append(Call(entry, -(-units // p.units_per_tile), args, steps + units * _NS_PER_UNIT))
    return made


def _different(moves: Sequence[bool], batch: Sequence[int]) -> list[int]:
    """The sizes of the batch axes as far as an operand changes along them."""
    return [size if moving else 1 for moving, size in zip(moves, batch, strict=False)]


def _merge(facts: Facts, batch: list[int], m: int, strides: Sequence[Sequence[int]]) -> int:
    """Makes batch axes along which only rows go on part of M: one tall product, not many short ones."""
    others = [steps for i, steps in enumerate(strides) if i != 1]
    while batch:
        axis = len(batch) - 1
        if facts.b_moves[axis]:
            break
        if batch[axis] != 1 and any(steps[axis] != m * steps[-3] for steps in others):
            break
        m *= batch.pop()
    return m


def _packed_strides(sizes: Sequence[int], matrix: int) -> list[int]:
    """Elements between packed matrices along each batch axis; 0 where there is one matrix for all."""
    steps: list[int] = []
    for size in reversed(sizes):
        steps.insert(0, 0 if size == 1 else matrix)
        matrix *= size
    return steps
