"""``fb.stats()``: what was compiled, planned and run, and what is held now."""

from __future__ import annotations

from dataclasses import dataclass

from flambeau.compiler.jit import counters
from flambeau.counts import COUNTS
from flambeau.engine.tape import THREAD, TRIE
from flambeau.runtime import buffers


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since the process began, and what is held now.

    Grown so far: ``kernels_compiled`` by LLVM and ``kernels_from_disk``, ``partitions`` of new
    structures, ``plans`` for new sizes or handles, ``runs`` of programs, kernel ``launches``,
    ``host_calls``.  Held now: ``pending`` values of this thread's recording, ``states`` of
    recordings that are remembered, ``buffers`` in use, their ``bytes``, and the ``peak_bytes``.
    """

    kernels_compiled: int
    kernels_from_disk: int
    partitions: int
    plans: int
    runs: int
    launches: int
    host_calls: int
    pending: int
    states: int
    buffers: int
    bytes: int
    peak_bytes: int


def stats() -> Stats:
    """What was compiled, planned and run, and what is held now.

    >>> import flambeau as fb
    >>> before = fb.stats().plans
    >>> _ = fb.ones(3).numpy()
    >>> fb.stats().plans - before <= 1
    True
    """
    memory = buffers.stats()
    return Stats(
        counters.compiled,
        counters.from_disk,
        COUNTS.partitions,
        COUNTS.plans,
        COUNTS.runs,
        COUNTS.launches,
        COUNTS.host_calls,
        len(THREAD.tape.index),
        TRIE.size,
        memory.live_buffers,
        memory.live_bytes,
        memory.peak_bytes,
    )
