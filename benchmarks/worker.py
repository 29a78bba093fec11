"""The measured process: one framework in one mode on one set of processors.

It is started by ``harness.Contender``, reads requests as lines of JSON and answers each with one.
A benchmark is a module with ``build(mode, case)``; what it returns is called once per step and may
return numbers of its own (a loss, how long a part of the step took), which are averaged.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

Step = Callable[[], "tuple[float, ...] | None"]

_BATCH_SECONDS = 2e-3  # the clock is looked at once in so much time


def set_threads(module: ModuleType, mode: str, count: int) -> None:
    """Let the framework of ``mode`` use ``count`` threads: as ``module`` says, or by its name."""
    if hasattr(module, "set_threads"):
        module.set_threads(count)
    elif mode.startswith("flambeau"):
        import flambeau as fb

        fb.set_num_threads(count)
    elif mode.startswith("PyTorch"):
        import torch

        torch.set_num_threads(count)


def peak_memory() -> int:
    """The most memory this process has held, in bytes; 0 where the system does not say."""
    # Not getrusage: its maximum also counts the process this one was started from.
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


class Case:
    """One thing to measure: its step, and how many steps fit between two looks at the clock."""

    def __init__(self, build: Callable[[str, str], Step], mode: str, name: str) -> None:
        start = time.perf_counter()
        self.step = build(mode, name)
        self.build_seconds = time.perf_counter() - start
        self.first: list[float] = []
        self.first_values: list[list[float]] = []
        for _ in range(3):
            start = time.perf_counter()
            values = self.step()
            self.first.append(time.perf_counter() - start)
            self.first_values.append(list(values or ()))
        self.batch = max(1, int(_BATCH_SECONDS / max(self.first[-1], 1e-7)))

    def block(self, seconds: float) -> dict[str, Any]:
        """Steps for about so long: time of one, processor time used, mean and last of what they returned."""
        step, batch = self.step, self.batch
        sums: list[float] = []
        steps = 0
        values: tuple[float, ...] | None = None
        used = time.process_time()  # of all threads
        start = now = time.perf_counter()
        end = start + seconds
        while now < end:
            for _ in range(batch):
                values = step()
                if values:
                    sums = [a + b for a, b in zip(sums, values, strict=True)] if sums else list(values)
            steps += batch
            now = time.perf_counter()
        used = time.process_time() - used
        self.batch = max(1, int(_BATCH_SECONDS * steps / (now - start)))
        means = [x / steps for x in sums]
        return {"seconds": (now - start) / steps, "used": used, "means": means, "last": list(values or ())}


def main() -> None:
    module_name, mode, threads, processors = sys.argv[1:5]
    if processors and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(p) for p in processors.split(",")})
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever prints goes where errors go
    start = time.perf_counter()
    module = importlib.import_module(module_name)
    set_threads(module, mode, int(threads))
    import_seconds = time.perf_counter() - start
    cases: dict[str, Case] = {}
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any]
        if request["do"] == "prepare":
            try:
                case = cases[request["case"]] = Case(module.build, mode, request["case"])
            except Exception as e:
                traceback.print_exc()
                answer = {"error": f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"}
            else:
                answer = {
                    "import": import_seconds, "build": case.build_seconds,
                    "first": case.first, "first_values": case.first_values,
                }  # fmt: skip
        elif request["do"] == "block":
            answer = cases[request["case"]].block(request["seconds"])
        elif request["do"] == "forget":
            answer = {"forgot": cases.pop(request["case"], None) is not None}
        else:  # also before anything: it answers when all is imported
            answer = {"peak": peak_memory()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
