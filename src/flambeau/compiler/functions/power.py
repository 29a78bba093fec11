"""pow: 2 to the power y log2(x), with the logarithm in more precision than the result.

float32 is computed in float64.  float64 has log2(x) as a sum of two float64 (T. Dekker, 1971; the
fused multiply-add gives a product's error), from log2(m) = z P(z^2) with z = (m - 1) / (m + 1).
"""

from __future__ import annotations

from flambeau.compiler.functions import coefficients as c
from flambeau.compiler.functions.common import (
    DOUBLE,
    FLOAT,
    as_float,
    at_least,
    at_most,
    choose,
    format_of,
    magnitude,
    nearest,
    polynomial,
    scaled,
)  # fmt: skip
from flambeau.compiler.functions.logarithm import split
from flambeau.compiler.ir import Function, Value, element_of


def pow(f: Function, x: Value, y: Value) -> Value:
    """x to the power y, with C's values at zeros, infinities, NaN, and negative x."""
    form = format_of(x)
    size = magnitude(f, x)
    value = _pow_32(f, size, y) if form is FLOAT else _pow_64(f, size, y)
    one, zero, infinity = f.const(x.type, 1), f.zero(x.type), f.const(x.type, float("inf"))
    rounded = f.intrinsic("roundeven", y.type, y)
    integer = f.fcmp("oeq", rounded, y)
    half = f.binary("fmul", y, f.const(y.type, 0.5))
    odd = f.binary("and", integer, f.fcmp("one", f.intrinsic("roundeven", y.type, half), half))
    value = f.select(f.fcmp("oeq", size, one), one, value)  # even where y is infinite
    bits = f.convert("bitcast", x, form.integer)
    minus = f.binary("and", odd, f.icmp("slt", bits, f.zero(bits.type)))
    value = f.select(minus, f.fneg(value), value)
    below = f.binary("and", f.fcmp("olt", x, zero), f.fcmp("one", size, infinity))
    undefined = f.binary("and", below, f.binary("xor", integer, f.const(integer.type, True)))
    undefined = f.binary("or", undefined, f.fcmp("uno", x, y))
    value = choose(f, undefined, float("nan"), value)
    certain = f.binary("or", f.fcmp("oeq", y, zero), f.fcmp("oeq", x, one))
    return f.select(certain, one, value)


def _ends(f: Function, size: Value, logarithm: Value) -> Value:
    """log2 at zero and infinity."""
    logarithm = choose(f, f.fcmp("oeq", size, f.zero(size.type)), -float("inf"), logarithm)
    infinity = f.const(size.type, float("inf"))
    return f.select(f.fcmp("oeq", size, infinity), size, logarithm)


def _pow_32(f: Function, size: Value, y: Value) -> Value:
    x = f.convert("fpext", size, "double")
    m, e = split(f, x, DOUBLE, subnormal=False)  # a float32's subnormals are normal here
    one = f.const(x.type, 1)
    z = f.binary("fdiv", f.binary("fsub", m, one), f.binary("fadd", m, one))
    ratio = polynomial(f, f.binary("fmul", z, z), c.POW_LOG2_32)
    logarithm = _ends(f, x, f.fma(z, ratio, as_float(f, e, DOUBLE)))
    power = f.binary("fmul", logarithm, f.convert("fpext", y, "double"))
    power = at_least(f, at_most(f, power, 300.0), -300.0)
    whole, n = nearest(f, power, 1.0)
    r = f.binary("fsub", power, whole)
    p = f.fma(r, polynomial(f, r, c.POW_EXP2_32), one)
    # The range is float64's, so scaling is exact and the conversion rounds once.
    return f.convert("fptrunc", scaled(f, p, n), element_of(size.type))


def _sum(f: Function, a: Value, b: Value) -> tuple[Value, Value]:
    """a + b and its rounding error, where |a| >= |b| or a is zero."""
    total = f.binary("fadd", a, b)
    return total, f.binary("fsub", b, f.binary("fsub", total, a))


def _log2_pair(f: Function, x: Value) -> tuple[Value, Value]:
    """log2(x) as high + low, to some 68 bits."""
    m, e = split(f, x, DOUBLE)
    one = f.const(x.type, 1)
    above = f.binary("fsub", m, one)  # exact
    below = f.binary("fadd", m, one)
    below_low = f.binary("fsub", m, f.binary("fsub", below, one))
    z = f.binary("fdiv", above, below)
    left = f.fma(f.fneg(z), below, above)
    z_low = f.binary("fdiv", f.fma(f.fneg(z), below_low, left), below)
    square = f.binary("fmul", z, z)
    square_low = f.fma(z, z, f.fneg(square))
    square_low = f.fma(f.binary("fadd", z, z), z_low, square_low)
    # P = c0 + z^2 (c1 + z^2 tail), the two leading coefficients in pairs.
    (c0, c1), (l0, l1) = c.POW_LOG2_64[:2], c.POW_LOG2_64_LOW
    tail = polynomial(f, square, c.POW_LOG2_64[2:])
    rest = f.binary("fmul", square, tail)
    rest_low = f.fma(square, tail, f.fneg(rest))
    inner, inner_low = _sum(f, f.const(x.type, c1), rest)
    inner_low = f.binary("fadd", inner_low, f.binary("fadd", rest_low, f.const(x.type, l1)))
    term = f.binary("fmul", square, inner)
    term_low = f.fma(square, inner, f.fneg(term))
    term_low = f.fma(square_low, inner, f.fma(square, inner_low, term_low))
    ratio, ratio_low = _sum(f, f.const(x.type, c0), term)
    ratio_low = f.binary("fadd", ratio_low, f.binary("fadd", term_low, f.const(x.type, l0)))
    product = f.binary("fmul", z, ratio)
    product_low = f.fma(z, ratio, f.fneg(product))
    product_low = f.fma(z_low, ratio, f.fma(z, ratio_low, product_low))
    high, high_low = _sum(f, as_float(f, e, DOUBLE), product)
    return _sum(f, high, f.binary("fadd", high_low, product_low))


def _pow_64(f: Function, size: Value, y: Value) -> Value:
    high, low = _log2_pair(f, size)
    high = _ends(f, size, high)
    # Beyond this size the result is 0, 1 or infinity whatever y is; halving keeps the product finite.
    y = at_least(f, at_most(f, y, 2.0**80), -(2.0**80))
    power = f.binary("fmul", high, y)
    error = f.fma(high, y, f.fneg(power))
    error = f.fma(low, y, error)
    clamped = at_least(f, at_most(f, power, 1100.0), -1100.0)
    inside = f.fcmp("oeq", clamped, power)
    error = f.select(inside, error, f.zero(error.type))
    whole, n = nearest(f, clamped, 1.0)
    r = f.binary("fsub", clamped, whole)
    p = polynomial(f, r, c.EXP2_64)
    # 2^(r + error) = 1 + (r P(r) + error ln2 2^r), near enough with 2^r = 1 + r ln2.
    slope = f.fma(r, p, f.const(r.type, 1))
    grown = f.binary("fmul", f.binary("fmul", error, f.const(r.type, DOUBLE.ln2[0])), slope)
    value = f.binary("fadd", f.const(r.type, 1), f.fma(r, p, grown))
    return scaled(f, value, n)
