"""Elementwise operations: how each is emitted for each dtype, on vectors of any width.

Values live in registers as follows: ``bool`` is an ``i1`` mask, integers are themselves, and
``float16`` and ``bfloat16`` are ``float`` numbers that have been rounded to their dtype, so each
operation on them is computed in float32 and rounded once more.
"""

from __future__ import annotations

from collections.abc import Callable

from flambeau.compiler import bit_ops, division, functions
from flambeau.compiler.ir import Function, Value, element_of, like, mangled
from flambeau.dtypes import DType, bfloat16, bool_, float16, float32, float64, uint32, uint64

Emitter = Callable[..., Value]

_REGISTER = {"float16": "float", "bfloat16": "float", "float32": "float", "float64": "double", "bool": "i1"}
_MEMORY = {"float16": "half", "bfloat16": "i16", "float32": "float", "float64": "double", "bool": "i8"}

TRANSCENDENTAL = tuple(functions.FUNCTIONS)
_FLOAT_ONLY = {*TRANSCENDENTAL, "sqrt", "rsqrt", "reciprocal", "div", "copysign", "nextafter"} - {"pow"}
_THROUGH_DOUBLE = {
    "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "asinh", "acosh", "atanh", "log10", "logaddexp",
    "hypot",
}  # fmt: skip
_NOT_BOOL = {
    "neg",
    "abs",
    "sign",
    "square",
    "sub",
    "fma",
    "floor",
    "ceil",
    "round",
    "trunc",
    "relu",
    "floor_div",
    "mod",
    "pow",
}
_ANY_NUMBER = {"add", "mul", "maximum", "minimum"}
_COMPARE = {"eq", "ne", "lt", "le", "gt", "ge"}
_TEST = {"is_nan", "is_inf", "is_finite", "signbit"}
_LOGICAL = {"logical_not", "logical_and", "logical_or", "logical_xor"}
_BITWISE = {"bitwise_not", "bitwise_and", "bitwise_or", "bitwise_xor"}
_SHIFTS = {"shift_left", "shift_right"}
_ARITY = {"select": 3, "fma": 3} | dict.fromkeys(
    ("add", "sub", "mul", "div", "maximum", "minimum", "pow", *_COMPARE, "logical_and", "logical_or",
     "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor", *_SHIFTS, "floor_div", "mod", "copysign",
     "nextafter", "atan2", "logaddexp", "hypot"), 2
)  # fmt: skip

OPS = frozenset({"select", "cast", "bitcast"}).union(
    _FLOAT_ONLY, _NOT_BOOL, _ANY_NUMBER, _COMPARE, _TEST, _LOGICAL, _BITWISE, _SHIFTS
)


def supports(op: str, dtype: DType, operands: tuple[DType, ...]) -> bool:
    """Whether ``op`` on operands of these dtypes, giving ``dtype``, can be generated."""
    if op == "random_bits":
        return dtype in (uint32, uint64) and operands[:2] == (uint64, uint64)
    if op not in OPS or dtype.kind == "complex" or any(d.kind == "complex" for d in operands):
        return False
    if len(operands) != _ARITY.get(op, 1):
        return False
    if op == "cast":
        return True
    if op == "bitcast":
        return dtype.itemsize == operands[0].itemsize and "bool" not in (dtype.kind, operands[0].kind)
    if op == "select":
        return operands[0] is bool_ and operands[1] is operands[2] is dtype
    first = operands[0]
    if any(d is not first for d in operands):
        return False
    if op in _COMPARE or op in _TEST or op in _LOGICAL:
        return dtype is bool_ and (op != "signbit" or first.floating)
    if dtype is not first:
        return False
    if op in _FLOAT_ONLY:
        return first.floating
    if op in _BITWISE:
        return not first.floating
    if op in _SHIFTS:
        return first.kind in ("int", "uint")
    return op in _ANY_NUMBER or first is not bool_


def cost(op: str, dtype: DType) -> float:
    """About how many vector instructions ``op`` takes; a vector of float64 counts double."""
    wide = 2.0 if dtype is float64 else 1.0
    if op == "pow":
        return 90.0 * wide
    if op == "random_bits":
        return 60.0
    if op in _THROUGH_DOUBLE:
        return 100.0
    if op in ("sin", "cos", "erf", "tanh", "log2", "expm1"):
        return 30.0 * wide
    if op in ("floor_div", "mod"):
        return 50.0 * wide
    if op in TRANSCENDENTAL:
        return 20.0 * wide
    if op in ("div", "sqrt", "rsqrt", "reciprocal"):
        return 8.0 * wide
    return 1.0


# Registers and memory ---------------------------------------------------------------------------


def register_element(dtype: DType) -> str:
    """The LLVM type of one value in a register."""
    return _REGISTER.get(dtype.name) or f"i{dtype.bits}"


def memory_element(dtype: DType) -> str:
    """The LLVM type of one element in memory."""
    return _MEMORY.get(dtype.name) or f"i{dtype.bits}"


def from_memory(f: Function, value: Value, dtype: DType) -> Value:
    """A value as loaded, made a register value."""
    if dtype is bool_:
        return f.icmp("ne", value, f.zero(value.type))
    if dtype is float16:
        return f.convert("fpext", value, "float")
    if dtype is bfloat16:
        wide = f.convert("zext", value, "i32")
        return f.convert("bitcast", f.binary("shl", wide, f.const(wide.type, 16)), "float")
    return value


def to_memory(f: Function, value: Value, dtype: DType) -> Value:
    """A register value, made what is stored."""
    if dtype is bool_:
        return f.convert("zext", value, "i8")
    if dtype is float16:
        return f.convert("fptrunc", value, "half")
    if dtype is bfloat16:
        bits = f.convert("bitcast", value, "i32")
        return f.convert("trunc", f.binary("lshr", bits, f.const(bits.type, 16)), "i16")
    return value


def rounded(f: Function, value: Value, dtype: DType) -> Value:
    """A float32 result rounded to a 16-bit dtype (ties to even); others are left as they are."""
    if dtype is float16:
        return f.convert("fpext", f.convert("fptrunc", value, "half"), "float")
    if dtype is not bfloat16:
        return value
    bits = f.convert("bitcast", value, "i32")
    odd = f.binary("and", f.binary("lshr", bits, f.const(bits.type, 16)), f.const(bits.type, 1))
    up = f.add(bits, f.add(odd, f.const(bits.type, 0x7FFF)))
    quiet = f.binary("or", bits, f.const(bits.type, 0x400000))
    chosen = f.select(f.fcmp("uno", value, value), quiet, up)
    return f.convert("bitcast", f.binary("and", chosen, f.const(bits.type, 0xFFFF0000)), "float")


def constant(f: Function, dtype: DType, number: float | int | bool, lanes: int) -> Value:
    """A number of a dtype in ``lanes`` lanes, rounded as NumPy would."""
    if dtype is float16 or dtype is bfloat16:
        number = float(dtype.numpy.type(number))
    return f.const(f"<{lanes} x {register_element(dtype)}>", number)


def emit(f: Function, op: str, dtype: DType, args: list[Value], operands: tuple[DType, ...]) -> Value:
    """Emits ``op``, which ``supports`` has admitted, on register values; gives a register value."""
    if op == "cast":
        return _cast(f, args[0], operands[0], dtype)
    if op == "bitcast":
        return bit_ops.bitcast(f, args[0], operands[0], dtype)
    if op == "select":
        return f.select(args[0], args[1], args[2])
    if op == "random_bits":
        return functions.random_bits(f, dtype, *args)
    if op in _LOGICAL:
        masks = [_cast(f, a, d, bool_) for a, d in zip(args, operands, strict=True)]
        return _EMITTERS[op.replace("logical", "bitwise")](f, bool_, *masks)
    value = _EMITTERS[op](f, operands[0], *args)
    return rounded(f, value, dtype) if dtype.itemsize == 2 and dtype.floating else value


def accumulator(dtype: DType) -> DType:
    """The dtype that a reduction of ``dtype`` keeps its partial results in."""
    return float32 if dtype is float16 or dtype is bfloat16 else dtype


def combine(f: Function, op: str, dtype: DType, a: Value, b: Value) -> Value:
    """``op`` on two accumulated values of ``dtype``, not rounded to 16 bits."""
    return _EMITTERS[op](f, dtype, a, b)


# Arithmetic -------------------------------------------------------------------------------------


def _neg(f: Function, d: DType, x: Value) -> Value:
    return f.fneg(x) if d.floating else f.sub(f.zero(x.type), x)


def _abs(f: Function, d: DType, x: Value) -> Value:
    if d.floating:
        return f.intrinsic("fabs", x.type, x)
    if d.kind == "uint":
        return x
    return f.select(f.icmp("slt", x, f.zero(x.type)), _neg(f, d, x), x)


def _sign(f: Function, d: DType, x: Value) -> Value:
    zero, one = f.zero(x.type), f.const(x.type, 1)
    if d.floating:
        below = f.select(f.fcmp("olt", x, zero), f.const(x.type, -1), zero)
        known = f.select(f.fcmp("ogt", x, zero), one, below)
        return f.select(f.fcmp("uno", x, x), x, known)
    if d.kind == "uint":
        return f.convert("zext", f.icmp("ne", x, zero), element_of(x.type))
    below = f.convert("sext", f.icmp("slt", x, zero), element_of(x.type))
    return f.select(f.icmp("sgt", x, zero), one, below)


def _sqrt(f: Function, d: DType, x: Value) -> Value:
    return f.intrinsic("sqrt", x.type, x)


def _reciprocal(f: Function, d: DType, x: Value) -> Value:
    return f.binary("fdiv", f.const(x.type, 1), x)


def _rsqrt(f: Function, d: DType, x: Value) -> Value:
    return _reciprocal(f, d, _sqrt(f, d, x))


def _relu(f: Function, d: DType, x: Value) -> Value:
    zero = f.zero(x.type)
    if d.floating:
        return f.select(f.fcmp("ole", x, zero), zero, x)  # a NaN is not <= 0 and stays
    return x if d.kind == "uint" else f.select(f.icmp("slt", x, zero), zero, x)


def _arithmetic(float_op: str, int_op: str, mask_op: str) -> Emitter:
    def emitted(f: Function, d: DType, a: Value, b: Value) -> Value:
        return f.binary(float_op if d.floating else mask_op if d is bool_ else int_op, a, b)

    return emitted


def _square(f: Function, d: DType, x: Value) -> Value:
    return f.binary("fmul" if d.floating else "mul", x, x)


def _fma(f: Function, d: DType, a: Value, b: Value, c: Value) -> Value:
    return f.fma(a, b, c) if d.floating else f.add(f.mul(a, b), c)


def _extreme(float_predicate: str, int_predicate: str, mask_op: str) -> Emitter:
    def emitted(f: Function, d: DType, a: Value, b: Value) -> Value:
        if d is bool_:
            return f.binary(mask_op, a, b)
        if d.floating:
            # The comparison gives b where either is NaN: only a NaN in a is left to keep.
            chosen = f.select(f.fcmp("o" + float_predicate, a, b), a, b)
            return f.select(f.fcmp("uno", a, a), a, chosen)
        return f.select(f.icmp(("u" if d.kind == "uint" else "s") + int_predicate, a, b), a, b)

    return emitted


def _compare(predicate: str) -> Emitter:
    def emitted(f: Function, d: DType, a: Value, b: Value) -> Value:
        if d.floating:
            return f.fcmp("une" if predicate == "ne" else "o" + predicate, a, b)
        if predicate in ("eq", "ne"):
            return f.icmp(predicate, a, b)
        return f.icmp(("s" if d.kind == "int" else "u") + predicate, a, b)

    return emitted


def _test(predicate: str) -> Emitter:
    def emitted(f: Function, d: DType, x: Value) -> Value:
        if not d.floating:
            return f.const(like(x.type, "i1"), predicate == "one_finite")
        if predicate == "nan":
            return f.fcmp("uno", x, x)
        size = f.intrinsic("fabs", x.type, x)
        infinity = f.const(x.type, float("inf"))
        return f.fcmp("oeq" if predicate == "inf" else "olt", size, infinity)

    return emitted


def _round(intrinsic: str) -> Emitter:
    def emitted(f: Function, d: DType, x: Value) -> Value:
        return f.intrinsic(intrinsic, x.type, x) if d.floating else x

    return emitted


def _bitwise(op: str) -> Emitter:
    def emitted(f: Function, d: DType, a: Value, b: Value) -> Value:
        return f.binary(op, a, b)

    return emitted


def _shift_left(f: Function, d: DType, x: Value, count: Value) -> Value:
    """Bits moved out are gone: moving by as many bits as there are, or more, leaves 0."""
    fits = f.icmp("ult", count, f.const(count.type, d.bits))
    return f.select(fits, f.binary("shl", x, count), f.zero(x.type))


def _shift_right(f: Function, d: DType, x: Value, count: Value) -> Value:
    if d.kind == "int":  # fills up with the sign
        return f.binary("ashr", x, f.intrinsic("umin", x.type, count, f.const(x.type, d.bits - 1)))
    fits = f.icmp("ult", count, f.const(count.type, d.bits))
    return f.select(fits, f.binary("lshr", x, count), f.zero(x.type))


def _bitwise_not(f: Function, d: DType, x: Value) -> Value:
    return f.binary("xor", x, f.const(x.type, -1 if d is not bool_ else True))


def _function(name: str) -> Emitter:
    def emitted(f: Function, d: DType, *args: Value) -> Value:
        return functions.emit(f, name, *args)

    return emitted


_EMITTERS: dict[str, Emitter] = {
    "neg": _neg, "abs": _abs, "sign": _sign, "square": _square,
    "sqrt": _sqrt, "rsqrt": _rsqrt, "reciprocal": _reciprocal, "relu": _relu,
    "floor": _round("floor"), "ceil": _round("ceil"), "round": _round("roundeven"), "trunc": _round("trunc"),
    "is_nan": _test("nan"), "is_inf": _test("inf"), "is_finite": _test("one_finite"),
    "add": _arithmetic("fadd", "add", "or"), "sub": _arithmetic("fsub", "sub", "xor"),
    "mul": _arithmetic("fmul", "mul", "and"), "div": _arithmetic("fdiv", "sdiv", "and"), "fma": _fma,
    "maximum": _extreme("gt", "gt", "or"), "minimum": _extreme("lt", "lt", "and"),
    "bitwise_and": _bitwise("and"), "bitwise_or": _bitwise("or"), "bitwise_xor": _bitwise("xor"),
    "bitwise_not": _bitwise_not, "shift_left": _shift_left, "shift_right": _shift_right,
    "floor_div": division.floor_div, "mod": division.mod,
    "signbit": bit_ops.signbit, "copysign": bit_ops.copysign, "nextafter": bit_ops.nextafter,
}  # fmt: skip
_EMITTERS.update({predicate: _compare(predicate) for predicate in _COMPARE})
_EMITTERS.update({name: _function(name) for name in TRANSCENDENTAL})


def _power(f: Function, d: DType, x: Value, y: Value) -> Value:
    return functions.emit(f, "pow", x, y) if d.floating else division.integer_power(f, d, x, y)


_EMITTERS["pow"] = _power


# Conversions ------------------------------------------------------------------------------------


def _cast(f: Function, x: Value, source: DType, to: DType) -> Value:
    if source is to:
        return x
    if to is bool_:
        zero = f.zero(x.type)
        return f.fcmp("une", x, zero) if source.floating else f.icmp("ne", x, zero)
    element = register_element(to)
    if source.floating and to.floating:
        return _float_to_float(f, x, source, to)
    if to.floating:
        op = "sitofp" if source.kind == "int" else "uitofp"
        return rounded(f, f.convert(op, x, element), to)
    if source.floating:
        # Numbers that the integer type cannot hold become its nearest end, NaN becomes 0: NumPy
        # leaves these undefined, and the same bits are wanted on every machine.
        result = like(x.type, element)
        name = "fptosi.sat" if to.kind == "int" else "fptoui.sat"
        return f.intrinsic(name, result, x, suffix=_pair(result, x.type))
    if to.bits < source.bits:
        return f.convert("trunc", x, element)
    return f.convert("sext" if source.kind == "int" else "zext", x, element)


def _pair(result: str, argument: str) -> str:
    return f"{mangled(result)}.{mangled(argument)}"


def _float_to_float(f: Function, x: Value, source: DType, to: DType) -> Value:
    if to is float64:
        return f.convert("fpext", x, "double")
    if source is not float64:
        return rounded(f, x, to)
    near = f.convert("fptrunc", x, "float")
    return near if to is float32 else rounded(f, _odd(f, x, near), to)


def _odd(f: Function, x: Value, near: Value) -> Value:
    """A float64 rounded to odd: an inexact result's last bit is set.

    Rounding that again to fewer bits gives what rounding once would (S. Boldo, G. Melquiond, 2008).
    """
    back = f.convert("fpext", near, "double")
    bits = f.convert("bitcast", near, "i32")
    one = f.const(bits.type, 1)
    even = f.icmp("eq", f.binary("and", bits, one), f.zero(bits.type))
    inexact = f.binary("and", f.fcmp("one", back, x), even)
    larger = f.fcmp("ogt", f.intrinsic("fabs", x.type, x), f.intrinsic("fabs", x.type, back))
    moved = f.select(larger, f.add(bits, one), f.sub(bits, one))
    return f.convert("bitcast", f.select(inexact, moved, bits), "float")
