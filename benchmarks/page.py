"""The results as Markdown: the tables of docs/benchmarks.md and the paragraph of the README."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks import machine
from benchmarks.harness import ROOT
from benchmarks.peers import COMPILED, EAGER, MODES, OURS
from benchmarks.results import Entry, Results
from benchmarks.tables import duration, geometric_mean, megabytes, percent, table
from benchmarks.workloads.cases import (
    CHAIN,
    NETWORKS,
    OPERATIONS,
    STREAMS,
    TRAFFIC,
    TRAINED,
    convolution,
    operations,
)

PAGE = ROOT / "docs" / "benchmarks.md"
README = ROOT / "README.md"
BEGIN = "<!-- results: written by python -m benchmarks --write -->"
END = "<!-- end of results -->"

_PICTURED = "Speed of each framework on each workload, the fastest peer being 1"
_WHOLE = (*NETWORKS, *STREAMS)
_SHORT = {"flambeau compiled": "compiled", "flambeau": "define-by-run"}


def put(text: str, found: str) -> str:
    """``text`` with what stands between its two marks replaced."""
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"there is no place for results: the lines {BEGIN!r} and {END!r} are missing")
    return f"{before}{BEGIN}\n\n{found}\n\n{END}{after}"


def sections(results: Results, threads: int = 2) -> str:
    """All tables of the page, of what there is."""
    parts = ["\n".join(f"- {line}" for line in results.machine)] if results.machine else []
    if results.limits:
        parts += ["### Limits of the machine", machine.report(results.limits)]
    if results.entries:
        parts.append(f"![{_PICTURED}](pictures/benchmarks.svg)")
    for title, make in (
        ("Speed", _speeds), ("Time of a step", _times), ("First step", _firsts),
        ("Peak memory", _peaks), ("Single operations", _overheads), ("Matrix products", _products),
        ("Convolutions", _convolutions), ("Import and cold start", _starts),
    ):  # fmt: skip
        made = make(results, threads)
        if made:
            parts += [f"### {title}", made]
    for look in results.looks.values():
        parts += [f"### {look['title']}", look["text"]]
    parts += _closing(results)
    return "\n\n".join(parts)


def _closing(results: Results) -> list[str]:
    newest = max((e.date for e in results.entries.values()), default="")
    older = sorted({f"{e.case} ({e.date})" for e in results.entries.values() if e.date < newest})
    notes = [f"Measured before the rest: {', '.join(older)}."] if older else []
    if results.rounds:
        notes.append(
            f"{results.rounds} rounds. Other processes kept {results.busy:.2f} processors busy meanwhile."
        )
    return [" ".join(notes)] if notes else []


def _whole(results: Results, threads: int) -> list[Entry]:
    return [e for name in _WHOLE for e in results.of(name, threads)]


def _present(entries: Sequence[Entry]) -> list[str]:
    return [m for m in MODES if any(m in e.modes for e in entries)]


def number(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _speeds(results: Results, threads: int) -> str:
    """The table that says it all: ours beside the fastest peer, and how near the machine's limit."""
    rows = []
    for e in _whole(results, threads):
        peer, ours = e.fastest_peer(), e.best_of_ours
        rows.append(
            (
                e.case, *(_cell(e, m) for m in (COMPILED, OURS)), peer or "", _cell(e, peer),
                number(e.speed(ours, peer)), number(e.speed(OURS, COMPILED)), _limit(e, results),
            )
        )  # fmt: skip
    for name in ("matmul", "conv"):
        ratio = results.speed(name, threads)
        if ratio is not None:
            rows.append((f"{name}, in the mean", "", "", "", "", number(ratio), "", ""))
    if not rows:
        return ""
    head = (
        f"{threads} threads", "compiled", "define-by-run", "fastest peer", "its time", "speed",
        "define-by-run", "of the limit",
    )  # fmt: skip
    mean = results.mean_speed(threads)
    notes = [
        table(head, rows),
        "`speed` is flambeau's (compiled) over the fastest peer's, `define-by-run` that of the same code "
        "without `fb.compile` over its speed with it.",
    ]
    if mean is not None:
        notes.append(f"Geometric mean of the speed, without mlp_small: **{mean:.2f}**.")
    return "\n\n".join(notes)


def _limit(e: Entry, results: Results) -> str:
    """The share of copying's bandwidth that a step limited by memory reaches."""
    least = e.least(e.best_of_ours)
    if e.case not in TRAFFIC or least is None or e.threads not in results.limits:
        return ""
    rate = TRAFFIC[e.case] / least
    return f"{rate / 1e9:.0f} GB/s, {percent(rate / results.limits[e.threads][1])}"


def _cell(e: Entry, mode: str | None) -> str:
    median = e.median(mode) if mode else None
    return "" if median is None else duration(median)


def _grid(
    results: Results, threads: int, cell: Callable[[Entry, str], str], names: Sequence[str] = _WHOLE
) -> str:
    entries = [e for name in names for e in results.of(name, threads)]
    modes = _present(entries)
    return table(("", *modes), [(e.case, *(cell(e, m) for m in modes)) for e in entries]) if entries else ""


def _times(results: Results, threads: int) -> str:
    failures: dict[str, list[str]] = {}

    def cell(e: Entry, mode: str) -> str:
        if "failed" in e.modes.get(mode, {}):
            failures.setdefault(f"{mode}: {e.modes[mode]['failed']}", []).append(e.case)
            return "-"
        text = _cell(e, mode)
        return f"{text} *" if text and e.once(mode) else text

    made = _grid(results, threads, cell)
    if not made:
        return ""
    notes = [
        f"Medians over the blocks, {threads} threads. `*`: so much slower than the fastest peer that one "
        "block was enough. `-`: not measured."
    ]
    notes += [f"- {reason}: {', '.join(cases)}" for reason, cases in failures.items()]
    return f"{made}\n\n{notes[0]}" + ("\n\n" + "\n".join(notes[1:]) if notes[1:] else "")


def _firsts(results: Results, threads: int) -> str:
    def cell(e: Entry, mode: str) -> str:
        found = e.value(mode, "first")
        return "" if found is None else duration(found)

    made = _grid(results, threads, cell)
    return made and f"{made}\n\nCompilation included, imports excluded; nothing was compiled before."


def _peaks(results: Results, threads: int) -> str:
    def cell(e: Entry, mode: str) -> str:
        found = e.value(mode, "peak")
        return megabytes(found) if found else ""

    made = _grid(results, threads, cell)
    return made and f"{made}\n\nOf the whole process, imports included. {memory_note(results, threads)}"


def memory_note(results: Results, threads: int) -> str:
    """Where training takes more memory at its peak than PyTorch eager does."""
    above = []
    for e in _whole(results, threads):
        theirs = e.value(EAGER, "peak")
        for mode in (OURS, COMPILED):
            ours = e.value(mode, "peak")
            if e.case in TRAINED and ours and theirs and ours > theirs:
                above.append(f"{e.case}, {_SHORT[mode]} ({megabytes(ours)} to {megabytes(theirs)})")
    if not above:
        return "No training workload takes more in flambeau than in PyTorch eager."
    return f"**More than PyTorch eager: {'; '.join(above)}.**"


def _overheads(results: Results, threads: int) -> str:
    entries = [e for name in OPERATIONS for e in results.of(name, threads)]
    if not entries:
        return ""
    parts = []
    for plain, title in ((True, "µs per operation, one by one"), (False, "µs per operation, whole graphs")):
        modes = [m for m in _present(entries) if MODES[m].plain == plain]
        rows = []
        for e in entries:
            ours = OURS if plain else COMPILED
            if any(e.times(m) for m in modes):
                count = 1 if e.case == "op_single" else 2 * CHAIN
                cells = ("" if (t := e.median(m)) is None else f"{t / count * 1e6:.3g}" for m in modes)
                rows.append((e.case, *cells, number(e.speed(ours, e.fastest_peer(plain)))))
        if rows:
            parts.append(table((title, *modes, "speed"), rows))
    parts.append(
        "`speed` is flambeau's over that of the fastest peer of the same kind. flambeau records what is "
        "written one by one, and runs it fused when the value is read."
    )
    return "\n\n".join(parts)


def _rates(results: Results, workload: str, threads: int, title: Callable[[str], str]) -> str:
    """GFLOP/s of each mode, our share of the peak, and our speed over the fastest peer's."""
    entries = list(results.of(workload, threads))
    if not entries:
        return ""
    modes = _present(entries)
    peak = results.limits.get(threads, (0.0, 0.0))[0]
    rows, ratios = [], []
    for e in entries:
        work = operations(e.case) or 0.0
        cells = ("" if (t := e.median(m)) is None else f"{work / t / 1e9:.1f}" for m in modes)
        least, ratio = e.least(OURS), e.speed(e.best_of_ours, e.fastest_peer())
        share = percent(work / least / peak) if least and peak else ""
        ratios += [ratio] if ratio is not None else []
        rows.append((title(e.case), *cells, share, number(ratio)))
    head = (f"GFLOP/s, {threads} thread{'s' if threads > 1 else ''}", *modes, "of the peak", "speed")
    notes = [f"Geometric mean of the speed: {geometric_mean(ratios):.2f}."] if ratios else []
    given_up = [m for m in modes if any("failed" in e.modes.get(m, {}) for e in entries)]
    if given_up:
        notes.append(f"Too slow to wait for all of them: {', '.join(given_up)}.")
    return f"{table(head, rows)}\n\n{' '.join(notes)}" if notes else table(head, rows)


def _products(results: Results, threads: int) -> str:
    def title(case: str) -> str:
        return case.removeprefix("matmul_")

    found = [_rates(results, "matmul", n, title) for n in (1, threads)]
    return "\n\n".join(f for f in found if f)


def _convolutions(results: Results, threads: int) -> str:
    found = [_rates(results, "conv", n, lambda case: convolution(case).title) for n in (1, threads)]
    return "\n\n".join(f for f in found if f)


def _starts(results: Results, threads: int) -> str:
    parts = []
    if results.imports:
        rows = [
            (
                r["framework"], duration(r["seconds"]), duration(r["least"]), megabytes(r["resident"]),
                str(r["modules"]), *(megabytes(r[k]) if r[k] else "unknown" for k in ("own", "whole")),
            )
            for r in results.imports
        ]  # fmt: skip
        head = (
            "", "import", "minimum", "memory after", "modules", "own size", "with what it requires",
        )  # fmt: skip
        parts.append(table(head, rows))
    if results.cold:
        c = results.cold
        parts.append(
            "From the first line of the README's example to the end of its first step, import included: "
            f"{duration(c['empty'])} where nothing was compiled before, {duration(c['warm'])} afterwards; "
            f"{c['kernels']} kernels."
        )
    return "\n\n".join(parts)


def readme(results: Results, threads: int = 2) -> str:
    """The README's table: every whole workload beside the fastest peer."""
    entries = _whole(results, threads)
    if not entries:
        return "Not measured yet."
    rows = []
    for e in entries:
        peer = e.fastest_peer()
        rows.append(
            (
                e.case,
                _cell(e, e.best_of_ours),
                peer or "",
                _cell(e, peer),
                number(e.speed(e.best_of_ours, peer)),
            )
        )
    said = [f"({threads} threads)", "flambeau", "fastest peer", "its time", "speed"]
    mean, peers = (
        results.mean_speed(threads),
        [m for m in _present(entries) if MODES[m].framework != "flambeau"],
    )
    text = f"Beside {', '.join(peers)}, whichever is fastest, on {threads} threads of one machine"
    text += (
        f" (compiled with `fb.compile`). Geometric mean without mlp_small: **{mean:.2f}**." if mean else "."
    )
    return f"{text}\n\n{table(said, rows)}\n\n![{_PICTURED}](docs/pictures/benchmarks.svg)"
