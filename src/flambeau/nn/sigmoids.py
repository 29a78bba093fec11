"""Activations of the shape of an S, what is made of them, and soft steps."""

from __future__ import annotations

from flambeau.nn.pointwise import Activation, pointwise
from flambeau.primitives import activations, composites, elementwise
from flambeau.tensor import Tensor


class Sigmoid(Activation):
    """``1 / (1 + exp(-x))``.

    >>> import flambeau as fb
    >>> fb.nn.Sigmoid()(fb.asarray([0.0, 100.0]))
    tensor([0.5, 1. ])
    """

    builder = elementwise.sigmoid


def logsigmoid(input: Tensor) -> Tensor:
    """``log(sigmoid(x))`` without underflow.

    >>> import flambeau as fb
    >>> fb.nn.functional.logsigmoid(fb.asarray([-200.0]))
    tensor([-200.])
    """
    return pointwise("logsigmoid", composites.log_sigmoid, input)


class LogSigmoid(Activation):
    """``log(sigmoid(x))`` without underflow.

    >>> import flambeau as fb
    >>> fb.nn.LogSigmoid()(fb.asarray([-200.0]))
    tensor([-200.])
    """

    builder = composites.log_sigmoid


class Tanh(Activation):
    """The hyperbolic tangent.

    >>> import flambeau as fb
    >>> fb.nn.Tanh()(fb.asarray([0.0, 100.0]))
    tensor([0., 1.])
    """

    builder = elementwise.tanh


def tanhshrink(input: Tensor) -> Tensor:
    """``x - tanh(x)``.

    >>> import flambeau as fb
    >>> fb.nn.functional.tanhshrink(fb.asarray([0.0, 100.0]))
    tensor([ 0., 99.])
    """
    return pointwise("tanhshrink", activations.tanhshrink, input)


class Tanhshrink(Activation):
    """``x - tanh(x)``.

    >>> import flambeau as fb
    >>> fb.nn.Tanhshrink()(fb.asarray([0.0, 100.0]))
    tensor([ 0., 99.])
    """

    builder = activations.tanhshrink


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta * x)) / beta``, and ``x`` itself where ``beta * x`` is above ``threshold``.

    >>> import flambeau as fb
    >>> fb.nn.functional.softplus(fb.asarray([0.0, 100.0]))
    tensor([  0.6931472, 100.       ])
    """
    return pointwise("softplus", activations.softplus, input, beta, threshold)


class Softplus(Activation):
    """``log(1 + exp(beta * x)) / beta``, and ``x`` itself where ``beta * x`` is above ``threshold``.

    >>> import flambeau as fb
    >>> fb.nn.Softplus()(fb.asarray([0.0, 100.0]))
    tensor([  0.6931472, 100.       ])
    """

    builder = activations.softplus
    numbers = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self._set(beta, threshold)


def softsign(input: Tensor) -> Tensor:
    """``x / (1 + abs(x))``.

    >>> import flambeau as fb
    >>> fb.nn.functional.softsign(fb.asarray([-1.0, 3.0]))
    tensor([-0.5 ,  0.75])
    """
    return pointwise("softsign", composites.softsign, input)


class Softsign(Activation):
    """``x / (1 + abs(x))``.

    >>> import flambeau as fb
    >>> fb.nn.Softsign()(fb.asarray([-1.0, 3.0]))
    tensor([-0.5 ,  0.75])
    """

    builder = composites.softsign
