from __future__ import annotations

import json
import os
import re
import struct
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import flambeau as fb
from flambeau import dtypes
from flambeau.errors import OperandError, WeightsError
from flambeau.io import load_metadata, load_weights, save_weights

STORED = [d for d in dtypes.ALL if d is not dtypes.complex128]


def values(dtype: dtypes.DType, shape: tuple[int, ...] = (3, 5)) -> np.ndarray:
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 256, (*shape, dtype.itemsize), dtype=np.uint8)
    if dtype.kind == "bool":
        raw &= 1
    return raw.view(dtype.numpy).reshape(shape)


def written(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def row(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


# -- round trips ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", STORED, ids=str)
def test_every_dtype_keeps_its_bits(tmp_path: Path, dtype: dtypes.DType) -> None:
    array = values(dtype)
    save_weights(tmp_path / "w", {"x": fb.asarray(array)})
    loaded = load_weights(tmp_path / "w")["x"]
    assert loaded.dtype is dtype
    assert loaded.shape == (3, 5)
    assert loaded.numpy().tobytes() == array.tobytes()


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 1, 1), (1000, 17)])
def test_shapes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = values(dtypes.float32, shape)
    save_weights(tmp_path / "w", {"x": fb.asarray(array)})
    loaded = load_weights(tmp_path / "w")["x"]
    assert loaded.shape == shape
    assert loaded.numpy().tobytes() == array.tobytes()


def test_order_names_and_metadata(tmp_path: Path) -> None:
    tensors = {
        "zeta": fb.asarray([1, 2], dtype=fb.int8),
        'quote " \\ \n': fb.asarray([1.5]),
        "größe 大": fb.asarray(True),
        "": fb.asarray(2.0, dtype=fb.float64),
    }
    notes = {"": "", "epoch": "3", "说明": 'a "note"\n'}
    save_weights(tmp_path / "w", tensors, notes)
    loaded = load_weights(tmp_path / "w")
    assert list(loaded) == list(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(loaded[name].numpy(), tensor.numpy())
    assert load_metadata(tmp_path / "w") == notes


def test_nothing_to_save(tmp_path: Path) -> None:
    save_weights(tmp_path / "w", {})
    assert load_weights(tmp_path / "w") == {}
    assert load_metadata(tmp_path / "w") == {}


def test_pending_and_strided_tensors(tmp_path: Path) -> None:
    x = fb.asarray(np.arange(12.0).reshape(3, 4))
    save_weights(tmp_path / "w", {"t": x.T + 1, "s": x[:, ::2], "b": fb.broadcast_to(x[0], (2, 4))})
    loaded = load_weights(tmp_path / "w")
    np.testing.assert_array_equal(loaded["t"].numpy(), np.arange(12.0).reshape(3, 4).T + 1)
    np.testing.assert_array_equal(loaded["s"].numpy(), np.arange(12.0).reshape(3, 4)[:, ::2])
    np.testing.assert_array_equal(loaded["b"].numpy(), np.broadcast_to(np.arange(4.0), (2, 4)))


def test_loaded_tensors_are_the_owners_of_their_memory(tmp_path: Path) -> None:
    save_weights(tmp_path / "w", {"x": fb.asarray([1.0, 2.0])})
    loaded = load_weights(tmp_path / "w")["x"]
    save_weights(tmp_path / "w", {"x": fb.asarray([3.0, 4.0])})
    assert loaded.tolist() == [1.0, 2.0]


def test_the_same_tensors_give_the_same_file(tmp_path: Path) -> None:
    for name in "ab":
        save_weights(tmp_path / name, {"x": fb.asarray([1.0]), "y": fb.asarray([2])}, {"k": "v"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_tensors_are_aligned(tmp_path: Path) -> None:
    save_weights(tmp_path / "w", {"b": fb.asarray([True]), "d": fb.asarray([1.0], dtype=fb.float64)})
    raw = (tmp_path / "w").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    assert length % 8 == 0
    table = json.loads(raw[8 : 8 + length])
    assert table["d"]["data_offsets"] == [0, 8]
    assert table["b"]["data_offsets"] == [8, 9]


# -- against the format's own library ---------------------------------------------------------


def test_the_formats_library_reads_what_is_written(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors")
    tensors = {str(d): values(d) for d in STORED}
    save_weights(tmp_path / "w", {n: fb.asarray(a) for n, a in tensors.items()}, {"made": "here"})
    found = dict(library.deserialize((tmp_path / "w").read_bytes()))
    assert {n: bytes(t["data"]) for n, t in found.items()} == {n: a.tobytes() for n, a in tensors.items()}
    assert {tuple(t["shape"]) for t in found.values()} == {(3, 5)}
    with library.safe_open(tmp_path / "w", "numpy") as file:
        assert file.metadata() == {"made": "here"}


def test_what_the_formats_library_writes_is_read(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.numpy")
    tensors = {str(d): values(d) for d in STORED if d not in (dtypes.bfloat16, dtypes.complex64)}
    library.save_file(tensors, tmp_path / "w", {"a": "b"})
    loaded = load_weights(tmp_path / "w")
    assert {n: t.numpy().tobytes() for n, t in loaded.items()} == {n: a.tobytes() for n, a in tensors.items()}
    assert load_metadata(tmp_path / "w") == {"a": "b"}


# -- files that are damaged or hostile --------------------------------------------------------

OVERLAP = {"a": row(), "b": row(offsets=[4, 12])}
HUGE = 1 << 62
HOSTILE: dict[str, tuple[Any, bytes, str]] = {
    "no JSON": (b"{]", b"", "not a safetensors file, or a damaged one: its header is not valid JSON"),
    "no UTF-8": (b"{\xff", b"", "its header is not valid JSON"),
    "no table": (b"[1]", b"", "its header does not begin with a brace"),
    "nested": (b'{"a":' + b"[" * 100_000, b"", "not valid JSON (it is nested too deeply)"),
    "long number": (b'{"a":' + b"9" * 10_000 + b"}", b"", "its header is not valid JSON"),
    "constant": (b'{"a":NaN}', b"", "not valid JSON (NaN is no JSON number)"),
    "twice": (b'{"a":1,"a":2}', b"", "the header names 'a' twice"),
    "metadata": ({"__metadata__": {"a": 1}}, b"", "the metadata in the header must be text by name"),
    "no row": ({"a": 3}, b"", "tensor 'a' must have exactly a dtype, a shape and data_offsets"),
    "more": ({"a": row() | {"x": 1}}, b"", "tensor 'a' must have exactly a dtype, a shape and data_offsets"),
    "dtype": ({"a": row("Q9")}, bytes(8), "tensor 'a' has an unknown dtype, 'Q9'"),
    "list dtype": ({"a": row(["F32"])}, bytes(8), "tensor 'a' has an unknown dtype, ['F32']"),
    "foreign": ({"a": row("F8_E4M3")}, bytes(8), "tensor 'a' has the dtype F8_E4M3, which flambeau does not"),
    "negative": ({"a": row(shape=[-2])}, bytes(8), "tensor 'a' has a shape that is no list of sizes, [-2]"),
    "fraction": ({"a": row(shape=[2.0])}, bytes(8), "tensor 'a' has a shape that is no list of sizes"),
    "true": ({"a": row("BOOL", [True], [0, 1])}, bytes(1), "tensor 'a' has a shape that is no list of sizes"),
    "too large": ({"a": row(shape=[HUGE, HUGE])}, bytes(8), "tensor 'a' has a shape too large for any"),
    "empty, too large": ({"a": row(shape=[0, HUGE, HUGE], offsets=[0, 0])}, b"", "shape too large"),
    "axes": ({"a": row(shape=[1] * 65, offsets=[0, 4])}, bytes(4), "tensor 'a' has 65 axes, more than"),
    "size": (
        {"a": row(shape=[3])},
        bytes(8),
        "tensor 'a' is float32 of shape [3] and so has 12 bytes, but the header gives it 8",
    ),
    "offsets": ({"a": row(offsets=[8, 0])}, bytes(8), "tensor 'a' has data_offsets that are no range"),
    "one offset": ({"a": row(offsets=[8])}, bytes(8), "tensor 'a' has data_offsets that are no range"),
    "overlap": (OVERLAP, bytes(12), "tensors 'a' and 'b' overlap"),
    "gap": ({"a": row(offsets=[4, 12])}, bytes(12), "4 bytes before tensor 'a' belong to no tensor"),
    "left over": ({"a": row()}, bytes(12), "4 bytes at the end of the file belong to no tensor"),
    "truncated": (
        {"a": row()},
        bytes(7),
        "the file is truncated: tensor 'a' ends at byte 8 of the data, but only 7 are there",
    ),
    "bool": ({"a": row("BOOL", [2], [0, 2])}, b"\2\1", "tensor 'a' is bool, but has bytes other than"),
    "ugly name": ({"\ud800\x1b[2J\n": 1}, b"", r"tensor '\ud800\x1b[2J\n' must have"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files(tmp_path: Path, case: str) -> None:
    header, data, message = HOSTILE[case]
    path = written(tmp_path / "bad.safetensors", header, data)
    with pytest.raises(WeightsError, match=re.escape(message)) as caught:
        load_weights(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text and len(text) < 500


@pytest.mark.parametrize(
    ("length", "message"),
    [
        (1 << 63, "not a safetensors file, or a hostile one: it claims a header of 9223372036854775808"),
        (99_000_000, "the file is truncated or not a safetensors file: it claims a header of 99000000 bytes"),
    ],
)
def test_long_headers_that_are_not_there(tmp_path: Path, length: int, message: str) -> None:
    path = written(tmp_path / "w", b"{}", length=length)
    with pytest.raises(WeightsError, match=message):
        load_weights(path)


def test_a_file_cut_short_anywhere_is_found_out(tmp_path: Path) -> None:
    save_weights(tmp_path / "w", {"x": fb.asarray([1.0, 2.0]), "y": fb.asarray([3])})
    whole = (tmp_path / "w").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"cut: .*(truncated|too few)"):
            load_weights(tmp_path / "cut")


def test_a_damaged_byte_never_does_more_than_raise(tmp_path: Path) -> None:
    save_weights(tmp_path / "w", {"x": fb.asarray([1.0, 2.0]), "y": fb.asarray([3])})
    whole = (tmp_path / "w").read_bytes()
    for at in range(len(whole)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(whole)
            damaged[at] ^= flip
            (tmp_path / "w").write_bytes(damaged)
            try:
                load_weights(tmp_path / "w")
            except WeightsError as error:
                assert str(error).startswith(f"{tmp_path / 'w'}: ")


def test_no_tensor_is_made_of_numbers_that_are_not_finite(tmp_path: Path) -> None:
    for dtype in ("float32", "bfloat16", "float16", "complex64"):
        array = np.zeros((2, 3), dtypes.as_dtype(dtype).numpy)
        array[1, 2] = np.inf
        array[1, 1] = np.nan
        save_weights(tmp_path / "w", {"fine": fb.zeros(2), "net.x": fb.asarray(array)})
        assert np.isnan(load_weights(tmp_path / "w")["net.x"].numpy()[1, 1])
        with pytest.raises(
            WeightsError,
            match=r"w: tensor 'net.x' has 2 NaN or infinite elements, the first at \(1, 1\): \(?nan",
        ):
            load_weights(tmp_path / "w", finite=True)


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors"):
        load_weights(tmp_path / "nowhere.safetensors")
    with pytest.raises(IsADirectoryError):
        load_weights(tmp_path)


# -- what cannot be saved ---------------------------------------------------------------------


def test_what_cannot_be_saved_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "w"
    save_weights(path, {"x": fb.asarray([1.0])})
    before = path.read_bytes()
    with pytest.raises(WeightsError, match="w: tensor 'z' is complex128, which safetensors files cannot"):
        save_weights(path, {"z": fb.asarray(np.zeros(2, np.complex128))})
    with pytest.raises(WeightsError, match="no tensor can be called '__metadata__'"):
        save_weights(path, {"__metadata__": fb.zeros(2)})
    with pytest.raises(WeightsError, match="not valid Unicode"):
        save_weights(path, {"\ud800": fb.zeros(2)})
    with pytest.raises(OperandError, match="tensors by name are needed, not 'a': a ndarray"):
        save_weights(path, {"a": np.zeros(2)})  # type: ignore[dict-item]
    with pytest.raises(OperandError, match="metadata must be text by name, not 'epoch': 3"):
        save_weights(path, {}, {"epoch": 3})  # type: ignore[dict-item]
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["w"]


def test_a_value_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "w"
    save_weights(path, {"x": fb.asarray([1.0])})
    before = path.read_bytes()
    bad = fb.take(fb.zeros(3), fb.asarray([7]))
    with pytest.raises(IndexError):
        save_weights(path, {"fine": fb.zeros(2), "bad": bad})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["w"]


# -- into a module ----------------------------------------------------------------------------


def test_a_model_comes_back(tmp_path: Path) -> None:
    model = fb.nn.Sequential(fb.nn.Linear(4, 3), fb.nn.ReLU(), fb.nn.Linear(3, 2))
    x = fb.asarray(np.random.default_rng(1).normal(size=(5, 4)), dtype=fb.float32)
    save_weights(tmp_path / "w", model.state_dict())
    other = fb.nn.Sequential(fb.nn.Linear(4, 3), fb.nn.ReLU(), fb.nn.Linear(3, 2))
    assert other(x).numpy().tobytes() != model(x).numpy().tobytes()
    other.load_state_dict(load_weights(tmp_path / "w"))
    assert other(x).numpy().tobytes() == model(x).numpy().tobytes()


def test_bfloat16_through_numpy(tmp_path: Path) -> None:
    array = np.asarray([1.5, -0.0, np.inf], ml_dtypes.bfloat16)
    save_weights(tmp_path / "w", {"x": fb.asarray(array)})
    assert load_weights(tmp_path / "w")["x"].numpy().dtype == array.dtype
