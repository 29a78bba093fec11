"""Groups of nodes that become kernels, and which of them may become one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from flambeau.graph.graph import Graph

GROUP_LIMIT = 64  # operations in one kernel
OPERAND_LIMIT = 24
WINDOW = 4096  # nodes among which fusion is considered; longer programs are cut there


@dataclass(slots=True, eq=False)
class Group:
    """Nodes (by index) that run as one kernel, in order.

    ``kind`` is "elementwise", "reduction", "contraction", "window", "move", "indexed", "whole",
    "normalization", "control" or "host"; ``root`` is the node that gives the kernel its kind, of
    reductions the first; ``inner`` are the partitions of the bodies of control flow; ``parts`` are the
    groups that a normalization was joined from, ``views`` the nodes in it that move nothing.
    """

    kind: str
    nodes: list[int]
    root: int = -1
    outputs: list[int] = field(default_factory=list)
    inner: list[Partition] = field(default_factory=list)
    parts: list[Group] = field(default_factory=list)
    views: list[int] = field(default_factory=list)


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


class Planner:
    """A graph whose nodes are being gathered in groups."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes = graph.nodes
        self.maker: dict[int, int] = {v: i for i, n in enumerate(self.nodes) for v in n.outputs}
        self.users: dict[int, list[int]] = {}
        for i, node in enumerate(self.nodes):
            for v in set(node.inputs):
                self.users.setdefault(v, []).append(i)
        self.kind: list[str] = []
        self.group_of: dict[int, Group] = {}
        self.groups: dict[Group, None] = {}  # in the order they were made
        self.above, self.below = self._reach()

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
        return self.between(a, b) == []

    def between(self, a: Group, b: Group) -> list[int] | None:
        """The nodes outside on paths from one group to the other; None where that is not known."""
        i, j = a.nodes[0], b.nodes[0]
        if i // WINDOW != j // WINDOW:
            return None
        mine = self._mask(a) | self._mask(b)
        mask = (self.above[i] | self.above[j]) & (self.below[i] | self.below[j]) & ~mine
        return [i - i % WINDOW + k for k in _bits(mask)] if mask else []

    def feeds(self, a: Group, b: Group) -> bool:
        """Whether there is a path from ``a`` to ``b``."""
        return bool(self.above[b.nodes[0]] & self._mask(a))

    def new(self, kind: str, node: int, root: int = -1) -> Group:
        group = Group(kind, [node], root)
        self.groups[group] = None
        self.group_of[node] = group
        return group

    def merge(self, into: Group, other: Group) -> None:
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

    def split(self, group: Group, nodes: set[int]) -> Group:
        """Take ``nodes``, which none of the others depends on, out of a group and into one of their own."""
        rest = Group(group.kind, sorted(nodes))
        group.nodes = [i for i in group.nodes if i not in nodes]
        self.groups[rest] = None
        for i in rest.nodes:
            self.group_of[i] = rest
        before, after = self._mask(group), self._mask(rest)
        for i in group.nodes:
            self.above[i], self.below[i] = self.above[i] & ~after, self.below[i] | after
        for i in rest.nodes:
            self.above[i], self.below[i] = self.above[i] | before, self.below[i] & ~before
        return rest

    def shape(self, i: int) -> tuple[object, ...]:
        return self.graph.types[self.nodes[i].outputs[0]].shape

    def points(self, group: Group) -> tuple[object, ...]:
        """The shape of what a group computes, before it is reduced."""
        if group.kind in ("reduction", "normalization"):
            return self.graph.types[self.nodes[group.root].inputs[0]].shape
        return self.shape(group.nodes[0] if group.root < 0 else group.root)

    def reads(self, nodes: list[int]) -> int:
        inside = {v for i in nodes for v in self.nodes[i].outputs}
        return len({v for i in nodes for v in self.nodes[i].inputs if v not in inside})
