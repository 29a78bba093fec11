"""Dense layers."""

from __future__ import annotations

from flambeau.dtypes import DType, default_float
from flambeau.engine.tape import THREAD
from flambeau.errors import DTypeError, OperandError, ShapeError
from flambeau.graph.builder import Var
from flambeau.nn import init
from flambeau.nn.module import Module
from flambeau.ops.record import refuse, value_of
from flambeau.primitives.contract import dot_general
from flambeau.primitives.elementwise import add
from flambeau.primitives.views import shape_text
from flambeau.tensor import Tensor


def linear(x: Var, weight: Var, *bias: Var) -> Var:
    """The builder of ``x @ weight.T + bias``."""
    if x.dtype is not weight.dtype:
        raise DTypeError(f"Linear: the input is {x.dtype}, the weights are {weight.dtype}: cast one of them")
    if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"Linear: an input of shape (..., {weight.shape[1]}) is needed, not {shape_text(x.shape)}; "
            f"the weight has shape {shape_text(weight.shape)}"
        )
    y = dot_general(x, weight, ((x.ndim - 1,), (1,)))
    return add(y, bias[0]) if bias else y


class Linear(Module):
    """``y = x @ weight.T + bias``: every output is a weighted sum of all inputs.

    Takes tensors of shape (..., in_features), gives (..., out_features).

    >>> import flambeau as fb
    >>> fb.nn.Linear(3, 5)(fb.ones((2, 3))).shape
    (2, 5)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, dtype: DType = default_float
    ) -> None:
        super().__init__()
        for name, n in (("in_features", in_features), ("out_features", out_features)):
            if not isinstance(n, int) or n < 0:
                refuse(OperandError(f"Linear: {name} must be a size, not {n!r}"))
        self.in_features = in_features
        self.out_features = out_features
        bound = init.fan_in_bound(in_features)
        self.weight = init.uniform((out_features, in_features), bound, dtype)
        self.bias = init.uniform((out_features,), bound, dtype) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        operands = [value_of(x, "Linear"), self.weight._value]
        if self.bias is not None:
            operands.append(self.bias._value)
        return Tensor(THREAD.tape.record(linear, (), operands))

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"
