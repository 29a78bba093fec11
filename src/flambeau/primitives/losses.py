"""Builders of losses between two tensors of one shape, one entry of a recording each.

All are computed in float32 where tensors are of half precision, and reduced as ``reduction`` says:
"mean", "sum" or "none".
"""

from __future__ import annotations

import math

from flambeau.dtypes import DType
from flambeau.errors import DTypeError, ShapeError
from flambeau.graph.builder import Var
from flambeau.primitives.composites import log_sigmoid, mean, softplus, sum_precision
from flambeau.primitives.control import stop_gradient
from flambeau.primitives.elementwise import (
    abs,
    add,
    cast,
    div,
    eq,
    exp,
    ge,
    gt,
    log,
    log1p,
    lt,
    maximum,
    mul,
    neg,
    select,
    square,
    sub,
)
from flambeau.primitives.sizes import size_value
from flambeau.primitives.views import expand_dims, reduce_sum, shape_text


def reduced(loss: Var, reduction: str, dtype: DType) -> Var:
    """A loss of each element, reduced over all of them; the mean of nothing is NaN."""
    every = range(loss.ndim)
    if reduction == "mean":
        loss = mean(loss, every)
    elif reduction == "sum":
        loss = reduce_sum(loss, every)
    return cast(loss, dtype)


def pair(name: str, x: Var, y: Var) -> tuple[Var, Var]:
    """Input and target in the precision of computation; raises where they do not fit."""
    require_floating(name, x)
    if x.shape != y.shape:
        raise ShapeError(f"{name}: shapes {shape_text(x.shape)} and {shape_text(y.shape)} differ")
    wide = sum_precision(x.dtype)
    return cast(x, wide), cast(y, wide)


def require_floating(name: str, x: Var) -> None:
    """Raise unless the input is floating-point."""
    if not x.dtype.floating:
        raise DTypeError(f"{name}: a floating-point input is needed, not {x.dtype}")


def clamped(x: Var) -> Var:
    """``max(x, 0)`` whose gradient at 0 is that of ``x``."""
    return select(ge(x, 0), x, 0.0)


# --- regression ------------------------------------------------------------------------------


def mse_loss(x: Var, y: Var, reduction: str = "mean") -> Var:
    """Squared differences."""
    a, b = pair("mse_loss", x, y)
    return reduced(square(sub(a, b)), reduction, x.dtype)


def l1_loss(x: Var, y: Var, reduction: str = "mean") -> Var:
    """Absolute differences."""
    a, b = pair("l1_loss", x, y)
    return reduced(abs(sub(a, b)), reduction, x.dtype)


def smooth_l1_loss(x: Var, y: Var, beta: Var, reduction: str = "mean") -> Var:
    """Squared differences over ``2 * beta`` below ``beta``, absolute ones less ``beta / 2`` above."""
    a, b = pair("smooth_l1_loss", x, y)
    distance, beta = abs(sub(a, b)), cast(beta, a.dtype)
    small = div(mul(square(distance), 0.5), beta)
    loss = select(lt(distance, beta), small, sub(distance, mul(beta, 0.5)))
    return reduced(loss, reduction, x.dtype)


def huber_loss(x: Var, y: Var, delta: Var, reduction: str = "mean") -> Var:
    """Half the squared differences below ``delta``, straight lines above."""
    a, b = pair("huber_loss", x, y)
    distance, delta = abs(sub(a, b)), cast(delta, a.dtype)
    far = mul(delta, sub(distance, mul(delta, 0.5)))
    return reduced(select(lt(distance, delta), mul(square(distance), 0.5), far), reduction, x.dtype)


def poisson_nll_loss(x: Var, y: Var, log_input: bool, full: bool, eps: float, reduction: str = "mean") -> Var:
    """What is unlikely about counts ``y`` of an expected number ``x``, or of ``exp(x)``."""
    a, b = pair("poisson_nll_loss", x, y)
    loss = sub(exp(a), mul(b, a)) if log_input else sub(a, mul(b, log(add(a, eps))))
    if full:  # Stirling's approximation of log(y!)
        many = gt(b, 1)
        n = select(many, b, 1.0)
        rest = add(sub(mul(n, log(n)), n), mul(log(mul(n, 2 * math.pi)), 0.5))
        loss = add(loss, select(many, rest, 0.0))
    return reduced(loss, reduction, x.dtype)


def gaussian_nll_loss(x: Var, y: Var, var: Var, full: bool, eps: float, reduction: str = "mean") -> Var:
    """What is unlikely about ``y`` under normal distributions with means ``x`` and variances ``var``."""
    a, b = pair("gaussian_nll_loss", x, y)
    if var.shape != x.shape:
        if var.shape == x.shape[:-1]:
            var = expand_dims(var, var.ndim)
        elif var.ndim and (var.ndim != x.ndim or var.shape != (*x.shape[:-1], 1)):
            raise ShapeError(
                f"gaussian_nll_loss: variances for an input of shape {shape_text(x.shape)} have that shape, "
                f"1 as the last size, or no last axis, not {shape_text(var.shape)}"
            )
    var = cast(var, a.dtype)
    given = stop_gradient(var)
    least = select(lt(given, 0), math.nan, maximum(given, eps))
    var = add(var, sub(least, given))  # the gradient passes where the least is taken
    loss = mul(add(log(var), div(square(sub(a, b)), var)), 0.5)
    if full:
        loss = add(loss, 0.5 * math.log(2 * math.pi))
    return reduced(loss, reduction, x.dtype)


# --- probabilities ---------------------------------------------------------------------------

# Where x * (1 - x) is below, the gradient of binary cross entropy is limited: 1e-12 in PyTorch's float32.
_NEARLY = 9.999999960041972e-13


def binary_cross_entropy(x: Var, y: Var, *rest: Var | str) -> Var:
    """``-(y log x + (1 - y) log(1 - x))``, logarithms at least -100; perhaps a weight, the reduction.

    Close to 0 and 1 the gradient is ``(x - y) / 1e-12``, as in PyTorch.
    """
    *weight, reduction = rest
    a, b = pair("binary_cross_entropy", x, y)
    inside = ge(mul(a, sub(1.0, a)), _NEARLY)
    safe = select(inside, a, 0.5)
    plain = neg(add(mul(b, log(safe)), mul(sub(1.0, b), log1p(neg(safe)))))
    high, low = log1p(neg(stop_gradient(a))), log(stop_gradient(a))
    edge = neg(add(mul(b, maximum(low, -100.0)), mul(sub(1.0, b), maximum(high, -100.0))))
    slope = mul(square(sub(a, stop_gradient(b))), 0.5 / _NEARLY)
    loss = select(inside, plain, add(edge, sub(slope, stop_gradient(slope))))
    return reduced(weighted("binary_cross_entropy", loss, weight), str(reduction), x.dtype)


def binary_cross_entropy_with_logits(x: Var, y: Var, *rest: Var | str | bool) -> Var:
    """``binary_cross_entropy`` of ``sigmoid(x)`` without overflow.

    Then a weight and a weight of positive examples, where ``has_weight`` and ``has_positive`` say so.
    """
    *weights, has_weight, has_positive, reduction = rest
    name = "binary_cross_entropy_with_logits"
    a, b = pair(name, x, y)
    less = softplus(neg(a))
    if has_positive:
        less = mul(less, add(mul(b, sub(like(name, weights[-1], a), 1.0)), 1.0))
    loss = add(mul(sub(1.0, b), a), less)
    return reduced(weighted(name, loss, weights[:1] if has_weight else []), str(reduction), x.dtype)


def kl_div(x: Var, y: Var, log_target: bool, reduction: str = "mean") -> Var:
    """``y * (log y - x)`` for logarithms ``x`` and probabilities ``y`` (or their logarithms)."""
    a, b = pair("kl_div", x, y)
    if log_target:
        loss = mul(exp(b), sub(b, a))
    else:
        none = eq(b, 0)
        loss = sub(select(none, 0.0, mul(b, log(select(none, 1.0, b)))), mul(b, a))
    if reduction != "batchmean":
        return reduced(loss, reduction, x.dtype)
    total = reduce_sum(loss, range(loss.ndim))
    return cast(div(total, size_value(x.shape[0], total.dtype)) if x.ndim else total, x.dtype)


def soft_margin_loss(x: Var, y: Var, reduction: str = "mean") -> Var:
    """``log(1 + exp(-y * x))``."""
    a, b = pair("soft_margin_loss", x, y)
    return reduced(softplus(neg(mul(b, a))), reduction, x.dtype)


def multilabel_soft_margin_loss(x: Var, y: Var, *rest: Var | str) -> Var:
    """The mean binary cross entropy of logits over the last axis; perhaps a weight, the reduction."""
    *weight, reduction = rest
    name = "multilabel_soft_margin_loss"
    a, b = pair(name, x, y)
    if not a.ndim:
        raise ShapeError(f"{name}: an input with an axis of classes is needed, not of shape ()")
    loss = neg(add(mul(b, log_sigmoid(a)), mul(sub(1.0, b), log_sigmoid(neg(a)))))
    loss = weighted(name, loss, weight)
    return reduced(mean(loss, (a.ndim - 1,)), str(reduction), x.dtype)


def hinge_embedding_loss(x: Var, y: Var, margin: Var, reduction: str = "mean") -> Var:
    """``x`` where ``y`` is 1, how much it falls short of ``margin`` where ``y`` is -1."""
    a, b = pair("hinge_embedding_loss", x, y)
    short = clamped(sub(cast(margin, a.dtype), a))
    loss = add(select(eq(b, 1), 0.0, short), select(eq(b, -1), 0.0, a))
    return reduced(loss, reduction, x.dtype)


# --- weights ---------------------------------------------------------------------------------


def like(name: str, weight: object, x: Var) -> Var:
    """A weight in the dtype of ``x``, of a shape that broadcasts to that of ``x``."""
    assert isinstance(weight, Var)
    fits = weight.ndim <= x.ndim and all(
        n == m or n == 1 for n, m in zip(reversed(weight.shape), reversed(x.shape), strict=False)
    )
    if not fits:
        raise ShapeError(
            f"{name}: a weight of shape {shape_text(weight.shape)} does not fit {shape_text(x.shape)}"
        )
    return cast(weight, x.dtype)


def weighted(name: str, loss: Var, weight: object) -> Var:
    """Each element times its weight, where there is one."""
    assert isinstance(weight, list)
    return mul(loss, like(name, weight[0], loss)) if weight else loss
