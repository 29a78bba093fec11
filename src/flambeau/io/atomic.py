"""Files that are there whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file that takes the place of ``path`` when the ``with`` block ends without an error.

    Until then it lies beside ``path`` under another name; after an error it is removed, and what
    was at ``path`` before is untouched.  The file is on the disk before it gets its name.  Where
    ``path`` is a symbolic link, what it points to is replaced.

    Raises ``OSError`` where the folder is missing or cannot be written, or where ``path`` is
    something other than a file.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "note"
    >>> with replacing(path) as file:
    ...     _ = file.write(b"whole")
    >>> path.read_bytes()
    b'whole'
    """
    target = _target(path)
    aside = target.with_name(f".{target.name[:200]}.{secrets.token_hex(6)}.tmp")
    descriptor = _create(aside, target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _keep_permissions(aside, target)
        os.replace(aside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise
    sync_folder(target.parent)


def check_replaceable(path: str | os.PathLike[str]) -> None:
    """Raise the ``OSError`` that ``replacing(path)`` would raise, leaving everything as it is."""
    target = _target(path)
    aside = target.with_name(f".{target.name[:200]}.{secrets.token_hex(6)}.tmp")
    os.close(_create(aside, target.parent))
    aside.unlink()


def _target(path: str | os.PathLike[str]) -> Path:
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a folder is there, a file is needed", os.fspath(path))
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "what is there is no regular file", os.fspath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder to write to", str(target.parent))
    return target


def _create(aside: Path, folder: Path) -> int:
    # Not with tempfile, whose files nobody else may read: the result is an ordinary file.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        return os.open(aside, flags, 0o666)
    except OSError as error:
        raise OSError(
            error.errno, f"cannot write to this folder ({error.strerror})", str(folder)
        ) from None  # the name of the temporary file would only confuse


def _keep_permissions(aside: Path, target: Path) -> None:
    with contextlib.suppress(OSError):
        os.chmod(aside, target.stat().st_mode & 0o777)


def sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut, where the system can do so."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
