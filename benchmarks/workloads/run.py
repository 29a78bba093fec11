"""Whole workloads: training steps, inference and memory-bound kernels, each in processes of its own.

python -m benchmarks.workloads.run                         # all
python -m benchmarks.workloads.run --only mlp gelu         # some: merged into the kept results
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.harness import (
    OTHERS,
    ROOT,
    Series,
    Settings,
    add_arguments,
    compete,
    contenders,
    ratio,
    settings_of,
)
from benchmarks.tables import duration, geometric_mean, megabytes, table
from benchmarks.worker import Step
from benchmarks.workloads.inputs import NAMES, TRAINED

TITLE = "Whole workloads"
KEPT = ROOT / "benchmarks" / "results" / "workloads.json"
OURS = "flambeau"
# The modes, the package each needs, and the file that has its networks.
MODES = {
    OURS: ("flambeau", "benchmarks.workloads.ours"),
    "flambeau compiled": ("flambeau", "benchmarks.workloads.ours"),
    "PyTorch eager": ("torch", "benchmarks.workloads.torch_models"),
}


def build(mode: str, case: str) -> Step:
    made: Step = importlib.import_module(MODES[mode][1]).build(mode, case)
    return made


def measure(name: str, modes: list[str], threads: int, chosen: Settings) -> list[dict[str, Any]]:
    """What each mode did on workload ``name``; a loss that does not fall is an error."""
    with contenders("benchmarks.workloads.run", modes, [threads]) as racing:
        series = compete(racing, name, chosen)
    if name in TRAINED:
        for s in series:
            if not s.last[0] < s.first_values[0][0]:
                raise AssertionError(
                    f"{s.mode} on {name}: the loss went from {s.first_values[0]} to {s.last}"
                )
    peers = [s for s in series if not s.mode.startswith(OURS)]
    fastest = min(peers, key=_median, default=None)
    return [_row(name, s, fastest) for s in series]


def _median(s: Series) -> float:
    return s.median


def _row(name: str, s: Series, fastest: Series | None) -> dict[str, Any]:
    return {
        "workload": name, "mode": s.mode, "threads": s.threads, "median": s.median, "minimum": s.best,
        "first": s.first[0], "peak": s.peak, "ratio": ratio(fastest, s) if fastest else None,
    }  # fmt: skip


def merge(kept: Path, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put what was found in the place of older rows of the same workloads and threads, and keep it."""
    old = json.loads(kept.read_text()) if kept.exists() else []
    new = {(r["workload"], r["threads"]) for r in found}
    rows = [r for r in old if (r["workload"], r["threads"]) not in new] + found
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(rows, indent=1) + "\n")
    return rows


def report(rows: list[dict[str, Any]]) -> str:
    """A table; speeds are relative to the fastest peer: above 1, that mode is faster."""
    head = ("", "threads", "median", "minimum", "speed", "first step", "peak memory")
    lines = [
        (
            f"{r['workload']}, {r['mode']}", str(r["threads"]), duration(r["median"]), duration(r["minimum"]),
            "" if r["ratio"] is None else f"{r['ratio']:.2f}", duration(r["first"]), megabytes(r["peak"]),
        )
        for r in sorted(rows, key=_place)
    ]  # fmt: skip
    parts = [table(head, lines)]
    for mode in MODES:
        ratios = [r["ratio"] for r in rows if r["mode"] == mode and r["ratio"] is not None]
        if ratios and mode.startswith(OURS):
            parts.append(f"Geometric mean of the speed, {mode}: {geometric_mean(ratios):.2f}.")
    missing = [mode for mode, (package, _) in MODES.items() if find_spec(package) is None]
    parts += [f"Not installed, so not measured: {', '.join(missing)}."] if missing else []
    return "\n\n".join(parts)


def _place(row: dict[str, Any]) -> tuple[int, int, int]:
    return NAMES.index(row["workload"]), row["threads"], list(MODES).index(row["mode"])


def run(chosen: Settings, names: tuple[str, ...] = NAMES, kept: Path = KEPT) -> str:
    modes = [mode for mode, (package, _) in MODES.items() if find_spec(package)]
    rows: list[dict[str, Any]] = []
    for name in names:
        for threads in chosen.threads:
            print(f"  {name}, {threads} threads", file=sys.stderr, flush=True)
            rows = merge(kept, measure(name, modes, threads, chosen))
    return report(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="which workloads (all)")
    parser.add_argument("--kept", type=Path, default=KEPT, help="where results are kept (%(default)s)")
    asked = add_arguments(parser).parse_args()
    print(run(settings_of(asked), tuple(asked.only), asked.kept))
    print(OTHERS.note())


if __name__ == "__main__":
    main()
