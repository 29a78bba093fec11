"""Element by element: one operand, two operands, operators, in-place operators, limits."""

# ruff: noqa: E501 - tables, a case a line

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flambeau as fb
from tests.ops.families.case import Case, case, inner, numbers, positive

X, Y = numbers(3, 5), numbers(3, 5, seed=1)
P = positive(3, 5)
ROW, COLUMN, ONE = numbers(5), numbers(3, 1), numbers(1, 1)
LARGE = numbers(4, 3, low=-30.0, high=30.0)
WHOLE = (X * 10).astype(int)


def _one(name: str, theirs: str, array: Any, **options: Any) -> Case:
    return case(name, getattr(fb, name), lambda t, x: getattr(t, theirs)(x), array, **options)


UNARY = [
    _one("abs", "abs", X),
    _one("negative", "neg", X),
    _one("positive", "positive", X),
    _one("square", "square", X),
    _one("sqrt", "sqrt", P),
    _one("rsqrt", "rsqrt", P),
    _one("reciprocal", "reciprocal", P),
    _one("reciprocal", "reciprocal", X, variant="signs"),
    _one("exp", "exp", X),
    _one("exp", "exp", LARGE, variant="large"),
    _one("exp2", "exp2", X),
    _one("expm1", "expm1", X),
    _one("expm1", "expm1", X / 1024, variant="small"),
    _one("log", "log", P),
    _one("log2", "log2", P),
    _one("log10", "log10", P),
    _one("log1p", "log1p", P),
    _one("log1p", "log1p", X / 1024, variant="small"),
    _one("sin", "sin", X),
    _one("sin", "sin", LARGE, variant="large"),
    _one("cos", "cos", X),
    _one("cos", "cos", LARGE, variant="large"),
    _one("tan", "tan", inner(3, 5)),
    _one("asin", "asin", inner(3, 5)),
    _one("acos", "acos", inner(3, 5)),
    _one("atan", "atan", X),
    _one("atan", "atan", LARGE, variant="large"),
    _one("sinh", "sinh", X),
    _one("cosh", "cosh", X),
    _one("tanh", "tanh", X),
    _one("tanh", "tanh", LARGE, variant="large"),
    _one("asinh", "asinh", X),
    _one("acosh", "acosh", P + 1),
    _one("atanh", "atanh", inner(3, 5)),
    _one("erf", "erf", X),
    _one("sigmoid", "sigmoid", X),
    _one("sigmoid", "sigmoid", LARGE, variant="large"),
    _one("relu", "relu", X),
    _one("real", "real", X),
    _one("conj", "conj", X),
    # constant in pieces: the gradient is 0
    _one("sign", "sign", X),
    _one("floor", "floor", LARGE),
    _one("ceil", "ceil", LARGE),
    _one("round", "round", LARGE),
    _one("trunc", "trunc", LARGE),
    # values alone
    _one("isnan", "isnan", X, differentiable=False),
    _one("isinf", "isinf", X, differentiable=False),
    _one("isfinite", "isfinite", X, differentiable=False),
    _one("signbit", "signbit", X, differentiable=False),
    _one("logical_not", "logical_not", X > 0, differentiable=False),
    _one("bitwise_invert", "bitwise_not", WHOLE, differentiable=False),
]  # fmt: skip


def _two(name: str, theirs: str, x: Any = X, y: Any = Y, **options: Any) -> list[Case]:
    """Operands of one shape, and of shapes that broadcast."""
    ours = getattr(fb, name)
    other = lambda t, a, b: getattr(t, theirs)(a, b)  # noqa: E731
    return [
        case(name, ours, other, x, y, **options),
        case(name, ours, other, x, y[0], variant="row", **options),
        case(name, ours, other, x[:, :1], y[:1], variant="outer", **options),
    ]


BINARY = [
    *_two("add", "add"),
    *_two("subtract", "subtract"),
    *_two("multiply", "multiply"),
    *_two("divide", "divide", X, P),
    *_two("remainder", "remainder", LARGE, P[:3, :3].repeat(2, 0)[:4]),
    case("floor_divide", fb.floor_divide, lambda t, x, y: t.div(x, y, rounding_mode="floor"), LARGE, P[0, :3]),
    *_two("pow", "pow", P, Y),
    *_two("maximum", "maximum"),
    *_two("minimum", "minimum"),
    *_two("hypot", "hypot"),
    *_two("copysign", "copysign"),
    *_two("logaddexp", "logaddexp"),
    case("logaddexp", fb.logaddexp, lambda t, x, y: t.logaddexp(x, y), LARGE, LARGE[::-1].copy(), variant="large"),
    *_two("atan2", "atan2"),
    case("add", lambda x, y: x + y, lambda t, x, y: x + y, ONE, X, variant="scalar-like"),
    case("multiply", lambda x: x * x, lambda t, x: x * x, X, variant="same"),
    *[
        c
        for name, theirs in [
            ("equal", "eq"), ("not_equal", "ne"), ("less", "lt"), ("less_equal", "le"),
            ("greater", "gt"), ("greater_equal", "ge"),
        ]
        for c in _two(name, theirs, differentiable=False)
    ],
    *[
        c
        for name in ("logical_and", "logical_or", "logical_xor")
        for c in _two(name, name, X > 0, Y > 0, differentiable=False)
    ],
    *[
        c
        for name in ("bitwise_and", "bitwise_or", "bitwise_xor")
        for c in _two(name, name, WHOLE, WHOLE[::-1].copy(), differentiable=False)
    ],
    *_two("bitwise_left_shift", "bitwise_left_shift", WHOLE, abs(WHOLE), differentiable=False),
    *_two("bitwise_right_shift", "bitwise_right_shift", WHOLE, abs(WHOLE), differentiable=False),
    *_two("nextafter", "nextafter", differentiable=False),
    case("isclose", fb.isclose, lambda t, x, y: t.isclose(x, y), X, X + 1e-6 * Y, differentiable=False),
    case("allclose", lambda x: fb.allclose(x, x), lambda t, x: t.tensor(True), X, differentiable=False),
]  # fmt: skip


# Python numbers beside tensors.
NUMBERS = [
    case("add", lambda x: x + 2.5, lambda t, x: t.add(x, 2.5), X, variant="number"),
    case("add", lambda x: 2.5 + x, lambda t, x: 2.5 + x, X, variant="number-left"),
    case("subtract", lambda x: x - 2.5, lambda t, x: t.sub(x, 2.5), X, variant="number"),
    # PyTorch calls this a function of its own
    case("rsub", lambda x: 2.5 - x, lambda t, x: t.rsub(x, 2.5), X),
    case("multiply", lambda x: x * 2.5, lambda t, x: t.mul(x, 2.5), X, variant="number"),
    case("divide", lambda x: x / 2.5, lambda t, x: t.div(x, 2.5), X, variant="number"),
    case("divide", lambda x: 2.5 / x, lambda t, x: 2.5 / x, X, variant="of-number"),
    case("pow", lambda x: x**3, lambda t, x: x**3, X, variant="integer"),
    case("pow", lambda x: x**2, lambda t, x: x**2, X, variant="integer-square"),
    case("pow", lambda x: x**-2, lambda t, x: x**-2, X, variant="integer-negative"),
    case("pow", lambda x: x**0, lambda t, x: x**0, X, variant="integer-zero"),
    case("pow", lambda x: x**1.7, lambda t, x: x**1.7, P, variant="float"),
    case("pow", lambda x: 1.7**x, lambda t, x: 1.7**x, X, variant="of-number"),
    case("remainder", lambda x: x % 0.7, lambda t, x: t.remainder(x, 0.7), X, variant="number"),
    case(
        "maximum",
        lambda x: fb.maximum(x, 0.5),
        lambda t, x: t.maximum(x, t.tensor(0.5, dtype=x.dtype)),
        X,
        variant="number",
    ),
]


def _changed(change: Callable[[Any, Any], Any], start: Callable[[Any], Any]) -> Callable[..., Any]:
    """A function that changes what it just made from its argument in place, and gives it back."""

    def run(x: Any, y: Any) -> Any:
        z = start(x)
        before = z * 1.0
        z = change(z, y)
        return z * before  # what was read before the change must not change

    return run


def _iadd(x: Any, y: Any) -> Any:
    x += y
    return x


def _isub(x: Any, y: Any) -> Any:
    x -= y
    return x


def _imul(x: Any, y: Any) -> Any:
    x *= y
    return x


def _itruediv(x: Any, y: Any) -> Any:
    x /= y
    return x


def _ipow(x: Any, y: Any) -> Any:
    x **= y
    return x


def _imod(x: Any, y: Any) -> Any:
    x %= y
    return x


def _twice(x: Any) -> Any:
    return x * 2.0


def _in_place(name: str, change: Callable[[Any, Any], Any], x: Any, y: Any, variant: str = "") -> Case:
    run = _changed(change, _twice)
    return case(name, run, lambda t, a, b: run(a, b), x, y, variant=variant)


IN_PLACE = [
    _in_place("x += y", _iadd, X, Y),
    _in_place("x += y", _iadd, X, ROW, "row"),
    _in_place("x -= y", _isub, X, Y),
    _in_place("x -= y", _isub, X, COLUMN, "column"),
    _in_place("x *= y", _imul, X, Y),
    _in_place("x *= y", _imul, X, ROW, "row"),
    _in_place("x /= y", _itruediv, X, P),
    _in_place("x **= y", _ipow, P, Y),
    _in_place("x %= y", _imod, X, P),
]

LOW, HIGH = numbers(3, 5, low=-1.5, high=-0.4), numbers(3, 5, low=0.4, high=1.5)
LIMITS = [
    case("clip", lambda x: fb.clip(x, -0.8, 1.1), lambda t, x: t.clamp(x, -0.8, 1.1), X),
    case("clip", fb.clip, lambda t, x, a, b: t.clamp(x, a, b), X, LOW, HIGH, variant="tensors"),
    case("clip low", lambda x: fb.clip(x, min=-0.8), lambda t, x: t.clamp_min(x, -0.8), X),
    case("clip high", lambda x: fb.clip(x, max=0.8), lambda t, x: t.clamp_max(x, 0.8), X),
    case("where", lambda x, y, m: fb.where(m, x, y), lambda t, x, y, m: t.where(m, x, y), X, Y, Y > X),
    case("where", lambda x, y, m: fb.where(m, x, y), lambda t, x, y, m: t.where(m, x, y), COLUMN, ROW, Y > X, variant="broadcast"),
    case("where", lambda x, m: fb.where(m, x, 3.0), lambda t, x, m: t.where(m, x, 3.0), X, Y > X, variant="number"),
    case("where", lambda x: fb.where(x > 0, fb.exp(x), x * x), lambda t, x: t.where(x > 0, t.exp(x), x * x), X, variant="of-itself"),
]  # fmt: skip

CASES: list[Case] = [*UNARY, *BINARY, *NUMBERS, *IN_PLACE, *LIMITS]
