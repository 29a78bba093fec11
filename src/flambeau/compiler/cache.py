"""The disk cache of machine code: a folder of small files that only its user can write.

What lies in this folder is executed, so nothing is taken on trust.  The folder and every file must
belong to the user, must not be a symbolic link, and must not be writable by anyone else.  A file
names the key it was written for and the SHA-256 of its content; one that is foreign, damaged or
truncated is passed over with one warning and compiled again.  Files are written aside and renamed,
so processes that share the folder never see half of one, and the oldest go when it grows too big.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import struct
import threading
import time
import warnings
from dataclasses import dataclass
from functools import cache as cached
from pathlib import Path

_MAGIC = b"FLAMBOBJ"
_HEADER = struct.Struct("<8s32s32sQ")  # magic, key, SHA-256 of the payload, its length
_SUFFIX = ".flo"
_TEMPORARY = ".tmp-"
_TEMPORARY_LIFE = 3600.0  # seconds after which an unfinished file is a dead process's
_DEFAULT_LIMIT = 256 << 20
_KEEP = 0.8  # how full the folder is left when old files are removed
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
# Owners and permissions as they are checked here exist on POSIX systems only.
_SUPPORTED = os.name == "posix" and os.open in os.supports_dir_fd


class CacheWarning(RuntimeWarning):
    """Something in the cache folder cannot be trusted and was not used."""


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What the disk cache holds: its ``folder``, ``entries`` and ``nbytes``, and why it is off, if it is."""

    folder: str
    entries: int
    nbytes: int
    problem: str | None


class DiskCache:
    """Files of machine code by key (32 bytes), in ``folder``, at most ``limit`` bytes in total.

    Neither ``load`` nor ``store`` raises: a cache that cannot be used is an empty one.

    >>> cache = DiskCache(Path("/tmp/example"))                    # doctest: +SKIP
    >>> cache.store(key, payload); cache.load(key) == payload      # doctest: +SKIP
    True
    """

    def __init__(self, folder: Path | None, limit: int = _DEFAULT_LIMIT) -> None:
        self.folder = folder
        self.limit = limit
        self._lock = threading.Lock()
        self._used: int | None = None  # bytes in the folder as last counted, plus what was added
        self._warned: set[str] = set()
        self.problem: str | None = None if _SUPPORTED else "this system has no POSIX file permissions"
        if folder is None:
            self.problem = "no cache folder"

    def load(self, key: bytes) -> bytes | None:
        """The payload stored under ``key``, or None."""
        folder = self._open_folder(create=False)
        if folder is None:
            return None
        try:
            return self._read(folder, key)
        finally:
            os.close(folder)

    def store(self, key: bytes, payload: bytes) -> None:
        """Keep ``payload`` under ``key``, removing the longest unused files when there are too many."""
        size = _HEADER.size + len(payload)
        if size > self.limit:
            return
        folder = self._open_folder(create=True)
        if folder is None:
            return
        try:
            self._write(folder, key, payload)
            with self._lock:
                if self._used is None or self._used + size > self.limit:
                    self._used = self._evict(folder)
                else:
                    self._used += size
        except OSError as error:
            self.problem = f"the cache folder cannot be written: {error.strerror or error}"
        finally:
            os.close(folder)

    def info(self) -> CacheInfo:
        """What the folder holds now."""
        folder = self._open_folder(create=False)
        files: list[tuple[float, int, str]] = []
        if folder is not None:
            try:
                files = _entries(folder)
            finally:
                os.close(folder)
        return CacheInfo(str(self.folder or ""), len(files), sum(size for _, size, _ in files), self.problem)

    # Reading and writing one file

    def _read(self, folder: int, key: bytes) -> bytes | None:
        name = key.hex() + _SUFFIX
        # O_NONBLOCK: opening a planted pipe must not hang.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            file = os.open(name, flags, dir_fd=folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn(name, f"cannot be opened safely ({error.strerror})")
            return None
        try:
            status = os.fstat(file)
            reason = _distrust(status, stat.S_ISREG, "a regular file")
            if reason is None and not _HEADER.size <= status.st_size <= self.limit:
                reason = "has an impossible size"
            if reason is not None:
                self._warn(name, reason)
                return None
            data = _read_all(file, status.st_size)
            payload = _checked(data, key)
            if payload is None:
                self._warn(name, "is damaged or not an entry of this cache")
                return None
            with contextlib.suppress(OSError):  # a folder that can only be read still serves
                os.utime(file)  # the time of last use decides what is removed first
            return payload
        except OSError as error:
            self._warn(name, f"cannot be read ({error.strerror})")
            return None
        finally:
            os.close(file)

    def _write(self, folder: int, key: bytes, payload: bytes) -> None:
        header = _HEADER.pack(_MAGIC, key, hashlib.sha256(payload).digest(), len(payload))
        temporary = f"{_TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(temporary, flags, 0o600, dir_fd=folder)
        try:
            with os.fdopen(file, "wb") as stream:
                stream.write(header)
                stream.write(payload)
            os.rename(temporary, key.hex() + _SUFFIX, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            _remove(temporary, folder)
            raise

    # The folder

    def _open_folder(self, create: bool) -> int | None:
        """A descriptor of the folder after checking whose it is, or None where it cannot be used."""
        if self.folder is None or not _SUPPORTED:
            return None
        try:
            if create:
                self.folder.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileExistsError):
                    os.mkdir(self.folder, 0o700)
            folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.problem = f"the cache folder cannot be used: {error.strerror or error}"
            if os.path.lexists(self.folder):
                self._warn("", f"is not a folder that can be used ({error.strerror})")
            return None
        reason = _distrust(os.fstat(folder), stat.S_ISDIR, "a folder")
        if reason is not None:
            os.close(folder)
            self.problem = f"the cache folder {reason}"
            self._warn("", reason)
            return None
        self.problem = None
        return folder

    def _evict(self, folder: int) -> int:
        """Remove the longest unused files until the rest fits; the bytes that remain."""
        _remove_stale_temporaries(folder)
        files = _entries(folder)
        used = sum(size for _, size, _ in files)
        if used <= self.limit:
            return used
        for _, size, name in sorted(files):
            if used <= _KEEP * self.limit:
                break
            _remove(name, folder)
            used -= size
        return used

    def _warn(self, name: str, reason: str) -> None:
        with self._lock:
            if name in self._warned:
                return
            self._warned.add(name)
        what = f"{self.folder}/{name}" if name else f"the cache folder {self.folder}"
        warnings.warn(f"{what} {reason}: not used", CacheWarning, stacklevel=2)


def _distrust(status: os.stat_result, is_kind: object, kind: str) -> str | None:
    """Why a file or folder must not be used, or None."""
    assert callable(is_kind)
    if not is_kind(status.st_mode):
        return f"is not {kind}"
    if status.st_uid != os.geteuid():
        return "belongs to another user"
    if status.st_mode & _WRITABLE_BY_OTHERS:
        return "can be written by other users"
    return None


def _checked(data: bytes, key: bytes) -> bytes | None:
    """The payload of a file written by ``_write`` for ``key``, or None."""
    if len(data) < _HEADER.size:
        return None
    magic, owner, digest, length = _HEADER.unpack_from(data)
    payload = data[_HEADER.size :]
    if magic != _MAGIC or owner != key or length != len(payload):
        return None
    return payload if hashlib.sha256(payload).digest() == digest else None


def _read_all(file: int, size: int) -> bytes:
    parts: list[bytes] = []
    while size > 0:
        part = os.read(file, size)
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _entries(folder: int) -> list[tuple[float, int, str]]:
    """Time of last use, size and name of every entry; other processes may remove some meanwhile."""
    found = []
    for name in os.listdir(folder):
        if name.endswith(_SUFFIX):
            try:
                status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except OSError:
                continue
            found.append((status.st_mtime, status.st_size, name))
    return found


def _remove_stale_temporaries(folder: int) -> None:
    oldest = time.time() - _TEMPORARY_LIFE
    for name in os.listdir(folder):
        if name.startswith(_TEMPORARY):
            try:
                if os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime < oldest:
                    _remove(name, folder)
            except OSError:
                continue


def _remove(name: str, folder: int) -> None:
    with contextlib.suppress(OSError):  # another process was first, or it is not ours to remove
        os.unlink(name, dir_fd=folder)


def default_folder() -> Path | None:
    """``$XDG_CACHE_HOME/flambeau``, or ``~/.cache/flambeau``; None for a user without a home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):  # the XDG specification: a relative path is to be ignored
        return Path(base) / "flambeau"
    try:
        return Path.home() / ".cache" / "flambeau"
    except RuntimeError:
        return None


_current: DiskCache | None = None


def current() -> DiskCache:
    """The cache that compiled kernels are kept in."""
    global _current
    if _current is None:
        _current = DiskCache(default_folder())
    return _current


def set_folder(folder: str | os.PathLike[str] | None, limit: int = _DEFAULT_LIMIT) -> None:
    """Keep compiled kernels in ``folder`` (None: nowhere), at most ``limit`` bytes of them.

    The folder is created when something is first written, for its user alone (mode 0700).
    """
    global _current
    _current = DiskCache(None if folder is None else Path(folder).absolute(), limit)


@cached
def source_hash() -> bytes:
    """SHA-256 over this package's own compiler sources: new sources never run old machine code."""
    from importlib import resources

    digest = hashlib.sha256()
    pending = [("compiler", resources.files("flambeau.compiler"))]
    while pending:
        path, place = pending.pop()
        for child in sorted(place.iterdir(), key=lambda item: item.name):
            if child.is_dir():
                if child.name != "__pycache__":
                    pending.append((f"{path}/{child.name}", child))
            elif child.name.endswith(".py"):
                content = child.read_bytes()
                digest.update(f"{path}/{child.name} {len(content)}\n".encode())
                digest.update(content)
    return digest.digest()
