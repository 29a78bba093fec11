"""Maximum pooling over one to three spatial axes, and its way back."""

from __future__ import annotations

from typing import Any, ClassVar

from flambeau.engine.tape import THREAD
from flambeau.nn.arguments import each
from flambeau.nn.module import Module
from flambeau.ops.record import record, record_all, value_of
from flambeau.primitives import pooling
from flambeau.primitives.pooling import PoolOptions
from flambeau.tensor import Tensor

IntOrInts = int | tuple[int, ...]


def pool_options(
    name: str, count: int, window: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> PoolOptions:
    """The static part of a pooling, from what users write; the stride is the window's size if not given."""
    sizes = each(window, count, name, "kernel_size")
    return PoolOptions(
        name,
        sizes,
        sizes if stride is None or stride == () else each(stride, count, name, "stride"),
        each(padding, count, name, "padding", 0),
        each(dilation, count, name, "dilation"),
        bool(ceil_mode),
    )


def _max_pool(input: Any, options: PoolOptions, return_indices: bool) -> Any:
    value_of(input, options.name)
    if return_indices:
        return record_all(pooling.max_pool_with_indices, (options,), input)
    return record(pooling.max_pool, (options,), input)


def _max_unpool(input: Any, indices: Any, options: PoolOptions, output_size: Any) -> Tensor:
    operands = [value_of(x, options.name) for x in (input, indices)]
    size = None if output_size is None else tuple(output_size)
    return Tensor(THREAD.tape.record(pooling.max_unpool, (options, size), operands))


class _MaxPool(Module):
    """Maximum pooling; its subclasses say over how many axes."""

    _count: ClassVar[int]

    def __init__(
        self,
        kernel_size: IntOrInts,
        stride: IntOrInts | None = None,
        padding: IntOrInts = 0,
        dilation: IntOrInts = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        name = f"MaxPool{self._count}d"
        self._options = pool_options(name, self._count, kernel_size, stride, padding, dilation, ceil_mode)
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        """Apply the layer."""
        return _max_pool(input, self._options, self.return_indices)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class _MaxUnpool(Module):
    """The way back from maximum pooling; its subclasses say over how many axes."""

    _count: ClassVar[int]

    def __init__(
        self, kernel_size: IntOrInts, stride: IntOrInts | None = None, padding: IntOrInts = 0
    ) -> None:
        super().__init__()
        name = f"MaxUnpool{self._count}d"
        self._options = pool_options(name, self._count, kernel_size, stride, padding, 1, False)
        self.kernel_size = self._options.window
        self.stride = self._options.strides
        self.padding = self._options.padding

    def forward(self, input: Tensor, indices: Tensor, output_size: tuple[int, ...] | None = None) -> Tensor:
        """Apply the layer; ``output_size`` tells sizes apart that pool to the same one."""
        return _max_unpool(input, indices, self._options, output_size)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool1d(_MaxPool):
    """The largest element of what a sliding window over signals sees.

    Takes (N, C, L) or (C, L), gives (N, C, L') or (C, L') with
    ``L' = (L + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1`` along each axis.  Of equal
    elements the first one gets the gradient.

    Args:
        kernel_size: the size of the window, a number or one for each axis.
        stride: the step between windows; ``kernel_size`` if None.
        padding: elements at both ends of each axis that never win; at most half of the window.
        dilation: the distance between the elements that the window sees.
        return_indices: whether to return the positions of the elements too, int64, counted row by row
            over the spatial axes.
        ceil_mode: whether a last window may hang over the end.

    Raises:
        ShapeError: where the window does not fit into the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.MaxPool1d(2)(fb.ones((1, 3, 7))).shape
        (1, 3, 3)
    """

    _count = 1


class MaxPool2d(_MaxPool):
    """The largest element of what a sliding window over images sees.

    Takes (N, C, H, W) or (C, H, W), gives (N, C, H', W') or (C, H', W') with
    ``L' = (L + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1`` along each axis.  Of equal
    elements the first one gets the gradient.

    Args:
        kernel_size: the size of the window, a number or one for each axis.
        stride: the step between windows; ``kernel_size`` if None.
        padding: elements at both ends of each axis that never win; at most half of the window.
        dilation: the distance between the elements that the window sees.
        return_indices: whether to return the positions of the elements too, int64, counted row by row
            over the spatial axes.
        ceil_mode: whether a last window may hang over the end.

    Raises:
        ShapeError: where the window does not fit into the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.MaxPool2d(2)(fb.ones((1, 3, 7, 7))).shape
        (1, 3, 3, 3)
    """

    _count = 2


class MaxPool3d(_MaxPool):
    """The largest element of what a sliding window over volumes sees.

    Takes (N, C, D, H, W) or (C, D, H, W), gives (N, C, D', H', W') or (C, D', H', W') with
    ``L' = (L + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1`` along each axis.  Of equal
    elements the first one gets the gradient.

    Args:
        kernel_size: the size of the window, a number or one for each axis.
        stride: the step between windows; ``kernel_size`` if None.
        padding: elements at both ends of each axis that never win; at most half of the window.
        dilation: the distance between the elements that the window sees.
        return_indices: whether to return the positions of the elements too, int64, counted row by row
            over the spatial axes.
        ceil_mode: whether a last window may hang over the end.

    Raises:
        ShapeError: where the window does not fit into the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.MaxPool3d(2)(fb.ones((1, 3, 7, 7, 7))).shape
        (1, 3, 3, 3, 3)
    """

    _count = 3


class MaxUnpool1d(_MaxUnpool):
    """Zeros, with each element at the place where ``MaxPool1d`` with ``return_indices`` found it.

    Takes (N, C, L) or (C, L) and the indices, int64 of the same shape, each at most once in a
    channel; gives ``output_size`` or, along each axis, ``(L - 1) * stride + kernel_size - 2 * padding``.

    Args:
        kernel_size: the size of the window, a number or one for each axis.
        stride: the step between windows; ``kernel_size`` if None.
        padding: the padding of the pooling undone.

    Raises:
        ShapeError: where the indices or ``output_size`` do not fit the input.
        OutOfBoundsError: where an index lies outside of the result.

    Example:
        >>> import flambeau as fb
        >>> x, indices = fb.nn.MaxPool1d(2, return_indices=True)(fb.asarray([[4.0, 1.0, 2.0, 3.0]]))
        >>> fb.nn.MaxUnpool1d(2)(x, indices)
        tensor([[4., 0., 0., 3.]])
    """

    _count = 1


class MaxUnpool2d(_MaxUnpool):
    """Zeros, with each element at the place where ``MaxPool2d`` with ``return_indices`` found it.

    Takes (N, C, H, W) or (C, H, W) and the indices, int64 of the same shape, each at most once in a
    channel; gives ``output_size`` or, along each axis, ``(L - 1) * stride + kernel_size - 2 * padding``.

    Args:
        kernel_size: the size of the window, a number or one for each axis.
        stride: the step between windows; ``kernel_size`` if None.
        padding: the padding of the pooling undone.

    Raises:
        ShapeError: where the indices or ``output_size`` do not fit the input.
        OutOfBoundsError: where an index lies outside of the result.

    Example:
        >>> import flambeau as fb
        >>> x, indices = fb.nn.MaxPool2d(2, return_indices=True)(fb.random.normal((3, 4, 4)))
        >>> fb.nn.MaxUnpool2d(2)(x, indices).shape
        (3, 4, 4)
    """

    _count = 2


class MaxUnpool3d(_MaxUnpool):
    """Zeros, with each element at the place where ``MaxPool3d`` with ``return_indices`` found it.

    Takes (N, C, D, H, W) or (C, D, H, W) and the indices, int64 of the same shape, each at most once in a
    channel; gives ``output_size`` or, along each axis, ``(L - 1) * stride + kernel_size - 2 * padding``.

    Args:
        kernel_size: the size of the window, a number or one for each axis.
        stride: the step between windows; ``kernel_size`` if None.
        padding: the padding of the pooling undone.

    Raises:
        ShapeError: where the indices or ``output_size`` do not fit the input.
        OutOfBoundsError: where an index lies outside of the result.

    Example:
        >>> import flambeau as fb
        >>> x, indices = fb.nn.MaxPool3d(2, return_indices=True)(fb.random.normal((3, 4, 4, 4)))
        >>> fb.nn.MaxUnpool3d(2)(x, indices).shape
        (3, 4, 4, 4)
    """

    _count = 3


def max_pool1d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    dilation: IntOrInts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of every window of (N, C, L) or (C, L), as ``MaxPool1d`` gives it.

    >>> import flambeau as fb
    >>> fb.nn.functional.max_pool1d(fb.ones((1, 3, 8)), 2).shape
    (1, 3, 4)
    """
    name = "max_pool1d"
    options = pool_options(name, 1, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool(input, options, return_indices)


def max_pool2d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    dilation: IntOrInts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of every window of (N, C, H, W) or (C, H, W), as ``MaxPool2d`` gives it.

    >>> import flambeau as fb
    >>> fb.nn.functional.max_pool2d(fb.ones((1, 3, 8, 8)), 2).shape
    (1, 3, 4, 4)
    """
    name = "max_pool2d"
    options = pool_options(name, 2, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool(input, options, return_indices)


def max_pool3d(
    input: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    dilation: IntOrInts = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of every window of (N, C, D, H, W) or (C, D, H, W), as ``MaxPool3d`` gives it.

    >>> import flambeau as fb
    >>> fb.nn.functional.max_pool3d(fb.ones((1, 3, 8, 8, 8)), 2).shape
    (1, 3, 4, 4, 4)
    """
    name = "max_pool3d"
    options = pool_options(name, 3, kernel_size, stride, padding, dilation, ceil_mode)
    return _max_pool(input, options, return_indices)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    output_size: tuple[int, ...] | None = None,
) -> Tensor:
    """The way back from ``max_pool1d`` with ``return_indices``, as ``MaxUnpool1d`` does it."""
    name = "max_unpool1d"
    options = pool_options(name, 1, kernel_size, stride, padding, 1, False)
    return _max_unpool(input, indices, options, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    output_size: tuple[int, ...] | None = None,
) -> Tensor:
    """The way back from ``max_pool2d`` with ``return_indices``, as ``MaxUnpool2d`` does it."""
    name = "max_unpool2d"
    options = pool_options(name, 2, kernel_size, stride, padding, 1, False)
    return _max_unpool(input, indices, options, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: IntOrInts,
    stride: IntOrInts | None = None,
    padding: IntOrInts = 0,
    output_size: tuple[int, ...] | None = None,
) -> Tensor:
    """The way back from ``max_pool3d`` with ``return_indices``, as ``MaxUnpool3d`` does it."""
    name = "max_unpool3d"
    options = pool_options(name, 3, kernel_size, stride, padding, 1, False)
    return _max_unpool(input, indices, options, output_size)
