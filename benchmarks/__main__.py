"""Run the benchmarks and print, or write into the documentation, what they find."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from benchmarks import gemm, machine, mlp, overhead, startup
from benchmarks.harness import OTHERS, ROOT, Settings, add_arguments, settings_of
from benchmarks.workloads import run as workloads

PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN = "<!-- results: written by python -m benchmarks --write -->"
END = "<!-- end of results -->"

# Name, title, what runs it.
BENCHMARKS: dict[str, tuple[str, Callable[[Settings], str]]] = {
    "mlp": (mlp.TITLE, mlp.run),
    "overhead": (overhead.TITLE, overhead.run),
    "gemm": (gemm.TITLE, gemm.run),
    "startup": (startup.TITLE, startup.run),
    "workloads": (workloads.TITLE, workloads.run),
}


def results(names: list[str], chosen: Settings) -> str:
    """All tables as Markdown, with the machine and its limits before and after."""
    start = time.perf_counter()
    parts = [
        machine.description(),
        "### Limits of the machine",
        machine.report(machine.measure(chosen.threads)),
    ]
    for name in names:
        title, run = BENCHMARKS[name]
        print(f"{name} ...", file=sys.stderr, flush=True)
        parts += [f"### {title}", run(chosen)]
    parts += ["### Limits of the machine, at the end", machine.report(machine.measure(chosen.threads))]
    minutes = (time.perf_counter() - start) / 60
    parts.append(
        f"Blocks of {chosen.seconds} s, {chosen.rounds} rounds, {minutes:.0f} minutes in all. {OTHERS.note()}"
    )
    return "\n\n".join(parts)


def write(found: str) -> None:
    """Replace the results on the documentation page."""
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"{PAGE} has no place for results: the lines {BEGIN!r} and {END!r} are missing")
    PAGE.write_text(f"{before}{BEGIN}\n\n{found}\n\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"which: {', '.join(BENCHMARKS)} (all)")
    parser.add_argument(
        "--write", action="store_true", help=f"write the results into {PAGE.relative_to(ROOT)}"
    )
    chosen = add_arguments(parser).parse_args()
    unknown = [n for n in chosen.names if n not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; available: {', '.join(BENCHMARKS)}")
    found = results(chosen.names or list(BENCHMARKS), settings_of(chosen))
    print(found)
    if chosen.write:
        write(found)


if __name__ == "__main__":
    main()
