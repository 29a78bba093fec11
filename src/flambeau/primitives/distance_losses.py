"""Builders of losses that compare examples with each other, one entry of a recording each."""

from __future__ import annotations

from flambeau.errors import ShapeError
from flambeau.graph.builder import Var
from flambeau.primitives.composites import sum_precision
from flambeau.primitives.elementwise import add, cast, div, eq, minimum, mul, neg, select, sqrt, square, sub
from flambeau.primitives.losses import clamped, pair, reduced, require_floating
from flambeau.primitives.similarity import pairwise_distance
from flambeau.primitives.views import reduce_sum, shape_text

_TINY = 1e-12  # what PyTorch adds to squared lengths


def same_shapes(name: str, *operands: Var) -> list[Var]:
    """Operands in the precision of computation; raises where their shapes differ."""
    require_floating(name, operands[0])
    first = operands[0].shape
    if any(x.shape != first for x in operands):
        listed = ", ".join([shape_text(x.shape) for x in operands])
        raise ShapeError(f"{name}: tensors of one shape are needed, not {listed}")
    wide = sum_precision(operands[0].dtype)
    return [cast(x, wide) for x in operands]


def cosine_embedding_loss(x1: Var, x2: Var, target: Var, margin: Var, reduction: str) -> Var:
    """``1 - cos`` where the target is 1, how far ``cos`` is above ``margin`` where it is -1."""
    name = "cosine_embedding_loss"
    a, b = same_shapes(name, x1, x2)
    if a.ndim not in (1, 2) or target.shape != a.shape[:-1]:
        raise ShapeError(
            f"{name}: inputs of shape (N, D) and targets of shape (N,) are needed, or (D,) and (), "
            f"not {shape_text(x1.shape)} and {shape_text(target.shape)}"
        )
    last = (a.ndim - 1,)
    squares = mul(add(reduce_sum(square(a), last), _TINY), add(reduce_sum(square(b), last), _TINY))
    cosine = div(reduce_sum(mul(a, b), last), sqrt(squares))
    apart = clamped(sub(cosine, cast(margin, a.dtype)))
    loss = add(select(eq(target, 1), sub(1.0, cosine), 0.0), select(eq(target, -1), apart, 0.0))
    return reduced(loss, reduction, x1.dtype)


def margin_ranking_loss(x1: Var, x2: Var, target: Var, margin: Var, reduction: str) -> Var:
    """How much ``x1 - x2`` falls short of ``margin``; ``x2 - x1`` where ``target`` is -1."""
    a, b, t = same_shapes("margin_ranking_loss", x1, x2, target)
    loss = clamped(add(neg(mul(t, sub(a, b))), cast(margin, a.dtype)))
    return reduced(loss, reduction, x1.dtype)


def triplet_margin_loss(
    anchor: Var, positive: Var, negative: Var, margin: Var, p: float, eps: float, swap: bool, reduction: str
) -> Var:
    """How much closer than the positive example by ``margin`` the negative one is to the anchor."""
    name = "triplet_margin_loss"
    a, b, c = same_shapes(name, anchor, positive, negative)
    if not a.ndim:
        raise ShapeError(f"{name}: inputs with an axis of features are needed, not of shape ()")
    near, far = (pairwise_distance(a, x, p, eps, False, name) for x in (b, c))
    if swap:
        far = minimum(far, pairwise_distance(b, c, p, eps, False, name))
    return reduced(clamped(add(sub(near, far), cast(margin, a.dtype))), reduction, anchor.dtype)


def margin_of_distances(near: Var, far: Var, margin: Var, reduction: str) -> Var:
    """How much larger than ``far`` less ``margin`` the distances ``near`` are."""
    a, b = pair("triplet_margin_with_distance_loss", near, far)
    return reduced(clamped(add(sub(a, b), cast(margin, a.dtype))), reduction, near.dtype)


def margin_of_swapped(near: Var, far: Var, other: Var, margin: Var, reduction: str) -> Var:
    """The same with the smaller of two distances to the negative example."""
    return margin_of_distances(near, minimum(far, other), margin, reduction)
