"""Partition: which nodes become one kernel.

The partition depends only on a program's structure: operations, axes, dtypes, which sizes are 1.
It is computed once for all sizes.  Fusion never changes bits, so it is decided by cost alone:

1. elementwise nodes of one shape that feed each other join, unless something outside lies between;
2. a contraction or a reduction of windows takes the elementwise group that alone consumes it as its epilogue;
3. a reduction takes the elementwise group that produces its operand as its prologue, and the
   group that consumes it as its epilogue;
4. padding and concatenation take the elementwise groups that produce their operands for them alone;
5. kernels compute again what follows cheaply from what they read.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from flambeau.compiler.bodies import CONTROL, bodies
from flambeau.compiler.recompute import Recomputation
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

GROUP_LIMIT = 64  # operations in one kernel
EPILOGUE_LIMIT = 24
WRITTEN_OUT = 32  # elements of a window each of which is an operand
OPERAND_LIMIT = 24
WINDOW = 4096  # nodes among which fusion is considered; longer programs are cut there

MOVES = frozenset(("pad", "concatenate"))
INDEXED = frozenset(("gather", "in_range", "dynamic_slice", "dynamic_update_slice", "scatter", "scatter_add"))
POSITIONS = frozenset(("argmax", "argmin", "reduce_all", "reduce_any"))
RUNNING = frozenset(("cumsum", "cumprod", "cummax", "cummin", "linear_recurrence"))
WRITING = frozenset(("dynamic_update_slice", "scatter", "scatter_add", "select_and_scatter"))
WINDOWS = frozenset(("reduce_window", "select_and_scatter"))
CONTRACTIONS = frozenset(("dot_general", "conv_general"))
REDUCTIONS = frozenset(("reduce_sum", "reduce_max", "reduce_min", "reduce_prod"))

_REDUCED = frozenset(
    (float16, bfloat16, float32, float64, int8, int16, int32, int64, uint8, uint16, uint32, uint64)
)

Supports = Callable[[str, DType, tuple[DType, ...]], bool]


@dataclass(slots=True, eq=False)
class Group:
    """Nodes (by index) that run as one kernel, in order.

    ``kind`` is "elementwise", "reduction", "contraction", "window", "move", "indexed", "whole",
    "control" or "host"; ``root`` is the node that gives the kernel its kind, of reductions the first;
    ``inner`` are the partitions of the bodies of control flow.
    """

    kind: str
    nodes: list[int]
    root: int = -1
    outputs: list[int] = field(default_factory=list)
    inner: list[Partition] = field(default_factory=list)


@dataclass(slots=True)
class Partition:
    """Groups in an order in which they can run, and the values that get memory of their own."""

    groups: list[Group]
    stored: set[int]


def _bits(mask: int) -> Iterator[int]:
    """The positions of the ones of ``mask``."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


class _Planner:
    def __init__(self, graph: Graph, supports: Supports) -> None:
        self.graph = graph
        self.nodes = graph.nodes
        self.supports = supports
        self.maker: dict[int, int] = {v: i for i, n in enumerate(self.nodes) for v in n.outputs}
        self.users: dict[int, list[int]] = {}
        for i, node in enumerate(self.nodes):
            for v in set(node.inputs):
                self.users.setdefault(v, []).append(i)
        self.inner: dict[int, list[Partition]] = {}
        self.kind = [self._classify(n) for n in self.nodes]
        self.group_of: dict[int, Group] = {}
        self.groups: dict[Group, None] = {}  # in the order they were made
        self.above, self.below = self._reach()

    def _classify(self, node: Node) -> str:
        name = node.primitive.name
        types = self.graph.types
        out = types[node.outputs[0]] if node.outputs else None
        if name == "constant":
            return "constant"
        if name in MOVES_NOTHING:
            return "view"
        inputs = tuple(types[v].dtype for v in node.inputs)
        if out is None:
            return "host"
        if name in CONTROL:
            return "control" if self._compiled(node) else "host"
        pointwise = node.primitive.lowering is Lowering.ELEMENTWISE and name != "iota"
        if pointwise and self.supports(name, out.dtype, inputs):
            return "elementwise"
        if name in MOVES and out.dtype.kind != "complex":
            return "move"
        if name in POSITIONS or name in RUNNING:
            return "whole" if all(d.kind != "complex" for d in inputs) else "host"
        if name in INDEXED and out.dtype.kind != "complex":
            return "indexed"
        if name in WINDOWS and out.dtype in _REDUCED:
            small = math.prod(node.attrs["window"]) <= WRITTEN_OUT
            return "window" if small or name == "reduce_window" else "host"
        if name in REDUCTIONS and out.dtype in _REDUCED and node.attrs["axes"]:
            return "reduction"
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
            inner = partition(body, self.supports)
            if any(group.kind == "host" for group in inner.groups):
                return False
            found.append(inner)
        self.inner[node.outputs[0]] = found
        return True

    def _reach(self) -> tuple[list[int], list[int]]:
        """For each node the nodes of its window above and below it, as bits."""
        count = len(self.nodes)
        above, below = [0] * count, [0] * count
        for i, node in enumerate(self.nodes):
            start = i - i % WINDOW
            mask = 0
            for v in node.inputs:
                j = self.maker.get(v, -1)
                if j >= start:
                    mask |= above[j] | (1 << (j - start))
            above[i] = mask
        for i in range(count - 1, -1, -1):
            start = i - i % WINDOW
            for v in self.nodes[i].inputs:
                j = self.maker.get(v, -1)
                if j >= start:
                    below[j] |= below[i] | (1 << (i - start))
        return above, below

    def _mask(self, group: Group) -> int:
        start = group.nodes[0] - group.nodes[0] % WINDOW
        mask = 0
        for i in group.nodes:
            mask |= 1 << (i - start)
        return mask

    def may_join(self, a: Group, b: Group) -> bool:
        """Whether nothing outside lies on a path from one group to the other."""
        i, j = a.nodes[0], b.nodes[0]
        if i // WINDOW != j // WINDOW:
            return False
        mine = self._mask(a) | self._mask(b)
        return not (self.above[i] | self.above[j]) & (self.below[i] | self.below[j]) & ~mine

    def _new(self, kind: str, node: int, root: int = -1) -> Group:
        group = Group(kind, [node], root)
        self.groups[group] = None
        self.group_of[node] = group
        return group

    def _merge(self, into: Group, other: Group) -> None:
        """Make one group of two, and of what lies above and below them.

        A merged group is a single point of every path, so what is above one of its nodes is above
        all: otherwise two groups could each come to wait for the other.
        """
        above, below = self.above, self.below
        i, j = into.nodes[0], other.nodes[0]
        start = i - i % WINDOW
        mine = self._mask(into) | self._mask(other)
        over = (above[i] | above[j]) & ~mine
        under = (below[i] | below[j]) & ~mine
        for k in _bits((below[i] ^ below[j]) & ~mine):
            above[start + k] |= over | mine
        for k in _bits((above[i] ^ above[j]) & ~mine):
            below[start + k] |= under | mine
        for k in _bits(mine):
            above[start + k], below[start + k] = over | mine, under | mine
        into.nodes = sorted({*into.nodes, *other.nodes})
        for i in other.nodes:
            self.group_of[i] = into
        del self.groups[other]

    def shape(self, i: int) -> tuple[object, ...]:
        return self.graph.types[self.nodes[i].outputs[0]].shape

    def points(self, group: Group) -> tuple[object, ...]:
        """The shape of what a group computes, before it is reduced."""
        if group.kind == "reduction":
            return self.graph.types[self.nodes[group.root].inputs[0]].shape
        return self.shape(group.nodes[0] if group.root < 0 else group.root)

    def reads(self, nodes: list[int]) -> int:
        inside = {v for i in nodes for v in self.nodes[i].outputs}
        return len({v for i in nodes for v in self.nodes[i].inputs if v not in inside})

    # -- the three steps ----------------------------------------------------------------------

    def elementwise(self) -> None:
        for i, node in enumerate(self.nodes):
            if self.kind[i] != "elementwise":
                continue
            own = self._new("elementwise", i)
            for v in node.inputs if node.primitive.name != "random_bits" else ():
                j = self.maker.get(v, -1)
                other = self.group_of.get(j)
                if j < 0 or other is None or other is own or other.kind != "elementwise":
                    continue
                if len(own.nodes) + len(other.nodes) > GROUP_LIMIT:
                    continue
                if self.reads([*own.nodes, *other.nodes]) > OPERAND_LIMIT or not self.may_join(own, other):
                    continue
                self._merge(other, own)
                own = other

    def numbers(self) -> None:
        """Join what computes single elements, connected or not: a launch costs more than the work."""
        last: Group | None = None
        for group in [g for g in self.groups if g.kind == "elementwise" and not self.shape(g.nodes[0])]:
            if last is not None and len(last.nodes) + len(group.nodes) <= GROUP_LIMIT:
                fits = self.reads([*last.nodes, *group.nodes]) <= OPERAND_LIMIT
                if fits and self.may_join(last, group):
                    self._merge(last, group)
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
            own = self._new(self.kind[i], i, root=i)
            if node.primitive.name in WRITING:
                continue
            shape = self.shape(i)
            found = self._only_consumer(
                node.outputs[0],
                lambda g, shape=shape: self.shape(g.nodes[0]) == shape and len(g.nodes) <= EPILOGUE_LIMIT,  # type: ignore[misc]
            )
            if found is not None and self.may_join(own, found) and self.reads(found.nodes) <= 10:
                self._merge(own, found)

    def reductions(self) -> None:
        for i, node in enumerate(self.nodes):
            if self.kind[i] != "reduction":
                continue
            source = self.maker.get(node.inputs[0], -1)
            group = self.group_of.get(source)
            own = self._new("reduction", i, root=i)
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
            self._merge(group, own)
            group.kind = "reduction"
            group.root = i if group.root < 0 else group.root
        for group in [g for g in self.groups if g.kind == "reduction"]:
            self._finish(group)

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
                self._merge(group, found)

    def alone(self) -> None:
        """What is made of several kernels and takes nothing along."""
        for i, kind in enumerate(self.kind):
            if kind == "whole":
                self._new("whole", i, root=i)

    def moves(self) -> None:
        for i, node in enumerate(self.nodes):
            if self.kind[i] != "move":
                continue
            own = self._new("move", i, root=i)
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
                    self._merge(own, group)

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
                self._new(kind, i).inner = self.inner.get(self.nodes[i].outputs[0], [])
        needs: dict[int, set[int]] = {}
        number = {id(g): n for n, g in enumerate(self.groups)}
        depends: dict[int, frozenset[int]] = {}
        for i, node in enumerate(self.nodes):
            mine: set[int] = set()
            for v in node.inputs:
                j = self.maker.get(v, -1)
                if j < 0:
                    continue
                group = self.group_of.get(j)
                if group is not None:
                    mine.add(number[id(group)])
                else:
                    mine |= depends[j]
            own = self.group_of.get(i)
            if own is None:
                depends[i] = frozenset(mine)
            else:
                needs.setdefault(number[id(own)], set()).update(mine - {number[id(own)]})
        return _topological(list(self.groups), needs)


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


def partition(graph: Graph, supports: Supports) -> Partition:
    """Cut ``graph`` into kernels and host calls; ``supports`` says which operations kernels can do."""
    planner = _Planner(graph, supports)
    planner.elementwise()
    planner.numbers()
    planner.contractions()
    planner.reductions()
    planner.moves()
    planner.alone()
    groups = planner.ordered()
    again = Recomputation(graph, planner.maker, GROUP_LIMIT)
    for group in groups:
        group.nodes = again.extend(group.kind, group.nodes, group.root, planner.points(group))
    wanted: set[int] = set(graph.outputs)
    for group in groups:
        made = {v for i in group.nodes for v in graph.nodes[i].outputs}
        wanted.update(v for i in group.nodes for v in graph.nodes[i].inputs if v not in made)
        if group.kind == "contraction":
            wanted.update(graph.nodes[group.root].inputs)
    for i, node in enumerate(graph.nodes):
        if i not in planner.group_of:
            wanted.update(node.inputs)
    stored: set[int] = set()
    for group in groups:
        own = [i for i in group.nodes if planner.group_of[i] is group]
        group.outputs = [v for i in own for v in graph.nodes[i].outputs if v in wanted]
        if group.kind in ("host", "control"):
            group.outputs = list(graph.nodes[group.nodes[0]].outputs)
        else:
            root = graph.nodes[group.root].outputs if group.root >= 0 else ()
            group.nodes = needed(graph, group.nodes, {*group.outputs, *root})
        stored.update(group.outputs)
    return Partition(groups, stored)


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
