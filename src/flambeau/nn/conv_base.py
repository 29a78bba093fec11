"""What convolutions and transposed convolutions share: arguments, parameters and looks."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from flambeau.dtypes import DType
from flambeau.errors import OperandError, ShapeError
from flambeau.nn import init
from flambeau.nn.arguments import Ints, each, integer
from flambeau.nn.module import Module
from flambeau.ops.record import refuse

IntOrInts = int | tuple[int, ...]
_MODES = ("zeros", "reflect", "replicate", "circular")


def padding_of(padding: Any, count: int, name: str, stride: Ints) -> Ints | str:
    if not isinstance(padding, str):
        return each(padding, count, name, "padding", 0)
    if padding not in ("same", "valid"):
        refuse(OperandError(f"{name}: padding must be numbers, 'same' or 'valid', not {padding!r}"))
    if padding == "same" and any(s != 1 for s in stride):
        refuse(ShapeError(f"{name}: padding 'same' needs stride 1, not {stride}"))
    return padding


class ConvNd(Module):
    """What all convolutions share: arguments, parameters and how they are shown."""

    _count: ClassVar[int]
    _transposed: ClassVar[bool] = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrInts,
        stride: IntOrInts,
        padding: IntOrInts | str,
        output_padding: IntOrInts,
        dilation: IntOrInts,
        groups: int,
        bias: bool,
        padding_mode: str,
        dtype: DType,
    ) -> None:
        super().__init__()
        name, count = self._kind(), self._count
        self.in_channels = integer(in_channels, name, "in_channels")
        self.out_channels = integer(out_channels, name, "out_channels")
        self.groups = integer(groups, name, "groups")
        for what, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                refuse(ShapeError(f"{name}: {what} {channels} do not divide into {groups} groups"))
        self.kernel_size = each(kernel_size, count, name, "kernel_size")
        self.stride = each(stride, count, name, "stride")
        self.padding = padding_of(padding, count, name, self.stride)
        self.output_padding = each(output_padding, count, name, "output_padding", 0)
        self.dilation = each(dilation, count, name, "dilation")
        allowed = ("zeros",) if self._transposed else _MODES
        if padding_mode not in allowed:
            refuse(
                OperandError(
                    f"{name}: padding_mode must be one of {', '.join(allowed)}, not {padding_mode!r}"
                )
            )
        self.padding_mode = padding_mode
        first, second = (in_channels, out_channels) if self._transposed else (out_channels, in_channels)
        shape = (first, second // groups, *self.kernel_size)
        bound = init.fan_in_bound(math.prod(shape[1:]))
        self.weight = init.uniform(shape, bound, dtype)
        self.bias = init.uniform((out_channels,), bound, dtype) if bias else None

    @classmethod
    def _kind(cls) -> str:
        """What errors call the layer."""
        return f"Conv{'Transpose' if cls._transposed else ''}{cls._count}d"

    def extra_repr(self) -> str:
        """The arguments, without those that have their default."""
        parts = [str(self.in_channels), str(self.out_channels)]
        parts += [f"kernel_size={self.kernel_size}", f"stride={self.stride}"]
        zeros = (0,) * self._count
        if self.padding != zeros:
            parts.append(f"padding={self.padding!r}")
        if self.dilation != (1,) * self._count:
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != zeros:
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode!r}")
        return ", ".join(parts)
