"""Convolutions as layers do them: with padding by name, a bias, and single examples."""

from __future__ import annotations

from typing import NamedTuple

from flambeau.errors import DTypeError, OperandError, ShapeError
from flambeau.graph.builder import Var
from flambeau.graph.types import Size
from flambeau.primitives import convolution
from flambeau.primitives.elementwise import add
from flambeau.primitives.padding import pad_around
from flambeau.primitives.spatial import check_input, check_window, layout, with_batch, without_batch
from flambeau.primitives.views import broadcast, shape_text

Ints = tuple[int, ...]


class ConvOptions(NamedTuple):
    """The static part of a convolution; ``name`` is what errors call it."""

    name: str
    strides: Ints
    padding: Ints | str
    dilation: Ints
    groups: int
    mode: str


class TransposeOptions(NamedTuple):
    """The static part of a transposed convolution; ``output_size`` decides ``output_padding`` if given."""

    name: str
    strides: Ints
    padding: Ints
    output_padding: Ints
    dilation: Ints
    groups: int
    output_size: Ints | None


def _check_operands(name: str, x: Var, w: Var, spatial: int, channels: Size, weight_shape: str) -> None:
    shapes = f"the weight has shape {shape_text(w.shape)}"
    if x.dtype is not w.dtype:
        raise DTypeError(f"{name}: the input is {x.dtype}, the weights are {w.dtype}: cast one of them")
    if w.ndim != spatial + 2:
        raise ShapeError(f"{name}: a weight of shape {weight_shape} is needed, not {shape_text(w.shape)}")
    if x.ndim not in (spatial + 1, spatial + 2) or x.shape[x.ndim - spatial - 1] != channels:
        raise ShapeError(
            f"{name}: an input of shape {layout(spatial, channels)} is needed, "
            f"not {shape_text(x.shape)}; {shapes}"
        )


def _check_bias(name: str, b: Var, outputs: Size, w: Var) -> None:
    if b.shape != (outputs,):
        raise ShapeError(
            f"{name}: a bias of shape ({outputs},) is needed, not {shape_text(b.shape)}; "
            f"the weight has shape {shape_text(w.shape)}"
        )
    if b.dtype is not w.dtype:
        raise DTypeError(f"{name}: the bias is {b.dtype}, the weights are {w.dtype}: cast one of them")


def same_padding(window: int, dilation: int) -> tuple[int, int]:
    """Padding that keeps the size at stride 1; the odd element comes behind."""
    total = dilation * (window - 1)
    return total // 2, total - total // 2


def _pairs(o: ConvOptions, w: Var) -> list[tuple[int, int]]:
    if o.padding == "valid":
        return [(0, 0)] * len(o.strides)
    if o.padding == "same":
        if any(s != 1 for s in o.strides):
            raise ShapeError(f"{o.name}: padding 'same' needs stride 1, not {o.strides}")
        windows = [k for k in w.shape[2:] if isinstance(k, int)]
        return [same_padding(k, d) for k, d in zip(windows, o.dilation, strict=True)]
    if isinstance(o.padding, str):
        raise OperandError(f"{o.name}: padding must be numbers, 'same' or 'valid', not {o.padding!r}")
    return [(p, p) for p in o.padding]


def conv(x: Var, w: Var, o: ConvOptions) -> Var:
    """The convolution of (N, C, *spatial) or (C, *spatial) with (O, C / groups, *window)."""
    spatial = len(o.strides)
    expected = f"(O, C / groups, {'*window' if spatial > 1 else 'window'})"
    _check_operands(o.name, x, w, spatial, w.shape[1] * o.groups if w.ndim > 1 else 0, expected)
    if w.shape[0] % o.groups != 0:
        raise ShapeError(
            f"{o.name}: the output channels of the weight {shape_text(w.shape)} "
            f"do not divide into {o.groups} groups"
        )
    pairs = _pairs(o, w)
    window = [k for k in w.shape[2:] if isinstance(k, int)]
    check_window(o.name, x, window, o.dilation, pairs)
    batch = with_batch(x, spatial)
    if o.mode != "zeros":
        batch = pad_around(batch, pairs, o.mode, o.name)
        pairs = [(0, 0)] * spatial
    y = convolution.conv_general(
        batch, w, strides=o.strides, padding=pairs, rhs_dilation=o.dilation, groups=o.groups
    )
    return without_batch(y, x, spatial)


def _with_bias(y: Var, b: Var, spatial: int) -> Var:
    return add(y, broadcast(b, y.shape, (y.ndim - spatial - 1,)))


def conv_bias(x: Var, w: Var, b: Var, o: ConvOptions) -> Var:
    """``conv`` with a number added to each channel."""
    y = conv(x, w, o)
    _check_bias(o.name, b, w.shape[0], w)
    return _with_bias(y, b, len(o.strides))


def _output_padding(x: Var, window: list[int], o: TransposeOptions) -> Ints:
    spatial = len(o.strides)
    if o.output_size is None:
        for p, s, d in zip(o.output_padding, o.strides, o.dilation, strict=True):
            if p >= max(s, d):
                raise ShapeError(
                    f"{o.name}: output_padding {o.output_padding} must be smaller than "
                    f"the stride {o.strides} or the dilation {o.dilation}"
                )
        return o.output_padding
    wanted = o.output_size[len(o.output_size) - spatial :]
    if len(o.output_size) not in (spatial, spatial + 1, x.ndim):
        raise ShapeError(f"{o.name}: output_size {o.output_size} for {spatial} spatial axes")
    least: list[Size] = []
    more: list[int] = []
    for axis, n in enumerate(x.shape[x.ndim - spatial :]):
        small = (n - 1) * o.strides[axis] + o.dilation[axis] * (window[axis] - 1) + 1 - 2 * o.padding[axis]
        least.append(small)
        extra = wanted[axis] - small
        if not isinstance(extra, int):
            raise ShapeError(f"{o.name}: output_size needs an input of known size, not {shape_text(x.shape)}")
        more.append(extra)
    if any(not 0 <= extra < s for extra, s in zip(more, o.strides, strict=True)):
        most = [a + s - 1 for a, s in zip(least, o.strides, strict=True)]
        raise ShapeError(
            f"{o.name}: output_size {wanted} must lie between {shape_text(least)} and {shape_text(most)} "
            f"for an input of shape {shape_text(x.shape)}"
        )
    return tuple(more)


def conv_transpose(x: Var, w: Var, o: TransposeOptions) -> Var:
    """What the gradient of ``conv`` does, for a weight (C, O / groups, *window)."""
    spatial = len(o.strides)
    expected = f"(C, O / groups, {'*window' if spatial > 1 else 'window'})"
    _check_operands(o.name, x, w, spatial, w.shape[0] if w.ndim else 0, expected)
    if w.shape[0] % o.groups != 0:
        raise ShapeError(
            f"{o.name}: the input channels of the weight {shape_text(w.shape)} "
            f"do not divide into {o.groups} groups"
        )
    check_input(o.name, x, spatial)
    window = [k for k in w.shape[2:] if isinstance(k, int)]
    more = _output_padding(x, window, o)
    sizes: list[Size] = []
    for n, s, k, d, p, extra in zip(
        x.shape[x.ndim - spatial :], o.strides, window, o.dilation, o.padding, more, strict=True
    ):
        sizes.append((n - 1) * s + d * (k - 1) + 1 - 2 * p + extra)
    if any(isinstance(n, int) and n < 1 for n in sizes):
        raise ShapeError(
            f"{o.name}: padding {o.padding} leaves nothing of the input {shape_text(x.shape)} and the window "
            f"{shape_text(window)}: the result would have sizes {shape_text(sizes)}"
        )
    batch = with_batch(x, spatial)
    y = convolution.conv_transpose(batch, w, o.strides, o.padding, more, o.dilation, o.groups)
    return without_batch(y, x, spatial)


def conv_transpose_bias(x: Var, w: Var, b: Var, o: TransposeOptions) -> Var:
    """``conv_transpose`` with a number added to each channel."""
    y = conv_transpose(x, w, o)
    _check_bias(o.name, b, w.shape[1] * o.groups, w)
    return _with_bias(y, b, len(o.strides))
