"""The reference executor: every node by its primitive's NumPy rule, in order.  The oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.engine.executor import Done, NodeFailure, Pending
from flambeau.graph.graph import Graph
from flambeau.graph.interpreter import interpret
from flambeau.runtime.buffers import Buffer


def to_array(value: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray:
    """An input as an array: a view of its buffer, or a number."""
    if isinstance(value, Buffer):
        return value.view(dtype, shape, writable=False)
    return np.asarray(value).astype(dtype)


def to_buffer(array: np.ndarray) -> Buffer:
    """A fresh buffer holding ``array`` in row-major order."""
    buffer = Buffer(array.nbytes)
    if array.nbytes:
        buffer.view(array.dtype, array.shape)[...] = array
    return buffer


class _Interpreted:
    __slots__ = ("graph",)

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def submit(self, inputs: Sequence[Any]) -> Pending:
        graph = self.graph
        arrays = [
            to_array(x, t.dtype.numpy, t.shape)  # type: ignore[arg-type]
            for x, t in zip(inputs, graph.input_types, strict=True)
        ]
        return Done([to_buffer(np.asarray(a)) for a in interpret(graph, arrays, NodeFailure)])


class ReferenceExecutor:
    """Runs graphs with NumPy, one primitive at a time."""

    name = "reference"

    def prepare(
        self, graph: Graph, donated: frozenset[int], numbers: int, weights: frozenset[int] = frozenset()
    ) -> _Interpreted:
        return _Interpreted(graph)
