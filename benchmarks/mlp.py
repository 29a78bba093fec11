"""A training step of a small network: 784-512-256-10, ReLU, batch 128, cross entropy, Adam 1e-3.

A step is forward, backward, update, and the loss read back as a Python float.

    python -m benchmarks.mlp
"""

from __future__ import annotations

import statistics
import tempfile

import numpy as np

from benchmarks.harness import OTHERS, Contender, Series, Settings, compete, contenders, pick, ratio, settings
from benchmarks.tables import duration, megabytes, percent, table
from benchmarks.worker import Step

TITLE = "Training step of an MLP"
OURS = "flambeau"
EAGER = "PyTorch eager"
FUSED = "PyTorch eager, fused Adam"
MODES = (OURS, EAGER, FUSED)
SIZES = (784, 512, 256, 10)
BATCH = 128
FIRST_RUNS = 3


def build(mode: str, case: str) -> Step:
    rng = np.random.default_rng(0)
    images = rng.standard_normal((BATCH, SIZES[0])).astype(np.float32)
    labels = rng.integers(0, SIZES[-1], BATCH)
    return _flambeau(images, labels) if mode == OURS else _torch(images, labels, fused=mode == FUSED)


def _flambeau(images: np.ndarray, labels: np.ndarray) -> Step:
    import flambeau as fb
    from flambeau import nn, optim

    fb.random.seed(0)
    a, b, c, d = SIZES
    model = nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Linear(b, c), nn.ReLU(), nn.Linear(c, d))
    optimizer = optim.Adam(model.parameters(), 1e-3)
    x, y = fb.asarray(images), fb.asarray(labels)

    def step() -> tuple[float]:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return (loss.item(),)

    return step


def _torch(images: np.ndarray, labels: np.ndarray, fused: bool) -> Step:
    import torch
    from torch import nn

    torch.manual_seed(0)
    a, b, c, d = SIZES
    model = nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Linear(b, c), nn.ReLU(), nn.Linear(c, d))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=fused)
    x, y = torch.from_numpy(images), torch.from_numpy(labels)

    def step() -> tuple[float]:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return (loss.item(),)

    return step


def check(series: list[Series]) -> None:
    """Raise unless the loss of every contender fell to a tenth."""
    for s in series:
        first, last = s.first_values[0][0], s.last[0]
        if not last < 0.1 * first:
            raise AssertionError(f"{s.mode} on {s.threads} threads: the loss went from {first} to {last}")


def first_steps(threads: int) -> dict[str, float]:
    """Seconds of the first step in a new process, without imports: with an empty and a full disk cache."""
    empty: list[float] = []
    full: list[float] = []
    peer: list[float] = []
    for _ in range(FIRST_RUNS):
        with tempfile.TemporaryDirectory() as cache:
            for mode, times in ((OURS, empty), (OURS, full), (EAGER, peer)):
                with Contender("benchmarks.mlp", mode, threads, cache) as c:
                    times.append(c.ask(do="prepare", case="")["first"][0])
    return {
        "flambeau, nothing compiled before": statistics.median(empty),
        "flambeau, machine code on disk": statistics.median(full),
        "PyTorch eager": statistics.median(peer),
    }


def run(chosen: Settings) -> str:
    with contenders("benchmarks.mlp", MODES, chosen.threads) as racing:
        series = compete(racing, "", chosen)
    check(series)
    rows = []
    for s in series:
        ours = pick(series, OURS, s.threads)
        rows.append(
            (
                s.mode,
                str(s.threads),
                duration(s.median),
                duration(s.best),
                percent(s.spread),
                f"{ratio(s, ours):.2f}",
                megabytes(s.peak),
                f"{s.first_values[0][0]:.2f} to {s.last[0]:.1e}",
            )
        )
    head = ("", "threads", "median", "minimum", "spread", "times flambeau's", "peak memory", "loss")
    threads = chosen.threads[-1]
    first = first_steps(threads)
    return "\n\n".join(
        [
            table(head, rows),
            f"The first step of a process, imports excluded (median of {FIRST_RUNS}, {threads} threads):",
            table(("", "time"), [(name, duration(t)) for name, t in first.items()]),
        ]
    )


if __name__ == "__main__":
    print(run(settings(__doc__)))
    print(OTHERS.note())
