"""Where the elements of a value lie: a base in memory, an offset, and a step per axis.

Broadcasts, transposes, slices, reversals and most reshapes move no data; they only change how a
buffer is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flambeau.graph.graph import Node


def dense_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Row-major steps, in elements; an empty axis counts as one of size 1, so that no step is 0."""
    out = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        out[i] = out[i + 1] * max(1, shape[i + 1])
    return tuple(out)


@dataclass(frozen=True, slots=True)
class View:
    """The elements of value ``base``, ``offset`` elements in, ``strides`` elements apart per axis."""

    base: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @staticmethod
    def dense(base: int, shape: tuple[int, ...]) -> View:
        """All elements of a value that has memory of its own."""
        return View(base, shape, dense_strides(shape))

    def is_dense(self) -> bool:
        """Whether the elements are neighbours in row-major order."""
        step = 1
        for n, s in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if n != 1 and s != step:
                return False
            step *= max(1, n)
        return True

    def in_order_of(self, other: View) -> View:
        """A dense view of the same shape whose axes lie in memory in the order that those of ``other`` do."""
        order = sorted(
            range(len(self.shape)), key=lambda i: -abs(other.strides[i]) if other.shape[i] > 1 else 0
        )
        steps = dense_strides([self.shape[i] for i in order])
        strides = [0] * len(order)
        for i, step in zip(order, steps, strict=True):
            strides[i] = step
        return View(self.base, self.shape, tuple(strides), self.offset)

    def permuted(self, order: Sequence[int]) -> View:
        """The same elements with their axes in another order."""
        shape, strides = [tuple([own[i] for i in order]) for own in (self.shape, self.strides)]
        return View(self.base, shape, strides, self.offset)


MOVES_NOTHING = frozenset(("broadcast", "reshape", "transpose", "slice", "reverse"))


def through(node: Node, x: View, shape: tuple[int, ...]) -> View | None:
    """``x`` seen through a view primitive; None where its elements must be copied first."""
    name, attrs = node.primitive.name, node.attrs
    if name == "broadcast":
        spread = [0] * len(shape)
        for i, axis in enumerate(attrs["axes"]):
            spread[axis] = 0 if x.shape[i] == 1 else x.strides[i]
        return View(x.base, shape, tuple(spread), x.offset)
    if name == "transpose":
        return View(x.base, shape, tuple([x.strides[p] for p in attrs["perm"]]), x.offset)
    if name == "slice":
        offset = x.offset + sum(a * s for a, s in zip(attrs["starts"], x.strides, strict=True))
        strides = tuple([s * c for s, c in zip(x.strides, attrs["strides"], strict=True)])
        return View(x.base, shape, strides, offset)
    if name == "reverse":
        offset, flipped = x.offset, list(x.strides)
        for axis in attrs["axes"]:
            offset += (x.shape[axis] - 1) * x.strides[axis] if x.shape[axis] else 0
            flipped[axis] = -x.strides[axis]
        return View(x.base, shape, tuple(flipped), offset)
    if name == "reshape":
        if x.is_dense():
            return View(x.base, shape, dense_strides(shape), x.offset)
        return _split(x, shape)
    return None


def _split(x: View, shape: tuple[int, ...]) -> View | None:
    """A reshape that adds and removes axes of size 1, and makes several axes of one."""
    if 0 in shape:
        return None
    strides = [0] * len(shape)
    i = len(shape)
    for n, s in zip(reversed(x.shape), reversed(x.strides), strict=True):
        while n > 1:
            i -= 1
            if i < 0 or n % shape[i]:
                return None
            strides[i] = s if shape[i] > 1 else 0
            n, s = n // shape[i], s * shape[i]
    return View(x.base, shape, tuple(strides), x.offset)


def collapse(
    sizes: Sequence[int], strides: Sequence[Sequence[int]], keep: Sequence[int] = ()
) -> tuple[list[int], list[list[int]], list[list[int]]]:
    """Fewer axes for the same points: size-1 axes go, neighbours that every operand can merge do.

    Returns sizes, strides per operand, and for each new axis the old axes it is made of.  Axes are
    not merged across a change in ``keep`` (a label per axis).
    """
    labels = list(keep) or [0] * len(sizes)
    axes = [i for i, n in enumerate(sizes) if n != 1]
    out_sizes: list[int] = []
    groups: list[list[int]] = []
    out: list[list[int]] = [[] for _ in strides]
    for i in axes:
        alike = bool(groups) and labels[groups[-1][-1]] == labels[i]
        if alike and all(o[-1] == s[i] * sizes[i] for o, s in zip(out, strides, strict=True)):
            out_sizes[-1] *= sizes[i]
            groups[-1].append(i)
            for o, s in zip(out, strides, strict=True):
                o[-1] = s[i]
            continue
        out_sizes.append(sizes[i])
        groups.append([i])
        for o, s in zip(out, strides, strict=True):
            o.append(s[i])
    return out_sizes, out, groups
