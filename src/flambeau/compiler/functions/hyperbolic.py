"""sinh, cosh and the inverses of sinh, cosh and tanh, by exp and log1p, as in fdlibm."""

from __future__ import annotations

from flambeau.compiler.functions import coefficients as c
from flambeau.compiler.functions.common import (
    DOUBLE,
    at_most,
    choose,
    fused,
    magnitude,
    scaled,
    through_double,
    unless_tiny,
    with_sign,
)
from flambeau.compiler.functions.exponential import _exp_parts, expm1
from flambeau.compiler.functions.logarithm import log, log1p
from flambeau.compiler.ir import Function, Value

_LN2 = c.LN2_64[0] + c.LN2_64[1]
_LARGE = 2.0**28  # from here on a square's root is the number itself, to the last bit
_ONLY_GROWING = 22.0  # from here on exp(-x) does not count beside exp(x)


def _half_exp(f: Function, size: Value) -> Value:
    """exp(size) / 2, which may be finite where exp(size) is not."""
    p, n = _exp_parts(f, at_most(f, size, 712.0), DOUBLE)
    return scaled(f, p, f.sub(n, f.const(n.type, 1)))


@through_double
def sinh(f: Function, x: Value) -> Value:
    """(exp(x) - exp(-x)) / 2, from expm1 where that is not large."""
    size = magnitude(f, x)
    e = expm1(f, at_most(f, size, _ONLY_GROWING + 1))
    part = f.binary("fadd", e, f.binary("fdiv", e, f.binary("fadd", e, f.const(x.type, 1))))
    near = f.binary("fmul", part, f.const(x.type, 0.5))
    far = f.fcmp("ogt", size, f.const(x.type, _ONLY_GROWING))
    return unless_tiny(f, x, with_sign(f, f.select(far, _half_exp(f, size), near), x))


@through_double
def cosh(f: Function, x: Value) -> Value:
    """(exp(x) + exp(-x)) / 2."""
    half = _half_exp(f, magnitude(f, x))
    return f.binary("fadd", half, f.binary("fdiv", f.const(x.type, 0.25), half))


@through_double
def asinh(f: Function, x: Value) -> Value:
    """The number whose sinh is x: log1p(a + a^2 / (1 + sqrt(a^2 + 1))) of its magnitude a."""
    size = magnitude(f, x)
    a = at_most(f, size, _LARGE)
    one = f.const(x.type, 1)
    square = f.binary("fmul", a, a)
    line = f.binary("fadd", f.intrinsic("sqrt", x.type, f.binary("fadd", square, one)), one)
    near = log1p(f, f.binary("fadd", a, f.binary("fdiv", square, line)))
    value = f.select(f.fcmp("ogt", size, f.const(x.type, _LARGE)), _log_doubled(f, size), near)
    return unless_tiny(f, x, with_sign(f, value, x))


@through_double
def acosh(f: Function, x: Value) -> Value:
    """The number of at least 0 whose cosh is x; NaN below 1."""
    one = f.const(x.type, 1)
    t = f.binary("fsub", at_most(f, x, _LARGE), one)
    line = f.intrinsic("sqrt", x.type, f.fma(t, t, f.binary("fadd", t, t)))
    near = log1p(f, f.binary("fadd", t, line))
    value = f.select(f.fcmp("ogt", x, f.const(x.type, _LARGE)), _log_doubled(f, x), near)
    return choose(f, f.fcmp("ult", x, one), float("nan"), value)


@through_double
def atanh(f: Function, x: Value) -> Value:
    """The number whose tanh is x: log1p(2 a / (1 - a)) / 2 of its magnitude a; NaN beyond 1."""
    size = magnitude(f, x)
    doubled = f.binary("fadd", size, size)
    quotient = f.binary("fdiv", doubled, f.binary("fsub", f.const(x.type, 1), size))
    value = f.binary("fmul", log1p(f, quotient), f.const(x.type, 0.5))
    return unless_tiny(f, x, with_sign(f, value, x))


def _log_doubled(f: Function, x: Value) -> Value:
    """log(2 x)."""
    return f.binary("fadd", log(f, x), f.const(x.type, _LN2))


@through_double
def log10(f: Function, x: Value) -> Value:
    """The logarithm to base 10."""
    natural = log(f, x)
    low = f.binary("fmul", natural, f.const(x.type, c.LOG10_E_64[1]))
    value = fused(f, natural, c.LOG10_E_64[0], low)
    finite = f.fcmp("olt", magnitude(f, natural), f.const(x.type, float("inf")))
    return f.select(finite, value, natural)


@through_double
def logaddexp(f: Function, x: Value, y: Value) -> Value:
    """log(exp(x) + exp(y)) without overflow."""
    greater = f.fcmp("ogt", x, y)
    larger, smaller = f.select(greater, x, y), f.select(greater, y, x)
    gap = f.binary("fsub", larger, smaller)
    # What rounding the difference lost, by D. Knuth's TwoSum: the exponential is that much smaller.
    taken = f.binary("fsub", gap, larger)
    kept = f.binary("fsub", larger, f.binary("fsub", gap, taken))
    lost = f.binary("fsub", kept, f.binary("fadd", smaller, taken))
    finite = f.fcmp("olt", gap, f.const(x.type, 746.0))
    p, n = _exp_parts(f, f.fneg(at_most(f, gap, 746.0)), DOUBLE)
    e = scaled(f, p, n)
    e = f.select(finite, f.fma(f.fneg(e), lost, e), e)
    value = f.binary("fadd", larger, log1p(f, e))
    alike = f.binary("fadd", x, f.const(x.type, _LN2))  # infinities among them
    return f.select(f.fcmp("oeq", x, y), alike, value)


@through_double
def hypot(f: Function, x: Value, y: Value) -> Value:
    """sqrt(x^2 + y^2), of numbers scaled so that no square overflows or vanishes."""
    a, b = magnitude(f, x), magnitude(f, y)
    larger = f.fcmp("ogt", a, b)
    big, small = f.select(larger, a, b), f.select(larger, b, a)
    one = f.const(x.type, 1)
    factor = choose(f, f.fcmp("ogt", big, f.const(x.type, 2.0**500)), 2.0**-600, one)
    factor = choose(f, f.fcmp("olt", big, f.const(x.type, 2.0**-400)), 2.0**600, factor)
    back = choose(f, f.fcmp("ogt", big, f.const(x.type, 2.0**500)), 2.0**600, one)
    back = choose(f, f.fcmp("olt", big, f.const(x.type, 2.0**-400)), 2.0**-600, back)
    big, small = f.binary("fmul", big, factor), f.binary("fmul", small, factor)
    # The square of the larger in two parts.
    square = f.binary("fmul", big, big)
    lost = f.fma(big, big, f.fneg(square))
    total = f.binary("fadd", square, f.fma(small, small, lost))
    value = f.binary("fmul", f.intrinsic("sqrt", x.type, total), back)
    infinity = f.const(x.type, float("inf"))
    infinite = f.binary("or", f.fcmp("oeq", a, infinity), f.fcmp("oeq", b, infinity))
    return f.select(infinite, infinity, value)
