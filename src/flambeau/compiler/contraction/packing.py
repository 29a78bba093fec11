"""Copying operands into the order in which the innermost loop reads them."""

from __future__ import annotations

from collections.abc import Callable

from flambeau.compiler.contraction.axes import axes_of
from flambeau.compiler.contraction.shape import Shape
from flambeau.compiler.ir import Function, Module, Value, size_of, vector
from flambeau.compiler.kernel import Kernel, Stride


def write_copy(module: Module, name: str, shape: Shape) -> None:
    """Writes ``copy(from, from_row, to, to_row, rows, columns)``: rows of neighbours, closer together."""
    element, lanes = shape.element, shape.lanes
    type_ = vector(lanes, element)
    f = module.function(
        name,
        [("ptr", "from"), ("i64", "from_row"), ("ptr", "to"), ("i64", "to_row"), ("i64", "rows"),
         ("i64", "columns")],
        internal=True,
    )  # fmt: skip
    source, source_row, target, target_row, rows, columns = f.params
    whole = f.binary("and", columns, f.i64(-lanes))
    few = f.first_lanes(f.sub(columns, whole), lanes)
    with f.loop(f.i64(0), rows, 1) as row:
        read = f.element(source, element, f.mul(row.index, source_row))
        write = f.element(target, element, f.mul(row.index, target_row))
        with f.loop(f.i64(0), whole, lanes) as column:
            loaded = f.load(type_, f.element(read, element, column.index))
            f.store(loaded, f.element(write, element, column.index))
        with f.when(f.icmp("slt", whole, columns)):
            loaded = f.load_masked(type_, f.element(read, element, whole), few)
            f.store_masked(loaded, f.element(write, element, whole), few)
    f.ret()


def transposes(kernel: Kernel) -> bool:
    """Whether B's steps of K are neighbours and its columns are not, so that packing transposes."""
    b = kernel.operands[1]
    return not axes_of(kernel).spread and b.strides[-1] is Stride.ONE and b.strides[-2] is not Stride.ONE


def write_pack(module: Module, name: str, shape: Shape, kernel: Kernel) -> None:
    """Writes ``pack(from, from_step, from_column, to, steps, columns)`` for a block's columns of B.

    The result has ``shape.width`` neighbours for each step of K; where ``columns`` are fewer, the
    others hold any numbers: no stored element depends on them.

    One that transposes takes ``(.., row, row_step, chains, go_on, single)`` besides. Where ``single``
    is set it multiplies what it has in registers by the one row of A, instead of storing it: as
    many steps as fill vectors, the others are packed. Memory is then all that is waited for.
    """
    params = [("ptr", "from"), ("i64", "from_step"), ("i64", "from_column"), ("ptr", "to"), ("i64", "steps")]
    params.append(("i64", "columns"))
    if transposes(kernel):
        params += [("ptr", "row"), ("i64", "row_step"), ("ptr", "chains"), ("i1", "go_on"), ("i1", "single")]
    f = module.function(name, params, internal=True)
    if kernel.operands[1].strides[-2] is Stride.ONE:
        _pack_rows(f, shape)
    elif transposes(kernel):
        _pack_transposed(f, shape)
    else:
        _pack_elements(f, shape, f.i64(0), f.params[4])
    f.ret()


def _pack_rows(f: Function, shape: Shape) -> None:
    """Columns are neighbours: vectors are copied."""
    source, source_step, _, target, steps, columns = f.params[:6]
    element, lanes = shape.element, shape.lanes
    type_ = vector(lanes, element)
    offsets = [f.i64(j * lanes) for j in range(shape.vectors)]

    def rows(load: Callable[[Value, int], Value]) -> None:
        with f.loop(f.i64(0), steps, 1) as loop:
            read = f.element(source, element, f.mul(loop.index, source_step))
            write = f.element(target, element, f.mul(loop.index, f.i64(shape.width)))
            loaded = [load(f.element(read, element, offset), j) for j, offset in enumerate(offsets)]
            for one, offset in zip(loaded, offsets, strict=True):
                f.store(one, f.element(write, element, offset))

    whole, part, end = f.new_block("whole"), f.new_block("part"), f.new_block("packed")
    f.branch_if(f.icmp("eq", columns, f.i64(shape.width)), whole, part)
    f.place(whole)
    rows(lambda place, _: f.load(type_, place))
    f.branch(end)
    f.place(part)
    zero = f.i64(0)
    masks = [f.first_lanes(f.intrinsic("smax", "i64", f.sub(columns, at), zero), lanes) for at in offsets]
    rows(lambda place, j: f.load_masked(type_, place, masks[j]))
    f.branch(end)
    f.place(end)


def _pack_transposed(f: Function, shape: Shape) -> None:
    """Steps of K are neighbours: square blocks are transposed in registers, and stored or multiplied."""
    source, _, source_column, target, steps, columns, row, row_step, chains, go_on, single = f.params
    element, lanes = shape.element, shape.lanes
    type_ = vector(lanes, element)
    last = f.sub(columns, f.i64(1))
    whole = f.binary("and", steps, f.i64(-lanes))
    several = f.binary("xor", single, f.const("i1", True))
    with f.loop(f.i64(0), columns, lanes) as group:
        # Beyond the last column the last one is read again, into columns that nobody stores.
        reads = [
            f.element(source, element, f.mul(f.min(f.add(group.index, f.i64(i)), last), source_column))
            for i in range(lanes)
        ]
        write = f.element(target, element, group.index)
        place = f.element(chains, element, group.index)
        with f.when(f.binary("and", go_on, single), [f.zero(type_)]) as again:
            again.values = [f.load(type_, place)]
        with f.loop(f.i64(0), whole, lanes, again.merged) as loop:
            block = transposed(f, [f.load(type_, f.element(read, element, loop.index)) for read in reads])
            with f.when(several):
                to = f.element(write, element, f.mul(loop.index, f.i64(shape.width)))
                for i, step in enumerate(block):
                    f.store(step, f.element(to, element, f.i64(i * shape.width)))
            with f.when(single, loop.carried) as product:
                at = f.element(row, element, f.mul(loop.index, row_step))
                (chain,) = loop.carried
                for step in block:
                    chain = f.fma(f.splat(f.load(element, at), lanes), step, chain)
                    at = f.element(at, element, row_step)
                product.values = [chain]
            loop.next = product.merged
        with f.when(single):
            f.store(loop.done[0], place)
    _pack_elements(f, shape, whole, steps)


def _pack_elements(f: Function, shape: Shape, first: Value, stop: Value) -> None:
    """One element at a time, for steps ``first`` to ``stop``."""
    source, source_step, source_column, target, _, columns = f.params[:6]
    element = shape.element
    with f.loop(first, stop, 1) as step:
        read = f.element(source, element, f.mul(step.index, source_step))
        write = f.element(target, element, f.mul(step.index, f.i64(shape.width)))
        with f.loop(f.i64(0), columns, 1) as column:
            one = f.load(element, f.element(read, element, f.mul(column.index, source_column)))
            f.store(one, f.element(write, element, column.index))


def transposed(f: Function, rows: list[Value]) -> list[Value]:
    """The columns of a square block given by its rows, in registers.

    First the 16-byte parts of the vectors are transposed within, by interleaving pairs of rows,
    then between one another: each step is one instruction where vectors are longer.
    """
    lanes = len(rows)
    if lanes == 1:
        return rows
    part = min(lanes, 16 // size_of(rows[0].type))
    parts = lanes // part

    def interleaved(a: Value, b: Value, run: int, high: bool) -> Value:
        """Runs of lanes from ``a`` and ``b`` in turn, from the lower or higher half of each part."""
        picks = []
        for start in range(0, lanes, part):
            first = start + (part // 2 if high else 0)
            for at in range(first, first + part // 2, run):
                picks += [at + i for i in range(run)] + [lanes + at + i for i in range(run)]
        return f.shuffle(a, b, picks)

    groups = []
    for first in range(0, lanes, part):
        group = rows[first : first + part]
        if part == 4:
            low = [interleaved(group[i], group[i + 1], 1, False) for i in (0, 2)]
            high = [interleaved(group[i], group[i + 1], 1, True) for i in (0, 2)]
            group = [interleaved(a, b, 2, half) for a, b in (low, high) for half in (False, True)]
        else:
            group = [interleaved(group[0], group[1], 1, half) for half in (False, True)]
        groups.append(group)

    def alternate(a: Value, b: Value, odd: int) -> Value:
        """Every other part of ``a``, then of ``b``."""
        at = [part * p + i for p in range(odd, parts, 2) for i in range(part)]
        return f.shuffle(a, b, at + [lanes + i for i in at])

    columns: dict[int, Value] = {}
    for place in range(part):
        across = [group[place] for group in groups]
        if parts == 4:
            pairs = [(across[0], across[1]), (across[2], across[3])]
            even, odd = ([alternate(a, b, half) for a, b in pairs] for half in (0, 1))
            across = [alternate(a, b, half) for half in (0, 1) for a, b in (even, odd)]
        elif parts == 2:
            across = [alternate(across[0], across[1], half) for half in (0, 1)]
        for number, column in enumerate(across):
            columns[number * part + place] = column
    return [columns[i] for i in range(lanes)]
