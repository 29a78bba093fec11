"""Comparisons, logic and bits, element by element."""

from __future__ import annotations

from flambeau.ops.record import Number, binary, operands, record_mixed, unary
from flambeau.primitives import composites, elementwise
from flambeau.tensor import Tensor


def equal(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """Whether ``x1 == x2``.

    >>> import flambeau as fb
    >>> fb.equal(fb.asarray([1, 2, 3]), 2)
    tensor([False,  True, False])
    """
    return binary(elementwise.eq, x1, x2)


def not_equal(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """Whether ``x1 != x2``.

    >>> import flambeau as fb
    >>> fb.not_equal(fb.asarray([1, 2, 3]), 2)
    tensor([ True, False,  True])
    """
    return binary(elementwise.ne, x1, x2)


def less(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """Whether ``x1 < x2``.

    >>> import flambeau as fb
    >>> fb.less(fb.asarray([1, 2, 3]), 2)
    tensor([ True, False, False])
    """
    return binary(elementwise.lt, x1, x2)


def less_equal(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """Whether ``x1 <= x2``.

    >>> import flambeau as fb
    >>> fb.less_equal(fb.asarray([1, 2, 3]), 2)
    tensor([ True,  True, False])
    """
    return binary(elementwise.le, x1, x2)


def greater(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """Whether ``x1 > x2``.

    >>> import flambeau as fb
    >>> fb.greater(fb.asarray([1, 2, 3]), 2)
    tensor([False, False,  True])
    """
    return binary(elementwise.gt, x1, x2)


def greater_equal(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """Whether ``x1 >= x2``.

    >>> import flambeau as fb
    >>> fb.greater_equal(fb.asarray([1, 2, 3]), 2)
    tensor([False,  True,  True])
    """
    return binary(elementwise.ge, x1, x2)


def logical_and(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """Whether both are true.

    >>> import flambeau as fb
    >>> fb.logical_and(fb.asarray([True, False]), True)
    tensor([ True, False])
    """
    return binary(elementwise.logical_and, x1, x2)


def logical_or(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """Whether one of both is true.

    >>> import flambeau as fb
    >>> fb.logical_or(fb.asarray([True, False]), True)
    tensor([ True,  True])
    """
    return binary(elementwise.logical_or, x1, x2)


def logical_xor(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """Whether exactly one of both is true.

    >>> import flambeau as fb
    >>> fb.logical_xor(fb.asarray([True, False]), True)
    tensor([False,  True])
    """
    return binary(elementwise.logical_xor, x1, x2)


def logical_not(x: Tensor, /) -> Tensor:
    """Whether ``x`` is false.

    >>> import flambeau as fb
    >>> fb.logical_not(fb.asarray([True, False]))
    tensor([False,  True])
    """
    return unary(elementwise.logical_not, x)


def bitwise_and(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """The bits that both have.

    >>> import flambeau as fb
    >>> fb.bitwise_and(fb.asarray([12]), 10)
    tensor([8])
    """
    return binary(elementwise.bitwise_and, x1, x2)


def bitwise_or(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """The bits that one of both has.

    >>> import flambeau as fb
    >>> fb.bitwise_or(fb.asarray([12]), 10)
    tensor([14])
    """
    return binary(elementwise.bitwise_or, x1, x2)


def bitwise_xor(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """The bits that exactly one of both has.

    >>> import flambeau as fb
    >>> fb.bitwise_xor(fb.asarray([12]), 10)
    tensor([6])
    """
    return binary(elementwise.bitwise_xor, x1, x2)


def bitwise_left_shift(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """The bits of ``x1`` moved up by ``x2`` places.

    >>> import flambeau as fb
    >>> fb.bitwise_left_shift(fb.asarray([3]), 2)
    tensor([12])
    """
    return binary(elementwise.shift_left, x1, x2)


def bitwise_right_shift(x1: Tensor | Number, x2: Tensor | Number, /) -> Tensor:
    """The bits of ``x1`` moved down by ``x2`` places, the sign repeated.

    >>> import flambeau as fb
    >>> fb.bitwise_right_shift(fb.asarray([12, -12]), 2)
    tensor([ 3, -3])
    """
    return binary(elementwise.shift_right, x1, x2)


def bitwise_invert(x: Tensor, /) -> Tensor:
    """All bits turned round.

    >>> import flambeau as fb
    >>> fb.bitwise_invert(fb.asarray([0, 5]))
    tensor([-1, -6])
    """
    return unary(elementwise.bitwise_not, x)


def isnan(x: Tensor, /) -> Tensor:
    """Whether an element is NaN.

    >>> import flambeau as fb
    >>> fb.isnan(fb.asarray([1.0, float('nan')]))
    tensor([False,  True])
    """
    return unary(elementwise.is_nan, x)


def isinf(x: Tensor, /) -> Tensor:
    """Whether an element is infinite.

    >>> import flambeau as fb
    >>> fb.isinf(fb.asarray([1.0, float('inf')]))
    tensor([False,  True])
    """
    return unary(elementwise.is_inf, x)


def isfinite(x: Tensor, /) -> Tensor:
    """Whether an element is neither infinite nor NaN.

    >>> import flambeau as fb
    >>> fb.isfinite(fb.asarray([1.0, float('inf')]))
    tensor([ True, False])
    """
    return unary(elementwise.is_finite, x)


def signbit(x: Tensor, /) -> Tensor:
    """Whether the sign bit is set, as in -0.0.

    >>> import flambeau as fb
    >>> fb.signbit(fb.asarray([-0.0, 0.0]))
    tensor([ True, False])
    """
    return unary(elementwise.signbit, x)


def isclose(
    x1: Tensor | Number,
    x2: Tensor | Number,
    /,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    equal_nan: bool = False,
) -> Tensor:
    """Whether ``abs(x1 - x2) <= atol + rtol * abs(x2)``, element by element.

    Equal infinities are close; NaNs are with ``equal_nan``.

    >>> import flambeau as fb
    >>> fb.isclose(fb.asarray([1.0, 2.0]), fb.asarray([1.0, 2.1]))
    tensor([ True, False])
    """
    return record_mixed(composites.isclose, (rtol, atol, equal_nan), operands("isclose", x1, x2))


def allclose(
    x1: Tensor | Number,
    x2: Tensor | Number,
    /,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    equal_nan: bool = False,
) -> Tensor:
    """Whether ``isclose`` holds everywhere: one boolean.

    >>> import flambeau as fb
    >>> fb.allclose(fb.asarray([1.0, 2.0]), fb.asarray([1.0, 2.1]), rtol=0.1)
    tensor(True)
    """
    return record_mixed(composites.allclose, (rtol, atol, equal_nan), operands("allclose", x1, x2))
