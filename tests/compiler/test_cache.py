from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from flambeau.compiler import cache
from flambeau.compiler.cache import CacheWarning, DiskCache

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="the disk cache needs POSIX permissions"),
    pytest.mark.filterwarnings("error"),
]

KEY = hashlib.sha256(b"a kernel").digest()
OTHER = hashlib.sha256(b"another kernel").digest()
PAYLOAD = b"machine code " * 50


@pytest.fixture
def disk(tmp_path: Path) -> DiskCache:
    return DiskCache(tmp_path / "cache")


def file_of(disk: DiskCache, key: bytes = KEY) -> Path:
    assert disk.folder is not None
    return disk.folder / (key.hex() + ".flo")


def test_what_is_stored_is_found_by_everyone(disk: DiskCache) -> None:
    assert disk.load(KEY) is None
    assert disk.info().entries == 0
    disk.store(KEY, PAYLOAD)
    assert disk.load(KEY) == PAYLOAD
    assert disk.load(OTHER) is None
    again = DiskCache(disk.folder)
    assert again.load(KEY) == PAYLOAD
    assert again.info().entries == 1
    assert again.info().nbytes == file_of(disk).stat().st_size
    assert again.info().problem is None


def test_folder_and_files_belong_to_the_user_alone(disk: DiskCache) -> None:
    mask = os.umask(0)
    try:
        disk.store(KEY, PAYLOAD)
    finally:
        os.umask(mask)
    assert disk.folder is not None
    assert disk.folder.stat().st_mode & 0o777 == 0o700
    assert file_of(disk).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in disk.folder.iterdir()] == [file_of(disk).name]  # no temporary file


def damaged(change: Callable[[bytearray], object]) -> Callable[[DiskCache], None]:
    def spoil(disk: DiskCache) -> None:
        data = bytearray(file_of(disk).read_bytes())
        change(data)
        file_of(disk).write_bytes(data)

    return spoil


def flip(place: int) -> Callable[[DiskCache], None]:
    def change(data: bytearray) -> None:
        data[place] ^= 1

    return damaged(change)


def linked(disk: DiskCache) -> None:
    target = file_of(disk).with_name("elsewhere")
    file_of(disk).rename(target)
    file_of(disk).symlink_to(target)


def piped(disk: DiskCache) -> None:
    file_of(disk).unlink()
    os.mkfifo(file_of(disk))


def foldered(disk: DiskCache) -> None:
    file_of(disk).unlink()
    file_of(disk).mkdir()


def swapped(disk: DiskCache) -> None:
    disk.store(OTHER, b"other code")
    file_of(disk, OTHER).rename(file_of(disk))


HOSTILE: dict[str, Callable[[DiskCache], None]] = {
    "magic": flip(0),
    "key": flip(10),
    "digest": flip(50),
    "length": flip(74),
    "first byte": flip(80),
    "last byte": flip(-1),
    "truncated": damaged(lambda data: data.__delitem__(slice(200, None))),
    "only a header": damaged(lambda data: data.__delitem__(slice(80, None))),
    "half a header": damaged(lambda data: data.__delitem__(slice(20, None))),
    "empty": damaged(lambda data: data.clear()),
    "longer": damaged(lambda data: data.extend(b"more")),
    "another entry": swapped,
    "symbolic link": linked,
    "pipe": piped,
    "folder": foldered,
    "group may write": lambda disk: file_of(disk).chmod(0o620),
    "all may write": lambda disk: file_of(disk).chmod(0o602),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_ignored_with_one_warning_and_replaced(disk: DiskCache, kind: str) -> None:
    disk.store(KEY, PAYLOAD)
    HOSTILE[kind](disk)
    with pytest.warns(CacheWarning, match="not used"):
        assert disk.load(KEY) is None
    assert disk.load(KEY) is None  # warnings are errors: this one is silent
    if kind == "folder":
        file_of(disk).rmdir()
    disk.store(KEY, PAYLOAD)
    assert disk.load(KEY) == PAYLOAD
    assert not file_of(disk).is_symlink()


def test_files_of_another_user_are_ignored(disk: DiskCache, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.store(KEY, PAYLOAD)
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.warns(CacheWarning, match="belongs to another user"):
        assert disk.load(KEY) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once
        disk.store(OTHER, PAYLOAD)
    assert not file_of(disk, OTHER).exists()
    assert disk.info().problem == "the cache folder belongs to another user"


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_folder_that_others_may_write_is_not_used(disk: DiskCache, mode: int) -> None:
    disk.store(KEY, PAYLOAD)
    assert disk.folder is not None
    disk.folder.chmod(mode)
    with pytest.warns(CacheWarning, match="can be written by other users"):
        assert disk.load(KEY) is None
    disk.store(OTHER, PAYLOAD)  # said once
    assert not file_of(disk, OTHER).exists()
    disk.folder.chmod(0o700)
    assert disk.load(KEY) == PAYLOAD


def test_a_folder_that_is_a_link_or_a_file_is_not_used(tmp_path: Path) -> None:
    real = DiskCache(tmp_path / "real")
    real.store(KEY, PAYLOAD)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").write_bytes(b"")
    for name in ("link", "file"):
        disk = DiskCache(tmp_path / name)
        with pytest.warns(CacheWarning, match="not a folder"):
            assert disk.load(KEY) is None
        disk.store(KEY, PAYLOAD)  # said once
        assert disk.load(KEY) is None
        assert disk.info().problem is not None


def test_a_home_that_cannot_be_written_only_turns_the_cache_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    disk = DiskCache(tmp_path / "home" / "cache")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setattr(Path, "mkdir", refuse)
        disk.store(KEY, PAYLOAD)
        assert disk.load(KEY) is None
        nowhere = DiskCache(None)
        nowhere.store(KEY, PAYLOAD)
        assert nowhere.load(KEY) is None
    assert nowhere.info().problem == "no cache folder"
    monkeypatch.undo()
    disk.store(KEY, PAYLOAD)
    monkeypatch.setattr(os, "rename", refuse)
    disk.store(OTHER, PAYLOAD)
    assert disk.problem == "the cache folder cannot be written: Permission denied"
    assert disk.folder is not None
    assert [path.suffix for path in disk.folder.iterdir()] == [".flo"]  # nothing half-written stays


def test_the_longest_unused_go_first(tmp_path: Path) -> None:
    size = 1000
    disk = DiskCache(tmp_path / "cache", limit=10 * (size + 80))
    keys = [hashlib.sha256(bytes([number])).digest() for number in range(11)]
    for number, key in enumerate(keys[:10]):
        disk.store(key, bytes(size))
        os.utime(file_of(disk, key), (1000 + number, 1000 + number))
    assert disk.info().entries == 10
    assert disk.load(keys[0]) == bytes(size)  # used just now
    disk.store(keys[10], bytes(size))
    left = [number for number, key in enumerate(keys) if file_of(disk, key).exists()]
    assert left == [0, 4, 5, 6, 7, 8, 9, 10]
    assert disk.info().nbytes <= 0.8 * disk.limit
    disk.store(OTHER, bytes(11 * size))  # more than the cache may hold
    assert disk.load(OTHER) is None


def test_files_left_by_a_process_that_died_are_removed(disk: DiskCache) -> None:
    disk.store(KEY, PAYLOAD)
    assert disk.folder is not None
    old, new = disk.folder / ".tmp-1-old", disk.folder / ".tmp-1-new"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    DiskCache(disk.folder).store(OTHER, PAYLOAD)  # the first time a process stores, it looks around
    assert not old.exists()
    assert new.exists()  # perhaps another process is still writing it


def test_a_folder_that_vanishes_is_made_again(disk: DiskCache) -> None:
    disk.store(KEY, PAYLOAD)
    file_of(disk).unlink()
    assert disk.folder is not None
    disk.folder.rmdir()
    assert disk.load(KEY) is None
    disk.store(KEY, PAYLOAD)
    assert disk.load(KEY) == PAYLOAD


def test_many_processes_and_threads_share_a_folder(tmp_path: Path) -> None:
    code = """
import hashlib, sys
from pathlib import Path
from flambeau.compiler.cache import DiskCache
disk = DiskCache(Path(sys.argv[1]), limit=20_000)
for number in range(300):
    key = hashlib.sha256(bytes([number % 40])).digest()
    expected = key * (10 + number % 40)
    found = disk.load(key)
    assert found is None or found == expected
    disk.store(key, expected)
"""
    folder = tmp_path / "cache"
    others = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, str(folder)], stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    disk = DiskCache(folder, limit=20_000)
    failures = []

    def hammer() -> None:
        for number in range(200):
            key = hashlib.sha256(bytes([number % 40])).digest()
            disk.store(key, key * (10 + number % 40))
            if disk.load(key) not in (None, key * (10 + number % 40)):
                failures.append(number)

    threads = [threading.Thread(target=hammer) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        _, errors = other.communicate(timeout=60)
        assert (other.returncode, errors) == (0, "")
    assert not failures


def test_where_the_folder_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.default_folder() == tmp_path / "xdg" / "flambeau"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the specification
    assert cache.default_folder() == tmp_path / ".cache" / "flambeau"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.default_folder() == tmp_path / ".cache" / "flambeau"
    monkeypatch.setattr(cache, "_current", None)
    assert cache.current().folder == tmp_path / ".cache" / "flambeau"
    cache.set_folder(tmp_path / "chosen")
    assert cache.current().folder == tmp_path / "chosen"
    cache.set_folder(None)
    assert cache.current().folder is None


def test_the_source_hash_covers_the_compiler() -> None:
    assert len(cache.source_hash()) == 32
    assert cache.source_hash() == cache.source_hash()
