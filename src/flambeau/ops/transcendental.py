"""Exponentials, logarithms, trigonometry: integers are computed in the default floating-point dtype."""

from __future__ import annotations

from flambeau.ops.record import Number, binary, unary
from flambeau.primitives import elementwise
from flambeau.tensor import Tensor


def exp(x: Tensor, /) -> Tensor:
    """e to the power of ``x``.

    >>> import flambeau as fb
    >>> fb.exp(fb.asarray([0.0]))
    tensor([1.])
    """
    return unary(elementwise.exp, x)


def exp2(x: Tensor, /) -> Tensor:
    """2 to the power of ``x``.

    >>> import flambeau as fb
    >>> fb.exp2(fb.asarray([0.0, 3.0]))
    tensor([1., 8.])
    """
    return unary(elementwise.exp2, x)


def expm1(x: Tensor, /) -> Tensor:
    """``exp(x) - 1``, precise for small ``x``.

    >>> import flambeau as fb
    >>> fb.expm1(fb.asarray([0.0]))
    tensor([0.])
    """
    return unary(elementwise.expm1, x)


def log(x: Tensor, /) -> Tensor:
    """The natural logarithm; NaN of negative numbers, -inf of 0.

    >>> import flambeau as fb
    >>> fb.log(fb.asarray([1.0, 0.0]))
    tensor([  0., -inf])
    """
    return unary(elementwise.log, x)


def log2(x: Tensor, /) -> Tensor:
    """The logarithm to base 2.

    >>> import flambeau as fb
    >>> fb.log2(fb.asarray([1.0, 8.0]))
    tensor([0., 3.])
    """
    return unary(elementwise.log2, x)


def log10(x: Tensor, /) -> Tensor:
    """The logarithm to base 10.

    >>> import flambeau as fb
    >>> fb.log10(fb.asarray([1.0, 1000.0]))
    tensor([0., 3.])
    """
    return unary(elementwise.log10, x)


def log1p(x: Tensor, /) -> Tensor:
    """``log(1 + x)``, precise for small ``x``.

    >>> import flambeau as fb
    >>> fb.log1p(fb.asarray([0.0]))
    tensor([0.])
    """
    return unary(elementwise.log1p, x)


def logaddexp(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """``log(exp(x1) + exp(x2))`` without overflow.

    >>> import flambeau as fb
    >>> fb.logaddexp(fb.asarray([0.0, 1000.0]), -fb.inf)
    tensor([   0., 1000.])
    """
    return binary(elementwise.logaddexp, x1, x2)


def sin(x: Tensor, /) -> Tensor:
    """The sine of an angle in radians.

    >>> import flambeau as fb
    >>> fb.sin(fb.asarray([0.0]))
    tensor([0.])
    """
    return unary(elementwise.sin, x)


def cos(x: Tensor, /) -> Tensor:
    """The cosine of an angle in radians.

    >>> import flambeau as fb
    >>> fb.cos(fb.asarray([0.0]))
    tensor([1.])
    """
    return unary(elementwise.cos, x)


def tan(x: Tensor, /) -> Tensor:
    """The tangent of an angle in radians.

    >>> import flambeau as fb
    >>> fb.tan(fb.asarray([0.0]))
    tensor([0.])
    """
    return unary(elementwise.tan, x)


def asin(x: Tensor, /) -> Tensor:
    """The angle in [-pi/2, pi/2] whose sine is ``x``.

    >>> import flambeau as fb
    >>> fb.asin(fb.asarray([0.0]))
    tensor([0.])
    """
    return unary(elementwise.asin, x)


def acos(x: Tensor, /) -> Tensor:
    """The angle in [0, pi] whose cosine is ``x``.

    >>> import flambeau as fb
    >>> fb.acos(fb.asarray([1.0]))
    tensor([0.])
    """
    return unary(elementwise.acos, x)


def atan(x: Tensor, /) -> Tensor:
    """The angle in [-pi/2, pi/2] whose tangent is ``x``.

    >>> import flambeau as fb
    >>> fb.atan(fb.asarray([0.0]))
    tensor([0.])
    """
    return unary(elementwise.atan, x)


def atan2(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """The angle in [-pi, pi] of the point with ordinate ``x1`` and abscissa ``x2``.

    >>> import flambeau as fb
    >>> fb.atan2(fb.asarray([0.0]), 1.0)
    tensor([0.])
    """
    return binary(elementwise.atan2, x1, x2)


def sinh(x: Tensor, /) -> Tensor:
    """The hyperbolic sine.

    >>> import flambeau as fb
    >>> fb.sinh(fb.asarray([0.0]))
    tensor([0.])
    """
    return unary(elementwise.sinh, x)


def cosh(x: Tensor, /) -> Tensor:
    """The hyperbolic cosine.

    >>> import flambeau as fb
    >>> fb.cosh(fb.asarray([0.0]))
    tensor([1.])
    """
    return unary(elementwise.cosh, x)


def tanh(x: Tensor, /) -> Tensor:
    """The hyperbolic tangent.

    >>> import flambeau as fb
    >>> fb.tanh(fb.asarray([0.0]))
    tensor([0.])
    """
    return unary(elementwise.tanh, x)


def asinh(x: Tensor, /) -> Tensor:
    """The inverse of the hyperbolic sine.

    >>> import flambeau as fb
    >>> fb.asinh(fb.asarray([0.0]))
    tensor([0.])
    """
    return unary(elementwise.asinh, x)


def acosh(x: Tensor, /) -> Tensor:
    """The inverse of the hyperbolic cosine; NaN below 1.

    >>> import flambeau as fb
    >>> fb.acosh(fb.asarray([1.0]))
    tensor([0.])
    """
    return unary(elementwise.acosh, x)


def atanh(x: Tensor, /) -> Tensor:
    """The inverse of the hyperbolic tangent; NaN outside [-1, 1].

    >>> import flambeau as fb
    >>> fb.atanh(fb.asarray([0.0]))
    tensor([0.])
    """
    return unary(elementwise.atanh, x)


def erf(x: Tensor, /) -> Tensor:
    """The error function, ``2 / sqrt(pi)`` times the integral of ``exp(-t**2)`` from 0 to ``x``.

    >>> import flambeau as fb
    >>> fb.erf(fb.asarray([0.0]))
    tensor([0.])
    """
    return unary(elementwise.erf, x)


def sigmoid(x: Tensor, /) -> Tensor:
    """The logistic function ``1 / (1 + exp(-x))``.

    >>> import flambeau as fb
    >>> fb.sigmoid(fb.asarray([0.0]))
    tensor([0.5])
    """
    return unary(elementwise.sigmoid, x)


def relu(x: Tensor, /) -> Tensor:
    """``x`` where it is positive, else 0.

    >>> import flambeau as fb
    >>> fb.relu(fb.asarray([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return unary(elementwise.relu, x)
