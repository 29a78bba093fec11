"""Dropout: elements set to zero at random, one entry of a recording each.

The mask is made of random bits that depend on a key and a counter alone, so gradients compute it
again instead of keeping it.
"""

from __future__ import annotations

from flambeau.dtypes import float32
from flambeau.errors import ShapeError
from flambeau.graph.builder import Var
from flambeau.primitives.elementwise import add, cast, gt, lt, mul, neg, reciprocal, rsqrt, select, sub
from flambeau.primitives.randomness import Part, uniform
from flambeau.primitives.views import broadcast_to, shape_text

SELU_AT_MINUS_INFINITY = -1.7580993408473766


def _kept(key: Var, counter: Var, x: Var, p: Var, channels: int, part: Part | None = None) -> Var:
    """Where elements stay: drawn for each, or for each channel of so many axes of space."""
    lead = x.ndim - channels
    shape = tuple([n if i < lead else 1 for i, n in enumerate(x.shape)])
    drawn = uniform(key, counter, shape, float32, part)
    return broadcast_to(lt(drawn, cast(sub(1.0, p), float32)), x.shape)


def dropout(key: Var, counter: Var, x: Var, p: Var, space: int, part: Part | None = None) -> Var:
    """``x`` with elements set to 0 with probability ``p`` (float64), the others divided by ``1 - p``.

    ``space`` is the number of last axes that share one draw.  ``x`` may be a ``part`` of what is drawn for.
    """
    keep = sub(1.0, p)
    some = gt(keep, 0)
    scale = select(some, reciprocal(select(some, keep, 1.0)), 0.0)
    return select(_kept(key, counter, x, p, space, part), mul(x, cast(scale, x.dtype)), 0.0)


def alpha_dropout(key: Var, counter: Var, x: Var, p: Var, space: int) -> Var:
    """Dropout to the value that SELU has at -infinity, then scaled so that mean and variance stay.

    Source: G. Klambauer et al., "Self-normalizing neural networks", 2017.
    """
    low = SELU_AT_MINUS_INFINITY
    variance = mul(sub(1.0, p), add(mul(p, low * low), 1.0))
    some = gt(variance, 0)
    scale = select(some, rsqrt(select(some, variance, 1.0)), 0.0)
    shift = mul(mul(neg(scale), p), low)
    y = select(_kept(key, counter, x, p, space), x, low)
    return add(mul(y, cast(scale, x.dtype)), cast(shift, x.dtype))


_SPACE = {1: "L", 2: "H, W", 3: "D, H, W"}


def channel_dropout(key: Var, counter: Var, x: Var, p: Var, space: int, name: str) -> Var:
    """``dropout`` of whole channels, of tensors with ``space`` axes behind the channels."""
    if x.ndim not in (space + 1, space + 2):
        places = _SPACE[space]
        raise ShapeError(
            f"{name}: an input of shape (N, C, {places}) or (C, {places}) is needed, "
            f"not {shape_text(x.shape)}"
        )
    return dropout(key, counter, x, p, space)
