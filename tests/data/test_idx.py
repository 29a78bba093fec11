"""IDX files: what is read back, and what is refused with which words."""

from __future__ import annotations

import gzip
import re
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flambeau.data import DataError
from flambeau.data.idx import read_idx
from flambeau.errors import FlambeauError

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def header(code: int, *shape: int) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, code, len(shape), *shape)


def encode(array: np.ndarray) -> bytes:
    swapped = array.astype(array.dtype.newbyteorder(">"))
    return header(CODES[array.dtype.name], *array.shape) + swapped.tobytes()


def write(folder: Path, content: bytes, name: str = "some-idx") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (3, 5), (2, 0, 4), (2, 3, 4, 5)])
@pytest.mark.parametrize("dtype", CODES)
def test_reads_back_what_was_written(
    tmp_path: Path, dtype: str, shape: tuple[int, ...], compressed: bool
) -> None:
    values = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    content = encode(values)
    path = write(tmp_path, gzip.compress(content) if compressed else content)
    read = read_idx(path)
    assert read.dtype == np.dtype(dtype) and read.dtype.isnative
    assert read.shape == shape
    np.testing.assert_array_equal(read, values)


def test_byte_order_of_the_file_is_big_endian(tmp_path: Path) -> None:
    path = write(tmp_path, header(0x0B, 2) + bytes([0x01, 0x02, 0xFF, 0xFE]))
    assert read_idx(path).tolist() == [0x0102, -2]


def test_the_array_may_be_written_to(tmp_path: Path) -> None:
    read = read_idx(write(tmp_path, encode(np.zeros(4, np.uint8))))
    read[0] = 1
    assert read.tolist() == [1, 0, 0, 0]


def test_compression_is_seen_from_the_content_not_the_name(tmp_path: Path) -> None:
    content = encode(np.arange(5, dtype=np.uint8))
    assert read_idx(write(tmp_path, gzip.compress(content), "plain")).tolist() == [0, 1, 2, 3, 4]
    assert read_idx(write(tmp_path, content, "named.gz")).tolist() == [0, 1, 2, 3, 4]


def test_a_missing_file_is_an_ordinary_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "nothing")


REFUSED = {
    "empty": (b"", "0 bytes are too few for an IDX header"),
    "three bytes": (b"\0\0\x08", "3 bytes are too few for an IDX header"),
    "other format": (b"\x89PNG\r\n\x1a\n", "not an IDX file: it begins with the bytes 89 50 4e 47"),
    "unknown element type": (header(0x0A, 1) + b"x", "not an IDX file: it begins with the bytes 00 00 0a 01"),
    "header cut short": (header(0x08, 2, 3)[:9], "truncated in the header: 2 axes are announced"),
    "elements cut short": (header(0x08, 2, 3) + bytes(5), "claims uint8 of shape (2, 3), 6 bytes"),
    "elements left over": (header(0x08, 2, 3) + bytes(7), "6 bytes, but more bytes follow"),
    "claims terabytes": (header(0x08, *[2**32 - 1] * 4) + bytes(64), "it is truncated or forged"),
    "claims 255 axes": (header(0x08, *[2] * 255), "it is truncated or forged"),
    "255 axes, no elements": (header(0x08, *[0] * 255), "which is not a valid array shape"),
    "huge and empty": (header(0x0E, 0, *[2**32 - 1] * 8), "which is not a valid array shape"),
}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("case", REFUSED)
def test_bad_files_are_refused_by_name(tmp_path: Path, case: str, compressed: bool) -> None:
    content, message = REFUSED[case]
    path = write(tmp_path, gzip.compress(content) if compressed else content)
    if compressed and case == "elements cut short":
        message = "but only 5 follow: the file is truncated"
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        read_idx(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert isinstance(caught.value, FlambeauError) and isinstance(caught.value, ValueError)


def test_every_truncation_of_a_compressed_file_is_refused(tmp_path: Path) -> None:
    content = gzip.compress(encode(np.arange(100, dtype=np.int32)))
    for length in range(len(content)):
        with pytest.raises(DataError, match="some-idx"):
            read_idx(write(tmp_path, content[:length]))


def test_a_wrong_checksum_in_the_gzip_stream_is_refused(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(encode(np.arange(100, dtype=np.uint8))))
    content[-8] ^= 1  # the first byte of the CRC
    with pytest.raises(DataError, match="the gzip stream is damaged"):
        read_idx(write(tmp_path, bytes(content)))


def test_a_decompression_bomb_costs_no_memory(tmp_path: Path) -> None:
    bomb = gzip.compress(header(0x08, 1000) + bytes(64 << 20))
    path = write(tmp_path, bomb)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="more bytes follow"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_max_bytes_bounds_what_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, encode(np.zeros(1000, np.uint8)))
    assert read_idx(path, max_bytes=1000).shape == (1000,)
    with pytest.raises(DataError, match="more than the 999 bytes allowed by max_bytes"):
        read_idx(path, max_bytes=999)


@settings(deadline=None)
@given(st.binary(max_size=40), st.booleans())
def test_arbitrary_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes, forge: bool
) -> None:
    content = b"\0\0" + tail if forge else tail
    path = write(tmp_path_factory.getbasetemp(), content, "arbitrary")
    try:
        array = read_idx(path)
    except DataError as error:
        assert str(path) in str(error)
    else:
        assert encode(array) == content
