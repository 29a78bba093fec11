"""exp, exp2, expm1, and what is made of them: sigmoid, tanh.

All use x = n ln2 + r with |r| <= ln2 / 2 and a polynomial for exp(r); ln2 is subtracted in two
parts (W. Cody, W. Waite, *Software Manual for the Elementary Functions*, 1980), each by a fused
multiply-add, whose first is exact.
"""

from __future__ import annotations

from flambeau.compiler.functions import coefficients as c
from flambeau.compiler.functions.common import (
    FLOAT,
    Format,
    at_least,
    at_most,
    format_of,
    fused,
    magnitude,
    nearest,
    polynomial,
    power_of_two,
    scaled,
    with_sign,
)  # fmt: skip
from flambeau.compiler.ir import Function, Value


def _coefficients(form: Format) -> tuple[float, ...]:
    return c.EXP_32 if form is FLOAT else c.EXP_64


def _clamped(f: Function, x: Value, form: Format) -> Value:
    """Arguments beyond these give infinity and zero, as these do."""
    low, high = (-105.0, 89.0) if form is FLOAT else (-746.0, 710.0)
    return at_least(f, at_most(f, x, high), low)


def _exp_parts(f: Function, x: Value, form: Format) -> tuple[Value, Value]:
    """exp(x) as p times 2 to the power n: (p, n)."""
    whole, n = nearest(f, x, form.log2_e[0])
    r = fused(f, whole, -form.ln2[0], x)
    r = fused(f, whole, -form.ln2[1], r)
    tail = f.fma(f.binary("fmul", r, r), polynomial(f, r, _coefficients(form)), r)
    return f.binary("fadd", tail, f.const(x.type, 1)), n


def _expm1_parts(f: Function, x: Value, form: Format) -> tuple[Value, Value]:
    """exp(r) - 1 and n with x = n ln2 + r; what rounding r lost is added back."""
    whole, n = nearest(f, x, form.log2_e[0])
    high = fused(f, whole, -form.ln2[0], x)
    r = fused(f, whole, -form.ln2[1], high)
    lost = fused(f, whole, -form.ln2[1], f.binary("fsub", high, r))
    tail = f.fma(f.binary("fmul", r, r), polynomial(f, r, _coefficients(form)), lost)
    return f.binary("fadd", r, tail), n


def exp(f: Function, x: Value) -> Value:
    """e to the power x."""
    p, n = _exp_parts(f, _clamped(f, x, format_of(x)), format_of(x))
    return scaled(f, p, n)


def exp2(f: Function, x: Value) -> Value:
    """2 to the power x."""
    form = format_of(x)
    low, high = (-151.0, 129.0) if form is FLOAT else (-1076.0, 1025.0)
    x = at_least(f, at_most(f, x, high), low)
    whole, n = nearest(f, x, 1.0)
    r = f.binary("fsub", x, whole)
    p = f.fma(r, polynomial(f, r, c.EXP2_32 if form is FLOAT else c.EXP2_64), f.const(x.type, 1))
    return scaled(f, p, n)


def expm1(f: Function, x: Value) -> Value:
    """e to the power x, minus one, without cancellation."""
    form = format_of(x)
    low, high = (-20.0, 89.0) if form is FLOAT else (-40.0, 710.0)
    q, n = _expm1_parts(f, at_least(f, at_most(f, x, high), low), form)
    # Half of 2^n: 2^n itself may be out of range where the result is not.
    half = power_of_two(f, f.sub(n, f.const(n.type, 1)), form)
    minus_half = f.const(x.type, -0.5)
    value = f.fma(half, q, f.binary("fadd", half, minus_half))
    doubled = f.binary("fadd", value, value)
    tiny = f.fcmp("olt", magnitude(f, x), f.const(x.type, 2.0 ** -(form.mantissa + 2)))
    return f.select(tiny, x, doubled)  # also keeps the sign of zero


def sigmoid(f: Function, x: Value) -> Value:
    """1 / (1 + e) for positive x and e / (1 + e) for negative, with e = exp(-|x|).

    The numerator is exp without its power of two, which is applied last, and with what rounding it
    lost: next to a power of two, half a unit there would be a whole unit of the result.
    """
    form = format_of(x)
    negative = f.fneg(magnitude(f, x))
    argument = at_least(f, negative, -105.0 if form is FLOAT else -746.0)
    whole, n = nearest(f, argument, form.log2_e[0])
    r = fused(f, whole, -form.ln2[0], argument)
    r = fused(f, whole, -form.ln2[1], r)
    tail = f.fma(f.binary("fmul", r, r), polynomial(f, r, _coefficients(form)), r)
    one, zero = f.const(x.type, 1), f.zero(x.type)
    p = f.binary("fadd", one, tail)
    p_low = f.binary("fsub", tail, f.binary("fsub", p, one))
    # Beside 1, what is below 2^-100 does not count: so the power stays a normal number's.
    floor = f.const(n.type, -100)
    bounded = f.select(f.icmp("sgt", n, floor), n, floor)
    e = f.binary("fmul", p, power_of_two(f, bounded, form))
    below = f.fcmp("olt", x, zero)
    below_line = f.binary("fadd", one, e)
    lost = f.binary("fsub", e, f.binary("fsub", below_line, one))
    quotient = f.binary("fdiv", f.select(below, p, one), below_line)
    # What both roundings lost, times a straight line through 1 / (1 + e) at 0 and 1.
    missing = f.fma(f.fneg(quotient), lost, f.select(below, p_low, zero))
    corrected = f.fma(missing, fused(f, e, -0.5, one), quotient)
    return scaled(f, corrected, f.select(below, n, f.zero(n.type)))


def tanh(f: Function, x: Value) -> Value:
    """An odd polynomial up to 0.55; beyond, 1 - 2 e / (1 + e) with e = exp(-2 |x|)."""
    form = format_of(x)
    size = magnitude(f, x)
    square = f.binary("fmul", x, x)
    cube = f.binary("fmul", square, x)
    near = f.fma(cube, polynomial(f, square, c.TANH_32 if form is FLOAT else c.TANH_64), x)
    argument = at_least(f, f.binary("fmul", size, f.const(x.type, -2)), -24.0 if form is FLOAT else -48.0)
    p, n = _exp_parts(f, argument, form)
    e = f.binary("fmul", p, power_of_two(f, n, form))
    one = f.const(x.type, 1)
    far = f.binary("fsub", one, f.binary("fdiv", f.binary("fadd", e, e), f.binary("fadd", e, one)))
    result = f.select(f.fcmp("olt", size, f.const(x.type, 0.55)), near, far)
    return with_sign(f, result, x)
