"""Attention over long sequences, block by block: no more than one block's rows of weights ever exist.

A loop goes over batch entries and heads, and one inside it over blocks of queries.  Each block sees
all of its keys at once and computes what ``attend`` would, so that its bits are the same; its
gradient computes the weights again.  Gradients of keys and values add up in the order of blocks.
Where queries see no later keys, a run of blocks takes but the keys up to its end.
Source: M. Rabe, C. Staats, "Self-attention does not need O(n^2) memory", 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, islice
from typing import NamedTuple

from flambeau.dtypes import int64
from flambeau.graph.builder import Var
from flambeau.graph.types import Size, TensorType
from flambeau.primitives.attention import Masks, Positions, attend, positions
from flambeau.primitives.control_flow import call
from flambeau.primitives.elementwise import add, mul
from flambeau.primitives.indexing import concatenate, slice_axis
from flambeau.primitives.randomness import Part
from flambeau.primitives.scan import scan
from flambeau.primitives.sizes import size_value
from flambeau.primitives.splitting import split
from flambeau.primitives.subgraphs import build
from flambeau.primitives.views import broadcast_shapes, constant, iota, product, reshape, squeeze

BLOCK = 64  # queries
RUNS = 8  # runs of blocks that take the keys up to their end
LONG = 1 << 17  # scores of one head from which on blocks pay


def attended(q: Var, k: Var, v: Var, masks: Masks, scale: Var | float, drop: Sequence[Var]) -> Var:
    """The results of ``attend``: of short sequences, or unknown lengths, in one piece, else by blocks."""
    if is_long(q, k):
        return by_blocks(q, k, v, masks, scale, drop)
    return attend(q, k, v, masks, scale, drop)[0]


def is_long(q: Var, k: Var) -> bool:
    """Whether blocks pay; not where the numbers of queries and keys are unknown."""
    queries, keys = q.shape[-2], k.shape[-2]
    known = isinstance(queries, int) and isinstance(keys, int)
    return known and queries >= 2 * BLOCK and queries * keys >= LONG


class _Operands(NamedTuple):
    """What the body of a loop is given.

    ``tensors``: queries, keys, values and masks, with the leading axes still to be walked along.
    ``scalars``: a scale, and dropout's key, counter and probability.
    ``places``: positions of queries and of keys, where it matters which come first.
    ``rows``: where dropout numbers its elements, the number of the first weight of each query.
    ``entries``: what to add to it for each entry along a leading axis; ``at``: the sum so far.
    """

    tensors: tuple[Var, ...]
    scalars: tuple[Var, ...] = ()
    places: tuple[Var, ...] = ()
    rows: tuple[Var, ...] = ()
    entries: tuple[Var, ...] = ()
    at: tuple[Var, ...] = ()

    def regrouped(self, flat: Sequence[Var]) -> _Operands:
        """As many operands of each kind, others."""
        it = iter(flat)
        return _Operands(*[tuple(islice(it, len(group))) for group in self])


class _Kinds(NamedTuple):
    """What operands mean: how many masks of which kind there are; the scale, where it is no operand.

    ``keys``: how many weights there are for each query; a run of blocks may have fewer.
    """

    masks: tuple[int, ...]
    scale: float | None
    keys: Size


def by_blocks(q: Var, k: Var, v: Var, masks: Masks, scale: Var | float, drop: Sequence[Var]) -> Var:
    """The results of ``attend``; the numbers of queries and keys must be known."""
    seen = broadcast_shapes("attention", q.shape[:-2], k.shape[:-2])
    lead = broadcast_shapes("attention", seen, v.shape[:-2])
    ndim = len(lead) + 2
    tensors = tuple([_aligned(x, ndim) for x in (q, k, v, *masks.allowed, *masks.added, *masks.hidden)])
    queries, keys = q.shape[-2], k.shape[-2]
    scalars = (*([scale] if isinstance(scale, Var) else []), *drop)
    rows: tuple[Var, ...] = ()
    entries: tuple[Var, ...] = ()
    at: tuple[Var, ...] = ()
    if drop:
        rows = (mul(iota((queries,), 0, int64), size_value(keys)),)
        sizes = (*(1,) * (len(lead) - len(seen)), *seen, queries, keys)
        steps = [size_value(product(sizes[i + 1 :])) for i in range(len(lead))]
        entries = tuple([mul(iota((n,), 0, int64), step) for n, step in zip(sizes, steps, strict=False)])
        at = (constant(0, int64),)
    places = () if masks.causal is None else tuple(positions(queries, keys))
    kinds = _Kinds(tuple(map(len, masks[:3])), None if isinstance(scale, Var) else scale, keys)
    made = _entries(kinds, _Operands(tensors, scalars, places, rows, entries, at))
    return reshape(made, (*lead, queries, v.shape[-1]))


def _aligned(x: Var, ndim: int) -> Var:
    """``x`` with axes of size 1 in front."""
    return x if x.ndim == ndim else reshape(x, (*(1,) * (ndim - x.ndim), *x.shape))


def _looped(
    length: Size, along: Sequence[Sequence[bool]], o: _Operands, body: Callable[[_Operands], Var]
) -> Var:
    """What ``body`` makes of each step along the first axis of the operands marked in ``along``, stacked."""
    flags = [flag for group in along for flag in group]
    flat = [x for group in o for x in group]
    fixed = [x for x, moves in zip(flat, flags, strict=True) if not moves]
    moving = [x for x, moves in zip(flat, flags, strict=True) if moves]

    def step(*given: Var) -> list[Var]:
        outside, inside = iter(given[: len(fixed)]), iter(given[len(fixed) :])
        return [body(o.regrouped([next(inside if moves else outside) for moves in flags]))]

    types = [*[x.type for x in fixed], *[TensorType(x.shape[1:], x.dtype) for x in moving]]
    return scan(build(types, step), (len(fixed), 0), length, False, *fixed, *moving)[0]


def _entries(kinds: _Kinds, o: _Operands) -> Var:
    """The results for each entry along the first of the leading axes, if there are any left."""
    if o.tensors[0].ndim == 2:
        return _runs(kinds, o)
    moves = [x.shape[0] != 1 for x in o.tensors]
    counts = [i == 0 and x.shape[0] != 1 for i, x in enumerate(o.entries)]
    tensors = tuple([x if flag else squeeze(x, (0,)) for x, flag in zip(o.tensors, moves, strict=True)])
    entries = o.entries
    if entries and not counts[0]:
        entries = (squeeze(entries[0], (0,)), *entries[1:])
    o = o._replace(tensors=tensors, entries=entries)

    def entry(o: _Operands) -> Var:
        at = tuple([add(at, o.entries[0]) for at in o.at])
        return _entries(kinds, o._replace(entries=o.entries[1:], at=at))

    if not any(moves):
        return entry(o)
    still = [[False] * len(group) for group in (o.scalars, o.places, o.rows)]
    length = next(x.shape[0] for x, flag in zip(tensors, moves, strict=True) if flag)
    return _looped(length, [moves, *still, counts, [False] * len(o.at)], o, entry)


def _runs(kinds: _Kinds, o: _Operands) -> Var:
    """The results of one head: runs of whole blocks, then the queries that are left over."""
    queries, keys = o.tensors[0].shape[0], o.tensors[1].shape[0]
    assert isinstance(queries, int) and isinstance(keys, int)
    blocks, rest = divmod(queries, BLOCK)
    runs = min(RUNS, blocks) if o.places else 1
    ends = [blocks * (i + 1) // runs * BLOCK for i in range(runs)]
    sizes = [b - a for a, b in zip([0, *ends], ends, strict=False)] + ([rest] if rest else [])

    def parts(x: Var) -> Sequence[Var]:
        """What each run has of something that is there for each query."""
        return split(x, sizes, 0) if x.shape[0] == queries else [x] * len(sizes)

    q, k, v, *masks = o.tensors
    each = zip(
        sizes,
        accumulate(sizes),
        parts(q),
        zip(*map(parts, masks), strict=True) if masks else [()] * len(sizes),
        parts(o.places[0]) if o.places else [None] * len(sizes),
        parts(o.rows[0]) if o.rows else [None] * len(sizes),
        strict=True,
    )
    made = []
    for size, end, own, seen, place, row in each:
        limit = min(end, keys) if o.places else keys
        columns = [x if x.shape[1] == 1 else _until(x, 1, limit) for x in seen]
        run = o._replace(
            tensors=(own, _until(k, 0, limit), _until(v, 0, limit), *columns),
            places=() if place is None else (place, _until(o.places[1], 0, limit)),
            rows=() if row is None else (row,),
        )
        made.append(_run(kinds, size, run))
    return made[0] if len(made) == 1 else concatenate(made, 0)


def _until(x: Var, axis: int, limit: int) -> Var:
    return x if x.shape[axis] == limit else slice_axis(x, axis, 0, limit)


def _run(kinds: _Kinds, size: int, o: _Operands) -> Var:
    """The results of consecutive queries, so many."""

    def block(o: _Operands) -> Var:
        flat = [x for group in o for x in group]

        def function(*xs: Var) -> list[Var]:
            return [_block(kinds, o.regrouped(xs))]

        return call(build([x.type for x in flat], function), *flat)[0]

    if size <= BLOCK:
        return block(o)
    count = size // BLOCK

    def cut(x: Var) -> Var:
        return reshape(x, (count, BLOCK, *x.shape[1:]))

    moves = [i == 0 or (i > 2 and x.shape[0] != 1) for i, x in enumerate(o.tensors)]
    places = [True, False][: len(o.places)]
    along = [moves, [False] * len(o.scalars), places, [True] * len(o.rows), [], [False] * len(o.at)]
    flat = [x for group in o for x in group]
    marks = [flag for group in along for flag in group]
    o = o.regrouped([cut(x) if flag else x for x, flag in zip(flat, marks, strict=True)])
    made = _looped(count, along, o, block)
    return reshape(made, (size, made.shape[-1]))


def _block(kinds: _Kinds, o: _Operands) -> Var:
    """The results of one block's queries."""
    q, k, v, *masks = o.tensors
    scalars = iter(o.scalars)
    scale = next(scalars) if kinds.scale is None else kinds.scale
    drop = list(scalars)
    part = None
    if drop:
        first = reshape(slice_axis(o.rows[0], 0, 0, 1), ())
        part = Part(add(o.at[0], first), kinds.keys)
    places = Positions(*o.places) if o.places else None
    it = iter(masks)
    allowed, added, hidden = [tuple(islice(it, count)) for count in kinds.masks]
    return attend(q, k, v, Masks(allowed, added, hidden, places), scale, drop, part)[0]
