"""Partition: which nodes become one kernel.

The partition depends only on a program's structure: operations, axes, dtypes, which sizes are 1.
It is computed once for all sizes.  Fusion never changes bits, so it is decided by cost alone:

1. elementwise nodes of one shape that feed each other join, unless something outside lies between;
2. a contraction or a reduction of windows takes the elementwise group that alone consumes it as its epilogue;
3. a reduction takes the elementwise group that produces its operand as its prologue, and the
   group that consumes it as its epilogue;
4. reductions over the last axes join with what works on the same rows, in several passes over a row;
5. padding and concatenation take the elementwise groups that produce their operands for them alone;
6. kernels compute again what follows cheaply from what they read.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

from flambeau.compiler.bodies import CONTROL, bodies
from flambeau.compiler.groups import GROUP_LIMIT, OPERAND_LIMIT, Group, Partition, Planner
from flambeau.compiler.normalization_groups import join_rows
from flambeau.compiler.recompute import Recomputation
from flambeau.compiler.rows import Frames
from flambeau.compiler.views import MOVES_NOTHING
from flambeau.dtypes import (
    DType,
    bfloat16,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)  # fmt: skip
from flambeau.graph.graph import Graph, Node
from flambeau.graph.primitive import Lowering

EPILOGUE_LIMIT = 24
WRITTEN_OUT = 32  # elements of a window each of which is an operand

MOVES = frozenset(("pad", "concatenate"))
INDEXED = frozenset(("gather", "in_range", "dynamic_slice", "dynamic_update_slice", "scatter", "scatter_add"))
POSITIONS = frozenset(("argmax", "argmin", "reduce_all", "reduce_any"))
RUNNING = frozenset(("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp", "linear_recurrence"))
ORDERING = frozenset(("sort", "searchsorted"))
WRITING = frozenset(("dynamic_update_slice", "scatter", "scatter_add", "select_and_scatter", "window_argext"))
WINDOWS = frozenset(("reduce_window", "select_and_scatter", "window_argext"))
CONTRACTIONS = frozenset(("dot_general", "conv_general"))
REDUCTIONS = frozenset(("reduce_sum", "reduce_max", "reduce_min", "reduce_prod"))

_REDUCED = frozenset(
    (float16, bfloat16, float32, float64, int8, int16, int32, int64, uint8, uint16, uint32, uint64)
)

Supports = Callable[[str, DType, tuple[DType, ...]], bool]


class _Planner(Planner):
    def __init__(self, graph: Graph, supports: Supports, inside: bool) -> None:
        super().__init__(graph)
        self.inside = inside
        self.supports = supports
        self.inner: dict[int, list[Partition]] = {}
        self.kind = [self._classify(n) for n in self.nodes]

    def _classify(self, node: Node) -> str:
        name = node.primitive.name
        types = self.graph.types
        out = types[node.outputs[0]] if node.outputs else None
        if name == "constant":
            return "constant"
        if name in MOVES_NOTHING or name == "barrier":
            return "view"
        if name == "iota" and out is not None and self.supports("cast", out.dtype, (int64,)):
            return "iota"
        inputs = tuple(types[v].dtype for v in node.inputs)
        if out is None:
            return "host"
        if name in CONTROL:
            return "control" if self._compiled(node) else "host"
        if name == "size":  # known before the program runs, but not within a loop
            return "elementwise" if self.inside else "host"
        if name == "pow" and out.dtype.kind == "int":
            return "indexed"  # a negative exponent is an error
        pointwise = node.primitive.lowering is Lowering.ELEMENTWISE
        if pointwise and self.supports(name, out.dtype, inputs):
            return "elementwise"
        if name in MOVES and out.dtype.kind != "complex":
            return "move"
        if name in POSITIONS or name in RUNNING or name in ORDERING:
            return "whole" if all(d.kind != "complex" for d in inputs) else "host"
        if name in INDEXED and out.dtype.kind != "complex":
            return "indexed"
        if name in WINDOWS and inputs[0] in _REDUCED:
            return "window"
        if name in REDUCTIONS and out.dtype in _REDUCED and node.attrs["axes"]:
            return "reduction"
        if name in CONTRACTIONS and out.dtype.kind in ("int", "uint"):
            return "whole" if all(d.kind in ("int", "uint", "bool") for d in inputs) else "host"
        if name in CONTRACTIONS and out.dtype.floating and inputs[0].floating:
            return "contraction" if node.attrs["accumulate"] in (None, float32, float64) else "host"
        return "host"

    def _compiled(self, node: Node) -> bool:
        """Whether the bodies of control flow consist of kernels alone; keeps their partitions."""
        found = []
        for body in bodies(node):
            types = [*body.input_types, *body.output_types]
            if any(t.dtype.kind == "complex" for t in types):
                return False
            inner = partition(body, self.supports, inside=True)
            if any(group.kind == "host" for group in inner.groups):
                return False
            found.append(inner)
        self.inner[node.outputs[0]] = found
        return True

    # -- the three steps ----------------------------------------------------------------------

    def elementwise(self) -> None:
        for i, node in enumerate(self.nodes):
            if self.kind[i] != "elementwise":
                continue
            own = self.new("elementwise", i)
            for v in node.inputs if node.primitive.name != "random_bits" else ():
                j = self.maker.get(v, -1)
                other = self.group_of.get(j)
                if j < 0 or other is None or other is own or other.kind != "elementwise":
                    continue
                if len(own.nodes) + len(other.nodes) > GROUP_LIMIT:
                    continue
                if self.reads([*own.nodes, *other.nodes]) > OPERAND_LIMIT or not self.may_join(own, other):
                    continue
                self.merge(other, own)
                own = other

    def numbers(self) -> None:
        """Join what computes single elements, connected or not: a launch costs more than the work."""
        last: Group | None = None
        for group in [g for g in self.groups if g.kind == "elementwise" and not self.shape(g.nodes[0])]:
            if last is not None and len(last.nodes) + len(group.nodes) <= GROUP_LIMIT:
                fits = self.reads([*last.nodes, *group.nodes]) <= OPERAND_LIMIT
                if fits and self.may_join(last, group):
                    self.merge(last, group)
                    continue
            last = group

    def _only_consumer(self, v: int, rank_ok: Callable[[Group], bool]) -> Group | None:
        """The one elementwise group that reads value ``v``, if nothing else does."""
        users = self.users.get(v, [])
        if not users or v in self.graph.outputs:
            return None
        group = self.group_of.get(users[0])
        if group is None or group.kind != "elementwise" or not rank_ok(group):
            return None
        return group if all(self.group_of.get(u) is group for u in users) else None

    def contractions(self) -> None:
        for i, node in enumerate(self.nodes):
            if self.kind[i] not in ("contraction", "window", "indexed"):
                continue
            own = self.new(self.kind[i], i, root=i)
            if node.primitive.name in WRITING:
                continue
            shape = self.shape(i)
            found = self._only_consumer(
                node.outputs[0],
                lambda g, shape=shape: self.shape(g.nodes[0]) == shape and len(g.nodes) <= EPILOGUE_LIMIT,  # type: ignore[misc]
            )
            if found is not None and self.may_join(own, found) and self.reads(found.nodes) <= 10:
                summed = self._summed(node.outputs[0], found)
                if len(summed) == len(found.nodes):
                    continue
                if summed:
                    self.split(found, summed)
                self.merge(own, found)

    def _summed(self, v: int, group: Group) -> set[int]:
        """What is better left to reductions of the group that works on ``v``, a contraction's result.

        All of the group follows from one value: where several reductions take what follows from that, one
        kernel reads it and computes them all, and the others need not be stored.
        """
        inside = set(group.nodes)
        head: set[int] = set()
        while True:
            users = self.users.get(v, [])
            if len(users) != 1 or users[0] not in inside or v in self.graph.outputs:
                break
            head.add(users[0])
            (v,) = self.nodes[users[0]].outputs
        for i in reversed(group.nodes):  # and what that value needs besides
            if any(u in head for w in self.nodes[i].outputs for u in self.users.get(w, [])):
                head.add(i)
        rest = inside - head
        reduced = [w for i in rest for w in self.nodes[i].outputs if self._is_reduced(w)]
        return rest if len(reduced) + self._leaves(v, group) > 1 and reduced else set()

    def _is_reduced(self, v: int) -> bool:
        return any(self.kind[u] == "reduction" for u in self.users.get(v, []))

    def reductions(self, innermost: bool) -> None:
        """Gather those over the last axes, or the others."""
        for i, node in enumerate(self.nodes):
            if self.kind[i] != "reduction" or Frames.of(self.graph, node).innermost is not innermost:
                continue
            source = self.maker.get(node.inputs[0], -1)
            group = self.group_of.get(source)
            own = self.new("reduction", i, root=i)
            if (
                group is None
                or group.kind not in ("elementwise", "reduction")
                or len(group.nodes) >= GROUP_LIMIT
            ):
                continue
            if self.shape(source) != self.graph.types[node.inputs[0]].shape or not self.may_join(own, group):
                continue
            if group.kind == "reduction":
                root = self.nodes[group.root]
                same = root.attrs["axes"] == node.attrs["axes"]
                if (
                    not same
                    or self.graph.types[root.inputs[0]].shape != self.graph.types[node.inputs[0]].shape
                ):
                    continue
            self.merge(group, own)
            group.kind = "reduction"
            group.root = i if group.root < 0 else group.root
        found = [g for g in self.groups if g.kind == "reduction"]
        found = [g for g in found if Frames.of(self.graph, self.nodes[g.root]).innermost is innermost]
        for group in self._together(found):
            self._finish(group)

    def _together(self, groups: Sequence[Group]) -> list[Group]:
        """Reductions over the same points, of which one reads what another one reads, are one."""
        kept: list[Group] = []
        first: dict[object, Group] = {}  # by what is reduced over which axes
        for group in groups:
            root = self.nodes[group.root]
            points = self.graph.types[root.inputs[0]].shape
            inside = {v for i in group.nodes for v in self.nodes[i].outputs}
            read = {v for i in group.nodes for v in self.nodes[i].inputs if v not in inside}
            keys = [(v, root.attrs["axes"]) for v in sorted(read) if self.graph.types[v].shape == points]
            other = next((first[key] for key in keys if key in first), None)
            if other is not None and len(other.nodes) + len(group.nodes) <= GROUP_LIMIT:
                both = [*other.nodes, *group.nodes]
                if self.reads(both) <= OPERAND_LIMIT and self.may_join(other, group):
                    self.merge(other, group)
                    group = other
            if group is not other:
                kept.append(group)
            for key in keys:
                first.setdefault(key, group)
        return kept

    def _finish(self, group: Group) -> None:
        """Take the elementwise group that works on the reduced values, if only it reads them."""
        roots = [i for i in group.nodes if self.kind[i] == "reduction"]
        shape = self.shape(group.root)
        whole = self.graph.types[self.nodes[group.root].inputs[0]].shape
        if shape == whole:
            return  # a reduction over axes of size 1: points and results could not be told apart
        for i in roots:
            v = self.nodes[i].outputs[0]
            found = self._only_consumer(v, lambda g: self.shape(g.nodes[0]) == shape)
            if found is None or len(found.nodes) + len(group.nodes) > GROUP_LIMIT:
                continue
            if self.may_join(group, found):
                self.merge(group, found)

    def alone(self) -> None:
        """What is made of several kernels and takes nothing along."""
        for i, kind in enumerate(self.kind):
            if kind == "whole":
                self.new("whole", i, root=i)

    def moves(self) -> None:
        for i, node in enumerate(self.nodes):
            if self.kind[i] != "move":
                continue
            own = self.new("move", i, root=i)
            operands = node.inputs if node.primitive.name == "concatenate" else node.inputs[:1]
            for v in operands:
                group = self.group_of.get(self.maker.get(v, -1))
                if group is None or group.kind != "elementwise" or len(group.nodes) > EPILOGUE_LIMIT:
                    continue
                if self.shape(group.nodes[0]) != self.graph.types[v].shape or not self.may_join(own, group):
                    continue
                read = [u for j in group.nodes for u in self.nodes[j].outputs if self._leaves(u, group)]
                alone = self.users[v] == [i] and operands.count(v) == 1 and v not in self.graph.outputs
                if alone and read == [v]:
                    self.merge(own, group)

    def _leaves(self, v: int, group: Group) -> bool:
        """Whether something outside of ``group``, which computes ``v``, reads it."""
        return v in self.graph.outputs or any(
            self.group_of.get(u) is not group for u in self.users.get(v, [])
        )

    # -- order --------------------------------------------------------------------------------

    def ordered(self) -> list[Group]:
        """Groups so that each runs after what it reads; host calls as early as possible."""
        for i, kind in enumerate(self.kind):
            if kind in ("host", "control"):
                self.new(kind, i).inner = self.inner.get(self.nodes[i].outputs[0], [])
        for group in self.groups:
            group.parts = in_order(self, group.parts)
        return in_order(self, self.groups)


def in_order(planner: Planner, groups: Iterable[Group]) -> list[Group]:
    """Groups so that each runs after those among them that it reads, maybe through views."""
    found = list(groups)
    number = {i: n for n, group in enumerate(found) for i in group.nodes}
    needs: dict[int, set[int]] = {}
    depends: dict[int, frozenset[int]] = {}
    for i in range(min(number), max(number) + 1) if len(found) > 1 else ():
        mine: set[int] = set()
        for v in planner.nodes[i].inputs:
            j = planner.maker.get(v, -1)
            if j in number:
                mine.add(number[j])
            else:
                mine |= depends.get(j, frozenset())
        if i in number:
            needs.setdefault(number[i], set()).update(mine - {number[i]})
        depends[i] = frozenset(mine)
    return _topological(found, needs)


def _topological(groups: list[Group], needs: dict[int, set[int]]) -> list[Group]:
    waiting = {n: len(needs.get(n, ())) for n in range(len(groups))}
    feeds: dict[int, list[int]] = {}
    for n, above in needs.items():
        for a in above:
            feeds.setdefault(a, []).append(n)

    def rank(n: int) -> tuple[int, int, int]:
        return (0 if groups[n].kind == "host" else 1, groups[n].nodes[0], n)

    ready = [rank(n) for n, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    out: list[Group] = []
    while ready:
        _, _, n = heapq.heappop(ready)
        out.append(groups[n])
        for m in feeds.get(n, ()):
            waiting[m] -= 1
            if waiting[m] == 0:
                heapq.heappush(ready, rank(m))
    assert len(out) == len(groups), "fusion made a cycle"
    return out


def partition(graph: Graph, supports: Supports, inside: bool = False) -> Partition:
    """Cut ``graph`` into kernels and host calls; ``supports`` says which operations kernels can do.

    ``inside`` says that it is the body of a loop or branch.
    """
    planner = _Planner(graph, supports, inside)
    planner.elementwise()
    planner.contractions()
    planner.reductions(innermost=True)
    join_rows(planner)
    planner.numbers()
    planner.reductions(innermost=False)
    planner.moves()
    planner.alone()
    groups = planner.ordered()
    readers = Counter(v for group in groups for v in _read(graph, group))
    again = Recomputation(graph, planner.maker, GROUP_LIMIT, readers)
    for group in groups:
        group.nodes = again.extend(group.kind, group.nodes, group.root, planner.points(group))
    stored = _store(planner, groups)
    pure = ("elementwise", "reduction")  # of which nothing may be left to do
    return Partition([group for group in groups if group.outputs or group.kind not in pure], stored)


def _store(planner: Planner, groups: Sequence[Group]) -> set[int]:
    """Notes for each group which of its values others read; returns all that get memory.

    What only moves values within a group reads nothing, unless something outside reads it.
    """
    graph = planner.graph
    wanted: set[int] = set(graph.outputs)
    for group in groups:
        wanted |= _read(graph, group)
    owner = {i: group for group in groups for i in group.views}
    for i in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[i]
        if i not in planner.group_of and (i not in owner or not wanted.isdisjoint(node.outputs)):
            wanted.update(node.inputs)
    stored: set[int] = set()
    for group in groups:
        own = [i for i in group.nodes if planner.group_of[i] is group]
        group.outputs = [v for i in own for v in graph.nodes[i].outputs if v in wanted]
        if group.kind in ("host", "control"):
            group.outputs = list(graph.nodes[group.nodes[0]].outputs)
        elif group.parts:
            stored |= _store_parts(graph, group, wanted)
        else:
            root = graph.nodes[group.root].outputs if group.root >= 0 else ()
            group.nodes = needed(graph, group.nodes, {*group.outputs, *root})
        stored.update(group.outputs)
    return stored


def _store_parts(graph: Graph, group: Group, wanted: Collection[int]) -> set[int]:
    """As ``_store``, for the parts of a group, which run in its place where sizes ask for that."""
    own = {i for part in group.parts for i in part.nodes}
    again = [i for i in group.nodes if i not in own]
    reduced = [n.outputs[0] for i in group.nodes if (n := graph.nodes[i]).primitive.name in REDUCTIONS]
    kept = set(needed(graph, sorted((*group.nodes, *group.views)), {*group.outputs, *reduced}))
    group.nodes = [i for i in group.nodes if i in kept]
    read = set(wanted)
    for part in group.parts:
        mine = [i for i in part.nodes if i in kept]
        part.nodes = needed(graph, sorted((*mine, *again)), {v for i in mine for v in graph.nodes[i].outputs})
        read |= _read(graph, part)
    for i in reversed(group.views):
        if not read.isdisjoint(graph.nodes[i].outputs):
            read.update(graph.nodes[i].inputs)
    group.views = [i for i in group.views if i in kept]
    group.parts = [part for part in group.parts if part.nodes]
    for part in group.parts:
        part.outputs = [v for i in part.nodes if i in own for v in graph.nodes[i].outputs if v in read]
    return {v for part in group.parts for v in part.outputs}


def _read(graph: Graph, group: Group) -> set[int]:
    """The values that a group does not compute itself."""
    made = {v for i in (*group.nodes, *group.views) for v in graph.nodes[i].outputs}
    read = {v for i in group.nodes for v in graph.nodes[i].inputs if v not in made}
    if group.kind == "contraction":  # it reads these in an order of its own
        read.update(graph.nodes[group.root].inputs)
    return read


def needed(graph: Graph, nodes: Sequence[int], values: Iterable[int]) -> list[int]:
    """Those of the nodes, in order, that ``values`` follow from."""
    wanted = set(values)
    kept = []
    for i in reversed(nodes):
        node = graph.nodes[i]
        if not wanted.isdisjoint(node.outputs):
            kept.append(i)
            wanted.update(node.inputs)
    return kept[::-1]
