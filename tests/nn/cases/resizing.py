"""Padding, interpolation, shuffles and sliding blocks."""

# ruff: noqa: E501 - tables, a case a line

from __future__ import annotations

from flambeau.errors import OperandError, ShapeError
from tests.nn.harness import case, numbers

SIZES = (4, 3, 5)
_WIDTHS = (1, 2, 0, 1, 2, 1)


def _grown(count: int) -> tuple[int, ...]:
    """The sizes with the widths, whose first pair belongs to the last axis."""
    sizes = SIZES[:count]
    return tuple([n + sum(_WIDTHS[2 * (count - 1 - i) : 2 * (count - i)]) for i, n in enumerate(sizes)])


CASES = [
    *[
        case(
            f"{kind}Pad{n}d", _WIDTHS[: 2 * n], *value, inputs=numbers(2, 2, *SIZES[:n]), output=(2, 2, *_grown(n)),
            shows=f"{kind}Pad{n}d(padding={_WIDTHS[: 2 * n]}, value={value[0]})" if value else f"{kind}Pad{n}d({_WIDTHS[: 2 * n]})",
            refused=[(((1,) * 7, *value), {}, ShapeError, f"{kind}Pad{n}d: padding must be an integer or {2 * n} integers")],
        )
        for kind, value in (("Zero", ()), ("Constant", (0.5,)), ("Reflection", ()), ("Replication", ()), ("Circular", ()))
        for n in (1, 2, 3)
    ],
    case(
        "ReflectionPad2d", 3, inputs=numbers(2, 1, 4, 5), output=(2, 1, 10, 11), shows="ReflectionPad2d((3, 3, 3, 3))",
        wrong=[
            ((numbers(2, 1, 3, 4),), ShapeError, r"ReflectionPad2d: padding \(3, 3\) of axis 2 must be smaller than its size 3; the input has shape \(2, 1, 3, 4\)"),
        ],
    ),
    *[
        case(
            "Upsample", scale_factor=2, mode=mode, inputs=numbers(2, 2, *shape), output=(2, 2, *[2 * n for n in shape]),
            shows=f"Upsample(scale_factor=2, mode={mode!r})",
        )
        for mode, shape in (("nearest", (3, 2)), ("linear", (4,)), ("bilinear", (3, 2)), ("trilinear", (2, 3, 2)))
    ],
    case(
        "Upsample", size=(5, 3), mode="bicubic", align_corners=True, inputs=numbers(2, 2, 3, 4), output=(2, 2, 5, 3),
        shows="Upsample(size=(5, 3), mode='bicubic')",
        wrong=[((numbers(2, 3, 4),), ShapeError, r"Upsample: mode 'bicubic' needs an input of shape \(N, C, H, W\), not \(2, 3, 4\)")],
        refused=[((), {}, OperandError, "Upsample: either size or scale_factor is needed, and not both")],
    ),
    case("Upsample", size=5, mode="nearest-exact", inputs=numbers(2, 2, 3), output=(2, 2, 5), shows="Upsample(size=5, mode='nearest-exact')"),
    case(
        "PixelShuffle", 2, inputs=numbers(2, 8, 2, 3), output=(2, 2, 4, 6), shows="PixelShuffle(upscale_factor=2)",
        wrong=[((numbers(2, 6, 2, 3),), ShapeError, r"PixelShuffle: an input of shape \(\.\.\., C, H, W\) with C divisible by 2\*\*2 is needed, not \(2, 6, 2, 3\)")],
        refused=[((0,), {}, ShapeError, "PixelShuffle: upscale_factor must be at least 1, not 0")],
    ),
    case("PixelUnshuffle", 2, inputs=numbers(2, 2, 4, 6), output=(2, 8, 2, 3), shows="PixelUnshuffle(downscale_factor=2)"),
    case("ChannelShuffle", 3, inputs=numbers(2, 6, 2), output=(2, 6, 2), shows="ChannelShuffle(groups=3)"),
    case(
        "Unfold", (2, 3), padding=1, stride=2, inputs=numbers(2, 2, 4, 5), output=(2, 12, 9),
        shows="Unfold(kernel_size=(2, 3), dilation=1, padding=1, stride=2)",
    ),
    case(
        "Fold", (4, 5), (2, 3), padding=1, stride=2, inputs=numbers(2, 12, 9), output=(2, 2, 4, 5),
        shows="Fold(output_size=(4, 5), kernel_size=(2, 3), dilation=1, padding=1, stride=2)",
        wrong=[((numbers(2, 12, 8),), ShapeError, r"Fold: an input of shape \(N, C \* 6, 9\) or \(C \* 6, 9\) is needed for output_size \(4, 5\)")],
    ),
]  # fmt: skip
