"""Losses, as functions and as modules."""

from __future__ import annotations

from flambeau.engine.tape import THREAD
from flambeau.nn.module import Module
from flambeau.ops.record import value_of
from flambeau.primitives import losses
from flambeau.tensor import Tensor


def cross_entropy(input: Tensor, target: Tensor) -> Tensor:
    """The mean cross entropy between logits of shape (..., classes) and integer targets of shape (...).

    Raises ``ShapeError`` and ``DTypeError`` where these do not fit.

    >>> import flambeau as fb
    >>> fb.nn.functional.cross_entropy(fb.asarray([[0.0, 0.0]]), fb.asarray([1]))
    tensor(0.6931472)
    """
    operands = [value_of(x, "cross_entropy") for x in (input, target)]
    return Tensor(THREAD.tape.record(losses.cross_entropy, (), operands))


def mse_loss(input: Tensor, target: Tensor) -> Tensor:
    """The mean squared error of tensors of one shape."""
    operands = [value_of(x, "mse_loss") for x in (input, target)]
    return Tensor(THREAD.tape.record(losses.mse, (), operands))


class CrossEntropyLoss(Module):
    """``cross_entropy`` as a module."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return cross_entropy(input, target)


class MSELoss(Module):
    """``mse_loss`` as a module."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return mse_loss(input, target)
