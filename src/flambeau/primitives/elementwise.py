"""Elementwise primitives: one row each - how NumPy computes it, what it takes, its derivative.

A derivative row has one function per operand, ``(g, *operands, result) -> g * d result / d operand``;
an elementwise Jacobian is diagonal, so the same row serves reverse and forward mode.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flambeau.dtypes import DType, bool_, complex_of, default_float, of_number, promote, real_of
from flambeau.errors import DTypeError, OperandError, ShapeError
from flambeau.graph.builder import Var, emit
from flambeau.graph.primitive import Lowering, NoGradient, Primitive, Rule
from flambeau.graph.types import TensorType
from flambeau.primitives import numerics
from flambeau.primitives.views import (
    Number,
    broadcast,
    broadcast_shapes,
    broadcast_to,
    constant,
    full,
    shape_text,
    wide,
    zeros_like,
)

_KINDS = {"b": "bool", "i": "int", "u": "uint", "f": "float", "c": "complex"}

Derivative = Callable[..., Var | None]
Unary = Callable[[Var], Var]
Binary = Callable[[Var | Number, Var | Number], Var]


def _zero(g: Var, *_: Var) -> Var:
    """The derivative of a step function."""
    return zeros_like(g)


def _check_same(name: str, operands: Sequence[TensorType]) -> None:
    first = operands[0]
    for other in operands[1:]:
        if other.shape != first.shape:
            raise ShapeError(f"{name}: shapes {shape_text(first.shape)} and {shape_text(other.shape)} differ")
        if other.dtype is not first.dtype:
            raise DTypeError(f"{name}: dtypes {first.dtype} and {other.dtype} differ")


def batch_elementwise(name: str) -> Rule:
    """Batching for primitives that act on each element: unbatched operands are repeated."""

    def rule(inputs: Sequence[Var], batched: Sequence[bool], **attrs: Any) -> Any:
        size = next(x.shape[0] for x, b in zip(inputs, batched, strict=True) if b)
        full_inputs = [
            x if b else broadcast(x, (size, *x.shape), range(1, x.ndim + 1))
            for x, b in zip(inputs, batched, strict=True)
        ]
        return emit(_TABLE[name], *full_inputs, **attrs)

    return rule


def _vjp_rule(derivatives: Sequence[Derivative]) -> Rule:
    def rule(g: Var, inputs: Sequence[Var], outputs: Sequence[Var], **attrs: Any) -> Any:
        return tuple(
            d(g, *inputs, *outputs, **attrs) if x.dtype.floating else None
            for d, x in zip(derivatives, inputs, strict=True)
        )

    return rule


def _jvp_rule(derivatives: Sequence[Derivative]) -> Rule:
    def rule(t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var], **attrs: Any) -> Any:
        total: Var | None = None
        for d, tangent in zip(derivatives, t, strict=True):
            term = None if tangent is None else d(tangent, *inputs, *outputs, **attrs)
            if term is not None:
                total = term if total is None else add(total, term)
        return (total,)

    return rule


_TABLE: dict[str, Primitive] = {}


def _quiet(function: Callable[..., Any]) -> Rule:
    """NumPy without its warnings, half precision computed in float32 and rounded once."""

    def reference(*arrays: np.ndarray, **attrs: Any) -> np.ndarray:
        with np.errstate(all="ignore"):
            out = np.asarray(function(*[wide(a) for a in arrays], **attrs))
        half = arrays[-1].dtype
        return out.astype(half) if wide(arrays[-1]) is not arrays[-1] and out.dtype == np.float32 else out

    return reference


def elementwise(
    name: str,
    accepts: str,
    function: Callable[..., Any],
    *derivatives: Derivative,
    arity: int = 1,
    result: DType | Callable[[DType], DType] | None = None,
) -> Primitive:
    """Register an elementwise primitive of ``arity`` operands of one dtype.

    ``accepts`` lists the kinds of dtype (b, i, u, f, c); ``result`` is the dtype of the result
    where it is not that of the operands.  No derivatives means that the result has none.
    """
    kinds = {_KINDS[k] for k in accepts}

    def infer(*operands: TensorType) -> TensorType:
        if len(operands) != arity:
            raise OperandError(f"{name}: takes {arity} operands, not {len(operands)}")
        _check_same(name, operands)
        dtype = operands[0].dtype
        if dtype.kind not in kinds:
            raise DTypeError(f"{name}: is not defined for {dtype}")
        out = dtype if result is None else result if isinstance(result, DType) else result(dtype)
        return TensorType(operands[0].shape, out)

    reason = NoGradient(f"{name} has no derivative")
    made = Primitive(
        name,
        infer=infer,
        reference=_quiet(function),
        vjp=_vjp_rule(derivatives) if derivatives else reason,
        jvp=_jvp_rule(derivatives) if derivatives else reason,
        batch=batch_elementwise(name),
        lowering=Lowering.ELEMENTWISE,
    )
    _TABLE[name] = made
    return made


# --- operands: numbers, promotion, broadcasting ----------------------------------------------


def harmonize_dtypes(name: str, *operands: Var | Number) -> list[Var]:
    """Operands as values of their common dtype."""
    values = [x for x in operands if isinstance(x, Var)]
    if not values:
        raise OperandError(f"{name}: at least one operand must be a tensor")
    dtype = values[0].dtype
    for x in values[1:]:
        if x.dtype is not dtype:
            try:
                dtype = promote(dtype, x.dtype)
            except TypeError as error:
                raise DTypeError(f"{name}: {error}") from None
    for operand in operands:
        if not isinstance(operand, Var):
            dtype = of_number(operand, dtype)
    return [cast(x, dtype) if isinstance(x, Var) else constant(x, dtype) for x in operands]


def harmonize(name: str, *operands: Var | Number) -> list[Var]:
    """Operands as values of one dtype and one shape, by the rules of promotion and broadcasting."""
    cast_values = harmonize_dtypes(name, *operands)
    first = cast_values[0].shape
    if all(x.shape == first for x in cast_values):
        return cast_values
    shape = broadcast_shapes(name, *[x.shape for x in cast_values])
    return [broadcast_to(x, shape) for x in cast_values]


def to_float(x: Var) -> Var:
    """Integers and booleans as the default floating-point dtype."""
    return x if x.dtype.inexact else cast(x, default_float)


def unary(primitive: Primitive, floating: bool = False) -> Unary:
    """The builder of a one-operand primitive; ``floating`` converts integers first."""

    def build(x: Var) -> Var:
        return emit(primitive, to_float(x) if floating else x)

    build.__name__ = primitive.name
    return build


def binary(primitive: Primitive, floating: bool = False) -> Binary:
    """The builder of a two-operand primitive, with promotion and broadcasting."""

    def build(x: Var | Number, y: Var | Number) -> Var:
        if floating:
            x = to_float(x) if isinstance(x, Var) else x
            y = to_float(y) if isinstance(y, Var) else y
        return emit(primitive, *harmonize(primitive.name, x, y))

    build.__name__ = primitive.name
    return build


def _bool(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arrays: np.asarray(function(*arrays), dtype=np.bool_)


# --- cast and select -------------------------------------------------------------------------


def _infer_cast(x: TensorType, *, dtype: DType) -> TensorType:
    if x.dtype.kind == "complex" and dtype.kind not in ("complex", "bool"):
        raise DTypeError(f"cast: {x.dtype} has no {dtype} value: take real(x) or abs(x) first")
    return TensorType(x.shape, dtype)


def _ref_cast(x: np.ndarray, *, dtype: DType) -> np.ndarray:
    """Numbers no integer of ``dtype`` can hold become its nearest end, NaN becomes 0.

    NumPy leaves these to the processor, and the same bits are wanted on every machine.
    """
    with np.errstate(all="ignore"):
        result = x.astype(dtype.numpy)
        if dtype.kind in ("int", "uint") and x.dtype.kind not in "biu":
            ends = np.iinfo(dtype.numpy)
            numbers = x.astype(np.float64)
            result = np.where(numbers >= float(ends.max), dtype.numpy.type(ends.max), result)
            result = np.where(numbers <= float(ends.min), dtype.numpy.type(ends.min), result)
            result = np.where(np.isnan(numbers), dtype.numpy.type(0), result)
    return result


cast_p = Primitive(
    "cast",
    infer=_infer_cast,
    reference=_ref_cast,
    vjp=lambda g, inputs, outputs, dtype: (
        cast(g, inputs[0].dtype) if inputs[0].dtype.floating and dtype.floating else None,
    ),
    jvp=lambda t, inputs, outputs, dtype: (
        cast(t[0], dtype) if t[0] is not None and dtype.floating else None,
    ),
    batch=lambda inputs, batched, dtype: cast(inputs[0], dtype),
    lowering=Lowering.ELEMENTWISE,
)


def cast(x: Var, dtype: DType) -> Var:
    """``x`` converted to ``dtype``."""
    return x if x.dtype is dtype else emit(cast_p, x, dtype=dtype)


def _infer_select(condition: TensorType, x: TensorType, y: TensorType) -> TensorType:
    if condition.dtype is not bool_:
        raise DTypeError(f"select: the condition must be bool, not {condition.dtype}")
    _check_same("select", (x, y))
    if condition.shape != x.shape:
        raise ShapeError(f"select: shapes {shape_text(condition.shape)} and {shape_text(x.shape)} differ")
    return x


def _vjp_select(g: Var, inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    zero = zeros_like(g)
    return (None, select(inputs[0], g, zero), select(inputs[0], zero, g))


def _jvp_select(t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    if t[1] is None and t[2] is None:
        return (None,)
    zero = zeros_like(outputs[0])
    return (select(inputs[0], zero if t[1] is None else t[1], zero if t[2] is None else t[2]),)


select_p = Primitive(
    "select",
    infer=_infer_select,
    reference=lambda c, x, y: np.where(c, x, y),
    vjp=_vjp_select,
    jvp=_jvp_select,
    batch=batch_elementwise("select"),
    lowering=Lowering.ELEMENTWISE,
)
_TABLE["select"] = select_p


def select(condition: Var, x: Var | Number, y: Var | Number) -> Var:
    """``x`` where the condition holds, else ``y``."""
    if not isinstance(x, Var) and not isinstance(y, Var):
        dtype = promote(of_number(x), of_number(y))
        x, y = constant(x, dtype), constant(y, dtype)
    x, y = harmonize("where", x, y)
    shape = broadcast_shapes("where", condition.shape, x.shape)
    return emit(select_p, broadcast_to(condition, shape), broadcast_to(x, shape), broadcast_to(y, shape))


# --- arithmetic ------------------------------------------------------------------------------

_neg = elementwise("neg", "iufc", np.negative, lambda g, x, y: neg(g))
_abs = elementwise("abs", "iufc", np.abs, lambda g, x, y: mul(g, sign(x)), result=real_of)
_sign = elementwise("sign", "iufc", np.sign, _zero)
_square = elementwise("square", "iufc", np.square, lambda g, x, y: mul(g, mul(x, 2)))
_reciprocal = elementwise("reciprocal", "fc", np.reciprocal, lambda g, x, y: neg(mul(g, square(y))))
_add = elementwise("add", "iufc", np.add, lambda g, x, y, z: g, lambda g, x, y, z: g, arity=2)
_sub = elementwise("sub", "iufc", np.subtract, lambda g, x, y, z: g, lambda g, x, y, z: neg(g), arity=2)
_mul = elementwise(
    "mul", "iufc", np.multiply, lambda g, x, y, z: mul(g, y), lambda g, x, y, z: mul(g, x), arity=2
)
_div = elementwise(
    "div",
    "fc",
    np.divide,
    lambda g, x, y, z: div(g, y),
    lambda g, x, y, z: neg(div(mul(g, z), y)),
    arity=2,
)


_floor_div = elementwise("floor_div", "iuf", numerics.floor_divide, _zero, _zero, arity=2)
_mod = elementwise(
    "mod",
    "iuf",
    np.remainder,
    lambda g, x, y, z: g,
    lambda g, x, y, z: neg(mul(g, floor_div(x, y))),
    arity=2,
)


def _d_pow_base(g: Var, x: Var, y: Var, z: Var) -> Var:
    slope = mul(y, pow(x, sub(y, 1)))
    return mul(g, select(eq(y, 0), zeros_like(slope), slope))


def _d_pow_exponent(g: Var, x: Var, y: Var, z: Var) -> Var:
    safe = select(logical_and(eq(x, 0), ge(y, 0)), ones(x), x)
    return mul(g, mul(z, log(safe)))


def ones(x: Var) -> Var:
    """Ones like ``x``."""
    return full(x.shape, 1, x.dtype)


def _ref_pow(x: np.ndarray, y: np.ndarray) -> Any:
    try:
        return np.power(x, y)
    except ValueError:  # what NumPy says of integers
        raise OperandError("pow: integers have no negative powers: cast to a floating-point dtype") from None


_pow = elementwise("pow", "iufc", _ref_pow, _d_pow_base, _d_pow_exponent, arity=2)


def _d_extremum(wins: Callable[[Var, Var], Var]) -> tuple[Derivative, Derivative]:
    """Ties share the gradient equally."""

    def share(g: Var, x: Var, y: Var) -> Var:
        return select(wins(x, y), g, select(eq(x, y), mul(g, 0.5), zeros_like(g)))

    return (lambda g, x, y, z: share(g, x, y), lambda g, x, y, z: share(g, y, x))


_maximum = elementwise("maximum", "biuf", np.maximum, *_d_extremum(lambda x, y: gt(x, y)), arity=2)
_minimum = elementwise("minimum", "biuf", np.minimum, *_d_extremum(lambda x, y: lt(x, y)), arity=2)
_relu = elementwise(
    "relu", "iuf", lambda x: np.maximum(x, 0), lambda g, x, y: select(gt(y, 0), g, zeros_like(g))
)
_copysign = elementwise(
    "copysign",
    "f",
    np.copysign,
    lambda g, x, y, z: mul(g, mul(sign(x), select(signbit(y), full(y.shape, -1, y.dtype), ones(y)))),
    _zero,
    arity=2,
)
_nextafter = elementwise("nextafter", "f", np.nextafter, arity=2)
_hypot = elementwise(
    "hypot",
    "f",
    np.hypot,
    lambda g, x, y, z: mul(g, div(x, z)),
    lambda g, x, y, z: mul(g, div(y, z)),
    arity=2,
)

neg: Unary = unary(_neg)
abs: Unary = unary(_abs)
sign: Unary = unary(_sign)
square: Unary = unary(_square)
reciprocal: Unary = unary(_reciprocal, floating=True)
relu: Unary = unary(_relu)
add: Binary = binary(_add)
sub: Binary = binary(_sub)
mul: Binary = binary(_mul)
div: Binary = binary(_div, floating=True)
floor_div: Binary = binary(_floor_div)
mod: Binary = binary(_mod)
pow: Binary = binary(_pow)
maximum: Binary = binary(_maximum)
minimum: Binary = binary(_minimum)
copysign: Binary = binary(_copysign)
nextafter: Binary = binary(_nextafter)
hypot: Binary = binary(_hypot, floating=True)


def integer_pow(x: Var, exponent: int) -> Var:
    """``x`` raised to a fixed integer, by repeated squaring (Knuth, TAOCP 4.6.3)."""
    if exponent < 0:
        return reciprocal(integer_pow(to_float(x), -exponent))
    if exponent == 0:
        return ones(x)
    result: Var | None = None
    base = x
    while True:
        if exponent & 1:
            result = base if result is None else mul(result, base)
        exponent >>= 1
        if not exponent:
            return result if result is not None else base
        base = square(base)


# --- exponentials, logarithms, powers --------------------------------------------------------

_LN2, _LN10 = math.log(2.0), math.log(10.0)


_exp = elementwise("exp", "fc", np.exp, lambda g, x, y: mul(g, y))
_exp2 = elementwise("exp2", "f", np.exp2, lambda g, x, y: mul(g, mul(y, _LN2)))


_expm1 = elementwise("expm1", "fc", numerics.expm1, lambda g, x, y: mul(g, add(y, 1)))
_log = elementwise("log", "fc", np.log, lambda g, x, y: div(g, x))
_log2 = elementwise("log2", "fc", np.log2, lambda g, x, y: div(g, mul(x, _LN2)))
_log10 = elementwise("log10", "fc", np.log10, lambda g, x, y: div(g, mul(x, _LN10)))
_log1p = elementwise("log1p", "fc", np.log1p, lambda g, x, y: div(g, add(x, 1)))
_sqrt = elementwise("sqrt", "fc", np.sqrt, lambda g, x, y: div(mul(g, 0.5), y))
_rsqrt = elementwise(
    "rsqrt", "f", lambda x: (1 / np.sqrt(x)).astype(x.dtype), lambda g, x, y: mul(mul(g, -0.5), div(y, x))
)


_tanh = elementwise("tanh", "fc", numerics.tanh, lambda g, x, y: mul(g, sub(1, square(y))))
_sigmoid = elementwise("sigmoid", "f", numerics.sigmoid, lambda g, x, y: mul(g, mul(y, sub(1, y))))
_erf = elementwise(
    "erf", "f", numerics.erf, lambda g, x, y: mul(g, mul(exp(neg(square(x))), 2 / math.sqrt(math.pi)))
)
_logaddexp = elementwise(
    "logaddexp",
    "f",
    np.logaddexp,
    lambda g, x, y, z: mul(g, sigmoid(sub(x, y))),
    lambda g, x, y, z: mul(g, sigmoid(sub(y, x))),
    arity=2,
)

exp: Unary = unary(_exp, floating=True)
exp2: Unary = unary(_exp2, floating=True)
expm1: Unary = unary(_expm1, floating=True)
log: Unary = unary(_log, floating=True)
log2: Unary = unary(_log2, floating=True)
log10: Unary = unary(_log10, floating=True)
log1p: Unary = unary(_log1p, floating=True)
sqrt: Unary = unary(_sqrt, floating=True)
rsqrt: Unary = unary(_rsqrt, floating=True)
tanh: Unary = unary(_tanh, floating=True)
sigmoid: Unary = unary(_sigmoid, floating=True)
erf: Unary = unary(_erf, floating=True)
logaddexp: Binary = binary(_logaddexp, floating=True)


# --- trigonometry ----------------------------------------------------------------------------

_sin = elementwise("sin", "fc", np.sin, lambda g, x, y: mul(g, cos(x)))
_cos = elementwise("cos", "fc", np.cos, lambda g, x, y: neg(mul(g, sin(x))))
_tan = elementwise("tan", "fc", np.tan, lambda g, x, y: mul(g, add(1, square(y))))
_asin = elementwise("asin", "fc", np.arcsin, lambda g, x, y: mul(g, rsqrt(sub(1, square(x)))))
_acos = elementwise("acos", "fc", np.arccos, lambda g, x, y: neg(mul(g, rsqrt(sub(1, square(x))))))
_atan = elementwise("atan", "fc", np.arctan, lambda g, x, y: div(g, add(1, square(x))))
_sinh = elementwise("sinh", "fc", np.sinh, lambda g, x, y: mul(g, cosh(x)))
_cosh = elementwise("cosh", "fc", np.cosh, lambda g, x, y: mul(g, sinh(x)))
_asinh = elementwise("asinh", "fc", np.arcsinh, lambda g, x, y: mul(g, rsqrt(add(square(x), 1))))
_acosh = elementwise("acosh", "fc", np.arccosh, lambda g, x, y: mul(g, rsqrt(sub(square(x), 1))))
_atanh = elementwise("atanh", "fc", np.arctanh, lambda g, x, y: div(g, sub(1, square(x))))
_atan2 = elementwise(
    "atan2",
    "f",
    np.arctan2,
    lambda g, x, y, z: div(mul(g, y), add(square(x), square(y))),
    lambda g, x, y, z: neg(div(mul(g, x), add(square(x), square(y)))),
    arity=2,
)

sin: Unary = unary(_sin, floating=True)
cos: Unary = unary(_cos, floating=True)
tan: Unary = unary(_tan, floating=True)
asin: Unary = unary(_asin, floating=True)
acos: Unary = unary(_acos, floating=True)
atan: Unary = unary(_atan, floating=True)
sinh: Unary = unary(_sinh, floating=True)
cosh: Unary = unary(_cosh, floating=True)
asinh: Unary = unary(_asinh, floating=True)
acosh: Unary = unary(_acosh, floating=True)
atanh: Unary = unary(_atanh, floating=True)
atan2: Binary = binary(_atan2, floating=True)


# --- rounding, tests, comparison, logic ------------------------------------------------------


def _rounder(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x: x if x.dtype.kind in "iub" else function(x)


_floor = elementwise("floor", "iuf", _rounder(np.floor), _zero)
_ceil = elementwise("ceil", "iuf", _rounder(np.ceil), _zero)
_trunc = elementwise("trunc", "iuf", _rounder(np.trunc), _zero)
_round = elementwise("round", "iufc", np.round, _zero)
_is_nan = elementwise("is_nan", "biufc", _bool(np.isnan), result=bool_)
_is_inf = elementwise("is_inf", "biufc", _bool(np.isinf), result=bool_)
_is_finite = elementwise("is_finite", "biufc", _bool(np.isfinite), result=bool_)
_signbit = elementwise("signbit", "f", _bool(np.signbit), result=bool_)
_eq = elementwise("eq", "biufc", _bool(np.equal), arity=2, result=bool_)
_ne = elementwise("ne", "biufc", _bool(np.not_equal), arity=2, result=bool_)
_lt = elementwise("lt", "biuf", _bool(np.less), arity=2, result=bool_)
_le = elementwise("le", "biuf", _bool(np.less_equal), arity=2, result=bool_)
_gt = elementwise("gt", "biuf", _bool(np.greater), arity=2, result=bool_)
_ge = elementwise("ge", "biuf", _bool(np.greater_equal), arity=2, result=bool_)
_logical_not = elementwise("logical_not", "biufc", _bool(np.logical_not), result=bool_)
_logical_and = elementwise("logical_and", "biufc", _bool(np.logical_and), arity=2, result=bool_)
_logical_or = elementwise("logical_or", "biufc", _bool(np.logical_or), arity=2, result=bool_)
_logical_xor = elementwise("logical_xor", "biufc", _bool(np.logical_xor), arity=2, result=bool_)
_bitwise_not = elementwise("bitwise_not", "biu", np.bitwise_not)
_bitwise_and = elementwise("bitwise_and", "biu", np.bitwise_and, arity=2)
_bitwise_or = elementwise("bitwise_or", "biu", np.bitwise_or, arity=2)
_bitwise_xor = elementwise("bitwise_xor", "biu", np.bitwise_xor, arity=2)
_shift_left = elementwise("shift_left", "iu", np.left_shift, arity=2)
_shift_right = elementwise("shift_right", "iu", np.right_shift, arity=2)

floor: Unary = unary(_floor)
ceil: Unary = unary(_ceil)
trunc: Unary = unary(_trunc)
round: Unary = unary(_round)
is_nan: Unary = unary(_is_nan)
is_inf: Unary = unary(_is_inf)
is_finite: Unary = unary(_is_finite)
signbit: Unary = unary(_signbit)
eq: Binary = binary(_eq)
ne: Binary = binary(_ne)
lt: Binary = binary(_lt)
le: Binary = binary(_le)
gt: Binary = binary(_gt)
ge: Binary = binary(_ge)
logical_not: Unary = unary(_logical_not)
logical_and: Binary = binary(_logical_and)
logical_or: Binary = binary(_logical_or)
logical_xor: Binary = binary(_logical_xor)
bitwise_not: Unary = unary(_bitwise_not)
bitwise_and: Binary = binary(_bitwise_and)
bitwise_or: Binary = binary(_bitwise_or)
bitwise_xor: Binary = binary(_bitwise_xor)
shift_left: Binary = binary(_shift_left)
shift_right: Binary = binary(_shift_right)


# --- complex numbers -------------------------------------------------------------------------


_real = elementwise("real", "c", np.real, result=real_of)
_imag = elementwise("imag", "c", np.imag, result=real_of)
_conj = elementwise("conj", "c", np.conj)


def _complex_result(dtype: DType) -> DType:
    if dtype.itemsize < 4:
        raise DTypeError(f"complex: there are no complex numbers with {dtype} parts")
    return complex_of(dtype)


_complex = elementwise("complex", "f", numerics.complex, arity=2, result=_complex_result)

real: Unary = unary(_real)
imag: Unary = unary(_imag)
conj: Unary = unary(_conj)
complex: Binary = binary(_complex)
