"""``vmap``: a function of one example, applied to all examples of a batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from typing import Any

from flambeau.autodiff.batching import batch, with_axis
from flambeau.errors import OperandError, ShapeError
from flambeau.graph.graph import Graph
from flambeau.graph.types import Size, TensorType
from flambeau.primitives.subgraphs import build, inline
from flambeau.primitives.views import move_axis, shape_text
from flambeau.tensor import Tensor
from flambeau.transforms import tree
from flambeau.transforms.tracing import Function, apply, arguments, name_of, trace, with_keywords

Axis = int | None


def _batched_axis(label: str, path: str, axis: Any, type: TensorType) -> Axis:
    if axis is None:
        return None
    if not isinstance(axis, int) or isinstance(axis, bool):
        raise OperandError(f"{label}: in_axes gives {axis!r} for argument {path}: an axis or None is needed")
    if not -type.ndim <= axis < type.ndim:
        raise ShapeError(
            f"{label}: axis {axis} is out of range for argument {path} of shape {shape_text(type.shape)}"
        )
    return axis % type.ndim


def _common_size(label: str, paths: Sequence[str], axes: Sequence[Axis], types: Sequence[TensorType]) -> Size:
    found: tuple[str, Size] | None = None
    for path, axis, type in zip(paths, axes, types, strict=True):
        if axis is None:
            continue
        size = type.shape[axis]
        if found is not None and found[1] != size:
            raise ShapeError(
                f"{label}: argument {found[0]} has {found[1]} examples along its batch axis "
                f"and argument {path} has {size}"
            )
        found = found or (path, size)
    if found is None:
        raise OperandError(f"{label}: no argument has a batch axis: in_axes is None for all of them")
    return found[1]


def vmap(f: Function, in_axes: Any = 0, out_axes: Any = 0) -> Function:
    """A function that applies ``f`` to each example of a batch, as one program.

    ``in_axes`` says which axis of each argument counts the examples, None for an argument that
    all examples share; ``out_axes`` says where that axis is put in the results.  Both are a single
    value, or a tree of them that fits the arguments or results.  Within ``f`` a tensor's value
    cannot be looked at; ``TraceError`` names the line that tries.

    >>> import flambeau as fb
    >>> fb.vmap(lambda x, y: x @ y, in_axes=(0, None))(fb.ones((3, 2)), fb.ones(2))
    tensor([2., 2., 2.])
    """
    label = f"vmap({name_of(f)})"

    @wraps(f, assigned=("__name__", "__doc__"), updated=())
    def vectorized(*args: Any, **kwargs: Any) -> Any:
        values, structure = arguments(label, args)
        paths = list(structure.paths())
        types = [v.type for v in values]
        prefix = tuple(in_axes) if isinstance(in_axes, list) and len(in_axes) == len(args) else in_axes
        given = tree.spread(f"{label}: in_axes", prefix, args)
        axes = tuple([_batched_axis(label, p, a, t) for p, a, t in zip(paths, given, types, strict=True)])
        size = _common_size(label, paths, axes, types)
        single = [t if a is None else _without(t, a) for t, a in zip(types, axes, strict=True)]
        recording = trace(label, with_keywords(f, kwargs), single, structure)
        results = recording.structure.unflatten([v.type for v in recording.values])
        outs = tuple(tree.spread(f"{label}: out_axes", out_axes, results))

        def make() -> Graph:
            return _vectorize(label, recording.graph, axes, outs, size, recording.structure)

        graph = recording.derive(("vmap", axes, outs, size), make)
        made = apply(graph, [*values, *recording.operands()])
        return recording.structure.unflatten([Tensor(v) for v in made])

    return vectorized


def _without(type: TensorType, axis: int) -> TensorType:
    return TensorType(type.shape[:axis] + type.shape[axis + 1 :], type.dtype)


def _vectorize(
    label: str, graph: Graph, axes: Sequence[Axis], outs: Sequence[Any], size: Size, structure: tree.Structure
) -> Graph:
    count = len(axes)
    marks = [a is not None for a in axes] + [False] * (len(graph.inputs) - count)
    found = batch(graph, marks, size)
    types = []
    for v, axis in zip(graph.inputs, [*axes, *[None] * (len(graph.inputs) - count)], strict=True):
        t = graph.types[v]
        if axis is not None:
            t = TensorType((*t.shape[:axis], size, *t.shape[axis:]), t.dtype)
        types.append(t)

    def function(*inputs: Any) -> list[Any]:
        moved = [
            x if a is None else move_axis(x, a, 0)
            for x, a in zip(inputs, [*axes, *[None] * (len(inputs) - count)], strict=True)
        ]
        results = []
        for path, y, axis, marked in zip(
            structure.paths(), inline(found.graph, moved), outs, found.outputs, strict=True
        ):
            if axis is None:
                if marked:
                    raise OperandError(
                        f"{label}: out_axes is None for the result{path}, which differs between examples"
                    )
                results.append(y)
                continue
            y = y if marked else with_axis(y, size)
            if not isinstance(axis, int) or not -y.ndim <= axis < y.ndim:
                raise ShapeError(f"{label}: out_axes gives {axis!r} for the result{path} with {y.ndim} axes")
            results.append(move_axis(y, 0, axis % y.ndim))
        return results

    return build(types, function)
