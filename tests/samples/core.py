"""What a sample is, and how samples are added to the database."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

Arrays = list[np.ndarray]
Maker = Callable[[np.random.Generator], Sequence[Any]]

FLOATS = (np.float64, np.float32, np.float16, ml_dtypes.bfloat16)
INTS = (np.int8, np.int16, np.int32, np.int64)
UINTS = (np.uint8, np.uint16, np.uint32, np.uint64)
COMPLEX = (np.complex64, np.complex128)
SHAPES = ((), (1,), (2,), (7,), (33,), (3, 5), (2, 1, 4), (0, 3), (13, 11))


@dataclass(frozen=True, eq=False)
class Sample:
    """One use of a primitive.

    ``function`` builds it from values made for ``arrays``; ``expected`` computes the same with
    NumPy alone, ``torch`` with PyTorch.  ``smooth`` samples have float64 inputs at which the
    function is differentiable.  ``tolerance`` is relative to the largest expected element.
    """

    primitive: str
    label: str
    function: Callable[..., Any]
    maker: Maker
    expected: Callable[..., Any] | None
    torch: Callable[..., Any] | None
    smooth: bool
    tolerance: float | None

    @property
    def id(self) -> str:
        return f"{self.primitive}-{self.label}" if self.label else self.primitive

    def arrays(self) -> Arrays:
        """The inputs: the same at each call."""
        rng = np.random.default_rng(zlib.crc32(self.id.encode()))
        return [np.asarray(a) for a in self.maker(rng)]


SAMPLES: dict[str, list[Sample]] = {}


def add(
    primitive: str,
    function: Callable[..., Any],
    maker: Maker,
    expected: Callable[..., Any] | None = None,
    *,
    label: str = "",
    torch: Callable[..., Any] | None = None,
    smooth: bool = True,
    tolerance: float | None = None,
) -> None:
    """Add a sample; its label gets a number where it is not the only one of its primitive."""
    group = SAMPLES.setdefault(primitive, [])
    label = f"{len(group)}-{label}" if label else str(len(group))
    group.append(Sample(primitive, label, function, maker, expected, torch, smooth, tolerance))


def normal(*shape: int, dtype: Any = np.float64) -> Maker:
    """One array of normal numbers."""
    return lambda rng: [random(rng, shape, dtype)]


def random(
    rng: np.random.Generator, shape: Sequence[int], dtype: Any, low: float = -3, high: float = 3
) -> Any:
    """Numbers of any dtype in [low, high]."""
    dtype = np.dtype(dtype)
    if dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(dtype)
    if dtype.kind in "iu":
        least = max(int(np.ceil(low)), 0 if dtype.kind == "u" else -100)
        return np.asarray(rng.integers(least, max(int(high), least) + 1, shape)).astype(dtype)
    if dtype.kind == "c":
        return (rng.uniform(low, high, shape) + 1j * rng.uniform(low, high, shape)).astype(dtype)
    return np.asarray(rng.uniform(low, high, shape)).astype(dtype)


def distinct(rng: np.random.Generator, shape: Sequence[int], dtype: Any = np.float64) -> Any:
    """Numbers that lie at least 0.25 apart, in random order: nothing ties when one is moved a little."""
    n = int(np.prod(shape))
    return ((rng.permutation(n) - n // 2) * 0.25).reshape(shape).astype(dtype)


def name_of(dtype: Any) -> str:
    return np.dtype(dtype).name
