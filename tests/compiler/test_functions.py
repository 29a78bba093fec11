"""The elementary functions: errors in ULP, special values, and the same bits for every width."""

from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import numpy as np
import pytest

from flambeau.compiler import elementwise
from flambeau.compiler.functions import FUNCTIONS
from flambeau.compiler.target import Target
from flambeau.dtypes import DType, float32, float64
from tests.compiler.builders import host_targets, run, same_bits, simple
from tests.compiler.jit import assembly

UNARY = [name for name in FUNCTIONS if name != "pow"]
LIMIT_32 = 2.0  # ULP
LIMIT_64 = 2.0


def evaluate(name: str, dtype: DType, *args: np.ndarray, target: Target | None = None) -> np.ndarray:
    out = np.empty_like(args[0])
    run(simple(name, (dtype,) * len(args), dtype), [*args, out], out.shape, target)
    return out


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.where(x < 0, np.exp(x) / (1 + np.exp(x)), 1 / (1 + np.exp(-x)))


def _erf(x: np.ndarray) -> np.ndarray:
    """erf to some 1e-13 in float64: two terms of its series, all of them, its fraction, or one."""
    size = np.abs(np.where(np.isnan(x), 0, x))
    out = np.where(size > 6.0, 1.0, 2 / math.sqrt(math.pi) * size * (1 - np.minimum(size, 1) ** 2 / 3))
    middle = (size > 1e-4) & (size <= 3.0)
    small = size[middle]
    total, term = small.copy(), small.copy()
    for n in range(1, 60):
        term *= -small * small / n
        total += term / (2 * n + 1)
    out[middle] = total * (2 / math.sqrt(math.pi))
    upper = (size > 3.0) & (size <= 6.0)
    large = size[upper]
    fraction = large.copy()
    for n in range(60, 0, -1):
        fraction = large + (n / 2) / fraction
    out[upper] = 1 - np.exp(-large * large) / (fraction * math.sqrt(math.pi))
    return np.where(np.isnan(x), np.nan, np.copysign(out, x))


IN_FLOAT64: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log1p": np.log1p,
    "tanh": np.tanh, "sin": np.sin, "cos": np.cos, "sigmoid": _sigmoid, "erf": _erf,
}  # fmt: skip


def errors(got: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Errors of float32 results in units in the last place of the exact ones."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
        finite = np.where(np.isfinite(rounded), rounded, np.finfo(np.float32).max)
        unit = np.spacing(np.abs(finite)).astype(np.float64)
        error = np.abs(got.astype(np.float64) - exact) / unit
    right = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    error = np.where(np.isnan(error) | np.isinf(error), np.where(right, 0.0, np.inf), error)
    return np.where(right & ~np.isfinite(rounded), 0.0, error)


def worst(name: str, x: np.ndarray, target: Target | None = None) -> tuple[float, float]:
    """The largest error and where it is."""
    with np.errstate(all="ignore"):
        found = errors(evaluate(name, float32, x, target=target), IN_FLOAT64[name](x.astype(np.float64)))
    at = int(found.argmax())
    return float(found[at]), float(x[at])


@pytest.mark.parametrize("name", UNARY)
def test_float32_at_samples_of_all_magnitudes(name: str) -> None:
    g = np.random.default_rng(0)
    x = np.concatenate([
        g.integers(0, 2**32, 200_000, dtype=np.uint32).view(np.float32),
        np.linspace(-12, 12, 100_001, dtype=np.float32),
        np.linspace(-110, 100, 100_001, dtype=np.float32),
    ])  # fmt: skip
    error, at = worst(name, x)
    assert error <= LIMIT_32, (error, at)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", UNARY)
def test_float32_at_every_argument(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """All 2^32 arguments: one to four minutes a function on one core."""
    block = 1 << 22
    largest = (0.0, 0.0)
    for start in range(0, 1 << 32, block):
        x = np.arange(start, start + block, dtype=np.uint64).astype(np.uint32).view(np.float32)
        largest = max(largest, worst(name, x))
    with capsys.disabled():
        print(f"\n{name}: at most {largest[0]:.3f} ULP, at {largest[1]!r}")
    assert largest[0] <= LIMIT_32


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
    "sin": (-1e3, 1e3), "cos": (-1e3, 1e3),
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_float64_at_samples(name: str) -> None:
    g = np.random.default_rng(1)
    low, high = RANGES[name]
    near = g.uniform(max(low, -1), min(high, 1), 600) * 10.0 ** g.integers(-3, 1, 600)
    parts = [g.uniform(low, high, 600), near]
    if name in ("sin", "cos"):
        parts.append(2.0 ** g.uniform(-60, 1023, 200))
        parts.append(np.arange(1, 60) * (math.pi / 2))
    if name in ("log", "log2"):
        parts = [np.abs(p) for p in parts] + [2.0 ** g.uniform(-1073, 1023, 300)]
    x = np.concatenate(parts)
    got = evaluate(name, float64, x)
    with mpmath.workprec(1400 if name in ("sin", "cos") else 160):
        found = [error_64(y, exact_64(name, v)) for v, y in zip(x.tolist(), got.tolist(), strict=True)]
    at = int(np.argmax(found))
    assert found[at] <= LIMIT_64, (found[at], x[at])


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


def special(name: str, x: float) -> float:
    """The exact value, with IEEE's limits."""
    if math.isnan(x):
        return math.nan
    if name in ("sin", "cos") and math.isinf(x):
        return math.nan
    if name in ("log", "log2", "log1p"):
        pole = -1.0 if name == "log1p" else 0.0
        if x <= pole:
            return -math.inf if x == pole else math.nan
    if math.isinf(x):
        limits = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "erf": (-1.0, 1.0), "expm1": (-1.0, math.inf)}
        return limits.get(name, (0.0, math.inf))[x > 0]
    if x == 0 and name in ("sin", "tanh", "erf", "expm1", "log1p"):
        return x
    if abs(x) > 1e5 and name in ("exp", "exp2", "expm1", "sigmoid"):
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
        kernel = simple(name, (dtype,) * (2 if name == "pow" else 1), dtype)
        for line in assembly(elementwise.lower(kernel, target)[1], target).splitlines():
            words = line.split()
            if words and words[0] in ("call", "callq", "bl"):
                assert "reduce_huge" in line, (name, line)
