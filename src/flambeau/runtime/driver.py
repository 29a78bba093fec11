"""Programs: sequences of kernel calls that native code runs without Python in between."""

from __future__ import annotations

import array
import ctypes
import struct
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from flambeau.compiler.kernel import Bind, Branch, Call, Op, Pointer, Repeat, Step, Swap
from flambeau.runtime import native, threads

# All times in nanoseconds on one thread, as estimated by ``Call.cost``.
_WAKE_NOBODY = 50_000  # a program with less work than this for several threads runs on its caller alone
_SPREAD = 5_000  # a call shorter than this is not worth a barrier
_SHARE = 25_000  # what each thread of a parallel call should have at least
_HOLD_GIL = 20_000  # shorter than this, giving the interpreter lock away costs more than it brings
_SLICE = 50_000_000  # after so much work the driver returns, for Python to look for signals
_LONGEST = 1 << 60

_LOOP = 16  # how often a loop without a known end is taken to run
_TURN = 10  # what a step of a loop or a branch costs

_NONE = -1

_CALL_RELEASING = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
_CALL_HOLDING = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)


class _Frame:
    """What one run writes to: base addresses, resolved arguments, and where it has got to."""

    __slots__ = ("address", "bases", "words")

    def __init__(self, program: Program, slots: int, storage: int) -> None:
        size = native.HEADER_WORDS + slots + storage
        self.words = words = array.array("q", bytes(8 * size))
        start, _ = words.buffer_info()
        # An object made once: converting an integer at each call costs more than the call.
        self.address = ctypes.c_void_p(start)
        first = native.HEADER_WORDS
        self.bases = np.frombuffer(words, np.int64)[first : first + slots]
        words[native.RECORDS] = program._records.buffer_info()[0]
        words[native.COUNT] = program.records
        words[native.BUDGET] = _SLICE
        words[native.STATUS_SLOT] = _NONE if program.status_slot is None else program.status_slot
        words[native.ASKED] = _NONE
        words[native.SOURCES] = program._sources.buffer_info()[0]
        words[native.STORAGE] = start + 8 * (first + slots)


class Program:
    """Kernel calls that run in order, each finished before the next begins, with loops and branches.

    ``addresses`` maps entry names to machine code; ``slots`` is how many memory blocks the calls'
    pointers refer to; ``status_slot`` names the one whose first 8 bytes stop the program when they
    are not 0.  ``helpers`` is how many workers it uses besides its caller where that shall not depend
    on its cost.  A program may be run by several Python threads at once.  Raises ``KeyError`` for an
    unknown entry, ``ValueError`` for a pointer into a slot that does not exist and ``OverflowError``
    for an integer of more than 64 bits.

    >>> program = Program(calls, addresses, slots=2)      # doctest: +SKIP
    >>> program.run([source.ptr, result.ptr])             # doctest: +SKIP
    0
    """

    __slots__ = (
        "_enter",
        "_frames",
        "_pack",
        "_records",
        "_slots",
        "_sources",
        "_storage",
        "calls",
        "cost",
        "helpers",
        "records",
        "status_slot",
    )

    def __init__(
        self,
        ops: Sequence[Op],
        addresses: Mapping[str, int],
        slots: int,
        status_slot: int | None = None,
        helpers: int | None = None,
    ) -> None:
        if status_slot is not None and not 0 <= status_slot < slots:
            raise ValueError(f"there is no slot {status_slot}: the program has {slots}")
        weighted = _weighted(ops)
        self.records = len(ops)
        self.calls = sum(times for _, times in weighted)  # launches of one run
        self.cost = float(sum(call.cost * times for call, times in weighted))
        self.status_slot = status_slot
        self._slots = slots
        self._records, self._sources, self._storage = _tables(ops, addresses, slots)
        self.helpers = _helpers(weighted) if helpers is None else helpers
        self._pack = struct.Struct(f"{slots}q").pack_into
        kind = _CALL_HOLDING if self.cost < _HOLD_GIL else _CALL_RELEASING
        self._enter: Callable[[ctypes.c_void_p], int] = kind(native.entries().drive)
        # Frames not in use.  Taking and returning one is a single step of a list, so it needs no lock.
        self._frames: list[_Frame] = []

    def run(self, bases: Sequence[int] | np.ndarray) -> int:
        """Run all calls over the memory at ``bases``, an address per slot; the status word, 0 if all is well.

        ``bases`` may be an int64 NumPy array.  The caller keeps the memory alive.  Raises
        ``KeyboardInterrupt`` between calls, with the work of those before done and no thread left
        in the program.
        """
        try:
            frame = self._frames.pop()
        except IndexError:
            frame = _Frame(self, self._slots, self._storage)
        if type(bases) is np.ndarray:
            if bases.shape != (self._slots,) or bases.dtype != np.int64:
                raise ValueError(f"{self._slots} addresses of type int64 are needed")
            frame.bases[:] = bases
        else:
            try:
                self._pack(frame.words, 8 * native.HEADER_WORDS, *bases)
            except struct.error as error:
                raise ValueError(f"{self._slots} addresses are needed: {error}") from None
        code = self._together(frame) if self.helpers else self._enter(frame.address)
        while code == native.AGAIN:  # here Python handles signals, which may raise
            code = self._together(frame) if self.helpers else self._enter(frame.address)
        status = frame.words[native.STATUS] if code == native.STOPPED else 0
        # After an exception the frame is not at its beginning, and is left to be collected instead.
        self._frames.append(frame)
        return status

    def _together(self, frame: _Frame) -> int:
        """Enter with the team if it is free, otherwise alone."""
        claimed = threads.claim()
        if claimed is None:
            return self._enter(frame.address)
        team, turn = claimed
        try:
            frame.words[native.CONTROL] = team.control
            team.begin(self.helpers)
            code = self._enter(frame.address)
            while code == native.WAKE:
                team.begin(self.helpers)
                code = self._enter(frame.address)
            return code
        finally:
            frame.words[native.CONTROL] = 0
            turn.release()


def _tables(
    ops: Sequence[Op], addresses: Mapping[str, int], slots: int
) -> tuple[array.array[int], array.array[int], int]:
    """A record per operation, pairs as the driver reads them, and how many words of storage it needs.

    An argument is a pair (slot, offset) or (-1, number).  The counters of loops lie behind the
    arguments in the storage.
    """
    records: list[int] = []
    sources: list[int] = []

    def pair(slot: int, offset: int) -> None:
        if not 0 <= slot < slots:
            raise ValueError(f"a pointer into slot {slot}: the program has {slots}")
        sources.append(slot)
        sources.append(offset)

    widest = max((len(op.args) for op in ops if isinstance(op, Call)), default=0)
    counters = 0
    for op in ops:
        first = len(sources) // 2
        if isinstance(op, Call):
            for argument in op.args:
                if isinstance(argument, Pointer):
                    pair(argument.slot, argument.offset)
                else:
                    sources.append(_NONE)
                    sources.append(argument)
            cost = int(min(max(op.cost, 0.0), _LONGEST))
            parallel = int(is_shared(op))
            records += (
                addresses[op.entry], op.tiles, first, len(op.args), cost, parallel, native.CALL, 0,
            )  # fmt: skip
        elif isinstance(op, Bind):
            for slot, place in zip(op.slots, op.places, strict=True):
                pair(slot, 0)
                pair(place.slot, place.offset)
            records += (0, 0, first, len(op.slots), _TURN, 0, native.BIND, 0)
        elif isinstance(op, Step):
            for slot, nbytes in op.steps:
                pair(slot, nbytes)
            records += (0, 0, first, len(op.steps), _TURN, 0, native.STEP, 0)
        elif isinstance(op, Swap):
            for a, b in op.pairs:
                pair(a, b)
            records += (0, 0, first, len(op.pairs), _TURN, 0, native.SWAP, 0)
        elif isinstance(op, Repeat):
            records += (0, op.count, widest + counters, 0, _TURN, 0, native.REPEAT, -op.back)
            counters += 1
        elif op.condition is None:
            records += (0, 0, first, 0, _TURN, 0, native.JUMP, op.ahead)
        else:
            pair(op.condition.slot, op.condition.offset)
            records += (0, int(op.when), first, 1, _TURN, 0, native.BRANCH, op.ahead)
    return array.array("q", records or [0]), array.array("q", sources or [0]), widest + counters


def is_shared(call: Call) -> bool:
    """Whether the tiles of a call are worth sharing among threads."""
    return call.tiles > 1 and call.cost >= _SPREAD


def _weighted(ops: Sequence[Op]) -> list[tuple[Call, int]]:
    """The calls, and how often each runs: both sides of a branch, a loop without known end some times."""
    times = [1] * len(ops)
    for i, op in enumerate(ops):
        back, count = (op.back, op.count) if isinstance(op, Repeat) else (0, 1)
        if isinstance(op, Branch) and op.ahead < 0:
            back, count = -op.ahead, _LOOP
        for j in range(i - back, i):
            times[j] *= count
    return [(op, n) for op, n in zip(ops, times, strict=True) if isinstance(op, Call)]


def _helpers(calls: Sequence[tuple[Call, int]]) -> int:
    """How many workers the program can use besides its caller."""
    spread = [(call, times) for call, times in calls if is_shared(call)]
    if sum(call.cost * times for call, times in spread) < _WAKE_NOBODY:
        return 0
    return max(1, *(min(call.tiles - 1, int(call.cost // _SHARE)) for call, _ in spread))
