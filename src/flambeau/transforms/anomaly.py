"""``detect_anomaly``: which operation made the first NaN or infinity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from flambeau.dtypes import from_numpy
from flambeau.engine.executor import Done, NodeFailure, Pending
from flambeau.engine.executors import _ACTIVE
from flambeau.engine.gradients import InGradient
from flambeau.engine.reference import to_array, to_buffer
from flambeau.engine.tape import HOOKS, THREAD
from flambeau.errors import NonFiniteError
from flambeau.graph.graph import Graph, Node
from flambeau.graph.interpreter import interpret


def _finite(x: Any) -> bool:
    dtype = from_numpy(x.dtype)
    if not dtype.inexact:
        return True
    return bool(
        np.isfinite(x.astype(np.float32) if x.dtype.kind == "V" or x.dtype.itemsize == 2 else x).all()
    )


def watch(node: Node, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Raise where a node makes a NaN or infinity of operands that hold none."""
    if not node.inputs or all(_finite(np.asarray(y)) for y in outputs) or not all(_finite(x) for x in inputs):
        return
    bad = next(np.asarray(y) for y in outputs if not _finite(np.asarray(y)))
    wide = bad.astype(np.float32) if bad.dtype.itemsize == 2 else bad
    what = "a NaN" if np.isnan(wide).any() else "an infinity"
    index = tuple(int(i) for i in np.argwhere(~np.isfinite(wide))[0])
    place = f" at index {index}" if index else ""
    phase = "while its gradient was computed" if isinstance(node.where, InGradient) else "in the forward pass"
    raise NonFiniteError(
        f"{node.primitive.name} made {what} of finite operands{place}, {phase}; "
        f"its result has shape {bad.shape}"
    )


class _Watched:
    __slots__ = ("graph",)

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def submit(self, inputs: Sequence[Any]) -> Pending:
        arrays = [
            to_array(x, t.dtype.numpy, t.shape)  # type: ignore[arg-type]
            for x, t in zip(inputs, self.graph.input_types, strict=True)
        ]
        made = interpret(self.graph, arrays, NodeFailure, watch)
        return Done([to_buffer(np.asarray(a)) for a in made])


class WatchingExecutor:
    """The reference executor, looking at every result."""

    name = "watching"

    def prepare(
        self, graph: Graph, donated: frozenset[int], numbers: int, weights: frozenset[int] = frozenset()
    ) -> _Watched:
        return _Watched(graph)


_WATCHING = WatchingExecutor()


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Find where the first NaN or infinity arises in what is computed inside a ``with`` block.

    Every operation runs by itself with NumPy and its results are looked at, in the forward pass and
    in gradients; ``NonFiniteError`` names the operation, the line that wrote it and its layer.
    Constants, and operations whose operands are not finite already, may be anything.  Slow.

    >>> import flambeau as fb
    >>> with fb.detect_anomaly():
    ...     y = fb.asarray([1.0, 2.0]) * 3
    """
    if not THREAD.tape.abstract:
        HOOKS.evaluate(THREAD.tape)  # what came before is not looked at
    token = _ACTIVE.set(_WATCHING)
    try:
        yield
        if not THREAD.tape.abstract:
            HOOKS.evaluate(THREAD.tape)
    finally:
        _ACTIVE.reset(token)
