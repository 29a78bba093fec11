"""``scan``, ``cond`` and ``while_loop``: loops and branches inside one program.

Python's own ``for``, ``if`` and ``while`` work on tensors too; these are for programs that must
not depend on values: under ``vmap`` and ``fb.compile``, and for long loops.
"""

from __future__ import annotations

from typing import Any

from flambeau.engine.tape import THREAD, Value
from flambeau.errors import GradientError, OperandError, ShapeError
from flambeau.graph.builder import Var
from flambeau.graph.graph import Graph
from flambeau.graph.types import Size, TensorType
from flambeau.primitives import control_flow as primitives
from flambeau.primitives.scan import keeping, step_residuals
from flambeau.primitives.scan import scan as scan_steps
from flambeau.primitives.subgraphs import build, floating, inline
from flambeau.primitives.views import reshape
from flambeau.tensor import Tensor
from flambeau.transforms import tree
from flambeau.transforms.checkpoint import needs_gradient
from flambeau.transforms.tracing import Function, Recording, arguments, as_value, name_of, trace
from flambeau.transforms.tree import Structure


def scan_entry(*operands: Any) -> tuple[Var, ...]:
    """The builder of a scan."""
    *inputs, body, split, length, reverse = operands
    return scan_steps(body, split, length, reverse, *inputs)


def cond_entry(*operands: Any) -> tuple[Var, ...]:
    """The builder of a branch."""
    condition, *inputs, branches = operands
    return primitives.cond(condition, branches, *inputs)


def while_entry(*operands: Any) -> tuple[Var, ...]:
    """The builder of a loop."""
    *inputs, test, body, split = operands
    return primitives.while_loop(test, body, split, *inputs)


def _record(fn: Any, attrs: tuple[Any, ...], operands: list[Any]) -> tuple[Value, ...]:
    made = THREAD.tape.record(fn, attrs, operands)
    return made if isinstance(made, tuple) else (made,)


def _pair(*children: Structure) -> Structure:
    return Structure(tuple, tuple(range(len(children))), children)


def _lifted_first(recording: Recording, count: int) -> Graph:
    """The traced graph with what it captured before its ``count`` arguments."""

    def make() -> Graph:
        graph = recording.graph
        inputs = [*graph.inputs[count:], *graph.inputs[:count]]
        return Graph(graph.types, inputs, graph.nodes, graph.outputs)

    return recording.derive("lifted first", make)


def _check_carry(
    label: str, start: list[Value], structure: Structure, made: list[Value], found: Structure
) -> None:
    if found != structure:
        raise OperandError(
            f"{label}: the carried value has structure {structure!r} at first, {found!r} after a step"
        )
    for path, a, b in zip(structure.paths(), start, made, strict=True):
        if a.type != b.type:
            raise ShapeError(
                f"{label}: the carried value{path} is {a.type} at first and {b.type} after a step"
            )


def scan(body: Function, carry: Any, xs: Any = None, length: int | None = None, reverse: bool = False) -> Any:
    """``body`` applied along the first axis of ``xs``, each step taking what the last one carried.

    ``body(carry, x)`` returns ``(carry, y)``; the result is the last carry and all ``y`` stacked
    along a new first axis.  ``carry``, ``xs`` and ``y`` are trees of tensors; the shapes and dtypes
    of the carry stay the same.  ``length`` is needed where ``xs`` is None.  With ``reverse`` the last
    step comes first; results keep their places.  The body runs once, when it is recorded.

    >>> import flambeau as fb
    >>> fb.scan(lambda s, x: (s + x, s), fb.asarray(0.0), fb.asarray([1.0, 2.0, 3.0]))
    (tensor(6.), tensor([0., 1., 3.]))
    """
    label = f"scan({name_of(body)})"
    (start, along), structures = _two_trees(label, carry, xs)
    size = _length(label, along, structures[1], length)
    steps = [TensorType(v.type.shape[1:], v.type.dtype) for v in along]
    items = [*[v.type for v in start], *steps]
    recording = trace(label, body, items, _pair(*structures))
    if recording.structure.kind is not tuple or len(recording.structure.children) != 2:
        raise OperandError(f"{label}: the body returns (carry, y), not {recording.structure!r}")
    after, out = recording.structure.children
    _check_carry(label, start, structures[0], recording.values[: after.count], after)
    graph = _lifted_first(recording, len(items))
    lifted = recording.operands()
    split = (len(lifted), len(start))
    operands = [*lifted, *start, *along]
    count = len(graph.outputs)
    if needs_gradient(operands):

        def keep() -> Graph:
            try:
                _, values = step_residuals(graph, split, floating(graph.output_types))
            except GradientError:
                return graph  # raised again, with its reason, when the gradient is asked for
            return keeping(graph, values)

        graph = recording.derive("keeping", keep)
    made = _record(scan_entry, (graph, split, size, bool(reverse)), operands)
    tensors = [Tensor(v) for v in made[:count]]
    return after.unflatten(tensors[: after.count]), out.unflatten(tensors[after.count :])


def _two_trees(
    label: str, a: Any, b: Any
) -> tuple[tuple[list[Value], list[Value]], tuple[Structure, Structure]]:
    out = []
    shapes = []
    for what, x in (("the carry", a), ("xs", b)):
        leaves, structure = tree.flatten(x)
        out.append(
            [as_value(v, f"{label}: {what}{p}") for p, v in zip(structure.paths(), leaves, strict=True)]
        )
        shapes.append(structure)
    return (out[0], out[1]), (shapes[0], shapes[1])


def _length(label: str, along: list[Value], structure: Structure, length: int | None) -> Size:
    size: Size | None = length
    for path, v in zip(structure.paths(), along, strict=True):
        if not v.type.shape:
            raise ShapeError(f"{label}: xs{path} has no axis to go along")
        if size is not None and v.type.shape[0] != size:
            raise ShapeError(f"{label}: xs{path} has {v.type.shape[0]} steps where there are {size}")
        size = v.type.shape[0]
    if size is None:
        raise OperandError(f"{label}: without xs the length must be given")
    if isinstance(size, int) and size < 0:
        raise OperandError(f"{label}: the length is {size}")
    return size


def cond(condition: Any, true_fn: Function, false_fn: Function, *operands: Any) -> Any:
    """``true_fn(*operands)`` where the condition holds, else ``false_fn(*operands)``.

    The condition is a bool tensor with one element, or a bool.  Both functions are recorded and
    only one of them is computed; they return trees of the same structure, shapes and dtypes.
    Under ``vmap`` with a condition for each example both are computed.

    >>> import flambeau as fb
    >>> fb.cond(fb.asarray(True), lambda x: x + 1, lambda x: x - 1, fb.asarray(1.0))
    tensor(2.)
    """
    if isinstance(condition, bool):
        return true_fn(*operands) if condition else false_fn(*operands)
    label = f"cond({name_of(true_fn)}, {name_of(false_fn)})"
    chosen = as_value(condition, f"{label}: the condition")
    if chosen.type.shape != () and chosen.type.size == 1:
        chosen = Tensor(chosen)._record(reshape, ((),))._value
    values, structure = arguments(label, operands)
    types = [v.type for v in values]
    first = trace(f"{label}, where it holds", true_fn, types, structure)
    second = trace(f"{label}, where it does not", false_fn, types, structure)
    if first.structure != second.structure:
        raise OperandError(
            f"{label}: the functions return different structures: "
            f"{first.structure!r} and {second.structure!r}"
        )
    for path, a, b in zip(first.structure.paths(), first.values, second.values, strict=True):
        if a.type != b.type:
            raise ShapeError(
                f"{label}: the result{path} is {a.type} where the condition holds and {b.type} where not"
            )
    n, m = len(first.operands()), len(second.operands())
    lifted = [*first.operands(), *second.operands()]
    kinds = [*types, *first.graph.input_types[len(types) :], *second.graph.input_types[len(types) :]]
    count = len(types)

    def left(*xs: Var) -> list[Var]:
        return inline(first.graph, xs[: count + n])

    def right(*xs: Var) -> list[Var]:
        return inline(second.graph, [*xs[:count], *xs[count + n :]])

    key = ("left of", tuple(kinds))
    branches = (
        first.derive(key, lambda: build(kinds, left)),
        second.derive(("right of", tuple(kinds), n, m), lambda: build(kinds, right)),
    )
    made = _record(cond_entry, (branches,), [chosen, *values, *lifted])
    return first.structure.unflatten([Tensor(v) for v in made])


def while_loop(test: Function, body: Function, start: Any) -> Any:
    """``body`` applied to ``start`` again and again, as long as ``test`` gives true for the value.

    The value is a tree of tensors whose shapes and dtypes stay the same.  It can be differentiated
    in forward mode; reverse mode raises ``GradientError``, since how many values to keep is not
    known.  Under ``vmap`` the loop runs until every example is done.

    >>> import flambeau as fb
    >>> fb.while_loop(lambda x: x < 100, lambda x: x * 2, fb.asarray(3))
    tensor(192)
    """
    label = f"while_loop({name_of(body)})"
    leaves, structure = tree.flatten(start)
    values = [as_value(x, f"{label}: the start{p}") for p, x in zip(structure.paths(), leaves, strict=True)]
    types = [v.type for v in values]
    asked = trace(f"{label}, its condition", test, types, _pair(structure))
    if len(asked.values) != 1:
        raise OperandError(f"{label}: the condition returns one bool, not {asked.structure!r}")
    stepped = trace(label, body, types, _pair(structure))
    _check_carry(label, values, structure, stepped.values, stepped.structure)
    split = (len(asked.operands()), len(stepped.operands()))
    attrs = (_lifted_first(asked, len(types)), _lifted_first(stepped, len(types)), split)
    made = _record(while_entry, attrs, [*asked.operands(), *stepped.operands(), *values])
    return structure.unflatten([Tensor(v) for v in made])
