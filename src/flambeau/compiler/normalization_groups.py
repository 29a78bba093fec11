"""Which reductions and elementwise operations make one kernel that walks along a row several times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from flambeau.compiler.groups import GROUP_LIMIT, OPERAND_LIMIT, Group, Planner
from flambeau.compiler.rows import NUMBER, Frames


def join_rows(planner: Planner) -> None:
    """Joins each reduction over the last axes with what works on the same rows.

    These are elementwise groups on its points or rows and reductions over the same axes, in any
    order, as far as nothing else lies between them.
    """
    for seed in [g for g in planner.groups if g.kind == "reduction"]:
        if seed in planner.groups and frames_of(planner, seed).innermost:
            _Joining(planner, seed).grow()


def frames_of(planner: Planner, group: Group) -> Frames:
    """The shapes that a reduction group works on."""
    return Frames.of(planner.graph, planner.nodes[group.root])


class _Joining:
    def __init__(self, planner: Planner, seed: Group) -> None:
        self.planner = planner
        self.group = seed
        self.frames = frames_of(planner, seed)
        self.parts = [replace(seed, nodes=list(seed.nodes))]
        self.views: list[int] = []

    def grow(self) -> None:
        while any(self._take(other) for other in list(self._neighbours())):
            pass
        group, planner = self.group, self.planner
        if len(self.parts) == 1:
            return
        group.kind = "normalization"
        group.parts = self.parts
        group.views = sorted(self.views)
        group.nodes = [i for i in group.nodes if i not in self.views]
        for i in self.views:
            del planner.group_of[i]

    def _neighbours(self) -> Iterator[Group]:
        """The groups that read what this one computes, or compute what it reads, maybe through views."""
        planner, seen = self.planner, {self.group}
        pending = [(i, down) for i in self.group.nodes for down in (False, True)]
        visited = set(pending)
        while pending:
            i, down = pending.pop(0)
            node = planner.nodes[i]
            if down:
                near = [j for v in node.outputs for j in planner.users.get(v, [])]
            else:
                near = [j for v in node.inputs if (j := planner.maker.get(v, -1)) >= 0]
            for j in near:
                group = planner.group_of.get(j)
                if group is not None and group not in seen:
                    seen.add(group)
                    yield group
                elif group is None and planner.kind[j] == "view" and (j, down) not in visited:
                    visited.add((j, down))
                    pending.append((j, down))

    def _take(self, other: Group) -> bool:
        planner = self.planner
        if other.kind not in ("elementwise", "reduction") or not self._fits(other):
            return False
        mine = len(self.group.nodes) - len(self.views) + len(other.nodes)
        nodes = [*self.group.nodes, *other.nodes]
        if mine > GROUP_LIMIT or planner.reads(nodes) > OPERAND_LIMIT:
            return False
        between = planner.between(self.group, other)
        if between is None or any(not self._is_inner_view(i) for i in between):
            return False
        self.parts.append(replace(other, nodes=list(other.nodes)))
        self.views += between
        for i in reversed(between) if planner.feeds(other, self.group) else between:
            planner.merge(self.group, planner.new("view", i))
        planner.merge(self.group, other)
        return True

    def _is_inner_view(self, i: int) -> bool:
        planner = self.planner
        return planner.kind[i] == "view" and self.frames.passes(planner.graph, planner.nodes[i])

    def _fits(self, other: Group) -> bool:
        planner = self.planner
        if other.kind == "reduction":
            return frames_of(planner, other) == self.frames
        frame = self.frames.frame(planner.shape(other.nodes[0]))
        return frame is not None and (frame != NUMBER or self._serves_this_alone(other))

    def _serves_this_alone(self, other: Group) -> bool:
        """Whether this group alone, through broadcasts, reads what a group of numbers computes."""
        planner = self.planner
        pending = [v for i in other.nodes for v in planner.nodes[i].outputs]
        while pending:
            v = pending.pop()
            if v in planner.graph.outputs:
                return False
            for j in planner.users.get(v, []):
                group = planner.group_of.get(j)
                if group is None and self._is_inner_view(j):
                    pending += planner.nodes[j].outputs
                elif group is not self.group and group is not other:
                    return False
        return True
