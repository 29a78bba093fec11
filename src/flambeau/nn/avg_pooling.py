"""Average and power-average pooling over one to three spatial axes."""

from __future__ import annotations

from typing import Any, ClassVar

from flambeau.errors import OperandError, ShapeError
from flambeau.nn.arguments import integer
from flambeau.nn.max_pooling import pool_options
from flambeau.nn.module import Module
from flambeau.ops.record import record, refuse, value_of
from flambeau.primitives import pooling
from flambeau.primitives.pooling import PoolOptions
from flambeau.tensor import Tensor

IntOrInts = int | tuple[int, ...]


def _avg_pool(input: Any, options: PoolOptions, count_include_pad: bool, divisor: int | None) -> Tensor:
    value_of(input, options.name)
    return record(pooling.avg_pool, (options, bool(count_include_pad), divisor), input)


def _divisor(value: Any, name: str) -> int | None:
    if value is None:
        return None
    divisor = integer(value, name, "divisor_override", -(2**62))
    if divisor == 0:
        refuse(ShapeError(f"{name}: divisor_override must not be 0"))
    return divisor


def _norm(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value == 0:
        refuse(OperandError(f"{name}: norm_type must be a number other than 0, not {value!r}"))
    return float(value)


def _lp_pool(input: Any, options: PoolOptions, norm: float) -> Tensor:
    value_of(input, options.name)
    return record(pooling.lp_pool, (options, norm), input)


class _AvgPool(Module):
    """Average pooling; its subclasses say over how many axes."""

    _count: ClassVar[int]

    def __init__(
        self,
        kernel_size: IntOrInts,
        stride: IntOrInts | None = None,
        padding: IntOrInts = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        name = f"AvgPool{self._count}d"
        self._options = pool_options(name, self._count, kernel_size, stride, padding, 1, ceil_mode)
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = _divisor(divisor_override, name)

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return _avg_pool(input, self._options, self.count_include_pad, self.divisor_override)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _LPPool(Module):
    """Power-average pooling; its subclasses say over how many axes."""

    _count: ClassVar[int]

    def __init__(
        self,
        norm_type: float,
        kernel_size: IntOrInts,
        stride: IntOrInts | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        name = f"LPPool{self._count}d"
        self._options = pool_options(name, self._count, kernel_size, stride, 0, 1, ceil_mode)
        self.norm_type = _norm(norm_type, name)
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return _lp_pool(input, self._options, self.norm_type)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class AvgPool1d(_AvgPool):
    """The mean of what a sliding window over signals sees.

    Takes (N, C, L) or (C, L), gives (N, C, L') or (C, L') with
    ``L' = (L + 2 * padding - kernel_size) // stride + 1`` along each axis.

    Args:
        kernel_size: the size of the window, a number or one for each axis.
        stride: the step between windows; ``kernel_size`` if None.
        padding: zeros at both ends of each axis; at most half of the window.
        ceil_mode: whether a last window may hang over the end.
        count_include_pad: whether these zeros count when the mean is taken.

    Raises:
        ShapeError: where the window does not fit into the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.AvgPool1d(2)(fb.ones((1, 3, 7))).shape
        (1, 3, 3)
    """

    _count = 1

    def __init__(
        self,
        kernel_size: IntOrInts,
        stride: IntOrInts | None = None,
        padding: IntOrInts = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)


class AvgPool2d(_AvgPool):
    """The mean of what a sliding window over images sees.

    Takes (N, C, H, W) or (C, H, W), gives (N, C, H', W') or (C, H', W') with
    ``L' = (L + 2 * padding - kernel_size) // stride + 1`` along each axis.

    Args:
        kernel_size: the size of the window, a number or one for each axis.
        stride: the step between windows; ``kernel_size`` if None.
        padding: zeros at both ends of each axis; at most half of the window.
        ceil_mode: whether a last window may hang over the end.
        count_include_pad: whether these zeros count when the mean is taken.
        divisor_override: what sums are divided by, in place of the window's size.

    Raises:
        ShapeError: where the window does not fit into the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.AvgPool2d(2)(fb.ones((1, 3, 7, 7))).shape
        (1, 3, 3, 3)
    """

    _count = 2


class AvgPool3d(_AvgPool):
    """The mean of what a sliding window over volumes sees.

    Takes (N, C, D, H, W) or (C, D, H, W), gives (N, C, D', H', W') or (C, D', H', W') with
    ``L' = (L + 2 * padding - kernel_size) // stride + 1`` along each axis.

    Args:
        kernel_size: the size of the window, a number or one for each axis.
        stride: the step between windows; ``kernel_size`` if None.
        padding: zeros at both ends of each axis; at most half of the window.
        ceil_mode: whether a last window may hang over the end.
        count_include_pad: whether these zeros count when the mean is taken.
        divisor_override: what sums are divided by, in place of the window's size.

    Raises:
        ShapeError: where the window does not fit into the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.AvgPool3d(2)(fb.ones((1, 3, 7, 7, 7))).shape
        (1, 3, 3, 3, 3)
    """

    _count = 3


class LPPool1d(_LPPool):
    """``sum(x ** p) ** (1 / p)`` over what a sliding window over signals sees.

    Takes (N, C, L) or (C, L), gives (N, C, L') or (C, L').  Where the sum is 0 so
    is the gradient; where it is negative the result is NaN.

    Args:
        norm_type: the power p: 1 gives sums, and the larger it is, the nearer the result to the maximum.
        kernel_size: the size of the window, a number or one for each axis.
        stride: the step between windows; ``kernel_size`` if None.
        ceil_mode: whether a last window may hang over the end; its sum is scaled to a whole window's.

    Raises:
        ShapeError: where the window does not fit into the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.LPPool1d(2, 2)(fb.ones((1, 3, 7))).shape
        (1, 3, 3)
    """

    _count = 1


class LPPool2d(_LPPool):
    """``sum(x ** p) ** (1 / p)`` over what a sliding window over images sees.

    Takes (N, C, H, W) or (C, H, W), gives (N, C, H', W') or (C, H', W').  Where the sum is 0 so
    is the gradient; where it is negative the result is NaN.

    Args:
        norm_type: the power p: 1 gives sums, and the larger it is, the nearer the result to the maximum.
        kernel_size: the size of the window, a number or one for each axis.
        stride: the step between windows; ``kernel_size`` if None.
        ceil_mode: whether a last window may hang over the end; its sum is scaled to a whole window's.

    Raises:
        ShapeError: where the window does not fit into the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.LPPool2d(2, 2)(fb.ones((1, 3, 7, 7))).shape
        (1, 3, 3, 3)
    """

    _count = 2


class LPPool3d(_LPPool):
    """``sum(x ** p) ** (1 / p)`` over what a sliding window over volumes sees.

    Takes (N, C, D, H, W) or (C, D, H, W), gives (N, C, D', H', W') or (C, D', H', W').  Where the sum is 0 so
    is the gradient; where it is negative the result is NaN.

    Args:
        norm_type: the power p: 1 gives sums, and the larger it is, the nearer the result to the maximum.
        kernel_size: the size of the window, a number or one for each axis.
        stride: the step between windows; ``kernel_size`` if None.
        ceil_mode: whether a last window may hang over the end; its sum is scaled to a whole window's.

    Raises:
        ShapeError: where the window does not fit into the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.LPPool3d(2, 2)(fb.ones((1, 3, 7, 7, 7))).shape
        (1, 3, 3, 3, 3)
    """

    _count = 3


def avg_pool1d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of every window of (N, C, L) or (C, L), as ``AvgPool1d`` gives it.

    >>> import flambeau as fb
    >>> fb.nn.functional.avg_pool1d(fb.ones((1, 3, 8)), 2).shape
    (1, 3, 4)
    """
    name = "avg_pool1d"
    options = pool_options(name, 1, kernel_size, stride, padding, 1, ceil_mode)
    return _avg_pool(input, options, count_include_pad, None)


def avg_pool2d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of every window of (N, C, H, W) or (C, H, W), as ``AvgPool2d`` gives it.

    >>> import flambeau as fb
    >>> fb.nn.functional.avg_pool2d(fb.ones((1, 3, 8, 8)), 2).shape
    (1, 3, 4, 4)
    """
    name = "avg_pool2d"
    options = pool_options(name, 2, kernel_size, stride, padding, 1, ceil_mode)
    return _avg_pool(input, options, count_include_pad, _divisor(divisor_override, name))


def avg_pool3d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of every window of (N, C, D, H, W) or (C, D, H, W), as ``AvgPool3d`` gives it.

    >>> import flambeau as fb
    >>> fb.nn.functional.avg_pool3d(fb.ones((1, 3, 8, 8, 8)), 2).shape
    (1, 3, 4, 4, 4)
    """
    name = "avg_pool3d"
    options = pool_options(name, 3, kernel_size, stride, padding, 1, ceil_mode)
    return _avg_pool(input, options, count_include_pad, _divisor(divisor_override, name))


def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The power average of every window of (N, C, L) or (C, L), as ``LPPool1d`` gives it.

    >>> import flambeau as fb
    >>> fb.nn.functional.lp_pool1d(fb.ones((1, 3, 8)), 2, 2).shape
    (1, 3, 4)
    """
    name = "lp_pool1d"
    options = pool_options(name, 1, kernel_size, stride, 0, 1, ceil_mode)
    return _lp_pool(input, options, _norm(norm_type, name))


def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The power average of every window of (N, C, H, W) or (C, H, W), as ``LPPool2d`` gives it.

    >>> import flambeau as fb
    >>> fb.nn.functional.lp_pool2d(fb.ones((1, 3, 8, 8)), 2, 2).shape
    (1, 3, 4, 4)
    """
    name = "lp_pool2d"
    options = pool_options(name, 2, kernel_size, stride, 0, 1, ceil_mode)
    return _lp_pool(input, options, _norm(norm_type, name))


def lp_pool3d(
    input: Tensor,
    norm_type: float,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The power average of every window of (N, C, D, H, W) or (C, D, H, W), as ``LPPool3d`` gives it.

    >>> import flambeau as fb
    >>> fb.nn.functional.lp_pool3d(fb.ones((1, 3, 8, 8, 8)), 2, 2).shape
    (1, 3, 4, 4, 4)
    """
    name = "lp_pool3d"
    options = pool_options(name, 3, kernel_size, stride, 0, 1, ceil_mode)
    return _lp_pool(input, options, _norm(norm_type, name))
