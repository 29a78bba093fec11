"""Operands that stay from one run to the next, in the order in which kernels read them: packed once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flambeau.compiler.kernel import Call

LEAST = 1 << 15  # bytes: packing fewer at each run costs less than to look whether it was done


@dataclass(frozen=True, slots=True)
class Pack:
    """How the memory bound to the slot ``source`` is packed into ``nbytes`` at the slot ``slot``.

    ``key`` says in which order: packs of equal keys have equal results for the same contents.
    """

    source: int
    slot: int
    key: Any
    nbytes: int
    calls: list[Call]
