"""The elementary functions: errors in ULP, special values, and the same bits for every width."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from flambeau.compiler import elementwise
from flambeau.compiler.functions import FUNCTIONS
from flambeau.compiler.target import Target
from flambeau.dtypes import DType, float32, float64
from tests.compiler.builders import host_targets, same_bits, simple
from tests.compiler.exact import BINARY_IN_FLOAT64, IN_FLOAT64, errors, evaluate, over_all, worst
from tests.compiler.jit import assembly

UNARY = list(IN_FLOAT64)
BINARY = list(BINARY_IN_FLOAT64)
LIMIT_32 = 2.0  # ULP
LIMIT_64 = 2.0
LIMITS_64 = {"tan": 3.0, "asinh": 3.0, "acosh": 3.0, "atanh": 3.0, "sinh": 3.0}


@pytest.mark.parametrize("name", UNARY)
def test_float32_at_samples_of_all_magnitudes(name: str) -> None:
    g = np.random.default_rng(0)
    x = np.concatenate([
        g.integers(0, 2**32, 200_000, dtype=np.uint32).view(np.float32),
        np.linspace(-12, 12, 100_001, dtype=np.float32),
        np.linspace(-110, 100, 100_001, dtype=np.float32),
    ])  # fmt: skip
    found = worst(name, x)
    assert found.error <= LIMIT_32, found


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", UNARY)
def test_float32_at_every_argument(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """All 2^32 arguments: one to four minutes a function on one core."""
    found = over_all(name)
    with capsys.disabled():
        print(f"\n{name}: at most {found.error:.3f} ULP, at {found.at!r}")
    assert found.error <= LIMIT_32


def test_the_functions_are_all_here() -> None:
    assert {*UNARY, *BINARY} == set(FUNCTIONS)
    assert not set(UNARY) & set(BINARY)


def exact_64(name: str, x: float) -> mpmath.mpf:
    value = mpmath.mpf(x)
    if name == "sigmoid":
        return 1 / (1 + mpmath.exp(-value))
    if name == "log2":
        return mpmath.log(value, 2)
    return mpmath.mpf(2) ** value if name == "exp2" else getattr(mpmath, name)(value)


def error_64(got: float, exact: mpmath.mpf) -> float:
    unit = np.spacing(abs(float(exact)))
    return float(abs(mpmath.mpf(got) - exact) / mpmath.mpf(float(unit)))


RANGES = {
    "exp": (-708, 709), "exp2": (-1022, 1023), "expm1": (-40, 709), "sigmoid": (-700, 40), "tanh": (-20, 20),
    "log": (1e-300, 100), "log2": (1e-300, 4), "log1p": (-0.999, 10), "erf": (-6, 6),
    "sin": (-1e3, 1e3), "cos": (-1e3, 1e3), "tan": (-1e3, 1e3),
    "asin": (-1, 1), "acos": (-1, 1), "atan": (-20, 20), "sinh": (-710, 710), "cosh": (-710, 710),
    "asinh": (-1e3, 1e3), "acosh": (1, 1e3), "atanh": (-1, 1), "log10": (1e-300, 100),
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_float64_at_samples(name: str) -> None:
    g = np.random.default_rng(1)
    low, high = RANGES[name]
    near = g.uniform(max(low, -1), min(high, 1), 600) * 10.0 ** g.integers(-3, 1, 600)
    parts = [g.uniform(low, high, 600), near]
    if name in ("sin", "cos", "tan"):
        parts.append(2.0 ** g.uniform(-60, 1023, 200))
        parts.append(np.arange(1, 60) * (math.pi / 2))
    if name == "acosh":
        parts = [np.abs(p) + 1 for p in parts] + [2.0 ** g.uniform(0, 1023, 300)]
    if name in ("asinh", "atan"):
        parts.append(2.0 ** g.uniform(-60, 1023, 300))
    if name in ("log", "log2", "log10"):
        parts = [np.abs(p) for p in parts] + [2.0 ** g.uniform(-1073, 1023, 300)]
    x = np.concatenate(parts)
    got = evaluate(name, float64, x)
    with mpmath.workprec(1400 if name in ("sin", "cos", "tan") else 160):
        found = [error_64(y, exact_64(name, v)) for v, y in zip(x.tolist(), got.tolist(), strict=True)]
    at = int(np.argmax(found))
    assert found[at] <= LIMITS_64.get(name, LIMIT_64), (found[at], x[at])


@pytest.mark.parametrize("name", [n for n in BINARY if n != "pow"])
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_functions_of_two_numbers(name: str, dtype: DType) -> None:
    g = np.random.default_rng(5)
    count = 200_000 if dtype is float32 else 500
    x, y = (
        (g.uniform(-30, 30, count) * 10.0 ** g.integers(-8, 2, count)).astype(dtype.numpy) for _ in range(2)
    )
    got = evaluate(name, dtype, x, y)
    if dtype is float32:
        found = errors(got, BINARY_IN_FLOAT64[name](x.astype(np.float64), y.astype(np.float64)))
        assert found.max() <= 0.6
        return
    with mpmath.workprec(200):
        found_64 = []
        for a, b, v in zip(x.tolist(), y.tolist(), got.tolist(), strict=True):
            exact = exact_of_two(name, mpmath.mpf(a), mpmath.mpf(b))
            # Where a sum of exponentials is near 1, its logarithm is as wrong as the larger exponent.
            size = max(abs(exact), abs(mpmath.mpf(max(a, b)))) if name == "logaddexp" else abs(exact)
            found_64.append(abs(mpmath.mpf(v) - exact) / float(np.spacing(float(size))))
    assert max(found_64) <= LIMIT_64


def exact_of_two(name: str, x: mpmath.mpf, y: mpmath.mpf) -> mpmath.mpf:
    if name == "logaddexp":
        return mpmath.log(mpmath.exp(x) + mpmath.exp(y))
    return getattr(mpmath, name)(x, y)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", [n for n in BINARY if n != "pow"])
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_functions_of_two_special_numbers(name: str, dtype: DType) -> None:
    numbers = np.array([v for v in SPECIAL if abs(v) == 0 or abs(v) > 1e-300 or v != v], dtype.numpy)
    x, y = (a.ravel().copy() for a in np.meshgrid(numbers, numbers))
    got, expected = evaluate(name, dtype, x, y), BINARY_IN_FLOAT64[name](x, y)
    np.testing.assert_allclose(got, expected, rtol=3 * np.finfo(dtype.numpy).eps)
    assert (np.signbit(got) == np.signbit(expected))[~np.isnan(expected)].all()


def test_pow_float32() -> None:
    g = np.random.default_rng(2)
    x = np.concatenate([np.exp2(g.uniform(-126, 126, 100_000)), g.uniform(0, 10, 100_000)]).astype(np.float32)
    y = np.concatenate([g.uniform(-2, 2, 100_000), g.uniform(-40, 40, 100_000)]).astype(np.float32)
    with np.errstate(all="ignore"):
        found = errors(evaluate("pow", float32, x, y), np.power(x.astype(np.float64), y.astype(np.float64)))
    assert found.max() <= 0.51


def test_pow_float64() -> None:
    g = np.random.default_rng(3)
    x = np.concatenate([np.exp2(g.uniform(-10, 10, 500)), 1 + g.uniform(-1e-3, 1e-3, 500)])
    y = np.concatenate([g.uniform(-100, 100, 500), g.uniform(-7e5, 7e5, 500)])
    got = evaluate("pow", float64, x, y)
    with mpmath.workprec(200):
        found = [
            error_64(v, mpmath.mpf(a) ** mpmath.mpf(b))
            for a, b, v in zip(x.tolist(), y.tolist(), got.tolist(), strict=True)
        ]
    assert max(found) <= LIMIT_64


SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.0,
    -2.0,
    0.5,
    -0.5,
    3.0,
    -3.0,
    math.inf,
    -math.inf,
    math.nan,
    1e30,
    1e-310,
    -1e-310,
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_pow_at_special_values(dtype: DType) -> None:
    numbers = np.array([*SPECIAL, np.finfo(dtype.numpy).smallest_subnormal], dtype.numpy)
    x, y = (a.ravel().copy() for a in np.meshgrid(numbers, numbers))
    got, expected = evaluate("pow", dtype, x, y), np.power(x, y)
    np.testing.assert_allclose(got, expected, rtol=3 * np.finfo(dtype.numpy).eps)
    assert (np.signbit(got) == np.signbit(expected))[~np.isnan(expected)].all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
@pytest.mark.parametrize("name", UNARY)
def test_special_values(name: str, dtype: DType) -> None:
    info = np.finfo(dtype.numpy)
    edges = [-104.5, -103.5, -87.5, 88.5, 89.5, -746.5, -744.5, 709.5, 710.5]
    tiny = [info.tiny, info.smallest_subnormal, -info.tiny, -info.smallest_subnormal, info.max, -info.max]
    x = np.array([*SPECIAL, *edges, *tiny], dtype.numpy)
    with mpmath.workprec(1400):
        for v, got in zip(x.tolist(), evaluate(name, dtype, x).tolist(), strict=True):
            expected = special(name, v)
            if not math.isfinite(expected) or expected == 0 or not math.isfinite(got):
                rounded = float(dtype.numpy.type(expected))
                assert got == rounded or (math.isnan(got) and math.isnan(rounded)), (v, got, expected)
                assert math.isnan(got) or math.copysign(1, got) == math.copysign(1, expected), (v, got)
            else:
                unit = float(np.spacing(dtype.numpy.type(abs(expected))))
                assert abs(got - expected) <= 2 * unit, (v, got, expected)


ODD = ("sin", "tanh", "erf", "expm1", "log1p", "tan", "asin", "atan", "sinh", "asinh", "atanh")


def special(name: str, x: float) -> float:
    """The exact value, with IEEE's limits."""
    if math.isnan(x):
        return math.nan
    if name in ("sin", "cos", "tan") and math.isinf(x):
        return math.nan
    if (name in ("asin", "acos", "atanh") and abs(x) > 1) or (name == "acosh" and x < 1):
        return math.nan
    if name == "atanh" and abs(x) == 1:
        return math.copysign(math.inf, x)
    if name in ("log", "log2", "log1p", "log10"):
        pole = -1.0 if name == "log1p" else 0.0
        if x <= pole:
            return -math.inf if x == pole else math.nan
    if math.isinf(x):
        limits = {
            "sigmoid": (0.0, 1.0),
            "tanh": (-1.0, 1.0),
            "erf": (-1.0, 1.0),
            "expm1": (-1.0, math.inf),
            "atan": (-math.pi / 2, math.pi / 2),
            "sinh": (-math.inf, math.inf),
            "asinh": (-math.inf, math.inf),
            "cosh": (math.inf, math.inf),
        }
        return limits.get(name, (0.0, math.inf))[x > 0]
    if x == 0 and name in ODD:
        return x
    if abs(x) > 1e5 and name in ("exp", "exp2", "expm1", "sigmoid", "sinh", "cosh"):
        return special(name, math.copysign(math.inf, x))
    return float(exact_64(name, x))


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
@pytest.mark.parametrize("name", UNARY)
def test_the_same_bits_for_every_width(name: str, dtype: DType) -> None:
    g = np.random.default_rng(4)
    whole = np.uint32 if dtype is float32 else np.uint64
    bits = g.integers(0, np.iinfo(whole).max, 3001, whole, endpoint=True).view(dtype.numpy)
    x = np.concatenate([bits, g.uniform(-20, 20, 3001).astype(dtype.numpy)])
    first, *others = host_targets()
    expected = evaluate(name, dtype, x, target=first)
    for target in others:
        assert same_bits(evaluate(name, dtype, x, target=target), expected)
        part = x[11:50].copy()
        assert same_bits(evaluate(name, dtype, part, target=target), expected[11:50])


@pytest.mark.parametrize("target", [Target.avx512(), Target.avx2(), Target.neon()], ids=lambda t: t.name)
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_no_library_calls(target: Target, dtype: DType) -> None:
    for name in FUNCTIONS:
        kernel = simple(name, (dtype,) * (1 if name in UNARY else 2), dtype)
        for line in assembly(elementwise.lower(kernel, target)[1], target).splitlines():
            words = line.split()
            if words and words[0] in ("call", "callq", "bl"):
                assert "reduce_huge" in line, (name, line)
