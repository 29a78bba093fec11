"""The builder of connectionist temporal classification.

Source: A. Graves et al., "Connectionist temporal classification: labelling unsegmented sequence data
with recurrent neural networks", ICML 2006, equations 6 to 8, in logarithms.
"""

from __future__ import annotations

import math

from flambeau.dtypes import bool_, int64
from flambeau.errors import DTypeError, ShapeError
from flambeau.graph.builder import Var
from flambeau.graph.types import TensorType
from flambeau.primitives.advanced import take_along_axis
from flambeau.primitives.composites import sum_precision
from flambeau.primitives.elementwise import (
    add,
    cast,
    div,
    eq,
    gt,
    logaddexp,
    logical_and,
    lt,
    maximum,
    mul,
    ne,
    neg,
    select,
    sub,
)
from flambeau.primitives.gather import in_range
from flambeau.primitives.indexing import concatenate, slice_axis
from flambeau.primitives.losses import reduced, require_floating
from flambeau.primitives.scan import scan
from flambeau.primitives.subgraphs import build
from flambeau.primitives.views import (
    broadcast,
    expand_dims,
    full,
    iota,
    reduce_sum,
    reshape,
    shape_text,
    squeeze,
)

_NEVER = -1e30  # the logarithm of what cannot happen: finite, so that gradients stay numbers


def ctc_loss(
    log_probs: Var,
    targets: Var,
    input_lengths: Var,
    target_lengths: Var,
    blank: int,
    zero_infinity: bool,
    reduction: str,
) -> Var:
    """Minus the logarithm of the probability of all alignments of targets to steps.

    ``log_probs`` (T, N, C), ``targets`` (N, S) and lengths (N,); or (T, C), (S,) and lengths ().
    """
    require_floating("ctc_loss", log_probs)
    alone = log_probs.ndim == 2
    if alone:
        log_probs, targets = expand_dims(log_probs, 1), expand_dims(targets, 0)
        input_lengths, target_lengths = (reshape(x, (1,)) for x in (input_lengths, target_lengths))
    _check(log_probs, targets, input_lengths, target_lengths, blank)
    steps, batch, classes = log_probs.shape
    size = targets.shape[1]
    dtype = log_probs.dtype
    wide = sum_precision(dtype)
    input_lengths = cast(in_range(cast(input_lengths, int64), steps + 1, "ctc_loss: an input length"), int64)
    lengths = in_range(cast(target_lengths, int64), size + 1, "ctc_loss: a target length")

    # blanks around all labels; what lies beyond a target's length is blank as well
    used = lt(iota(targets.shape, 1, int64), broadcast(lengths, targets.shape, (0,)))
    labels = select(used, cast(targets, int64), blank)
    labels = in_range(labels, classes, "ctc_loss: a target")
    width = 2 * size + 1
    between = full((batch, size, 1), blank, int64)
    pairs = reshape(concatenate([between, expand_dims(labels, 2)], 2), (batch, 2 * size))
    row = concatenate([pairs, full((batch, 1), blank, int64)], 1)

    scores = take_along_axis(cast(log_probs, wide), broadcast(row, (steps, batch, width), (1, 2)), 2)
    scores = select(lt(scores, _NEVER), _NEVER, scores)
    running = lt(iota((steps, batch), 0, int64), broadcast(input_lengths, (steps, batch), (1,)))
    before = (
        concatenate([full((batch, 2), blank, int64), slice_axis(row, 1, 0, width - 2)], 1)
        if size != 0
        else row
    )
    skips = logical_and(ne(row, blank), ne(row, before))

    def step(skips: Var, alpha: Var, score: Var, on: Var) -> list[Var]:
        nothing = full((batch, 1), _NEVER, wide)
        made = alpha
        if size != 0:
            one = concatenate([nothing, slice_axis(alpha, 1, 0, width - 1)], 1)
            two = concatenate([nothing, nothing, slice_axis(alpha, 1, 0, width - 2)], 1)
            made = logaddexp(logaddexp(alpha, one), select(skips, two, _NEVER))
        made = maximum(add(made, score), 2 * _NEVER)
        return [select(broadcast(on, (batch, width), (0,)), made, alpha)]

    places = iota((batch, width), 1, int64)
    start = select(eq(places, 0), full((batch, width), 0.0, wide), _NEVER)
    body = build([skips.type, start.type, _row(scores), _row(running)], step)
    (alpha,) = scan(body, (1, 1), steps, False, skips, start, scores, running)

    last = broadcast(mul(lengths, 2), (batch, width), (0,))

    def at(place: Var) -> Var:
        hit = eq(places, place)
        found = reduce_sum(select(hit, alpha, 0.0), (1,))
        some = gt(reduce_sum(cast(hit, int64), (1,)), 0)
        return select(some, found, _NEVER)

    total = logaddexp(at(last), at(sub(last, 1)))
    possible = gt(total, 0.5 * _NEVER)
    loss = select(possible, neg(total), 0.0 if zero_infinity else math.inf)
    if reduction == "mean":
        loss = div(loss, cast(maximum(lengths, 1), wide))
    if alone and reduction == "none":
        loss = squeeze(loss, (0,))
    return reduced(loss, reduction, dtype)


def _row(x: Var) -> TensorType:
    """The type of one step of ``x``."""
    return TensorType(x.shape[1:], x.dtype)


def _check(log_probs: Var, targets: Var, input_lengths: Var, target_lengths: Var, blank: int) -> None:
    if log_probs.ndim != 3:
        raise ShapeError(
            "ctc_loss: log_probs of shape (steps, batch, classes) or (steps, classes) are needed, "
            f"not {shape_text(log_probs.shape)}"
        )
    batch = log_probs.shape[1]
    if targets.ndim != 2 or targets.shape[0] != batch:
        raise ShapeError(
            f"ctc_loss: targets for log_probs of shape {shape_text(log_probs.shape)} have shape "
            f"({batch}, length), not {shape_text(targets.shape)}"
        )
    for what, lengths in (("input_lengths", input_lengths), ("target_lengths", target_lengths)):
        if lengths.shape != (batch,):
            raise ShapeError(
                f"ctc_loss: {what} of shape ({batch},) are needed, not {shape_text(lengths.shape)}"
            )
    for what, x in (
        ("targets", targets),
        ("input_lengths", input_lengths),
        ("target_lengths", target_lengths),
    ):
        if x.dtype.kind not in ("int", "uint") or x.dtype is bool_:
            raise DTypeError(f"ctc_loss: {what} must be integers, not {x.dtype}")
    classes = log_probs.shape[2]
    if isinstance(classes, int) and not 0 <= blank < classes:
        raise ShapeError(f"ctc_loss: blank must be one of {classes} classes, not {blank}")
