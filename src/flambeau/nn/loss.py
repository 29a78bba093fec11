"""What all losses share: how they are reduced, recorded and shown."""

from __future__ import annotations

import inspect
from typing import Any

from flambeau.dtypes import DType, float64
from flambeau.engine.tape import THREAD, Builder
from flambeau.errors import OperandError
from flambeau.nn.module import Module
from flambeau.ops.record import refuse, value_of
from flambeau.tensor import Tensor

REDUCTIONS = ("mean", "sum", "none")


def reduction_of(name: str, reduction: Any, kinds: tuple[str, ...] = REDUCTIONS) -> str:
    """A reduction that exists."""
    if reduction not in kinds:
        listed = ", ".join([repr(k) for k in kinds[:-1]]) + f" or {kinds[-1]!r}"
        refuse(OperandError(f"{name}: reduction must be {listed}, not {reduction!r}"))
    found: str = reduction
    return found


def number_of(name: str, what: str, x: Any, least: float | None = None, above: float | None = None) -> float:
    """A number that is read at run time; perhaps at least, or above, another."""
    fits = isinstance(x, (int, float)) and not isinstance(x, bool) and x == x
    if not fits or (least is not None and x < least) or (above is not None and x <= above):
        bound = f" of at least {least}" if least is not None else ""
        bound = f" above {above}" if above is not None else bound
        refuse(OperandError(f"{name}: {what} must be a number{bound}, not {x!r}"))
    return float(x)


def operand(x: float) -> tuple[float, DType]:
    """A number as an operand."""
    return (x, float64)


def record_loss(name: str, fn: Builder, attrs: tuple[Any, ...], *operands: Any) -> Tensor:
    """Record a builder of tensors and of numbers made by ``operand``; those that are None are left out."""
    values = [x if type(x) is tuple else value_of(x, name) for x in operands if x is not None]
    return Tensor(THREAD.tape.record(fn, attrs, values))


class Loss(Module):
    """A function of an input and a target that training makes small; reduced as ``reduction`` says."""

    def __init__(self, reduction: str, kinds: tuple[str, ...] = REDUCTIONS) -> None:
        super().__init__()
        self.reduction = reduction_of(type(self).__name__, reduction, kinds)

    def _keep(self, name: str, weight: Any) -> None:
        """A tensor of weights as a buffer, or None."""
        if weight is not None and not isinstance(weight, Tensor):
            refuse(
                OperandError(f"{type(self).__name__}: {name} must be a tensor, not {type(weight).__name__}")
            )
        self.register_buffer(name, weight)

    def extra_repr(self) -> str:
        """The arguments that differ from their defaults, the reduction last."""
        shown = []
        parameters = inspect.signature(type(self)).parameters
        for name in sorted(parameters, key="reduction".__eq__):
            parameter = parameters[name]
            value = getattr(self, name)
            if isinstance(value, Tensor):
                shown.append(f"{name}=<{value._value.type}>")
            elif value != parameter.default:
                shown.append(f"{name}={value!r}")
        return ", ".join(shown)
