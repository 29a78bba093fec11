"""What activations share: one builder of one tensor, and numbers that are read at run time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from flambeau.engine.tape import THREAD, Builder
from flambeau.errors import DTypeError, OperandError
from flambeau.nn.module import Module
from flambeau.ops.record import number, refuse, value_of
from flambeau.random import default_generator
from flambeau.tensor import Tensor


def pointwise(
    name: str, fn: Builder, x: Any, *numbers: Any, attrs: tuple[Any, ...] = (), random: bool = False
) -> Tensor:
    """Record a builder of a floating-point tensor and numbers.

    A ``random`` one takes the key and counter of a draw before them.
    """
    value = value_of(x, name)
    dtype = value.type.dtype
    if not dtype.floating:
        refuse(DTypeError(f"{name}: a floating-point tensor is needed, not {dtype}"))
    operands: list[Any] = [*default_generator().operands(), value] if random else [value]
    if numbers:
        operands += [number(n, dtype, name) for n in numbers]
    return Tensor(THREAD.tape.record(fn, attrs, operands))


def checked_number(name: str, what: str, x: Any) -> float:
    """An argument that must be a number."""
    if isinstance(x, bool) or not isinstance(x, (int, float)):
        refuse(OperandError(f"{name}: {what} must be a number, not {x!r}"))
    return x


class Activation(Module):
    """A layer that is a builder with numbers, which are its attributes of the same names."""

    builder: ClassVar[Callable[..., Any]]
    numbers: ClassVar[tuple[str, ...]] = ()

    def _set(self, *values: Any) -> None:
        for name, value in zip(self.numbers, values, strict=True):
            setattr(self, name, checked_number(type(self).__name__, name, value))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation."""
        values = [getattr(self, name) for name in self.numbers]
        return pointwise(type(self).__name__, type(self).builder, x, *values)

    def extra_repr(self) -> str:
        """The numbers."""
        return ", ".join([f"{name}={getattr(self, name)}" for name in self.numbers])


class PlainActivation(Activation):
    """An activation without numbers that PyTorch can also compute in place.

    ``inplace``, here and in other layers and functions, is taken for the sake of models written for
    PyTorch and changes nothing: the compiler itself decides which memory is used again.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
