"""Convolutions over one to three spatial axes."""

from __future__ import annotations

from typing import Any

from flambeau.dtypes import DType, default_float
from flambeau.engine.tape import THREAD
from flambeau.nn.arguments import each, integer
from flambeau.nn.conv_base import ConvNd, IntOrInts, padding_of
from flambeau.ops.record import value_of
from flambeau.primitives.conv_layers import ConvOptions, conv, conv_bias
from flambeau.tensor import Tensor


def _apply(input: Any, weight: Any, bias: Any, options: ConvOptions) -> Tensor:
    operands = [value_of(x, options.name) for x in (input, weight)]
    if bias is None:
        return Tensor(THREAD.tape.record(conv, (options,), operands))
    operands.append(value_of(bias, options.name))
    return Tensor(THREAD.tape.record(conv_bias, (options,), operands))


def _function(
    count: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Tensor:
    name = f"conv{count}d"
    strides = each(stride, count, name, "stride")
    options = ConvOptions(
        name,
        strides,
        padding_of(padding, count, name, strides),
        each(dilation, count, name, "dilation"),
        integer(groups, name, "groups"),
        "zeros",
    )
    return _apply(input, weight, bias, options)


class _Conv(ConvNd):
    """A convolution; its subclasses say over how many axes."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrInts,
        stride: IntOrInts = 1,
        padding: IntOrInts | str = 0,
        dilation: IntOrInts = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        dtype: DType = default_float,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            0,
            dilation,
            groups,
            bias,
            padding_mode,
            dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        options = ConvOptions(
            self._kind(), self.stride, self.padding, self.dilation, self.groups, self.padding_mode
        )
        return _apply(input, self.weight, self.bias, options)


class Conv1d(_Conv):
    """Convolution of signals: each output is a weighted sum of what a sliding window sees.

    Takes (N, in_channels, L) or (in_channels, L), gives (N, out_channels, L') with
    ``L' = (L + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1`` along each axis.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        kernel_size: the size of the window, a number or one for each axis.
        stride: the step between windows.
        padding: zeros added at both ends of each axis; "same" keeps the size, "valid" adds none.
        dilation: the distance between the elements that the window sees.
        groups: parts that the channels are split into, each convolved on its own.
        bias: whether each output channel has a number added to it.
        padding_mode: what the padding holds: "zeros", "reflect", "replicate" or "circular".
        dtype: the dtype of the parameters.

    Raises:
        ShapeError: where channels do not divide into groups, or the input does not fit the weight or
            is smaller than the window.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.Conv1d(3, 5, 3)(fb.ones((1, 3, 8))).shape
        (1, 5, 6)
    """

    _count = 1


class Conv2d(_Conv):
    """Convolution of images: each output is a weighted sum of what a sliding window sees.

    Takes (N, in_channels, H, W) or (in_channels, H, W), gives (N, out_channels, H', W') with
    ``L' = (L + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1`` along each axis.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        kernel_size: the size of the window, a number or one for each axis.
        stride: the step between windows.
        padding: zeros added at both ends of each axis; "same" keeps the size, "valid" adds none.
        dilation: the distance between the elements that the window sees.
        groups: parts that the channels are split into, each convolved on its own.
        bias: whether each output channel has a number added to it.
        padding_mode: what the padding holds: "zeros", "reflect", "replicate" or "circular".
        dtype: the dtype of the parameters.

    Raises:
        ShapeError: where channels do not divide into groups, or the input does not fit the weight or
            is smaller than the window.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.Conv2d(3, 5, 3)(fb.ones((1, 3, 8, 8))).shape
        (1, 5, 6, 6)
    """

    _count = 2


class Conv3d(_Conv):
    """Convolution of volumes: each output is a weighted sum of what a sliding window sees.

    Takes (N, in_channels, D, H, W) or (in_channels, D, H, W), gives (N, out_channels, D', H', W') with
    ``L' = (L + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1`` along each axis.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        kernel_size: the size of the window, a number or one for each axis.
        stride: the step between windows.
        padding: zeros added at both ends of each axis; "same" keeps the size, "valid" adds none.
        dilation: the distance between the elements that the window sees.
        groups: parts that the channels are split into, each convolved on its own.
        bias: whether each output channel has a number added to it.
        padding_mode: what the padding holds: "zeros", "reflect", "replicate" or "circular".
        dtype: the dtype of the parameters.

    Raises:
        ShapeError: where channels do not divide into groups, or the input does not fit the weight or
            is smaller than the window.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.Conv3d(3, 5, 3)(fb.ones((1, 3, 8, 8, 8))).shape
        (1, 5, 6, 6, 6)
    """

    _count = 3


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: IntOrInts | str = 0,
    dilation: IntOrInts = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution of an input (N, C, L) or (C, L) with a weight (O, C / groups, *window).

    The arguments are those of ``Conv1d``; raises ``ShapeError`` and ``DTypeError`` where they do not fit.

    >>> import flambeau as fb
    >>> fb.nn.functional.conv1d(fb.ones((1, 3, 8)), fb.ones((5, 3, 3))).shape
    (1, 5, 6)
    """
    return _function(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: IntOrInts | str = 0,
    dilation: IntOrInts = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution of an input (N, C, H, W) or (C, H, W) with a weight (O, C / groups, *window).

    The arguments are those of ``Conv2d``; raises ``ShapeError`` and ``DTypeError`` where they do not fit.

    >>> import flambeau as fb
    >>> fb.nn.functional.conv2d(fb.ones((1, 3, 8, 8)), fb.ones((5, 3, 3, 3))).shape
    (1, 5, 6, 6)
    """
    return _function(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: IntOrInts | str = 0,
    dilation: IntOrInts = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution of an input (N, C, D, H, W) or (C, D, H, W) with a weight (O, C / groups, *window).

    The arguments are those of ``Conv3d``; raises ``ShapeError`` and ``DTypeError`` where they do not fit.

    >>> import flambeau as fb
    >>> fb.nn.functional.conv3d(fb.ones((1, 3, 8, 8, 8)), fb.ones((5, 3, 3, 3, 3))).shape
    (1, 5, 6, 6, 6)
    """
    return _function(3, input, weight, bias, stride, padding, dilation, groups)
