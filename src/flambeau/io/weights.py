"""Weights in files, in the safetensors format: numbers only, so that opening one runs nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from flambeau.dtypes import DType, uint8
from flambeau.engine.tape import leaf
from flambeau.errors import OperandError, WeightsError
from flambeau.graph.types import TensorType
from flambeau.io import header
from flambeau.io.atomic import replacing
from flambeau.io.header import Entry, Header, quoted
from flambeau.runtime.buffers import Buffer
from flambeau.tensor import Tensor

FilePath = str | os.PathLike[str]


def save_weights(
    path: FilePath, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors by name, such as a module's ``state_dict()``, to a safetensors file.

    Every dtype but complex128 can be stored, bfloat16 included.  ``metadata`` is text by name.
    The file appears whole or not at all: after an error, or a power cut, what was there before is
    still there.  Tensors that share memory are written as often as they are named.

    Raises ``WeightsError`` for a dtype or name that the format does not have, and ``OSError``
    where the file cannot be written.

    >>> import os, tempfile
    >>> import flambeau as fb
    >>> path = os.path.join(tempfile.mkdtemp(), "w.safetensors")
    >>> fb.io.save_weights(path, {"w": fb.asarray([1.0, 2.0])}, {"made by": "an example"})
    >>> fb.io.load_weights(path)
    {'w': tensor([1., 2.])}
    """
    path = os.fspath(path)
    notes = dict(metadata or {})
    for key, text in notes.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise OperandError(f"save_weights: metadata must be text by name, not {key!r}: {text!r:.80}")
        _check_text(key, path)
        _check_text(text, path)
    arrays: dict[str, np.ndarray] = {}
    types: dict[str, tuple[DType, tuple[int, ...], int]] = {}
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise OperandError(
                f"save_weights: tensors by name are needed, not {name!r}: a {type(tensor).__name__}"
            )
        if name == header.METADATA:
            raise WeightsError(f"{path}: no tensor can be called {name!r}, which is the format's own")
        _check_text(name, path)
        if header.code_of(tensor.dtype) is None:
            raise WeightsError(
                f"{path}: tensor {quoted(name)} is {tensor.dtype}, which safetensors files cannot hold"
            )
        arrays[name] = array = tensor.numpy()
        types[name] = (tensor.dtype, array.shape, array.nbytes)
    start, order = header.encode(types, notes)
    if len(start) > header.LENGTH_BYTES + header.MAX_HEADER:
        raise WeightsError(f"{path}: names and metadata take {len(start)} bytes, more than the format allows")
    with replacing(path) as file:
        file.write(start)
        for name in order:
            file.write(_raw(arrays[name]))


def load_weights(path: FilePath, *, finite: bool = False) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file, by name and in the order of its header.

    With ``finite`` a NaN or an infinity in any tensor is an error too.  Nothing in the file is
    trusted: sizes are compared with what is there before memory is taken.

    Raises ``WeightsError``, naming the file and the tensor, for a file that is truncated, damaged
    or hostile, and ``OSError`` for one that is missing or cannot be read.

    >>> import flambeau as fb
    >>> model.load_state_dict(fb.io.load_weights("model.safetensors"))     # doctest: +SKIP
    """
    name = os.fspath(path)
    with Path(path).open("rb") as file:
        table, base = _read_header(file, name)
        loaded: dict[str, Tensor] = {}
        for tensor, entry in table.entries.items():
            file.seek(base + entry.start)
            loaded[tensor] = _read_tensor(file, tensor, entry, name, finite)
    return loaded


def load_metadata(path: FilePath) -> dict[str, str]:
    """The metadata of a safetensors file; reads its header only.

    Raises as ``load_weights`` does.
    """
    with Path(path).open("rb") as file:
        return _read_header(file, os.fspath(path))[0].metadata


def _check_text(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise WeightsError(f"{path}: the name or text {quoted(text)} is not valid Unicode") from None


def _raw(array: np.ndarray) -> memoryview:
    """The bytes of a dense array, also of dtypes that Python's buffers do not know."""
    return array.reshape(-1).view(np.uint8).data


def _read_header(file: BinaryIO, name: str) -> tuple[Header, int]:
    """The header, and where the data begins."""
    size = os.fstat(file.fileno()).st_size
    first = file.read(header.LENGTH_BYTES)
    if len(first) < header.LENGTH_BYTES:
        raise WeightsError(f"{name}: {len(first)} bytes are too few for a safetensors file")
    length = int.from_bytes(first, "little")
    base = header.LENGTH_BYTES + length
    if length > header.MAX_HEADER:
        raise WeightsError(
            f"{name}: not a safetensors file, or a hostile one: it claims a header of {length} bytes, "
            f"more than the {header.MAX_HEADER} that the format allows"
        )
    if base > size:
        raise WeightsError(
            f"{name}: the file is truncated or not a safetensors file: it claims a header of {length} bytes, "
            f"but only {max(0, size - header.LENGTH_BYTES)} follow"
        )
    text = file.read(length)
    if len(text) < length:
        raise WeightsError(f"{name}: the file became shorter while its header was read")
    if not text.startswith(b"{"):
        raise WeightsError(f"{name}: not a safetensors file: its header does not begin with a brace")
    return header.decode(text, size - base, name), base


def _read_tensor(file: BinaryIO, name: str, entry: Entry, path: str, finite: bool) -> Tensor:
    size = entry.stop - entry.start
    buffer = Buffer(size)
    if size:
        raw = buffer.view(uint8, (size,))
        view = raw.data
        at = 0
        while at < size:
            got = file.readinto(view[at:])  # type: ignore[attr-defined]
            if not got:
                raise WeightsError(f"{path}: the file ended while tensor {quoted(name)} was read")
            at += got
        if entry.dtype.kind == "bool" and raw.max() > 1:
            raise WeightsError(f"{path}: tensor {quoted(name)} is bool, but has bytes other than 0 and 1")
        if finite and entry.dtype.inexact:
            _check_finite(buffer, name, entry, path)
    return Tensor(leaf(TensorType(entry.shape, entry.dtype), buffer))


def _check_finite(buffer: Buffer, name: str, entry: Entry, path: str) -> None:
    values = buffer.view(entry.dtype.numpy, entry.shape, writable=False)
    bad = ~np.isfinite(values)
    count = int(np.count_nonzero(bad))
    if count:
        first = np.unravel_index(int(bad.argmax()), entry.shape)
        raise WeightsError(
            f"{path}: tensor {quoted(name)} has {count} NaN or infinite elements, "
            f"the first at {tuple(map(int, first))}: {values[first]}"
        )
