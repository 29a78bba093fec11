"""Calls, branches and loops without a known end; ``scan`` has a file of its own.

Their bodies are graphs; what a body uses of its surroundings is lifted to operands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.dtypes import bool_
from flambeau.errors import DTypeError, ShapeError
from flambeau.graph.builder import Var, current, emit_all
from flambeau.graph.graph import Graph
from flambeau.graph.interpreter import interpret
from flambeau.graph.primitive import Lowering, NoGradient, Primitive
from flambeau.graph.types import Size, TensorType
from flambeau.primitives.control import barrier
from flambeau.primitives.elementwise import select
from flambeau.primitives.reduce import reduce_any
from flambeau.primitives.subgraphs import (
    batched_graph,
    build,
    check_operands,
    floating,
    inline,
    jvp_graph,
    recomputing_vjp,
)
from flambeau.primitives.views import broadcast, shape_text, zeros_like

Vars = Sequence[Var]
Tangents = Sequence[Var | None]


def given(g: Tangents) -> tuple[int, ...]:
    """The indices of what is not absent."""
    return tuple([i for i, x in enumerate(g) if x is not None])


def present(g: Tangents, places: Sequence[int]) -> list[Var]:
    """Those at ``places``, none of which is absent."""
    return [x for i in places if (x := g[i]) is not None]


def batch_size(inputs: Vars, batched: Sequence[bool]) -> Size:
    """The size of the leading axis of the batched inputs."""
    return next(x.shape[0] for x, b in zip(inputs, batched, strict=True) if b)


def with_axis(x: Var, size: Size) -> Var:
    """``x`` repeated along a new leading axis."""
    return broadcast(x, (size, *x.shape), range(1, x.ndim + 1))


def scatter_list(length: int, places: Sequence[int], values: Sequence[Any]) -> list[Any]:
    """A list with ``values`` at ``places`` and None elsewhere."""
    out: list[Any] = [None] * length
    for i, v in zip(places, values, strict=True):
        out[i] = v
    return out


# --- call: a function whose values are computed again for its gradient ------------------------


def _infer_call(*operands: TensorType, graph: Graph) -> tuple[TensorType, ...]:
    check_operands("call", graph, operands)
    return graph.output_types


def _vjp_call(g: Tangents, inputs: Vars, outputs: Vars, *, graph: Graph) -> Any:
    seeds, wanted = given(g), floating(graph.input_types)
    gradient = recomputing_vjp(graph, seeds, wanted)
    # behind the barrier, so that sharing equal nodes cannot bring back what was to be forgotten
    operands = barrier(*inputs, *present(g, seeds))
    return scatter_list(len(inputs), wanted, inline(gradient, operands))


def _jvp_call(t: Tangents, inputs: Vars, outputs: Vars, *, graph: Graph) -> Any:
    moving, results = given(t), floating(graph.output_types)
    made = call(jvp_graph(graph, moving, results), *inputs, *present(t, moving))
    return scatter_list(len(outputs), results, made[len(outputs) :])


def _batch_call(inputs: Vars, batched: Sequence[bool], *, graph: Graph) -> Any:
    every = (True,) * len(graph.outputs)
    return call(batched_graph(graph, tuple(batched), batch_size(inputs, batched), every)[0], *inputs)


call_p = Primitive(
    "call",
    infer=_infer_call,
    reference=lambda *arrays, graph: tuple(interpret(graph, arrays)),
    vjp=_vjp_call,
    jvp=_jvp_call,
    batch=_batch_call,
    lowering=Lowering.CONTROL,
    outputs=None,
)


def call(graph: Graph, *operands: Var, remat: bool = True) -> tuple[Var, ...]:
    """The outputs of ``graph``; with ``remat`` its gradient computes it again instead of keeping values.

    Without, the nodes are simply copied here.
    Source: Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016.
    """
    if not remat:
        return tuple(inline(graph, operands))
    return emit_all(call_p, *operands, graph=graph)


def inline_calls(graph: Graph) -> Graph:
    """The graph with every ``call`` replaced by what it stands for.

    Once gradients have been taken, a call is of no more use; programs are made without any.
    """
    while any(node.primitive is call_p for node in graph.nodes):

        def function(*inputs: Var, graph: Graph = graph) -> list[Var]:
            builder = current()
            values = dict(zip(graph.inputs, inputs, strict=True))
            for node in graph.nodes:
                operands = [values[v] for v in node.inputs]
                builder.where = node.where
                if node.primitive is call_p:
                    made: Sequence[Var] = builder.inline(node.attrs["graph"], operands)
                else:
                    made = builder.emit(node.primitive, operands, node.attrs)
                values.update(zip(node.outputs, made, strict=True))
            return [values[v] for v in graph.outputs]

        graph = build(graph.input_types, function)
    return graph


# --- cond: one of two functions ---------------------------------------------------------------


def check_same_types(
    name: str, a: Sequence[TensorType], b: Sequence[TensorType], first: str, second: str
) -> None:
    """Raise where two lists of types differ."""
    if len(a) != len(b):
        raise ShapeError(f"{name}: {first} gives {len(a)} tensors and {second} gives {len(b)}")
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        if x != y:
            raise ShapeError(f"{name}: tensor {i} is {x} in {first} and {y} in {second}")


def _check_truth(name: str, p: TensorType) -> None:
    if p.dtype is not bool_:
        raise DTypeError(f"{name}: the condition must be bool, not {p.dtype}")
    if p.shape != ():
        raise ShapeError(f"{name}: the condition must be a single value, not of shape {shape_text(p.shape)}")


def _infer_cond(
    p: TensorType, *operands: TensorType, branches: tuple[Graph, Graph]
) -> tuple[TensorType, ...]:
    _check_truth("cond", p)
    for branch in branches:
        check_operands("cond", branch, operands)
    types = [b.output_types for b in branches]
    check_same_types("cond", types[0], types[1], "the true branch", "the false branch")
    return types[0]


def _ref_cond(p: np.ndarray, *arrays: np.ndarray, branches: tuple[Graph, Graph]) -> tuple[np.ndarray, ...]:
    return tuple(interpret(branches[0] if p else branches[1], arrays))


def _vjp_cond(g: Tangents, inputs: Vars, outputs: Vars, *, branches: tuple[Graph, Graph]) -> Any:
    seeds, wanted = given(g), floating(branches[0].input_types)
    a, b = [recomputing_vjp(b, seeds, wanted) for b in branches]
    made = cond(inputs[0], (a, b), *inputs[1:], *present(g, seeds))
    return scatter_list(len(inputs), [i + 1 for i in wanted], made)


def _jvp_cond(t: Tangents, inputs: Vars, outputs: Vars, *, branches: tuple[Graph, Graph]) -> Any:
    moving, results = given(t[1:]), floating(branches[0].output_types)
    a, b = [jvp_graph(b, moving, results) for b in branches]
    made = cond(inputs[0], (a, b), *inputs[1:], *present(t[1:], moving))
    return scatter_list(len(outputs), results, made[len(outputs) :])


def _batch_cond(inputs: Vars, batched: Sequence[bool], *, branches: tuple[Graph, Graph]) -> Any:
    size = batch_size(inputs, batched)
    every = (True,) * len(branches[0].outputs)
    marks = tuple(batched[1:])
    if not any(marks):
        marks = (True,) * len(marks)
        inputs = [inputs[0], *[with_axis(x, size) for x in inputs[1:]]]
    both = [batched_graph(b, marks, size, every)[0] for b in branches]
    if not batched[0]:
        return cond(inputs[0], (both[0], both[1]), *inputs[1:])
    results = [inline(b, inputs[1:]) for b in both]
    return tuple([_choose(inputs[0], x, y) for x, y in zip(*results, strict=True)])


def _choose(p: Var, x: Var, y: Var) -> Var:
    """``x`` in the rows where ``p`` holds, else ``y``."""
    return select(broadcast(p, x.shape, (0,)), x, y)


cond_p = Primitive(
    "cond",
    infer=_infer_cond,
    reference=_ref_cond,
    vjp=_vjp_cond,
    jvp=_jvp_cond,
    batch=_batch_cond,
    lowering=Lowering.CONTROL,
    outputs=None,
)


def cond(condition: Var, branches: tuple[Graph, Graph], *operands: Var) -> tuple[Var, ...]:
    """The outputs of the first branch where the condition holds, else of the second."""
    return emit_all(cond_p, condition, *operands, branches=branches)


# --- while_loop: as often as a condition holds --------------------------------------------------


def _infer_while(
    *operands: TensorType, test: Graph, body: Graph, split: tuple[int, int]
) -> tuple[TensorType, ...]:
    a, b = split
    carry = operands[a + b :]
    check_operands("while_loop", test, [*operands[:a], *carry])
    check_operands("while_loop", body, [*operands[a : a + b], *carry])
    _check_truth("while_loop", test.output_types[0])
    check_same_types("while_loop", carry, body.output_types, "the start", "the body's result")
    return tuple(carry)


def _ref_while(
    *arrays: np.ndarray, test: Graph, body: Graph, split: tuple[int, int]
) -> tuple[np.ndarray, ...]:
    a, b = split
    asked, used, carry = arrays[:a], arrays[a : a + b], list(arrays[a + b :])
    while interpret(test, [*asked, *carry])[0]:
        carry = interpret(body, [*used, *carry])
    return tuple(carry)


def _jvp_while(
    t: Tangents, inputs: Vars, outputs: Vars, *, test: Graph, body: Graph, split: tuple[int, int]
) -> Any:
    a, b = split
    carry = inputs[a + b :]
    moving = floating([x.type for x in carry])
    used = given(t[a : a + b])
    n = len(carry)
    plain = jvp_graph(body, (*used, *[b + i for i in moving]), moving)
    slopes = [x if (x := t[a + b + i]) is not None else zeros_like(carry[i]) for i in moving]
    along = present(t[a : a + b], used)
    types = [x.type for x in (*inputs[a : a + b], *along, *carry, *slopes)]

    def reordered(*xs: Var) -> list[Var]:  # constants, their tangents, values, their tangents
        c, dc = xs[:b], xs[b : b + len(used)]
        x, dx = xs[b + len(used) : b + len(used) + n], xs[b + len(used) + n :]
        return inline(plain, [*c, *x, *dc, *dx])

    def asked(*xs: Var) -> list[Var]:
        return inline(test, xs[: a + n])

    new_body = build(types, reordered)
    new_test = build([x.type for x in (*inputs[:a], *carry, *slopes)], asked)
    made = while_loop(
        new_test,
        new_body,
        (a, b + len(used)),
        *inputs[: a + b],
        *along,
        *carry,
        *slopes,
    )
    return scatter_list(n, moving, made[n:])


def _batch_while(
    inputs: Vars, batched: Sequence[bool], *, test: Graph, body: Graph, split: tuple[int, int]
) -> Any:
    a, b = split
    n = len(inputs) - a - b
    size = batch_size(inputs, batched)
    asked, used, carried = tuple(batched[:a]), tuple(batched[a : a + b]), tuple(batched[a + b :])
    while True:  # what is batched spreads until nothing changes
        _, marks = batched_graph(body, (*used, *carried), size)
        grown = tuple([x or y for x, y in zip(carried, marks, strict=True)])
        if grown == carried:
            break
        carried = grown
    each = batched_graph(test, (*asked, *carried), size)[1][0]
    if each:
        carried = (True,) * n
    new_test = batched_graph(test, (*asked, *carried), size)[0]
    new_body = batched_graph(body, (*used, *carried), size, carried)[0]
    carry = [
        with_axis(x, size) if mark and not already else x
        for x, mark, already in zip(inputs[a + b :], carried, batched[a + b :], strict=True)
    ]
    if each:  # rows that are done keep their values until all are
        types = [x.type for x in (*inputs[: a + b], *carry)]

        def advance(*xs: Var) -> list[Var]:
            going = inline(new_test, [*xs[:a], *xs[a + b :]])[0]
            made = inline(new_body, xs[a:])
            return [_choose(going, new, old) for new, old in zip(made, xs[a + b :], strict=True)]

        def any_going(*xs: Var) -> list[Var]:
            return [reduce_any(inline(new_test, xs)[0], (0,))]

        loop_test = build([x.type for x in (*inputs[:a], *carry)], any_going)
        made = while_loop(loop_test, build(types, advance), (a, a + b), *inputs[:a], *inputs[: a + b], *carry)
    else:
        made = while_loop(new_test, new_body, split, *inputs[: a + b], *carry)
    return tuple([x if mark else with_axis(x, size) for x, mark in zip(made, carried, strict=True)])


while_p = Primitive(
    "while_loop",
    infer=_infer_while,
    reference=_ref_while,
    vjp=NoGradient(
        "how often it runs is not known beforehand, so its values cannot be kept: "
        "use scan with a fixed length, or forward mode (fb.jvp)"
    ),
    jvp=_jvp_while,
    batch=_batch_while,
    lowering=Lowering.CONTROL,
    outputs=None,
)


def while_loop(test: Graph, body: Graph, split: tuple[int, int], *operands: Var) -> tuple[Var, ...]:
    """The values after ``body`` ran as long as ``test`` gave true.

    The operands are those only ``test`` uses, those only ``body`` uses (how many of each says
    ``split``), and the start values, which both take last.
    """
    return emit_all(while_p, *operands, test=test, body=body, split=split)
