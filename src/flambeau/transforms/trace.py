"""``trace``: the graph of a function, to read, to verify, to hand on."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from flambeau.engine.tape import Value
from flambeau.errors import OperandError, ShapeError
from flambeau.graph.dims import Dim
from flambeau.graph.graph import Graph
from flambeau.graph.printer import format_graph
from flambeau.graph.types import TensorType
from flambeau.tensor import Tensor
from flambeau.transforms import tree
from flambeau.transforms.tracing import Function, Recording, name_of, with_keywords
from flambeau.transforms.tracing import trace as record


class Trace:
    """A function as a graph; ``print`` shows it.

    ``graph`` takes the function's tensors, named in ``names``, then the tensors it captured from its
    surroundings (``captured``), then its numbers (``numbers``).  ``structure`` is that of the result.
    """

    __slots__ = ("_recording", "name", "names")

    def __init__(self, name: str, names: tuple[str, ...], recording: Recording) -> None:
        self.name = name
        self.names = names
        self._recording = recording

    @property
    def graph(self) -> Graph:
        """The operations, in order."""
        return self._recording.graph

    @property
    def captured(self) -> tuple[Value, ...]:
        """The values of tensors that the function used without being given them."""
        return self._recording.captured

    @property
    def numbers(self) -> tuple[Any, ...]:
        """The numbers that the function used, which its graph takes as operands."""
        return self._recording.numbers

    @property
    def structure(self) -> tree.Structure:
        """The containers of the result."""
        return self._recording.structure

    def __str__(self) -> str:
        return format_graph(self._recording.written, self.name)

    __repr__ = __str__


def trace(
    f: Function, *args: Any, dims: Mapping[Any, Mapping[int, Any]] | None = None, **kwargs: Any
) -> Trace:
    """The graph of ``f`` on arguments like ``args``, without computing anything.

    A tensor, or a ``TensorType`` in its place, becomes an input; everything else is passed as it is.
    ``dims`` makes sizes symbolic: for an argument, by name or position, the axes and what their
    size is called, such as ``dims={"x": {0: "batch"}}``.  In ``f`` that size is then a ``Dim``, and
    the graph holds for all its values.  Raises ``TraceError`` where ``f`` needs a tensor's value.

    >>> import flambeau as fb
    >>> len(fb.trace(lambda x: x * x + x, fb.ones(3)).graph)
    2
    """
    name = name_of(f)
    label = f"trace({name})"
    wanted = _sizes(label, f, len(args), dims or {})
    items: list[Any] = []
    shapes = []
    for i, arg in enumerate(args):
        leaves, structure = tree.flatten(arg)
        shapes.append(structure)
        for path, x in zip(structure.paths(), leaves, strict=True):
            type = x._value.type if isinstance(x, Tensor) else x
            if i in wanted:
                type = _with_sizes(f"{label}: argument {i}{path}", type, wanted[i])
            items.append(type)
    structure = tree.Structure(tuple, tuple(range(len(args))), tuple(shapes))
    names = [p for p, t in zip(structure.paths(), items, strict=True) if isinstance(t, TensorType)]
    recording = record(label, with_keywords(f, kwargs), items, structure)
    return Trace(name, tuple(names), recording)


def _sizes(
    label: str, f: Function, count: int, dims: Mapping[Any, Mapping[int, Any]]
) -> dict[int, dict[int, Dim]]:
    try:
        names = list(inspect.signature(f).parameters)
    except (TypeError, ValueError):
        names = []
    out: dict[int, dict[int, Dim]] = {}
    for key, axes in dims.items():
        place = key if isinstance(key, int) else names.index(key) if key in names else -1
        if not 0 <= place < count:
            raise OperandError(f"{label}: dims names the argument {key!r}, which there is not")
        out[place] = {a: d if isinstance(d, Dim) else Dim.named(d) for a, d in axes.items()}
    return out


def _with_sizes(what: str, type: Any, sizes: Mapping[int, Dim]) -> TensorType:
    if not isinstance(type, TensorType):
        raise OperandError(f"{what} has no axes: dims can only name those of tensors")
    shape = list(type.shape)
    for axis, dim in sizes.items():
        if not -len(shape) <= axis < len(shape):
            raise ShapeError(f"{what} has no axis {axis}")
        shape[axis] = dim
    return TensorType(tuple(shape), type.dtype)
