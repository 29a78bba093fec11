"""Counts of what the engine did, asserted by tests and shown by ``fb.stats()``."""

from __future__ import annotations


class Counts:
    """Counters that only grow.

    ``plans`` recordings were planned, of which ``partitions`` had a structure not seen before;
    ``runs`` programs were run, with ``launches`` kernel launches and ``host_calls`` NumPy calls.
    """

    __slots__ = ("host_calls", "launches", "partitions", "plans", "runs")

    def __init__(self) -> None:
        self.partitions = 0
        self.plans = 0
        self.runs = 0
        self.launches = 0
        self.host_calls = 0


COUNTS = Counts()
