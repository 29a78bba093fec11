"""Builders of layers that give elements another shape."""

from __future__ import annotations

from flambeau.errors import ShapeError
from flambeau.graph.builder import Var
from flambeau.primitives.views import infer_minus_one, normalize_axis, product, reshape, shape_text


def flatten(x: Var, start: int, end: int) -> Var:
    """The axes from ``start`` to ``end`` (inclusive) as one."""
    if x.ndim == 0:
        return reshape(x, (1,))
    first, last = normalize_axis(start, x.ndim, "Flatten"), normalize_axis(end, x.ndim, "Flatten")
    if first > last:
        raise ShapeError(f"Flatten: axis {start} comes after axis {end} in shape {shape_text(x.shape)}")
    return reshape(x, (*x.shape[:first], product(x.shape[first : last + 1]), *x.shape[last + 1 :]))


def unflatten(x: Var, axis: int, sizes: tuple[int, ...]) -> Var:
    """The axis as several."""
    at = normalize_axis(axis, x.ndim, "Unflatten")
    try:
        several = infer_minus_one(sizes, x.shape[at])
        fits = product(several) == x.shape[at]
    except ShapeError:
        fits = False
    if not fits:
        raise ShapeError(
            f"Unflatten: axis {axis} of shape {shape_text(x.shape)} cannot be divided into {sizes}"
        )
    return reshape(x, (*x.shape[:at], *several, *x.shape[at + 1 :]))
