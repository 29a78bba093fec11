"""The innermost loop: some positions times some channels in registers, one step of the depth per round.

A round loads neighbouring weights and, for each position, one element of the input, spread over a vector, and
feeds them to one fused multiply-add per register.
"""

from __future__ import annotations

from flambeau.compiler.contraction.micro import micro_name
from flambeau.compiler.contraction.shape import Shape
from flambeau.compiler.ir import Module, vector

LINE = 64  # bytes of a cache's line
_ENTRY = 16  # of a step in the table
_COUNTED = 8  # what a counter of steps grows by: multiples of it are addresses without further arithmetic


def loop_name(prefix: str, height: int, vectors: int, fetches: bool = False) -> str:
    """The name of the loop for ``height`` positions times ``vectors`` vectors of channels."""
    return micro_name(prefix, height, vectors) + "_fetching" * fetches


def write_micro(
    module: Module, prefix: str, shape: Shape, height: int, vectors: int, fetches: bool = False
) -> None:
    """Writes ``micro(steps, table, rows, a, b, ahead, c, go_on)``.

    ``table`` has, for each step, the offset of its element from a position's in ``a`` and that of its
    weights in ``b``; ``rows`` the offset in ``a`` of each of ``height`` positions.  The chains start from
    zero, or from what ``c`` holds where ``go_on`` is set, and end in ``c``, ``shape.width`` elements a row.
    Where it ``fetches``, each step asks for a line of memory from ``ahead`` on: weights of later steps.
    """
    element, lanes = shape.element, shape.lanes
    type_ = vector(lanes, element)
    names = ("steps", "table", "rows", "a", "b", "ahead", "c", "go_on")
    types = ("i64", "ptr", "ptr", "ptr", "ptr", "ptr", "ptr", "i1")
    name = loop_name(prefix, height, vectors, fetches)
    f = module.function(name, list(zip(types, names, strict=True)), internal=True)
    steps, table, rows, a, b, ahead, c, go_on = f.params
    block = [(i, j) for i in range(height) for j in range(vectors)]
    places = {(i, j): f.element(c, element, f.i64(i * shape.width + j * lanes)) for i, j in block}
    starts = [f.element(a, element, f.load("i64", f.element(rows, "i64", f.i64(i)))) for i in range(height)]
    zero = f.zero(type_)
    with f.when(go_on, [zero] * len(block)) as again:
        again.values = [f.load(type_, places[at]) for at in block]
    # One register counts up to 0: the steps of the table, and the lines ahead.
    first = f.mul(steps, f.i64(-_COUNTED))
    table_end = f.element(table, "i8", f.mul(steps, f.i64(_ENTRY)))
    ahead_end = f.element(ahead, "i8", f.mul(steps, f.i64(LINE))) if fetches else None
    start, loop, end = f.current, f.new_block("step"), f.new_block("last")
    f.branch_if(f.icmp("eq", steps, f.i64(0)), end, loop)

    f.place(loop)
    count = f.phi("i64")
    chains = [f.phi(type_) for _ in block]
    entry = f.element(table_end, "i8", f.mul(count.value, f.i64(_ENTRY // _COUNTED)))
    in_a, in_b = f.load("i64", entry), f.load("i64", f.element(entry, "i64", f.i64(1)))
    if ahead_end is not None:
        f.prefetch(f.element(ahead_end, "i8", f.mul(count.value, f.i64(LINE // _COUNTED))))
    weights = f.element(b, element, in_b)
    row_of_b = [
        f.load(type_, f.element(weights, element, f.i64(j * lanes)) if j else weights) for j in range(vectors)
    ]
    results = []
    for i in range(height):
        spread = f.splat(f.load(element, f.element(starts[i], element, in_a)), lanes)
        for j in range(vectors):
            results.append(f.fma(spread, row_of_b[j], chains[i * vectors + j].value))
    following = f.add(count.value, f.i64(_COUNTED))
    for phi, before, after in ((count, first, following), *zip(chains, again.merged, results, strict=True)):
        phi.add(before, start)
        phi.add(after, loop)
    f.branch_if(f.icmp("eq", following, f.i64(0)), end, loop)

    f.place(end)
    finals = [f.phi(type_) for _ in block]
    for final, before, after in zip(finals, again.merged, results, strict=True):
        final.add(before, start)
        final.add(after, loop)
    for at, final in zip(block, finals, strict=True):
        f.store(final.value, places[at])
    f.ret()
