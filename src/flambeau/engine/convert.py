"""From Python and foreign arrays to values, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau import dtypes
from flambeau.dtypes import DType
from flambeau.engine.evaluate import evaluate, realize
from flambeau.engine.tape import THREAD, Value, leaf
from flambeau.errors import DTypeError, OperandError, located
from flambeau.graph.types import TensorType
from flambeau.graph.where import caller
from flambeau.runtime.buffers import Buffer


def from_array(array: np.ndarray, dtype: DType | None = None) -> Value:
    """A value holding a copy of ``array`` (foreign memory may change; tensors do not)."""
    own = dtypes.from_numpy(array.dtype)
    target = dtype or own
    if own.kind == "complex" and target.kind not in ("complex", "bool"):
        raise DTypeError(f"asarray: {own} values cannot be stored as {target}: take the real part first")
    buffer = Buffer(array.size * target.itemsize)
    if array.size:
        with np.errstate(all="ignore"):
            buffer.view(target.numpy, array.shape)[...] = array
    return leaf(TensorType(tuple(array.shape), target), buffer)


def borrow_array(array: np.ndarray) -> Value:
    """A value on the memory of ``array`` itself; the caller promises not to change it."""
    if not array.flags.c_contiguous:
        raise ValueError("asarray: copy=False needs row-major contiguous memory; this array is strided")
    dtype = dtypes.from_numpy(array.dtype)
    if not array.dtype.isnative:
        raise ValueError("asarray: copy=False needs native byte order")
    buffer = Buffer.borrow(array, array.ctypes.data, array.nbytes)
    return leaf(TensorType(tuple(array.shape), dtype), buffer)


def from_python(obj: Any, dtype: DType | None) -> Value:
    """A value from a number or nested sequences of numbers (tensors among them are read)."""
    _evaluate_together(obj)
    try:
        array = np.asarray(_plain(obj))
    except ValueError as error:
        raise OperandError(f"asarray: the nested sequence is ragged: {_shortened(error)}") from None
    if array.dtype == object or (array.dtype.kind in "OUSMmV" and array.dtype not in dtypes._BY_NUMPY):
        if type(obj) is int:
            raise DTypeError(f"asarray: the number {obj} fits neither int64 nor uint64; write it as a float")
        raise OperandError(f"asarray: cannot make a tensor of {type(obj).__name__} {obj!r:.80}")
    if dtype is None:
        kind = array.dtype.kind
        if not _has_typed_leaves(obj):
            dtype = {"f": dtypes.default_float, "c": dtypes.default_complex}.get(kind)
            if array.size == 0 and kind == "f":
                dtype = dtypes.default_float
    return from_array(array, dtype)


def _shortened(error: ValueError) -> str:
    """NumPy's finding: how many axes the lists have in common."""
    return str(error).rpartition("requested array has ")[2].partition(" The detected")[0].rstrip(".")


def _evaluate_together(obj: Any) -> None:
    """Evaluate all tensors among nested sequences at once, not one after the other."""
    pending = []
    stack = [obj]
    while stack:
        item = stack.pop()
        if isinstance(item, (list, tuple)):
            stack.extend(item)
        elif hasattr(item, "_value") and isinstance(item._value, Value):
            value = item._value
            if value.data is None and value.source is THREAD.tape:
                pending.append(value)
    if len(pending) > 1:
        evaluate(THREAD.tape, *dict.fromkeys(pending))


def _plain(obj: Any) -> Any:
    if isinstance(obj, (list, tuple)):
        return [_plain(o) for o in obj]
    if hasattr(obj, "_value") and isinstance(obj._value, Value):
        return to_numpy(obj._value)
    return obj


def _has_typed_leaves(obj: Any) -> bool:
    """Whether elements carry a dtype of their own (NumPy scalars, tensors)."""
    stack = [obj]
    while stack:
        item = stack.pop()
        if isinstance(item, (list, tuple)):
            stack.extend(item)
        elif isinstance(item, (np.generic, np.ndarray)) or hasattr(item, "_value"):
            return True
    return False


def to_numpy(value: Value) -> np.ndarray:
    """A read-only view of the value, evaluated first; it keeps the memory alive."""
    if value.data is None:
        realize(value)
    view: np.ndarray = value.data.view(value.type.dtype.numpy, value.type.shape, writable=False)
    return view


_LIMITS = {
    d: (int(np.iinfo(d.numpy).min), int(np.iinfo(d.numpy).max))
    for d in dtypes.ALL
    if d.kind in ("int", "uint")
}


def number_dtype(number: Any, partner: DType) -> DType:
    """The dtype a user's number is passed in beside a tensor; raises where it does not fit."""
    dtype = dtypes.of_number(number, partner)
    if dtype in _LIMITS:
        low, high = _LIMITS[dtype]
        if not low <= number <= high:
            error = DTypeError(f"the number {number} does not fit {dtype} (from {low} to {high})")
            raise located(error, str(caller(THREAD.tape.layer)))
    return dtype
