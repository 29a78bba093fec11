"""A plain interpreter: every node by its primitive's NumPy rule, in order.

The oracle of the executors, and what runs the graphs inside control flow by definition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flambeau.errors import FlambeauError, located
from flambeau.graph.graph import Graph, Node
from flambeau.graph.primitive import Effect
from flambeau.graph.where import Where

Array = np.ndarray[Any, Any]
Failure = Callable[[FlambeauError, Where], BaseException]
Watch = Callable[[Node, Sequence[Array], Sequence[Array]], None]


def _located(error: FlambeauError, where: Where) -> BaseException:
    return located(error, str(where))


def run_node(node: Node, operands: Sequence[Array]) -> tuple[Array, ...]:
    """The outputs of a node; what NumPy raises comes as a ``FlambeauError`` that names the operation."""
    try:
        made: Any = node.primitive.reference(*operands, **node.attrs)
    except FlambeauError:
        raise
    except (ArithmeticError, ValueError, TypeError, IndexError) as error:
        if node.primitive.effect is Effect.HOST:
            raise  # the user's own
        shapes = ", ".join([f"{x.dtype}{list(x.shape)}" for x in operands]) or "no operands"
        raise FlambeauError(f"{node.primitive.name}: {error}, with {shapes}") from error
    return made if isinstance(made, tuple) else (made,)


def interpret(
    graph: Graph, arrays: Sequence[Array], failure: Failure = _located, watch: Watch | None = None
) -> list[Array]:
    """Run ``graph`` on arrays; a value is dropped after its last use.

    An error of a node is raised as ``failure(error, where)``; ``watch(node, inputs, outputs)`` is
    called after each node.
    """
    env: dict[int, Array] = dict(zip(graph.inputs, arrays, strict=True))
    last: dict[int, int] = {}
    for i, node in enumerate(graph.nodes):
        for v in node.inputs:
            last[v] = i
    keep = set(graph.outputs)
    for i, node in enumerate(graph.nodes):
        operands = [env[v] for v in node.inputs]
        try:
            made = run_node(node, operands)
            if watch is not None:
                watch(node, operands, made)
        except FlambeauError as error:
            raise failure(error, node.where) from error
        for v, array in zip(node.outputs, made, strict=True):
            env[v] = array
        for v in set(node.inputs):
            if last[v] == i and v not in keep:
                del env[v]
    return [env[v] for v in graph.outputs]
