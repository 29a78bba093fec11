"""Normalization of each example by itself: over its features, groups of channels, or channels.

What an example becomes does not depend on the others of its batch, down to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.dtypes import DType, default_float, float64
from flambeau.engine.tape import THREAD
from flambeau.errors import OperandError
from flambeau.nn.module import Module
from flambeau.nn.parameter import Parameter
from flambeau.ops.creation import ones, zeros
from flambeau.ops.record import number, refuse, value_of
from flambeau.primitives import normalization
from flambeau.tensor import Tensor

Shape = int | Sequence[int]


def given(name: str, x: Any, *parameters: Any) -> list[Any]:
    """The values of an input and of those parameters that there are."""
    return [value_of(x, name), *[value_of(p, name) for p in parameters if p is not None]]


def shape_of(name: str, shape: Any) -> tuple[int, ...]:
    """A normalized shape as a tuple of sizes."""
    sizes = (shape,) if isinstance(shape, int) else tuple(shape) if isinstance(shape, (tuple, list)) else ()
    if not sizes or not all(isinstance(n, int) and n > 0 for n in sizes):
        refuse(OperandError(f"{name}: normalized_shape must be a size or a tuple of sizes, not {shape!r}"))
    return sizes


def size_of(name: str, what: str, n: Any) -> int:
    """An argument that must be a positive size."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        refuse(OperandError(f"{name}: {what} must be a size of at least 1, not {n!r}"))
    return n


# -- over features ----------------------------------------------------------------------------


def layer_norm(
    input: Tensor,
    normalized_shape: Shape,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 over the last axes, times ``weight``, plus ``bias``.

    Raises ``ShapeError`` unless the last axes have ``normalized_shape``.

    >>> import flambeau as fb
    >>> fb.nn.functional.layer_norm(fb.asarray([[1.0, 3.0], [10.0, 30.0]]), 2, eps=0.0)
    tensor([[-1.,  1.],
            [-1.,  1.]])
    """
    spec = ("layer_norm", shape_of("layer_norm", normalized_shape), float(eps), bias is not None)
    operands = given("layer_norm", input, weight, bias)
    return Tensor(THREAD.tape.record(normalization.layer_norm, (spec,), operands))


class LayerNorm(Module):
    """Mean 0 and variance 1 over the last axes of each row, times a weight, plus a bias.

    Takes tensors of shape (..., *normalized_shape).  The variance has the divisor n and is taken in
    two passes; half precision is computed in float32.

    Source: J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer normalization", 2016.

    >>> import flambeau as fb
    >>> fb.nn.LayerNorm(2, eps=0.0)(fb.asarray([[1.0, 3.0], [10.0, 30.0]])).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """

    def __init__(
        self,
        normalized_shape: Shape,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: DType = default_float,
    ) -> None:
        super().__init__()
        self.normalized_shape = shape_of("LayerNorm", normalized_shape)
        self.eps = float(eps)
        self.elementwise_affine = elementwise_affine
        affine, shape = elementwise_affine, self.normalized_shape
        self.weight = Parameter(ones(shape, dtype=dtype)) if affine else None
        self.bias = Parameter(zeros(shape, dtype=dtype)) if affine and bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        spec = ("LayerNorm", self.normalized_shape, self.eps, self.bias is not None)
        operands = given("LayerNorm", x, self.weight, self.bias)
        return Tensor(THREAD.tape.record(normalization.layer_norm, (spec,), operands))

    def extra_repr(self) -> str:
        """The shape and the options."""
        text = f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        return text if self.bias is not None or not self.elementwise_affine else f"{text}, bias=False"


def rms_norm(
    input: Tensor, normalized_shape: Shape, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Mean square 1 over the last axes, times ``weight``.

    ``eps=None`` means the distance from 1 to the next number of the input's dtype.

    >>> import flambeau as fb
    >>> fb.nn.functional.rms_norm(fb.asarray([3.0, -3.0]), 2, eps=0.0)
    tensor([ 1., -1.])
    """
    spec = ("rms_norm", shape_of("rms_norm", normalized_shape), None if eps is None else float(eps))
    return Tensor(THREAD.tape.record(normalization.rms_norm, (spec,), given("rms_norm", input, weight)))


class RMSNorm(Module):
    """Mean square 1 over the last axes of each row, times a weight.

    Takes tensors of shape (..., *normalized_shape).  ``eps=None`` means the distance from 1 to the
    next number of the input's dtype.

    Source: B. Zhang, R. Sennrich, "Root mean square layer normalization", 2019.

    >>> import flambeau as fb
    >>> fb.nn.RMSNorm(2, eps=0.0)(fb.asarray([3.0, -3.0])).tolist()
    [1.0, -1.0]
    """

    def __init__(
        self,
        normalized_shape: Shape,
        eps: float | None = None,
        elementwise_affine: bool = True,
        dtype: DType = default_float,
    ) -> None:
        super().__init__()
        self.normalized_shape = shape_of("RMSNorm", normalized_shape)
        self.eps = None if eps is None else float(eps)
        self.elementwise_affine = elementwise_affine
        self.weight = Parameter(ones(self.normalized_shape, dtype=dtype)) if elementwise_affine else None

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        spec = ("RMSNorm", self.normalized_shape, self.eps)
        return Tensor(THREAD.tape.record(normalization.rms_norm, (spec,), given("RMSNorm", x, self.weight)))

    def extra_repr(self) -> str:
        """The shape and the options."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


# -- over groups of channels ------------------------------------------------------------------


def _groups(name: str, groups: Any, channels: int) -> int:
    if size_of(name, "num_groups", groups) and channels % groups:
        refuse(OperandError(f"{name}: {channels} channels cannot be divided into {groups} groups"))
    return int(groups)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 over groups of channels of tensors of shape (N, C, ...).

    >>> import flambeau as fb
    >>> fb.nn.functional.group_norm(fb.asarray([[1.0, 3.0, 10.0, 30.0]]), 2, eps=0.0)
    tensor([[-1.,  1., -1.,  1.]])
    """
    operands = given("group_norm", input, weight, bias)
    shape = input.shape
    channels = shape[1] if len(shape) > 1 else 0
    if not isinstance(channels, int) or not channels:
        refuse(OperandError(f"group_norm: an input of shape (N, C, ...) is needed, not {shape}"))
    spec = ("group_norm", _groups("group_norm", num_groups, channels), channels, float(eps), bias is not None)
    return Tensor(THREAD.tape.record(normalization.group_norm, (spec,), operands))


class GroupNorm(Module):
    """Mean 0 and variance 1 over groups of channels of each example, times a weight, plus a bias.

    Takes tensors of shape (N, num_channels, ...).

    Source: Y. Wu, K. He, "Group normalization", 2018.

    >>> import flambeau as fb
    >>> fb.nn.GroupNorm(2, 4, eps=0.0)(fb.asarray([[1.0, 3.0, 10.0, 30.0]])).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: DType = default_float,
    ) -> None:
        super().__init__()
        self.num_channels = size_of("GroupNorm", "num_channels", num_channels)
        self.num_groups = _groups("GroupNorm", num_groups, num_channels)
        self.eps = float(eps)
        self.affine = affine
        self.weight = Parameter(ones(num_channels, dtype=dtype)) if affine else None
        self.bias = Parameter(zeros(num_channels, dtype=dtype)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        spec = ("GroupNorm", self.num_groups, self.num_channels, self.eps, self.bias is not None)
        operands = given("GroupNorm", x, self.weight, self.bias)
        return Tensor(THREAD.tape.record(normalization.group_norm, (spec,), operands))

    def extra_repr(self) -> str:
        """The numbers and the options."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


# -- over neighbours --------------------------------------------------------------------------


def _local(name: str, x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    numbers = [number(n, float64, name) for n in (alpha, beta, k)]
    operands = [value_of(x, name), *numbers]
    return Tensor(THREAD.tape.record(normalization.local_response_norm, (size, name), operands))


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """``x / (k + alpha * m) ** beta``, m being the mean square of ``size`` channels around each.

    >>> import flambeau as fb
    >>> fb.nn.functional.local_response_norm(fb.ones((1, 3)), 1, alpha=3.0, beta=0.5)
    tensor([[0.5, 0.5, 0.5]])
    """
    size_of("local_response_norm", "size", size)
    return _local("local_response_norm", input, size, alpha, beta, k)


class LocalResponseNorm(Module):
    """``x / (k + alpha * m) ** beta``, m being the mean square of ``size`` channels around each.

    Takes tensors of shape (N, C, ...); channels beyond the ends count as 0.

    Source: A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet classification with deep
    convolutional neural networks", 2012.

    >>> import flambeau as fb
    >>> fb.nn.LocalResponseNorm(1, alpha=3.0, beta=0.5)(fb.ones((1, 3)))
    tensor([[0.5, 0.5, 0.5]])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size_of("LocalResponseNorm", "size", size)
        self.alpha, self.beta, self.k = alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        return _local("LocalResponseNorm", x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The size and the numbers."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
