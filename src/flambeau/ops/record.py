"""What the functions share: from the arguments users pass to entries on the tape.

A function must cost little more than the recording itself, so nothing is looked at that the
recorder or the builder will look at anyway.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np

from flambeau.devices import Device, device
from flambeau.dtypes import DType, as_dtype, of_number
from flambeau.engine.tape import THREAD, Builder, Value
from flambeau.errors import DTypeError, FlambeauError, OperandError, located
from flambeau.graph.where import caller
from flambeau.methods import hashed
from flambeau.tensor import Tensor, _operand

__all__ = ["hashed"]  # what others import from here

Number = bool | int | float | complex
Axis = int | tuple[int, ...] | None


def refuse(error: FlambeauError) -> NoReturn:
    """Raise ``error`` with the user's line appended."""
    raise located(error, str(caller(THREAD.tape.layer))) from None


def value_of(x: Any, name: str) -> Value:
    """The value of a tensor; raises for anything else."""
    if isinstance(x, Tensor):
        return x._value
    refuse(OperandError(f"{name}: a tensor is needed, not {type(x).__name__}; make one with fb.asarray"))


def operand(x: Any, partner: DType, name: str) -> Any:
    """What to record for a tensor or a number beside a tensor of dtype ``partner``."""
    try:
        found = _operand(x, partner)
    except FlambeauError as error:
        refuse(error)
    if found is NotImplemented:
        refuse(OperandError(f"{name}: a tensor or a number is needed, not {type(x).__name__}"))
    return found


def operands(name: str, *given: Any) -> list[Any]:
    """What to record for tensors and numbers, at least one of them a tensor."""
    for x in given:
        if isinstance(x, Tensor):
            partner = x.dtype
            return [x._value if isinstance(x, Tensor) else operand(x, partner, name) for x in given]
    refuse(OperandError(f"{name}: at least one operand must be a tensor"))


def unary(fn: Builder, x: Any) -> Tensor:
    """Record a builder of one tensor."""
    try:
        value = x._value
    except AttributeError:
        value = value_of(x, fn.__name__)
    return Tensor(THREAD.tape.record(fn, (), (value,)))


def binary(fn: Builder, x1: Any, x2: Any) -> Tensor:
    """Record a builder of two tensors, or of a tensor and a number."""
    if type(x1) is Tensor:
        value = x1._value
        if type(x2) is Tensor:
            return Tensor(THREAD.tape.record(fn, (), (value, x2._value)))
        if type(x2) is float and value.type.dtype.floating:
            return Tensor(THREAD.tape.record(fn, (), (value, (x2, value.type.dtype))))
    return Tensor(THREAD.tape.record(fn, (), operands(fn.__name__, x1, x2)))


def record(fn: Builder, attrs: tuple[Any, ...], *tensors: Any) -> Tensor:
    """Record a builder of tensors that has one result."""
    try:
        values = [x._value for x in tensors]
    except AttributeError:
        values = [value_of(x, fn.__name__) for x in tensors]
    return Tensor(THREAD.tape.record(fn, attrs, values))


def record_mixed(fn: Builder, attrs: tuple[Any, ...], values: list[Any]) -> Tensor:
    """Record a builder of values and numbers, as ``operands`` gives them."""
    return Tensor(THREAD.tape.record(fn, attrs, values))


def record_all(fn: Builder, attrs: tuple[Any, ...], *tensors: Any) -> tuple[Tensor, ...]:
    """Record a builder that has a tuple of results."""
    made = THREAD.tape.record(fn, attrs, [value_of(x, fn.__name__) for x in tensors])
    return tuple([Tensor(v) for v in made]) if type(made) is tuple else (Tensor(made),)


def tensors_of(xs: Iterable[Any], name: str) -> list[Any]:
    """The tensors of a sequence; raises where it is empty or holds something else."""
    try:
        listed = list(xs)
    except TypeError:
        refuse(OperandError(f"{name}: a sequence of tensors is needed, not {type(xs).__name__}"))
    if not listed:
        refuse(OperandError(f"{name}: at least one tensor is needed"))
    for x in listed:
        value_of(x, name)
    return listed


def dtype_or_none(dtype: Any) -> DType | None:
    """The dtype an argument spells, or None."""
    return None if dtype is None else to_dtype(dtype)


def to_dtype(dtype: Any) -> DType:
    """The dtype an argument spells; raises where it spells none."""
    if type(dtype) is DType:
        return dtype
    try:
        return as_dtype(dtype)
    except TypeError as error:
        refuse(DTypeError(str(error)))


def on(where: Device | str | None) -> None:
    """Check a device argument: there is only one device to be on."""
    if where is not None:
        try:
            device(where)
        except FlambeauError as error:
            refuse(error)


def number(x: Any, dtype: DType, name: str) -> tuple[Any, DType]:
    """A number passed at run time in ``dtype``."""
    if not isinstance(x, (bool, int, float, complex)):
        try:
            x = x.item()
            of_number(x)
        except (AttributeError, TypeError):
            refuse(OperandError(f"{name}: a number is needed, not {type(x).__name__}"))
    if dtype.kind in ("int", "uint"):
        limits = np.iinfo(dtype.numpy)
        if not isinstance(x, int):
            refuse(OperandError(f"{name}: an integer is needed, not {x!r}"))
        if not limits.min <= x <= limits.max:
            refuse(DTypeError(f"{name}: {x} does not fit {dtype} (from {limits.min} to {limits.max})"))
    return (x, dtype)
