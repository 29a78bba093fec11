"""The thread pool: Python daemon threads that live inside a native loop.

A worker enters native code, runs tiles while there are any, waits there for a moment in case more
come, and then returns to Python and sleeps on a lock of its own.  Before a parallel program starts,
its caller releases the locks of the sleepers.  One caller at a time has the team; another that comes
meanwhile runs its program alone, which gives the same bits.

Workers start at the first parallel program, again after a fork (threads do not survive one), and
leave before the interpreter is taken down.
"""

from __future__ import annotations

import array
import atexit
import ctypes
import os
import threading
import time
from collections.abc import Callable

from flambeau.compiler import cpus
from flambeau.runtime import native

_IDLE_SECONDS = 80e-6  # how long a worker waits for work between programs before it sleeps
_ACTIVE_SECONDS = 1e-3  # the same while a program runs on one thread for a moment
_WAIT_SECONDS = 100e-6  # how long a caller spins for the last tiles before it offers its processor
_LEAVE_SECONDS = 1.0  # how long the end of the interpreter waits for a worker

# Control blocks and what workers run in are never freed: a thread may be reading them at any time.
_control_blocks: list[array.array[int]] = []


class Team:
    """A caller's helpers: ``size - 1`` workers and the control block they share."""

    def __init__(self, size: int) -> None:
        self.size = size
        # One line more than needed, so that the block can start on a cache line.
        self._words = array.array("q", bytes(8 * (native.CONTROL_WORDS + 8)))
        _control_blocks.append(self._words)
        start, _ = self._words.buffer_info()
        self._first = (-start % 64) // 8
        self.control = start + 8 * self._first
        self._sleeping: list[threading.Lock] = []
        self._programs = 0  # started so far; tells a worker that gets tired of one that just began
        self._workers: list[threading.Thread] = []
        self._set_patience()

    def start(self) -> None:
        """Start the workers; where the system gives fewer threads the team is smaller."""
        entry = native.entries().serve
        serve = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)(entry)
        for number in range(1, self.size):
            worker = threading.Thread(
                target=self._work, args=(serve, number), name=f"flambeau-{number}", daemon=True
            )
            try:
                worker.start()
            except RuntimeError:
                break
            self._workers.append(worker)
        self.size = 1 + len(self._workers)

    def begin(self, helpers: int) -> None:
        """Wake up to ``helpers`` sleeping workers; called before a program that can use them."""
        self._programs += 1
        sleeping = self._sleeping
        excess = self.size - 1 - helpers
        while len(sleeping) > excess:
            try:
                wake = sleeping.pop()
            except IndexError:
                break
            wake.release()
        self._words[self._first + native.SLEEPERS] = max(0, len(sleeping) - excess)

    def dissolve(self, seconds: float = 0.0) -> None:
        """Send the workers home and wait up to ``seconds`` for each; they finish the tile they are at."""
        self._words[self._first + native.STOP] = 1
        while self._sleeping:
            self._sleeping.pop().release()
        if seconds > 0.0:
            for worker in self._workers:
                worker.join(seconds)

    @property
    def asleep(self) -> int:
        """How many workers are waiting in Python."""
        return len(self._sleeping)

    def _work(self, serve: Callable[[int, int], int], number: int) -> None:
        wake = threading.Lock()
        wake.acquire()
        sleeping = self._sleeping
        stop = self._first + native.STOP
        while True:
            seen = self._programs
            if serve(self.control, number):
                return
            sleeping.append(wake)
            if self._words[stop] or self._programs != seen:
                # Something changed while this worker was leaving.  Whoever took the lock from the
                # list in between releases it; otherwise there is no reason to sleep.
                try:
                    sleeping.remove(wake)
                    continue
                except ValueError:
                    pass
            else:
                self._words[self._first + native.SLEEPERS] = len(sleeping)
            wake.acquire()

    def _set_patience(self) -> None:
        per_second = 1.0 / _pause_seconds()
        crowded = self.size > cpus.available()
        # With more threads than processors a spinning thread takes the place of a working one.
        scale = 0.25 if crowded else 1.0
        words, first = self._words, self._first
        words[first + native.IDLE_SPINS] = max(1, int(_IDLE_SECONDS * scale * per_second))
        words[first + native.ACTIVE_SPINS] = max(1, int(_ACTIVE_SECONDS * scale * per_second))
        words[first + native.WAIT_SPINS] = max(1, int(_WAIT_SECONDS * scale * per_second))
        words[first + native.YIELD] = _yield_address()
        words[first + native.CROWDED] = int(crowded and _yield_address() != 0)


class _Pool:
    """The team of this process, and whose turn it is."""

    def __init__(self, count: int | None = None) -> None:
        self.turn = threading.Lock()
        self.team: Team | None = None
        self.count = count  # None: as many as there are processors
        self.closed = False


_pool = _Pool()
_exit_registered = False


def get_num_threads() -> int:
    """How many threads a program may use, the caller's included."""
    if _pool.count is None:
        _pool.count = cpus.available()
    return _pool.count


def set_num_threads(count: int) -> None:
    """Use ``count`` threads (at least 1) from now on, the caller's included; results have the same bits.

    Waits for a program that is running in another thread.  Raises ``ValueError`` for less than 1 and
    ``TypeError`` for what is not an integer.

    >>> import flambeau as fb
    >>> fb.set_num_threads(2)
    """
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"the number of threads is an integer, not {count!r}")
    if count < 1:
        raise ValueError(f"the number of threads is at least 1, not {count}")
    pool = _pool
    with pool.turn:
        pool.count = count
        team, pool.team = pool.team, None
        if team is not None:
            team.dissolve()


def claim() -> tuple[Team, threading.Lock] | None:
    """The team and the lock to release after use, or None: the caller then runs its program alone.

    None means that there is nobody to help: one thread is wanted, another caller has the team, or
    the interpreter is ending.
    """
    pool = _pool
    turn = pool.turn
    if pool.count == 1 or not turn.acquire(False):
        return None
    try:
        team = pool.team
        if team is None:
            team = _start(pool)
    except BaseException:
        turn.release()
        raise
    if team is None or team.size == 1:
        turn.release()
        return None
    return team, turn


def _start(pool: _Pool) -> Team | None:
    global _exit_registered
    count = get_num_threads()
    if count == 1 or pool.closed:
        return None
    if not _exit_registered:
        atexit.register(_at_exit)
        _exit_registered = True
    team = Team(count)
    team.start()
    pool.team = team
    return team


def _at_exit() -> None:
    """Let every worker return to Python and end while there still is a Python to return to."""
    pool = _pool
    pool.closed = True
    team = pool.team
    if team is not None:
        team.dissolve(_LEAVE_SECONDS)
        # A program that still runs in a daemon thread goes on alone; nobody else gets the team.
        pool.team = None


def _after_fork() -> None:
    """In a child there are no workers, and locks may be held by threads that do not exist."""
    global _pool
    _pool = _Pool(_pool.count)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


_pause: float | None = None


def _pause_seconds() -> float:
    """How long one pause takes: between 10 and 150 ns, depending on the processor."""
    global _pause
    if _pause is None:
        spin = ctypes.CFUNCTYPE(None, ctypes.c_int64)(native.entries().spin)
        count = 4000
        best = 1.0
        for _ in range(3):
            begin = time.perf_counter()
            spin(count)
            best = min(best, time.perf_counter() - begin)
        _pause = max(best / count, 1e-10)
    return _pause


def _yield_address() -> int:
    """Where the system's ``sched_yield`` is, or 0: native code calls it through the control block."""
    try:
        function = ctypes.CDLL(None).sched_yield
    except (AttributeError, OSError, TypeError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0
