"""Statistics, normalizing exponentials and activations, made of primitives.

Everything here is a builder: its derivatives are those of what it is made of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from flambeau.dtypes import DType, bfloat16, bool_, float16, float32, real_of
from flambeau.graph.builder import Var
from flambeau.primitives.advanced import take_along_axis
from flambeau.primitives.control import stop_gradient
from flambeau.primitives.elementwise import (
    abs,
    add,
    cast,
    div,
    eq,
    erf,
    exp,
    expm1,
    ge,
    gt,
    harmonize,
    is_finite,
    is_nan,
    le,
    log,
    logaddexp,
    logical_and,
    logical_or,
    lt,
    maximum,
    minimum,
    mul,
    neg,
    relu,
    select,
    sigmoid,
    sqrt,
    square,
    sub,
    tanh,
    to_float,
)
from flambeau.primitives.reduce import reduce_all, reduce_max
from flambeau.primitives.sizes import count
from flambeau.primitives.views import Number, expand_dims, keep_dims, reduce_sum, squeeze

Axes = Sequence[int]


def _keep(y: Var, x: Var, axes: Axes, keepdims: bool) -> Var:
    return keep_dims(y, x.shape, axes) if keepdims else y


def sum_precision(dtype: DType) -> DType:
    """The dtype sums are carried in: float32 for half precision."""
    return float32 if dtype is float16 or dtype is bfloat16 else dtype


# --- statistics ------------------------------------------------------------------------------


def mean(x: Var, axes: Axes, keepdims: bool = False) -> Var:
    """The arithmetic mean over ``axes``; NaN of nothing.  Half precision is summed in float32."""
    x = to_float(x)
    wide = cast(x, sum_precision(x.dtype))
    total = _keep(reduce_sum(wide, axes), x, axes, keepdims)
    n = cast(count(x, tuple(axes), real_of(wide.dtype)), wide.dtype)
    return cast(div(total, n), x.dtype)


def variance(x: Var, axes: Axes, correction: float = 0.0, keepdims: bool = False) -> Var:
    """The mean squared distance from the mean over ``axes``, with divisor ``n - correction``.

    Computed in two passes, so that a large mean costs no digits; real also for complex numbers.
    """
    x = to_float(x)
    wide = cast(x, sum_precision(x.dtype))
    centred = sub(wide, mean(wide, axes, keepdims=True))
    squares = square(abs(centred)) if x.dtype.kind == "complex" else square(centred)
    total = _keep(reduce_sum(squares, axes), x, axes, keepdims)
    n = sub(count(x, tuple(axes), squares.dtype), correction)
    return cast(div(total, maximum(n, 0.0)), real_of(x.dtype))


def std(x: Var, axes: Axes, correction: float = 0.0, keepdims: bool = False) -> Var:
    """The square root of ``variance``; where that is 0 the gradient is 0."""
    v = variance(x, axes, correction, keepdims)
    still = eq(v, 0)
    return select(still, 0.0, sqrt(select(still, 1.0, v)))


# --- normalizing exponentials ----------------------------------------------------------------


def _peak(x: Var, axes: Axes) -> Var:
    """The largest element, with axes kept: what is subtracted before exponentials."""
    return keep_dims(reduce_max(stop_gradient(x), axes), x.shape, axes)


def logsumexp(x: Var, axes: Axes, keepdims: bool = False) -> Var:
    """``log(sum(exp(x)))`` without overflow; -inf (with gradient 0) where all elements are -inf."""
    x = to_float(x)
    if not axes:
        return x
    peak = _peak(x, axes)
    peak = select(is_finite(peak), peak, 0.0)
    total = keep_dims(reduce_sum(exp(sub(x, peak)), axes), x.shape, axes)
    none = eq(total, 0)
    result = select(none, -math.inf, add(log(select(none, 1.0, total)), peak))
    return result if keepdims else squeeze(result, axes)


def softmax(x: Var, axis: int) -> Var:
    """Exponentials that sum to 1 along ``axis``."""
    x = to_float(x)
    weights = exp(sub(x, _peak(x, (axis,))))
    return div(weights, keep_dims(reduce_sum(weights, (axis,)), x.shape, (axis,)))


def log_softmax(x: Var, axis: int) -> Var:
    """The logarithm of ``softmax``, without its rounding to 0."""
    x = to_float(x)
    shifted = sub(x, _peak(x, (axis,)))
    return sub(shifted, log(keep_dims(reduce_sum(exp(shifted), (axis,)), x.shape, (axis,))))


def pick(x: Var, indices: Var, axis: int) -> Var:
    """The element of ``x`` at ``indices`` along ``axis``, which disappears."""
    return squeeze(take_along_axis(x, expand_dims(indices, axis), axis), (axis,))


# --- limits and comparisons ------------------------------------------------------------------


def clip(x: Var, low: Var | Number | None = None, high: Var | Number | None = None) -> Var:
    """``x`` limited to [low, high]; the gradient passes where ``low <= x <= high``."""
    if low is not None:
        x, low = harmonize("clip", x, low)
        x = select(lt(x, low), low, x)
    if high is not None:
        x, high = harmonize("clip", x, high)
        x = select(gt(x, high), high, x)
    return x


def isclose(
    x: Var, y: Var | Number, rtol: Number = 1e-5, atol: Number = 1e-8, equal_nan: bool = False
) -> Var:
    """Where ``abs(x - y) <= atol + rtol * abs(y)``, or both are the same infinity."""
    x, y = harmonize("isclose", to_float(x), to_float(y) if isinstance(y, Var) else y)
    near = le(abs(sub(x, y)), add(mul(abs(y), rtol), atol))
    close = logical_or(eq(x, y), logical_and(near, is_finite(y)))
    return logical_or(close, logical_and(is_nan(x), is_nan(y))) if equal_nan else close


def allclose(
    x: Var, y: Var | Number, rtol: Number = 1e-5, atol: Number = 1e-8, equal_nan: bool = False
) -> Var:
    """Whether ``isclose`` holds everywhere: a bool scalar."""
    close = isclose(x, y, rtol, atol, equal_nan)
    return reduce_all(cast(close, bool_), range(close.ndim))


def abs2(x: Var) -> Var:
    """The squared absolute value, real."""
    return square(x) if x.dtype.kind != "complex" else square(abs(x))


# --- activations -----------------------------------------------------------------------------


def gelu(x: Var, approximate: str = "none") -> Var:
    """``x * P(Z < x)`` for a standard normal Z; "tanh" approximates it.

    Source: D. Hendrycks, K. Gimpel, "Gaussian error linear units", 2016.
    """
    if approximate == "tanh":
        inner = mul(add(x, mul(mul(square(x), x), 0.044715)), math.sqrt(2.0 / math.pi))
        return mul(mul(x, 0.5), add(tanh(inner), 1.0))
    return mul(mul(x, 0.5), add(erf(mul(x, math.sqrt(0.5))), 1.0))


def silu(x: Var) -> Var:
    """``x * sigmoid(x)``."""
    return mul(x, sigmoid(x))


def softplus(x: Var, beta: float = 1.0) -> Var:
    """``log(1 + exp(beta * x)) / beta`` without overflow."""
    if beta == 1.0:
        return logaddexp(x, 0.0)
    return div(logaddexp(mul(x, beta), 0.0), beta)


def log_sigmoid(x: Var) -> Var:
    """``log(sigmoid(x))`` without underflow."""
    return neg(softplus(neg(x)))


def leaky_relu(x: Var, slope: float = 0.01) -> Var:
    """``x`` where positive, else ``slope * x``."""
    return select(gt(x, 0), x, mul(x, slope))


def elu(x: Var, alpha: float = 1.0) -> Var:
    """``x`` where positive, else ``alpha * (exp(x) - 1)``.

    Source: D.-A. Clevert, T. Unterthiner, S. Hochreiter, "Fast and accurate deep network learning
    by exponential linear units", 2015.
    """
    return select(gt(x, 0), x, mul(expm1(select(gt(x, 0), 0.0, x)), alpha))


def selu(x: Var) -> Var:
    """Scaled ``elu`` that keeps mean 0 and variance 1.

    Source: G. Klambauer et al., "Self-normalizing neural networks", 2017.
    """
    return mul(elu(x, 1.6732632423543772), 1.0507009873554805)


def mish(x: Var) -> Var:
    """``x * tanh(softplus(x))``.  Source: D. Misra, "Mish", 2019."""
    return mul(x, tanh(softplus(x)))


def relu6(x: Var) -> Var:
    """``relu`` limited to 6."""
    return minimum(relu(x), 6.0)


def hard_sigmoid(x: Var) -> Var:
    """A sigmoid of straight lines: 0 up to -3, 1 from 3."""
    return clip(add(div(x, 6.0), 0.5), 0.0, 1.0)


def hard_silu(x: Var) -> Var:
    """``x * hard_sigmoid(x)``.  Source: A. Howard et al., "Searching for MobileNetV3", 2019."""
    return mul(x, hard_sigmoid(x))


def softsign(x: Var) -> Var:
    """``x / (1 + abs(x))``."""
    return div(x, add(abs(x), 1.0))


def step(x: Var) -> Var:
    """1 where ``x >= 0``, else 0, in the dtype of ``x``."""
    return cast(ge(x, 0), x.dtype)
