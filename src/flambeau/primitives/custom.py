"""The user's own: functions with a differentiation rule of their own, and calls of plain Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flambeau.errors import DTypeError, OperandError, ShapeError
from flambeau.graph.builder import Var, emit_all
from flambeau.graph.graph import Graph
from flambeau.graph.interpreter import interpret
from flambeau.graph.primitive import Effect, Lowering, NoGradient, Primitive
from flambeau.graph.types import TensorType
from flambeau.primitives.control_flow import Tangents, Vars, batch_size, given, present, scatter_list
from flambeau.primitives.elementwise import add
from flambeau.primitives.subgraphs import (
    batched_graph,
    build,
    check_operands,
    floating,
    inline,
    recomputing_vjp,
)
from flambeau.primitives.views import reduce_sum, shape_text, zeros_like

# --- custom: a function and its vector-Jacobian product ----------------------------------------


def _infer_custom(*operands: TensorType, forward: Graph, backward: Graph, results: int, **_: Any) -> Any:
    check_operands("custom_function", forward, operands[: len(forward.inputs)])
    return forward.output_types


def _ref_custom(*arrays: np.ndarray, forward: Graph, **_: Any) -> tuple[np.ndarray, ...]:
    return tuple(interpret(forward, arrays[: len(forward.inputs)]))


def _vjp_custom(
    g: Tangents,
    inputs: Vars,
    outputs: Vars,
    *,
    forward: Graph,
    backward: Graph,
    results: int,
    wanted: tuple[int, ...],
    name: str,
) -> Any:
    taken = len(forward.inputs)
    grads: list[Var | None] = [None] * len(inputs)
    seeded = floating(forward.output_types[:results])
    if any(g[i] is not None for i in seeded):
        cotangents = [zeros_like(outputs[i]) if (c := g[i]) is None else c for i in seeded]
        made = inline(backward, [*outputs[results:], *cotangents, *inputs[taken:]])
        grads = scatter_list(len(inputs), wanted, made)
    kept = tuple([i for i in given(g) if i >= results])
    if kept:  # a derivative of a higher order: what was kept depends on the inputs in the plain way
        floats = floating(forward.input_types)
        plain = inline(recomputing_vjp(forward, kept, floats), [*inputs[:taken], *present(g, kept)])
        for i, d in zip(floats, plain, strict=True):
            known = grads[i]
            grads[i] = d if known is None else add(known, d)
    return grads


def _batch_custom(
    inputs: Vars,
    batched: Sequence[bool],
    *,
    forward: Graph,
    backward: Graph,
    results: int,
    wanted: tuple[int, ...],
    name: str,
) -> Any:
    size = batch_size(inputs, batched)
    taken = len(forward.inputs)
    every = (True,) * len(forward.outputs)
    marks = tuple(batched[:taken])
    if not any(marks):  # only the rule for gradients depends on the example
        marks = (False,) * taken
    new_forward = batched_graph(forward, marks, size, every)[0]
    cotangents = len(backward.inputs) - (len(inputs) - taken)
    rule = batched_graph(
        backward, (*(True,) * cotangents, *batched[taken:]), size, (True,) * len(backward.outputs)
    )[0]

    def summed(*xs: Var) -> list[Var]:  # an operand shared by all examples collects from all
        made = inline(rule, xs)
        return [d if marks[i] else reduce_sum(d, (0,)) for i, d in zip(wanted, made, strict=True)]

    new_backward = build(rule.input_types, summed)
    return custom(new_forward, new_backward, results, wanted, name, *inputs)


custom_p = Primitive(
    "custom",
    infer=_infer_custom,
    reference=_ref_custom,
    vjp=_vjp_custom,
    jvp=NoGradient(
        "a custom_function has a rule for reverse mode only: use fb.grad, or jacobian(mode='reverse')"
    ),
    batch=_batch_custom,
    lowering=Lowering.CONTROL,
    outputs=None,
)


def custom(
    forward: Graph, backward: Graph, results: int, wanted: tuple[int, ...], name: str, *operands: Var
) -> tuple[Var, ...]:
    """The outputs of ``forward``, differentiated by ``backward``.

    ``forward`` takes the first operands and gives ``results`` outputs, then what ``backward``
    needs.  ``backward`` takes that, a cotangent for each floating-point result, and the other
    operands; it gives gradients of the operands numbered ``wanted``.
    """
    return emit_all(
        custom_p, *operands, forward=forward, backward=backward, results=results, wanted=wanted, name=name
    )


# --- host_call: plain Python on NumPy arrays ----------------------------------------------------


def _ref_host_call(
    *arrays: np.ndarray, function: Callable[..., Any], types: tuple[TensorType, ...]
) -> tuple[np.ndarray, ...]:
    name = getattr(function, "__name__", type(function).__name__)
    views = []
    for a in arrays:
        view = np.asarray(a).view()
        view.flags.writeable = False
        views.append(view)
    made = function(*views)
    made = tuple(made) if isinstance(made, (tuple, list)) else (made,)
    if len(made) != len(types):
        raise OperandError(f"host_call: {name} returned {len(made)} arrays where {len(types)} were announced")
    out = []
    for i, (y, t) in enumerate(zip(made, types, strict=True)):
        array = np.asarray(y)
        if array.shape != t.shape:
            raise ShapeError(
                f"host_call: result {i} of {name} has shape {shape_text(array.shape)} "
                f"where {shape_text(t.shape)} was announced"
            )
        if array.dtype != t.dtype.numpy:
            if not np.can_cast(array.dtype, t.dtype.numpy, "same_kind"):
                raise DTypeError(
                    f"host_call: result {i} of {name} is {array.dtype} where {t.dtype} was announced"
                )
            array = array.astype(t.dtype.numpy)
        out.append(array)
    return tuple(out)


@dataclass(frozen=True)
class EachExample:
    """A function of one example, called for each along the leading axis of the batched operands."""

    function: Callable[..., Any]
    batched: tuple[bool, ...]
    results: int

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        size = next(a.shape[0] for a, b in zip(arrays, self.batched, strict=True) if b)
        rows: list[list[np.ndarray]] = [[] for _ in range(self.results)]
        for i in range(size):
            made = self.function(*[a[i] if b else a for a, b in zip(arrays, self.batched, strict=True)])
            for row, y in zip(rows, made if isinstance(made, (tuple, list)) else (made,), strict=True):
                row.append(np.asarray(y))
        return tuple([np.stack(row) for row in rows])


def _batch_host_call(
    inputs: Vars, batched: Sequence[bool], *, function: Callable[..., Any], types: tuple[TensorType, ...]
) -> Any:
    size = batch_size(inputs, batched)
    each = EachExample(function, tuple(batched), len(types))
    return host_call(each, tuple([TensorType((size, *t.shape), t.dtype) for t in types]), *inputs)


host_call_p = Primitive(
    "host_call",
    infer=lambda *operands, function, types: types,
    reference=_ref_host_call,
    vjp=NoGradient("it calls a Python function whose derivative is not known: wrap it in a custom_function"),
    jvp=NoGradient("it calls a Python function whose derivative is not known"),
    batch=_batch_host_call,
    lowering=Lowering.HOST,
    effect=Effect.HOST,
    outputs=None,
)


def host_call(function: Callable[..., Any], types: tuple[TensorType, ...], *operands: Var) -> tuple[Var, ...]:
    """What ``function`` returns for NumPy arrays of the operands: arrays of the given types."""
    return emit_all(host_call_p, *operands, function=function, types=types)
