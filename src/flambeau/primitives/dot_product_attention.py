"""``scaled_dot_product_attention``: what it is given, and the queries that share keys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from flambeau.dtypes import DType, bool_
from flambeau.errors import DTypeError, ShapeError
from flambeau.graph.builder import Var
from flambeau.graph.types import Shape
from flambeau.primitives.attention import Masks, attend, positions
from flambeau.primitives.attention_blocks import attended, by_blocks, is_long
from flambeau.primitives.views import broadcast_shapes, broadcast_to, reshape, shape_text


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
        broadcast_to(mask, shape, f"{name}: the mask")
        (allowed if mask.dtype is bool_ else added).append(mask)
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
    given_masks = [next(it)] if options.masked else []
    scale: Var | float
    if options.scaled:
        scale = next(it)
    elif isinstance(width, int):
        scale = 1.0 / math.sqrt(max(width, 1))
    else:
        raise ShapeError(f"{name}: queries have {width} features: how many must be known, or a scale given")
    drop = list(it)
    order = positions(queries, keys) if options.causal else None
    if not options.grouped:
        lead = broadcast_shapes(name, q.shape[:-2], k.shape[:-2])
        masks = _masks(name, given_masks, (*lead, queries, keys), q.dtype)
        return attended(q, k, v, masks._replace(causal=order), scale, drop)
    _check_heads(name, q, k, v)
    masks = _masks(name, given_masks, (*q.shape[:-1], keys), q.dtype)._replace(causal=order)
    return _grouped(q, k, v, masks, scale, drop)


def _check_heads(name: str, q: Var, k: Var, v: Var) -> None:
    if min(q.ndim, k.ndim, v.ndim) < 3:
        raise ShapeError(f"{name}: enable_gqa needs heads on the third axis from the end")
    heads, shared = q.shape[-3], k.shape[-3]
    if not isinstance(heads, int) or not isinstance(shared, int):
        raise ShapeError(f"{name}: with enable_gqa the numbers of heads, {heads} and {shared}, must be known")
    if v.shape[-3] != shared or shared == 0 or heads % shared:
        raise ShapeError(
            f"{name}: {heads} heads of queries cannot share {shared} heads of keys, {v.shape[-3]} of values"
        )


def _grouped(q: Var, k: Var, v: Var, masks: Masks, scale: Var | float, drop: Sequence[Var]) -> Var:
    """The results where several heads of queries share one of keys.

    Of short sequences these are more queries of one head, of long ones one more axis to walk along.
    """
    heads, shared = q.shape[-3], k.shape[-3]
    assert isinstance(heads, int) and isinstance(shared, int)
    each = heads // shared

    def by_group(x: Var) -> Var:
        """With the heads as an axis of those that share, and one of groups of them."""
        own = x.shape[-3] if x.ndim > 2 else 1
        split = (shared, each) if own == heads else (1, 1)
        return reshape(x, (*x.shape[:-3], *split, *x.shape[-2:]))

    if is_long(q, k):
        allowed, added = (tuple(map(by_group, kind)) for kind in (masks.allowed, masks.added))
        split = (*q.shape[:-3], shared, each, *q.shape[-2:])
        k, v = (reshape(x, (*x.shape[:-2], 1, *x.shape[-2:])) for x in (k, v))
        found = Masks(allowed, added, causal=masks.causal)
        made = by_blocks(reshape(q, split), k, v, found, scale, drop)
        return reshape(made, (*made.shape[:-4], heads, *made.shape[-2:]))
    rows = each * q.shape[-2]
    keys = k.shape[-2]

    def more_rows(mask: Var) -> Var:
        return reshape(broadcast_to(mask, (*q.shape[:-1], keys)), (*q.shape[:-3], shared, rows, keys))

    if masks.causal is not None:
        masks = Masks((*masks.allowed, masks.causal.causal()), masks.added)
    allowed, added = (tuple(map(more_rows, kind)) for kind in (masks.allowed, masks.added))
    queries = reshape(q, (*q.shape[:-3], shared, rows, q.shape[-1]))
    made, _ = attend(queries, k, v, Masks(allowed, added), scale, drop)
    return reshape(made, (*q.shape[:-1], v.shape[-1]))
