"""Pooling layers."""

# ruff: noqa: E501 - tables, a case a line

from __future__ import annotations

from typing import Any

from flambeau.errors import OperandError, ShapeError
from tests.nn.harness import Case, case, numbers

SIZES = (5, 4, 3)


def _plain(layer: str, count: int, *args: Any, inside: str, output: tuple[int, ...], **more: Any) -> Case:
    x = numbers(2, 2, *SIZES[:count])
    return case(layer, *args, inputs=x, output=(2, 2, *output), shows=f"{layer}({inside})", **more)


def _unpooled(layer: Any, x: Any) -> Any:
    """Pooled and put back by a layer of ours or of PyTorch's."""
    if type(layer).__module__.startswith("torch"):
        from torch import nn as library
    else:
        from flambeau import nn as library  # type: ignore[no-redef]
    if isinstance(x, str):  # what is no tensor shall be refused by the layer itself
        return layer(x, x)
    return layer(*getattr(library, f"MaxPool{x.ndim - 2}d")(2, return_indices=True)(x))


CASES = [
    *[
        _plain(f"MaxPool{n}d", n, 2, inside="kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False", output=(2, 2, 1)[:n])
        for n in (1, 2, 3)
    ],
    case(
        "MaxPool2d", 3, stride=2, padding=1, return_indices=True, ceil_mode=True,
        inputs=numbers(3, 2, 5, 4), output=[(3, 2, 3, 3), (3, 2, 3, 3)],
        shows="MaxPool2d(kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=True)",
        wrong=[((numbers(2, 5),), ShapeError, r"MaxPool2d: an input of shape \(N, C, H, W\) or \(C, H, W\) is needed, not \(2, 5\)")],
        refused=[((2, 0), {}, ShapeError, "MaxPool2d: stride must be at least 1, not 0")],
    ),
    *[
        _plain(f"AvgPool{n}d", n, 2, inside="kernel_size=2, stride=2, padding=0", output=(2, 2, 1)[:n])
        for n in (1, 2, 3)
    ],
    case(
        "AvgPool2d", 3, stride=2, padding=1, ceil_mode=True, count_include_pad=False,
        inputs=numbers(3, 2, 5, 4), output=(3, 2, 3, 3), shows="AvgPool2d(kernel_size=3, stride=2, padding=1)",
        wrong=[((numbers(2, 5),), ShapeError, r"AvgPool2d: an input of shape \(N, C, H, W\) or \(C, H, W\) is needed, not \(2, 5\)")],
        refused=[((2,), {"divisor_override": 0}, ShapeError, "AvgPool2d: divisor_override must not be 0")],
    ),
    *[
        case(
            f"LPPool{n}d", 2.0, 2, stride=1, variant="squares", inputs=abs(numbers(2, 2, *SIZES[:n])),
            output=(2, 2, *(4, 3, 2)[:n]), shows=f"LPPool{n}d(norm_type=2.0, kernel_size=2, stride=1, ceil_mode=False)",
            refused=[((0, 2), {}, OperandError, f"LPPool{n}d: norm_type must be a number other than 0, not 0")],
        )
        for n in (1, 2, 3)
    ],
    *[
        _plain(f"Adaptive{kind}Pool{n}d", n, size, inside=f"output_size={size}", output=output)
        for kind in ("Avg", "Max")
        for n, size, output in ((1, 3, (3,)), (2, (2, None), (2, 4)), (2, 1, (1, 1)), (3, (5, 3, 2), (5, 3, 2)))
    ],
    case(
        "AdaptiveMaxPool2d", 2, return_indices=True, inputs=numbers(2, 2, 5, 4), output=[(2, 2, 2, 2)] * 2,
        shows="AdaptiveMaxPool2d(output_size=2)",
        wrong=[((numbers(2, 5),), ShapeError, r"AdaptiveMaxPool2d: an input of shape \(N, C, H, W\) or \(C, H, W\) is needed, not \(2, 5\)")],
        refused=[(((1, 2, 3),), {}, OperandError, "AdaptiveMaxPool2d: output_size must be a size, or 2 sizes, each an integer or None")],
    ),
    *[
        case(
            f"MaxUnpool{n}d", 2, inputs=numbers(2, 2, *(4, 4, 2)[:n]), output=(2, 2, *(4, 4, 2)[:n]), call=_unpooled,
            shows=f"MaxUnpool{n}d(kernel_size={(2,) * n}, stride={(2,) * n}, padding={(0,) * n})",
        )
        for n in (1, 2, 3)
    ],
]  # fmt: skip
