"""The measuring process: starts contenders, lets them take turns, and condenses what they report.

Each contender is a process of its own, pinned to its processors.  Blocks take turns, A B C A B C, so
that a machine which slows down or is shared slows all alike; ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "NPROC",
)  # fmt: skip
# Where frameworks keep what they compile: flambeau, JAX and tinygrad; PyTorch; MLX.
_CACHE_VARIABLES = ("XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR", "TMPDIR")
_QUIET = 0.05  # processors that others may use
_REST = 0.02  # seconds between blocks, for threads of the last one to stop spinning


@dataclass(frozen=True)
class Settings:
    """How long to measure: the seconds of a block, how many rounds, and for which numbers of threads."""

    seconds: float = 0.7
    rounds: int = 7
    threads: tuple[int, ...] = (1, 2)


def settings(description: str | None, **defaults: Any) -> Settings:
    """What the command line asks for."""
    return settings_of(
        add_arguments(argparse.ArgumentParser(description=description), **defaults).parse_args()
    )


def add_arguments(parser: argparse.ArgumentParser, **defaults: Any) -> argparse.ArgumentParser:
    default = Settings(**defaults)
    parser.add_argument(
        "--seconds", type=float, default=default.seconds, help="length of a block (%(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=default.rounds, help="blocks of each (%(default)s)")
    parser.add_argument(
        "--threads", type=int, nargs="+", default=default.threads, help="numbers of threads (1 2)"
    )
    return parser


def settings_of(chosen: argparse.Namespace) -> Settings:
    return Settings(chosen.seconds, chosen.rounds, tuple(chosen.threads))


def processors() -> list[int]:
    """The processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def environment(threads: int, folder: str | None = None) -> dict[str, str]:
    """The variables of a measured process: numbers of threads, and a folder for what it compiles."""
    made = os.environ | dict.fromkeys(_THREAD_VARIABLES, str(threads))
    made.pop("PYTHONDONTWRITEBYTECODE", None)  # it would have each process compile all Python files again
    made["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), made.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return made if folder is None else made | dict.fromkeys(_CACHE_VARIABLES, folder)


class Failed(RuntimeError):
    """A contender could not do what was asked, or not in time."""


class Contender:
    """A process that measures one mode on so many threads; use it in a ``with`` block."""

    def __init__(
        self, module: str, mode: str, threads: int, folder: str | None = None, python: str = sys.executable
    ) -> None:
        self.mode = mode
        self.threads = threads
        self.spent = 0.0  # seconds in which it was asked to do something with a limit
        chosen = processors()[:threads]
        pinned = ",".join(map(str, chosen)) if hasattr(os, "sched_setaffinity") else ""
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", module, mode, str(threads), pinned],
            cwd=ROOT, env=environment(threads, folder), text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def __enter__(self) -> Contender:
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._signal("SIGCONT")
        try:
            self._process.stdin.close()
            self._process.wait(timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            pass
        self._kill()  # also what it started: compilers that wait for work
        self._process.wait()
        self._process.stdout.close()

    def _kill(self) -> None:
        if hasattr(os, "killpg"):
            self._signal("SIGKILL")
        else:
            self._process.kill()

    def _signal(self, name: str) -> None:
        """Send a signal to the process and what it started, where the system has such a thing."""
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, getattr(signal, name))

    def ask(self, patience: float | None = None, **request: Any) -> dict[str, Any]:
        """What the process answers; it has ``patience`` seconds for all requests with a limit together.

        Between requests it is stopped, so that no thread of it spins while others are measured.
        """
        self._signal("SIGCONT")
        try:
            return self._ask(patience, request)
        finally:
            self._signal("SIGSTOP")

    def _ask(self, patience: float | None, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        start = time.perf_counter()
        watch = threading.Timer(max(0.0, (patience or 0.0) - self.spent), self._kill)
        try:
            if patience is not None:
                watch.start()
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watch.cancel()
        if patience is not None:
            self.spent += time.perf_counter() - start
            if not line and self.spent >= patience:
                raise Failed(f"gave up after {patience:.0f} s of compiling and first steps")
        if not line:
            raise Failed("its process ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer


@dataclass
class Series:
    """What one contender did in all rounds: seconds per step of each block, and the numbers of its steps."""

    mode: str
    threads: int
    import_seconds: float
    first: list[float]
    first_values: list[list[float]]
    times: list[float] = field(default_factory=list)
    means: list[list[float]] = field(default_factory=list)
    last: list[float] = field(default_factory=list)
    peak: int = 0
    once: bool = False  # too slow for more than one block
    failed: str = ""  # why it was not measured

    @property
    def median(self) -> float:
        return statistics.median(self.times)

    @property
    def best(self) -> float:
        return min(self.times)

    @property
    def spread(self) -> float:
        """How far apart the blocks lie: (longest - shortest) / median."""
        return (max(self.times) - self.best) / self.median

    def part(self, i: int) -> float:
        """The median over the blocks of the ``i``-th number of a step."""
        return statistics.median(m[i] for m in self.means)


class Others:
    """How busy other processes kept the machine while blocks were measured."""

    def __init__(self) -> None:
        self.used = 0.0
        self.passed = 0.0

    @staticmethod
    def busy() -> float:
        """Seconds all processors have worked since the machine started; 0 where the system does not say."""
        try:
            numbers = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]))
        except (OSError, ValueError):
            return 0.0
        user, nice, system, _, _, irq, soft, steal = numbers[:8]
        return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")

    def add(self, busy: float, own: float, passed: float) -> None:
        self.used += max(0.0, busy - own)
        self.passed += passed

    @property
    def share(self) -> float:
        return self.used / max(self.passed, 1e-9)

    def note(self) -> str:
        """One sentence: how much of a processor others took, and what that means for the figures."""
        share = self.share
        said = f"Other processes kept {share:.2f} of {os.cpu_count()} processors busy meanwhile"
        return f"{said}: **not quiet enough for figures to be quoted.**" if share > _QUIET else f"{said}."


OTHERS = Others()


def ratio(peer: Series, ours: Series) -> float:
    """How many times longer the peer takes: the median of the ratios within each round."""
    return statistics.median(a / b for a, b in zip(peer.times, ours.times, strict=True))


@dataclass(frozen=True)
class Entrant:
    """Who takes part: a mode, what builds its steps, its interpreter, and how long it may prepare."""

    mode: str
    module: str
    python: str = sys.executable
    patience: float | None = None
    peer: bool = True


@contextmanager
def contenders(entrants: Sequence[Entrant], threads: Sequence[int]) -> Iterator[list[Contender]]:
    """A process for each mode and number of threads, each with an empty folder for what it compiles."""
    with ExitStack() as stack:
        racing = []
        for n in threads:
            for e in entrants:
                folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
                racing.append(stack.enter_context(Contender(e.module, e.mode, n, folder, e.python)))
        yield racing


def compete(racing: Sequence[Contender], case: str, chosen: Settings) -> list[Series]:
    """Prepare ``case`` everywhere, warm up, and let all take turns; raise where one fails."""
    series = [prepared(c, case, None) for c in racing]
    for s in series:
        if s.failed:
            raise Failed(f"{s.mode} on {s.threads} threads: {s.failed}")
    take_turns(list(zip(racing, series, strict=True)), case, chosen)
    return series


def prepared(c: Contender, case: str, patience: float | None) -> Series:
    """A series without blocks: what happened in the first steps, or why there were none."""
    try:
        ready = c.ask(patience, do="prepare", case=case)
    except Failed as e:
        return Series(c.mode, c.threads, 0.0, [], [], failed=str(e))
    return Series(c.mode, c.threads, ready["import"], ready["first"], ready["first_values"])


def take_turns(pairs: Sequence[tuple[Contender, Series]], case: str, chosen: Settings) -> None:
    """Warm up, and measure blocks in turn."""
    for c, _ in pairs:
        c.ask(do="block", case=case, seconds=chosen.seconds / 2)
    for _ in range(chosen.rounds):
        for c, s in pairs:
            block(c, s, case, chosen.seconds)
    for c, s in pairs:
        s.peak = c.ask(do="finish")["peak"]


def block(c: Contender, s: Series, case: str, seconds: float) -> None:
    """One timed block."""
    time.sleep(_REST)
    busy, start = OTHERS.busy(), time.perf_counter()
    answer = c.ask(do="block", case=case, seconds=seconds)
    OTHERS.add(OTHERS.busy() - busy, answer["used"], time.perf_counter() - start)
    s.times.append(answer["seconds"])
    s.means.append(answer["means"])
    s.last = answer["last"]


def pick(series: Sequence[Series], mode: str, threads: int) -> Series:
    return next(s for s in series if s.mode == mode and s.threads == threads)
