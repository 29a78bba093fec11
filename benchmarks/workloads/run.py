"""Measures workloads: every installed framework in processes of its own, which take turns."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from benchmarks.harness import (
    Contender,
    Entrant,
    Failed,
    Series,
    Settings,
    block,
    contenders,
    prepared,
    take_turns,
)
from benchmarks.peers import EAGER, OURS, Installed, entrants
from benchmarks.workloads.cases import TRAINED, WORKLOADS

# A peer is measured in one block alone where its step takes so much longer than the fastest peer's.
_SLOW = 8.0
_LONG = 20e-3  # and at least so many seconds
_PATIENCE = {"MLX": 10.0, "tinygrad": 10.0}  # for workloads of many cases
_SECONDS = {"matmul": 0.3, "conv": 0.1}  # at most: there are many cases
ALONE = (1, "matmul", "conv")  # what is also measured on one thread, beside PyTorch eager


def measure(
    workload: str, threads: int, chosen: Settings, there: Mapping[str, Installed], only: list[str] | None
) -> list[dict[str, Any]]:
    """An entry for each case of ``workload``: what each mode did."""
    racing = entrants(workload, there, only)
    if threads == 1 and workload in ALONE:
        racing = [e for e in racing if e.mode in (OURS, EAGER)]
    seconds = min(chosen.seconds, _SECONDS.get(workload, chosen.seconds))
    chosen = Settings(seconds, chosen.rounds, (threads,))
    found = []
    with contenders(racing, [threads]) as processes:
        wait_until_imported(processes)
        for case in WORKLOADS[workload]:
            print(f"  {case}, {threads} threads", file=sys.stderr, flush=True)
            series = race(list(zip(racing, processes, strict=True)), workload, case, chosen)
            found.append(
                {
                    "case": case, "threads": threads, "date": date.today().isoformat(), "seconds": seconds,
                    "modes": {s.mode: _kept(s) for s in series},
                }
            )  # fmt: skip
    return found


def wait_until_imported(processes: Sequence[Contender]) -> None:
    for c in processes:
        try:
            c.ask(do="finish")
        except Failed as e:
            print(f"    {c.mode}: {e}", file=sys.stderr, flush=True)


def race(
    pairs: Sequence[tuple[Entrant, Contender]], workload: str, case: str, chosen: Settings
) -> list[Series]:
    """Take the first steps one after the other, then let all that are not much too slow take turns."""
    series = []
    for e, c in pairs:
        patience = _PATIENCE.get(e.mode, e.patience) if len(WORKLOADS[workload]) > 1 else e.patience
        s = prepared(c, case, patience)
        if s.failed:
            print(f"    {s.mode}: {s.failed}", file=sys.stderr, flush=True)
        series.append(s)
    running = [(e, c, s) for (e, c), s in zip(pairs, series, strict=True) if not s.failed]
    fastest = min((min(s.first[1:]) for e, _, s in running if e.peer), default=math.inf)
    limit = max(_SLOW * fastest, _LONG)
    for e, c, s in running:
        if e.peer and min(s.first[1:]) > limit:
            block(c, s, case, chosen.seconds / 2)
            s.once = s.median > limit
            if s.once:
                s.peak = c.ask(do="finish")["peak"]
            else:  # its first steps alone were slow
                s.times, s.means = [], []
    take_turns([(c, s) for _, c, s in running if not s.once], case, chosen)
    for _, c, s in running:
        c.ask(do="forget", case=case)
        if case in TRAINED and not _falls(s):
            s.failed = f"the loss went from {s.first_values[0][0]} to {s.last[0]}"
    ours = next((s for s in series if s.mode == OURS and s.failed), None)
    if ours is not None:
        raise Failed(f"{case}: {ours.failed}")
    return series


def _falls(s: Series) -> bool:
    first, last = s.first_values[0][0], s.last[0]
    return math.isfinite(last) and (last < first or s.once)


def _kept(s: Series) -> dict[str, Any]:
    if s.failed:
        return {"failed": s.failed}
    return {"times": s.times, "first": s.first[0], "peak": s.peak} | ({"once": True} if s.once else {})
