"""Recomputation: a kernel computes again what would cost more to read.

Where a forward and a backward pass are one program, the backward pass asks for values in the middle
of forward kernels, such as the powers within a GELU.  Each would be written by one kernel and read
by another, though most follow in a few instructions from values that the reader has loaded anyway.
Those it computes again; a value that nobody reads any more is not written at all.

No load is added for it, except of rows and numbers that are spread over the kernel's points.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from flambeau.compiler.scalar_ops import OPS, TRANSCENDENTAL
from flambeau.compiler.views import MOVES_NOTHING
from flambeau.graph.graph import Graph, Node

_STEPS = 12  # operations for one value
_DEPTH = 6  # of them in a row
_KINDS = frozenset(("elementwise", "contraction", "reduction", "normalization"))
_CHEAP = OPS.difference(TRANSCENDENTAL, ("div", "reciprocal", "sqrt", "rsqrt"))


class Recomputation:
    """Finds, group by group, what may be computed again, up to ``limit`` operations in a group."""

    def __init__(self, graph: Graph, maker: Mapping[int, int], limit: int, readers: Counter[int]) -> None:
        self.graph = graph
        self.maker = maker
        self.limit = limit
        self.readers = readers  # how many groups read a value from memory

    def extend(self, kind: str, nodes: list[int], root: int, shape: tuple[object, ...]) -> list[int]:
        """The nodes of a group, in order, with those that it computes again."""
        if kind not in _KINDS:
            return nodes
        # A product reads its operands in an order of its own: they are not at hand afterwards.
        points = [i for i in nodes if i != root or kind != "contraction"]
        graph = self.graph
        made = {v for i in nodes for v in graph.nodes[i].outputs}
        read = {v for i in points for v in graph.nodes[i].inputs if v not in made}
        found = set(nodes)

        def again(v: int, missing: set[int]) -> None:
            """Compute ``v`` here, from what is read and what is ``missing`` so far."""
            steps: list[int] = []
            known = (read - {v}) | made | missing
            if v in made or self._missing(v, known, shape, steps) != set():
                return
            if len(found.union(steps)) <= self.limit:
                found.update(steps)
                made.update(w for i in steps for w in graph.nodes[i].outputs)
                read.discard(v)
                read.update(missing)

        latest = sorted(read, key=lambda v: self.maker.get(v, -1), reverse=True)
        for v in latest:
            again(v, set())
        # One value that is not read yet may stand for several that are, or for one if it is stored anyway.
        wanting: dict[int, list[int]] = {}
        for v in latest:
            if v in read:
                missing = self._missing(v, (read - {v}) | made, shape, [])
                if missing is not None and len(missing) == 1:
                    wanting.setdefault(missing.pop(), []).append(v)
        for w, values in wanting.items():
            for v in values:
                if len(values) > 1 or self._dearer(v, w):
                    again(v, {w})
        for v in latest:
            if v in read:
                missing = self._missing(v, (read - {v}) | made, shape, [], stop=True)
                if missing is not None and len(missing) == 1 and self._dearer(v, min(missing)):
                    again(v, missing)
        return sorted(found)

    def _dearer(self, v: int, w: int) -> bool:
        """Whether ``v`` takes more bytes, written for the group at hand alone, than to read ``w``."""
        if self.readers[v] != 1 or v in self.graph.outputs or not self.readers[w]:
            return False
        types = self.graph.types
        return 2 * types[v].dtype.itemsize > types[w].dtype.itemsize

    def _missing(
        self,
        v: int,
        known: set[int],
        shape: tuple[object, ...],
        steps: list[int],
        depth: int = 0,
        stop: bool = False,
    ) -> set[int] | None:
        """What ``v`` follows from besides ``known`` values, or None where it should be read.

        ``steps`` are extended by what computes it.  It is followed up to values that are stored with
        ``stop``, else as far as it pays.
        """
        i = self.maker.get(v, -1)
        if i < 0 or depth >= _DEPTH or len(steps) >= _STEPS:
            return None
        node = self.graph.nodes[i]
        if node.primitive.name not in _CHEAP or self.graph.types[v].shape != shape:
            return None
        missing: set[int] = set()
        before = len(steps)
        for w in node.inputs:
            if w in known or self.maker.get(w) in steps or self._spread(w):
                continue
            kept = stop and self.readers[w] > 0
            above = None if kept else self._missing(w, known, shape, steps, depth + 1, stop)
            if above is None and self.graph.types[w].shape != shape:
                del steps[before:]
                return None
            missing |= {w} if above is None else above
        steps.append(i)
        return missing

    def _spread(self, v: int) -> bool:
        """Whether ``v`` is a constant or counts, or is a smaller value whose elements are read many times."""
        node = self._node(v)
        while node is not None and node.primitive.name in MOVES_NOTHING:
            (inner,) = node.inputs[:1]
            if node.primitive.name == "broadcast" and self._fewer(inner, node.outputs[0]):
                return True
            node = self._node(inner)
        return node is not None and node.primitive.name in ("constant", "iota")

    def _fewer(self, v: int, w: int) -> bool:
        small, large = self.graph.types[v].shape, self.graph.types[w].shape
        return len(small) < len(large) or any(a == 1 != b for a, b in zip(small, large, strict=True))

    def _node(self, v: int) -> Node | None:
        i = self.maker.get(v, -1)
        return self.graph.nodes[i] if i >= 0 else None
