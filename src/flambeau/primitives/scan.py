"""``scan``: a function applied along an axis, from each step to the next.

Its gradient is a scan in the other direction over what each step kept; products that add up over
the steps are taken once, after it.  A step's residuals are
outputs of the scan like any other, which is why gradients of every order have the same form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.errors import OperandError, ShapeError
from flambeau.graph.builder import Var, emit_all
from flambeau.graph.graph import Graph
from flambeau.graph.interpreter import interpret
from flambeau.graph.primitive import Lowering, Primitive
from flambeau.graph.types import Size, TensorType
from flambeau.primitives.control_flow import (
    Tangents,
    Vars,
    batch_size,
    check_same_types,
    given,
    present,
    scatter_list,
    with_axis,
)
from flambeau.primitives.elementwise import add
from flambeau.primitives.hoisting import Term, terms, total
from flambeau.primitives.subgraphs import (
    RULES,
    batched_graph,
    build,
    check_operands,
    derived,
    floating,
    inline,
    jvp_graph,
)
from flambeau.primitives.views import move_axis, shape_text, zeros_like

Split = tuple[int, int]


def _infer(
    *operands: TensorType, body: Graph, split: Split, length: Size, reverse: bool
) -> tuple[TensorType, ...]:
    consts, carry = split
    steps = []
    for x in operands[consts + carry :]:
        if not x.shape or x.shape[0] != length:
            raise ShapeError(
                f"scan: {length} steps need a first axis of that size, not shape {shape_text(x.shape)}"
            )
        steps.append(TensorType(x.shape[1:], x.dtype))
    check_operands("scan", body, [*operands[: consts + carry], *steps])
    made = body.output_types
    start = operands[consts : consts + carry]
    if len(made) < carry:
        raise OperandError(
            f"scan: the body gives {len(made)} tensors, fewer than the {carry} that are carried"
        )
    check_same_types("scan", start, made[:carry], "the start", "the body's result")
    return (*start, *[TensorType((length, *t.shape), t.dtype) for t in made[carry:]])


def _reference(
    *arrays: np.ndarray, body: Graph, split: Split, length: int, reverse: bool
) -> tuple[np.ndarray, ...]:
    consts, carry = split
    fixed, state, xs = arrays[:consts], list(arrays[consts : consts + carry]), arrays[consts + carry :]
    stacked = [np.empty((length, *t.shape), t.dtype.numpy) for t in body.output_types[carry:]]
    for i in reversed(range(length)) if reverse else range(length):
        made = interpret(body, [*fixed, *state, *[x[i] for x in xs]])
        state = made[:carry]
        for y, row in zip(stacked, made[carry:], strict=True):
            y[i] = row
    return (*state, *stacked)


# --- reverse mode -----------------------------------------------------------------------------


def step_residuals(body: Graph, split: Split, seeds: tuple[int, ...]) -> tuple[Any, list[int]]:
    """The pullback of one step from the outputs ``seeds``, and the values each step must keep.

    Operands are not kept: constants are the same at each step, and the steps of ``xs`` are there.
    """
    wanted = floating(body.input_types)
    found = derived(
        body,
        ("step", seeds),
        lambda: RULES.pullback(body, [body.outputs[i] for i in seeds], [body.inputs[i] for i in wanted]),
    )
    consts, carry = split
    there = {*body.inputs[:consts], *body.inputs[consts + carry :]}
    return found, [v for v in found.residuals if v not in there]


def keeping(body: Graph, values: Sequence[int]) -> Graph:
    """The body with more outputs: the values numbered ``values``."""
    key = ("keeping", tuple(values))
    return derived(body, key, lambda: Graph(body.types, body.inputs, body.nodes, [*body.outputs, *values]))


def _vjp(
    g: Tangents, inputs: Vars, outputs: Vars, *, body: Graph, split: Split, length: Size, reverse: bool
) -> Any:
    consts, carry = split
    types = body.output_types
    # every carried number has a cotangent inside the loop; of the stacked outputs those that have one
    seeds = tuple([i for i, t in enumerate(types) if t.dtype.floating and (i < carry or g[i] is not None)])
    found, keep = step_residuals(body, split, seeds)
    stacked = {v: outputs[carry + i] for i, v in enumerate(body.outputs[carry:])}
    if any(v not in stacked for v in keep):
        again = scan(keeping(body, keep), split, length, reverse, *inputs)
        stacked.update(zip(keep, again[len(types) :], strict=True))

    through = [i for i in seeds if i < carry]  # carried values with cotangents
    ends = [i for i in seeds if i >= carry]
    sums = floating(body.input_types[:consts])  # constants whose cotangents add up over the steps
    along = [i for i in floating(body.input_types) if i >= consts + carry]
    fixed = [v for v in found.residuals if v in body.inputs[:consts]]
    rows = [v for v in found.residuals if v not in fixed]
    xs = dict(zip(body.inputs[consts + carry :], inputs[consts + carry :], strict=True))
    given_steps = [stacked[v] if v in stacked else xs[v] for v in rows]

    # numbers inside of the pullback's graph
    inner = found.graph
    number = dict(zip(found.residuals, inner.inputs, strict=False))
    seed_number = dict(zip(seeds, inner.inputs[len(found.residuals) :], strict=True))
    result = dict(zip(found.sources, inner.outputs, strict=True))
    outside: dict[int, Var] = {number[v]: x for v, x in zip(rows, given_steps, strict=True)}
    outside.update(zip([seed_number[i] for i in ends], present(g, ends), strict=True))
    same = frozenset([number[v] for v in fixed])
    hoisted: dict[int, list[Term]] = {}
    for i in sums:
        if body.inputs[i] in result:
            pieces = terms(inner, result[body.inputs[i]], same)
            if pieces is not None:
                hoisted[i] = pieces
    kept_sums = [i for i in sums if i not in hoisted]
    reached = [i for i in along if body.inputs[i] in result]
    walked = [result[body.inputs[i]] for i in reached]
    factors = [v for i in hoisted for term in hoisted[i] for v in term.core.inputs if v not in outside]
    more = [v for v in dict.fromkeys(factors) if v not in walked]  # what each step gives besides

    def step(*operands: Var) -> list[Var]:
        it = iter(operands)
        values = {number[v]: next(it) for v in fixed}
        totals = [next(it) for _ in kept_sums]
        values.update({seed_number[i]: next(it) for i in through})
        values.update({number[v]: next(it) for v in rows})
        values.update({seed_number[i]: next(it) for i in ends})
        wanted = list(dict.fromkeys([*inner.outputs, *more]))
        made = inline(
            Graph(inner.types, inner.inputs, inner.nodes, wanted), [values[v] for v in inner.inputs]
        )
        grads = dict(zip(wanted, made, strict=True))

        def grad(i: int) -> Var | None:
            v = result.get(body.inputs[i])
            return None if v is None else grads[v]

        out = [x if (d := grad(i)) is None else add(x, d) for i, x in zip(kept_sums, totals, strict=True)]
        for i in through:
            d = grad(consts + i)
            out.append(zeros_like(values[seed_number[i]]) if d is None else d)
        return [*out, *[grads[v] for v in (*walked, *more)]]

    kinds = body.types
    step_types = [
        *[kinds[v] for v in fixed],
        *[kinds[body.inputs[i]] for i in kept_sums],
        *[types[i] for i in through],
        *[kinds[v] for v in rows],
        *[types[i] for i in ends],
    ]
    key = ("back", seeds, split)
    backward = derived(body, key, lambda: build(step_types, step))
    starts = [zeros_like(inputs[i]) for i in kept_sums]
    for i in through:
        known = g[i]
        starts.append(zeros_like(inputs[consts + i]) if known is None else known)
    constants = dict(zip(body.inputs[:consts], inputs[:consts], strict=True))
    made = scan(
        backward,
        (len(fixed), len(kept_sums) + len(through)),
        length,
        not reverse,
        *[constants[v] for v in fixed],
        *starts,
        *given_steps,
        *present(g, ends),
    )
    ahead = len(kept_sums) + len(through)
    outside.update(zip([*walked, *more], made[ahead:], strict=True))
    grads = dict(zip([*kept_sums, *[consts + i for i in through], *reached], made, strict=False))
    for i, pieces in hoisted.items():
        grads[i] = total(pieces, outside.__getitem__)
    return [grads.get(i) for i in range(len(inputs))]


# --- forward mode and batching ----------------------------------------------------------------


def _jvp(
    t: Tangents, inputs: Vars, outputs: Vars, *, body: Graph, split: Split, length: Size, reverse: bool
) -> Any:
    consts, carry = split
    through = [consts + i for i in floating([x.type for x in inputs[consts : consts + carry]])]
    fixed = [i for i in given(t) if i < consts]
    along = [i for i in given(t) if i >= consts + carry]
    results = floating(body.output_types)
    plain = jvp_graph(body, (*fixed, *through, *along), results)
    n, m = len(body.inputs), len(body.outputs)
    slopes = [x if (x := t[i]) is not None else zeros_like(inputs[i]) for i in through]
    carried = [i for i in results if i < carry]

    def step(*xs: Var) -> list[Var]:  # constants, tangents; carried values, tangents; steps, tangents
        it = iter(xs)
        c, dc = [next(it) for _ in range(consts)], [next(it) for _ in fixed]
        k, dk = [next(it) for _ in range(carry)], [next(it) for _ in through]
        x, dx = [next(it) for _ in range(n - consts - carry)], [next(it) for _ in along]
        made = inline(plain, [*c, *k, *x, *dc, *dk, *dx])
        values, tangents = made[:m], made[m:]
        inner = len(carried)
        return [*values[:carry], *tangents[:inner], *values[carry:], *tangents[inner:]]

    kinds = body.input_types
    step_types = [
        *kinds[:consts],
        *[kinds[i] for i in fixed],
        *kinds[consts : consts + carry],
        *[kinds[i] for i in through],
        *kinds[consts + carry :],
        *[kinds[i] for i in along],
    ]
    key = ("scan jvp", tuple(fixed), tuple(along), split)
    forward = derived(body, key, lambda: build(step_types, step))
    made = scan(
        forward,
        (consts + len(fixed), carry + len(through)),
        length,
        reverse,
        *inputs[:consts],
        *present(t, fixed),
        *inputs[consts : consts + carry],
        *slopes,
        *inputs[consts + carry :],
        *present(t, along),
    )
    stacked = carry + len(carried) + (m - carry)
    return scatter_list(m, results, [*made[carry : carry + len(carried)], *made[stacked:]])


def _batch(
    inputs: Vars, batched: Sequence[bool], *, body: Graph, split: Split, length: Size, reverse: bool
) -> Any:
    consts, carry = split
    size = batch_size(inputs, batched)
    fixed, carried, along = (
        tuple(batched[:consts]),
        tuple(batched[consts : consts + carry]),
        tuple(batched[consts + carry :]),
    )
    while True:  # what is batched spreads until nothing changes
        marks = batched_graph(body, (*fixed, *carried, *along), size)[1]
        grown = tuple([x or y for x, y in zip(carried, marks[:carry], strict=True)])
        if grown == carried:
            break
        carried = grown
    wanted = (*carried, *marks[carry:])
    new_body = batched_graph(body, (*fixed, *carried, *along), size, wanted)[0]
    operands = list(inputs)
    for i, mark in enumerate(carried, consts):
        if mark and not batched[i]:
            operands[i] = with_axis(inputs[i], size)
    for i, mark in enumerate(along, consts + carry):
        if mark:
            operands[i] = move_axis(inputs[i], 0, 1)  # the steps first, then the examples
    made = scan(new_body, split, length, reverse, *operands)
    out = []
    for i, (y, mark) in enumerate(zip(made, wanted, strict=True)):
        if not mark:
            out.append(with_axis(y, size))
        else:
            out.append(y if i < carry else move_axis(y, 1, 0))
    return tuple(out)


scan_p = Primitive(
    "scan",
    infer=_infer,
    reference=_reference,
    vjp=_vjp,
    jvp=_jvp,
    batch=_batch,
    lowering=Lowering.CONTROL,
    outputs=None,
    sizes=("length",),
)


def scan(body: Graph, split: Split, length: Size, reverse: bool, *operands: Var) -> tuple[Var, ...]:
    """``body`` applied ``length`` times, from each step to the next, the last step first if ``reverse``.

    The operands are constants and start values (how many of each says ``split``), then tensors
    whose first axis is walked along.  The outputs are the last carried values, then the other
    outputs of ``body``, stacked.
    """
    return emit_all(scan_p, *operands, body=body, split=split, length=length, reverse=reverse)
