"""What the builders of spatial layers share: which shapes they take, and how errors say so.

A spatial layer works on the last one to three axes of an input (N, C, *spatial), or of a single
example (C, *spatial).
"""

from __future__ import annotations

from collections.abc import Sequence

from flambeau.errors import DTypeError, ShapeError
from flambeau.graph.builder import Var
from flambeau.graph.types import Size
from flambeau.primitives.views import reshape, shape_text

_AXES = (("L",), ("H", "W"), ("D", "H", "W"))


def layout(spatial: int, channels: Size | str = "C") -> str:
    """The shapes that a layer takes, as errors show them."""
    inner = ", ".join((str(channels), *_AXES[spatial - 1]))
    return f"(N, {inner}) or ({inner})"


def check_input(name: str, x: Var, spatial: int) -> None:
    """Raise ``ShapeError`` unless ``x`` has channels, ``spatial`` axes, and perhaps a batch axis."""
    if x.ndim not in (spatial + 1, spatial + 2):
        raise ShapeError(f"{name}: an input of shape {layout(spatial)} is needed, not {shape_text(x.shape)}")


def check_float(name: str, x: Var) -> None:
    """Raise ``DTypeError`` unless ``x`` holds floating-point numbers."""
    if not x.dtype.inexact:
        raise DTypeError(f"{name}: a floating-point input is needed, not {x.dtype}")


def check_window(
    name: str, x: Var, window: Sequence[int], dilation: Sequence[int], padding: Sequence[tuple[Size, Size]]
) -> None:
    """Raise ``ShapeError`` where a window does not fit into the padded input even once."""
    spatial = len(window)
    padded: list[Size] = []
    fits = True
    for n, k, d, (low, high) in zip(x.shape[x.ndim - spatial :], window, dilation, padding, strict=True):
        room = n + low + high
        padded.append(room)
        if isinstance(room, int) and room < (k - 1) * d + 1:
            fits = False
    if not fits:
        extent = tuple([(k - 1) * d + 1 for k, d in zip(window, dilation, strict=True)])
        spread = f" (dilated to {shape_text(extent)})" if extent != tuple(window) else ""
        raise ShapeError(
            f"{name}: the window {shape_text(window)}{spread} does not fit into the input "
            f"{shape_text(x.shape)}, which is {shape_text(padded)} with its padding: "
            "a larger input, a smaller window or more padding is needed"
        )


def with_batch(x: Var, spatial: int) -> Var:
    """``x`` with a batch axis, of size 1 for a single example."""
    return x if x.ndim == spatial + 2 else reshape(x, (1, *x.shape))


def without_batch(y: Var, x: Var, spatial: int) -> Var:
    """``y`` without its batch axis where ``x`` is a single example."""
    return y if x.ndim == spatial + 2 else reshape(y, y.shape[1:])
