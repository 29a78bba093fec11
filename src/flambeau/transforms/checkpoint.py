"""``checkpoint``: a function whose values are computed again for its gradient instead of kept."""

from __future__ import annotations

from functools import wraps
from typing import Any

from flambeau.engine.modes import grad_enabled
from flambeau.engine.tape import THREAD, Value
from flambeau.graph.builder import Var
from flambeau.graph.graph import Graph
from flambeau.primitives.control_flow import call
from flambeau.tensor import Tensor
from flambeau.transforms import tree
from flambeau.transforms.tracing import Function, Recording, apply, name_of, trace, with_keywords


def recomputed(*operands: Any) -> tuple[Var, ...]:
    """The builder of a call that is computed again for its gradient; the last argument is its graph."""
    *inputs, graph = operands
    return call(graph, *inputs)


def traced_call(label: str, f: Function, args: tuple[Any, ...], kwargs: Any) -> tuple[Recording, list[Any]]:
    """A function traced on the tensors among its arguments, and the operands of its graph."""
    leaves, structure = tree.flatten(args)
    tensors = [x._value for x in leaves if isinstance(x, Tensor)]
    items = [x._value.type if isinstance(x, Tensor) else x for x in leaves]
    recording = trace(label, with_keywords(f, kwargs), items, structure)
    return recording, [*tensors, *recording.operands()]


def needs_gradient(operands: list[Any]) -> bool:
    """Whether gradients may flow to any of the operands."""
    return grad_enabled.get() and any(isinstance(x, Value) and x.needs_grad for x in operands)


def checkpoint(f: Function) -> Function:
    """A function with the values and gradients of ``f`` that keeps nothing of its inside.

    For the gradient ``f``'s operations run a second time, behind a barrier, from its arguments;
    random numbers are the same as the first time.  Memory shrinks to the arguments and results.
    Within ``f`` a tensor's value cannot be looked at.
    Source: Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016.

    >>> import flambeau as fb
    >>> fb.grad(fb.checkpoint(lambda x: x * x))(fb.asarray(3.0))
    tensor(6.)
    """
    label = f"checkpoint({name_of(f)})"

    @wraps(f, assigned=("__name__", "__doc__"), updated=())
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        recording, operands = traced_call(label, f, args, kwargs)
        graph: Graph = recording.graph
        if needs_gradient(operands):
            made = THREAD.tape.record(recomputed, (graph,), operands)
            made = made if isinstance(made, tuple) else (made,)
        else:
            made = apply(graph, operands)
        return recording.structure.unflatten([Tensor(v) for v in made])

    return checkpointed
