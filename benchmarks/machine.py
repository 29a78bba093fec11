"""The machine: what it is, and what it can do at most.

Peak arithmetic is that of a loop of independent fused multiply-adds on registers, as generated code;
bandwidth that of copying arrays larger than all caches, counting what is read and what is written.
"""

from __future__ import annotations

import argparse
import os
import platform
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.tables import table
from flambeau.compiler.target import Target
from flambeau.engine.machine import peak_kernel, together

_COPIED = 1 << 27  # bytes per thread


def description() -> list[str]:
    """Date, processor, system and what flambeau runs on."""
    return [
        f"Date: {date.today().isoformat()}",
        f"Processor: {_processor()}, {len(_usable())} usable, vectors of {Target.host().vector_bits} bits",
        f"System: {platform.system()} {platform.machine()}, CPython {platform.python_version()}, "
        f"NumPy {np.__version__}, llvmlite {version('llvmlite')}",
    ]


def _usable() -> list[int]:
    return (
        sorted(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else list(range(os.cpu_count() or 1))
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{name} ({Target.host().cpu})"


def limits(threads: int, rounds: int = 5) -> tuple[float, float]:
    """Peak float32 operations and bytes copied, per second on so many threads: the best of several rounds."""
    pinned = _usable()[:threads]
    kernel, operations = peak_kernel("fma")
    count = 4_000_000
    pairs = [(np.ones(_COPIED, np.uint8), np.zeros(_COPIED, np.uint8)) for _ in pinned]
    arithmetic = [lambda: kernel(count) for _ in pinned]
    copies = [partial(np.copyto, to, source) for to, source in pairs]
    peak = bandwidth = 0.0
    for _ in range(rounds):
        peak = max(peak, len(pinned) * operations * count / together(arithmetic, pinned))
        bandwidth = max(bandwidth, len(pinned) * 2 * _COPIED / together(copies, pinned))
    return peak, bandwidth


def report(found: dict[int, tuple[float, float]]) -> str:
    rows = [(str(n), f"{peak / 1e9:.0f}", f"{copied / 1e9:.1f}") for n, (peak, copied) in found.items()]
    text = table(("threads", "fused multiply-add, GFLOP/s", "copy, GB/s"), rows)
    if 1 in found:
        for n, (peak, _) in found.items():
            if peak < 0.9 * n * found[1][0]:
                text += f"\n\n**{n} threads did {peak / found[1][0]:.2f} times the work of one: " + (
                    f"the machine was shared, and figures for {n} threads mean nothing.**"
                )
    return text


def measure(threads: tuple[int, ...]) -> dict[int, tuple[float, float]]:
    """The limits for each number of threads."""
    return {n: limits(n) for n in threads if n <= len(_usable())}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=(1, 2))
    print("\n".join(description()))
    print()
    print(report(measure(tuple(parser.parse_args().threads))))
