"""Updates in place: which outputs of a program take over the memory of an input that dies with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from flambeau.compiler.groups import Group
from flambeau.compiler.tasks import Sources, Task
from flambeau.compiler.views import View
from flambeau.graph.graph import Graph
from flambeau.graph.types import TensorType


def taken_over(
    tasks: Sequence[object],
    after: int,
    free: Collection[int],
    outputs: Collection[int],
    last: Mapping[int, int],
    type_of: Callable[[int], TensorType],
) -> dict[int, int]:
    """By output, the input among ``free`` whose memory it may have: read last by the kernel that writes it.

    Only tasks behind number ``after`` qualify; ``last`` says which task is the last to touch a value.
    """
    left = set(free)
    found: dict[int, int] = {}
    for t, task in enumerate(tasks):
        if t <= after or not isinstance(task, Task) or task.kernel.family != "elementwise":
            continue
        for v in task.operands:
            if not isinstance(v, int) or v not in outputs:
                continue
            for view in task.operands:
                if not isinstance(view, View) or view.base not in left or last.get(view.base) != t:
                    continue
                same = type_of(view.base).nbytes == type_of(v).nbytes
                alone = sum(isinstance(o, View) and o.base == view.base for o in task.operands) == 1
                if same and alone and view.is_dense() and view.offset == 0:
                    found[v] = view.base
                    left.discard(view.base)
                    break
    return found


def updates(graph: Graph, group: Group, sources: Sources, free: Collection[int]) -> bool:
    """Whether a part of a normalization alone could take over one of ``free``, as an optimizer's step may."""
    for part in group.parts if free else ():
        if part.kind != "elementwise" or not any(v in graph.outputs for v in part.outputs):
            continue
        for v in {v for i in part.nodes for v in graph.nodes[i].inputs}:
            view = sources.views.get(v)
            if view is not None and view.base in free and view.is_dense() and view.offset == 0:
                return True
    return False
