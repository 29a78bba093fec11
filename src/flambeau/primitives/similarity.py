"""Builders of layers that compare vectors: one entry of a recording each."""

from __future__ import annotations

from flambeau.errors import DTypeError, ShapeError
from flambeau.graph.builder import Var
from flambeau.primitives.elementwise import add, cast, div, harmonize, maximum, mul, sub
from flambeau.primitives.norms import vector_norm
from flambeau.primitives.views import broadcast_shapes, normalize_axis, reduce_sum, require_float, shape_text


def _matched(name: str, x1: Var, x2: Var) -> tuple[Var, Var]:
    for x in (x1, x2):
        require_float(name, x)
    if x1.dtype is not x2.dtype:
        raise DTypeError(f"{name}: the inputs are {x1.dtype} and {x2.dtype}: cast one of them")
    try:
        broadcast_shapes(name, x1.shape, x2.shape)
    except ShapeError:
        raise ShapeError(
            f"{name}: shapes {shape_text(x1.shape)} and {shape_text(x2.shape)} do not fit each other"
        ) from None
    a, b = harmonize(name, x1, x2)
    return a, b


def cosine_similarity(x1: Var, x2: Var, axis: int, eps: float, name: str) -> Var:
    """The cosine of the angle between vectors along ``axis``; lengths count as at least ``eps``."""
    a, b = _matched(name, x1, x2)
    at = normalize_axis(axis, a.ndim, name)
    units = [div(x, maximum(vector_norm(x, (at,), keepdims=True), eps)) for x in (a, b)]
    return reduce_sum(mul(*units), (at,))


def pairwise_distance(x1: Var, x2: Var, p: float, eps: float, keepdim: bool, name: str) -> Var:
    """The ``p``-norm of ``x1 - x2 + eps`` along the last axis."""
    a, b = _matched(name, x1, x2)
    if not a.ndim:
        raise ShapeError(f"{name}: vectors of shape (..., D) are needed, not numbers")
    difference = add(sub(a, b), eps)
    return cast(vector_norm(difference, (a.ndim - 1,), keepdim, p), a.dtype)
