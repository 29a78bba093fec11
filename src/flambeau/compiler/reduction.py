"""Lowering of reductions: a fused elementwise part, sums and their like, and an epilogue.

Which bits a reduction gives is defined here, and depends on the reduced axes' sizes alone: not on
the number of threads, the vector width, what is fused with it, or where in a batch it stands.

Number the reduced points 0, 1, 2, ... in the order of the REDUCE axes, the last one fastest, and
cut them into chunks of equal length (``chunk_length``).

* If the innermost axis is reduced (*rows*), a chunk has 32 lanes, each starting at the identity;
  point i is added to lane i mod 32, in order; then lanes i and i + 16 are combined, then i and
  i + 8, and so on to one value.  Where an axis that is kept lies innermost in memory, it is VECTOR, and
  the lanes of its points are kept side by side (*across*); that changes no bit.
* Otherwise (*columns*) a chunk is one chain: the identity, then each point in order.

The chunks' values are combined in order, from the identity on.  Adjacent axes may be merged or
not, with the same bits.  float16 and bfloat16 are accumulated in float32 and rounded at the end.

What runs in parallel is outputs, and, where these are few, chunks: then one launch writes the
chunks' values to a workspace and a second one combines them.

The body may load, compute and store at each point, reduce over all REDUCE axes, and compute and
store per output.  A value that depends on a reduction cannot be stored per point: that takes
another pass over the points, thus another kernel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from flambeau.compiler import scalar_ops
from flambeau.compiler.ir import Module
from flambeau.compiler.kernel import Call, Kernel, Pointer
from flambeau.compiler.lowering import entry_name, per_kernel, stride_args
from flambeau.compiler.reduction_across import AcrossWriter
from flambeau.compiler.reduction_plan import COMBINE, DIRECT, PARTIAL, plan_of, register_bytes
from flambeau.compiler.reduction_writer import ColumnWriter, RowWriter
from flambeau.compiler.target import Target

ROW_CHUNK, ROW_CHUNKS = 16384, 512  # points of a chunk at least; chunks at most
COLUMN_CHUNK, COLUMN_CHUNKS = 512, 128
_TILE_POINTS = 16 * 1024
_COLUMN_BLOCK = 1024  # columns of a tile, where there are many
_FEW_TILES = 16
_ACROSS, _ACROSS_POINTS = 32, 256 * 1024  # columns of a tile at least, points of one
_NS_PER_BYTE = 0.02
_NS_PER_INSTRUCTION = 0.012


def lower(kernel: Kernel, target: Target) -> tuple[str, str]:
    """The entry's name and a module defining ``void @entry(ptr %args, i64 %tile)`` as LLVM IR text.

    Raises ``ValueError`` for a body that needs a second pass over the points.
    """
    plan = plan_of(kernel)
    entry = entry_name(kernel, target)
    module = Module(entry, target.triple)
    f = module.function(entry, [("ptr", "args"), ("i64", "tile")])
    writer = ColumnWriter if not plan.rows else RowWriter if plan.vector is None else AcrossWriter
    writer(f, kernel, plan, target).write()
    return entry, module.text()


def calls(
    kernel: Kernel,
    entry: str,
    sizes: tuple[int, ...],
    strides: tuple[tuple[int, ...], ...],
    pointers: tuple[Pointer | int, ...],
    workspace: Pointer,
) -> list[Call]:
    """The one or two launches that run a kernel once; none where there are no outputs.

    ``workspace`` is the address, aligned to 64 bytes, of as many bytes as ``workspace`` says.
    Other arguments are as for ``elementwise.calls``.
    """
    plan = plan_of(kernel)
    shape = _shape(kernel, sizes)
    if shape.outputs == 0:
        return []
    cost = _cost(kernel, shape)
    head = (*pointers, *(Pointer(workspace.slot, workspace.offset + at) for at in shape.regions))
    tail = (*(sizes[a] for a in plan.grid), *(sizes[a] for a in plan.reduced))
    tail += stride_args(kernel, strides)

    def launch(mode: int, chunks_per_tile: int, grid_per_tile: int, block: int, cost: float) -> Call:
        splits = max(1, -(-shape.chunks // chunks_per_tile)) if mode != COMBINE else 1
        blocks = -(-shape.columns // block)
        tiles = -(-shape.grid // grid_per_tile) * blocks * splits
        chunked = (mode, shape.points, shape.chunk, shape.chunks, chunks_per_tile, splits)
        outputs = (shape.grid, grid_per_tile, shape.columns, block, blocks)
        return Call(entry, tiles, head + chunked + outputs + tail, cost)

    block = min(shape.columns, _COLUMN_BLOCK)
    if not plan.rows:  # narrower where columns are long, so that there is something to share out
        block = max(256, min(block, -(-_TILE_POINTS // max(1, shape.points) // 256) * 256))
    elif plan.vector is not None:
        block = max(_ACROSS, min(block, -(-_ACROSS_POINTS // max(1, shape.points) // _ACROSS) * _ACROSS))
    grid_per_tile = max(1, min(shape.grid, _TILE_POINTS // max(1, shape.points * min(block, shape.columns))))
    direct = launch(DIRECT, max(1, shape.chunks), grid_per_tile, block, cost)
    if not shape.two_launches:
        return [direct]
    whole = min(shape.columns, _COLUMN_BLOCK)
    combined = float(shape.chunks * shape.outputs)
    few = max(1, min(shape.grid, 64))
    return [launch(PARTIAL, 1, 1, whole, cost), launch(COMBINE, 1, few, whole, combined)]


def workspace(kernel: Kernel, sizes: tuple[int, ...]) -> int:
    """Bytes of workspace that ``calls`` for these sizes needs; often 0."""
    return _shape(kernel, sizes).bytes


def chunk_length(rows: bool, points: int) -> int:
    """How many reduced points are combined before chunks are: a function of their number alone."""
    if rows:
        even = -(-points // ROW_CHUNKS)
        return max(ROW_CHUNK, -(-even // 32) * 32)
    return max(COLUMN_CHUNK, -(-points // COLUMN_CHUNKS))


@dataclass(frozen=True)
class _Shape:
    """The numbers that follow from sizes."""

    grid: int
    columns: int
    points: int
    chunk: int
    chunks: int
    two_launches: bool
    regions: tuple[int, ...]  # where each reduction's chunk values start in the workspace
    bytes: int

    @property
    def outputs(self) -> int:
        return self.grid * self.columns


def _shape(kernel: Kernel, sizes: tuple[int, ...]) -> _Shape:
    plan = plan_of(kernel)
    grid = math.prod(sizes[a] for a in plan.grid)
    columns = sizes[plan.vector] if plan.vector is not None else 1
    points = math.prod(sizes[a] for a in plan.reduced)
    chunk = chunk_length(plan.rows, points)
    chunks = -(-points // chunk)
    direct_tiles = grid * -(-columns // 256)
    two = chunks > 1 and direct_tiles < _FEW_TILES
    regions, total = [], 0
    for i in plan.reductions:
        regions.append(total if two else 0)
        total += -(-chunks * grid * columns * register_bytes(kernel.body[i].dtype) // 64) * 64
    return _Shape(grid, columns, points, chunk, chunks, two, tuple(regions), total if two else 0)


def _cost(kernel: Kernel, shape: _Shape) -> float:
    per_output = 8.0 if plan_of(kernel).rows else 0.5
    return shape.outputs * (shape.points * _cost_per_point(kernel) + per_output)


@per_kernel
def _cost_per_point(kernel: Kernel) -> float:
    plan = plan_of(kernel)
    moved = sum(o.dtype.itemsize for i, o in enumerate(kernel.operands) if i not in plan.per_output)
    work = sum(scalar_ops.cost(kernel.body[i].op, kernel.body[i].dtype) for i in plan.at_points)
    return max(moved * _NS_PER_BYTE, (work + len(plan.reductions)) * _NS_PER_INSTRUCTION)
