"""The header of a safetensors file: what it may say, and how a hostile one is found out.

The file is the length of the header (8 bytes, little-endian), the header (JSON: a dtype, a shape
and a range of bytes for each tensor, and text under ``__metadata__``), then the tensors' bytes.
The ranges must tile the rest of the file without gaps or overlaps.

Source: the format's description at https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from flambeau import dtypes
from flambeau.dtypes import DType
from flambeau.errors import WeightsError

LENGTH_BYTES = 8
MAX_HEADER = 100_000_000  # bytes, as the format says
METADATA = "__metadata__"
_MAX_AXES = 64
_MAX_BYTES = (1 << 63) - 1

_CODES: dict[DType, str] = {
    dtypes.bool_: "BOOL",
    dtypes.int8: "I8",
    dtypes.int16: "I16",
    dtypes.int32: "I32",
    dtypes.int64: "I64",
    dtypes.uint8: "U8",
    dtypes.uint16: "U16",
    dtypes.uint32: "U32",
    dtypes.uint64: "U64",
    dtypes.float16: "F16",
    dtypes.bfloat16: "BF16",
    dtypes.float32: "F32",
    dtypes.float64: "F64",
    dtypes.complex64: "C64",
}
_DTYPES = {code: dtype for dtype, code in _CODES.items()}
# Codes of the format that flambeau has no dtype for.
_FOREIGN = frozenset(
    ("F4", "F6_E2M3", "F6_E3M2", "F8_E4M3", "F8_E4M3FNUZ", "F8_E5M2", "F8_E5M2FNUZ", "F8_E8M0")
)


class Entry(NamedTuple):
    """Where a tensor lies: its dtype, its shape, and its range of bytes after the header."""

    dtype: DType
    shape: tuple[int, ...]
    start: int
    stop: int


class Header(NamedTuple):
    """All tensors by name, in the header's order, and the metadata."""

    entries: dict[str, Entry]
    metadata: dict[str, str]


def code_of(dtype: DType) -> str | None:
    """What the format calls a dtype, or None where it does not know it."""
    return _CODES.get(dtype)


def quoted(name: str) -> str:
    """A name from a file as it is safe to show: escaped, and not too long."""
    shown = ascii(name)
    return shown if len(shown) <= 120 else f"{shown[:80]}...{shown[-20:]}"


def encode(
    types: Mapping[str, tuple[DType, tuple[int, ...], int]], metadata: Mapping[str, str]
) -> tuple[bytes, list[str]]:
    """The bytes of length and header, and the order in which to write the tensors.

    ``types`` gives dtype, shape and number of bytes.  Wide elements come first, so that every
    tensor is aligned; the header itself lists the tensors in the order given.
    """
    order = sorted(types, key=lambda name: -types[name][0].itemsize)
    offsets = {}
    at = 0
    for name in order:
        offsets[name] = (at, at + types[name][2])
        at += types[name][2]
    table: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    for name, (dtype, shape, _) in types.items():
        table[name] = {"dtype": _CODES[dtype], "shape": list(shape), "data_offsets": list(offsets[name])}
    text = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text, order


def decode(text: bytes, data_bytes: int, file: str) -> Header:
    """The header in ``text``, followed by ``data_bytes`` bytes; raises ``WeightsError`` naming ``file``."""
    try:
        table = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except _RepeatedNameError as error:
        raise WeightsError(f"{file}: the header names {quoted(str(error))} twice") from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else f"{error!s:.120}"
        raise WeightsError(
            f"{file}: not a safetensors file, or a damaged one: its header is not valid JSON ({reason})"
        ) from None
    if not isinstance(table, dict):
        raise WeightsError(f"{file}: the header is no table of tensors but a {type(table).__name__}")
    metadata = table.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise WeightsError(f"{file}: the metadata in the header must be text by name")
    entries = {name: _entry(name, row, file) for name, row in table.items()}
    _check_tiling(entries, data_bytes, file)
    return Header(entries, metadata)


class _RepeatedNameError(Exception):
    """Two entries of a table have the same name."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _RepeatedNameError(name)
            seen.add(name)
    return table


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


def _entry(name: str, row: Any, file: str) -> Entry:
    where = f"{file}: tensor {quoted(name)}"
    if not isinstance(row, dict) or set(row) != {"dtype", "shape", "data_offsets"}:
        raise WeightsError(f"{where} must have exactly a dtype, a shape and data_offsets in the header")
    code, shape, offsets = row["dtype"], row["shape"], row["data_offsets"]
    if isinstance(code, str) and code in _FOREIGN:
        raise WeightsError(f"{where} has the dtype {code}, which flambeau does not have")
    dtype = _DTYPES.get(code) if isinstance(code, str) else None
    if dtype is None:
        raise WeightsError(f"{where} has an unknown dtype, {_clipped(code)}")
    if not _are_sizes(shape):
        raise WeightsError(f"{where} has a shape that is no list of sizes, {_clipped(shape)}")
    if len(shape) > _MAX_AXES:
        raise WeightsError(f"{where} has {len(shape)} axes, more than the {_MAX_AXES} that are possible")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise WeightsError(f"{where} has data_offsets that are no range of bytes, {_clipped(offsets)}")
    # An axis of size 0 makes a tensor empty, but not one that could be laid out whatever the others are.
    if math.prod(n for n in shape if n) * dtype.itemsize > _MAX_BYTES:
        raise WeightsError(f"{where} has a shape too large for any memory, {_clipped(shape)}")
    needed, given = math.prod(shape) * dtype.itemsize, offsets[1] - offsets[0]
    if needed != given:
        raise WeightsError(
            f"{where} is {dtype} of shape {_clipped(shape)} and so has {needed} bytes, "
            f"but the header gives it {given}"
        )
    return Entry(dtype, tuple(shape), offsets[0], offsets[1])


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n <= _MAX_BYTES for n in value)


def _clipped(value: Any) -> str:
    shown = ascii(value)
    return shown if len(shown) <= 80 else f"{shown[:60]}..."


def _check_tiling(entries: dict[str, Entry], data_bytes: int, file: str) -> None:
    at = 0
    before = ""
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].stop)):
        if entry.start < at:
            raise WeightsError(f"{file}: tensors {quoted(before)} and {quoted(name)} overlap")
        if entry.start > at:
            raise WeightsError(
                f"{file}: {entry.start - at} bytes before tensor {quoted(name)} belong to no tensor"
            )
        if entry.stop > data_bytes:
            raise WeightsError(
                f"{file}: the file is truncated: tensor {quoted(name)} ends at byte {entry.stop} "
                f"of the data, but only {data_bytes} are there"
            )
        at, before = entry.stop, name
    if at < data_bytes:
        raise WeightsError(f"{file}: {data_bytes - at} bytes at the end of the file belong to no tensor")
