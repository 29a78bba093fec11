"""Activations that layers use: one entry of a recording each.

Their numbers are values, so that changing one compiles nothing.  At a kink the slope is PyTorch's.
"""

from __future__ import annotations

from flambeau.dtypes import float32
from flambeau.errors import ShapeError
from flambeau.graph.builder import Var
from flambeau.primitives import composites, randomness
from flambeau.primitives.elementwise import (
    add,
    cast,
    div,
    expm1,
    ge,
    gt,
    le,
    logical_and,
    logical_or,
    lt,
    mul,
    neg,
    select,
    sigmoid,
    sub,
    tanh,
)
from flambeau.primitives.indexing import slice_axis
from flambeau.primitives.views import broadcast, normalize_axis, shape_text, squeeze

# --- rectifiers ------------------------------------------------------------------------------


def leaky_relu(x: Var, slope: Var) -> Var:
    """``x`` where positive, else ``slope * x``."""
    return select(gt(x, 0), x, mul(x, slope))


def prelu(x: Var, weight: Var) -> Var:
    """``leaky_relu`` with one slope for all, or one for each channel (axis 1)."""
    if weight.ndim != 1:
        raise ShapeError(f"PReLU: slopes of shape (n,) are needed, not {shape_text(weight.shape)}")
    channels = x.shape[1] if x.ndim > 1 else 1
    if weight.shape[0] not in (1, channels):
        raise ShapeError(
            f"PReLU: an input of shape (N, {weight.shape[0]}, ...) is needed for {weight.shape[0]} slopes, "
            f"not {shape_text(x.shape)}"
        )
    if x.ndim == 0:
        return leaky_relu(x, squeeze(weight, (0,)))
    axis = min(1, x.ndim - 1)
    shape = tuple([weight.shape[0] if i == axis else 1 for i in range(x.ndim)])
    return leaky_relu(x, broadcast(weight, shape, (axis,)))


def rrelu(key: Var, counter: Var, x: Var, lower: Var, upper: Var) -> Var:
    """``leaky_relu`` with a slope drawn for each element from [lower, upper)."""
    drawn = cast(randomness.uniform(key, counter, x.shape, float32), x.dtype)
    return leaky_relu(x, add(mul(drawn, sub(upper, lower)), lower))


def elu(x: Var, alpha: Var) -> Var:
    """``x`` where positive, else ``alpha * (exp(x) - 1)``."""
    positive = gt(x, 0)
    return select(positive, x, mul(expm1(select(positive, 0.0, x)), alpha))


def celu(x: Var, alpha: Var) -> Var:
    """``x`` where positive, else ``alpha * (exp(x / alpha) - 1)``."""
    positive = gt(x, 0)
    return select(positive, x, mul(expm1(div(select(positive, 0.0, x), alpha)), alpha))


# --- straight lines --------------------------------------------------------------------------


def hardtanh(x: Var, low: Var, high: Var) -> Var:
    """``x`` limited to [low, high]; the gradient passes strictly between."""
    return select(le(x, low), low, select(ge(x, high), high, x))


def relu6(x: Var) -> Var:
    """``x`` limited to [0, 6]."""
    return select(le(x, 0), 0.0, select(ge(x, 6.0), 6.0, x))


def hardsigmoid(x: Var) -> Var:
    """``x / 6 + 1/2`` limited to [0, 1]."""
    middle = div(add(x, 3.0), 6.0)
    return select(le(x, -3.0), 0.0, select(ge(x, 3.0), 1.0, middle))


def hardswish(x: Var) -> Var:
    """``x * hardsigmoid(x)``."""
    low, high = le(x, -3.0), ge(x, 3.0)
    inner = select(logical_or(low, high), 0.0, x)  # so that infinity gives no NaN below
    return select(low, 0.0, select(high, x, div(mul(inner, add(inner, 3.0)), 6.0)))


def hardshrink(x: Var, lambd: Var) -> Var:
    """``x`` but 0 in [-lambd, lambd]."""
    return select(logical_and(ge(x, neg(lambd)), le(x, lambd)), 0.0, x)


def softshrink(x: Var, lambd: Var) -> Var:
    """``x`` moved towards 0 by ``lambd``, and 0 in [-lambd, lambd]."""
    return select(gt(x, lambd), sub(x, lambd), select(lt(x, neg(lambd)), add(x, lambd), mul(x, 0.0)))


def threshold(x: Var, limit: Var, value: Var) -> Var:
    """``x`` where above ``limit``, else ``value``."""
    return select(le(x, limit), value, x)


# --- smooth ones -----------------------------------------------------------------------------


def softplus(x: Var, beta: Var, limit: Var) -> Var:
    """``log(1 + exp(beta * x)) / beta``, and ``x`` where ``beta * x`` is above ``limit``."""
    scaled = mul(x, beta)
    straight = gt(scaled, limit)
    return select(straight, x, div(composites.softplus(select(straight, 0.0, scaled)), beta))


def tanhshrink(x: Var) -> Var:
    """``x - tanh(x)``."""
    return sub(x, tanh(x))


def softmin(x: Var, axis: int) -> Var:
    """``softmax(-x)`` along an axis."""
    return composites.softmax(neg(x), normalize_axis(axis, x.ndim, "Softmin"))


def glu(x: Var, axis: int) -> Var:
    """The first half along ``axis`` times the sigmoid of the second."""
    at = normalize_axis(axis, x.ndim, "GLU")
    size = x.shape[at]
    half = size // 2
    if size != half + half:
        raise ShapeError(f"GLU: axis {axis} of shape {shape_text(x.shape)} cannot be halved: its size is odd")
    first = slice_axis(x, at, 0, half)
    return mul(first, sigmoid(slice_axis(x, at, half, size)))
