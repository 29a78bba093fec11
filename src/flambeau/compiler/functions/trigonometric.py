"""sin, cos and tan, exact to the last bits for every argument.

Up to a limit, n pi/2 is subtracted in three parts by fused multiply-adds (Cody and Waite).  Beyond
it, in lanes that need it, the argument is multiplied by the bits of 2/pi that matter (M. Payne,
R. Hanek, 1983) in integers, lane by lane: a rare path, whose result depends on the lane alone.
"""

from __future__ import annotations

from flambeau.compiler.functions import coefficients as c
from flambeau.compiler.functions.common import (
    FLOAT,
    Format,
    format_of,
    fused,
    magnitude,
    nearest,
    polynomial,
    through_double,
    unless_tiny,
)
from flambeau.compiler.ir import Function, Value, lanes_of

_REDUCE = "reduce_huge"


def sin(f: Function, x: Value) -> Value:
    """The sine of x in radians."""
    form = format_of(x)
    r, low, n = _reduced(f, x)
    tiny = f.fcmp("olt", magnitude(f, x), f.const(x.type, 2.0 ** -(form.mantissa // 2 + 2)))
    return f.select(tiny, x, _from_quadrant(f, r, low, n))  # also keeps the sign of zero


def cos(f: Function, x: Value) -> Value:
    """The cosine of x in radians."""
    r, low, n = _reduced(f, x)
    return _from_quadrant(f, r, low, f.add(n, f.const(n.type, 1)))


@through_double
def tan(f: Function, x: Value) -> Value:
    """The tangent of x in radians."""
    r, low, n = _reduced(f, x)
    sine = _from_quadrant(f, r, low, n)
    cosine = _from_quadrant(f, r, low, f.add(n, f.const(n.type, 1)))
    return unless_tiny(f, x, f.binary("fdiv", sine, cosine))


def _from_quadrant(f: Function, r: Value, low: Value, n: Value) -> Value:
    """sin(r + low + n pi/2)."""
    form = format_of(r)
    square = f.binary("fmul", r, r)
    sin_p, cos_p = (c.SIN_32, c.COS_32) if form is FLOAT else (c.SIN_64, c.COS_64)
    half = f.binary("fmul", square, f.const(r.type, 0.5))
    cube = f.binary("fmul", square, r)
    # sin(r + l) = r + (r^3 P(r^2) + l (1 - r^2 / 2)).
    tail = f.fma(cube, polynomial(f, square, sin_p), f.fma(f.fneg(half), low, low))
    sine = f.binary("fadd", r, tail)
    # cos(r + l) = 1 - r^2 / 2 + (r^4 Q(r^2) - r l), with what 1 - r^2 / 2 loses.
    one = f.const(r.type, 1)
    near = f.binary("fsub", one, half)
    lost = f.binary("fsub", f.binary("fsub", one, near), half)
    fourth = f.binary("fmul", square, square)
    rest = f.fma(fourth, polynomial(f, square, cos_p), f.fma(f.fneg(r), low, lost))
    cosine = f.binary("fadd", near, rest)
    one_bit = f.const(n.type, 1)
    odd = f.icmp("ne", f.binary("and", n, one_bit), f.zero(n.type))
    to_sign = f.const(n.type, 30 if form is FLOAT else 62)  # from the second bit
    flip = f.binary("shl", f.binary("and", n, f.const(n.type, 2)), to_sign)
    value = f.select(odd, cosine, sine)
    flipped = f.binary("xor", f.convert("bitcast", value, form.integer), flip)
    return f.convert("bitcast", flipped, form.element)


def _reduced(f: Function, x: Value) -> tuple[Value, Value, Value]:
    """r, what rounding r lost, and n (modulo 4 only), with x = n pi/2 + r."""
    form = format_of(x)
    whole, n = nearest(f, x, form.two_over_pi)
    high = fused(f, whole, -form.half_pi[0], x)
    # The second part's product may be as large as what is left, so both errors are kept in full:
    # the product's by a fused multiply-add, the difference's as D. Knuth's TwoSum.
    product = f.binary("fmul", whole, f.const(x.type, form.half_pi[1]))
    product_low = fused(f, whole, form.half_pi[1], f.fneg(product))
    r = f.binary("fsub", high, product)
    taken = f.binary("fsub", high, r)
    kept = f.binary("fadd", r, taken)
    low = f.binary("fadd", f.binary("fsub", high, kept), f.binary("fsub", taken, product))
    low = fused(f, whole, -form.half_pi[2], f.binary("fsub", low, product_low))
    total = f.binary("fadd", r, low)
    low = f.binary("fadd", f.binary("fsub", r, total), low)
    r = total
    limit = 2.0**15 if form is FLOAT else 2.0**24
    size = magnitude(f, x)
    infinity = f.const(x.type, float("inf"))
    huge = f.binary("and", f.fcmp("ogt", size, f.const(x.type, limit)), f.fcmp("one", size, infinity))
    with f.when(f.any_lane(huge), [r, low, n]) as rare:
        rare.values = _reduce_lanes(f, x, huge, [r, low, n], form)
    r, low, n = rare.merged
    return r, low, n


def _reduce_lanes(f: Function, x: Value, huge: Value, values: list[Value], form: Format) -> list[Value]:
    """Replaces the lanes that ``huge`` selects, one by one."""
    _define(f)
    lanes = lanes_of(x.type)
    result = "{ double, double, i64 }"
    with f.loop(f.i64(0), f.i64(lanes), 1, values) as loop:
        argument = f.convert("fpext", f.extract(x, loop.index), "double")
        found = f.call(_REDUCE, result, argument)
        high = f.emit("double", f"extractvalue {found}, 0")
        low = f.emit("double", f"extractvalue {found}, 1")
        n = f.emit("i64", f"extractvalue {found}, 2")
        if form is FLOAT:
            rounded = f.convert("fptrunc", high, "float")
            lost = f.binary("fsub", high, f.convert("fpext", rounded, "double"))
            new = [rounded, f.convert("fptrunc", lost, "float"), f.convert("trunc", n, "i32")]
        else:
            new = [high, low, n]
        chosen = f.extract(huge, loop.index)
        loop.next = [
            f.insert(old, f.select(chosen, value, f.extract(old, loop.index)), loop.index)
            for old, value in zip(loop.carried, new, strict=True)
        ]
    return loop.done


def _define(caller: Function) -> None:
    """Defines the reduction of one float64 of at least 2^15 (others give harmless nonsense)."""
    module = caller.module
    if module.defines(_REDUCE):
        return
    f = module.function(_REDUCE, [("double", "x")], "{ double, double, i64 }", internal=True)
    x = f.params[0]
    table = module.table("two_over_pi_bits", "i64", c.TWO_OVER_PI_BITS)
    bits = f.convert("bitcast", x, "i64")
    exponent = f.binary("and", f.binary("lshr", bits, f.i64(52)), f.i64(0x7FF))
    mantissa = f.binary("or", f.binary("and", bits, f.i64((1 << 52) - 1)), f.i64(1 << 52))
    # |x| = mantissa * 2^e with e = exponent - 1075.  Bits of 2/pi that give multiples of 4 are left
    # out: the 192 bits used start at place e - 1, after the table's 64 zero bits.
    at = f.sub(exponent, f.i64(1075 + 2 - 64))
    at = f.intrinsic("smax", "i64", at, f.i64(0))
    at = f.min(at, f.i64(64 * 17))
    word, shift = f.binary("lshr", at, f.i64(6)), f.binary("and", at, f.i64(63))
    words = [f.load("i64", f.element(table, "i64", f.add(word, f.i64(i)))) for i in range(4)]
    top, middle, bottom = (f.intrinsic("fshl", "i64", words[i], words[i + 1], shift) for i in range(3))
    wide = f.convert("zext", mantissa, "i128")
    sixty_four = Value("i128", "64")

    def product(part: Value) -> Value:
        return f.mul(wide, f.convert("zext", part, "i128"))

    carried = f.add(f.binary("lshr", product(bottom), sixty_four), product(middle))
    upper = f.add(f.binary("shl", product(top), sixty_four), carried)
    # Two bits of quadrant, then 126 of fraction, taken as signed: within half a quadrant of zero.
    quadrant = f.add(upper, Value("i128", str(1 << 125)))
    n = f.convert("trunc", f.binary("lshr", quadrant, Value("i128", "126")), "i64")
    fraction = f.binary("shl", upper, Value("i128", "2"))
    negative = f.icmp("slt", fraction, Value("i128", "0"))
    size = f.select(negative, f.sub(Value("i128", "0"), fraction), fraction)
    zeros = f.emit("i128", f"call i128 @llvm.ctlz.i128({size}, i1 false)")
    module.declare("llvm.ctlz.i128", "i128", ["i128", "i1"])
    size = f.binary("shl", size, f.binary("and", zeros, Value("i128", "127")))
    first = f.convert("trunc", f.binary("lshr", size, Value("i128", "75")), "i64")  # 53 bits
    second = f.convert("trunc", f.binary("lshr", size, Value("i128", "22")), "i64")
    second = f.binary("and", second, f.i64((1 << 53) - 1))
    # size = (first + second * 2^-53) * 2^-53-zeros of a quadrant.
    scale_bits = f.sub(f.i64(1023 - 53), f.convert("trunc", zeros, "i64"))
    scale = f.convert("bitcast", f.binary("shl", scale_bits, f.i64(52)), "double")
    first_part = f.binary("fmul", f.convert("uitofp", first, "double"), scale)
    second_part = f.binary("fmul", f.convert("uitofp", second, "double"), scale)
    second_part = f.binary("fmul", second_part, f.const("double", 2.0**-53))
    pi, pi_low = c.HALF_PI_64[:2]
    high = f.binary("fmul", first_part, f.const("double", pi))
    low = fused(f, first_part, pi, f.fneg(high))
    low = fused(f, first_part, pi_low, low)
    low = fused(f, second_part, pi, low)
    sum_ = f.binary("fadd", high, low)
    low = f.binary("fadd", f.binary("fsub", high, sum_), low)
    minus = f.binary("xor", negative, f.icmp("slt", bits, f.i64(0)))
    sum_ = f.select(minus, f.fneg(sum_), sum_)
    low = f.select(minus, f.fneg(low), low)
    n = f.select(f.icmp("slt", bits, f.i64(0)), f.sub(f.i64(0), n), n)
    pair = Value("{ double, double, i64 }", "poison")
    for i, part in enumerate((sum_, low, n)):
        pair = f.emit(pair.type, f"insertvalue {pair}, {part}, {i}")
    f.ret(pair)
