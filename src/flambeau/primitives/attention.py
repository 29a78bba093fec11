"""Attention: weighted means of values, by how well each key answers a query.

Masked keys get weights of exactly 0, and sums and products go through the keys in order, so keys
that are appended and masked change no bit of a result.  A query all of whose keys are masked gets
weights 0, hence the result 0, with gradients 0.
Source: A. Vaswani et al., "Attention is all you need", 2017.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from flambeau.dtypes import DType, bool_, int64
from flambeau.errors import DTypeError, ShapeError
from flambeau.graph.builder import Var
from flambeau.graph.types import Shape, Size
from flambeau.primitives.contract import matmul
from flambeau.primitives.control import stop_gradient
from flambeau.primitives.dropout import dropout
from flambeau.primitives.elementwise import (
    add,
    div,
    eq,
    exp,
    ge,
    logical_and,
    mul,
    select,
    sub,
)
from flambeau.primitives.reduce import reduce_max
from flambeau.primitives.views import (
    broadcast_shapes,
    broadcast_to,
    iota,
    keep_dims,
    reduce_sum,
    reshape,
    shape_text,
    transpose,
)


def causal(queries: Size, keys: Size) -> Var:
    """Which keys each query may see: those up to its own position, counted from the first."""
    shape = (queries, keys)
    return ge(iota(shape, 0, int64), iota(shape, 1, int64))


def masked_softmax(scores: Var) -> Var:
    """Exponentials that sum to 1 along the last axis; zeros where all scores are -inf."""
    last = (scores.ndim - 1,)
    peak = keep_dims(reduce_max(stop_gradient(scores), last), scores.shape, last)
    weights = exp(sub(scores, select(eq(peak, -math.inf), 0.0, peak)))
    total = keep_dims(reduce_sum(weights, last), scores.shape, last)
    return div(weights, select(eq(total, 0), 1.0, total))


class Masks(NamedTuple):
    """What may be seen: bool tensors (True: yes) and tensors added to the scores, all broadcast."""

    allowed: tuple[Var, ...] = ()
    added: tuple[Var, ...] = ()

    def apply(self, scores: Var) -> Var:
        """The scores, -inf where a key may not be seen."""
        for bias in self.added:
            scores = add(scores, bias)
        if not self.allowed:
            return scores
        seen = self.allowed[0]
        for mask in self.allowed[1:]:
            seen = logical_and(seen, mask)
        return select(seen, scores, -math.inf)


def attend(q: Var, k: Var, v: Var, masks: Masks, scale: Var | float, drop: Sequence[Var]) -> tuple[Var, Var]:
    """The results (..., queries, features) and the weights (..., queries, keys).

    ``drop`` holds nothing, or dropout's key, counter and probability.
    """
    perm = (*range(k.ndim - 2), k.ndim - 1, k.ndim - 2)
    scores = matmul(mul(q, scale), transpose(k, perm))
    weights = masked_softmax(masks.apply(scores))
    if drop:
        key, counter, p = drop
        weights = dropout(key, counter, weights, p, 0)
    return matmul(weights, v), weights


# --- scaled_dot_product_attention ------------------------------------------------------------


class Options(NamedTuple):
    """What ``scaled_dot_product`` is given: a mask, its own scale, dropout; and how it attends."""

    masked: bool
    scaled: bool
    dropped: bool
    causal: bool
    grouped: bool


def _check_three(name: str, q: Var, k: Var, v: Var) -> None:
    for what, x in (("query", q), ("key", k), ("value", v)):
        if x.ndim < 2:
            raise ShapeError(
                f"{name}: the {what} needs at least two axes (positions, features), "
                f"not shape {shape_text(x.shape)}"
            )
        if x.dtype is not q.dtype or not x.dtype.floating:
            raise DTypeError(
                f"{name}: query, key and value must have one floating-point dtype, "
                f"not {q.dtype}, {k.dtype} and {v.dtype}"
            )
    if q.shape[-1] != k.shape[-1]:
        raise ShapeError(f"{name}: queries have {q.shape[-1]} features, keys {k.shape[-1]}")
    if k.shape[-2] != v.shape[-2]:
        raise ShapeError(f"{name}: there are {k.shape[-2]} keys and {v.shape[-2]} values")


def _masks(name: str, masks: Sequence[Var], shape: Shape, dtype: DType) -> Masks:
    """Masks sorted by kind, each checked to broadcast to ``shape``, that of the scores."""
    allowed: list[Var] = []
    added: list[Var] = []
    for mask in masks:
        if mask.dtype is not bool_ and mask.dtype is not dtype:
            raise DTypeError(f"{name}: a mask must be bool or {dtype}, not {mask.dtype}")
        (allowed if mask.dtype is bool_ else added).append(broadcast_to(mask, shape, f"{name}: the mask"))
    return Masks(tuple(allowed), tuple(added))


def scaled_dot_product(q: Var, k: Var, v: Var, *operands: Var | Options) -> Var:
    """The builder of ``scaled_dot_product_attention``.

    After query, key and value come the mask, the scale, and dropout's key, counter and probability,
    those of them that ``Options`` names.
    """
    name = "scaled_dot_product_attention"
    *given, options = operands
    assert isinstance(options, Options)
    it = iter([x for x in given if isinstance(x, Var)])
    _check_three(name, q, k, v)
    queries, keys, width = q.shape[-2], k.shape[-2], q.shape[-1]
    masks = [next(it)] if options.masked else []
    if options.causal:
        masks.append(causal(queries, keys))
    scale: Var | float
    if options.scaled:
        scale = next(it)
    elif isinstance(width, int):
        scale = 1.0 / math.sqrt(max(width, 1))
    else:
        raise ShapeError(f"{name}: queries have {width} features: how many must be known, or a scale given")
    drop = list(it)
    if not options.grouped:
        lead = broadcast_shapes(name, q.shape[:-2], k.shape[:-2])
        found = _masks(name, masks, (*lead, queries, keys), q.dtype)
        return attend(q, k, v, found, scale, drop)[0]
    shared = _grouped(name, q, k, v)
    found = _masks(name, masks, (*q.shape[:-1], keys), q.dtype)
    shape = (*shared.shape[:-1], keys)
    allowed, added = (tuple([reshape(m, shape) for m in kind]) for kind in found)
    made, _ = attend(shared, k, v, Masks(allowed, added), scale, drop)
    return reshape(made, (*q.shape[:-1], v.shape[-1]))


def _grouped(name: str, q: Var, k: Var, v: Var) -> Var:
    """The queries of all heads that share a head of keys, as more queries of one head."""
    if min(q.ndim, k.ndim, v.ndim) < 3:
        raise ShapeError(f"{name}: enable_gqa needs heads on the third axis from the end")
    heads, shared = q.shape[-3], k.shape[-3]
    if not isinstance(heads, int) or not isinstance(shared, int):
        raise ShapeError(f"{name}: with enable_gqa the numbers of heads, {heads} and {shared}, must be known")
    if v.shape[-3] != shared or shared == 0 or heads % shared:
        raise ShapeError(
            f"{name}: {heads} heads of queries cannot share {shared} heads of keys, {v.shape[-3]} of values"
        )
    return reshape(q, (*q.shape[:-3], shared, heads // shared * q.shape[-2], q.shape[-1]))
