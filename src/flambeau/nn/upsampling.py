"""Images, signals and volumes of another size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.errors import FlambeauError, OperandError
from flambeau.nn.arguments import integer
from flambeau.nn.module import Module
from flambeau.ops.record import record, refuse, value_of
from flambeau.primitives.resizing import ResizeOptions, check_options, resize
from flambeau.tensor import Tensor

Size = int | tuple[int, ...] | None
Scale = float | tuple[float, ...] | None


def _size(value: Any, name: str) -> Size:
    if value is None:
        return None
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple([integer(v, name, "size") for v in value])
    return integer(value, name, "size")


def _one_scale(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not value > 0:
        refuse(OperandError(f"{name}: scale_factor must be a positive number, not {value!r}"))
    return float(value)


def _scale(value: Any, name: str) -> Scale:
    if value is None:
        return None
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple([_one_scale(v, name) for v in value])
    return _one_scale(value, name)


def _options(
    name: str, size: Any, scale: Any, mode: str, align_corners: bool | None, recompute: bool | None
) -> ResizeOptions:
    options = ResizeOptions(
        name, _size(size, name), _scale(scale, name), mode, align_corners, bool(recompute)
    )
    try:
        check_options(options)
    except FlambeauError as error:
        refuse(error)
    return options


def interpolate(
    input: Tensor,
    size: Size = None,
    scale_factor: Scale = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Tensor:
    """``input`` (N, C, *spatial) with other spatial sizes.

    Args:
        input: (N, C, L), (N, C, H, W) or (N, C, D, H, W), as the mode needs.
        size: the wanted size, of all axes or of each.
        scale_factor: how much larger the result shall be, along all axes or along each.
        mode: "nearest", "nearest-exact" and "area" for any number of axes, "linear" for one, "bilinear"
            and "bicubic" for two, "trilinear" for three.
        align_corners: whether the first and last elements of input and output lie upon each other,
            rather than the outer edges of theirs; for the linear and cubic modes.
        recompute_scale_factor: whether coordinates follow from the sizes rather than ``scale_factor``,
            which differ where the result was rounded.

    Raises:
        ShapeError: where the input does not fit the mode, or a size would be 0.
        OperandError: where arguments contradict each other.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.functional.interpolate(fb.asarray([[[1.0, 3.0]]]), size=4, mode="linear")
        tensor([[[1. , 1.5, 2.5, 3. ]]])
    """
    options = _options("interpolate", size, scale_factor, mode, align_corners, recompute_scale_factor)
    value_of(input, "interpolate")
    return record(resize, (options,), input)


class Upsample(Module):
    """``interpolate`` as a layer: signals, images or volumes of another size.

    Takes (N, C, *spatial), gives (N, C, *spatial) with the wanted or scaled sizes.

    Args:
        size: the wanted size, of all axes or of each.
        scale_factor: how much larger the result shall be, along all axes or along each.
        mode: how to interpolate, as in ``interpolate``.
        align_corners: whether the corner elements of input and output lie upon each other.
        recompute_scale_factor: whether coordinates follow from the sizes.

    Raises:
        ShapeError: where the input does not fit the mode.
        OperandError: where arguments contradict each other.

    Example:
        >>> import flambeau as fb
        >>> fb.nn.Upsample(scale_factor=2)(fb.ones((1, 3, 4, 5))).shape
        (1, 3, 8, 10)
    """

    def __init__(
        self,
        size: Size = None,
        scale_factor: Scale = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self._options = _options("Upsample", size, scale_factor, mode, align_corners, recompute_scale_factor)
        self.size = size
        self.scale_factor = scale_factor
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        value_of(input, "Upsample")
        return record(resize, (self._options,), input)

    def extra_repr(self) -> str:
        """The size or the scale, and the mode."""
        given = f"size={self.size}" if self.size is not None else f"scale_factor={self.scale_factor}"
        return f"{given}, mode={self.mode!r}"
