"""Operations on the bits of numbers: signs, neighbours, and the same bits as another dtype."""

from __future__ import annotations

from flambeau.compiler.functions.common import with_sign
from flambeau.compiler.ir import Function, Value
from flambeau.dtypes import DType, bfloat16, float16


def bits_of(f: Function, d: DType, x: Value) -> Value:
    """The bits of register values of a dtype, as integers of its size."""
    if d is float16:
        return f.convert("bitcast", f.convert("fptrunc", x, "half"), "i16")
    if d is bfloat16:
        wide = f.convert("bitcast", x, "i32")
        return f.convert("trunc", f.binary("lshr", wide, f.const(wide.type, 16)), "i16")
    return f.convert("bitcast", x, f"i{d.bits}") if d.floating else x


def from_bits(f: Function, d: DType, bits: Value) -> Value:
    """Register values of a dtype with given bits."""
    if d is float16:
        return f.convert("fpext", f.convert("bitcast", bits, "half"), "float")
    if d is bfloat16:
        wide = f.convert("zext", bits, "i32")
        return f.convert("bitcast", f.binary("shl", wide, f.const(wide.type, 16)), "float")
    return f.convert("bitcast", bits, "double" if d.bits == 64 else "float") if d.floating else bits


def bitcast(f: Function, x: Value, source: DType, to: DType) -> Value:
    """The same bits as another dtype."""
    return from_bits(f, to, bits_of(f, source, x))


def copysign(f: Function, d: DType, x: Value, y: Value) -> Value:
    """The magnitude of one number with the sign of another."""
    return with_sign(f, x, y)


def signbit(f: Function, d: DType, x: Value) -> Value:
    """Whether the sign of a number, or of a zero or NaN, is minus."""
    bits = f.convert("bitcast", x, "i64" if d.bits == 64 else "i32")
    return f.icmp("slt", bits, f.zero(bits.type))


def nextafter(f: Function, d: DType, x: Value, y: Value) -> Value:
    """The number next to ``x`` on the way to ``y``."""
    bits = bits_of(f, d, x)
    one = f.const(bits.type, 1)
    up = f.fcmp("olt", x, y)
    away = f.binary("xor", up, f.icmp("slt", bits, f.zero(bits.type)))  # from zero
    moved = f.select(away, f.add(bits, one), f.sub(bits, one))
    sign = f.const(bits.type, -(1 << (d.bits - 1)))
    least = f.select(up, one, f.binary("or", sign, one))
    size = f.binary("and", bits, f.const(bits.type, (1 << (d.bits - 1)) - 1))
    moved = f.select(f.icmp("eq", size, f.zero(bits.type)), least, moved)
    value = f.select(f.fcmp("oeq", x, y), y, from_bits(f, d, moved))
    return f.select(f.fcmp("uno", x, y), f.binary("fadd", x, y), value)
