"""Parameters: tensors that a module owns and an optimizer changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.engine.convert import from_array
from flambeau.engine.tape import leaf
from flambeau.errors import OperandError
from flambeau.ops.record import refuse
from flambeau.tensor import Tensor


class Parameter(Tensor):
    """A leaf tensor that requires gradients; assigned to a module's attribute it is registered there.

    >>> import flambeau as fb
    >>> fb.nn.Parameter(fb.zeros(2)).requires_grad
    True
    """

    __slots__ = ()

    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        if not isinstance(data, Tensor):
            refuse(
                OperandError(
                    f"Parameter: a tensor is needed, not {type(data).__name__}; make one with fb.asarray"
                )
            )
        data.numpy()
        super().__init__(leaf(data._value.type, data._value.data))
        self.requires_grad_(requires_grad)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restored, (type(self), self.numpy().copy(), self.requires_grad))

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        return _restored(type(self), self.numpy(), self.requires_grad)


def _restored(kind: type[Parameter], array: np.ndarray, requires_grad: bool) -> Parameter:
    """A parameter from a pickle or a copy; still the parameter that its module knows."""
    return kind(Tensor(from_array(array)), requires_grad)
