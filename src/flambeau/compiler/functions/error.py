"""erf: an odd polynomial up to 1, and beyond it 1 - erfc, where erfc is small.

Beyond 1, float32 has 2 to a polynomial for erfc; float64 has exp(-x^2) times a polynomial for
exp(x^2) erfc(x) in (x - k) / (x + k) (M. Shepherd, J. Laframboise, 1981).
"""

from __future__ import annotations

from flambeau.compiler.functions import coefficients as c
from flambeau.compiler.functions.common import (
    FLOAT,
    at_most,
    format_of,
    magnitude,
    nearest,
    polynomial,
    power_of_two,
    with_sign,
)  # fmt: skip
from flambeau.compiler.functions.exponential import _exp_parts
from flambeau.compiler.ir import Function, Value


def erf(f: Function, x: Value) -> Value:
    """The error function."""
    form = format_of(x)
    size = magnitude(f, x)
    near = f.fma(x, polynomial(f, f.binary("fmul", x, x), c.ERF_32 if form is FLOAT else c.ERF_64), x)
    p, n = _erfc_32(f, size) if form is FLOAT else _erfc_64(f, size)
    far = f.fma(f.fneg(p), power_of_two(f, n, form), f.const(x.type, 1))
    return f.select(f.fcmp("olt", size, f.const(x.type, 1)), near, with_sign(f, far, x))


def _erfc_32(f: Function, size: Value) -> tuple[Value, Value]:
    y = polynomial(f, at_most(f, size, 4.0), c.ERFC_LOG2_32)
    whole, n = nearest(f, y, 1.0)
    r = f.binary("fsub", y, whole)
    return f.fma(r, polynomial(f, r, c.ERFC_EXP2_32), f.const(size.type, 1)), n


def _erfc_64(f: Function, size: Value) -> tuple[Value, Value]:
    x = at_most(f, size, 6.0)
    centre = f.const(x.type, c.ERFCX_CENTRE)
    t = f.binary("fdiv", f.binary("fsub", x, centre), f.binary("fadd", x, centre))
    p, n = _exp_parts(f, f.fneg(f.binary("fmul", x, x)), format_of(x))
    return f.binary("fmul", p, polynomial(f, t, c.ERFCX_64)), n
