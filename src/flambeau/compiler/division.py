"""Division that rounds down, its remainder, and powers of integers, on vectors.

An integer divided by 0 gives 0, and so does its remainder.  The remainder of floating-point numbers
is exact however large the quotient is: the divisor times a power of two is taken away again and
again, each time exactly, until what is left is smaller than the divisor.
"""

from __future__ import annotations

from flambeau.compiler.functions.common import DOUBLE, magnitude, scaled, through_double, with_sign
from flambeau.compiler.ir import Function, Value
from flambeau.dtypes import DType

_QUOTIENT_BITS = 50  # of a step: its product with the divisor is exact


def floor_div(f: Function, d: DType, x: Value, y: Value) -> Value:
    """The quotient, rounded down."""
    return _floor_div(f, x, y) if d.floating else _integers(f, d, x, y)[0]


def mod(f: Function, d: DType, x: Value, y: Value) -> Value:
    """What is left, with the sign of the divisor."""
    return _mod(f, x, y) if d.floating else _integers(f, d, x, y)[1]


def integer_power(f: Function, d: DType, x: Value, y: Value) -> Value:
    """``x`` multiplied by itself as often as ``y``, not negative, says; modulo 2 to the bits there are."""
    one = f.const(x.type, 1)
    with f.loop(f.i64(0), f.i64(d.bits), 1, [one, x, y]) as loop:
        result, base, rest = loop.carried
        odd = f.icmp("ne", f.binary("and", rest, one), f.zero(x.type))
        result = f.select(odd, f.mul(result, base), result)
        loop.next = [result, f.mul(base, base), f.binary("lshr", rest, one)]
    return loop.done[0]


def _integers(f: Function, d: DType, x: Value, y: Value) -> tuple[Value, Value]:
    zero, one = f.zero(x.type), f.const(x.type, 1)
    none = f.icmp("eq", y, zero)
    if d.kind == "uint":
        divisor = f.select(none, one, y)
        quotient = f.binary("udiv", x, divisor)
        rest = f.sub(x, f.mul(quotient, divisor))
        return f.select(none, zero, quotient), f.select(none, zero, rest)
    # The least integer by -1 has no quotient; by 1 it gives what wrapping round gives.
    least = f.icmp("eq", x, f.const(x.type, -(1 << (d.bits - 1))))
    minus = f.icmp("eq", y, f.const(x.type, -1))
    divisor = f.select(f.binary("or", none, f.binary("and", least, minus)), one, y)
    quotient = f.binary("sdiv", x, divisor)
    rest = f.sub(x, f.mul(quotient, divisor))
    apart = f.icmp("slt", f.binary("xor", rest, divisor), zero)
    down = f.binary("and", apart, f.icmp("ne", rest, zero))
    quotient = f.select(down, f.sub(quotient, one), quotient)
    rest = f.select(down, f.add(rest, divisor), rest)
    return f.select(none, zero, quotient), f.select(none, zero, rest)


def _rest(f: Function, x: Value, y: Value) -> Value:
    """What is left of ``x`` after as many whole ``y`` as fit, with the sign of ``x``, exactly."""
    size, divisor = magnitude(f, x), magnitude(f, y)
    infinity = f.const(x.type, float("inf"))
    defined = f.binary("and", f.fcmp("olt", size, infinity), f.fcmp("ogt", divisor, f.zero(x.type)))
    head, body, end = f.new_block("more"), f.new_block("less"), f.new_block("rest")
    before = f.current
    f.branch(head)
    f.place(head)
    phi = f.phi(x.type)
    phi.add(size, before)
    left = phi.value
    active = f.binary("and", defined, f.fcmp("oge", left, divisor))
    f.branch_if(f.any_lane(active), body, end, loop=True)
    f.place(body)
    gap = f.sub(_exponent(f, left), _exponent(f, divisor))
    power = f.sub(gap, f.const(gap.type, _QUOTIENT_BITS))
    power = f.select(f.icmp("sgt", power, f.zero(gap.type)), power, f.zero(gap.type))
    power = f.select(active, power, f.zero(gap.type))
    step = scaled(f, divisor, power)
    quotient = f.intrinsic("trunc", x.type, f.binary("fdiv", left, step))
    less = f.fma(f.fneg(quotient), step, left)
    less = f.select(f.fcmp("olt", less, f.zero(x.type)), f.binary("fadd", less, step), less)
    phi.add(f.select(active, less, left), f.current)
    f.branch(head)
    f.place(end)
    value = with_sign(f, left, x)
    return f.select(defined, value, f.const(x.type, float("nan")))


def _exponent(f: Function, x: Value) -> Value:
    """The biased exponent of a positive number."""
    bits = f.convert("bitcast", x, DOUBLE.integer)
    return f.binary("lshr", bits, f.const(bits.type, DOUBLE.mantissa))


def _apart(f: Function, x: Value, y: Value) -> Value:
    """Whether one of two numbers is below zero and the other is not."""
    zero = f.zero(x.type)
    return f.binary("xor", f.fcmp("olt", x, zero), f.fcmp("olt", y, zero))


@through_double
def _mod(f: Function, x: Value, y: Value) -> Value:
    rest = _rest(f, x, y)
    some = f.fcmp("une", rest, f.zero(x.type))
    turned = f.select(_apart(f, rest, y), f.binary("fadd", rest, y), rest)
    return f.select(some, turned, with_sign(f, f.zero(x.type), y))


@through_double
def _floor_div(f: Function, x: Value, y: Value) -> Value:
    zero, one = f.zero(x.type), f.const(x.type, 1)
    rest = _rest(f, x, y)
    quotient = f.binary("fdiv", f.binary("fsub", x, rest), y)
    down = f.binary("and", f.fcmp("une", rest, zero), _apart(f, rest, y))
    quotient = f.select(down, f.binary("fsub", quotient, one), quotient)
    whole = f.intrinsic("roundeven", x.type, quotient)
    plain = f.binary("fdiv", x, y)
    whole = f.select(f.fcmp("une", quotient, zero), whole, with_sign(f, zero, plain))
    infinity = f.const(x.type, float("inf"))
    infinite = f.binary(
        "or",
        f.fcmp("oeq", magnitude(f, x), infinity),
        f.fcmp("oeq", magnitude(f, y), infinity),
    )
    whole = f.select(infinite, f.intrinsic("floor", x.type, plain), whole)
    return f.select(f.fcmp("oeq", y, zero), plain, whole)
