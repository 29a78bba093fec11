"""The innermost loop: a block of the output in registers, one step of K per round.

A round loads one row of the block's columns from B and, for each row of the block, one element
of A, spread over a vector, and feeds them to one fused multiply-add per register of the block.
"""

from __future__ import annotations

from flambeau.compiler.contraction.shape import Shape
from flambeau.compiler.ir import Function, Module, Value, vector

# Rows are reached from every third row's address, plus one or two strides: addresses the
# processor adds up by itself, with few registers to hold and to advance.
_ROWS_PER_ADDRESS = 3


def micro_name(prefix: str, height: int, vectors: int) -> str:
    """The name of the loop for a block of ``height`` rows by ``vectors`` vectors."""
    return f"{prefix}_micro_{height}x{vectors}"


def fits(f: Function, shape: Shape, left: Value, height: int) -> Value:
    """Whether the innermost loop of ``height`` rows is the one to take for ``left`` rows."""
    enough = f.icmp("sge", left, f.i64(height))
    if height != shape.heights[0]:
        return enough
    beyond = f.sub(left, f.i64(height + 1))
    few = f.icmp("ult", beyond, f.i64(shape.heights[2] - 1))
    return f.binary("and", enough, f.binary("xor", few, f.const("i1", True)))


def write_micro(module: Module, prefix: str, shape: Shape, height: int, vectors: int) -> None:
    """Writes ``micro(steps, a, a_row, a_step, b, b_step, c, c_row, go_on)``.

    ``a`` is the first of ``height`` elements ``a_row`` apart, ``b`` the first of a row of
    neighbours; each step of K advances them by ``a_step`` and ``b_step`` elements.  The chains
    start from zero, or from what ``c`` holds where ``go_on`` is set, and end in ``c``, whose
    rows are ``c_row`` elements apart.
    """
    element, lanes = shape.element, shape.lanes
    type_ = vector(lanes, element)
    names = ("steps", "a", "a_row", "a_step", "b", "b_step", "c", "c_row", "go_on")
    types = ("i64", "ptr", "i64", "i64", "ptr", "i64", "ptr", "i64", "i1")
    f = module.function(
        micro_name(prefix, height, vectors), list(zip(types, names, strict=True)), internal=True
    )
    steps, a, a_row, a_step, b, b_step, c, c_row, go_on = f.params
    block = [(i, j) for i in range(height) for j in range(vectors)]

    places: dict[tuple[int, int], Value] = {}
    for i in range(height):
        row = f.element(c, element, f.mul(c_row, f.i64(i))) if i else c
        for j in range(vectors):
            places[i, j] = f.element(row, element, f.i64(j * lanes)) if j else row
    two_rows = f.mul(a_row, f.i64(2))
    bases = [
        f.element(a, element, f.mul(a_row, f.i64(i))) if i else a for i in range(0, height, _ROWS_PER_ADDRESS)
    ]

    zero = f.zero(type_)
    with f.when(go_on, [zero] * len(block)) as again:
        again.values = [f.load(type_, places[at]) for at in block]
    start, loop, end = f.current, f.new_block("step"), f.new_block("last")
    f.branch_if(f.icmp("eq", steps, f.i64(0)), end, loop)

    f.place(loop)
    left = f.phi("i64")
    at_b = f.phi("ptr")
    at_a = [f.phi("ptr") for _ in bases]
    chains = [f.phi(type_) for _ in block]
    row_of_b = [
        f.load(type_, f.element(at_b.value, element, f.i64(j * lanes)) if j else at_b.value)
        for j in range(vectors)
    ]
    results: list[Value] = []
    for i in range(height):
        base, beyond = at_a[i // _ROWS_PER_ADDRESS].value, i % _ROWS_PER_ADDRESS
        place = f.element(base, element, (a_row, two_rows)[beyond - 1]) if beyond else base
        spread = f.splat(f.load(element, place), lanes)
        for j in range(vectors):
            results.append(f.fma(spread, row_of_b[j], chains[i * vectors + j].value))
    fewer = f.sub(left.value, f.i64(1))
    for phi, first, following in (
        (left, steps, fewer),
        (at_b, b, f.element(at_b.value, element, b_step)),
        *((p, base, f.element(p.value, element, a_step)) for p, base in zip(at_a, bases, strict=True)),
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
