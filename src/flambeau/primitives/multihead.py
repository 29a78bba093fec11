"""Attention with many heads: the projections around it, and its masks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from flambeau.dtypes import DType, bool_
from flambeau.errors import DTypeError, ShapeError
from flambeau.graph.builder import Var
from flambeau.graph.types import Shape, Size
from flambeau.primitives.attention import Masks, attend, positions
from flambeau.primitives.attention_blocks import attended
from flambeau.primitives.composites import mean
from flambeau.primitives.contract import dot_general
from flambeau.primitives.elementwise import add, logical_not
from flambeau.primitives.indexing import concatenate, pad_axis, slice_axis
from flambeau.primitives.splitting import chunk
from flambeau.primitives.views import broadcast, expand_dims, reshape, shape_text, squeeze, transpose


class Heads(NamedTuple):
    """How a ``MultiheadAttention`` works, and which operands it is given.

    ``shared``: 3 where query, key and value are one tensor, 2 where key and value are, else 1.
    ``packed``: one matrix projects all three.  ``extra``: there are ``bias_k`` and ``bias_v``.
    """

    name: str
    heads: int
    batch_first: bool
    shared: int
    packed: bool
    bias: bool
    extra: bool
    zero: bool
    padded: bool
    masked: bool
    causal: bool
    dropped: bool
    weights: bool
    averaged: bool


def _project(x: Var, weight: Var, bias: Var | None) -> Var:
    z = dot_general(x, weight, ((x.ndim - 1,), (1,)))
    return z if bias is None else add(z, bias)


def _parts(x: Var, count: int) -> list[Var]:
    """``count`` equal parts of the last axis."""
    size = x.shape[-1]
    assert isinstance(size, int)
    return list(chunk(x, size // count, x.ndim - 1))


def _projected(plan: Heads, inputs: Sequence[Var], it: Iterator[Var]) -> list[Var]:
    """Queries, keys and values: (N, positions, E) or (positions, N, E)."""
    weights = [next(it) for _ in range(1 if plan.packed else 3)]
    bias = next(it) if plan.bias else None
    if plan.packed and plan.shared == 3:
        return _parts(_project(inputs[0], weights[0], bias), 3)
    rows = weights[0].shape[0]
    assert isinstance(rows, int)
    size = rows // 3 if plan.packed else rows
    biases: Sequence[Var | None] = (None, None, None) if bias is None else chunk(bias, size, 0)
    if plan.packed and plan.shared == 2:
        rest = None if bias is None else slice_axis(bias, 0, size, 3 * size)
        both = _project(inputs[1], slice_axis(weights[0], 0, size, 3 * size), rest)
        return [_project(inputs[0], slice_axis(weights[0], 0, 0, size), biases[0]), *_parts(both, 2)]
    each = chunk(weights[0], size, 0) if plan.packed else weights
    at = {3: (0, 0, 0), 2: (0, 1, 1), 1: (0, 1, 2)}[plan.shared]
    return [_project(inputs[i], w, b) for i, w, b in zip(at, each, biases, strict=True)]


def _checked(plan: Heads, inputs: Sequence[Var], widths: Sequence[Size]) -> None:
    names = ("query", "key", "value")
    first = inputs[0]
    for what, x, width in zip(names, inputs, widths, strict=False):
        if x.ndim != first.ndim or x.ndim not in (2, 3) or x.shape[-1] != width:
            lead = "batch, positions" if plan.batch_first else "positions, batch"
            raise ShapeError(
                f"{plan.name}: the {what} must have shape ({lead}, {width}) or (positions, {width}), "
                f"as many axes as the others, not {shape_text(x.shape)}"
            )
        if x.dtype is not first.dtype:
            raise DTypeError(f"{plan.name}: the {what} is {x.dtype}, the query {first.dtype}")
    if len(inputs) == 3 and inputs[1].shape[:-1] != inputs[2].shape[:-1]:
        raise ShapeError(
            f"{plan.name}: keys {shape_text(inputs[1].shape)} and values {shape_text(inputs[2].shape)} "
            "differ in their positions or batch"
        )


def multihead(*operands: Var | Heads) -> Var | tuple[Var, ...]:
    """The builder of ``MultiheadAttention``: the output, and the weights where asked for.

    Operands: the different ones of query, key and value; the input projections and their bias; the
    output projection and its bias; bias_k and bias_v; the key padding mask and the attention mask
    (bool: True may not be seen); dropout's key, counter and probability.
    """
    *given, plan = operands
    assert isinstance(plan, Heads)
    it = iter([v for v in given if isinstance(v, Var)])
    inputs = [next(it) for _ in range(4 - plan.shared)]
    projections = [next(it) for _ in range((1 if plan.packed else 3) + plan.bias)]
    out, out_bias = next(it), next(it) if plan.bias else None
    size = out.shape[0]
    widths = (size, size, size) if plan.packed else [w.shape[1] for w in projections[:3]]
    _checked(plan, inputs, widths)
    if inputs[0].dtype is not out.dtype:
        raise DTypeError(
            f"{plan.name}: the input is {inputs[0].dtype}, the weights are {out.dtype}: cast one of them"
        )
    batched = inputs[0].ndim == 3
    along = 1 if plan.batch_first or not batched else 0  # the axis of positions
    if not batched:
        inputs = [expand_dims(x, 0) for x in inputs]
    q, k, v = _projected(plan, inputs, iter(projections))
    if q.shape[1 - along] != k.shape[1 - along]:
        raise ShapeError(
            f"{plan.name}: {q.shape[1 - along]} sequences of queries, {k.shape[1 - along]} of keys"
        )
    sizes = (q.shape[1 - along], plan.heads, q.shape[along], k.shape[along])
    if plan.extra:
        k, v = (_appended(x, next(it), along) for x in (k, v))
    if plan.zero:
        k, v = (pad_axis(x, along, 0, 1) for x in (k, v))
    masks = _head_masks(plan, it, sizes, batched, k.shape[along], q.dtype)
    q, k, v = (_split(x, plan.heads, along) for x in (q, k, v))
    width = q.shape[-1]
    assert isinstance(width, int)
    scale, drop = 1.0 / math.sqrt(width), list(it)
    weights: Var | None = None
    if plan.weights:
        made, weights = attend(q, k, v, masks, scale, drop)
    else:
        made = attended(q, k, v, masks, scale, drop)
    order = (0, 2, 1, 3) if along == 1 else (2, 0, 1, 3)
    made = transpose(made, order)
    y = _project(reshape(made, (*made.shape[:2], size)), out, out_bias)
    if not batched:
        y = squeeze(y, (0,))
    if weights is None:
        return y
    if plan.averaged:
        weights = mean(weights, (1,))
    return y, weights if batched else squeeze(weights, (0,))


def _split(x: Var, heads: int, along: int) -> Var:
    """(N, heads, positions, features of a head)."""
    size = x.shape[-1]
    assert isinstance(size, int)
    x = reshape(x, (*x.shape[:-1], heads, size // heads))
    return transpose(x, (0, 2, 1, 3) if along == 1 else (1, 2, 0, 3))


def _appended(x: Var, row: Var, along: int) -> Var:
    """``x`` with one more position, the same for all sequences."""
    shape = list(x.shape)
    shape[along] = 1
    return concatenate([x, broadcast(reshape(row, (row.shape[-1],)), tuple(shape), (2,))], along)


def _head_masks(
    plan: Heads, it: Iterator[Var], sizes: tuple[Size, ...], batched: bool, keys: Size, dtype: DType
) -> Masks:
    """The masks of the scores, (N, heads, queries, keys); keys that the layer adds can be seen."""
    batch, heads, queries, given = sizes
    added: list[Var] = []
    forbidden: list[Var] = []
    masks = []
    if plan.padded:
        mask = next(it)
        wanted: Shape = (batch, given) if batched else (given,)
        _check_mask(plan.name, "key_padding_mask", mask, [wanted], dtype)
        masks.append(reshape(mask, (batch, 1, 1, given)))
    if plan.masked:
        mask = next(it)
        wanted = (queries, given)
        _check_mask(plan.name, "attn_mask", mask, [wanted, (batch * heads, *wanted)], dtype)
        masks.append(reshape(mask, (batch, heads, *wanted) if mask.ndim == 3 else (1, 1, *wanted)))
    order = positions(queries, keys) if plan.causal else None
    if order is not None and keys != given:
        hidden = logical_not(positions(queries, given).causal())
        masks.append(reshape(hidden, (1, 1, queries, given)))
        order = None
    for mask in masks:
        forbidding = mask.dtype is bool_
        if keys != given:
            mask = pad_axis(mask, 3, 0, keys - given, False if forbidding else 0.0)
        (forbidden if forbidding else added).append(mask)
    return Masks((), tuple(added), tuple(forbidden), order)


def _check_mask(name: str, what: str, mask: Var, shapes: Sequence[Shape], dtype: DType) -> None:
    if mask.shape not in shapes:
        listed = " or ".join(shape_text(s) for s in shapes)
        raise ShapeError(f"{name}: {what} must have shape {listed}, not {shape_text(mask.shape)}")
    if mask.dtype is not bool_ and mask.dtype is not dtype:
        raise DTypeError(f"{name}: {what} must be bool or {dtype}, not {mask.dtype}")
