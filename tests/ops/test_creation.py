"""Creation functions: values, shapes and dtypes against NumPy, and what they refuse."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau.errors import DeviceError, DTypeError, OperandError, ShapeError

DTYPES = [
    fb.bool, fb.int8, fb.int16, fb.int32, fb.int64, fb.uint8, fb.uint16, fb.uint32, fb.uint64,
    fb.float16, fb.bfloat16, fb.float32, fb.float64, fb.complex64, fb.complex128,
]  # fmt: skip


def same(x: fb.Tensor, expected: Any) -> None:
    expected = np.asarray(expected)
    assert x.shape == expected.shape
    assert x.dtype.numpy == expected.dtype
    np.testing.assert_array_equal(x.numpy(), expected)


# --- asarray ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("obj", "dtype"),
    [
        (True, fb.bool),
        (3, fb.int64),
        (2.5, fb.float32),
        (1j, fb.complex64),
        ([1, 2], fb.int64),
        ([[1.0], [2]], fb.float32),
        ([], fb.float32),
        ((True, False), fb.bool),
        (np.float64(1.5), fb.float64),
        ([np.int8(1)], fb.int8),
        (np.arange(3, dtype=np.uint16), fb.uint16),
        (array.array("d", [1.0, 2.0]), fb.float64),
        (b"\x01\x02", fb.uint8),
    ],
)
def test_asarray_chooses_the_dtype(obj: Any, dtype: fb.DType) -> None:
    x = fb.asarray(obj)
    assert x.dtype is dtype
    expected = np.frombuffer(obj, np.uint8) if isinstance(obj, bytes) else np.asarray(obj)
    np.testing.assert_array_equal(x.numpy(), expected.astype(dtype.numpy))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_asarray_takes_every_dtype(dtype: fb.DType) -> None:
    same(fb.asarray([0, 1, 1], dtype=dtype), np.asarray([0, 1, 1], dtype.numpy))
    same(fb.asarray(np.asarray([0, 1], dtype.numpy)), np.asarray([0, 1], dtype.numpy))


def test_asarray_copies_what_may_change() -> None:
    source = np.arange(3.0)
    x = fb.asarray(source)
    source[0] = 9
    same(x, [0.0, 1.0, 2.0])


def test_asarray_borrows_when_told_to() -> None:
    source = np.arange(3.0)
    x = fb.asarray(source, copy=False)
    assert np.shares_memory(x.numpy(), source)
    with pytest.raises(ValueError, match="without a copy"):
        fb.asarray(source, dtype=fb.float32, copy=False)
    with pytest.raises(ValueError, match="strided"):
        fb.asarray(source[::2], copy=False)
    with pytest.raises(ValueError, match="Python numbers"):
        fb.asarray([1.0], copy=False)


def test_asarray_of_tensors() -> None:
    x = fb.asarray([1.0, 2.0])
    assert fb.asarray(x) is x
    y = fb.asarray(x, copy=True)
    y[0] = 7.0
    same(x, np.asarray([1.0, 2.0], np.float32))
    same(fb.asarray([x, x * 2]), np.asarray([[1, 2], [2, 4]], np.float32))
    same(fb.asarray([[x[0], x[1]], [x[1], x[0]]]), np.asarray([[1, 2], [2, 1]], np.float32))
    with pytest.raises(ValueError, match="without a copy"):
        fb.asarray(x, dtype=fb.int32, copy=False)


def test_asarray_makes_leaves() -> None:
    plain = fb.asarray([1.0, 2.0])
    x = fb.asarray(plain, requires_grad=True)
    assert x.is_leaf
    assert x.requires_grad
    assert not plain.requires_grad
    fb.sum(x * x).backward()
    assert x.grad is not None
    same(x.grad, np.asarray([2.0, 4.0], np.float32))


@pytest.mark.parametrize(
    ("obj", "arguments", "error", "message"),
    [
        ("text", {}, OperandError, "cannot make a tensor of str"),
        ([[1], [1, 2]], {}, OperandError, "ragged"),
        ({1: 2}, {}, OperandError, "cannot make a tensor of dict"),
        ([300], {"dtype": fb.int8}, DTypeError, r"300 does not fit int8 \(from -128 to 127\)"),
        ([-1], {"dtype": fb.uint8}, DTypeError, "-1 does not fit uint8"),
        (2**70, {}, DTypeError, "neither int64 nor uint64"),
        ([1j], {"dtype": fb.float32}, DTypeError, "take the real part first"),
        ([1], {"dtype": "float31"}, DTypeError, "not a dtype: 'float31'"),
        ([1], {"device": "cuda"}, DeviceError, "no executor for NVIDIA GPUs"),
        (np.array(["a"]), {}, OperandError, "holds no numbers"),
    ],
)
def test_asarray_refuses(obj: Any, arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        fb.asarray(obj, **arguments)
    assert "test_creation.py" in str(raised.value)


# --- DLPack ----------------------------------------------------------------------------------


def test_dlpack_both_ways() -> None:
    source = np.arange(6.0).reshape(2, 3)
    x = fb.from_dlpack(source)
    source[0, 0] = 9
    same(x, np.arange(6.0).reshape(2, 3))
    shared = fb.from_dlpack(source, copy=False)
    assert np.shares_memory(shared.numpy(), source)
    out = np.from_dlpack(x)
    same(x, out)
    again = fb.from_dlpack(x)
    assert np.shares_memory(again.numpy(), x.numpy())
    assert not np.shares_memory(fb.from_dlpack(x, copy=True).numpy(), x.numpy())
    with pytest.raises(OperandError, match="does not speak DLPack"):
        fb.from_dlpack([1, 2])


def test_dlpack_with_torch() -> None:
    torch = pytest.importorskip("torch")
    source = torch.arange(4.0)
    same(fb.from_dlpack(source), np.arange(4, dtype=np.float32))
    back = torch.from_dlpack(fb.asarray([1.0, 2.0]))
    assert back.tolist() == [1.0, 2.0]


# --- filled, ranges --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_filled(dtype: fb.DType) -> None:
    kind = dtype.numpy
    same(fb.zeros((2, 3), dtype=dtype), np.zeros((2, 3), kind))
    same(fb.ones(4, dtype=dtype), np.ones(4, kind))
    same(fb.full((2, 0), 1, dtype=dtype), np.ones((2, 0), kind))
    like = fb.zeros((3,), dtype=dtype)
    same(fb.ones_like(like), np.ones(3, kind))
    same(fb.zeros_like(fb.ones(2), dtype=dtype), np.zeros(2, kind))
    same(fb.full_like(like, 1), np.ones(3, kind))
    assert fb.empty((2, 2), dtype=dtype).shape == fb.empty_like(fb.ones((2, 2))).shape == (2, 2)


@pytest.mark.parametrize(
    ("value", "dtype"), [(True, fb.bool), (3, fb.int64), (0.5, fb.float32), (2j, fb.complex64)]
)
def test_full_takes_the_dtype_of_its_number(value: Any, dtype: fb.DType) -> None:
    same(fb.full((2,), value), np.full(2, value, dtype.numpy))


def test_large_integers_are_kept() -> None:
    assert fb.full((), 2**63 + 1, dtype=fb.uint64).item() == 2**63 + 1
    assert fb.full((), -(2**63)).item() == -(2**63)
    assert fb.asarray(2**53 + 1).item() == 2**53 + 1


@pytest.mark.parametrize(
    "arguments",
    [(5,), (2, 9), (2, 9, 3), (9, 2, -2), (0,), (5, 2), (0.0, 1.0, 0.1), (1.5,), (0.5, 3), (3, 0.0, -0.75)],
)
def test_arange(arguments: tuple[float, ...]) -> None:
    expected = np.arange(*arguments)
    kind = np.float32 if expected.dtype.kind == "f" else np.int64
    same(fb.arange(*arguments), expected.astype(kind))
    np.testing.assert_allclose(fb.arange(*arguments, dtype=fb.float64).numpy(), expected, rtol=1e-15)


def test_arange_of_large_integers() -> None:
    start = 2**63 + 3
    same(fb.arange(start, start + 3, dtype=fb.uint64), np.asarray([start, start + 1, start + 2], np.uint64))


@pytest.mark.parametrize("endpoint", [True, False])
@pytest.mark.parametrize("n", [0, 1, 2, 11])
def test_linspace(n: int, endpoint: bool) -> None:
    found = fb.linspace(-2.0, 3.0, n, dtype=fb.float64, endpoint=endpoint)
    expected = np.linspace(-2.0, 3.0, n, endpoint=endpoint)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-15, atol=1e-15)


def test_linspace_hits_its_ends() -> None:
    high = 1.7e308
    ends = fb.linspace(-high, high, 5, dtype=fb.float64).numpy()
    assert ends[0] == -high
    assert ends[-1] == high
    assert np.isfinite(ends).all()
    same(fb.linspace(0, 10, 11, dtype=fb.int64), np.arange(11))
    np.testing.assert_allclose(fb.linspace(0, 1 + 1j, 3).numpy(), [0, 0.5 + 0.5j, 1 + 1j])


@pytest.mark.parametrize("k", [-9, -1, 0, 2, 10**30])
def test_eye_and_triangles(k: int) -> None:
    near = max(min(k, 50), -50)
    same(fb.eye(3, 4, k=k), np.eye(3, 4, k=near, dtype=np.float32))
    if abs(k) < 50:
        x = np.arange(24).reshape(2, 3, 4)
        same(fb.tril(fb.asarray(x), k=k), np.tril(x, k))
        same(fb.triu(fb.asarray(x), k=k), np.triu(x, k))


def test_another_diagonal_is_the_same_program() -> None:
    x = fb.ones((5, 5))
    fb.tril(x, k=0).numpy()
    before = fb.stats().kernels_compiled
    fb.tril(x, k=2).numpy()
    assert fb.stats().kernels_compiled == before


@pytest.mark.parametrize("indexing", ["xy", "ij"])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_meshgrid(indexing: Any, count: int) -> None:
    vectors = [np.arange(n) for n in (2, 3, 4)[:count]]
    found = fb.meshgrid(*map(fb.asarray, vectors), indexing=indexing)
    expected = np.meshgrid(*vectors, indexing=indexing)
    assert len(found) == len(expected)
    for x, y in zip(found, expected, strict=True):
        same(x, y)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fb.zeros((2, -1)), ShapeError, "zeros: -1 in shape"),
        (lambda: fb.zeros((2.5,)), OperandError, "zeros: sizes must be integers, not 2.5"),
        (lambda: fb.full((2,), 300, dtype=fb.int8), DTypeError, "full: 300 does not fit int8"),
        (lambda: fb.full((2,), 1j, dtype=fb.float32), DTypeError, "does not fit float32"),
        (lambda: fb.full((2,), "x"), OperandError, "full: a number is needed, not str"),
        (lambda: fb.arange(0, 5, 0), OperandError, "arange: the step must not be 0"),
        (lambda: fb.arange("x"), OperandError, "arange: real numbers are needed"),
        (lambda: fb.linspace(0, 1, -1), ShapeError, "linspace: -1 is no number of elements"),
        (lambda: fb.linspace(0, 1, 2.5), ShapeError, "linspace: 2.5 is no number of elements"),
        (lambda: fb.tril(fb.ones(3)), ShapeError, r"tril: matrices are needed, not shape \(3,\)"),
        (lambda: fb.tril(fb.ones((2, 2)), k=1.5), OperandError, "tril: an integer is needed, not 1.5"),
        (lambda: fb.zeros_like([1]), OperandError, "zeros_like: a tensor is needed, not list"),
        (lambda: fb.meshgrid(fb.ones(2), indexing="ab"), ShapeError, "indexing must be 'xy' or 'ij'"),
    ],
)
def test_refusals_name_the_line(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        make()
    assert "test_creation.py" in str(raised.value)
