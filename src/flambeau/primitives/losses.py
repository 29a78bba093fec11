"""Builders of losses: one entry of a recording each."""

from __future__ import annotations

from flambeau.dtypes import int64
from flambeau.errors import DTypeError, ShapeError
from flambeau.graph.builder import Var
from flambeau.primitives.composites import mean
from flambeau.primitives.control import stop_gradient
from flambeau.primitives.elementwise import cast, eq, exp, log, select, square, sub
from flambeau.primitives.gather import in_range
from flambeau.primitives.reduce import reduce_max
from flambeau.primitives.views import broadcast, iota, reduce_sum, shape_text, zeros_like


def cross_entropy(logits: Var, target: Var) -> Var:
    """The mean of ``-log softmax(logits)[target]`` over all examples.

    ``logits`` has shape (..., classes), ``target`` integers of shape (...).  Computed as
    log-sum-exp minus the target's logit, with the maximum taken out first.
    """
    if logits.ndim < 1 or target.shape != logits.shape[:-1]:
        raise ShapeError(
            f"cross_entropy: logits of shape {shape_text(logits.shape)} need targets of shape "
            f"{shape_text(logits.shape[:-1])}, not {shape_text(target.shape)}"
        )
    if target.dtype.kind not in ("int", "uint") or not logits.dtype.floating:
        raise DTypeError(
            f"cross_entropy: needs float logits and integer targets, not {logits.dtype} and {target.dtype}"
        )
    last = logits.ndim - 1
    rows = range(last)
    top = broadcast(stop_gradient(reduce_max(logits, (last,))), logits.shape, rows)
    shifted = sub(logits, top)
    total = log(reduce_sum(exp(shifted), (last,)))
    target = cast(in_range(target, logits.shape[last], "cross_entropy: a target"), int64)
    hit = eq(broadcast(target, logits.shape, rows), iota(logits.shape, last, int64))
    chosen = reduce_sum(select(hit, shifted, zeros_like(shifted)), (last,))
    return mean(sub(total, chosen), range(last))


def mse(x: Var, y: Var) -> Var:
    """The mean of the squared differences."""
    if x.shape != y.shape:
        raise ShapeError(f"mse_loss: shapes {shape_text(x.shape)} and {shape_text(y.shape)} differ")
    return mean(square(sub(x, cast(y, x.dtype))), range(x.ndim))
