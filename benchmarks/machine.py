"""The machine: what it is, and what it can do at most.

Peak arithmetic is that of a loop of independent fused multiply-adds on registers, as generated code;
bandwidth that of copying arrays larger than all caches, counting what is read and what is written.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import platform
import threading
import time
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from benchmarks.tables import table
from flambeau.compiler import jit
from flambeau.compiler.target import Target

_CHAINS = 12  # more than latency times throughput of the unit, and few enough for 16 registers
_COPIED = 1 << 27  # bytes per thread


def description() -> str:
    """Date, processor, system and versions, one per line."""
    names = {"llvmlite": "llvmlite", "numpy": "NumPy", "torch": "PyTorch"}
    import flambeau as fb

    found = [f"flambeau {fb.__version__}"]
    for package, title in names.items():
        try:
            found.append(f"{title} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {title}")
    lines = [
        f"Date: {date.today().isoformat()}",
        f"Processor: {_processor()}, {len(_usable())} usable, vectors of {Target.host().vector_bits} bits",
        f"System: {platform.system()} {platform.machine()}, CPython {platform.python_version()}",
        f"Versions: {', '.join(found)}",
    ]
    return "\n".join(f"- {line}" for line in lines)


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


def peak_kernel() -> tuple[Callable[[int], float], int]:
    """A function of a number of rounds, and how many operations one round does."""
    target = Target.host()
    lanes = target.lanes(32)
    kind = f"<{lanes} x float>"
    phis = "\n".join(
        f"  %a{i} = phi {kind} [ zeroinitializer, %entry ], [ %b{i}, %loop ]" for i in range(_CHAINS)
    )
    steps = "\n".join(
        f"  %b{i} = call {kind} @llvm.fma.v{lanes}f32({kind} %x, {kind} %y, {kind} %a{i})"
        for i in range(_CHAINS)
    )
    sums = [f"  %s0 = fadd {kind} %b0, %b1"]
    sums += [f"  %s{i - 1} = fadd {kind} %s{i - 2}, %b{i}" for i in range(2, _CHAINS)]
    text = f"""
target triple = "{target.triple}"
declare {kind} @llvm.fma.v{lanes}f32({kind}, {kind}, {kind})
define float @measure_peak(i64 %rounds, float %value) {{
entry:
  %x0 = insertelement {kind} zeroinitializer, float %value, i32 0
  %x = shufflevector {kind} %x0, {kind} zeroinitializer, <{lanes} x i32> zeroinitializer
  %y = fadd {kind} %x, %x
  br label %loop
loop:
  %n = phi i64 [ 0, %entry ], [ %next, %loop ]
{phis}
{steps}
  %next = add i64 %n, 1
  %more = icmp ult i64 %next, %rounds
  br i1 %more, label %loop, label %done
done:
{chr(10).join(sums)}
  %result = extractelement {kind} %s{_CHAINS - 2}, i32 0
  ret float %result
}}
"""
    address = jit.load({"measure_peak": text}, target)["measure_peak"]
    call = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64, ctypes.c_float)(address)
    return lambda rounds: float(call(rounds, 1e-3)), 2 * lanes * _CHAINS


def together(works: Sequence[Callable[[], object]], pinned: Sequence[int]) -> float:
    """Seconds from the start of the first to the end of the last, each in a thread on its processor."""
    times: list[tuple[float, float]] = []
    gate = threading.Barrier(len(works))

    def run(work: Callable[[], object], processor: int) -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {processor})  # of this thread alone
        gate.wait()
        start = time.perf_counter()
        work()
        times.append((start, time.perf_counter()))

    threads = [threading.Thread(target=run, args=pair) for pair in zip(works, pinned, strict=True)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return max(end for _, end in times) - min(start for start, _ in times)


def limits(threads: int, rounds: int = 5) -> tuple[float, float]:
    """Peak float32 operations and bytes copied, per second on so many threads: the best of several rounds."""
    pinned = _usable()[:threads]
    kernel, operations = peak_kernel()
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
    print(description())
    print()
    print(report(measure(tuple(parser.parse_args().threads))))
