"""Short ways to build, partition and lay out graphs in tests of the compiler's plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau import dtypes
from flambeau.compiler.groups import Partition
from flambeau.compiler.kernel import Kernel
from flambeau.compiler.partition import partition
from flambeau.compiler.schedule import Schedule, schedule
from flambeau.compiler.verify import verify_kernel
from flambeau.engine.native import supports
from flambeau.graph.builder import GraphBuilder
from flambeau.graph.graph import Graph, compact
from flambeau.graph.types import TensorType


def f32(*shape: int) -> TensorType:
    return TensorType(shape, dtypes.float32)


def i64(*shape: int) -> TensorType:
    return TensorType(shape, dtypes.int64)


def graph_of(fn: Callable[..., Any], *types: TensorType) -> Graph:
    """The graph of a builder."""
    with GraphBuilder() as builder:
        made = fn(*[builder.input(t) for t in types])
        return compact(builder.graph(list(made) if isinstance(made, (tuple, list)) else [made]))


def parts(graph: Graph) -> Partition:
    return partition(graph, supports)


def kinds(graph: Graph) -> list[str]:
    """What each kernel is, and the operations in it: "elementwise mul add"."""
    found = parts(graph)
    return [" ".join([g.kind, *(graph.nodes[i].primitive.name for i in g.nodes)]) for g in found.groups]


def plan(
    graph: Graph, donated: frozenset[int] = frozenset(), numbers: int = 0
) -> tuple[Schedule, list[Kernel]]:
    """The schedule of a graph, and its kernels, each checked against the grammar."""
    kernels: list[Kernel] = []

    def entry(kernel: Kernel) -> str:
        verify_kernel(kernel)
        kernels.append(kernel)
        return f"{kernel.family}_{len(kernels)}"

    return schedule(graph, parts(graph), donated, numbers, entry), kernels
