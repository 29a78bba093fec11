"""Activations along an axis: exponentials that sum to 1, and gates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from flambeau.errors import OperandError, ShapeError
from flambeau.nn.module import Module
from flambeau.nn.pointwise import pointwise
from flambeau.ops.record import refuse
from flambeau.primitives import activations, array_api
from flambeau.primitives.views import shape_text
from flambeau.tensor import Tensor


class _AlongAxis(Module):
    """A layer that is a builder along the axis ``dim``."""

    builder: ClassVar[Callable[..., Any]]

    def __init__(self, dim: int) -> None:
        super().__init__()
        if isinstance(dim, bool) or not isinstance(dim, int):
            refuse(OperandError(f"{type(self).__name__}: dim must be an axis, not {dim!r}"))
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation."""
        return pointwise(type(self).__name__, type(self).builder, x, attrs=(self.dim,))

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class Softmax(_AlongAxis):
    """Exponentials that sum to 1 along the axis ``dim``.

    >>> import flambeau as fb
    >>> fb.nn.Softmax(dim=-1)(fb.asarray([0.0, 0.0]))
    tensor([0.5, 0.5])
    """

    builder = array_api.softmax


class LogSoftmax(_AlongAxis):
    """The logarithm of ``Softmax``, without its rounding to 0.

    >>> import flambeau as fb
    >>> fb.nn.LogSoftmax(dim=-1)(fb.asarray([0.0, -200.0]))
    tensor([   0., -200.])
    """

    builder = array_api.log_softmax


def softmin(input: Tensor, dim: int) -> Tensor:
    """``softmax(-x)`` along the axis ``dim``.

    >>> import flambeau as fb
    >>> fb.nn.functional.softmin(fb.asarray([0.0, 200.0]), dim=0)
    tensor([1., 0.])
    """
    return pointwise("softmin", activations.softmin, input, attrs=(dim,))


class Softmin(_AlongAxis):
    """``softmax(-x)`` along the axis ``dim``.

    >>> import flambeau as fb
    >>> fb.nn.Softmin(dim=0)(fb.asarray([0.0, 200.0]))
    tensor([1., 0.])
    """

    builder = activations.softmin


class Softmax2d(Module):
    """``Softmax`` over the channels of images of shape (N, C, H, W) or (C, H, W).

    >>> import flambeau as fb
    >>> fb.nn.Softmax2d()(fb.zeros((1, 4, 2, 2)))[0, :, 0, 0]
    tensor([0.25, 0.25, 0.25, 0.25])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation."""
        if isinstance(x, Tensor) and x.ndim not in (3, 4):
            refuse(
                ShapeError(
                    f"Softmax2d: an input of shape (N, C, H, W) or (C, H, W) is needed, "
                    f"not {shape_text(x.shape)}"
                )
            )
        return pointwise("Softmax2d", array_api.softmax, x, attrs=(-3,))


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half of ``input`` along ``dim`` times the sigmoid of the second half.

    >>> import flambeau as fb
    >>> fb.nn.functional.glu(fb.asarray([1.0, 2.0, 0.0, 100.0]))
    tensor([0.5, 2. ])
    """
    return pointwise("glu", activations.glu, input, attrs=(dim,))


class GLU(_AlongAxis):
    """The first half of the input along ``dim`` times the sigmoid of the second half.

    Source: Y. N. Dauphin et al., "Language modeling with gated convolutional networks", 2016.

    >>> import flambeau as fb
    >>> fb.nn.GLU()(fb.asarray([1.0, 2.0, 0.0, 100.0]))
    tensor([0.5, 2. ])
    """

    builder = activations.glu

    def __init__(self, dim: int = -1) -> None:
        super().__init__(dim)
