"""Transposed convolutions over one to three spatial axes."""

from __future__ import annotations

from typing import Any

from flambeau.dtypes import DType, default_float
from flambeau.engine.tape import THREAD
from flambeau.errors import OperandError
from flambeau.nn.arguments import each, integer
from flambeau.nn.conv_base import ConvNd, IntOrInts
from flambeau.ops.record import refuse, value_of
from flambeau.primitives.conv_layers import TransposeOptions, conv_transpose, conv_transpose_bias
from flambeau.tensor import Tensor


def _apply(input: Any, weight: Any, bias: Any, options: TransposeOptions) -> Tensor:
    operands = [value_of(x, options.name) for x in (input, weight)]
    if bias is None:
        return Tensor(THREAD.tape.record(conv_transpose, (options,), operands))
    operands.append(value_of(bias, options.name))
    return Tensor(THREAD.tape.record(conv_transpose_bias, (options,), operands))


def _function(
    count: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: Any,
    dilation: Any,
) -> Tensor:
    name = f"conv_transpose{count}d"
    options = TransposeOptions(
        name,
        each(stride, count, name, "stride"),
        each(padding, count, name, "padding", 0),
        each(output_padding, count, name, "output_padding", 0),
        each(dilation, count, name, "dilation"),
        integer(groups, name, "groups"),
        None,
    )
    return _apply(input, weight, bias, options)


class _ConvTranspose(ConvNd):
    """A transposed convolution; its subclasses say over how many axes."""

    _transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrInts,
        stride: IntOrInts = 1,
        padding: IntOrInts = 0,
        output_padding: IntOrInts = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: IntOrInts = 1,
        padding_mode: str = "zeros",
        dtype: DType = default_float,
    ) -> None:
        if isinstance(padding, str):
            refuse(OperandError(f"{self._kind()}: padding must be numbers, not {padding!r}"))
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            output_padding,
            dilation,
            groups,
            bias,
            padding_mode,
            dtype,
        )

    def forward(self, input: Tensor, output_size: tuple[int, ...] | None = None) -> Tensor:
        """Apply the layer; ``output_size`` takes the place of ``output_padding``."""
        wanted = None if output_size is None else tuple(output_size)
        padding = self.padding
        assert not isinstance(padding, str)
        options = TransposeOptions(
            self._kind(), self.stride, padding, self.output_padding, self.dilation, self.groups, wanted
        )
        return _apply(input, self.weight, self.bias, options)


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution of signals: each input is spread over a window of the output.

    It does what the gradient of ``Conv1d`` does to its input, and so undoes its change of size.
    Takes (N, in_channels, L) or (in_channels, L), gives (N, out_channels, L') with
    ``L' = (L - 1) * stride - 2 * padding + dilation * (kernel_size - 1) + output_padding + 1``.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        kernel_size: the size of the window, a number or one for each axis.
        stride: the distance that inputs are spread to.
        padding: elements taken from both ends of the result: the padding of the convolution undone.
        output_padding: elements added to the result at one end.
        groups: parts that the channels are split into.
        bias: whether each output channel has a number added to it.
        dilation: the distance between the elements of the window.
        padding_mode: "zeros" only.
        dtype: the dtype of the parameters.

    Raises:
        ShapeError: where channels do not divide into groups, the input does not fit the weight, or
            ``output_padding`` is not smaller than stride or dilation.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.ConvTranspose1d(3, 5, 2, stride=2)(fb.ones((1, 3, 8))).shape
        (1, 5, 16)
    """

    _count = 1


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution of images: each input is spread over a window of the output.

    It does what the gradient of ``Conv2d`` does to its input, and so undoes its change of size.
    Takes (N, in_channels, H, W) or (in_channels, H, W), gives (N, out_channels, H', W') with
    ``L' = (L - 1) * stride - 2 * padding + dilation * (kernel_size - 1) + output_padding + 1``.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        kernel_size: the size of the window, a number or one for each axis.
        stride: the distance that inputs are spread to.
        padding: elements taken from both ends of the result: the padding of the convolution undone.
        output_padding: elements added to the result at one end.
        groups: parts that the channels are split into.
        bias: whether each output channel has a number added to it.
        dilation: the distance between the elements of the window.
        padding_mode: "zeros" only.
        dtype: the dtype of the parameters.

    Raises:
        ShapeError: where channels do not divide into groups, the input does not fit the weight, or
            ``output_padding`` is not smaller than stride or dilation.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.ConvTranspose2d(3, 5, 2, stride=2)(fb.ones((1, 3, 8, 8))).shape
        (1, 5, 16, 16)
    """

    _count = 2


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution of volumes: each input is spread over a window of the output.

    It does what the gradient of ``Conv3d`` does to its input, and so undoes its change of size.
    Takes (N, in_channels, D, H, W) or (in_channels, D, H, W), gives (N, out_channels, D', H', W') with
    ``L' = (L - 1) * stride - 2 * padding + dilation * (kernel_size - 1) + output_padding + 1``.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        kernel_size: the size of the window, a number or one for each axis.
        stride: the distance that inputs are spread to.
        padding: elements taken from both ends of the result: the padding of the convolution undone.
        output_padding: elements added to the result at one end.
        groups: parts that the channels are split into.
        bias: whether each output channel has a number added to it.
        dilation: the distance between the elements of the window.
        padding_mode: "zeros" only.
        dtype: the dtype of the parameters.

    Raises:
        ShapeError: where channels do not divide into groups, the input does not fit the weight, or
            ``output_padding`` is not smaller than stride or dilation.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.ConvTranspose3d(3, 5, 2, stride=2)(fb.ones((1, 3, 8, 8, 8))).shape
        (1, 5, 16, 16, 16)
    """

    _count = 3


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: IntOrInts = 0,
    output_padding: IntOrInts = 0,
    groups: int = 1,
    dilation: IntOrInts = 1,
) -> Tensor:
    """Transposed convolution of (N, C, L) or (C, L) with a weight (C, O / groups, *window).

    The arguments are those of ``ConvTranspose1d``; raises ``ShapeError`` and ``DTypeError`` where they
    do not fit.

    >>> import flambeau as fb
    >>> fb.nn.functional.conv_transpose1d(fb.ones((1, 3, 8)), fb.ones((3, 5, 2)), stride=2).shape
    (1, 5, 16)
    """
    return _function(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: IntOrInts = 0,
    output_padding: IntOrInts = 0,
    groups: int = 1,
    dilation: IntOrInts = 1,
) -> Tensor:
    """Transposed convolution of (N, C, H, W) or (C, H, W) with a weight (C, O / groups, *window).

    The arguments are those of ``ConvTranspose2d``; raises ``ShapeError`` and ``DTypeError`` where they
    do not fit.

    >>> import flambeau as fb
    >>> fb.nn.functional.conv_transpose2d(fb.ones((1, 3, 8, 8)), fb.ones((3, 5, 2, 2)), stride=2).shape
    (1, 5, 16, 16)
    """
    return _function(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: IntOrInts = 0,
    output_padding: IntOrInts = 0,
    groups: int = 1,
    dilation: IntOrInts = 1,
) -> Tensor:
    """Transposed convolution of (N, C, D, H, W) or (C, D, H, W) with a weight (C, O / groups, *window).

    The arguments are those of ``ConvTranspose3d``; raises ``ShapeError`` and ``DTypeError`` where they
    do not fit.

    >>> import flambeau as fb
    >>> fb.nn.functional.conv_transpose3d(fb.ones((1, 3, 8, 8, 8)), fb.ones((3, 5, 2, 2, 2)), stride=2).shape
    (1, 5, 16, 16, 16)
    """
    return _function(3, input, weight, bias, stride, padding, output_padding, groups, dilation)
