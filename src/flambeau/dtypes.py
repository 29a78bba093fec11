"""Data types: one object per element type, and the rules by which they combine.

Every dtype of the Python array API standard, plus ``float16`` and ``bfloat16``.  A dtype is a
singleton, so ``is`` and ``==`` agree and hashing is by identity.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import ml_dtypes
import numpy as np


class DType:
    """The type of a tensor's elements.

    Attributes: ``name`` (as in NumPy), ``kind`` (one of "bool", "int", "uint", "float",
    "complex"), ``itemsize`` in bytes, ``bits`` and ``numpy``, the NumPy dtype of the same layout.

    >>> import flambeau as fb
    >>> fb.float32.itemsize
    4
    """

    __slots__ = ("bits", "floating", "inexact", "itemsize", "kind", "name", "numpy")

    def __init__(self, name: str, kind: str, numpy: Any) -> None:
        self.name = name
        self.kind = kind
        self.numpy: np.dtype[Any] = np.dtype(numpy)
        self.itemsize: int = self.numpy.itemsize
        self.bits = 1 if kind == "bool" else 8 * self.itemsize
        self.floating = kind == "float"
        self.inexact = kind in ("float", "complex")

    def __repr__(self) -> str:
        return f"flambeau.{self.name}"

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return (by_name, (self.name,))


bool_ = DType("bool", "bool", np.bool_)
int8 = DType("int8", "int", np.int8)
int16 = DType("int16", "int", np.int16)
int32 = DType("int32", "int", np.int32)
int64 = DType("int64", "int", np.int64)
uint8 = DType("uint8", "uint", np.uint8)
uint16 = DType("uint16", "uint", np.uint16)
uint32 = DType("uint32", "uint", np.uint32)
uint64 = DType("uint64", "uint", np.uint64)
float16 = DType("float16", "float", np.float16)
bfloat16 = DType("bfloat16", "float", ml_dtypes.bfloat16)
float32 = DType("float32", "float", np.float32)
float64 = DType("float64", "float", np.float64)
complex64 = DType("complex64", "complex", np.complex64)
complex128 = DType("complex128", "complex", np.complex128)

ALL = (
    bool_, int8, int16, int32, int64, uint8, uint16, uint32, uint64,
    float16, bfloat16, float32, float64, complex64, complex128,
)  # fmt: skip

default_float = float32
default_int = int64
default_complex = complex64

_BY_NAME = {d.name: d for d in ALL}
_BY_NUMPY = {d.numpy: d for d in ALL}


def by_name(name: str) -> DType:
    """The dtype called ``name``; raises ``KeyError`` for an unknown name."""
    return _BY_NAME[name]


def from_numpy(dtype: Any) -> DType:
    """The dtype laid out like a NumPy dtype; raises ``TypeError`` where there is none."""
    found = _BY_NUMPY.get(np.dtype(dtype).newbyteorder("="))
    if found is None:
        raise TypeError(f"flambeau has no dtype like NumPy's {dtype!r}")
    return found


_SPELLINGS: dict[Any, DType] = {bool: bool_, int: default_int, float: default_float, complex: default_complex}


def as_dtype(value: Any) -> DType:
    """The dtype that ``value`` spells: a DType, its name, a Python type, or a NumPy dtype."""
    if isinstance(value, DType):
        return value
    if isinstance(value, str) and value in _BY_NAME:
        return _BY_NAME[value]
    if isinstance(value, type) and value in _SPELLINGS:
        return _SPELLINGS[value]
    try:
        return from_numpy(value)
    except TypeError:
        raise TypeError(f"not a dtype: {value!r}; one of {', '.join(_BY_NAME)} is needed") from None


_KIND_ORDER = {"bool": 0, "uint": 1, "int": 1, "float": 2, "complex": 3}
_SIGNED = {1: int8, 2: int16, 4: int32, 8: int64}


@cache
def promote(a: DType, b: DType) -> DType:
    """The dtype two tensors of dtypes ``a`` and ``b`` are computed in.

    Within a kind this is the array API's table; across kinds the higher kind wins and keeps its
    width, as in PyTorch: ``int64`` and ``float32`` give ``float32``.  ``float16`` with
    ``bfloat16`` gives ``float32``; ``uint64`` with a signed integer is refused.
    """
    if a is b:
        return a
    ra, rb = _KIND_ORDER[a.kind], _KIND_ORDER[b.kind]
    if ra != rb:
        low, high = (a, b) if ra < rb else (b, a)
        if high is complex64 and low is float64:
            return complex128
        return high
    if a.kind == b.kind:
        if a.itemsize == b.itemsize:
            return float32  # float16 with bfloat16: neither holds the other
        return a if a.itemsize > b.itemsize else b
    signed, unsigned = (a, b) if a.kind == "int" else (b, a)
    size = max(signed.itemsize, 2 * unsigned.itemsize)
    if size > 8:
        raise TypeError(f"uint64 and {signed.name} have no common integer dtype: cast one of them")
    return _SIGNED[size]


def of_number(value: Any, partner: DType | None = None) -> DType:
    """The dtype a Python number takes, alone or beside a tensor of dtype ``partner``."""
    kind = type(value)
    if kind is bool:
        own = bool_
    elif isinstance(value, int):
        own = default_int
    elif isinstance(value, float):
        own = default_float
    elif isinstance(value, complex):
        own = default_complex
    else:
        raise TypeError(f"not a number: {value!r}")
    if partner is None:
        return own
    if _KIND_ORDER[own.kind] <= _KIND_ORDER[partner.kind]:
        return partner
    if own is default_complex and partner is float64:
        return complex128
    return own


@cache
def real_of(dtype: DType) -> DType:
    """The dtype of the real part."""
    return {complex64: float32, complex128: float64}.get(dtype, dtype)


@cache
def complex_of(dtype: DType) -> DType:
    """The complex dtype whose parts have dtype ``dtype``."""
    return {float32: complex64, float64: complex128}.get(dtype, dtype)
