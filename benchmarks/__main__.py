"""Run the benchmarks, print what they find, and write it into the documentation where that is asked for."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from datetime import date

from benchmarks import cold, gemm, imports, machine, overhead, page, plot, results
from benchmarks.harness import OTHERS, ROOT, Settings, add_arguments, settings_of
from benchmarks.peers import MODES, Installed, installed, interpreters
from benchmarks.workloads import run as workloads
from benchmarks.workloads.cases import WORKLOADS

DEFAULTS = {"seconds": 0.5, "rounds": 5, "threads": (2,)}
EXTRA = ("import", "cold_start")

# Closer looks: name, title, what runs it.
LOOKS: dict[str, tuple[str, Callable[[Settings], str]]] = {
    "overhead": (overhead.TITLE, overhead.run),
    "gemm": (gemm.TITLE, gemm.run),
}


def look(names: list[str], chosen: Settings, found: results.Results) -> None:
    for name in names:
        title, run = LOOKS[name]
        print(f"{name} ...", file=sys.stderr, flush=True)
        text = f"{run(chosen)}\n\nMeasured on {date.today().isoformat()}. {OTHERS.note()}"
        found.looks[name] = {"title": f"{title}, a closer look", "text": text}


def measure(chosen: argparse.Namespace, asked: Settings, found: results.Results) -> None:
    """Measure what was asked for, into ``found``."""
    there = installed(interpreters(chosen.python))
    names = chosen.only or [*WORKLOADS, *EXTRA]
    threads = [(n, name) for name in names if name in WORKLOADS for n in asked.threads]
    threads += [(1, name) for name in names if name in workloads.ALONE and 1 not in asked.threads]
    found.machine = [*machine.description(), f"Versions: {', '.join(_versions(there))}"]
    found.limits |= machine.measure(tuple(sorted({1, *asked.threads})))
    found.rounds = asked.rounds
    for n, name in threads:
        start = time.perf_counter()
        found.add(workloads.measure(name, n, asked, there, chosen.modes))
        print(f"  {time.perf_counter() - start:.0f} s for {name}", file=sys.stderr, flush=True)
    if "import" in names:
        print("  import", file=sys.stderr, flush=True)
        found.imports = imports.measure(there, asked.rounds)
    if "cold_start" in names:
        print("  cold_start", file=sys.stderr, flush=True)
        found.cold = cold.measure(asked.threads[-1])
    found.busy = OTHERS.share


def _versions(there: Mapping[str, Installed]) -> list[str]:
    return [f"{where.framework.name} {where.version}" for where in there.values()]


def write(found: results.Results) -> None:
    """Keep the results, and bring the page, the picture and the README in line with them."""
    results.save(found)
    found = results.load()  # as rounded as it will be read again
    page.PAGE.write_text(page.put(page.PAGE.read_text(), page.sections(found)))
    page.README.write_text(page.put(page.README.read_text(), page.readme(found)))
    plot.PICTURE.write_text(plot.svg(found))


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = f"workloads (what is run without a name), {', '.join(LOOKS)}"
    parser.add_argument("names", nargs="*", metavar="name", help=f"what to run: {known}")
    parser.add_argument("--only", type=_list, help=f"workloads: {', '.join((*WORKLOADS, *EXTRA))} (all)")
    parser.add_argument("--modes", type=_list, help=f"who takes part: {', '.join(MODES)} (all installed)")
    parser.add_argument(
        "--python", action="append", default=[], metavar="[FRAMEWORK=]PATH",
        help="what has the peers, or one of torch, jax, tensorflow, mlx, tinygrad (this interpreter)",
    )  # fmt: skip
    shown = f"results into {page.PAGE.relative_to(ROOT)}, its picture and the README"
    parser.add_argument(
        "--write", action="store_true", help=f"merge into the kept results, and write all {shown}"
    )
    return add_arguments(parser, **DEFAULTS)


def _list(text: str) -> list[str]:
    return text.split(",")


def main() -> None:
    parser = arguments()
    chosen = parser.parse_args()
    for what, given, known in (
        ("benchmark", chosen.names, ("workloads", *LOOKS)),
        ("workload", chosen.only or [], (*WORKLOADS, *EXTRA)),
        ("mode", chosen.modes or [], tuple(MODES)),
    ):
        unknown = [n for n in given if n not in known]
        if unknown:
            parser.error(f"there is no {what} {unknown[0]!r}; available: {', '.join(known)}")
    if chosen.write and chosen.modes:
        parser.error("--write needs all modes: ratios are to the fastest of them")
    asked = settings_of(chosen)
    start = time.perf_counter()
    found = results.load() if chosen.write else results.Results()
    look([n for n in chosen.names if n != "workloads"], asked, found)
    if not chosen.names or "workloads" in chosen.names:
        measure(chosen, asked, found)
    if chosen.write:
        write(found)
    print(page.sections(found, max(asked.threads)))
    print(f"\n{(time.perf_counter() - start) / 60:.1f} minutes. {OTHERS.note()}")


if __name__ == "__main__":
    main()
