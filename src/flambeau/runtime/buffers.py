"""Blocks of memory: 64-byte aligned, from an allocator that keeps what is given back.

A size is rounded up to a class (at most an eighth more, or 63 bytes) and served from the class's
free list; a block returns there when its ``Buffer`` dies.  Small blocks are cut from slabs, large
ones are mappings of their own, on huge pages where the system has them.  What is kept is bounded.

Buffers die at any moment, on any thread, even inside this module when the garbage collector runs:
the two hot paths, taking and giving back, use single steps of lists and dicts and no lock.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import mmap
import os
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flambeau.dtypes import DType

ALIGNMENT = 64
_SLAB = 1 << 18  # small blocks are cut from pieces of this many bytes
_LARGE = 1 << 15  # from this size on a block is a mapping of its own
_HUGE = 1 << 22  # from this size on huge pages are asked for
_FINE = 1 << 10  # up to here classes are all multiples of 64 bytes, above there are eight per doubling


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """What the allocator holds, in bytes of whole blocks.

    ``live_buffers`` and ``live_bytes`` are in use (borrowed memory does not count), ``peak_bytes``
    is the most that ever was, ``reserved_bytes`` is what was taken from the system.
    """

    live_buffers: int
    live_bytes: int
    peak_bytes: int
    reserved_bytes: int


class _SizeClass:
    """All blocks of one size: how many exist, and the addresses of those not in use."""

    __slots__ = ("exporter", "free", "made", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.made = 0
        self.free: list[int] = []
        self.exporter: type[ctypes.Array[ctypes.c_char]] = ctypes.c_char * size


class _Allocator:
    """The state of this process's memory."""

    __slots__ = ("classes", "free_large", "limit", "live", "lock", "mappings", "peak", "slabs")

    def __init__(self, limit: int) -> None:
        self.limit = limit  # bytes of large blocks that may lie unused
        self.classes: dict[int, _SizeClass] = {}
        self.mappings: dict[int, mmap.mmap] = {}  # large blocks by address
        self.slabs: dict[int, mmap.mmap] = {}
        self.live = 0
        self.peak = 0
        self.free_large = 0
        # Reentrant: the collector may run a finalizer that allocates while this thread holds it.
        self.lock = threading.RLock()

    def grow(self, kind: _SizeClass) -> int:
        """A new block of a class, from the system."""
        size = kind.size
        if size >= _LARGE:
            mapping = _map(size)
            address = _address(mapping)
            self.mappings[address] = mapping
            kind.made += 1
            return address
        with self.lock:
            try:
                return kind.free.pop()  # another thread was here first
            except IndexError:
                pass
            slab = _map(_SLAB)
            start = _address(slab)
            self.slabs[start] = slab
            blocks = _SLAB // size
            kind.made += blocks
            kind.free.extend(range(start + size, start + blocks * size, size))
            return start

    def give_back(self, kind: _SizeClass, address: int) -> None:
        """A large block is not needed any more: keep it if there is room, or return it to the system."""
        size = kind.size
        if self.free_large + size > self.limit:
            if self.mappings.pop(address, None) is not None:
                kind.made -= 1
        else:
            self.free_large += size
            kind.free.append(address)

    def release_unused(self) -> None:
        """Return to the system what no buffer uses."""
        with self.lock:
            for kind in list(self.classes.values()):
                if kind.size >= _LARGE:
                    while kind.free:
                        try:
                            address = kind.free.pop()
                        except IndexError:
                            break
                        self.free_large -= kind.size
                        del self.mappings[address]
                        kind.made -= 1
                else:
                    self._release_slabs(kind)

    def _release_slabs(self, kind: _SizeClass) -> None:
        """Slabs of a class of which every block is free."""
        taken = []
        while kind.free:
            try:
                taken.append(kind.free.pop())
            except IndexError:
                break
        blocks = _SLAB // kind.size
        # Slabs are mapped on page boundaries, not on multiples of their size: find each block's.
        starts = np.array(sorted(self.slabs), np.int64)
        owners = starts[np.searchsorted(starts, np.array(taken, np.int64), side="right") - 1].tolist()
        empty = {start for start, count in Counter(owners).items() if count == blocks}
        for start in empty:
            del self.slabs[start]
            kind.made -= blocks
        kind.free.extend(address for address, owner in zip(taken, owners, strict=True) if owner not in empty)


# Private: Python's default is memory that a forked child would share with its parent.
_FLAGS = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}


def _map(size: int) -> mmap.mmap:
    """Fresh memory from the system; if there is none, what is kept unused is given up first."""
    try:
        mapping = mmap.mmap(-1, size, **_FLAGS)
    except OSError:
        _allocator.release_unused()
        try:
            mapping = mmap.mmap(-1, size, **_FLAGS)
        except OSError as error:
            raise MemoryError(f"the system has no {size:,} bytes for a buffer") from error
    if size >= _HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without huge pages
            mapping.madvise(mmap.MADV_HUGEPAGE)
    return mapping


def _address(mapping: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(mapping))


def _size_class(nbytes: int) -> _SizeClass:
    """The class of a size, made at first use."""
    kinds = _allocator.classes
    if nbytes <= _FINE:
        size = max(ALIGNMENT, (nbytes + ALIGNMENT - 1) & -ALIGNMENT)
    else:
        shift = (nbytes - 1).bit_length() - 4
        size = (((nbytes - 1) >> shift) + 1) << shift
        if size >= _LARGE:
            size = (size + mmap.PAGESIZE - 1) & -mmap.PAGESIZE
    kind = kinds.get(size)
    if kind is None:
        kind = kinds.setdefault(size, _SizeClass(size))
    return kind


def _default_limit() -> int:
    """A quarter of the machine's memory: a training step gives back and takes again its whole arena."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        memory = 0
    return max(memory // 4, 1 << 28)


_allocator = _Allocator(_default_limit())
# The process may end while a daemon thread computes on a buffer: mappings are left to the system,
# not undone when the interpreter clears its modules.
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_allocator))


def _after_fork() -> None:
    """In a child the lock may be held by a thread that does not exist there."""
    _allocator.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Buffer:
    """A block of memory: ``ptr`` is its address (a multiple of 64), ``nbytes`` its size.

    The memory is returned when the last reference to the Buffer and to its views is gone.  It is
    not cleared at the beginning.  Raises ``MemoryError`` where there is none, ``ValueError`` for a
    negative size.

    >>> buffer = Buffer(16)
    >>> buffer.view(np.float32, (4,))[:] = 1.0
    >>> buffer.view(np.float32, (2, 2)).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """

    __slots__ = ("__weakref__", "_kind", "_owner", "forms", "nbytes", "ptr")

    ptr: int
    nbytes: int
    _owner: object
    _kind: _SizeClass | None
    forms: dict[Any, Buffer] | None  # other forms of the contents, where these were kept

    def __init__(self, nbytes: int, _state: _Allocator = _allocator) -> None:
        # Set first: __del__ runs even when this fails.
        self._kind = None
        kind = _sizes.get(nbytes)
        if kind is None:
            kind = _remember(nbytes)
        try:
            self.ptr = kind.free.pop()
            if kind.size >= _LARGE:
                _state.free_large -= kind.size
        except IndexError:
            self.ptr = _state.grow(kind)
        self.nbytes = nbytes
        self.forms = None
        self._kind = kind
        live = _state.live = _state.live + kind.size
        if live > _state.peak:
            _state.peak = live

    def __del__(self, _state: _Allocator = _allocator, _large: int = _LARGE) -> None:
        # Names bound as defaults: at the end of the interpreter the module's are gone.
        kind = self._kind
        if kind is not None:
            size = kind.size
            _state.live -= size
            if size < _large:
                kind.free.append(self.ptr)
            else:
                _state.give_back(kind, self.ptr)

    @staticmethod
    def borrow(owner: object, ptr: int, nbytes: int) -> Buffer:
        """A Buffer over memory that belongs to ``owner``, which it keeps alive; any alignment."""
        if nbytes < 0:
            raise ValueError(f"a buffer cannot have {nbytes} bytes")
        buffer = Buffer.__new__(Buffer)
        buffer._kind = None
        buffer._owner = owner
        buffer.ptr = ptr
        buffer.nbytes = nbytes
        buffer.forms = None
        return buffer

    @property
    def borrowed(self) -> bool:
        """Whether the memory belongs to someone else."""
        return self._kind is None

    def keep(self, key: Any, form: Buffer) -> None:
        """Remember another form of the contents, such as a weight in the order that a kernel reads it in.

        Nothing is kept of memory that others may write to.  Who overwrites the contents sets ``forms``
        to None; beyond a few forms, those before are forgotten.
        """
        if self._kind is None or self.forms is LENT:
            return
        forms = self.forms
        if forms is None or len(forms) >= _MANY_FORMS:
            forms = self.forms = {}
        forms[key] = form

    def lend(self) -> None:
        """Say that others may write to the memory from now on, at any time."""
        self.forms = LENT

    def view(
        self,
        dtype: DType | np.dtype[Any] | type[Any],
        shape: Sequence[int],
        offset: int = 0,
        writable: bool = True,
    ) -> np.ndarray[Any, Any]:
        """A NumPy array over this memory in C order, from byte ``offset`` on, that keeps the Buffer alive.

        A view that is not writable cannot be made so.  Raises ``ValueError`` where the array does
        not lie within the buffer.
        """
        kind = self._kind
        exporter: Any = (ctypes.c_char * self.nbytes if kind is None else kind.exporter).from_address(
            self.ptr
        )
        exporter.buffer = self
        layout: Any = dtype.numpy if type(dtype) is DType else dtype
        try:
            array: np.ndarray[Any, Any]
            if writable:
                array = np.ndarray(shape, layout, exporter, offset)
            else:
                # Unlike ndarray(), frombuffer keeps the read-only memoryview itself as its base, so
                # NumPy refuses to set the flag again.
                memory = memoryview(exporter).toreadonly()
                array = np.frombuffer(memory, layout, math.prod(shape), offset).reshape(shape)
        except (TypeError, ValueError) as error:
            raise self._misfit(shape, offset) from error
        if offset < 0 or offset + array.nbytes > self.nbytes:  # a block may be larger than what was asked for
            raise self._misfit(shape, offset)
        return array

    def _misfit(self, shape: Sequence[int], offset: int) -> ValueError:
        return ValueError(
            f"an array of shape {tuple(shape)} at byte {offset} does not fit in {self.nbytes} bytes"
        )

    def __repr__(self) -> str:
        return f"Buffer({self.nbytes} bytes at {self.ptr:#x}{', borrowed' if self.borrowed else ''})"


LENT: dict[Any, Buffer] = {}  # the forms, none of them, of memory that others may write to
_MANY_FORMS = 4

# Sizes seen so far, to find the class of one in a single step; forgotten when there are too many.
_sizes: dict[int, _SizeClass] = {}
_MANY_SIZES = 4096


def _remember(nbytes: int) -> _SizeClass:
    if nbytes < 0:
        raise ValueError(f"a buffer cannot have {nbytes} bytes")
    if nbytes > sys.maxsize // 2:
        raise MemoryError(f"no system has {nbytes:,} bytes for a buffer")
    if len(_sizes) >= _MANY_SIZES:
        _sizes.clear()
    kind = _sizes[nbytes] = _size_class(nbytes)
    return kind


def stats() -> MemoryStats:
    """What the allocator holds now."""
    with _allocator.lock:
        kinds = list(_allocator.classes.values())
        used = [(kind.made - len(kind.free), kind.size) for kind in kinds]
        large = sum(kind.size * kind.made for kind in kinds if kind.size >= _LARGE)
        reserved = _SLAB * len(_allocator.slabs) + large
    return MemoryStats(
        live_buffers=sum(count for count, _ in used),
        live_bytes=sum(count * size for count, size in used),
        peak_bytes=_allocator.peak,
        reserved_bytes=reserved,
    )


def empty_cache() -> None:
    """Return the memory that no buffer uses to the system."""
    _allocator.release_unused()


def reset_peak() -> None:
    """Let ``peak_bytes`` begin again at what is live now."""
    _allocator.peak = _allocator.live


def set_cache_limit(nbytes: int) -> None:
    """Keep at most ``nbytes`` of large blocks that are not in use; a quarter of the memory by default."""
    if nbytes < 0:
        raise ValueError(f"a limit cannot be {nbytes} bytes")
    _allocator.limit = nbytes
    if _allocator.free_large > nbytes:
        _allocator.release_unused()
