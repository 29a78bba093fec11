"""What it costs to have a framework: time to import, resident memory, installed size.

Each import happens in a new process, the frameworks in turn; compiled Python files are there.  The
installed size counts the package and everything it requires, without the extras.

    python -m benchmarks.startup
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement

from benchmarks.harness import ROOT, Settings, environment, settings
from benchmarks.tables import duration, megabytes, table

TITLE = "Start"
NAMES = {"flambeau": "flambeau", "PyTorch": "torch", "NumPy": "numpy"}
_REQUIRED_BY_FLAMBEAU = ("numpy", "llvmlite", "ml_dtypes")

_PROGRAM = """
import json, sys, time
before = set(sys.modules)
start = time.perf_counter()
import {module}
end = time.perf_counter()
try:
    lines = open("/proc/self/status").read().splitlines()
    resident = next(1024 * int(x.split()[1]) for x in lines if x.startswith("VmRSS:"))
except OSError:
    resident = 0
print(json.dumps([end - start, resident, len(set(sys.modules) - before)]))
"""


def imported(module: str) -> tuple[float, int, int]:
    """Seconds, resident bytes and number of modules of one import in a new process."""
    found = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(module=module)],
        cwd=ROOT, env=environment(1), capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds, resident, modules = json.loads(found.stdout)
    return seconds, resident, modules


def heavy_modules() -> list[str]:
    """Modules of others that ``import flambeau`` loads although it could do without at first."""
    listed = "import sys, flambeau; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    found = subprocess.run(
        [sys.executable, "-c", listed],
        cwd=ROOT,
        env=environment(1),
        capture_output=True,
        text=True,
        check=True,
    )
    return [
        m
        for m in ("llvmlite", "torch", "asyncio", "multiprocessing", "unittest")
        if m in found.stdout.split()
    ]


def required(names: Iterable[str]) -> dict[str, Distribution]:
    """The installed distributions that ``names`` need, themselves included, without extras."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop().replace("_", "-").lower()
        if name in found:
            continue
        found[name] = distribution(name)
        for line in found[name].requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def size_of(made: Distribution) -> int:
    """The bytes of all files of a distribution, without compiled Python files."""
    paths = [Path(str(made.locate_file(f))) for f in made.files or () if f.suffix != ".pyc"]
    return sum(p.stat().st_size for p in paths if p.is_file())


def size_of_folder(module: str) -> int:
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None
    files = Path(spec.origin).parent.rglob("*")
    return sum(p.stat().st_size for p in files if p.is_file() and p.suffix != ".pyc")


def installed_size(module: str) -> tuple[int, int]:
    """The bytes of the package itself, and with all it requires."""
    if module == "flambeau":  # measured as sources, which may not be installed
        own = size_of_folder(module)
        return own, own + sum(map(size_of, required(_REQUIRED_BY_FLAMBEAU).values()))
    return size_of(distribution(module)), sum(map(size_of, required([module]).values()))


def run(chosen: Settings) -> str:
    present = {name: module for name, module in NAMES.items() if find_spec(module)}
    for module in present.values():
        imported(module)  # writes compiled files, fills the system's cache
    runs: dict[str, list[tuple[float, int, int]]] = {name: [] for name in present}
    for _ in range(chosen.rounds):
        for name, module in present.items():
            runs[name].append(imported(module))
    rows = []
    for name, module in present.items():
        times = [seconds for seconds, _, _ in runs[name]]
        try:
            own, whole = (megabytes(n) for n in installed_size(module))
        except PackageNotFoundError:
            own = whole = "unknown"
        rows.append(
            (
                name,
                duration(statistics.median(times)),
                duration(min(times)),
                megabytes(statistics.median(resident for _, resident, _ in runs[name])),
                str(runs[name][0][2]),
                own,
                whole,
            )
        )
    head = ("", "import", "minimum", "memory after", "modules", "own size", "with what it requires")
    heavy = heavy_modules()
    return f"{table(head, rows)}\n\nHeavy modules loaded by `import flambeau`: {', '.join(heavy) or 'none'}."


if __name__ == "__main__":
    print(run(settings(__doc__, rounds=9)))
