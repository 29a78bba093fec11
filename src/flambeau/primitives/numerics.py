"""What NumPy computes otherwise than the standards say, or not at all: for the reference rules."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

_vector_erf: Callable[[np.ndarray], np.ndarray] = np.vectorize(math.erf, otypes=[np.float64])


def floor_divide(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """NumPy's, but for infinities as the array API has them: the floor of the quotient."""
    out = np.asarray(np.floor_divide(x, y))
    if x.dtype.kind != "f":
        return out
    return np.asarray(np.where(np.isinf(x) | np.isinf(y), np.floor(np.divide(x, y)), out))


def erf(x: np.ndarray) -> np.ndarray:
    """The error function, element by element."""
    return np.asarray(_vector_erf(x), dtype=x.dtype) if x.size else x


def sigmoid(x: np.ndarray) -> np.ndarray:
    """The logistic function, without overflow."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1 / (1 + small), small / (1 + small)), dtype=x.dtype)


def expm1(x: np.ndarray) -> np.ndarray:
    """NumPy's, but for complex numbers that are not finite, where exp(x) - 1 is right."""
    out = np.expm1(x)
    if x.dtype.kind != "c":
        return np.asarray(out)
    out = np.asarray(np.where(np.isfinite(x), out, np.exp(x) - 1))
    out.real[x == 0] = 0  # +0, whichever zero the real part was
    return out


def tanh(x: np.ndarray) -> np.ndarray:
    """NumPy's, but for complex numbers with an infinite real part, which tend to 1 and -1."""
    out = np.asarray(np.tanh(x))
    if x.dtype.kind != "c":
        return out
    limit = complex(np.copysign(1, x.real), np.copysign(0, np.where(np.isfinite(x.imag), x.imag, 0)))
    return np.asarray(np.where(np.isinf(x.real) & np.isfinite(x.imag), limit, out))


def complex(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Complex numbers from their parts."""
    out = np.empty(x.shape, np.complex64 if x.dtype == np.float32 else np.complex128)
    out.real, out.imag = x, y  # x + 1j * y would make NaNs of infinities
    return out
