"""What writing an operation down costs: 200 elementwise operations on vectors of 64.

``forward``: 100 times ``x = x * 1.0001; x = x + y``, then ``x[0]`` is read.  ``gradient``: the same
recorded for gradients, then backward of ``sum(x)``, and ``x0.grad[0]`` is read.  ``single``: one
addition, computed at once: what an operation costs when nothing can be shared.

flambeau records all and runs it as few kernels when the value is read; PyTorch eager runs each
operation when it is written.  So the total is what compares; recording alone is its first part.

    python -m benchmarks.overhead
"""

from __future__ import annotations

import importlib
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.harness import OTHERS, Entrant, Series, Settings, compete, contenders, pick, ratio, settings
from benchmarks.tables import percent, table
from benchmarks.worker import Step

TITLE = "Cost of an operation"
OURS = "flambeau"
EAGER = "PyTorch eager"
MODES = (OURS, EAGER)
ENTRANTS = [Entrant(mode, "benchmarks.overhead") for mode in MODES]
ROUNDS = 100
OPERATIONS = 2 * ROUNDS
CASES = ("forward", "gradient", "single")


def build(mode: str, case: str) -> Step:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(64).astype(np.float32) for _ in range(2)]
    framework: Any = importlib.import_module("flambeau" if mode == OURS else "torch")
    x, y = map(framework.asarray, arrays)
    expected = arrays[0].astype(np.float64)
    for _ in range(ROUNDS):
        expected = expected * 1.0001 + arrays[1]
    if case == "single":
        return _single(mode, x, y)
    if case == "gradient":
        step = _gradient(framework, x.requires_grad_(), y)
        _agrees(step()[-1], 1.0001**ROUNDS)
        return lambda: step()[:-1]
    step = _forward(x, y)
    _agrees(step()[-1], float(expected[0]))
    return lambda: step()[:-1]


def _agrees(found: float, expected: float) -> None:
    if abs(found - expected) > 1e-4 * abs(expected):
        raise AssertionError(f"{found} was computed, not {expected}")


def chain(x: Any, y: Any) -> Any:
    for _ in range(ROUNDS):
        x = x * 1.0001
        x = x + y
    return x


def _forward(start: Any, y: Any) -> Any:
    def step() -> tuple[float, ...]:
        begin = perf_counter()
        x = chain(start, y)
        written = perf_counter()
        value = x[0].item()
        return written - begin, perf_counter() - written, value

    return step


def _gradient(framework: Any, start: Any, y: Any) -> Any:
    def step() -> tuple[float, ...]:
        start.grad = None
        begin = perf_counter()
        x = chain(start, y)
        framework.sum(x).backward()
        written = perf_counter()
        value = start.grad[0].item()
        return written - begin, perf_counter() - written, value

    return step


def _single(mode: str, x: Any, y: Any) -> Step:
    if mode != OURS:
        return lambda: (x + y, None)[1]
    from flambeau.engine.evaluate import realize

    def step() -> None:
        realize((x + y)._value)

    return step


def run(chosen: Settings) -> str:
    chosen = Settings(chosen.seconds, chosen.rounds, (1,))
    rows = []
    with contenders(ENTRANTS, chosen.threads) as racing:
        for case in CASES:
            series = compete(racing, case, chosen)
            operations = 1 if case == "single" else OPERATIONS
            ours = pick(series, OURS, 1)
            rows += [_row(case, s, ours, operations) for s in series]
    head = (
        "µs per operation",
        "recording",
        "lookup and run",
        "total",
        "minimum",
        "spread",
        "times flambeau's",
    )
    return table(head, rows)


def _row(case: str, s: Series, ours: Series, operations: int) -> tuple[str, ...]:
    scale = 1e6 / operations
    parts = [f"{s.part(i) * scale:.2f}" for i in (0, 1)] if s.means[0] and s.mode == OURS else ["", ""]
    return (
        f"{case}, {s.mode}", *parts, f"{s.median * scale:.2f}", f"{s.best * scale:.2f}", percent(s.spread),
        f"{ratio(s, ours):.2f}",
    )  # fmt: skip


if __name__ == "__main__":
    print(run(settings(__doc__)))
    print(OTHERS.note())
