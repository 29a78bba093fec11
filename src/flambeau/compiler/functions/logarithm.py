"""log, log2 and log1p: x = 2^e m with m in [sqrt(1/2), sqrt(2)), and a function of f = m - 1.

The float64 logarithm writes log(1 + f) = f - f^2/2 + s (f^2/2 + R(s^2)) with s = f / (2 + f), as
in fdlibm (Sun Microsystems, 1993).
"""

from __future__ import annotations

from flambeau.compiler.functions import coefficients as c
from flambeau.compiler.functions.common import (
    FLOAT,
    Format,
    as_float,
    choose,
    format_of,
    fused,
    magnitude,
    polynomial,
    power_of_two,
)  # fmt: skip
from flambeau.compiler.ir import Function, Value


def split(f: Function, x: Value, form: Format, subnormal: bool = True) -> tuple[Value, Value]:
    """The mantissa m in [sqrt(1/2), sqrt(2)) and the exponent e (an integer) of positive x."""
    shift = form.mantissa + 1
    if subnormal:
        small = f.fcmp("olt", x, f.const(x.type, form.smallest_normal))
        x = f.select(small, f.binary("fmul", x, f.const(x.type, 2.0**shift)), x)
    bits = f.convert("bitcast", x, form.integer)
    root = f.convert("bitcast", f.const(x.type, 0.5**0.5), form.integer)
    above = f.sub(bits, root)  # so that the exponent changes at sqrt(1/2), not at 1
    e = f.binary("ashr", above, f.const(bits.type, form.mantissa))
    kept = f.binary("and", above, f.const(bits.type, (1 << form.mantissa) - 1))
    m = f.convert("bitcast", f.add(kept, root), form.element)
    if subnormal:
        e = f.select(small, f.sub(e, f.const(e.type, shift)), e)
    return m, e


def _ends(f: Function, x: Value, value: Value) -> Value:
    """The values at zero, infinity, NaN and below zero."""
    zero = f.zero(x.type)
    infinity = f.const(x.type, float("inf"))
    value = f.select(f.fcmp("oeq", x, infinity), x, value)
    value = choose(f, f.fcmp("oeq", x, zero), -float("inf"), value)
    return choose(f, f.fcmp("ult", x, zero), float("nan"), value)


def _log_of(f: Function, t: Value, e: Value, form: Format) -> Value:
    """e ln2 + log(1 + t)."""
    if form is FLOAT:
        square = f.binary("fmul", t, t)
        tail = f.binary("fmul", f.binary("fmul", square, t), polynomial(f, t, c.LOG_32))
        tail = fused(f, e, form.ln2[1], tail)
        tail = fused(f, square, -0.5, tail)
        return fused(f, e, form.ln2[0], f.binary("fadd", t, tail))
    s = f.binary("fdiv", t, f.binary("fadd", t, f.const(t.type, 2)))
    z = f.binary("fmul", s, s)
    half_square = f.binary("fmul", f.binary("fmul", t, t), f.const(t.type, 0.5))
    rest = f.fma(z, polynomial(f, z, c.LOG_64), half_square)
    low = fused(f, e, form.ln2[1], f.binary("fmul", s, rest))
    inner = f.binary("fsub", t, f.binary("fsub", half_square, low))
    return fused(f, e, form.ln2[0], inner)


def log(f: Function, x: Value) -> Value:
    """The natural logarithm."""
    form = format_of(x)
    m, e = split(f, x, form)
    t = f.binary("fsub", m, f.const(x.type, 1))
    return _ends(f, x, _log_of(f, t, as_float(f, e, form), form))


def log1p(f: Function, x: Value) -> Value:
    """log(1 + x) without cancellation: what rounding 1 + x lost is added to the mantissa."""
    form = format_of(x)
    one = f.const(x.type, 1)
    sum_ = f.binary("fadd", x, one)
    m, e = split(f, sum_, form, subnormal=False)
    large = f.fcmp("oge", magnitude(f, x), one)
    back = f.binary("fsub", sum_, f.select(large, x, one))
    lost = f.binary("fsub", f.select(large, one, x), back)
    # 2^-e needs a normal number: beyond that the loss is far below the last bit.
    limit = f.const(e.type, form.bias - 2)
    small = f.min(e, limit)
    unit = power_of_two(f, f.sub(f.zero(e.type), small), form)
    t = f.fma(lost, unit, f.binary("fsub", m, one))
    value = _log_of(f, t, as_float(f, e, form), form)
    value = _ends(f, sum_, value)
    tiny = f.fcmp("olt", magnitude(f, x), f.const(x.type, 2.0 ** -(form.mantissa + 2)))
    return f.select(tiny, x, value)  # also keeps the sign of zero


def log2(f: Function, x: Value) -> Value:
    """The logarithm to base 2; exact at powers of two."""
    form = format_of(x)
    m, e = split(f, x, form)
    t = f.binary("fsub", m, f.const(x.type, 1))
    exponent = as_float(f, e, form)
    if form is FLOAT:
        low = fused(f, t, form.log2_e[1], _log2_tail(f, t))
        high = fused(f, t, form.log2_e[0], low)
        return _ends(f, x, f.binary("fadd", exponent, high))
    # log(m) as high + low, times log2(e) as high + low.
    s = f.binary("fdiv", t, f.binary("fadd", t, f.const(t.type, 2)))
    z = f.binary("fmul", s, s)
    half = f.binary("fmul", t, f.const(t.type, 0.5))
    half_square = f.binary("fmul", half, t)
    rest = f.fma(z, polynomial(f, z, c.LOG_64), half_square)
    high = f.binary("fsub", t, half_square)
    lost = f.fma(half, t, f.fneg(half_square))
    low = f.binary("fsub", f.binary("fsub", f.binary("fsub", t, high), half_square), lost)
    low = f.fma(s, rest, low)
    base, base_low = form.log2_e
    product = f.binary("fmul", high, f.const(x.type, base))
    remainder = fused(f, high, base, f.fneg(product))
    remainder = fused(f, f.binary("fadd", low, high), base_low, remainder)
    remainder = fused(f, low, base, remainder)
    sum_ = f.binary("fadd", exponent, product)
    remainder = f.binary("fadd", remainder, f.binary("fadd", f.binary("fsub", exponent, sum_), product))
    return _ends(f, x, f.binary("fadd", sum_, remainder))


def _log2_tail(f: Function, t: Value) -> Value:
    return f.binary("fmul", f.binary("fmul", t, t), polynomial(f, t, c.LOG2_32))
