"""Pooling to a given size over one to three spatial axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from flambeau.errors import OperandError
from flambeau.nn.arguments import integer
from flambeau.nn.module import Module
from flambeau.ops.record import record, record_all, refuse, value_of
from flambeau.primitives import adaptive
from flambeau.tensor import Tensor

OutputSize = int | tuple[int | None, ...] | None


def _sizes(value: Any, count: int, name: str) -> tuple[int | None, ...]:
    """The wanted size of each axis, None being the input's."""
    if value is None or isinstance(value, int):
        value = (value,) * count
    elif isinstance(value, Sequence) and len(value) == 1:
        value = (value[0],) * count
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != count:
        wanted = "a size" if count == 1 else f"a size, or {count} sizes,"
        refuse(OperandError(f"{name}: output_size must be {wanted} each an integer or None, not {value!r}"))
    return tuple([None if v is None else integer(v, name, "output_size") for v in value])


def _avg(input: Any, sizes: tuple[int | None, ...], name: str) -> Tensor:
    value_of(input, name)
    return record(adaptive.adaptive_avg_pool, (sizes, name), input)


def _max(input: Any, sizes: tuple[int | None, ...], name: str, return_indices: bool) -> Any:
    value_of(input, name)
    if return_indices:
        return record_all(adaptive.adaptive_max_pool_with_indices, (sizes, name), input)
    return record(adaptive.adaptive_max_pool, (sizes, name), input)


class _AdaptiveAvgPool(Module):
    """Average pooling to a given size; its subclasses say over how many axes."""

    _count: ClassVar[int]

    def __init__(self, output_size: OutputSize) -> None:
        super().__init__()
        self._title = f"AdaptiveAvgPool{self._count}d"
        self._sizes = _sizes(output_size, self._count, self._title)
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return _avg(input, self._sizes, self._title)

    def extra_repr(self) -> str:
        """The wanted size."""
        return f"output_size={self.output_size}"


class _AdaptiveMaxPool(Module):
    """Maximum pooling to a given size; its subclasses say over how many axes."""

    _count: ClassVar[int]

    def __init__(self, output_size: OutputSize, return_indices: bool = False) -> None:
        super().__init__()
        self._title = f"AdaptiveMaxPool{self._count}d"
        self._sizes = _sizes(output_size, self._count, self._title)
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        """Apply the layer."""
        return _max(input, self._sizes, self._title, self.return_indices)

    def extra_repr(self) -> str:
        """The wanted size."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The mean of windows over signals that are as large as the wanted size needs.

    Takes (N, C, L) or (C, L), gives (N, C, L') or (C, L') with the wanted sizes.
    Window i of m along an axis of size n goes from ``floor(i * n / m)`` to ``ceil((i + 1) * n / m)``.

    Args:
        output_size: the size of each axis, or of all; None keeps the input's.

    Raises:
        ShapeError: where the input has not 2 or 3 axes, or nothing in it.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.AdaptiveAvgPool1d(3)(fb.ones((1, 2, 7))).shape
        (1, 2, 3)
    """

    _count = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The mean of windows over images that are as large as the wanted size needs.

    Takes (N, C, H, W) or (C, H, W), gives (N, C, H', W') or (C, H', W') with the wanted sizes.
    Window i of m along an axis of size n goes from ``floor(i * n / m)`` to ``ceil((i + 1) * n / m)``.

    Args:
        output_size: the size of each axis, or of all; None keeps the input's.

    Raises:
        ShapeError: where the input has not 3 or 4 axes, or nothing in it.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.AdaptiveAvgPool2d(3)(fb.ones((1, 2, 7, 7))).shape
        (1, 2, 3, 3)
    """

    _count = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """The mean of windows over volumes that are as large as the wanted size needs.

    Takes (N, C, D, H, W) or (C, D, H, W), gives (N, C, D', H', W') or (C, D', H', W') with the wanted sizes.
    Window i of m along an axis of size n goes from ``floor(i * n / m)`` to ``ceil((i + 1) * n / m)``.

    Args:
        output_size: the size of each axis, or of all; None keeps the input's.

    Raises:
        ShapeError: where the input has not 4 or 5 axes, or nothing in it.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.AdaptiveAvgPool3d(3)(fb.ones((1, 2, 7, 7, 7))).shape
        (1, 2, 3, 3, 3)
    """

    _count = 3


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest element of windows over signals that are as large as the wanted size needs.

    Takes (N, C, L) or (C, L), gives (N, C, L') or (C, L') with the wanted sizes.
    Window i of m along an axis of size n goes from ``floor(i * n / m)`` to ``ceil((i + 1) * n / m)``.

    Args:
        output_size: the size of each axis, or of all; None keeps the input's.
        return_indices: whether to return the positions of the elements too, int64, counted row by row
            over the spatial axes.

    Raises:
        ShapeError: where the input has not 2 or 3 axes, or nothing in it.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.AdaptiveMaxPool1d(3)(fb.ones((1, 2, 7))).shape
        (1, 2, 3)
    """

    _count = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest element of windows over images that are as large as the wanted size needs.

    Takes (N, C, H, W) or (C, H, W), gives (N, C, H', W') or (C, H', W') with the wanted sizes.
    Window i of m along an axis of size n goes from ``floor(i * n / m)`` to ``ceil((i + 1) * n / m)``.

    Args:
        output_size: the size of each axis, or of all; None keeps the input's.
        return_indices: whether to return the positions of the elements too, int64, counted row by row
            over the spatial axes.

    Raises:
        ShapeError: where the input has not 3 or 4 axes, or nothing in it.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.AdaptiveMaxPool2d(3)(fb.ones((1, 2, 7, 7))).shape
        (1, 2, 3, 3)
    """

    _count = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The largest element of windows over volumes that are as large as the wanted size needs.

    Takes (N, C, D, H, W) or (C, D, H, W), gives (N, C, D', H', W') or (C, D', H', W') with the wanted sizes.
    Window i of m along an axis of size n goes from ``floor(i * n / m)`` to ``ceil((i + 1) * n / m)``.

    Args:
        output_size: the size of each axis, or of all; None keeps the input's.
        return_indices: whether to return the positions of the elements too, int64, counted row by row
            over the spatial axes.

    Raises:
        ShapeError: where the input has not 4 or 5 axes, or nothing in it.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.AdaptiveMaxPool3d(3)(fb.ones((1, 2, 7, 7, 7))).shape
        (1, 2, 3, 3, 3)
    """

    _count = 3


def adaptive_avg_pool1d(input: Tensor, output_size: OutputSize) -> Tensor:
    """(N, C, L) or (C, L) pooled to a given size, as ``AdaptiveAvgPool1d`` does it.

    >>> import flambeau as fb
    >>> fb.nn.functional.adaptive_avg_pool1d(fb.ones((1, 2, 7)), 1).shape
    (1, 2, 1)
    """
    name = "adaptive_avg_pool1d"
    return _avg(input, _sizes(output_size, 1, name), name)


def adaptive_avg_pool2d(input: Tensor, output_size: OutputSize) -> Tensor:
    """(N, C, H, W) or (C, H, W) pooled to a given size, as ``AdaptiveAvgPool2d`` does it.

    >>> import flambeau as fb
    >>> fb.nn.functional.adaptive_avg_pool2d(fb.ones((1, 2, 7, 7)), 1).shape
    (1, 2, 1, 1)
    """
    name = "adaptive_avg_pool2d"
    return _avg(input, _sizes(output_size, 2, name), name)


def adaptive_avg_pool3d(input: Tensor, output_size: OutputSize) -> Tensor:
    """(N, C, D, H, W) or (C, D, H, W) pooled to a given size, as ``AdaptiveAvgPool3d`` does it.

    >>> import flambeau as fb
    >>> fb.nn.functional.adaptive_avg_pool3d(fb.ones((1, 2, 7, 7, 7)), 1).shape
    (1, 2, 1, 1, 1)
    """
    name = "adaptive_avg_pool3d"
    return _avg(input, _sizes(output_size, 3, name), name)


def adaptive_max_pool1d(input: Tensor, output_size: OutputSize, return_indices: bool = False) -> Any:
    """(N, C, L) or (C, L) pooled to a given size, as ``AdaptiveMaxPool1d`` does it.

    >>> import flambeau as fb
    >>> fb.nn.functional.adaptive_max_pool1d(fb.ones((1, 2, 7)), 1).shape
    (1, 2, 1)
    """
    name = "adaptive_max_pool1d"
    return _max(input, _sizes(output_size, 1, name), name, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: OutputSize, return_indices: bool = False) -> Any:
    """(N, C, H, W) or (C, H, W) pooled to a given size, as ``AdaptiveMaxPool2d`` does it.

    >>> import flambeau as fb
    >>> fb.nn.functional.adaptive_max_pool2d(fb.ones((1, 2, 7, 7)), 1).shape
    (1, 2, 1, 1)
    """
    name = "adaptive_max_pool2d"
    return _max(input, _sizes(output_size, 2, name), name, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: OutputSize, return_indices: bool = False) -> Any:
    """(N, C, D, H, W) or (C, D, H, W) pooled to a given size, as ``AdaptiveMaxPool3d`` does it.

    >>> import flambeau as fb
    >>> fb.nn.functional.adaptive_max_pool3d(fb.ones((1, 2, 7, 7, 7)), 1).shape
    (1, 2, 1, 1, 1)
    """
    name = "adaptive_max_pool3d"
    return _max(input, _sizes(output_size, 3, name), name, return_indices)
