"""A loader's worker processes, seen from the loader: started, asked, listened to, ended.

**How they start.** On Linux by ``fork``: data sets and functions defined in a notebook or a test's main
module need not be importable, and nothing is copied.  It is safe beside flambeau's own threads: those
never hold a lock when Python code runs, LLVM's lock and the allocator's are taken over by the child,
and in a worker one thread computes, started anew.  A program of its own threads that hold locks should
choose ``start_method="spawn"`` (the default elsewhere): then data set and functions are pickled and the
main module must be importable.

**How they end.** A worker has its own socket, so the death of one can neither lock nor confuse others.
Whoever waits for a worker waits for its death as well.  Workers end when told so, when the socket
closes, and, within a second, when the loader's process is gone; else they are killed.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flambeau.data import worker
from flambeau.data.channel import Channel, ClosedError, pair
from flambeau.data.errors import WorkerError
from flambeau.data.fetch import Fetcher

_STOP_SECONDS = 3.0  # how long workers may take to end by themselves


@dataclass(slots=True)
class Worker:
    """A process, the socket to it, and whether it has answered yet."""

    number: int
    process: Any
    channel: Channel
    answered: bool = False


def default_start_method() -> str:
    """``fork`` on Linux, ``spawn`` elsewhere."""
    return "fork" if sys.platform == "linux" else "spawn"


class Workers:
    """The worker processes of one loader."""

    def __init__(
        self,
        count: int,
        fetcher: Fetcher,
        init: Callable[[int], None] | None,
        start_method: str,
        timeout: float,
    ) -> None:
        self.timeout = timeout
        self.start_method = start_method
        self.generation = 0
        self.members: list[Worker] = []
        self._finalizer = weakref.finalize(self, _stop, self.members, os.getpid())
        try:
            self._start(count, fetcher, init, start_method)
        except BaseException:
            self.stop()
            raise

    def _start(
        self, count: int, fetcher: Fetcher, init: Callable[[int], None] | None, start_method: str
    ) -> None:
        import multiprocessing

        context: Any = multiprocessing.get_context(start_method)
        setup: Any = (fetcher, init)
        if start_method != "fork":
            try:
                setup = pickle.dumps(setup)
            except Exception as error:
                raise WorkerError(
                    f"DataLoader: the data set or a function cannot be sent to a worker: {error}; "
                    f"with start_method={start_method!r} all of it must be picklable"
                ) from error
        for number in range(count):
            own, theirs = pair()
            others = [w.channel for w in self.members] if start_method == "fork" else []
            inherited = [*others, own] if start_method == "fork" else []
            process = context.Process(
                target=worker.run,
                args=(number, theirs, inherited, setup, os.getpid()),
                name=f"flambeau-data-{number}",
                daemon=True,
            )
            try:
                with warnings.catch_warnings():
                    # Newer Pythons warn of any thread; see above why these do no harm.
                    warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
                    process.start()
            except BaseException:
                own.close()
                raise
            finally:
                theirs.close()
            self.members.append(Worker(number, process, own))

    def begin(self, seed: int, epoch: int) -> None:
        """Start an epoch; answers that are still on their way will be dropped."""
        self.generation += 1
        for member in self.members:
            self._send(member, ("begin", self.generation, seed, epoch))

    def ask(self, batch: int, indices: Any) -> None:
        """Ask the worker whose turn it is for a batch."""
        member = self.members[batch % len(self.members)]
        self._send(member, ("fetch", self.generation, batch, indices))

    def answer(self, batch: int) -> Any:
        """Wait for a batch that was asked for.

        Raises:
            WorkerError: The worker failed, died, or did not answer in time.
        """
        member = self.members[batch % len(self.members)]
        until = time.monotonic() + self.timeout if self.timeout else None
        while True:
            try:
                kind, generation, content = member.channel.receive(lambda: self._wait(member, batch, until))
            except ClosedError:
                raise self._death(member, batch) from None
            if kind == "failed" and (generation == self.generation or generation == 0):
                raise _failure(member, batch, content)
            member.answered = True
            if kind == "batch" and generation == self.generation:
                return content

    def stop(self) -> None:
        """End all workers; they are gone when this returns."""
        self._finalizer()

    def _send(self, member: Worker, message: Any) -> None:
        try:
            member.channel.send(message)
        except ClosedError:
            # What it sent before it died says why.  Else the answer's turn will tell.
            return

    def _wait(self, member: Worker, batch: int, until: float | None) -> None:
        """Return when there is something to read from the worker; raise if it died or is late."""
        from multiprocessing.connection import wait

        left = None if until is None else max(0.0, until - time.monotonic())
        ends: list[Any] = [member.channel, member.process.sentinel]
        ready: list[Any] = wait(ends, left)
        if member.channel in ready:
            return
        if ready:
            # It died; what it managed to send comes first.
            if wait(ends[:1], 0):
                return
            raise self._death(member, batch)
        raise WorkerError(
            f"DataLoader: worker {member.number} (process {member.process.pid}) did not deliver "
            f"batch {batch} within the timeout of {self.timeout:g} s"
        )

    def _death(self, member: Worker, batch: int) -> WorkerError:
        process = member.process
        process.join(_STOP_SECONDS)
        code = process.exitcode
        who = f"DataLoader: worker {member.number} (process {process.pid})"
        if code is None:
            return WorkerError(f"{who} closed its connection before it delivered batch {batch}")
        if code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = f"signal {-code}"
            hint = "; the system kills so when memory runs out" if name == "SIGKILL" else ""
            return WorkerError(f"{who} was killed by {name} before it delivered batch {batch}{hint}")
        hint = "; what it printed says more"
        if self.start_method != "fork" and not member.answered:
            hint += (
                f"; with start_method={self.start_method!r} the main part of a program must stand under "
                "if __name__ == '__main__', because workers import it"
            )
        return WorkerError(f"{who} exited with code {code} before it delivered batch {batch}{hint}")


def _failure(member: Worker, batch: int, content: tuple[str, str, bytes | None]) -> WorkerError:
    during, text, pickled = content
    error = WorkerError(
        f"DataLoader: worker {member.number} (process {member.process.pid}) failed {during}\n\n{text}"
    )
    if pickled is not None:
        try:
            cause = pickle.loads(pickled)
        except Exception:  # an exception whose arguments do not make it again
            cause = None
        if isinstance(cause, BaseException):
            error.__cause__ = cause
    return error


def _stop(members: list[Worker], owner: int) -> None:
    """End the processes, one way or another."""
    if os.getpid() != owner:
        return  # a forked child drops its copy: the workers are its parent's
    for member in members:
        try:
            member.channel.socket.settimeout(0.1)
            member.channel.send(("stop", 0, 0, 0))
        except (ClosedError, OSError):
            pass
        member.channel.close()
    until = time.monotonic() + _STOP_SECONDS
    for member in members:
        member.process.join(max(0.0, until - time.monotonic()))
    for end in ("terminate", "kill"):
        for member in members:
            if member.process.is_alive():
                getattr(member.process, end)()
        for member in members:
            member.process.join(1.0)
    for member in members:
        if not member.process.is_alive():
            member.process.close()
    members.clear()
