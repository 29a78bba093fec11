"""Dense layers."""

from __future__ import annotations

from flambeau.dtypes import DType, default_float
from flambeau.engine.tape import THREAD
from flambeau.errors import OperandError
from flambeau.nn import init
from flambeau.nn.module import Module
from flambeau.ops.record import refuse, value_of
from flambeau.primitives import dense
from flambeau.tensor import Tensor


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias``.

    Takes tensors of shape (..., in_features), (out_features, in_features) and (out_features,), all
    of one dtype.  Raises ``ShapeError`` and ``DTypeError`` where these do not fit.

    >>> import flambeau as fb
    >>> fb.nn.functional.linear(fb.asarray([1.0, 2.0]), fb.asarray([[3.0, 4.0]]))
    tensor([11.])
    """
    operands = [value_of(x, "linear") for x in (input, weight)]
    if bias is not None:
        operands.append(value_of(bias, "linear"))
    return Tensor(THREAD.tape.record(dense.linear, (), operands))


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
        return Tensor(THREAD.tape.record(dense.linear, (), operands))

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``y[..., k] = input1 @ weight[k] @ input2 + bias[k]``.

    Takes tensors of shape (..., in1), (..., in2), (out, in1, in2) and (out,), all of one dtype.

    >>> import flambeau as fb
    >>> fb.nn.functional.bilinear(fb.asarray([2.0]), fb.asarray([3.0]), fb.asarray([[[4.0]]]))
    tensor([24.])
    """
    operands = [value_of(x, "bilinear") for x in (input1, input2, weight)]
    if bias is not None:
        operands.append(value_of(bias, "bilinear"))
    return Tensor(THREAD.tape.record(dense.bilinear, (), operands))


class Bilinear(Module):
    """``y[..., k] = x1 @ weight[k] @ x2 + bias[k]``: every output weighs all products of two inputs.

    Takes tensors of shape (..., in1_features) and (..., in2_features), gives (..., out_features).

    >>> import flambeau as fb
    >>> fb.nn.Bilinear(3, 4, 5)(fb.ones((2, 3)), fb.ones((2, 4))).shape
    (2, 5)
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        dtype: DType = default_float,
    ) -> None:
        super().__init__()
        sizes = {"in1_features": in1_features, "in2_features": in2_features, "out_features": out_features}
        for name, n in sizes.items():
            if not isinstance(n, int) or n < 1:
                refuse(OperandError(f"Bilinear: {name} must be a size of at least 1, not {n!r}"))
        self.in1_features, self.in2_features, self.out_features = sizes.values()
        bound = init.fan_in_bound(in1_features)
        self.weight = init.uniform((out_features, in1_features, in2_features), bound, dtype)
        self.bias = init.uniform((out_features,), bound, dtype) if bias else None

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Apply the layer."""
        operands = [value_of(x1, "Bilinear"), value_of(x2, "Bilinear"), self.weight._value]
        if self.bias is not None:
            operands.append(self.bias._value)
        return Tensor(THREAD.tape.record(dense.bilinear, (), operands))

    def extra_repr(self) -> str:
        """The sizes."""
        sizes = f"{self.in1_features}, {self.in2_features}, {self.out_features}"
        return f"{sizes}, bias={self.bias is not None}"
