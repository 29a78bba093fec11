"""The machine's limits, measured once and kept: arithmetic, memory, cache, and what a launch costs.

They are what ``fb.explain`` holds kernels against.  Peak arithmetic is that of a loop of
independent fused multiply-adds on registers, and the rate of other instructions that of a mixture
of additions, multiplications and integer operations; bandwidth is that of copying arrays, counting
what is read and what is written, well inside of each cache or larger than all of them.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from flambeau.compiler import cache, jit
from flambeau.compiler.caches import cache_sizes
from flambeau.compiler.cpus import available
from flambeau.compiler.target import Target
from flambeau.dtypes import float32
from flambeau.graph.builder import GraphBuilder
from flambeau.graph.graph import Graph
from flambeau.graph.types import TensorType
from flambeau.primitives.elementwise import add
from flambeau.runtime.driver import Program

_VERSION = "machine model 3"
_CHAINS = 12  # more than latency times throughput of the unit, and few enough for 16 registers
_ROUNDS = 5
_SHORT_ROUNDS = 20  # of what takes a millisecond
_ATTEMPTS = 4
_VECTORS = 8  # copied in one round of a loop
_FEWEST, _MOST = 1e2, 1e18  # what a figure may be, per second


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine can do at most, on one thread and on ``threads``.

    ``flops`` are float32 operations per second, a fused multiply-add being two; ``issue`` other simple
    instructions per second, counted per element; ``memory`` and, for each level of caches from the
    nearest on, ``caches`` bytes per second read and written by a copy; ``sizes`` the bytes that stay in
    the caches; ``launch`` the seconds a kernel's launch takes; ``lanes`` the float32 elements of a
    vector.
    """

    threads: int
    lanes: int
    sizes: tuple[int, ...]
    flops: tuple[float, float]
    issue: tuple[float, float]
    memory: tuple[float, float]
    caches: tuple[tuple[float, float], ...]
    launch: float
    attempts: int = 1

    @property
    def disturbed(self) -> bool:
        """Whether other work may have kept a processor busy: all threads did hardly more than one."""
        return any(whole < 0.75 * self.threads * one for one, whole in (self.flops, self.issue))

    def best(self, other: Machine) -> Machine:
        """The higher limits of two measurements."""

        def higher(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
            return max(a[0], b[0]), max(a[1], b[1])

        return replace(
            self,
            flops=higher(self.flops, other.flops),
            issue=higher(self.issue, other.issue),
            memory=higher(self.memory, other.memory),
            caches=tuple(map(higher, self.caches, other.caches)),
            launch=min(self.launch, other.launch),
            attempts=self.attempts + other.attempts,
        )

    def at(self, limits: tuple[float, float], threads: int) -> float:
        """A limit on so many threads."""
        one, whole = limits
        return one if threads <= 1 else min(whole, one * threads)

    def __str__(self) -> str:
        def both(limits: tuple[float, float], digits: int) -> str:
            one, whole = [f"{x / 1e9:.{digits}f}" for x in limits]
            return one if self.threads == 1 else f"{one} ({self.threads} threads: {whole})"

        return (
            f"{both(self.flops, 0)} GFLOP/s, other instructions {both(self.issue, 0)} G/s, "
            f"memory {both(self.memory, 1)} GB/s, "
            f"caches {', '.join([both(rate, 0) for rate in self.caches])} GB/s, "
            f"launch {self.launch * 1e9:.0f} ns"
        )


_known: Machine | None = None


def machine() -> Machine:
    """This machine: as measured before, in this process or an earlier one, or measured now (below a second).

    What other work may have disturbed is measured again by later processes, a few times.
    """
    global _known
    threads = available()
    if _known is None or _known.threads != threads:
        key = _key(threads)
        kept = cache.current().load(key)
        found = None if kept is None else _read(kept, threads)
        if found is None or (found.disturbed and found.attempts < _ATTEMPTS):
            new = measure(threads)
            found = new if found is None else found.best(new)
            cache.current().store(key, json.dumps(asdict(found)).encode())
        _known = found
    return _known


def _key(threads: int) -> bytes:
    """What the figures hold for."""
    names = (_VERSION, platform.node(), Target.host().key, str(threads), str(cache_sizes()))
    return hashlib.sha256("\n".join(names).encode()).digest()


def _read(payload: bytes, threads: int) -> Machine | None:
    """A machine that was written by ``machine``; None where it makes no sense."""
    try:
        words = json.loads(payload)
        flops, issue, memory, *caches = [
            (float(a), float(b))
            for a, b in (words["flops"], words["issue"], words["memory"], *words["caches"])
        ]
        found = Machine(
            int(words["threads"]), int(words["lanes"]), tuple([int(n) for n in words["sizes"]]),
            flops, issue, memory, tuple(caches), float(words["launch"]), int(words["attempts"]),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError):
        return None
    levels = [rate for level in caches for rate in level]
    rates = (*flops, *issue, *memory, *levels, 1 / found.launch if found.launch > 0 else 0.0)
    sensible = all(_FEWEST < rate < _MOST for rate in rates) and found.lanes > 0
    sensible = sensible and len(caches) == len(found.sizes) and all(n > 0 for n in found.sizes)
    return found if sensible and found.threads == threads else None


# Measuring --------------------------------------------------------------------------------------


def measure(threads: int) -> Machine:
    """Measure now; takes below a second."""
    sizes = cache_sizes()
    large = max(32 << 20, min(sizes[-1], 64 << 20))
    if len(sizes) > 1:  # others use the last one as well
        sizes = (*sizes[:-1], max(sizes[-2], min(sizes[-1], 32 << 20) // 2))
    peak, operations = peak_kernel("fma")
    mixed, instructions = peak_kernel("mixed")
    count = 100_000
    flops, issue, memory = [], [], []
    caches: list[list[float]] = [[] for _ in sizes]
    for n in dict.fromkeys((1, threads)):
        works = [partial(peak, count) for _ in range(n)]
        flops.append(n * count * operations / _best(works, _SHORT_ROUNDS))
        works = [partial(mixed, count) for _ in range(n)]
        issue.append(n * count * instructions / _best(works, _SHORT_ROUNDS))
        memory.append(2 * n * large / _best([_copies(large, 1) for _ in range(n)]))
        for size, found in zip(sizes, caches, strict=True):
            small = max(1 << 12, size // 4 // n if size == sizes[-1] else size // 4)
            repeats = max(1, (8 << 20) // small)
            streams = [_streams(small, repeats) for _ in range(n)]
            found.append(2 * n * small * repeats / _best(streams, _SHORT_ROUNDS))

    def two(found: list[float]) -> tuple[float, float]:
        return found[0], max(found)

    lanes = Target.host().lanes(32)
    return Machine(
        threads,
        lanes,
        sizes,
        two(flops),
        two(issue),
        two(memory),
        tuple([two(found) for found in caches]),
        _launch(),
    )


def _streams(nbytes: int, repeats: int) -> Callable[[], None]:
    """A function of native code that copies so many bytes some times."""
    target = Target.host()
    lanes = target.lanes(32)
    kind = f"<{lanes} x i32>"
    body = []
    for i in range(_VECTORS):
        body.append(f"  %p{i} = getelementptr {kind}, ptr %p, i64 {i}")
        body.append(f"  %q{i} = getelementptr {kind}, ptr %q, i64 {i}")
        body.append(f"  %v{i} = load volatile {kind}, ptr %p{i}, align 64")
    body += [f"  store volatile {kind} %v{i}, ptr %q{i}, align 64" for i in range(_VECTORS)]
    newline = "\n"
    step = _VECTORS * lanes * 4
    text = f"""
target triple = "{target.triple}"
define void @measure_stream(ptr %from, ptr %to, i64 %rounds, i64 %repeats) {{
entry:
  br label %again
again:
  %r = phi i64 [ 0, %entry ], [ %turn, %end ]
  br label %loop
loop:
  %n = phi i64 [ 0, %again ], [ %next, %loop ]
  %at = mul i64 %n, {step}
  %p = getelementptr i8, ptr %from, i64 %at
  %q = getelementptr i8, ptr %to, i64 %at
{newline.join(body)}
  %next = add i64 %n, 1
  %more = icmp ult i64 %next, %rounds
  br i1 %more, label %loop, label %end
end:
  %turn = add i64 %r, 1
  %on = icmp ult i64 %turn, %repeats
  br i1 %on, label %again, label %done
done:
  ret void
}}
"""
    address = jit.load({"measure_stream": text}, target)["measure_stream"]
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(address)
    memory = np.ones(2 * nbytes + 64, np.uint8)
    start = -(-memory.ctypes.data // 64) * 64

    def stream() -> None:
        call(start, start + nbytes, nbytes // step, repeats)
        assert memory is not None  # alive until here

    return stream


def _copies(nbytes: int, repeats: int) -> Callable[[], None]:
    """A function that copies so many bytes some times, after it has touched them."""
    source, to = np.ones(nbytes, np.uint8), np.zeros(nbytes, np.uint8)
    np.copyto(to, source)

    def copy() -> None:
        for _ in range(repeats):
            np.copyto(to, source)

    return copy


def _best(works: Sequence[Callable[[], object]], rounds: int = _ROUNDS) -> float:
    """The fewest seconds of several rounds."""
    return min(together(works) for _ in range(rounds))


def together(works: Sequence[Callable[[], object]], pinned: Sequence[int] = ()) -> float:
    """Seconds from the start of the first to the end of the last, each in a thread of its own.

    Each thread stays on one of the ``pinned`` processors where these are given, one for each.
    """
    times: list[tuple[float, float]] = []
    gate = threading.Barrier(len(works))

    def run(work: Callable[[], object], processor: int | None) -> None:
        if processor is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {processor})  # of this thread alone
        gate.wait()
        start = time.perf_counter()
        work()
        times.append((start, time.perf_counter()))

    places: Sequence[int | None] = pinned or [None] * len(works)
    threads = [threading.Thread(target=run, args=pair) for pair in zip(works, places, strict=True)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return max(end for _, end in times) - min(start for start, _ in times)


def peak_kernel(what: str) -> tuple[Callable[[int], float], int]:
    """A function of a number of rounds of independent instructions, and how many operations a round does.

    ``what`` is "fma", each of which is two operations per element, or "mixed", where each is one.
    """
    target = Target.host()
    lanes = target.lanes(32)
    kind, whole = f"<{lanes} x float>", f"<{lanes} x i32>"
    product = f"call {kind} @llvm.fma.v{lanes}f32({kind} %x, {kind} %y, {kind} %a"
    mixed = (f"fadd {kind} %x, %a", f"fmul {kind} %x, %a", f"add {whole} %z, %a", f"xor {whole} %z, %a")
    phis, steps, ends = [], [], []
    for i in range(_CHAINS):
        own = whole if what == "mixed" and i % 4 >= 2 else kind
        phis.append(f"  %a{i} = phi {own} [ zeroinitializer, %entry ], [ %b{i}, %loop ]")
        steps.append(f"  %b{i} = " + (f"{mixed[i % 4]}{i}" if what == "mixed" else f"{product}{i})"))
        ends.append(f"  %e{i} = bitcast {own} %b{i} to {kind}")
    ends.append(f"  %s0 = fadd {kind} %e0, %e1")
    ends += [f"  %s{i - 1} = fadd {kind} %s{i - 2}, %e{i}" for i in range(2, _CHAINS)]
    newline = "\n"
    text = f"""
target triple = "{target.triple}"
declare {kind} @llvm.fma.v{lanes}f32({kind}, {kind}, {kind})
define float @measure_{what}(i64 %rounds, float %value) {{
entry:
  %x0 = insertelement {kind} zeroinitializer, float %value, i32 0
  %x = shufflevector {kind} %x0, {kind} zeroinitializer, <{lanes} x i32> zeroinitializer
  %y = fadd {kind} %x, %x
  %z = bitcast {kind} %y to {whole}
  br label %loop
loop:
  %n = phi i64 [ 0, %entry ], [ %next, %loop ]
{newline.join(phis)}
{newline.join(steps)}
  %next = add i64 %n, 1
  %more = icmp ult i64 %next, %rounds
  br i1 %more, label %loop, label %done
done:
{newline.join(ends)}
  %result = extractelement {kind} %s{_CHAINS - 2}, i32 0
  ret float %result
}}
"""
    address = jit.load({f"measure_{what}": text}, target)[f"measure_{what}"]
    call = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64, ctypes.c_float)(address)
    return lambda rounds: float(call(rounds, 1e-3)), lanes * _CHAINS * (2 if what == "fma" else 1)


def _launch() -> float:
    """Seconds per launch of a kernel that adds two numbers."""
    from flambeau.engine.executors import executor

    builder = GraphBuilder()
    with builder:
        x = builder.input(TensorType((1,), float32))
        y = add(x, x)
    native: Any = executor("llvm")
    graph = Graph(builder.types, builder.inputs, builder.nodes, [y.id])
    plan = native.plan(graph, frozenset(), 0)
    count = 1000
    program = Program(plan.operations() * count, native.kernels.load(), plan.slots)
    memory = np.zeros((plan.slots, 16), np.float32)
    bases = [memory.ctypes.data + 64 * i for i in range(plan.slots)]
    found = []
    for _ in range(_SHORT_ROUNDS):
        start = time.perf_counter()
        program.run(bases)
        found.append(time.perf_counter() - start)
    return min(found) / count
