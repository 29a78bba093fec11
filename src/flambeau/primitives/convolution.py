"""Convolution over any number of spatial axes, of which both of its gradients are cases too.

Layouts are (N, C, *spatial) for the input, (O, C / groups, *window) for the weight and
(N, O, *spatial) for the result.  As everywhere in deep learning the window is not turned round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.dtypes import DType, float32
from flambeau.errors import DTypeError, ShapeError
from flambeau.graph.builder import Var, emit
from flambeau.graph.primitive import Lowering, Primitive
from flambeau.graph.types import Size, TensorType
from flambeau.primitives.elementwise import add, cast, harmonize_dtypes
from flambeau.primitives.indexing import dilated, pad_array, reverse
from flambeau.primitives.views import move_axis, reshape, shape_text, transpose, wide, zeros_like

Ints = tuple[int, ...]
Padding = tuple[tuple[Size, Size], ...]


def window_count(size: Size, extent: Size, stride: int) -> Size:
    """How many windows of an extent fit into a padded size; none where it is too small."""
    room = size - extent
    if isinstance(room, int) and room < 0:
        return 0
    return room + 1 if stride == 1 else room // stride + 1


def _infer(
    x: TensorType,
    w: TensorType,
    *,
    strides: Ints,
    padding: Padding,
    lhs_dilation: Ints,
    rhs_dilation: Ints,
    groups: Size,
    accumulate: DType | None,
) -> TensorType:
    if x.dtype is not w.dtype:
        raise DTypeError(f"conv: dtypes {x.dtype} and {w.dtype} differ")
    if x.dtype.kind == "bool":
        raise DTypeError("conv: is not defined for bool")
    shapes = f"input {shape_text(x.shape)} and weight {shape_text(w.shape)}"
    spatial = x.ndim - 2
    if spatial < 0 or w.ndim != x.ndim:
        raise ShapeError(f"conv: {shapes} must be (N, C, *spatial) and (O, C / groups, *window)")
    for what, values in (
        ("strides", strides),
        ("padding", padding),
        ("input dilation", lhs_dilation),
        ("window dilation", rhs_dilation),
    ):
        if len(values) != spatial:
            raise ShapeError(f"conv: {what} {values} for {spatial} spatial axes")
    if any(s < 1 for s in (*strides, *lhs_dilation, *rhs_dilation)):
        raise ShapeError(
            f"conv: strides {strides} and dilations {lhs_dilation}, {rhs_dilation} must be positive"
        )
    if x.shape[1] != w.shape[1] * groups:
        raise ShapeError(
            f"conv: {shapes} do not fit: {x.shape[1]} channels, "
            f"but {groups} groups of {w.shape[1]} are needed"
        )
    if w.shape[0] % groups != 0:
        raise ShapeError(f"conv: {w.shape[0]} output channels do not divide into {groups} groups")
    out: list[Size] = []
    for axis in range(spatial):
        n, k = x.shape[axis + 2], w.shape[axis + 2]
        if isinstance(k, int) and k < 1:
            raise ShapeError(f"conv: the window of {shapes} is empty")
        low, high = padding[axis]
        padded = dilated(n, lhs_dilation[axis]) + low + high
        if isinstance(padded, int) and padded < 0:
            raise ShapeError(f"conv: padding ({low}, {high}) takes more from axis {axis + 2} than it has")
        out.append(window_count(padded, dilated(k, rhs_dilation[axis]), strides[axis]))
    return TensorType((x.shape[0], w.shape[0], *out), accumulate or x.dtype)


def strided_windows(x: np.ndarray, out: Ints, window: Ints, strides: Ints, dilation: Ints) -> np.ndarray:
    """A view (*out, *window) of all windows of ``x`` over all its axes."""
    steps = [s * step for s, step in zip(x.strides, strides, strict=True)]
    inner = [s * step for s, step in zip(x.strides, dilation, strict=True)]
    return np.lib.stride_tricks.as_strided(x, (*out, *window), (*steps, *inner), writeable=False)


def _reference(
    x: np.ndarray,
    w: np.ndarray,
    *,
    strides: Ints,
    padding: tuple[tuple[int, int], ...],
    lhs_dilation: Ints,
    rhs_dilation: Ints,
    groups: int,
    accumulate: DType | None,
) -> np.ndarray:
    made = _infer(
        TensorType(x.shape, accumulate or float32),
        TensorType(w.shape, accumulate or float32),
        strides=strides,
        padding=padding,
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        groups=groups,
        accumulate=accumulate,
    )
    shape: Any = made.shape
    dtype = accumulate.numpy if accumulate else x.dtype
    x, w = (wide(v) if accumulate is None else v.astype(accumulate.numpy) for v in (x, w))
    lows = (0, 0, *[a for a, _ in padding])
    highs = (0, 0, *[b for _, b in padding])
    padded = pad_array(x, 0, lows, highs, (0, 0, *[d - 1 for d in lhs_dilation]))
    batch, channels = x.shape[:2]
    per_group, outs = w.shape[1], w.shape[0] // max(groups, 1)
    space, window = shape[2:], w.shape[2:]
    if 0 in shape:
        return np.zeros(shape, dtype)
    windows = strided_windows(
        padded, (batch, channels, *space), (1, 1, *window), (1, 1, *strides), (1, 1, *rhs_dilation)
    )
    k = len(space)
    windows = windows.reshape(batch, groups, per_group, *space, *window)
    # (groups, N, *space, C / groups, *window) @ (groups, C / groups * window, O / groups)
    order = (1, 0, *range(3, 3 + k), 2, *range(3 + k, 3 + 2 * k))
    volume = per_group * int(np.prod(window, dtype=np.int64))
    rows = windows.transpose(order).reshape(groups, -1, volume)
    columns = w.reshape(groups, outs, volume).transpose(0, 2, 1)
    with np.errstate(all="ignore"):
        z = np.matmul(rows, columns)
    z = z.reshape(groups, batch, *space, outs)
    ordered = z.transpose(1, 0, 2 + k, *range(2, 2 + k))
    return np.asarray(ordered.reshape(shape), dtype)


def _split(x: Var, axis: int, first: Size) -> Var:
    """One axis as two, the outer one of size ``first``."""
    return reshape(x, (*x.shape[:axis], first, x.shape[axis] // first, *x.shape[axis + 1 :]))


def _merge(x: Var, axis: int) -> Var:
    """``axis`` and the one after it as one."""
    return reshape(x, (*x.shape[:axis], x.shape[axis] * x.shape[axis + 1], *x.shape[axis + 2 :]))


def _swap_groups(w: Var, groups: Size) -> Var:
    """(g * A, B, ...) as (g * B, A, ...): the weight with its two channel axes exchanged within groups."""
    if groups == 1:
        return transpose(w, (1, 0, *range(2, w.ndim)))
    parts = _split(w, 0, groups)
    return _merge(transpose(parts, (0, 2, 1, *range(3, parts.ndim))), 0)


def _input_gradient(g: Var, x: Var, w: Var, attrs: dict[str, Any]) -> Var:
    """Spread ``g`` by the strides and correlate it with the turned weight."""
    padding = []
    for axis, (low, _) in enumerate(attrs["padding"]):
        extent = dilated(w.shape[axis + 2], attrs["rhs_dilation"][axis])
        room = dilated(x.shape[axis + 2], attrs["lhs_dilation"][axis])
        spread = dilated(g.shape[axis + 2], attrs["strides"][axis])
        before = extent - 1 - low
        padding.append((before, room + extent - 1 - spread - before))
    return conv_general(
        g,
        reverse(_swap_groups(w, attrs["groups"]), range(2, w.ndim)),
        strides=attrs["lhs_dilation"],
        padding=padding,
        lhs_dilation=attrs["strides"],
        rhs_dilation=attrs["rhs_dilation"],
        groups=attrs["groups"],
    )


def _weight_gradient(g: Var, x: Var, w: Var, attrs: dict[str, Any]) -> Var:
    """Correlate the input with ``g``: examples become channels, channels examples."""
    groups = attrs["groups"]
    padding = []
    for axis, (low, _) in enumerate(attrs["padding"]):
        extent = dilated(w.shape[axis + 2], attrs["rhs_dilation"][axis])
        room = dilated(x.shape[axis + 2], attrs["lhs_dilation"][axis])
        spread = dilated(g.shape[axis + 2], attrs["strides"][axis])
        padding.append((low, extent - 1 + spread - room - low))
    # (N, g * C, ...) as (C, g * N, ...): each group sees its own channels
    rest = range(3, x.ndim + 1)
    examples = _merge(transpose(_split(x, 1, groups), (2, 1, 0, *rest)), 1)
    z = conv_general(
        examples,
        transpose(g, (1, 0, *range(2, g.ndim))),
        strides=attrs["rhs_dilation"],
        padding=padding,
        lhs_dilation=attrs["lhs_dilation"],
        rhs_dilation=attrs["strides"],
        groups=groups,
    )
    return transpose(z, (1, 0, *range(2, z.ndim)))


def _vjp(g: Var, inputs: Sequence[Var], outputs: Sequence[Var], **attrs: Any) -> Any:
    x, w = inputs
    g = cast(g, x.dtype)
    if any(n == 0 for n in (*g.shape, *x.shape)):
        return (zeros_like(x), zeros_like(w))
    return (_input_gradient(g, x, w, attrs), _weight_gradient(g, x, w, attrs))


def _jvp(t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var], **attrs: Any) -> Any:
    x, w = inputs
    terms = []
    if t[0] is not None:
        terms.append(emit(conv_general_p, t[0], w, **attrs))
    if t[1] is not None:
        terms.append(emit(conv_general_p, x, t[1], **attrs))
    if not terms:
        return (None,)
    return (terms[0] if len(terms) == 1 else add(terms[0], terms[1]),)


def _batch(inputs: Sequence[Var], batched: Sequence[bool], **attrs: Any) -> Any:
    """The batch axis joins the examples, the output channels, or the groups."""
    x, w = inputs
    groups = attrs["groups"]
    if not batched[1]:
        return _split(emit(conv_general_p, _merge(x, 0), w, **attrs), 0, x.shape[0])
    size = w.shape[0]
    if not batched[0]:
        by_group = move_axis(_split(w, 1, groups), 0, 1)  # (g, B, O / g, C / g, ...)
        z = emit(conv_general_p, x, _merge(_merge(by_group, 0), 0), **attrs)
        z = _split(_split(z, 1, groups), 2, size)  # (N, g, B, O / g, ...)
        return _merge(move_axis(z, 2, 0), 2)
    z = emit(
        conv_general_p, _merge(move_axis(x, 0, 1), 1), _merge(w, 0), **{**attrs, "groups": groups * size}
    )
    return move_axis(_split(z, 1, size), 1, 0)


conv_general_p = Primitive(
    "conv_general",
    infer=_infer,
    reference=_reference,
    vjp=_vjp,
    jvp=_jvp,
    batch=_batch,
    lowering=Lowering.HOST,
    sizes=("padding",),
)


def conv_general(
    x: Var,
    w: Var,
    *,
    strides: Sequence[int] | None = None,
    padding: Sequence[tuple[Size, Size]] | None = None,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    groups: Size = 1,
    accumulate: DType | None = None,
) -> Var:
    """The sums of products of ``w`` with every window of ``x``.

    ``x`` is (N, C, *spatial), ``w`` (O, C / groups, *window).  Per spatial axis: ``strides``, the
    step between windows; ``padding``, how many zeros before and after (negative: how many elements
    are left out); ``lhs_dilation`` and ``rhs_dilation``, the distance that elements of ``x`` and
    ``w`` are spread to.  The result has the dtype ``accumulate`` where that is given.
    """
    ones = (1,) * (x.ndim - 2)
    return emit(
        conv_general_p,
        x,
        w,
        strides=ones if strides is None else tuple(strides),
        padding=((0, 0),) * len(ones) if padding is None else tuple([(a, b) for a, b in padding]),
        lhs_dilation=ones if lhs_dilation is None else tuple(lhs_dilation),
        rhs_dilation=ones if rhs_dilation is None else tuple(rhs_dilation),
        groups=groups,
        accumulate=accumulate,
    )


def conv(
    x: Var,
    w: Var,
    strides: Sequence[int] | None = None,
    padding: Sequence[tuple[Size, Size]] | None = None,
    dilation: Sequence[int] | None = None,
    groups: Size = 1,
) -> Var:
    """Convolution as in a layer; dtypes are promoted."""
    x, w = harmonize_dtypes("conv", x, w)
    return conv_general(x, w, strides=strides, padding=padding, rhs_dilation=dilation, groups=groups)


def conv_transpose(
    x: Var,
    w: Var,
    strides: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
    dilation: Sequence[int],
    groups: Size = 1,
) -> Var:
    """Transposed convolution: what the gradient of ``conv`` does to its input.

    ``x`` is (N, C, *spatial), ``w`` (C, O / groups, *window).  ``padding`` is that of the forward
    convolution; ``output_padding`` adds to one side of the result.
    """
    x, w = harmonize_dtypes("conv_transpose", x, w)
    if w.ndim != x.ndim or w.shape[0] != x.shape[1]:
        raise ShapeError(
            f"conv_transpose: input {shape_text(x.shape)} and weight {shape_text(w.shape)} must be "
            "(N, C, *spatial) and (C, O / groups, *window)"
        )
    pairs = []
    for axis in range(x.ndim - 2):
        reach = dilated(w.shape[axis + 2], dilation[axis]) - 1 - padding[axis]
        pairs.append((reach, reach + output_padding[axis]))
    turned = reverse(_swap_groups(w, groups), range(2, w.ndim))
    return conv_general(x, turned, padding=pairs, lhs_dilation=strides, rhs_dilation=dilation, groups=groups)
