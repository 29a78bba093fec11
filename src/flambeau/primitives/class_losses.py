"""Builders of losses between scores of classes and the right class, one entry of a recording each.

The classes lie along axis 1, or along axis 0 where there is only one: input (N, C, d1, ...) and target
(N, d1, ...), or input (C,) and target ().
"""

from __future__ import annotations

from typing import Any

from flambeau.dtypes import int64
from flambeau.errors import DTypeError, ShapeError
from flambeau.graph.builder import Var
from flambeau.primitives.composites import sum_precision
from flambeau.primitives.control import stop_gradient
from flambeau.primitives.elementwise import (
    add,
    cast,
    div,
    eq,
    exp,
    log,
    logical_not,
    mul,
    ne,
    neg,
    relu,
    select,
    square,
    sub,
)
from flambeau.primitives.gather import in_range
from flambeau.primitives.losses import reduced, require_floating
from flambeau.primitives.reduce import reduce_max
from flambeau.primitives.sizes import size_value
from flambeau.primitives.views import broadcast, iota, product, reduce_sum, shape_text, zeros_like


class Classes:
    """Scores and targets that fit together, and what is needed of both."""

    def __init__(self, name: str, x: Var, target: Var, ignore: int | None = None) -> None:
        require_floating(name, x)
        if x.ndim < 1:
            raise ShapeError(f"{name}: an input with an axis of classes is needed, not of shape ()")
        self.axis = axis = min(1, x.ndim - 1)
        self.shape = x.shape
        self.rows = tuple([i for i in range(x.ndim) if i != axis])
        wanted = tuple([x.shape[i] for i in self.rows])
        if target.shape != wanted:
            raise ShapeError(
                f"{name}: an input of shape {shape_text(x.shape)} needs targets of shape "
                f"{shape_text(wanted)}, not {shape_text(target.shape)}"
            )
        if target.dtype.kind not in ("int", "uint"):
            raise DTypeError(f"{name}: needs integer targets, not {target.dtype}")
        self.size = x.shape[axis]
        self.valid: Var | None = None
        target = cast(target, int64)
        if ignore is not None:
            self.valid = ne(target, ignore)
            target = select(self.valid, target, 0)
        target = in_range(target, self.size, f"{name}: a target")
        self.hit = eq(broadcast(target, x.shape, self.rows), iota(x.shape, axis, int64))

    def pick(self, x: Var) -> Var:
        """The score of the right class."""
        return reduce_sum(select(self.hit, x, zeros_like(x)), (self.axis,))

    def along(self, weight: Var) -> Var:
        """A number of each class, for all scores."""
        return broadcast(weight, self.shape, (self.axis,))

    def kept(self, loss: Var) -> Var:
        """Losses with 0 where the target is ignored."""
        return loss if self.valid is None else select(self.valid, loss, 0.0)


def class_weights(name: str, weight: list[Any], classes: Any, dtype: Any) -> Var | None:
    """The weights of classes, where there are any."""
    if not weight:
        return None
    found: Var = weight[0]
    if found.shape != (classes,):
        raise ShapeError(f"{name}: weights of shape ({classes},) are needed, not {shape_text(found.shape)}")
    return cast(found, dtype)


def averaged(c: Classes, loss: Var, weight: Var | None, reduction: str) -> Var:
    """Losses of rows reduced; the mean is over the weights of the rows that count."""
    loss = c.kept(loss)
    if reduction == "none":
        return loss
    total = reduce_sum(loss, range(loss.ndim))
    if reduction == "sum":
        return total
    if weight is not None:
        count = reduce_sum(c.kept(c.pick(c.along(weight))), range(loss.ndim))
    elif c.valid is None:
        count = size_value(product(loss.shape), loss.dtype)
    else:
        count = reduce_sum(cast(c.valid, loss.dtype), range(loss.ndim))
    return div(total, count)


def nll_loss(x: Var, target: Var, *rest: Any) -> Var:
    """Minus the score of the right class; perhaps weights of classes, the index to ignore, the reduction."""
    *weights, ignore, reduction = rest
    c = Classes("nll_loss", x, target, ignore)
    wide = cast(x, sum_precision(x.dtype))
    weight = class_weights("nll_loss", weights, c.size, wide.dtype)
    loss = neg(c.pick(wide if weight is None else mul(wide, c.along(weight))))
    return cast(averaged(c, loss, weight, reduction), x.dtype)


def _shifted(x: Var, axis: int) -> tuple[Var, Var]:
    """Scores less the largest one, and the logarithm of the sum of their exponentials."""
    rows = tuple([i for i in range(x.ndim) if i != axis])
    top = broadcast(stop_gradient(reduce_max(x, (axis,))), x.shape, rows)
    shifted = sub(x, top)
    return shifted, log(reduce_sum(exp(shifted), (axis,)))


def cross_entropy(x: Var, target: Var, *rest: Any) -> Var:
    """Minus the logarithm of the softmax at the right class, or weighed with probabilities of classes.

    Computed as log-sum-exp less the target's logit, with the maximum taken out first.  After the
    target perhaps weights of classes, then the index to ignore, the reduction and the smoothing.
    """
    *weights, ignore, reduction, smoothing = rest
    name = "cross_entropy"
    if target.dtype.floating and target.shape == x.shape:
        return _of_probabilities(x, target, weights, reduction, smoothing)
    c = Classes(name, x, target, ignore)
    wide = cast(x, sum_precision(x.dtype))
    shifted, total = _shifted(wide, c.axis)
    weight = class_weights(name, weights, c.size, wide.dtype)
    if weight is None:
        loss = sub(total, c.pick(shifted))
    else:
        loss = mul(sub(total, c.pick(shifted)), c.pick(c.along(weight)))
    if smoothing:
        each = sub(broadcast(total, x.shape, c.rows), shifted)
        spread = reduce_sum(each if weight is None else mul(each, c.along(weight)), (c.axis,))
        share = div(smoothing, size_value(c.size, wide.dtype))
        loss = add(mul(loss, 1.0 - smoothing), mul(spread, share))
    return cast(averaged(c, loss, weight, reduction), x.dtype)


def _of_probabilities(x: Var, target: Var, weights: list[Any], reduction: str, smoothing: float) -> Var:
    require_floating("cross_entropy", x)
    if not x.ndim:
        raise ShapeError("cross_entropy: an input with an axis of classes is needed, not of shape ()")
    axis = min(1, x.ndim - 1)
    rows = [i for i in range(x.ndim) if i != axis]
    wide = cast(x, sum_precision(x.dtype))
    target = cast(target, wide.dtype)
    shifted, total = _shifted(wide, axis)
    if smoothing:
        share = div(smoothing, size_value(x.shape[axis], wide.dtype))
        target = add(mul(target, 1.0 - smoothing), share)
    weight = class_weights("cross_entropy", weights, x.shape[axis], wide.dtype)
    if weight is not None:
        target = mul(target, broadcast(weight, x.shape, (axis,)))
    loss = reduce_sum(mul(sub(broadcast(total, x.shape, rows), shifted), target), (axis,))
    return reduced(loss, reduction, x.dtype)


def multi_margin_loss(x: Var, target: Var, margin: Var, *rest: Any) -> Var:
    """How much other classes come closer than ``margin`` to the right one; the power is 1 or 2."""
    *weights, power, reduction = rest
    name = "multi_margin_loss"
    if x.ndim > 2:
        raise ShapeError(f"{name}: an input of shape (N, C) or (C,) is needed, not {shape_text(x.shape)}")
    c = Classes(name, x, target)
    wide = cast(x, sum_precision(x.dtype))
    right = broadcast(c.pick(wide), x.shape, c.rows)
    short = relu(add(sub(wide, right), cast(margin, wide.dtype)))
    short = square(short) if power == 2 else short
    short = select(logical_not(c.hit), short, 0.0)
    weight = class_weights(name, weights, c.size, wide.dtype)
    loss = div(reduce_sum(short, (c.axis,)), size_value(c.size, wide.dtype))
    if weight is not None:
        loss = mul(loss, c.pick(c.along(weight)))
    return reduced(loss, reduction, x.dtype)
