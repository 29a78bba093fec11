"""``jvp``, ``jacobian`` and ``hessian``: forward mode, and whole matrices of derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from typing import Any

from flambeau.autodiff.batching import batch
from flambeau.autodiff.forward import pushforward
from flambeau.autodiff.reverse import pullback
from flambeau.dtypes import DType, int64
from flambeau.errors import GradientError, OperandError, ShapeError
from flambeau.graph.builder import Var, current
from flambeau.graph.graph import Graph, needed
from flambeau.graph.types import Shape, Size, TensorType
from flambeau.primitives.elementwise import cast, eq
from flambeau.primitives.subgraphs import build, inline
from flambeau.primitives.views import full, iota, product, reshape, transpose
from flambeau.tensor import Tensor
from flambeau.transforms import tree
from flambeau.transforms.gradient import Argnums, _argnums, grad
from flambeau.transforms.tracing import (
    Function,
    Recording,
    apply,
    arguments,
    as_value,
    name_of,
    trace,
    with_keywords,
)


def jvp(f: Function, args: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """The value of ``f(*args)`` and its derivative in the direction of ``tangents``.

    ``tangents`` has the structure of ``args``; a None in place of a tensor means a direction of
    zeros, which is the only one for tensors that are not floating-point.  Within ``f`` a tensor's
    value cannot be looked at.  Source: Griewank and Walther, Evaluating Derivatives, chapter 3.

    >>> import flambeau as fb
    >>> fb.jvp(lambda x: x * x, (fb.asarray(3.0),), (fb.asarray(1.0),))
    (tensor(9.), tensor(6.))
    """
    label = f"jvp({name_of(f)})"
    if not isinstance(args, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise OperandError(f"{label}: args and tangents are tuples, one entry for each argument")
    values, structure = arguments(label, tuple(args))
    given = _tangents(label, structure, tuple(args), tuple(tangents))
    moving: list[int] = []
    directions = []
    for i, (path, v, t) in enumerate(zip(structure.paths(), values, given, strict=True)):
        if t is None:
            continue
        tangent = as_value(t, f"{label}: tangent {path}")
        if not v.type.dtype.floating:
            continue
        if tangent.type != v.type and tangent.type.shape == v.type.shape and not isinstance(t, Tensor):
            tangent = Tensor(tangent).astype(v.type.dtype)._value
        if tangent.type != v.type:
            raise ShapeError(f"{label}: tangent {path} is {tangent.type} where the argument is {v.type}")
        moving.append(i)
        directions.append(tangent)
    recording = trace(label, f, [v.type for v in values], structure)
    floats = tuple([i for i, v in enumerate(recording.values) if v.type.dtype.floating])
    graph = recording.derive(
        ("jvp", tuple(moving)), lambda: pushforward(recording.graph, moving, floats).graph
    )
    made = apply(graph, [*values, *recording.operands(), *directions])
    count = len(recording.values)
    slopes: dict[int, Any] = dict(zip(floats, made[count:], strict=True))
    out = recording.structure
    return (
        out.unflatten([Tensor(v) for v in made[:count]]),
        out.unflatten([Tensor(slopes[i]) if i in slopes else None for i in range(count)]),
    )


def _tangents(label: str, structure: tree.Structure, args: Any, tangents: Any) -> list[Any]:
    """A tangent or None for each leaf of the arguments."""
    if structure.kind == "leaf":
        return [tangents]
    if tangents is None:
        return [None] * structure.count
    try:
        return tree.spread(f"{label}: tangents", tangents, args)
    except OperandError:
        raise OperandError(
            f"{label}: the tangents have structure {tree.flatten(tangents)[1]!r}, the arguments {structure!r}"
        ) from None


def jacobian(f: Function, argnums: Argnums = 0, mode: str = "auto") -> Function:
    """A function that gives the matrix of all first derivatives of ``f``.

    For a result of shape ``r`` and an argument of shape ``a`` it has shape ``r + a``; results and
    arguments that are trees give the tree of the results, with trees of the arguments for leaves.
    ``mode`` is "reverse" (a pass for each element of the result), "forward" (a pass for each
    element of the argument), or "auto", which takes what is fewer.

    >>> import flambeau as fb
    >>> fb.jacobian(lambda x: x * x)(fb.asarray([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if mode not in ("auto", "reverse", "forward"):
        raise OperandError(f"jacobian: mode is 'auto', 'reverse' or 'forward', not {mode!r}")
    label = f"jacobian({name_of(f)})"

    @wraps(f, assigned=("__name__", "__doc__"), updated=())
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        wanted = _argnums(label, argnums, len(args))
        values, structure = arguments(label, args)
        places: list[list[int]] = []
        start = 0
        for child in structure.children:
            places.append(list(range(start, start + child.count)))
            start += child.count
        paths = list(structure.paths())
        for i in [i for k in wanted for i in places[k]]:
            if not values[i].type.dtype.floating:
                raise GradientError(
                    f"{label}: argument {paths[i]} is {values[i].type.dtype}: "
                    "only floating-point tensors have gradients"
                )
        recording = trace(label, with_keywords(f, kwargs), [v.type for v in values], structure)
        for path, y in zip(recording.structure.paths(), recording.values, strict=True):
            if not y.type.dtype.floating:
                raise GradientError(
                    f"{label}: the result{path} is {y.type.dtype}: only floating-point has gradients"
                )
        inputs = tuple([i for k in wanted for i in places[k]])
        graph = recording.derive(("jacobian", inputs, mode), lambda: _jacobian(recording, inputs, mode))
        made = iter([Tensor(v) for v in apply(graph, [*values, *recording.operands()])])
        results = []
        for _ in recording.values:
            blocks = {i: next(made) for i in inputs}
            trees = [structure.children[k].unflatten([blocks[i] for i in places[k]]) for k in wanted]
            results.append(trees[0] if isinstance(argnums, int) else tuple(trees))
        return recording.structure.unflatten(results)

    return differentiated


def _sizes(types: Sequence[TensorType]) -> Size:
    total: Size = 0
    for t in types:
        total = total + t.size
    return total


def _jacobian(recording: Recording, inputs: tuple[int, ...], mode: str) -> Graph:
    """The graph of all blocks: for each output, one for each of the inputs."""
    graph = recording.graph
    sources = [graph.types[graph.inputs[i]] for i in inputs]
    if mode == "auto":
        a, r = _sizes(sources), _sizes(graph.output_types)
        forward = isinstance(a, int) and isinstance(r, int) and a < r
        mode = "forward" if forward else "reverse"
    write = _by_columns if mode == "forward" else _by_rows
    return build(graph.input_types, lambda *xs: write(graph, inputs, xs))


def _basis(shape: Shape, dtype: DType) -> Var:
    """All unit tensors of a shape, along a new leading axis."""
    n = product(shape)
    counted = (iota((n, n), 0, int64), iota((n, n), 1, int64))
    return reshape(cast(eq(*counted), dtype), (n, *shape))


def _by_rows(graph: Graph, inputs: tuple[int, ...], xs: Sequence[Var]) -> list[Var]:
    """Reverse mode: one cotangent for each element of each output, all at once."""
    wanted = [graph.inputs[i] for i in inputs]
    values = dict(zip(graph.inputs, xs, strict=True))
    blocks: list[Var] = []
    for v in graph.outputs:
        type = graph.types[v]
        found = pullback(graph, [v], wanted)
        current().splice(needed(graph, found.residuals), values, ())
        marks = [False] * len(found.residuals) + [True]
        rows = batch(found.graph, marks, type.size, [True] * len(found.sources))
        made = inline(rows.graph, [*[values[r] for r in found.residuals], _basis(type.shape, type.dtype)])
        grads = dict(zip(found.sources, made, strict=True))
        for w in wanted:
            shape = (*type.shape, *graph.types[w].shape)
            blocks.append(reshape(grads[w], shape) if w in grads else full(shape, 0, graph.types[w].dtype))
    return blocks


def _by_columns(graph: Graph, inputs: tuple[int, ...], xs: Sequence[Var]) -> list[Var]:
    """Forward mode: one tangent for each element of each input, all at once."""
    count = len(graph.outputs)
    columns: list[list[Var]] = []
    for i in inputs:
        type = graph.types[graph.inputs[i]]
        found = pushforward(graph, [i], range(count))
        every = [False] * count + [True] * count
        marks = [False] * len(graph.inputs) + [True]
        made = inline(
            batch(found.graph, marks, type.size, every).graph, [*xs, _basis(type.shape, type.dtype)]
        )
        column = []
        for t in made[count:]:  # the elements of the input lead: they go last
            y = t.shape[1:]
            perm = (*range(1, t.ndim), 0)
            column.append(reshape(transpose(t, perm), (*y, *type.shape)))
        columns.append(column)
    return [column[k] for k in range(count) for column in columns]


def hessian(f: Function, argnums: Argnums = 0) -> Function:
    """A function that gives the matrix of all second derivatives of ``f``, forward over reverse.

    ``f`` returns one floating-point element; for an argument of shape ``a`` the result has shape
    ``a + a``.

    >>> import flambeau as fb
    >>> fb.hessian(lambda x: fb.sum(x * x * x))(fb.asarray([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacobian(grad(f, argnums), argnums, mode="forward")
