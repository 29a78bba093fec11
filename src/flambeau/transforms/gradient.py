"""``grad``, ``value_and_grad`` and ``vjp``: reverse mode over functions that simply run.

The function runs as it is written, on its arguments under a new identity, so an ``if`` on a
tensor's value works.  Where something outside needs gradients, the results stay connected to it,
which is how derivatives of any order come about.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from typing import Any

import numpy as np

from flambeau.engine.flatten import flatten
from flambeau.engine.gradients import Frontier, cotangents, moment
from flambeau.engine.modes import grad_enabled
from flambeau.engine.segment import Segment
from flambeau.engine.tape import THREAD, Tape, Value, leaf, mark_leaf
from flambeau.errors import GradientError, OperandError, ShapeError
from flambeau.primitives.control import fresh
from flambeau.primitives.views import full, shape_text
from flambeau.tensor import Tensor
from flambeau.transforms import tree
from flambeau.transforms.tracing import Function, as_value, name_of
from flambeau.transforms.tree import Structure

Argnums = int | Sequence[int]


def _leaf_of(x: Any, what: str) -> Value:
    """A value to take gradients to: connected to ``x`` where ``x`` needs gradients itself."""
    if isinstance(x, (bool, int)) or not isinstance(x, (Tensor, float, np.ndarray, np.generic)):
        raise GradientError(f"{what} is a {type(x).__name__}: only floating-point tensors have gradients")
    value = as_value(x, what)
    if not value.type.dtype.floating:
        raise GradientError(f"{what} is {value.type.dtype}: only floating-point tensors have gradients")
    if value.needs_grad and grad_enabled.get():
        made: Value = THREAD.tape.record(fresh, (), (value,))
    elif value.data is not None:
        made = leaf(value.type, value.data, True)
        made.device = value.device
    else:
        made = THREAD.tape.record(mark_leaf, (), (value,))
        made.needs_grad = True
    return made


class _Run:
    """A function run on fresh leaves: where its gradients stop, and whether anything lies beyond."""

    def __init__(
        self, label: str, function: Function, args: Sequence[Any], argnums: Sequence[int], kwargs: Any
    ):
        self.label = label
        self.outer_grad = grad_enabled.get()
        home, since = THREAD.tape, moment()
        arguments = list(args)
        self.leaves: list[Value] = []
        self.structures: list[Structure] = []
        for i in argnums:
            items, structure = tree.flatten(args[i])
            paths = structure.paths(f"argument {i}")
            mine = [_leaf_of(x, f"{label}: {path}") for path, x in zip(paths, items, strict=True)]
            arguments[i] = structure.unflatten([Tensor(v) for v in mine])
            self.leaves += mine
            self.structures.append(structure)
        self.frontier = Frontier(set(self.leaves), home, since)
        token = grad_enabled.set(True)
        try:
            self.result = function(*arguments, **kwargs)
        finally:
            grad_enabled.reset(token)

    def beyond(self, value: Value) -> bool:
        """Whether ``value`` must stay connected, since something other than the leaves needs gradients."""
        return self.outer_grad and value.needs_grad and depends_beyond(value, self.frontier.wanted)

    def release(self, x: Any) -> Any:
        """A result for the caller: detached, unless something outside needs gradients."""
        if not isinstance(x, Tensor) or not x._value.needs_grad or self.beyond(x._value):
            return x
        return x.detach()

    def pull(self, outputs: Sequence[Value], seeds: Sequence[Value | None], retain: bool) -> list[Value]:
        """A gradient for each leaf, zeros where the outputs do not depend on it."""
        reaching = [
            (y, s) for y, s in zip(outputs, seeds, strict=True) if y.needs_grad and not _made_around(self, y)
        ]
        found: dict[Value, Value] = {}
        if reaching:
            ys = [y for y, _ in reaching]
            connected = any(map(self.beyond, ys))
            self.frontier.detached = not connected
            create = grad_enabled.get() and (
                connected or any(s is not None and s.needs_grad for _, s in reaching)
            )
            found = cotangents(
                ys, [s for _, s in reaching], frontier=self.frontier, retain_graph=retain, create_graph=create
            )
        return [found[v] if v in found else _zeros(v) for v in self.leaves]

    def gradients(self, values: Sequence[Value]) -> list[Any]:
        """The gradients of the leaves in the structure of each differentiated argument."""
        it = iter(values)
        return [s.unflatten([Tensor(next(it)) for _ in range(s.count)]) for s in self.structures]


def _made_around(run: _Run, y: Value) -> bool:
    """Whether ``y`` was made around the function, so that it cannot depend on its leaves."""
    return isinstance(y.source, Tape) and run.frontier.home.encloses(y.source)


def _zeros(like: Value) -> Value:
    made: Value = THREAD.tape.record(full, (like.type.shape, 0, like.type.dtype), ())
    return made


def depends_beyond(value: Value, leaves: set[Value]) -> bool:
    """Whether gradients of ``value`` flow to leaves other than these."""
    seen: set[Value] = set()
    pending = [value]
    while pending:
        at = pending.pop()
        if at in seen:
            continue
        seen.add(at)
        source = at.source
        if isinstance(source, Tape):
            values = list(source.index)
            flat = flatten(source.state)
            marks = _marks_above(source.state, flat.values[at.position])
            pending += [values[p] for p in marks if values[p] is not at]
            if at.position in flat.marks and at not in leaves:
                return True
        elif isinstance(source, Segment):
            if source.kept is None:
                continue
            numbers = flatten(source.state).values
            pending += [source.marks[numbers[p]] for p in _marks_above(source.state, at.position)]
        elif at not in leaves and at.needs_grad:
            return True
    return False


def _marks_above(state: Any, number: int) -> tuple[int, ...]:
    """The positions of leaves with gradients that a value of a recording depends on."""
    key = ("marks above", number)
    found: tuple[int, ...] | None = state.graphs.get(key)
    if found is None:
        flat = flatten(state)
        reached = {number}
        for node in reversed(flat.graph.nodes):
            if node.primitive.name != "stop_gradient" and any(v in reached for v in node.outputs):
                reached.update(node.inputs)
        found = state.graphs[key] = tuple([p for p in flat.marks if flat.values[p] in reached])
    return found


def _argnums(label: str, argnums: Argnums, count: int) -> tuple[int, ...]:
    wanted = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for i in wanted:
        if not -count <= i < count:
            raise OperandError(
                f"{label}: argnums names argument {i}, but {count} positional arguments were given"
            )
    return tuple([i % count for i in wanted])


def value_and_grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """A function that gives the value of ``f`` and its gradient.

    ``f`` returns one floating-point element, or that and anything else if ``has_aux``.  The
    gradient has the structure of the argument ``argnums``, a tuple of such if ``argnums`` is one;
    where ``f`` does not depend on a tensor its gradient is zeros.  Raises ``GradientError`` where
    there is none, saying why.  Source: Griewank and Walther, Evaluating Derivatives, chapter 3.

    >>> import flambeau as fb
    >>> fb.value_and_grad(lambda x: x * x)(fb.asarray(3.0))
    (tensor(9.), tensor(6.))
    """
    label = f"grad({name_of(f)})"

    @wraps(f, assigned=("__name__", "__doc__"), updated=())
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        run = _Run(label, f, args, _argnums(label, argnums, len(args)), kwargs)
        y, aux = run.result, None
        if has_aux:
            if not isinstance(y, tuple) or len(y) != 2:
                raise OperandError(
                    f"{label}: with has_aux the function returns (value, aux), not {type(y).__name__}"
                )
            y, aux = y
        if not isinstance(y, Tensor):
            raise GradientError(f"{label}: the function returned a {type(y).__name__}, not a tensor")
        if not y.dtype.floating:
            raise GradientError(
                f"{label}: the function returned {y.dtype}: only floating-point has gradients"
            )
        if y.size != 1:
            raise GradientError(
                f"{label}: the function returned a tensor of shape {shape_text(y.shape)}; a gradient needs "
                "a single element: use vjp or jacobian"
            )
        value, extra = run.release(y), tree.map_leaves(run.release, aux)
        grads = run.gradients(run.pull([y._value], [None], retain=run.beyond(y._value)))
        grad = grads[0] if isinstance(argnums, int) else tuple(grads)
        return ((value, extra), grad) if has_aux else (value, grad)

    return differentiated


def grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """A function that gives the gradient of ``f``; see ``value_and_grad``.

    With ``has_aux`` it gives ``(gradient, aux)``.

    >>> import flambeau as fb
    >>> fb.grad(fb.grad(lambda x: x**3))(fb.asarray(2.0))
    tensor(12.)
    """
    both = value_and_grad(f, argnums, has_aux)

    @wraps(f, assigned=("__name__", "__doc__"), updated=())
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, g = both(*args, **kwargs)
        return (g, value[1]) if has_aux else g

    return gradient


def vjp(f: Function, *args: Any) -> tuple[Any, Function]:
    """The value of ``f(*args)``, and the function from a cotangent of it to those of the arguments.

    The cotangent has the structure, shapes and dtypes of the value; what is returned for it is a
    tuple with one entry for each argument.  It may be called any number of times.

    >>> import flambeau as fb
    >>> y, pull = fb.vjp(lambda x: x * x, fb.asarray([1.0, 2.0]))
    >>> pull(fb.asarray([1.0, 10.0]))
    (tensor([ 2., 40.]),)
    """
    label = f"vjp({name_of(f)})"
    run = _Run(label, f, args, range(len(args)), {})
    results, structure = tree.flatten(run.result)
    values = [as_value(y, f"{label}: the result{p}") for p, y in zip(structure.paths(), results, strict=True)]

    def pull(cotangent: Any) -> tuple[Any, ...]:
        given, found = tree.flatten(cotangent)
        if found != structure:
            raise OperandError(f"{label}: the cotangent has structure {found!r}, the value {structure!r}")
        seeds: list[Value] = []
        for path, y, x in zip(structure.paths(), values, given, strict=True):
            seed = as_value(x, f"{label}: the cotangent{path}")
            if y.type.dtype.floating and seed.type != y.type:
                if seed.type.shape != y.type.shape or not isinstance(x, (float, int)):
                    raise ShapeError(
                        f"{label}: the cotangent{path} is {seed.type} where the value is {y.type}"
                    )
                seed = Tensor(seed).astype(y.type.dtype)._value
            seeds.append(seed)
        floats = [i for i, y in enumerate(values) if y.type.dtype.floating]
        pulled = run.pull([values[i] for i in floats], [seeds[i] for i in floats], retain=True)
        return tuple(run.gradients(pulled))

    return structure.unflatten([run.release(y) for y in results]), pull
