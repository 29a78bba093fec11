"""Positions of a convolution's results that meet the same elements of the window."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple


class Box(NamedTuple):
    """So many results (``counts``) from ``starts`` on along each axis, and what they meet of the window.

    These are ``taps`` elements from ``firsts`` on, along each axis.
    """

    starts: tuple[int, ...]
    counts: tuple[int, ...]
    firsts: tuple[int, ...]
    taps: tuple[int, ...]


class Meeting(NamedTuple):
    """How results meet the input along an axis.

    Result ``i`` and element ``j`` of the window meet element ``begin + i * step + j * within`` of the input,
    which has ``extent``.
    """

    results: int
    taps: int
    begin: int
    step: int
    within: int
    extent: int


def boxes_of(axes: Sequence[Meeting], apart: bool = False) -> list[Box]:
    """The boxes that all results fall into, in row-major order; with ``apart`` each position is one."""
    made = []
    for runs in itertools.product(*[_runs(axis, apart) for axis in axes]):
        start, count, first, taps = zip(*runs, strict=True) if runs else ((), (), (), ())
        made.append(Box(tuple(start), tuple(count), tuple(first), tuple(taps)))
    return made


def _runs(axis: Meeting, apart: bool) -> list[tuple[int, int, int, int]]:
    """Runs of neighbouring results that meet the same elements: start, count, first element, elements."""
    runs: list[tuple[int, int, int, int]] = []
    for i in range(axis.results):
        at = axis.begin + i * axis.step
        first = min(axis.taps, max(0, -(at // axis.within)))
        end = max(first, min(axis.taps, -((at - axis.extent) // axis.within)))
        met = (first, end - first) if end > first else (0, 0)
        if runs and runs[-1][2:] == met and not apart:
            start, count, *_ = runs[-1]
            runs[-1] = (start, count + 1, *met)
        else:
            runs.append((i, 1, *met))
    return runs
