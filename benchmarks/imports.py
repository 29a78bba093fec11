"""What it costs to have a framework: time to import, resident memory, installed size.

Each import happens in a new process, the frameworks in turn; compiled Python files are there.  The
installed size counts the package and everything it requires, without the extras.
"""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Mapping
from typing import Any

from benchmarks.harness import ROOT, environment
from benchmarks.peers import Installed

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


def imported(python: str, module: str) -> tuple[float, int, int]:
    """Seconds, resident bytes and number of modules of one import in a new process."""
    found = subprocess.run(
        [python, "-c", _PROGRAM.format(module=module)],
        cwd=ROOT, env=environment(1), capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds, resident, modules = json.loads(found.stdout.splitlines()[-1])
    return seconds, resident, modules


def sizes(where: Installed) -> tuple[int, int] | None:
    """The bytes of the package, and with what it requires; None where that cannot be found out."""
    packages = where.framework.packages or (where.framework.module,)
    found = subprocess.run(
        [where.python, "-m", "benchmarks.installed", *packages],
        cwd=ROOT, env=environment(1), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if found.returncode:
        return None
    own, whole = json.loads(found.stdout.splitlines()[-1])
    return own, whole


def measure(there: Mapping[str, Installed], rounds: int) -> list[dict[str, Any]]:
    """A row for each framework."""
    runs: dict[str, list[tuple[float, int, int]]] = {key: [] for key in there}
    for i in range(rounds + 1):
        for key, where in there.items():
            found = imported(where.python, where.framework.module)
            if i:  # the first writes compiled files and fills the system's cache
                runs[key].append(found)
    rows = []
    for key, where in there.items():
        seconds, resident, modules = zip(*runs[key], strict=True)
        size = sizes(where)
        rows.append(
            {
                "framework": where.framework.name, "seconds": statistics.median(seconds),
                "least": min(seconds), "resident": statistics.median(resident), "modules": modules[0],
                "own": size and size[0], "whole": size and size[1],
            }
        )  # fmt: skip
    return rows
