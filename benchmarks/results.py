"""What was measured, kept in one file: a case that is measured again takes the place of what it was."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT
from benchmarks.peers import COMPILED, MODES, OURS
from benchmarks.tables import geometric_mean
from benchmarks.workloads.cases import NETWORKS, STREAMS, WORKLOADS

KEPT = ROOT / "benchmarks" / "results.json"


@dataclass
class Entry:
    """One case on so many threads: the blocks of each mode, in seconds per step."""

    case: str
    threads: int
    date: str
    seconds: float
    modes: dict[str, dict[str, Any]]

    def times(self, mode: str) -> list[float]:
        return self.modes.get(mode, {}).get("times", []) if "failed" not in self.modes.get(mode, {}) else []

    def median(self, mode: str) -> float | None:
        times = self.times(mode)
        return statistics.median(times) if times else None

    def least(self, mode: str) -> float | None:
        return min(self.times(mode), default=None)

    def value(self, mode: str, what: str) -> float | None:
        """The first step's seconds or the peak of memory."""
        found = self.modes.get(mode, {}).get(what)
        return None if found is None else float(found)

    @property
    def best_of_ours(self) -> str:
        return COMPILED if self.times(COMPILED) else OURS

    def peers(self) -> list[str]:
        """The peers that were measured in all rounds."""
        return [
            m for m in self.modes if MODES[m].framework != "flambeau" and self.times(m) and not self.once(m)
        ]

    def once(self, mode: str) -> bool:
        """Whether it was so slow that it was measured in one block alone."""
        return bool(self.modes[mode].get("once"))

    def fastest_peer(self, plain: bool | None = None) -> str | None:
        """The peer with the least median, among those that dispatch operations one by one or do not."""
        found = [m for m in self.peers() if plain is None or MODES[m].plain == plain]
        return min(found, key=self._median, default=None)

    def _median(self, mode: str) -> float:
        return statistics.median(self.times(mode))

    def speed(self, mode: str, of: str | None) -> float | None:
        """How many times as fast ``mode`` is as ``of``: the median of the ratios within each round."""
        ours, theirs = self.times(mode), self.times(of) if of else []
        if not ours or not theirs:
            return None
        if len(ours) != len(theirs):  # one was measured once
            return statistics.median(theirs) / statistics.median(ours)
        return statistics.median(b / a for a, b in zip(ours, theirs, strict=True))


@dataclass
class Results:
    """All that is kept: the machine of the last run, its limits, and an entry for each case."""

    machine: list[str] = field(default_factory=list)
    limits: dict[int, tuple[float, float]] = field(default_factory=dict)
    busy: float = 0.0
    rounds: int = 0
    entries: dict[tuple[str, int], Entry] = field(default_factory=dict)
    imports: list[dict[str, Any]] = field(default_factory=list)
    cold: dict[str, Any] = field(default_factory=dict)
    looks: dict[str, dict[str, str]] = field(default_factory=dict)  # closer looks: name, then date and text

    def add(self, found: Iterable[dict[str, Any]]) -> None:
        for entry in (Entry(**f) for f in found):
            self.entries[entry.case, entry.threads] = entry

    def of(self, workload: str, threads: int) -> Iterator[Entry]:
        """The entries of a workload that are there."""
        for case in WORKLOADS[workload]:
            if (case, threads) in self.entries:
                yield self.entries[case, threads]

    def speed(self, workload: str, threads: int) -> float | None:
        """Ours over the fastest peer's on a workload: over several cases, the geometric mean."""
        found = [e.speed(e.best_of_ours, e.fastest_peer()) for e in self.of(workload, threads)]
        ratios = [r for r in found if r is not None]
        return geometric_mean(ratios) if ratios else None

    def mean_speed(self, threads: int) -> float | None:
        """The geometric mean over the workloads, without the smallest, which is nearly all overhead."""
        names = [*(n for n in NETWORKS if n != "mlp_small"), *STREAMS, "matmul", "conv"]
        found = [self.speed(n, threads) for n in names]
        ratios = [r for r in found if r is not None]
        return geometric_mean(ratios) if ratios else None


def load(kept: Path = KEPT) -> Results:
    if not kept.exists():
        return Results()
    read = json.loads(kept.read_text())
    results = Results(
        read["machine"], {int(n): (a, b) for n, (a, b) in read["limits"].items()}, read["busy"],
        read["rounds"], imports=read["imports"], cold=read["cold"], looks=read["looks"],
    )  # fmt: skip
    results.add(read["entries"])
    return results


def save(results: Results, kept: Path = KEPT) -> None:
    order = [case for cases in WORKLOADS.values() for case in cases]
    entries = sorted(results.entries.values(), key=lambda e: (order.index(e.case), e.threads))
    written = {
        "machine": results.machine, "limits": results.limits, "busy": results.busy,
        "rounds": results.rounds, "imports": results.imports, "cold": results.cold, "looks": results.looks,
        "entries": [rounded(vars(e)) for e in entries],
    }  # fmt: skip
    lines = json.dumps({**written, "entries": []}, indent=1).rsplit('"entries": []', 1)
    each = ",\n  ".join(json.dumps(e) for e in written["entries"])
    kept.write_text(
        f'{lines[0]}"entries": [\n  {each}\n ]{lines[1]}\n' if each else json.dumps(written) + "\n"
    )


def rounded(value: Any) -> Any:
    """The same with numbers of five digits."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, list) else value
