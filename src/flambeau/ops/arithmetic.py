"""Arithmetic, element by element: operands broadcast and are promoted to a common dtype."""

from __future__ import annotations

from flambeau.ops.record import Number, binary, operand, record_mixed, unary, value_of
from flambeau.primitives import array_api, elementwise
from flambeau.tensor import Tensor


def abs(x: Tensor, /) -> Tensor:
    """The absolute value; of complex numbers the modulus, in the real dtype.

    >>> import flambeau as fb
    >>> fb.abs(fb.asarray([-2, 3]))
    tensor([2, 3])
    """
    return unary(elementwise.abs, x)


def add(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """The sum ``x1 + x2``.

    >>> import flambeau as fb
    >>> fb.add(fb.asarray([1, 2]), 10)
    tensor([11, 12])
    """
    return binary(elementwise.add, x1, x2)


def subtract(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """The difference ``x1 - x2``.

    >>> import flambeau as fb
    >>> fb.subtract(fb.asarray([1, 2]), 10)
    tensor([-9, -8])
    """
    return binary(elementwise.sub, x1, x2)


def multiply(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """The product ``x1 * x2``.

    >>> import flambeau as fb
    >>> fb.multiply(fb.asarray([1, 2]), 10)
    tensor([10, 20])
    """
    return binary(elementwise.mul, x1, x2)


def divide(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """The quotient ``x1 / x2``; integers are divided as floating-point numbers.

    >>> import flambeau as fb
    >>> fb.divide(fb.asarray([1, 2]), 4)
    tensor([0.25, 0.5 ])
    """
    return binary(elementwise.div, x1, x2)


def floor_divide(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """The quotient ``x1 // x2`` rounded down; dividing integers by 0 gives 0.

    >>> import flambeau as fb
    >>> fb.floor_divide(fb.asarray([7, -7]), 2)
    tensor([ 3, -4])
    """
    return binary(elementwise.floor_div, x1, x2)


def remainder(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """What ``floor_divide`` leaves, with the sign of ``x2``.

    >>> import flambeau as fb
    >>> fb.remainder(fb.asarray([7, -7]), 3)
    tensor([1, 2])
    """
    return binary(elementwise.mod, x1, x2)


def pow(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """``x1`` raised to the power ``x2``; a Python integer is a fixed exponent, multiplied out.

    >>> import flambeau as fb
    >>> fb.pow(fb.asarray([1.0, 2.0, 3.0]), 2)
    tensor([1., 4., 9.])
    """
    if type(x2) is int and isinstance(x1, Tensor):
        return x1**x2  # type: ignore[no-any-return]
    return binary(elementwise.pow, x1, x2)


def negative(x: Tensor, /) -> Tensor:
    """The numbers with the sign changed.

    >>> import flambeau as fb
    >>> fb.negative(fb.asarray([1.0, -2.0]))
    tensor([-1.,  2.])
    """
    return unary(elementwise.neg, x)


def positive(x: Tensor, /) -> Tensor:
    """The numbers as they are.

    >>> import flambeau as fb
    >>> fb.positive(fb.asarray([1, -2]))
    tensor([ 1, -2])
    """
    return unary(array_api.same, x)


def sign(x: Tensor, /) -> Tensor:
    """-1, 0 or 1 by the sign; of complex numbers ``x / abs(x)``.

    >>> import flambeau as fb
    >>> fb.sign(fb.asarray([-2.0, 0.0, 5.0]))
    tensor([-1.,  0.,  1.])
    """
    return unary(elementwise.sign, x)


def square(x: Tensor, /) -> Tensor:
    """The square ``x * x``.

    >>> import flambeau as fb
    >>> fb.square(fb.asarray([-2.0, 3.0]))
    tensor([4., 9.])
    """
    return unary(elementwise.square, x)


def sqrt(x: Tensor, /) -> Tensor:
    """The square root; NaN of negative numbers.

    >>> import flambeau as fb
    >>> fb.sqrt(fb.asarray([4.0, 9.0]))
    tensor([2., 3.])
    """
    return unary(elementwise.sqrt, x)


def rsqrt(x: Tensor, /) -> Tensor:
    """The reciprocal of the square root.

    >>> import flambeau as fb
    >>> fb.rsqrt(fb.asarray([4.0, 16.0]))
    tensor([0.5 , 0.25])
    """
    return unary(elementwise.rsqrt, x)


def reciprocal(x: Tensor, /) -> Tensor:
    """``1 / x``.

    >>> import flambeau as fb
    >>> fb.reciprocal(fb.asarray([2.0, 4.0]))
    tensor([0.5 , 0.25])
    """
    return unary(elementwise.reciprocal, x)


def maximum(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """The larger of two; NaN where one is NaN.  Equal operands share the gradient.

    >>> import flambeau as fb
    >>> fb.maximum(fb.asarray([1, 5]), 3)
    tensor([3, 5])
    """
    return binary(elementwise.maximum, x1, x2)


def minimum(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """The smaller of two; NaN where one is NaN.  Equal operands share the gradient.

    >>> import flambeau as fb
    >>> fb.minimum(fb.asarray([1, 5]), 3)
    tensor([1, 3])
    """
    return binary(elementwise.minimum, x1, x2)


def hypot(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """``sqrt(x1**2 + x2**2)`` without overflow.

    >>> import flambeau as fb
    >>> fb.hypot(fb.asarray([3.0, 5.0]), fb.asarray([4.0, 12.0]))
    tensor([ 5., 13.])
    """
    return binary(elementwise.hypot, x1, x2)


def copysign(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """The magnitude of ``x1`` with the sign of ``x2``.

    >>> import flambeau as fb
    >>> fb.copysign(fb.asarray([1.0, 2.0]), -1.0)
    tensor([-1., -2.])
    """
    return binary(elementwise.copysign, x1, x2)


def nextafter(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """The next number the dtype can hold after ``x1`` towards ``x2``.

    >>> import flambeau as fb
    >>> fb.nextafter(fb.asarray([0.0]), 1.0)
    tensor([1.e-45])
    """
    return binary(elementwise.nextafter, x1, x2)


def clip(x: Tensor, /, min: Tensor | Number | None = None, max: Tensor | Number | None = None) -> Tensor:
    """The elements limited to [``min``, ``max``]; the gradient passes where an element lies inside.

    >>> import flambeau as fb
    >>> fb.clip(fb.asarray([-1.0, 0.5, 9.0]), 0.0, 1.0)
    tensor([0. , 0.5, 1. ])
    """
    value = value_of(x, "clip")
    dtype = value.type.dtype
    low = None if min is None else operand(min, dtype, "clip")
    high = None if max is None else operand(max, dtype, "clip")
    if high is None:
        return x if low is None else record_mixed(array_api.clip_low, (), [value, low])
    if low is None:
        return record_mixed(array_api.clip_high, (), [value, high])
    return record_mixed(array_api.clip, (), [value, low, high])


def round(x: Tensor, /) -> Tensor:
    """The nearest whole number, halves to even.

    >>> import flambeau as fb
    >>> fb.round(fb.asarray([0.5, 1.5, -1.2]))
    tensor([ 0.,  2., -1.])
    """
    return unary(elementwise.round, x)


def floor(x: Tensor, /) -> Tensor:
    """The largest whole number that is not larger.

    >>> import flambeau as fb
    >>> fb.floor(fb.asarray([0.5, -1.2]))
    tensor([ 0., -2.])
    """
    return unary(elementwise.floor, x)


def ceil(x: Tensor, /) -> Tensor:
    """The smallest whole number that is not smaller.

    >>> import flambeau as fb
    >>> fb.ceil(fb.asarray([0.5, -1.2]))
    tensor([ 1., -1.])
    """
    return unary(elementwise.ceil, x)


def trunc(x: Tensor, /) -> Tensor:
    """The whole number next towards zero.

    >>> import flambeau as fb
    >>> fb.trunc(fb.asarray([1.7, -1.7]))
    tensor([ 1., -1.])
    """
    return unary(elementwise.trunc, x)


def real(x: Tensor, /) -> Tensor:
    """The real part; real numbers are their own.

    >>> import flambeau as fb
    >>> fb.real(fb.asarray([1 + 2j]))
    tensor([1.])
    """
    return unary(elementwise.real if value_of(x, "real").type.dtype.kind == "complex" else array_api.same, x)


def imag(x: Tensor, /) -> Tensor:
    """The imaginary part of complex numbers.

    >>> import flambeau as fb
    >>> fb.imag(fb.asarray([1 + 2j]))
    tensor([2.])
    """
    return unary(elementwise.imag, x)


def conj(x: Tensor, /) -> Tensor:
    """The complex conjugate; real numbers are their own.

    >>> import flambeau as fb
    >>> fb.conj(fb.asarray([1 + 2j]))
    tensor([1.-2.j])
    """
    return unary(elementwise.conj if value_of(x, "conj").type.dtype.kind == "complex" else array_api.same, x)
