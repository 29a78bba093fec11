"""IDX files: the array format of MNIST and its relatives.

A header of two zero bytes, a byte for the element type and a byte for the number of axes, then
each axis' length as a big-endian 32-bit number, then the elements in C order, big-endian.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from flambeau.data.errors import DataError

_ELEMENTS: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_GZIP_MAGIC = b"\x1f\x8b"
# A byte of deflated data stands for at most 1032 bytes, so a larger claim cannot be true.
_MAX_DEFLATE_RATIO = 1032
_BLOCK = 1 << 20


class Readable(Protocol):
    """A file or a stream of decompressed bytes."""

    def read(self, size: int, /) -> bytes: ...


def read_idx(path: str | os.PathLike[str], *, max_bytes: int = 1 << 32) -> np.ndarray[Any, np.dtype[Any]]:
    """Read one IDX file, gzip-compressed or not, as a NumPy array.

    Whether the file is compressed is seen from its first bytes, not from its name.

    Args:
        path: The file.
        max_bytes: The most element data, in bytes, that the file may hold once decompressed.

    Returns:
        A new, writable array in native byte order, with the file's shape and one of the dtypes uint8,
        int8, int16, int32, float32 and float64.

    Raises:
        DataError: The file is truncated, has bytes left over, is not an IDX file, claims more data
            than it can hold or more than ``max_bytes``, or its compressed stream is damaged.
        OSError: The file cannot be opened.
    """
    path = Path(path)
    # Imported here so that `import flambeau` does not pay for it.
    import gzip

    with path.open("rb") as raw:
        stored = os.fstat(raw.fileno()).st_size
        compressed = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        if not compressed:
            return _read(raw, path, stored, max_bytes)
        try:
            with gzip.GzipFile(fileobj=raw, mode="rb") as stream:
                return _read(stream, path, stored * _MAX_DEFLATE_RATIO, max_bytes)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{path}: the gzip stream is damaged or cut short ({error})") from error


def _read(stream: Readable, path: Path, at_most: int, max_bytes: int) -> np.ndarray[Any, np.dtype[Any]]:
    """Read header and elements from ``stream``, which can give no more than ``at_most`` bytes."""
    dtype, shape = _read_header(stream, path)
    size = math.prod(shape) * dtype.itemsize
    claim = f"the header claims {dtype.newbyteorder('=').name} of shape {shape}, {size} bytes"
    if size > at_most:
        raise DataError(f"{path}: {claim}, which is more than the file can hold: it is truncated or forged")
    if size > max_bytes:
        raise DataError(f"{path}: {claim}, which is more than the {max_bytes} bytes allowed by max_bytes")
    data = _read_at_most(stream, size)
    if len(data) < size:
        raise DataError(f"{path}: {claim}, but only {len(data)} follow: the file is truncated")
    # Also reaches the end of a gzip stream, where its checksum is verified.
    if stream.read(1):
        raise DataError(f"{path}: {claim}, but more bytes follow")
    try:
        array = np.frombuffer(data, dtype).reshape(shape)
    except ValueError as error:  # an empty array whose other axes NumPy cannot represent
        raise DataError(f"{path}: {claim}, which is not a valid array shape ({error})") from error
    # `data` is a bytearray of our own, so single-byte elements need no copy to be writable.
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read_header(stream: Readable, path: Path) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = stream.read(4)
    if len(magic) < 4:
        raise DataError(f"{path}: {len(magic)} bytes are too few for an IDX header")
    zeros, code, ndim = struct.unpack(">HBB", magic)
    if zeros != 0 or code not in _ELEMENTS:
        raise DataError(f"{path}: not an IDX file: it begins with the bytes {magic.hex(' ')}")
    lengths = stream.read(4 * ndim)
    if len(lengths) < 4 * ndim:
        raise DataError(
            f"{path}: truncated in the header: {ndim} axes are announced, their lengths are missing"
        )
    shape: tuple[int, ...] = struct.unpack(f">{ndim}I", lengths)
    return _ELEMENTS[code], shape


def _read_at_most(stream: Readable, size: int) -> bytearray:
    """Up to ``size`` bytes, allocated as they arrive: a false claim costs no memory."""
    data = bytearray()
    while len(data) < size and (block := stream.read(min(_BLOCK, size - len(data)))):
        data += block
    return data
