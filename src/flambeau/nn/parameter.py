"""Parameters: tensors that a module owns and an optimizer changes."""

from __future__ import annotations

from flambeau.engine.tape import leaf
from flambeau.tensor import Tensor


class Parameter(Tensor):
    """A leaf tensor that requires gradients; assigned to a module's attribute it is registered there.

    >>> import flambeau as fb
    >>> fb.nn.Parameter(fb.zeros(2)).requires_grad
    True
    """

    __slots__ = ()

    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        data.numpy()
        super().__init__(leaf(data._value.type, data._value.data))
        self.requires_grad_(requires_grad)
