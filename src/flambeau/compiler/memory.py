"""Memory plan: where in one arena each intermediate value lies, by first fit over lifetimes."""

from __future__ import annotations

from collections.abc import Mapping

ALIGNMENT = 64


def plan_arena(
    sizes: Mapping[int, int], born: Mapping[int, int], dies: Mapping[int, int]
) -> tuple[dict[int, int], int]:
    """Byte offsets of values that live from step ``born`` to step ``dies`` (both inclusive), and the total.

    Large values are placed first; a value goes to the lowest gap between those it overlaps in time.
    """
    offsets: dict[int, int] = {}
    placed: list[tuple[int, int, int, int]] = []  # offset, end, born, dies
    total = 0
    for v in sorted(sizes, key=lambda v: (-sizes[v], v)):
        size = -(-sizes[v] // ALIGNMENT) * ALIGNMENT
        at = 0
        for offset, end, _, _ in sorted(p for p in placed if p[2] <= dies[v] and born[v] <= p[3]):
            if offset - at >= size:
                break
            at = max(at, end)
        offsets[v] = at
        placed.append((at, at + size, born[v], dies[v]))
        total = max(total, at + size)
    return offsets, total
