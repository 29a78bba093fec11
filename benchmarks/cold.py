"""A cold start: from the first line of the README's example to the end of its first step, import included.

Each run is a new process, first with an empty folder for machine code, then with the same folder.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from benchmarks.harness import ROOT, environment

_RUNS = 3
_LOOP = "range(0, len(labels), 100)"
_BEFORE = "import time as _time\n_start = _time.perf_counter()\n"
_AFTER = """
_seconds = _time.perf_counter() - _start
import json as _json
_stats = fb.stats()
print(_json.dumps([_seconds, _stats.kernels_compiled, _stats.kernels_from_disk]))
"""


def program() -> str:
    """The README's first example, cut to one step."""
    text = (ROOT / "README.md").read_text().split("```python\n", 1)[1].split("```", 1)[0]
    if _LOOP not in text:
        raise AssertionError(f"the README's example has no loop over {_LOOP}")
    return _BEFORE + text.replace(_LOOP, "range(0, 100, 100)") + _AFTER


def once(folder: str, threads: int) -> tuple[float, int, int]:
    told = subprocess.run(
        [sys.executable, "-c", program()],
        cwd=ROOT, env=environment(threads, folder), capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds, compiled, loaded = json.loads(told.stdout.splitlines()[-1])
    return seconds, compiled, loaded


def measure(threads: int) -> dict[str, Any]:
    """Median seconds with an empty and with a full folder, and how many kernels there are."""
    empty, warm, kernels = [], [], 0
    with tempfile.TemporaryDirectory() as folder:
        once(folder, threads)  # leaves Python's bytecode, as an installer does
    for _ in range(_RUNS):
        with tempfile.TemporaryDirectory() as folder:
            seconds, kernels, _ = once(folder, threads)
            empty.append(seconds)
            warm.append(once(folder, threads)[0])
    return {"empty": statistics.median(empty), "warm": statistics.median(warm), "kernels": kernels}
