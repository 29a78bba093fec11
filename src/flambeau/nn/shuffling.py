"""Elements moved between channels and space, and sliding blocks as columns."""

from __future__ import annotations

from typing import Any

from flambeau.nn.arguments import each, integer
from flambeau.nn.module import Module
from flambeau.ops.record import record, value_of
from flambeau.primitives import shuffling
from flambeau.primitives.shuffling import BlockOptions
from flambeau.tensor import Tensor

IntOrInts = int | tuple[int, ...]


def _shuffle(builder: Any, input: Any, number: int, name: str) -> Tensor:
    value_of(input, name)
    return record(builder, (number, name), input)


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., C * r * r, H, W) as (..., C, H * r, W * r), r being ``upscale_factor``.

    >>> import flambeau as fb
    >>> fb.nn.functional.pixel_shuffle(fb.ones((1, 8, 3, 5)), 2).shape
    (1, 2, 6, 10)
    """
    factor = integer(upscale_factor, "pixel_shuffle", "upscale_factor")
    return _shuffle(shuffling.pixel_shuffle, input, factor, "pixel_shuffle")


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., C, H * r, W * r) as (..., C * r * r, H, W), r being ``downscale_factor``.

    >>> import flambeau as fb
    >>> fb.nn.functional.pixel_unshuffle(fb.ones((1, 2, 6, 10)), 2).shape
    (1, 8, 3, 5)
    """
    factor = integer(downscale_factor, "pixel_unshuffle", "downscale_factor")
    return _shuffle(shuffling.pixel_unshuffle, input, factor, "pixel_unshuffle")


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """(N, C, *spatial) with the channels of ``groups`` groups taken in turn.

    >>> import flambeau as fb
    >>> fb.nn.functional.channel_shuffle(fb.arange(4).reshape((1, 4, 1)), 2).reshape((4,))
    tensor([0, 2, 1, 3])
    """
    number = integer(groups, "channel_shuffle", "groups")
    return _shuffle(shuffling.channel_shuffle, input, number, "channel_shuffle")


class PixelShuffle(Module):
    """Channels become pixels: (..., C * r * r, H, W) becomes (..., C, H * r, W * r).

    Source: W. Shi et al., "Real-time single image and video super-resolution using an efficient
    sub-pixel convolutional neural network", 2016.

    Args:
        upscale_factor: r.

    Raises:
        ShapeError: where the channels do not divide by r * r.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.PixelShuffle(2)(fb.ones((1, 8, 3, 5))).shape
        (1, 2, 6, 10)
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = integer(upscale_factor, "PixelShuffle", "upscale_factor")

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return _shuffle(shuffling.pixel_shuffle, input, self.upscale_factor, "PixelShuffle")

    def extra_repr(self) -> str:
        """The factor."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Pixels become channels: (..., C, H * r, W * r) becomes (..., C * r * r, H, W).

    Args:
        downscale_factor: r.

    Raises:
        ShapeError: where height or width do not divide by r.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.PixelUnshuffle(2)(fb.ones((1, 2, 6, 10))).shape
        (1, 8, 3, 5)
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = integer(downscale_factor, "PixelUnshuffle", "downscale_factor")

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return _shuffle(shuffling.pixel_unshuffle, input, self.downscale_factor, "PixelUnshuffle")

    def extra_repr(self) -> str:
        """The factor."""
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """The channels of several groups taken in turn, so that the next grouped convolution mixes them.

    Takes (N, C, *spatial) and gives the same shape.

    Source: X. Zhang et al., "ShuffleNet: an extremely efficient convolutional neural network for mobile
    devices", 2018.

    Args:
        groups: the number of groups.

    Raises:
        ShapeError: where the channels do not divide into the groups.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.ChannelShuffle(2)(fb.ones((1, 4, 3, 5))).shape
        (1, 4, 3, 5)
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = integer(groups, "ChannelShuffle", "groups")

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return _shuffle(shuffling.channel_shuffle, input, self.groups, "ChannelShuffle")

    def extra_repr(self) -> str:
        """The number of groups."""
        return f"groups={self.groups}"


# --- sliding blocks --------------------------------------------------------------------------


def _blocks(name: str, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> BlockOptions:
    return BlockOptions(
        name,
        each(kernel_size, 2, name, "kernel_size"),
        each(dilation, 2, name, "dilation"),
        each(padding, 2, name, "padding", 0),
        each(stride, 2, name, "stride"),
    )


def unfold(
    input: Tensor,
    kernel_size: IntOrInts,
    dilation: IntOrInts = 1,
    padding: IntOrInts = 0,
    stride: IntOrInts = 1,
) -> Tensor:
    """Every sliding block of (N, C, H, W) or (C, H, W) as a column, as ``Unfold`` gives them.

    >>> import flambeau as fb
    >>> fb.nn.functional.unfold(fb.ones((1, 3, 5, 5)), 3).shape
    (1, 27, 9)
    """
    options = _blocks("unfold", kernel_size, dilation, padding, stride)
    value_of(input, "unfold")
    return record(shuffling.unfold, (options,), input)


def fold(
    input: Tensor,
    output_size: IntOrInts,
    kernel_size: IntOrInts,
    dilation: IntOrInts = 1,
    padding: IntOrInts = 0,
    stride: IntOrInts = 1,
) -> Tensor:
    """Columns (N, C * kh * kw, blocks) added up to (N, C, H, W), as ``Fold`` does it.

    >>> import flambeau as fb
    >>> fb.nn.functional.fold(fb.ones((1, 27, 9)), 5, 3).shape
    (1, 3, 5, 5)
    """
    options = _blocks("fold", kernel_size, dilation, padding, stride)
    value_of(input, "fold")
    return record(shuffling.fold, (each(output_size, 2, "fold", "output_size"), options), input)


class Unfold(Module):
    """Every sliding block of an image as a column.

    Takes (N, C, H, W) or (C, H, W), gives (N, C * kh * kw, blocks) or (C * kh * kw, blocks), the blocks
    counted row by row.

    Args:
        kernel_size: the size of the blocks, a number or one for each axis.
        dilation: the distance between the elements of a block.
        padding: zeros at both ends of each axis.
        stride: the step between blocks.

    Raises:
        ShapeError: where no block fits into the input.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.Unfold(3)(fb.ones((1, 3, 5, 5))).shape
        (1, 27, 9)
    """

    def __init__(
        self,
        kernel_size: IntOrInts,
        dilation: IntOrInts = 1,
        padding: IntOrInts = 0,
        stride: IntOrInts = 1,
    ) -> None:
        super().__init__()
        self._options = _blocks("Unfold", kernel_size, dilation, padding, stride)
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        value_of(input, "Unfold")
        return record(shuffling.unfold, (self._options,), input)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


class Fold(Module):
    """Columns put back where ``Unfold`` took them from, and added up where blocks overlap.

    Takes (N, C * kh * kw, blocks) or (C * kh * kw, blocks), gives (N, C, H, W) or (C, H, W).

    Args:
        output_size: height and width of the result.
        kernel_size: the size of the blocks, a number or one for each axis.
        dilation: the distance between the elements of a block.
        padding: the zeros at both ends of each axis that ``Unfold`` had added.
        stride: the step between blocks.

    Raises:
        ShapeError: where the number of blocks is not that of ``output_size``.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.Fold((5, 5), 3)(fb.ones((1, 27, 9))).shape
        (1, 3, 5, 5)
    """

    def __init__(
        self,
        output_size: IntOrInts,
        kernel_size: IntOrInts,
        dilation: IntOrInts = 1,
        padding: IntOrInts = 0,
        stride: IntOrInts = 1,
    ) -> None:
        super().__init__()
        self._options = _blocks("Fold", kernel_size, dilation, padding, stride)
        self._output_size = each(output_size, 2, "Fold", "output_size")
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        value_of(input, "Fold")
        return record(shuffling.fold, (self._output_size, self._options), input)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )
