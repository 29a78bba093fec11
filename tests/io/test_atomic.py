from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from flambeau.io.atomic import check_replaceable, replacing


def test_the_file_appears_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with replacing(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_after_an_error_the_old_file_is_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_permissions_are_those_of_an_ordinary_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    before = os.umask(0o027)
    try:
        with replacing(path) as file:
            file.write(b"1")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        with replacing(path) as file:
            file.write(b"2")
        assert stat.S_IMODE(path.stat().st_mode) == 0o604  # those of the file that was replaced
    finally:
        os.umask(before)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "there" / "file")
    with replacing(link) as file:
        file.write(b"x")
    assert link.is_symlink()
    assert (tmp_path / "there" / "file").read_bytes() == b"x"


def test_what_cannot_be_written(tmp_path: Path) -> None:
    for check in (check_replaceable, lambda path: replacing(path).__enter__()):
        with pytest.raises(IsADirectoryError, match="a folder is there"):
            check(tmp_path)
        with pytest.raises(FileNotFoundError, match="no such folder to write to"):
            check(tmp_path / "missing" / "a")
        with pytest.raises(OSError, match="no regular file"):
            check("/dev/null")
    assert Path("/dev/null").is_char_device()


def test_checking_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    check_replaceable(path)
    check_replaceable(tmp_path / "b")
    assert os.listdir(tmp_path) == ["a"]
    assert path.read_bytes() == b"old"


def test_long_names(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250)
    with replacing(path) as file:
        file.write(b"x")
    assert path.read_bytes() == b"x"
