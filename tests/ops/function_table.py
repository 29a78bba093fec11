"""Every function that is compared with PyTorch and with finite differences."""

from __future__ import annotations

from tests.ops.families import arranging, elementwise, layers, matrices, reductions, selecting
from tests.ops.families.case import Case

CASES: list[Case] = [
    *elementwise.CASES,
    *reductions.CASES,
    *arranging.CASES,
    *selecting.CASES,
    *matrices.CASES,
    *layers.CASES,
]


def _unique(cases: list[Case]) -> list[Case]:
    """The cases, each with an id of its own."""
    seen: set[str] = set()
    for c in cases:
        if c.id in seen:
            raise ValueError(f"two cases are called {c.id!r}: give one a variant")
        seen.add(c.id)
    return cases


_unique(CASES)
DIFFERENTIABLE = [c for c in CASES if c.differentiable]


def functions(public: bool = True) -> set[str]:
    """The names of the differentiable functions in the table, without variants of one function.

    What is only a composition of other functions here does not count.
    """
    return {c.name for c in DIFFERENTIABLE if c.public is public and c.variant != "composed"}
