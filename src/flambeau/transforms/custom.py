"""``custom_function`` and ``host_call``: the user's own rules and the user's own Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flambeau.dtypes import as_dtype
from flambeau.engine.tape import THREAD, Value
from flambeau.errors import GradientError, OperandError, ShapeError
from flambeau.graph.builder import Var
from flambeau.graph.types import TensorType
from flambeau.primitives import custom as primitives
from flambeau.primitives.views import full
from flambeau.tensor import Tensor
from flambeau.transforms import tree
from flambeau.transforms.checkpoint import needs_gradient
from flambeau.transforms.tracing import Function, Recording, apply, as_value, name_of, trace


def custom_entry(*operands: Any) -> tuple[Var, ...]:
    """The builder of a function with its own rule."""
    *inputs, forward, backward, results, wanted, name = operands
    return primitives.custom(forward, backward, results, wanted, name, *inputs)


class custom_function:
    """A function with a differentiation rule of its own.

    ``forward(*args)`` returns ``(result, residuals)``: what the caller gets, and whatever tensors
    the rule needs.  ``backward(residuals, *cotangents)`` takes a cotangent for each tensor in the
    result (None for one that is not floating-point) and returns a gradient for each argument, or
    None where there is none; for a single argument it need not be a tuple.

    Both are traced, so a tensor's value cannot be looked at in them (``fb.host_call`` can).  The
    rule is used in reverse mode, also inside ``vmap``, which batches both functions; there is no
    forward mode.  Tensors that need gradients must be arguments.

    >>> import flambeau as fb
    >>> clipped = fb.custom_function(lambda x: (x * x, x), lambda x, g: fb.clip(2 * x * g, -1, 1))
    >>> fb.grad(clipped)(fb.asarray(3.0))
    tensor(1.)
    """

    def __init__(self, forward: Function, backward: Function) -> None:
        self.forward = forward
        self.backward = backward
        self.__name__ = name_of(forward)
        self.__doc__ = forward.__doc__

    def __repr__(self) -> str:
        return f"<custom_function {self.__name__}>"

    def __call__(self, *args: Any) -> Any:
        label = f"custom_function({self.__name__})"
        leaves, structure = tree.flatten(args)
        places = [i for i, x in enumerate(leaves) if isinstance(x, Tensor)]
        inputs = [leaves[i]._value for i in places]
        items = [x._value.type if isinstance(x, Tensor) else x for x in leaves]

        def run(*arguments: Any) -> Any:
            made = self.forward(*arguments)
            if not isinstance(made, tuple) or len(made) != 2:
                raise OperandError(f"{label}: forward returns (result, residuals), not {type(made).__name__}")
            return made

        recording = trace(label, run, items, structure)
        results, kept = recording.structure.children
        operands = [*inputs, *recording.operands()]
        if not needs_gradient(operands):
            made = apply(recording.graph, operands)
            return results.unflatten([Tensor(v) for v in made[: results.count]])
        if any(v.needs_grad for v in recording.captured):
            raise GradientError(
                f"{label}: forward uses a tensor that needs gradients without taking it as an argument: "
                "its gradient would be lost"
            )
        rule = self._trace_rule(label, recording, results, kept, leaves, structure, len(args))
        wanted = tuple([n for n, v in enumerate(inputs) if v.type.dtype.floating])
        backward = rule.derive(("rule", wanted), lambda: rule.graph)
        attrs = (recording.graph, backward, results.count, wanted, self.__name__)
        made = THREAD.tape.record(custom_entry, attrs, [*operands, *rule.operands()])
        made = made if isinstance(made, tuple) else (made,)
        return results.unflatten([Tensor(v) for v in made[: results.count]])

    def _trace_rule(
        self,
        label: str,
        recording: Recording,
        results: tree.Structure,
        kept: tree.Structure,
        leaves: Sequence[Any],
        structure: tree.Structure,
        count: int,
    ) -> Recording:
        """The rule as a recording from residuals and cotangents to a gradient for each floating tensor."""
        types = [v.type for v in recording.values]
        outs, residuals = types[: results.count], types[results.count :]
        paths = list(structure.paths())

        def run(context: Any, *cotangents: Any) -> list[Tensor]:
            it = iter(cotangents)
            given = [next(it) if t.dtype.floating else None for t in outs]
            made = self.backward(context, *given)
            if count == 1 and not (isinstance(made, tuple) and len(made) == 1):
                made = (made,)
            if not isinstance(made, (tuple, list)) or len(made) != count:
                got = (
                    f"{len(made)} gradients"
                    if isinstance(made, (tuple, list))
                    else f"a {type(made).__name__}"
                )
                raise GradientError(f"{label}: backward returned {got} for {count} arguments")
            gradients: list[Any] = []
            for i, (g, child) in enumerate(zip(made, structure.children, strict=True)):
                if g is None:
                    gradients += [None] * child.count
                    continue
                mine, found = tree.flatten(g)
                if found != child:
                    raise GradientError(
                        f"{label}: the gradient of argument {i} has structure {found!r}, "
                        f"the argument {child!r}"
                    )
                gradients += mine
            out = []
            for path, x, g in zip(paths, leaves, gradients, strict=True):
                if not isinstance(x, Tensor) or not x.dtype.floating:
                    continue
                value = (
                    _zeros(x._value.type) if g is None else as_value(g, f"{label}: the gradient of {path}")
                )
                if value.type != x._value.type:
                    raise ShapeError(
                        f"{label}: backward returned {value.type} as the gradient of argument {path}, "
                        f"which is {x._value.type}"
                    )
                out.append(Tensor(value))
            return out

        items = [*residuals, *[t for t in outs if t.dtype.floating]]
        floats = len(items) - len(residuals)
        shape = tree.Structure(tuple, tuple(range(1 + floats)), (kept, *[tree.LEAF] * floats))
        return trace(f"the backward of {label}", run, items, shape)


def _zeros(type: TensorType) -> Value:
    made: Value = THREAD.tape.record(full, (type.shape, 0, type.dtype), ())
    return made


def host_entry(*operands: Any) -> tuple[Var, ...]:
    """The builder of a call of the user's Python."""
    *inputs, function, types = operands
    return primitives.host_call(function, types, *inputs)


def host_call(function: Callable[..., Any], results: Any, *tensors: Any) -> Any:
    """What a plain Python function returns for tensors, called when the program runs.

    ``function`` takes read-only NumPy arrays and returns arrays; ``results`` announces them: an
    object with ``shape`` and ``dtype`` (a tensor, a ``TensorType``, a NumPy array), or a tree of
    such.  The function should depend on its arguments alone: it is called as often as the program
    needs it, and not at all where nothing does.  It has no gradient of its own; ``vmap`` calls it
    for each example.  Raises ``ShapeError`` and ``DTypeError`` where the results are not as announced.
    """
    leaves, structure = tree.flatten(results)
    types = tuple([TensorType(tuple(t.shape), as_dtype(t.dtype)) for t in leaves])
    values = [as_value(x, f"host_call: operand {i}") for i, x in enumerate(tensors)]
    made = THREAD.tape.record(host_entry, (function, types), values)
    return structure.unflatten([Tensor(v) for v in (made if isinstance(made, tuple) else (made,))])
