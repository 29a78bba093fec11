"""What dtypes there are, how they combine, and what this implementation of the array API offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from flambeau import dtypes as table
from flambeau.devices import Device, cpu
from flambeau.devices import devices as all_devices
from flambeau.dtypes import DType, of_number, promote, real_of
from flambeau.errors import DTypeError, OperandError
from flambeau.ops.record import on, refuse, to_dtype
from flambeau.tensor import Tensor

_STANDARD = {
    d.name: d for d in table.ALL if d is not table.float16 and d is not table.bfloat16
}  # what the array API standard defines
_KINDS = {
    "bool": ("bool",),
    "signed integer": ("int",),
    "unsigned integer": ("uint",),
    "integral": ("int", "uint"),
    "real floating": ("float",),
    "complex floating": ("complex",),
    "numeric": ("int", "uint", "float", "complex"),
}


def _dtype_of(x: Any) -> DType:
    return x.dtype if isinstance(x, Tensor) else to_dtype(x)


# --- dtypes ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FloatInfo:
    """The limits of a floating-point dtype: of a complex one those of its parts."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


@dataclass(frozen=True, slots=True)
class IntegerInfo:
    """The limits of an integer dtype."""

    bits: int
    max: int
    min: int
    dtype: DType


def finfo(type: Any, /) -> FloatInfo:
    """The limits of a floating-point or complex dtype, given itself or by a tensor.

    >>> import flambeau as fb
    >>> fb.finfo(fb.float32).eps
    1.1920928955078125e-07
    """
    dtype = _dtype_of(type)
    if not dtype.inexact:
        refuse(DTypeError(f"finfo: {dtype} is no floating-point dtype"))
    real = real_of(dtype)
    limits: Any = ml_dtypes.finfo if real is table.bfloat16 else np.finfo
    found = limits(real.numpy)
    return FloatInfo(
        bits=real.bits,
        eps=float(found.eps),
        max=float(found.max),
        min=float(found.min),
        smallest_normal=float(found.smallest_normal),
        dtype=real,
    )


def iinfo(type: Any, /) -> IntegerInfo:
    """The limits of an integer dtype, given itself or by a tensor.

    >>> import flambeau as fb
    >>> fb.iinfo(fb.int8).max
    127
    """
    dtype = _dtype_of(type)
    if dtype.kind not in ("int", "uint"):
        refuse(DTypeError(f"iinfo: {dtype} is no integer dtype"))
    found = np.iinfo(dtype.numpy)
    return IntegerInfo(dtype.bits, int(found.max), int(found.min), dtype)


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The dtype that tensors, dtypes and Python numbers have in common.

    >>> import flambeau as fb
    >>> fb.result_type(fb.int8, fb.uint8, 1)
    flambeau.int16
    """
    found: DType | None = None
    numbers = []
    for x in arrays_and_dtypes:
        if isinstance(x, (bool, int, float, complex)):
            numbers.append(x)
            continue
        dtype = _dtype_of(x)
        try:
            found = dtype if found is None else promote(found, dtype)
        except TypeError as error:
            refuse(DTypeError(f"result_type: {error}"))
    for x in numbers:
        found = of_number(x, found)
    if found is None or len(numbers) == len(arrays_and_dtypes):
        refuse(OperandError("result_type: at least one tensor or dtype is needed"))
    return found


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether promotion can lead from one dtype to another, so that no value is lost in kind.

    >>> import flambeau as fb
    >>> fb.can_cast(fb.int8, fb.int16), fb.can_cast(fb.float64, fb.float32)
    (True, False)
    """
    source, target = _dtype_of(from_), to_dtype(to)
    try:
        return promote(source, target) is target
    except TypeError:
        return False


def isdtype(dtype: DType, kind: Any) -> bool:
    """Whether a dtype is of a kind: another dtype, a kind's name, or one of a tuple of these.

    The names are "bool", "signed integer", "unsigned integer", "integral", "real floating",
    "complex floating" and "numeric".

    >>> import flambeau as fb
    >>> fb.isdtype(fb.int8, ("signed integer", fb.bool))
    True
    """
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, str):
        if kind not in _KINDS:
            refuse(OperandError(f"isdtype: {kind!r} is no kind; one of {', '.join(_KINDS)} is needed"))
        return to_dtype(dtype).kind in _KINDS[kind]
    return to_dtype(dtype) is to_dtype(kind)


# --- the namespace ---------------------------------------------------------------------------


class NamespaceInfo:
    """What ``__array_namespace_info__`` answers with."""

    def capabilities(self) -> dict[str, Any]:
        """Which optional parts of the standard are there."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Device:
        """Where tensors are made unless told otherwise."""
        return cpu

    def default_dtypes(self, *, device: Device | str | None = None) -> dict[str, DType]:
        """The dtypes that Python numbers take, by kind."""
        on(device)
        return {
            "real floating": table.default_float,
            "complex floating": table.default_complex,
            "integral": table.default_int,
            "indexing": table.int64,
        }

    def dtypes(
        self, *, device: Device | str | None = None, kind: str | tuple[str, ...] | None = None
    ) -> dict[str, DType]:
        """The standard's dtypes of a kind, or all of them, by name."""
        on(device)
        if kind is None:
            return dict(_STANDARD)
        return {name: d for name, d in _STANDARD.items() if isdtype(d, kind)}

    def devices(self) -> list[Device]:
        """The devices there are."""
        return all_devices()


def __array_namespace_info__() -> NamespaceInfo:
    """What this implementation of the array API offers.

    >>> import flambeau as fb
    >>> fb.__array_namespace_info__().default_device()
    device('cpu')
    """
    return NamespaceInfo()
