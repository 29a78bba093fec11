"""Random bits: Philox-4x32 with 10 rounds, as ``primitives.randomness`` defines them.

Source: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as
1, 2, 3", SC 2011.
"""

from __future__ import annotations

from flambeau.compiler.ir import Function, Value, lanes_of, vector
from flambeau.dtypes import DType, uint32

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_MASK = 0xFFFFFFFF
_ROUNDS = 10


def random_bits(f: Function, dtype: DType, key: Value, counter: Value, number: Value) -> Value:
    """The elements ``number`` of the stream of a key and a counter (vectors of i64).

    Vectors that hold whole blocks of the stream compute each block once; others, such as those that
    walk a transposed tensor, one block per lane.
    """
    lanes = lanes_of(number.type)
    per_block = 4 if dtype is uint32 else 2
    type_ = vector(lanes, f"i{dtype.bits}")
    if lanes % per_block:
        return _each_alone(f, dtype, key, counter, number)
    first, last = f.extract(number, 0), f.extract(number, lanes - 1)
    starts = f.icmp("eq", f.binary("and", first, f.i64(per_block - 1)), f.i64(0))
    follow = f.icmp("eq", f.sub(last, first), f.i64(lanes - 1))
    whole, alone, end = f.new_block("whole"), f.new_block("alone"), f.new_block("drawn")
    f.branch_if(f.binary("and", starts, follow), whole, alone)
    f.place(whole)
    # Neighbouring numbers belong to one draw: its key and counter are those of the first lane.
    blocks = _blocks(f, f.extract(key, 0), f.extract(counter, 0), first, lanes // per_block, per_block)
    together = f.emit(type_, f"bitcast {blocks} to {type_}")
    left_whole = f.current
    f.branch(end)
    f.place(alone)
    one_by_one = _each_alone(f, dtype, key, counter, number)
    left_alone = f.current
    f.branch(end)
    f.place(end)
    made = f.phi(type_)
    made.add(together, left_whole)
    made.add(one_by_one, left_alone)
    return made.value


def _blocks(f: Function, key: Value, counter: Value, first: Value, count: int, per_block: int) -> Value:
    """``count`` blocks from that of element ``first`` on: their four words each, in order.

    A block is two lanes of 64 bits, (c0, c1) and (c2, c3): a round is one product, one exchange of
    its four halves, and two exclusive ors.
    """
    lanes = 2 * count
    type_ = vector(lanes, "i64")
    mask = f.const(type_, _MASK)
    block = f.binary("lshr", first, f.i64(per_block.bit_length() - 1))
    steps = Value(type_, "<" + ", ".join(f"i64 {i // 2}" for i in range(lanes)) + ">")
    numbers = f.add(f.splat(block, lanes), steps)
    odd = [lanes + i if i % 2 else i for i in range(lanes)]
    state = f.shuffle(numbers, f.splat(counter, lanes), odd)
    half = f.i64(32)
    low, high = f.binary("and", key, f.i64(_MASK)), f.binary("lshr", key, half)
    keys = f.shuffle(f.splat(low, lanes), f.splat(high, lanes), odd)
    multipliers, weyl = (
        Value(type_, "<" + ", ".join(f"i64 {pair[i % 2]}" for i in range(lanes)) + ">")
        for pair in (_MULTIPLIERS, _WEYL)
    )
    halves = f.const(type_, 32)
    for number in range(_ROUNDS):
        if number:
            keys = f.binary("and", f.add(keys, weyl), mask)
        product = f.mul(f.binary("and", state, mask), multipliers)
        exchanged = f.shuffle(product, product, [i ^ 1 for i in range(lanes)])
        turned = f.intrinsic("fshl", type_, exchanged, exchanged, halves)
        state = f.binary("xor", f.binary("xor", turned, f.binary("lshr", state, halves)), keys)
    return state


def _each_alone(f: Function, dtype: DType, key: Value, counter: Value, number: Value) -> Value:
    """One block for every lane, of which the lane takes its word."""
    type_ = number.type
    mask, half = f.const(type_, _MASK), f.const(type_, 32)

    def halves(x: Value) -> list[Value]:
        return [f.binary("and", x, mask), f.binary("lshr", x, half)]

    narrow = dtype is uint32
    block = f.binary("lshr", number, f.const(type_, 2 if narrow else 1))
    with f.loop(f.i64(0), f.i64(_ROUNDS), 1, [*halves(block), *halves(counter), *halves(key)]) as loop:
        c0, c1, c2, c3, k0, k1 = loop.carried
        p0, p1 = (f.mul(c, f.const(type_, m)) for c, m in zip((c0, c2), _MULTIPLIERS, strict=True))
        loop.next = [
            f.binary("xor", f.binary("xor", f.binary("lshr", p1, half), c1), k0),
            f.binary("and", p1, mask),
            f.binary("xor", f.binary("xor", f.binary("lshr", p0, half), c3), k1),
            f.binary("and", p0, mask),
            f.binary("and", f.add(k0, f.const(type_, _WEYL[0])), mask),
            f.binary("and", f.add(k1, f.const(type_, _WEYL[1])), mask),
        ]
    c0, c1, c2, c3 = loop.done[:4]

    def is_set(bit: int) -> Value:
        return f.icmp("ne", f.binary("and", number, f.const(type_, bit)), f.zero(type_))

    if not narrow:
        upper = is_set(1)
        low, high = f.select(upper, c2, c0), f.select(upper, c3, c1)
        return f.binary("or", low, f.binary("shl", high, half))
    odd, upper = is_set(1), is_set(2)
    return f.convert("trunc", f.select(upper, f.select(odd, c3, c2), f.select(odd, c1, c0)), "i32")
