"""Counts of what the engine did, asserted by tests and shown by ``fb.stats()``."""

from __future__ import annotations


class Counts:
    """Counters that only grow: plans built, programs run, structures partitioned."""

    __slots__ = ("partitions", "plans", "runs")

    def __init__(self) -> None:
        self.partitions = 0
        self.plans = 0
        self.runs = 0


COUNTS = Counts()
