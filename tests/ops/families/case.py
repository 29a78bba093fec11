"""One comparison: a function of flambeau, the same function of PyTorch, and arguments for both."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Case:
    """``ours(*tensors)`` should equal ``theirs(torch, *tensors)``, and so should the gradients.

    ``name`` is the function that is counted, ``variant`` tells its cases apart.  ``theirs`` is None
    where PyTorch has no such function: differences still check it.  Floating-point arrays are
    differentiated; with ``differentiable=False`` only values are compared.  ``public`` is False
    for builders that no public function offers yet.
    """

    name: str
    ours: Callable[..., Any]
    theirs: Callable[..., Any] | None
    arrays: tuple[Array, ...]
    variant: str = ""
    differentiable: bool = True
    public: bool = True

    @property
    def id(self) -> str:
        return f"{self.name}-{self.variant}" if self.variant else self.name

    def typed(self, dtype: Any) -> list[Array]:
        """The arrays, floating-point ones in ``dtype``."""
        return [a.astype(dtype) if a.dtype.kind == "f" else a for a in self.arrays]


def case(
    name: str,
    ours: Callable[..., Any],
    theirs: Callable[..., Any] | None,
    *arrays: Array,
    variant: str = "",
    differentiable: bool = True,
    public: bool = True,
) -> Case:
    return Case(name, ours, theirs, tuple(np.asarray(a) for a in arrays), variant, differentiable, public)


def numbers(*shape: int, low: float = -2.0, high: float = 2.0, seed: int = 0) -> Array:
    """Distinct numbers in random order: no ties, no halves, nothing at 0, the same in float32 and float64."""
    n = math.prod(shape)
    even = low + (high - low) * (np.arange(n) + 0.37) / max(n, 1)
    order = np.random.default_rng(zlib.crc32(repr((shape, low, high, seed)).encode())).permutation(n)
    return even[order].reshape(shape).astype(np.float32).astype(np.float64)


def positive(*shape: int, seed: int = 0) -> Array:
    return numbers(*shape, low=0.3, high=3.0, seed=seed)


def inner(*shape: int, seed: int = 0) -> Array:
    """Numbers between -1 and 1."""
    return numbers(*shape, low=-0.9, high=0.9, seed=seed)


def regular(*shape: int, seed: int = 0) -> Array:
    """Well-conditioned square matrices without symmetry."""
    n = shape[-1]
    return numbers(*shape, low=-1.0, high=1.0, seed=seed) + np.eye(n) * np.arange(2, n + 2)


def definite(*shape: int, seed: int = 0) -> Array:
    """Symmetric positive definite matrices with distinct eigenvalues."""
    a = numbers(*shape, low=-0.5, high=0.5, seed=seed)
    full = a @ np.swapaxes(a, -1, -2) + np.eye(shape[-1]) * np.arange(1, shape[-1] + 1)
    return full.astype(np.float32).astype(np.float64)
