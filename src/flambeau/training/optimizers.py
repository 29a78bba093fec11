"""The optimizer that a model is compiled with, and its learning rate."""

from __future__ import annotations

from typing import Any

from flambeau import optim
from flambeau.errors import OperandError
from flambeau.nn.module import Module
from flambeau.optim import Optimizer


def resolve(optimizer: Any, module: Module) -> Optimizer:
    """An optimizer as it is, or a new one for the module's parameters, by its name in lower case."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    kinds = {name.lower(): getattr(optim, name) for name in optim.__all__}
    kinds = {
        name: kind
        for name, kind in kinds.items()
        if isinstance(kind, type) and issubclass(kind, Optimizer) and kind is not Optimizer
    }
    if not isinstance(optimizer, str) or optimizer not in kinds:
        raise OperandError(
            f"compile: the optimizer must be one of fb.optim or its name ({', '.join(sorted(kinds))}), "
            f"not {optimizer!r}"
        )
    made: Optimizer = kinds[optimizer](module.parameters())
    return made


def learning_rate(optimizer: Any) -> float:
    """The learning rate of the first group of parameters."""
    return float(optimizer.param_groups[0]["lr"])


def set_learning_rate(optimizer: Any, value: float) -> None:
    """Set the learning rate of all groups."""
    for group in optimizer.param_groups:
        group["lr"] = value
