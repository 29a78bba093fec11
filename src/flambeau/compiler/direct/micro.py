"""The innermost loop: some positions times some channels in registers, one step of the depth per round.

A round loads neighbouring weights and, for each position, one element of the input, spread over a vector, and
feeds them to one fused multiply-add per register.
"""

from __future__ import annotations

from flambeau.compiler.contraction.micro import micro_name
from flambeau.compiler.contraction.shape import Shape
from flambeau.compiler.ir import Module, vector


def write_micro(module: Module, prefix: str, shape: Shape, height: int, vectors: int) -> None:
    """Writes ``micro(steps, table, rows, a, b, c, go_on)``.

    ``table`` has, for each step, the offset of its element from a position's in ``a`` and that of its
    weights in ``b``; ``rows`` the offset in ``a`` of each of ``height`` positions.  The chains start from
    zero, or from what ``c`` holds where ``go_on`` is set, and end in ``c``, ``shape.width`` elements a row.
    """
    element, lanes = shape.element, shape.lanes
    type_ = vector(lanes, element)
    names = ("steps", "table", "rows", "a", "b", "c", "go_on")
    types = ("i64", "ptr", "ptr", "ptr", "ptr", "ptr", "i1")
    f = module.function(
        micro_name(prefix, height, vectors), list(zip(types, names, strict=True)), internal=True
    )
    steps, table, rows, a, b, c, go_on = f.params
    block = [(i, j) for i in range(height) for j in range(vectors)]
    places = {(i, j): f.element(c, element, f.i64(i * shape.width + j * lanes)) for i, j in block}
    starts = [f.element(a, element, f.load("i64", f.element(rows, "i64", f.i64(i)))) for i in range(height)]
    zero = f.zero(type_)
    with f.when(go_on, [zero] * len(block)) as again:
        again.values = [f.load(type_, places[at]) for at in block]
    start, loop, end = f.current, f.new_block("step"), f.new_block("last")
    f.branch_if(f.icmp("eq", steps, f.i64(0)), end, loop)

    f.place(loop)
    left, at_table = f.phi("i64"), f.phi("ptr")
    chains = [f.phi(type_) for _ in block]
    in_a = f.load("i64", at_table.value)
    in_b = f.load("i64", f.element(at_table.value, "i64", f.i64(1)))
    weights = f.element(b, element, in_b)
    row_of_b = [
        f.load(type_, f.element(weights, element, f.i64(j * lanes)) if j else weights) for j in range(vectors)
    ]
    results = []
    for i in range(height):
        spread = f.splat(f.load(element, f.element(starts[i], element, in_a)), lanes)
        for j in range(vectors):
            results.append(f.fma(spread, row_of_b[j], chains[i * vectors + j].value))
    fewer = f.sub(left.value, f.i64(1))
    for phi, first, following in (
        (left, steps, fewer),
        (at_table, table, f.element(at_table.value, "i64", f.i64(2))),
        *zip(chains, again.merged, results, strict=True),
    ):
        phi.add(first, start)
        phi.add(following, loop)
    f.branch_if(f.icmp("eq", fewer, f.i64(0)), end, loop)

    f.place(end)
    finals = [f.phi(type_) for _ in block]
    for final, before, after in zip(finals, again.merged, results, strict=True):
        final.add(before, start)
        final.add(after, loop)
    for at, final in zip(block, finals, strict=True):
        f.store(final.value, places[at])
    f.ret()
