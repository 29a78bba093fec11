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

from flambeau.dtypes import int64
from flambeau.graph.builder import Var
from flambeau.graph.types import Size
from flambeau.primitives.contract import dot_general, matmul
from flambeau.primitives.control import stop_gradient
from flambeau.primitives.dropout import dropout
from flambeau.primitives.elementwise import add, div, eq, exp, ge, logical_and, logical_not, mul, select, sub
from flambeau.primitives.randomness import Part
from flambeau.primitives.reduce import reduce_max
from flambeau.primitives.views import broadcast, broadcast_to, iota, keep_dims, reduce_sum, transpose


class Positions(NamedTuple):
    """Where queries and keys stand in their sequences: two vectors of int64."""

    queries: Var
    keys: Var

    def causal(self) -> Var:
        """Which keys each query may see: those up to its own position."""
        shape = (*self.queries.shape, *self.keys.shape)
        return ge(broadcast(self.queries, shape, (0,)), broadcast(self.keys, shape, (1,)))


def positions(queries: Size, keys: Size) -> Positions:
    """Both counted from 0."""
    return Positions(iota((queries,), 0, int64), iota((keys,), 0, int64))


def masked_softmax(scores: Var) -> Var:
    """Exponentials that sum to 1 along the last axis; zeros where all scores are -inf."""
    last = (scores.ndim - 1,)
    peak = keep_dims(reduce_max(stop_gradient(scores), last), scores.shape, last)
    weights = exp(sub(scores, select(eq(peak, -math.inf), 0.0, peak)))
    total = keep_dims(reduce_sum(weights, last), scores.shape, last)
    return div(weights, select(eq(total, 0), 1.0, total))


class Masks(NamedTuple):
    """What may be seen: tensors that broadcast to the scores, and with ``causal`` no later keys.

    True means seen in ``allowed`` and not seen in ``hidden``; what is ``added`` is added to the scores.
    """

    allowed: tuple[Var, ...] = ()
    added: tuple[Var, ...] = ()
    hidden: tuple[Var, ...] = ()
    causal: Positions | None = None

    def apply(self, scores: Var) -> Var:
        """The scores, -inf where a key may not be seen."""
        shape = scores.shape
        for bias in self.added:
            scores = add(scores, broadcast_to(bias, shape))
        allowed = [broadcast_to(mask, shape) for mask in self.allowed]
        allowed += [logical_not(broadcast_to(mask, shape)) for mask in self.hidden]
        if self.causal is not None:
            allowed.append(broadcast_to(self.causal.causal(), shape))
        if not allowed:
            return scores
        seen = allowed[0]
        for mask in allowed[1:]:
            seen = logical_and(seen, mask)
        return select(seen, scores, -math.inf)


def _scores(q: Var, k: Var) -> Var:
    """The products of all queries with all keys."""
    if q.shape[:-2] == k.shape[:-2]:
        last, lead = (q.ndim - 1,), tuple(range(q.ndim - 2))
        return dot_general(q, k, (last, last), (lead, lead))
    return matmul(q, transpose(k, (*range(k.ndim - 2), k.ndim - 1, k.ndim - 2)))


def attend(
    q: Var,
    k: Var,
    v: Var,
    masks: Masks,
    scale: Var | float,
    drop: Sequence[Var],
    part: Part | None = None,
) -> tuple[Var, Var]:
    """The results (..., queries, features) and the weights (..., queries, keys).

    ``drop`` holds nothing, or dropout's key, counter and probability; ``part`` says which part of the
    weights that dropout draws for these are, if not all.
    """
    weights = masked_softmax(masks.apply(_scores(mul(q, scale), k)))
    if drop:
        key, counter, p = drop
        weights = dropout(key, counter, weights, p, 0, part)
    return matmul(weights, v), weights
