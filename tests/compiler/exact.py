"""What elementary functions should give: float64 for float32, and how far off results are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from flambeau.compiler.target import Target
from flambeau.dtypes import DType, float32
from tests.compiler.builders import run, simple


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
    "tanh": np.tanh, "sin": np.sin, "cos": np.cos, "sigmoid": _sigmoid, "erf": _erf, "tan": np.tan,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "log10": np.log10,
}  # fmt: skip
BINARY_IN_FLOAT64: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "pow": np.power, "atan2": np.arctan2, "hypot": np.hypot, "logaddexp": np.logaddexp,
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


class Found(NamedTuple):
    """The largest error, the argument where it is, and the share of results that are not the nearest."""

    error: float
    at: float
    missed: float


def worst(name: str, x: np.ndarray, target: Target | None = None) -> Found:
    """What is found at given arguments."""
    with np.errstate(all="ignore"):
        found = errors(evaluate(name, float32, x, target=target), IN_FLOAT64[name](x.astype(np.float64)))
    at = int(found.argmax())
    return Found(float(found[at]), float(x[at]), float(np.mean(found > 0.5)))


def over_all(name: str, step: int = 1) -> Found:
    """What is found at all float32 arguments, or every so many of them."""
    block = 1 << 20
    parts = []
    for start in range(0, 1 << 32, block * step):
        x = np.arange(start, start + block * step, step, dtype=np.uint64).astype(np.uint32).view(np.float32)
        parts.append(worst(name, x))
    largest = max(parts)
    return Found(largest.error, largest.at, sum(part.missed for part in parts) / len(parts))
