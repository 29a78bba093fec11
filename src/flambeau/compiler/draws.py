"""Random numbers for kernels whose points come in another order than the elements of a draw.

Four neighbouring elements of a draw are one block of bits, which a kernel that goes row by row computes once.
One that goes along channels would compute a block for each element, at four times the cost.
"""

from __future__ import annotations

from dataclasses import replace

from flambeau.compiler.groups import Group
from flambeau.compiler.tasks import Sources
from flambeau.graph.graph import Graph


def drawn_first(graph: Graph, group: Group, sources: Sources) -> tuple[Group, Group] | None:
    """A group in two parts: what follows from random bits alone, such as a dropout's mask, and the rest.

    None where there are no random bits in it, or where there would be no rest.
    """
    nodes = graph.nodes
    drawn: dict[int, None] = {}  # nodes
    values: set[int] = set()
    for i in group.nodes:
        node = nodes[i]
        follows = any(v in values for v in node.inputs)
        alone = all(v in values or v in sources.constants or _spread(v, sources) for v in node.inputs)
        if node.primitive.name == "random_bits" or (follows and alone):
            drawn[i] = None
            values.update(node.outputs)
    rest = [i for i in group.nodes if i not in drawn]
    if not drawn or not rest:
        return None
    read = {v for i in rest for v in nodes[i].inputs}
    kept = [v for i in drawn for v in nodes[i].outputs if v in read or v in group.outputs]
    first = Group("elementwise", list(drawn), outputs=kept)
    return first, replace(group, nodes=rest, outputs=[v for v in group.outputs if v not in values])


def _spread(v: int, sources: Sources) -> bool:
    """Whether a value is one of fewer elements, read many times."""
    view = sources.views.get(v)
    return view is not None and any(s == 0 and n != 1 for s, n in zip(view.strides, view.shape, strict=True))
