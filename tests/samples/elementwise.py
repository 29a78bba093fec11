"""Samples of the elementwise primitives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flambeau import dtypes
from flambeau.graph.builder import emit
from flambeau.graph.primitive import primitive
from flambeau.primitives import control, gather
from flambeau.primitives import elementwise as e
from samples.core import COMPLEX, FLOATS, INTS, SHAPES, UINTS, add, name_of, random

_KINDS: dict[str, tuple[Any, ...]] = {"b": (np.bool_,), "i": INTS, "u": UINTS, "f": FLOATS, "c": COMPLEX}
_erf = np.vectorize(math.erf, otypes=[np.float64])


def _low(x: np.ndarray) -> np.ndarray:
    """Half precision is compared with what float32 gives."""
    return x.astype(np.float32) if x.dtype.name in ("float16", "bfloat16") else x


def _unary(
    name: str,
    kinds: str,
    expected: Any,
    low: float = -3,
    high: float = 3,
    torch: str | None = None,
    smooth: bool = True,
) -> None:
    def function(x: Any) -> Any:
        return emit(primitive(name), x)

    def quiet(x: np.ndarray) -> Any:
        with np.errstate(all="ignore"):
            return expected(_low(x))

    def by_torch(t: Any, x: Any) -> Any:
        return getattr(t, torch or name)(x)

    for shape in SHAPES:
        add(
            name,
            function,
            lambda rng, shape=shape: (
                [random(rng, shape, np.float64, low, high)]
                if "f" in kinds
                else [random(rng, shape, _KINDS[kinds[0]][-1], low, high)]
            ),
            quiet,
            label=f"{shape}",
            smooth=smooth and "f" in kinds,
            torch=by_torch if torch and "f" in kinds else None,
        )
    for kind in kinds:
        for dtype in _KINDS[kind]:
            add(
                name,
                function,
                lambda rng, dtype=dtype: [random(rng, (7, 5), dtype, low, high)],
                quiet,
                label=name_of(dtype),
                smooth=False,
            )
    if "f" in kinds:
        special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-310, 1e300, 1.0, -1.0])
        add(
            name,
            function,
            lambda rng: [special],
            quiet,
            label="special",
            smooth=False,
            torch=by_torch if torch else None,
        )


def _binary(
    name: str,
    kinds: str,
    expected: Any,
    low: float = -3,
    high: float = 3,
    torch: str | None = None,
    smooth: bool = True,
    second: tuple[float, float] | None = None,
) -> None:
    low2, high2 = second or (low, high)

    def function(x: Any, y: Any) -> Any:
        return emit(primitive(name), x, y)

    def quiet(x: np.ndarray, y: np.ndarray) -> Any:
        with np.errstate(all="ignore"):
            return expected(_low(x), _low(y))

    def by_torch(t: Any, x: Any, y: Any) -> Any:
        return getattr(t, torch or name)(x, y)

    def maker(shape: Any, dtype: Any) -> Any:
        return lambda rng: [random(rng, shape, dtype, low, high), random(rng, shape, dtype, low2, high2)]

    main = np.float64 if "f" in kinds else _KINDS[kinds[0]][-1]
    for shape in SHAPES:
        add(
            name,
            function,
            maker(shape, main),
            quiet,
            label=f"{shape}",
            smooth=smooth and "f" in kinds,
            torch=by_torch if torch and "f" in kinds else None,
        )
    for kind in kinds:
        for dtype in _KINDS[kind]:
            add(name, function, maker((7, 5), dtype), quiet, label=name_of(dtype), smooth=False)
    if "f" in kinds:
        numbers = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -2.0])
        x, y = (v.reshape(-1) for v in np.meshgrid(numbers, numbers))
        by = by_torch if torch else None
        add(name, function, lambda rng: [x, y], quiet, label="special", smooth=False, torch=by)


_unary("neg", "iufc", np.negative, torch="neg")
_unary("abs", "iufc", np.abs, torch="abs")
_unary("sign", "iufc", np.sign)  # PyTorch gives 0 for NaN
_unary("square", "iufc", lambda x: x * x, torch="square")
_unary("reciprocal", "fc", lambda x: np.ones((), x.dtype) / x, 0.3, 3, torch="reciprocal")
_unary("relu", "iuf", lambda x: np.maximum(x, 0), torch="relu")
_unary("exp", "fc", np.exp, torch="exp")
_unary("exp2", "f", np.exp2, torch="exp2")
_unary("expm1", "fc", np.expm1, torch="expm1")
_unary("log", "fc", np.log, 0.2, 3, torch="log")
_unary("log2", "fc", np.log2, 0.2, 3, torch="log2")
_unary("log10", "fc", np.log10, 0.2, 3, torch="log10")
_unary("log1p", "fc", np.log1p, -0.8, 3, torch="log1p")
_unary("sqrt", "fc", np.sqrt, 0.2, 3, torch="sqrt")
_unary("rsqrt", "f", lambda x: np.ones((), x.dtype) / np.sqrt(x), 0.2, 3, torch="rsqrt")
_unary("tanh", "fc", np.tanh, torch="tanh")
_unary("sigmoid", "f", lambda x: 1 / (1 + np.exp(-x.astype(np.float64))), torch="sigmoid")
_unary("erf", "f", lambda x: _erf(x.astype(np.float64)) if x.size else x, torch="erf")
_unary("sin", "fc", np.sin, torch="sin")
_unary("cos", "fc", np.cos, torch="cos")
_unary("tan", "fc", np.tan, -1.2, 1.2, torch="tan")
_unary("asin", "fc", np.arcsin, -0.9, 0.9, torch="asin")
_unary("acos", "fc", np.arccos, -0.9, 0.9, torch="acos")
_unary("atan", "fc", np.arctan, torch="atan")
_unary("sinh", "fc", np.sinh, torch="sinh")
_unary("cosh", "fc", np.cosh, torch="cosh")
_unary("asinh", "fc", np.arcsinh, torch="asinh")
_unary("acosh", "fc", np.arccosh, 1.2, 3, torch="acosh")
_unary("atanh", "fc", np.arctanh, -0.9, 0.9, torch="atanh")
_unary("floor", "iuf", np.floor, torch="floor")
_unary("ceil", "iuf", np.ceil, torch="ceil")
_unary("trunc", "iuf", np.trunc, torch="trunc")
_unary("round", "iufc", np.round, torch="round")
_unary("is_nan", "biufc", np.isnan)
_unary("is_inf", "biufc", np.isinf)
_unary("is_finite", "biufc", np.isfinite)
_unary("signbit", "f", np.signbit, torch="signbit")
_unary("logical_not", "biufc", np.logical_not)
_unary("bitwise_not", "biu", np.bitwise_not)
_unary("real", "c", np.real)
_unary("imag", "c", np.imag)
_unary("conj", "c", np.conj)

_binary("add", "iufc", np.add, torch="add")
_binary("sub", "iufc", np.subtract, torch="sub")
_binary("mul", "iufc", np.multiply, torch="mul")
_binary("div", "fc", np.true_divide, torch="div", second=(0.3, 3))


def _floor_div(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """NumPy's, but an infinite operand gives the floor of the quotient, as the array API has it."""
    if x.dtype.kind != "f":
        return np.floor_divide(x, y)
    return np.where(np.isinf(x) | np.isinf(y), np.floor(x / y), np.floor_divide(x, y))


_binary("floor_div", "iuf", _floor_div, second=(1, 3))
_binary("mod", "iuf", np.remainder, second=(1, 3))
_binary("pow", "iufc", np.power, 1, 3, torch="pow")
_binary("maximum", "biuf", np.maximum, torch="maximum")
_binary("minimum", "biuf", np.minimum, torch="minimum")
_binary("copysign", "f", np.copysign, torch="copysign")
_binary("nextafter", "f", np.nextafter, smooth=False)
_binary("hypot", "f", np.hypot, torch="hypot")
_binary("logaddexp", "f", np.logaddexp, torch="logaddexp")
_binary("atan2", "f", np.arctan2, torch="atan2")
for _name in ("eq", "ne"):
    _binary(_name, "biufc", {"eq": np.equal, "ne": np.not_equal}[_name], torch=_name)
for _name, _function in (
    ("lt", np.less),
    ("le", np.less_equal),
    ("gt", np.greater),
    ("ge", np.greater_equal),
):
    _binary(_name, "biuf", _function, torch=_name)
for _name in ("and", "or", "xor"):
    _binary(f"logical_{_name}", "biufc", getattr(np, f"logical_{_name}"))
    _binary(f"bitwise_{_name}", "biu", getattr(np, f"bitwise_{_name}"))
_binary("shift_left", "iu", np.left_shift, 0, 7, second=(0, 4))
_binary("shift_right", "iu", np.right_shift, -90, 90, second=(0, 4))

# --- the others ------------------------------------------------------------------------------


def _complex(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack([x, y], -1).view(np.result_type(x.dtype, np.complex64))[..., 0]


for _shape in SHAPES:
    for _dtype in (np.float32, np.float64):
        add(
            "complex",
            e.complex,
            lambda rng, s=_shape, d=_dtype: [random(rng, s, d), random(rng, s, d)],
            _complex,
            label=f"{_shape}-{name_of(_dtype)}",
            smooth=False,
        )
add(
    "complex",
    e.complex,
    lambda rng: [np.array([np.inf, 1.0, np.nan, -0.0]), np.array([0.0, -np.inf, 1.0, -0.0])],
    _complex,
    label="special",
    smooth=False,
)

for _to in dtypes.ALL:
    for _from in (np.bool_, np.int8, np.int64, np.uint16, np.float32, np.float64, np.float16):
        add(
            "cast",
            lambda x, to=_to: emit(primitive("cast"), x, dtype=to),
            lambda rng, dtype=_from: [random(rng, (7, 3), dtype, 0, 3)],
            lambda x, to=_to: x.astype(to.numpy),
            label=f"{name_of(_from)}-{_to}",
            smooth=_from is np.float64 and _to is dtypes.float64,
        )
for _shape in SHAPES:
    add(
        "select",
        e.select,
        lambda rng, s=_shape: [
            random(rng, s, np.bool_),
            random(rng, s, np.float64),
            random(rng, s, np.float64),
        ],
        np.where,
        label=f"{_shape}",
        torch=lambda t, c, x, y: t.where(c, x, y),
    )
for _dtype in (np.bool_, np.int32, np.uint8, np.float32, np.complex64):
    add(
        "select",
        e.select,
        lambda rng, d=_dtype: [random(rng, (7,), np.bool_), random(rng, (7,), d), random(rng, (7,), d)],
        np.where,
        label=name_of(_dtype),
        smooth=False,
    )
# what flows back is nothing, so finite differences do not apply
add(
    "stop_gradient",
    control.stop_gradient,
    lambda rng: [random(rng, (7,), np.float64)],
    lambda x: x,
    smooth=False,
)
add(
    "in_range",
    lambda x: gather.in_range(x, 9, "a label"),
    lambda rng: [rng.integers(0, 9, (2, 7))],
    lambda x: x,
)
add("fresh", control.fresh, lambda rng: [random(rng, (7,), np.float64)], lambda x: x)
add(
    "barrier",
    control.barrier,
    lambda rng: [random(rng, (7,), np.float64), random(rng, (3, 2), np.float64)],
    lambda x, y: [x, y],
)
