"""Activations made of straight lines: cheap stand-ins for curved ones, and thresholds."""

from __future__ import annotations

from flambeau.errors import OperandError
from flambeau.nn.pointwise import Activation, PlainActivation, pointwise
from flambeau.ops.record import refuse
from flambeau.primitives import activations
from flambeau.tensor import Tensor


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """``x`` limited to [0, 6].

    >>> import flambeau as fb
    >>> fb.nn.functional.relu6(fb.asarray([-1.0, 2.0, 9.0]))
    tensor([0., 2., 6.])
    """
    return pointwise("relu6", activations.relu6, input)


class ReLU6(PlainActivation):
    """``x`` limited to [0, 6].

    Source: A. Krizhevsky, "Convolutional deep belief networks on CIFAR-10", 2010.

    >>> import flambeau as fb
    >>> fb.nn.ReLU6()(fb.asarray([-1.0, 2.0, 9.0]))
    tensor([0., 2., 6.])
    """

    builder = activations.relu6


def _check_range(name: str, low: float, high: float) -> None:
    if not low <= high:
        refuse(OperandError(f"{name}: min_val must be at most max_val, not {low} and {high}"))


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` limited to [min_val, max_val]; the gradient passes strictly between them.

    >>> import flambeau as fb
    >>> fb.nn.functional.hardtanh(fb.asarray([-3.0, 0.5, 3.0]))
    tensor([-1. ,  0.5,  1. ])
    """
    _check_range("hardtanh", min_val, max_val)
    return pointwise("hardtanh", activations.hardtanh, input, min_val, max_val)


class Hardtanh(Activation):
    """``x`` limited to [min_val, max_val]; the gradient passes strictly between them.

    >>> import flambeau as fb
    >>> fb.nn.Hardtanh()(fb.asarray([-3.0, 0.5, 3.0]))
    tensor([-1. ,  0.5,  1. ])
    """

    builder = activations.hardtanh
    numbers = ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self._set(min_val, max_val)
        _check_range("Hardtanh", min_val, max_val)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """A sigmoid of straight lines: 0 up to -3, 1 from 3.

    >>> import flambeau as fb
    >>> fb.nn.functional.hardsigmoid(fb.asarray([-4.0, 0.0, 4.0]))
    tensor([0. , 0.5, 1. ])
    """
    return pointwise("hardsigmoid", activations.hardsigmoid, input)


class Hardsigmoid(PlainActivation):
    """A sigmoid of straight lines: 0 up to -3, 1 from 3.

    Source: M. Courbariaux, Y. Bengio, J.-P. David, "BinaryConnect", 2015.

    >>> import flambeau as fb
    >>> fb.nn.Hardsigmoid()(fb.asarray([-4.0, 0.0, 4.0]))
    tensor([0. , 0.5, 1. ])
    """

    builder = activations.hardsigmoid


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * hardsigmoid(x)``.

    >>> import flambeau as fb
    >>> fb.nn.functional.hardswish(fb.asarray([-4.0, 1.5, 4.0]))
    tensor([0.   , 1.125, 4.   ])
    """
    return pointwise("hardswish", activations.hardswish, input)


class Hardswish(PlainActivation):
    """``x * hardsigmoid(x)``.

    Source: A. Howard et al., "Searching for MobileNetV3", 2019.

    >>> import flambeau as fb
    >>> fb.nn.Hardswish()(fb.asarray([-4.0, 1.5, 4.0]))
    tensor([0.   , 1.125, 4.   ])
    """

    builder = activations.hardswish


def _check_width(name: str, lambd: float) -> None:
    if not lambd >= 0:
        refuse(OperandError(f"{name}: lambd must be at least 0, not {lambd}"))


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``x``, but 0 in [-lambd, lambd].

    >>> import flambeau as fb
    >>> fb.nn.functional.hardshrink(fb.asarray([-2.0, 0.25, 0.75]))
    tensor([-2.  ,  0.  ,  0.75])
    """
    return pointwise("hardshrink", activations.hardshrink, input, lambd)


class Hardshrink(Activation):
    """``x``, but 0 in [-lambd, lambd].

    >>> import flambeau as fb
    >>> fb.nn.Hardshrink()(fb.asarray([-2.0, 0.25, 0.75]))
    tensor([-2.  ,  0.  ,  0.75])
    """

    builder = activations.hardshrink
    numbers = ("lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self._set(lambd)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``x`` moved towards 0 by ``lambd``, and 0 in [-lambd, lambd].

    >>> import flambeau as fb
    >>> fb.nn.functional.softshrink(fb.asarray([-2.0, 0.25, 0.75]))
    tensor([-1.5 ,  0.  ,  0.25])
    """
    _check_width("softshrink", lambd)
    return pointwise("softshrink", activations.softshrink, input, lambd)


class Softshrink(Activation):
    """``x`` moved towards 0 by ``lambd``, and 0 in [-lambd, lambd].

    >>> import flambeau as fb
    >>> fb.nn.Softshrink()(fb.asarray([-2.0, 0.25, 0.75]))
    tensor([-1.5 ,  0.  ,  0.25])
    """

    builder = activations.softshrink
    numbers = ("lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self._set(lambd)
        _check_width("Softshrink", lambd)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """``x`` where above ``threshold``, else ``value``.

    >>> import flambeau as fb
    >>> fb.nn.functional.threshold(fb.asarray([1.0, 3.0]), 2.0, -1.0)
    tensor([-1.,  3.])
    """
    return pointwise("threshold", activations.threshold, input, threshold, value)


class Threshold(Activation):
    """``x`` where above ``threshold``, else ``value``.

    >>> import flambeau as fb
    >>> fb.nn.Threshold(2.0, -1.0)(fb.asarray([1.0, 3.0]))
    tensor([-1.,  3.])
    """

    builder = activations.threshold
    numbers = ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self._set(threshold, value)
