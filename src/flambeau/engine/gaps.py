"""Bits of arrays: their digest, and how far two arrays that should be equal are apart."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_MANY_ULPS = 1e6  # more say nothing to people
_COMPLEX = {np.dtype("complex64"): np.dtype("float32"), np.dtype("complex128"): np.dtype("float64")}


def digest(array: Array) -> str:
    """The first half of the SHA-256 of an array's bits, in row-major order; every NaN counts as the same."""
    parts = _parts(array)
    if _floating(parts):
        missing = np.isnan(parts)
        if missing.any():
            parts = parts.copy()
            parts[missing] = np.nan
    return hashlib.sha256(parts.view(np.uint8).data).hexdigest()[:32]


def _parts(array: Array) -> Array:
    """The elements in a row, complex numbers as two."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(_COMPLEX[flat.dtype]) if flat.dtype in _COMPLEX else flat


def _floating(array: Array) -> bool:
    return bool(array.dtype.kind == "f" or (array.dtype.kind == "V" and array.dtype.itemsize == 2))


@dataclass(frozen=True, slots=True)
class Gap:
    """How two arrays of one dtype and shape differ.

    ``count`` of ``total`` elements do; ``ulps`` is the largest distance in units in the last place (of
    integers and bool: the largest difference), ``most`` the largest difference, both infinite where one
    element is NaN; the first such element is at ``index`` with the values ``first`` and ``second``.
    """

    count: int
    total: int
    ulps: float
    most: float
    index: tuple[int, ...]
    first: str
    second: str

    def __str__(self) -> str:
        if self.total == 1:
            values = f"{self.first} and {self.second}"
            return f"{values}, {_distance(self)} apart" if self.ulps < np.inf else values
        elements = f"{self.count:,} of {self.total:,} elements differ"
        place = f"the first at {self.index}: {self.first} and {self.second}"
        return f"{elements}, at most by {_distance(self)}, {place}"


def _distance(gap: Gap) -> str:
    if gap.ulps == np.inf:
        return "infinity or NaN"
    units = f"{gap.ulps:,.0f} ULP / " if gap.ulps != gap.most and gap.ulps <= _MANY_ULPS else ""
    return f"{units}{gap.most:.2g}"


def gap_between(a: Array, b: Array) -> Gap:
    """The gap between two arrays of one dtype and shape that are not equal in every bit."""
    x, y = _parts(a), _parts(b)
    where = _bits(x) != _bits(y)
    if _floating(x):
        where &= ~(np.isnan(x) & np.isnan(y))
    differing = np.flatnonzero(where)
    at = int(differing[0]) // max(1, x.size // max(1, a.size)) if differing.size else 0
    index = tuple([int(i) for i in np.unravel_index(at, a.shape)])
    x, y = x[differing], y[differing]
    ulps, most = _distances(x, y) if differing.size else (0.0, 0.0)
    elements = differing if x.size == 0 or a.dtype not in _COMPLEX else np.unique(differing // 2)
    return Gap(len(elements), a.size, ulps, most, index, _shown(a[index]), _shown(b[index]))


def _bits(array: Array) -> Array:
    return array.view(f"u{array.dtype.itemsize}")


def _distances(x: Array, y: Array) -> tuple[float, float]:
    """The largest distance in units in the last place, and the largest difference."""
    if not _floating(x):
        apart = max(abs(int(p) - int(q)) for p, q in zip(x.tolist(), y.tolist(), strict=True))
        return float(apart), float(apart)
    if not bool((np.isfinite(x) & np.isfinite(y)).all()):
        return float("inf"), float("inf")
    with np.errstate(all="ignore"):
        most = float(np.abs(x.astype(np.float64) - y.astype(np.float64)).max())
    p, q = _ordered(x), _ordered(y)
    return float(np.where(p > q, p - q, q - p).max()), most  # of unsigned integers


def _ordered(array: Array) -> Array:
    """Floating-point numbers as unsigned integers in the same order, neighbours next to each other."""
    bits = _bits(array).astype(np.uint64)
    top = np.uint64(1 << (8 * array.dtype.itemsize - 1))
    return np.where(bits & top, top - (bits & ~top), top + bits)


def _shown(value: Any) -> str:
    """The shortest text that tells a number from its neighbours."""
    return str(float(value)) if _floating(np.asarray(value)) and value.dtype.itemsize == 2 else str(value)
