"""asin, acos, atan and atan2, by polynomials near zero and the identities that lead there.

The ranges are those of S. Moshier's Cephes library (1989) for atan and of fdlibm (Sun Microsystems,
1993) for asin and acos.
"""

from __future__ import annotations

from flambeau.compiler.functions import coefficients as c
from flambeau.compiler.functions.common import magnitude, polynomial, through_double, with_sign
from flambeau.compiler.ir import Function, Value

_HALF_PI, _HALF_PI_LOW = c.HALF_PI_64[:2]
_TAN_EIGHTH = 0.41421356237309503  # of pi: up to it the polynomial holds, which is also that of (t-1)/(t+1)


@through_double
def asin(f: Function, x: Value) -> Value:
    """The angle in [-pi/2, pi/2] whose sine is x; NaN outside of [-1, 1]."""
    root, rest, _, near = _arc(f, x)
    # pi/2 - 2 (root + rest), the larger part last.
    doubled = f.fma(rest, f.const(x.type, 2), f.const(x.type, -_HALF_PI_LOW))
    far = f.binary("fsub", f.const(x.type, _HALF_PI), f.fma(root, f.const(x.type, 2), doubled))
    return with_sign(f, f.select(near, f.binary("fadd", root, rest), far), x)


@through_double
def acos(f: Function, x: Value) -> Value:
    """The angle in [0, pi] whose cosine is x; NaN outside of [-1, 1]."""
    root, rest, lost, near = _arc(f, x)
    two, low = f.const(x.type, 2), f.const(x.type, _HALF_PI_LOW)
    below = f.fcmp("olt", x, f.zero(x.type))
    angle = with_sign(f, root, x)
    centre = f.binary("fsub", angle, f.binary("fsub", low, with_sign(f, rest, x)))
    centre = f.binary("fsub", f.const(x.type, _HALF_PI), centre)
    above = f.binary("fmul", two, f.binary("fadd", root, f.binary("fadd", rest, lost)))
    under = f.binary("fadd", root, f.binary("fsub", f.binary("fadd", rest, lost), low))
    under = f.binary("fmul", two, f.binary("fsub", f.const(x.type, _HALF_PI), under))
    return f.select(near, centre, f.select(below, under, above))


def _arc(f: Function, x: Value) -> tuple[Value, Value, Value, Value]:
    """``root + rest`` is asin(|x|) up to 1/2, and asin of the root of (1 - |x|) / 2 beyond.

    Also what the root lost to rounding, and whether |x| is at most 1/2.
    """
    size = magnitude(f, x)
    near = f.fcmp("ole", size, f.const(x.type, 0.5))
    half = f.const(x.type, 0.5)
    beyond = f.fma(f.fneg(size), half, half)
    square = f.select(near, f.binary("fmul", x, x), beyond)
    line = f.intrinsic("sqrt", x.type, beyond)
    root = f.select(near, size, line)
    rest = f.binary("fmul", f.binary("fmul", root, square), polynomial(f, square, c.ASIN_64))
    missing = f.fma(f.fneg(line), line, beyond)
    lost = f.binary("fdiv", missing, f.binary("fadd", line, line))
    some = f.fcmp("ogt", line, f.zero(x.type))
    return root, rest, f.select(some, lost, f.zero(x.type)), near


@through_double
def atan(f: Function, x: Value) -> Value:
    """The angle in (-pi/2, pi/2) whose tangent is x."""
    size = magnitude(f, x)
    one = f.const(x.type, 1)
    large = f.fcmp("ogt", size, f.const(x.type, 1 / _TAN_EIGHTH))
    high, low = _first_octants(f, f.select(large, one, size), f.select(large, size, one))
    return with_sign(f, _from_right_angle(f, large, high, low), x)


@through_double
def atan2(f: Function, y: Value, x: Value) -> Value:
    """The angle in [-pi, pi] of the point (x, y)."""
    tall, wide = magnitude(f, y), magnitude(f, x)
    steep = f.fcmp("ogt", tall, wide)
    smaller, larger = f.select(steep, wide, tall), f.select(steep, tall, wide)
    one = f.const(x.type, 1)
    # Of two infinities the quotient is 1, of two zeros 0.
    none = f.fcmp("oeq", larger, f.zero(x.type))
    equal = f.fcmp("oeq", smaller, larger)
    smaller = f.select(none, f.zero(x.type), f.select(equal, one, smaller))
    larger = f.select(f.binary("or", none, equal), one, larger)
    high, low = _first_octants(f, smaller, larger)
    angle = _from_right_angle(f, steep, high, low)
    negative = f.icmp("slt", f.convert("bitcast", x, "i64"), f.zero(f.convert("bitcast", x, "i64").type))
    turned = f.binary("fsub", angle, f.const(x.type, 2 * _HALF_PI_LOW))
    turned = f.binary("fsub", f.const(x.type, 2 * _HALF_PI), turned)
    angle = with_sign(f, f.select(negative, turned, angle), y)
    unordered = f.fcmp("uno", x, y)
    return f.select(unordered, f.binary("fadd", x, y), angle)


def _first_octants(f: Function, rise: Value, run: Value) -> tuple[Value, Value]:
    """atan(rise / run), a quotient of at most 1 / tan(pi/8), as a sum of two numbers."""
    type_ = rise.type
    zero = f.zero(type_)
    middle = f.fcmp("ogt", rise, f.binary("fmul", run, f.const(type_, _TAN_EIGHTH)))
    above = f.select(middle, f.binary("fsub", rise, run), rise)
    below = f.select(middle, f.binary("fadd", rise, run), run)
    infinite = f.fcmp("oeq", run, f.const(type_, float("inf")))
    r = f.select(infinite, zero, f.binary("fdiv", above, below))
    # What rounding the sum and the quotient lost counts where the polynomial's slope is steep.
    square = f.binary("fmul", r, r)
    cube = f.binary("fmul", square, r)
    low = f.select(middle, f.const(type_, _HALF_PI_LOW / 2), zero)
    rest = f.fma(cube, polynomial(f, square, c.ATAN_64), low)
    high = f.select(middle, f.const(type_, _HALF_PI / 2), zero)
    total = f.binary("fadd", high, r)
    lost = f.binary("fadd", f.binary("fsub", high, total), r)
    return total, f.binary("fadd", rest, lost)


def _from_right_angle(f: Function, other: Value, high: Value, low: Value) -> Value:
    """The angle, or pi/2 less it where ``other`` says that the sides were exchanged."""
    rest = f.binary("fsub", f.const(high.type, _HALF_PI_LOW), low)
    right = f.const(high.type, _HALF_PI)
    total = f.binary("fsub", right, high)
    lost = f.binary("fsub", f.binary("fsub", right, total), high)
    turned = f.binary("fadd", total, f.binary("fadd", lost, rest))
    return f.select(other, turned, f.binary("fadd", high, low))
