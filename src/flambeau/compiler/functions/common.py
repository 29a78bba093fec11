"""Pieces that the elementary functions share: the two formats, polynomials, and powers of two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps

from flambeau.compiler.functions import coefficients as c
from flambeau.compiler.ir import Function, Value, element_of, like


@dataclass(frozen=True, slots=True)
class Format:
    """A floating-point format: its LLVM types, layout, and constants split to its precision."""

    element: str
    integer: str
    mantissa: int  # bits after the point
    bias: int
    smallest_normal: float
    ln2: tuple[float, ...]
    log2_e: tuple[float, ...]
    half_pi: tuple[float, ...]
    two_over_pi: float

    @property
    def magic(self) -> float:
        """Added to a small number, this leaves it rounded to an integer in the low bits."""
        return 1.5 * 2.0**self.mantissa


FLOAT = Format(
    "float", "i32", 23, 127, 2.0**-126, c.LN2_32, c.LOG2_E_32, c.HALF_PI_32, c.TWO_OVER_PI_32[0]
)  # fmt: skip
DOUBLE = Format(
    "double", "i64", 52, 1023, 2.0**-1022, c.LN2_64, c.LOG2_E_64, c.HALF_PI_64, c.TWO_OVER_PI_64[0]
)  # fmt: skip


def format_of(x: Value) -> Format:
    """The format of a value's lanes."""
    return FLOAT if element_of(x.type) == "float" else DOUBLE


def polynomial(f: Function, x: Value, coefficients: Sequence[float]) -> Value:
    """A polynomial, lowest coefficient first, by Horner's rule with fused multiply-add."""
    value = f.const(x.type, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = f.fma(value, x, f.const(x.type, coefficient))
    return value


def fused(f: Function, x: Value, number: float, addend: Value) -> Value:
    """``x * number + addend`` rounded once."""
    return f.fma(x, f.const(x.type, number), addend)


def magnitude(f: Function, x: Value) -> Value:
    """The absolute value."""
    return f.intrinsic("fabs", x.type, x)


def with_sign(f: Function, size: Value, sign: Value) -> Value:
    """The magnitude of one value with the sign of another."""
    return f.intrinsic("copysign", size.type, size, sign)


def at_most(f: Function, x: Value, bound: float) -> Value:
    """The smaller of ``x`` and a bound; NaN stays."""
    limit = f.const(x.type, bound)
    return f.select(f.fcmp("olt", limit, x), limit, x)


def at_least(f: Function, x: Value, bound: float) -> Value:
    """The larger of ``x`` and a bound; NaN stays."""
    limit = f.const(x.type, bound)
    return f.select(f.fcmp("ogt", limit, x), limit, x)


def nearest(f: Function, x: Value, factor: float) -> tuple[Value, Value]:
    """``x * factor`` rounded to an integer, as a float and as an integer.

    The sum with ``magic`` rounds to the unit's place.  Unlike a conversion this is defined, though
    meaningless, for NaN.
    """
    form = format_of(x)
    magic = f.const(x.type, form.magic)
    shifted = fused(f, x, factor, magic)
    whole = f.binary("fsub", shifted, magic)
    bits = f.convert("bitcast", shifted, form.integer)
    return whole, f.sub(bits, f.convert("bitcast", magic, form.integer))


def power_of_two(f: Function, n: Value, form: Format) -> Value:
    """2 to an integer that is a normal number's exponent."""
    biased = f.add(n, f.const(n.type, form.bias))
    return f.convert("bitcast", f.binary("shl", biased, f.const(n.type, form.mantissa)), form.element)


def scaled(f: Function, x: Value, n: Value) -> Value:
    """``x`` times 2 to the power ``n``, with at most twice a normal number's exponent.

    Two factors, so that results that overflow or become subnormal are rounded once, by the second.
    """
    form = format_of(x)
    first = f.binary("ashr", n, f.const(n.type, 1))
    second = f.sub(n, first)
    partly = f.binary("fmul", x, power_of_two(f, first, form))
    return f.binary("fmul", partly, power_of_two(f, second, form))


def choose(f: Function, condition: Value, a: float, b: Value) -> Value:
    """A number where the condition holds, else ``b``."""
    return f.select(condition, f.const(b.type, a), b)


def as_float(f: Function, n: Value, form: Format) -> Value:
    """Integers as floats, exactly, where they are small: by their place in a float's last bits.

    There is no instruction for 64-bit integers before AVX-512.
    """
    type_ = like(n.type, form.element)
    magic = f.const(type_, form.magic)
    bits = f.add(n, f.convert("bitcast", magic, form.integer))
    return f.binary("fsub", f.convert("bitcast", bits, form.element), magic)


def through_double(function: Callable[..., Value]) -> Callable[..., Value]:
    """A function written for ``double``, which ``float`` arguments are converted to and from.

    Its float32 results are correctly rounded but for a few in a million.
    """

    @wraps(function)
    def emitted(f: Function, *args: Value) -> Value:
        if format_of(args[0]) is DOUBLE:
            return function(f, *args)
        found = function(f, *[f.convert("fpext", x, "double") for x in args])
        return f.convert("fptrunc", found, "float")

    return emitted


def unless_tiny(f: Function, x: Value, value: Value) -> Value:
    """``value``, but ``x`` itself where that is nearest, and for zeros, whose sign it keeps."""
    tiny = f.fcmp("olt", magnitude(f, x), f.const(x.type, 2.0 ** -(format_of(x).mantissa // 2 + 2)))
    return f.select(tiny, x, value)
