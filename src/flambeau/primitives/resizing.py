"""Images (and signals, and volumes) of another size: nearest, linear and cubic interpolation.

Every axis is resized on its own.  Coordinates are computed in the program from sizes, so that
another size is no new structure.  Where the source position of output element i lies:

- nearest: ``floor(i * scale)``; nearest-exact: ``floor((i + 0.5) * scale)``
- else: ``(i + 0.5) * scale - 0.5``, and with aligned corners ``i * (n - 1) / (m - 1)``

As in PyTorch, nearest and the linear modes copy an axis that keeps its size, whatever scale was given.

Cubic weights are those of R. Keys, "Cubic convolution interpolation for digital image processing",
1981, with a = -0.75.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

from flambeau.dtypes import DType, float32, int64
from flambeau.errors import OperandError, ShapeError
from flambeau.graph.builder import Var
from flambeau.graph.types import Size
from flambeau.primitives.adaptive import adaptive_avg_pool
from flambeau.primitives.advanced import take
from flambeau.primitives.arranging import repeat
from flambeau.primitives.composites import sum_precision
from flambeau.primitives.elementwise import add, cast, div, floor, maximum, minimum, mul, sub
from flambeau.primitives.sizes import size_value
from flambeau.primitives.spatial import check_float
from flambeau.primitives.views import constant, iota, reshape, shape_text

# The numbers of spatial axes that each mode takes.
MODES: dict[str, tuple[int, ...]] = {
    "nearest": (1, 2, 3),
    "nearest-exact": (1, 2, 3),
    "linear": (1,),
    "bilinear": (2,),
    "trilinear": (3,),
    "bicubic": (2,),
    "area": (1, 2, 3),
}
_SHAPES = {1: "(N, C, L)", 2: "(N, C, H, W)", 3: "(N, C, D, H, W)"}
_SMOOTH = ("linear", "bilinear", "trilinear", "bicubic")
_CUBIC = -0.75


class ResizeOptions(NamedTuple):
    """The static part of a resizing; ``name`` is what errors call it."""

    name: str
    size: int | tuple[int, ...] | None
    scale: float | tuple[float, ...] | None
    mode: str
    align_corners: bool | None
    recompute_scale: bool


def check_options(o: ResizeOptions) -> None:
    """Raise where the options contradict each other."""
    if o.mode not in MODES:
        raise OperandError(f"{o.name}: mode must be one of {', '.join(MODES)}, not {o.mode!r}")
    if (o.size is None) == (o.scale is None):
        raise OperandError(f"{o.name}: either size or scale_factor is needed, and not both")
    if o.align_corners is not None and o.mode not in _SMOOTH:
        raise OperandError(f"{o.name}: align_corners is for the modes {', '.join(_SMOOTH)}, not {o.mode!r}")
    if o.recompute_scale and o.size is not None:
        raise OperandError(f"{o.name}: recompute_scale_factor needs scale_factor, not size")


def _scaled(n: Size, scale: float, name: str) -> Size:
    """The size of a scaled axis."""
    if isinstance(n, int):
        return math.floor(n * scale)
    exact = Fraction(scale).limit_denominator(1 << 20)
    if float(exact) != scale:
        raise ShapeError(
            f"{name}: a size of {n} cannot be scaled by {scale} before it is known: give a ratio"
        )
    return n * exact.numerator // exact.denominator


class _Axis(NamedTuple):
    """One axis: its size, the wanted size, and the scale between output and input if one was given."""

    n: Size
    m: Size
    scale: float | None


def _axes(x: Var, o: ResizeOptions) -> list[_Axis]:
    spatial = x.ndim - 2
    inner = x.shape[2:]
    given = o.size if o.size is not None else o.scale
    each = given if isinstance(given, tuple) else (given,) * spatial
    if len(each) != spatial:
        raise ShapeError(
            f"{o.name}: {'size' if o.size is not None else 'scale_factor'} {each} has {len(each)} entries "
            f"for the {spatial} spatial axes of the input {shape_text(x.shape)}"
        )
    axes = []
    for n, value in zip(inner, each, strict=True):
        assert value is not None
        m: Size = int(value) if o.size is not None else _scaled(n, value, o.name)
        if n == 0 or (isinstance(m, int) and m < 1):
            raise ShapeError(
                f"{o.name}: the input {shape_text(x.shape)} cannot be resized to {each}: "
                "all sizes must be at least 1"
            )
        keep = o.scale is not None and not o.recompute_scale
        axes.append(_Axis(n, m, 1.0 / value if keep else None))
    return axes


def resize(x: Var, o: ResizeOptions) -> Var:
    """(N, C, *spatial) with other spatial sizes."""
    check_options(o)
    spatial = x.ndim - 2
    if spatial not in MODES[o.mode]:
        shapes = " or ".join(_SHAPES[k] for k in MODES[o.mode])
        raise ShapeError(
            f"{o.name}: mode {o.mode!r} needs an input of shape {shapes}, not {shape_text(x.shape)}"
        )
    axes = _axes(x, o)
    if o.mode == "area":
        return adaptive_avg_pool(x, tuple([a.m for a in axes]), o.name)
    if o.mode in ("nearest", "nearest-exact"):
        for i, axis in enumerate(axes, 2):
            x = _nearest(x, i, axis, 0.5 if o.mode == "nearest-exact" else 0.0)
        return x
    check_float(o.name, x)
    precision = sum_precision(x.dtype)
    y = cast(x, precision)
    resize_axis = _cubic if o.mode == "bicubic" else _linear
    for i, axis in enumerate(axes, 2):
        y = resize_axis(y, i, axis, bool(o.align_corners))
    return cast(y, x.dtype)


def _ratio(axis: _Axis, dtype: DType) -> Var:
    """The distance in the input between neighbours of the output."""
    if axis.scale is not None:
        return constant(axis.scale, dtype)
    return div(size_value(axis.n, dtype), size_value(axis.m, dtype))


def _nearest(x: Var, at: int, axis: _Axis, offset: float) -> Var:
    if axis.n == axis.m and (offset == 0.0 or axis.scale in (None, 1.0)):
        return x
    times = axis.m // axis.n if axis.m % axis.n == 0 else 0
    if isinstance(times, int) and times > 0 and axis.scale in (None, 1.0 / times):
        return repeat(x, times, at)
    i = add(iota((axis.m,), 0, float32), offset)
    source = cast(floor(mul(i, _ratio(axis, float32))), int64)
    return take(x, minimum(source, size_value(axis.n - 1)), at)


def _positions(axis: _Axis, align_corners: bool, dtype: DType) -> Var:
    """Where the elements of the output lie in the input, as real numbers."""
    i = iota((axis.m,), 0, dtype)
    if align_corners:
        if axis.m == 1:
            return mul(i, 0.0)
        return mul(i, div(size_value(axis.n - 1, dtype), size_value(axis.m - 1, dtype)))
    return sub(mul(add(i, 0.5), _ratio(axis, dtype)), 0.5)


def _along(weights: Var, x: Var, at: int) -> Var:
    return reshape(weights, (weights.shape[0], *(1,) * (x.ndim - at - 1)))


def _linear(x: Var, at: int, axis: _Axis, align_corners: bool) -> Var:
    if axis.n == axis.m:
        return x
    position = maximum(_positions(axis, align_corners, x.dtype), 0.0)
    first = minimum(floor(position), size_value(axis.n - 1, x.dtype))
    fraction = _along(sub(position, first), x, at)
    below = cast(first, int64)
    above = minimum(add(below, 1), size_value(axis.n - 1))
    return add(mul(take(x, below, at), sub(1.0, fraction)), mul(take(x, above, at), fraction))


def _near(t: Var) -> Var:
    """The weight of an element less than 1 away."""
    return add(mul(mul(sub(mul(t, _CUBIC + 2), _CUBIC + 3), t), t), 1.0)


def _far(t: Var) -> Var:
    """The weight of an element between 1 and 2 away."""
    return sub(mul(add(mul(sub(mul(t, _CUBIC), 5 * _CUBIC), t), 8 * _CUBIC), t), 4 * _CUBIC)


def _cubic(x: Var, at: int, axis: _Axis, align_corners: bool) -> Var:
    position = _positions(axis, align_corners, x.dtype)
    first = floor(position)
    t = sub(position, first)
    weights = (_far(add(t, 1.0)), _near(t), _near(sub(1.0, t)), _far(sub(2.0, t)))
    total: Var | None = None
    for shift, weight in enumerate(weights, -1):
        source = maximum(add(cast(first, int64), shift), 0)
        source = minimum(source, size_value(axis.n - 1))
        term = mul(take(x, source, at), _along(weight, x, at))
        total = term if total is None else add(total, term)
    assert total is not None
    return total
