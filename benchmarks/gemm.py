"""Matrix products in float32, packing included.

``call`` is what a user writes: ``x @ y`` until the result is there, beside ``torch.mm(x, y)``.
``kernel`` is the generated program alone on memory that is there, beside ``torch.mm(x, y, out=z)``.

    python -m benchmarks.gemm
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.gemm_kernels import SHAPES, operands
from benchmarks.gemm_kernels import ours as kernel_program
from benchmarks.harness import OTHERS, Entrant, Series, Settings, compete, contenders, pick, ratio, settings
from benchmarks.tables import duration, geometric_mean, percent, table
from benchmarks.worker import Step

TITLE = "Matrix products"
OURS = "flambeau"
EAGER = "PyTorch"
MODES = (OURS, EAGER)
ENTRANTS = [Entrant(mode, "benchmarks.gemm") for mode in MODES]
Shape = tuple[int, int, int, int, int]  # rows, inner size, columns, and which operand is transposed
TRANSPOSED = [(512, 512, 512), (64, 4096, 1024)]
LEVELS = ("call", "kernel")


def cases() -> list[Shape]:
    plain = [(m, k, n, 0, 0) for m, k, n in SHAPES]
    return plain + [(m, k, n, a, b) for m, k, n in TRANSPOSED for a, b in ((1, 0), (0, 1), (1, 1))]


def build(mode: str, case: str) -> Step:
    level, *numbers = case.split()
    m, k, n, a_transposed, b_transposed = map(int, numbers)
    a, b, c = operands(m, k, n, bool(a_transposed), bool(b_transposed))
    if level == "call":
        multiply = _call(mode, a, b, bool(a_transposed), bool(b_transposed))
        multiply()
        found = np.asarray(multiply())
    elif mode == OURS:
        multiply = kernel_program([a, b, c], bool(a_transposed), bool(b_transposed))
        multiply()
        found = c
    else:
        multiply, found = _into(a, b, c)
        multiply()
    _check(found[:1], a[:1], b, f"{mode}: {case}")

    def step() -> None:
        multiply()

    return step


def _call(
    mode: str, a: np.ndarray, b: np.ndarray, a_transposed: bool, b_transposed: bool
) -> Callable[[], Any]:
    """A function that multiplies as users do, with a stored transpose turned round each time."""
    framework: Any = importlib.import_module("flambeau" if mode == OURS else "torch")
    x = framework.asarray(np.ascontiguousarray(a.T if a_transposed else a))
    y = framework.asarray(np.ascontiguousarray(b.T if b_transposed else b))
    turn = framework.matrix_transpose if mode == OURS else framework.t
    if mode != OURS:
        return lambda: framework.mm(turn(x) if a_transposed else x, turn(y) if b_transposed else y)
    from flambeau.engine.evaluate import realize

    def multiply() -> Any:
        z = (turn(x) if a_transposed else x) @ (turn(y) if b_transposed else y)
        realize(z._value)  # compute now, as PyTorch eager does, without reading anything back
        return z

    return multiply


def _into(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[Callable[[], Any], np.ndarray]:
    import torch

    left, right, out = map(torch.from_numpy, (a, b, c))
    return lambda: torch.mm(left, right, out=out), c


def _check(found: np.ndarray, row: np.ndarray, b: np.ndarray, what: str) -> None:
    """Compare the first row of a product with NumPy in float64, within K eps sum|a||b|."""
    wide = row.astype(np.float64)
    bound = b.shape[0] * 1.2e-7 * (np.abs(wide) @ np.abs(b))
    if not (np.abs(found - wide @ b) <= bound).all():
        raise AssertionError(f"{what}: the product is wrong")


def name_of(case: Shape) -> str:
    m, k, n, a, b = case
    turned = {(1, 0): ", left transposed", (0, 1): ", right transposed", (1, 1): ", both transposed"}
    return f"{m} x {k} x {n}{turned.get((a, b), '')}"


def run(chosen: Settings, peaks: dict[int, float] | None = None) -> str:
    """Both levels on each number of threads; ``peaks`` are the machine's operations per second."""
    peaks = peaks or {n: found[0] for n, found in machine.measure(chosen.threads).items()}
    parts = []
    for level in LEVELS:
        measured: dict[Shape, list[Series]] = {}
        with contenders(ENTRANTS, chosen.threads) as racing:
            for case in cases():
                measured[case] = compete(racing, f"{level} {' '.join(map(str, case))}", chosen)
        parts += [_compared(level, measured, n, peaks[n]) for n in chosen.threads]
        if {1, 2} <= set(chosen.threads):
            parts.append(_scaling(level, measured))
    return "\n\n".join(parts)


def _compared(level: str, measured: dict[Shape, list[Series]], threads: int, peak: float) -> str:
    rows, ratios = [], []
    for case, series in measured.items():
        m, k, n, *_ = case
        operations = 2.0 * m * k * n
        ours, peer = pick(series, OURS, threads), pick(series, EAGER, threads)
        ratios.append(ratio(peer, ours))
        rows.append(
            (
                name_of(case),
                duration(ours.median),
                duration(peer.median),
                f"{operations / ours.median / 1e9:.1f}",
                f"{operations / peer.median / 1e9:.1f}",
                percent(operations / ours.best / peak),
                percent(ours.spread),
                f"{ratios[-1]:.2f}",
                f"{peer.best / ours.best:.2f}",
            )
        )
    head = (
        f"{level}, {threads} thread{'s' if threads > 1 else ''}",
        "flambeau",
        "PyTorch",
        "GFLOP/s",
        "PyTorch GFLOP/s",
        "of peak",
        "spread",
        "ratio",
        "of minima",
    )
    mean = geometric_mean(ratios)
    return f"{table(head, rows)}\n\nGeometric mean of the ratio ({level}, {threads}): {mean:.3f}"


def _scaling(level: str, measured: dict[Shape, list[Series]]) -> str:
    rows = []
    for case, series in measured.items():
        if min(case[:3]) >= 512 and not any(case[3:]):
            gain = [f"{ratio(pick(series, mode, 1), pick(series, mode, 2)):.2f}" for mode in MODES]
            rows.append((name_of(case), *gain))
    return table((f"two threads against one, {level}", "flambeau", "PyTorch"), rows)


if __name__ == "__main__":
    print(run(settings(__doc__, seconds=0.5, rounds=5)))
    print(OTHERS.note())
