"""The array API's functions against NumPy: values, shapes and dtypes, over all kinds of dtypes.

Meaning is what is checked here, so the reference executor computes; that the compiled one agrees
with it is checked elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flambeau as fb

REAL = ("int8", "int64", "uint8", "uint32", "float32", "float64")
FLOATS = ("float32", "float64")
INEXACT = (*FLOATS, "complex64", "complex128")
NUMBERS = (*REAL, "complex64", "complex128")
INTEGERS = ("int8", "int32", "uint8", "uint64")
BITS = ("bool", *INTEGERS)
ANY = ("bool", *NUMBERS)


@pytest.fixture(autouse=True)
def _reference() -> Iterator[None]:
    with fb.use_executor("reference"):
        yield


def numbers(dtype: str, shape: tuple[int, ...], seed: int = 0, low: float = -4, high: float = 4) -> Any:
    """Numbers of a dtype, small enough for all of them."""
    random = np.random.default_rng(seed)
    kind = np.dtype(dtype).kind
    if kind == "b":
        return random.random(shape) < 0.5
    if kind == "u":
        return random.integers(0, 5, shape).astype(dtype)
    if kind == "i":
        return random.integers(-4, 5, shape).astype(dtype)
    x = random.uniform(low, high, shape)
    return (x + 1j * random.uniform(low, high, shape)).astype(dtype) if kind == "c" else x.astype(dtype)


def agree(found: Any, expected: Any, exact: bool = False) -> None:
    if isinstance(expected, (tuple, list)):
        assert len(found) == len(expected)
        for x, y in zip(found, expected, strict=True):
            agree(x, y, exact)
        return
    expected = np.asarray(expected)
    assert found.shape == expected.shape
    assert found.dtype.name == expected.dtype.name
    if exact or expected.dtype.kind in "biu":
        np.testing.assert_array_equal(found.numpy(), expected)
    else:
        single = expected.dtype in (np.float32, np.complex64)
        tolerance = 2e-6 if single else 1e-13
        np.testing.assert_allclose(found.numpy(), expected, rtol=tolerance, atol=tolerance)


# --- element by element ----------------------------------------------------------------------

UNARY = [
    *[(n, n, NUMBERS) for n in ("abs", "negative", "positive", "square")],
    *[(n, n, REAL) for n in ("sign", "floor", "ceil", "trunc", "round")],
    *[(n, n, INEXACT) for n in ("exp", "sin", "cos", "tan", "sinh", "cosh", "tanh", "reciprocal")],
    *[(n, n, FLOATS) for n in ("expm1", "exp2", "signbit")],
    *[(n, n, ANY) for n in ("isnan", "isinf", "isfinite")],
    ("asinh", "arcsinh", INEXACT),
    ("atan", "arctan", INEXACT),
    ("conj", "conj", NUMBERS),
    ("imag", "imag", ("complex64", "complex128")),
    ("logical_not", "logical_not", ANY),
    ("bitwise_invert", "bitwise_not", BITS),
    ("real", "real", NUMBERS),
]
INSIDE = [  # functions defined on a part of the numbers, and which
    ("sqrt", "sqrt", 0, 9), ("log", "log", 0.1, 9), ("log2", "log2", 0.1, 9), ("log10", "log10", 0.1, 9),
    ("log1p", "log1p", -0.9, 9), ("acos", "arccos", -1, 1), ("asin", "arcsin", -1, 1),
    ("acosh", "arccosh", 1, 9), ("atanh", "arctanh", -0.9, 0.9),
]  # fmt: skip
BINARY = [
    *[(n, n, NUMBERS) for n in ("add", "subtract", "multiply")],
    *[(n, n, ANY) for n in ("equal", "not_equal", "logical_and", "logical_or", "logical_xor")],
    *[(n, n, REAL) for n in ("less", "less_equal", "greater", "greater_equal", "maximum", "minimum")],
    *[(n, n, BITS) for n in ("bitwise_and", "bitwise_or", "bitwise_xor")],
    *[(n, n, FLOATS) for n in ("logaddexp", "hypot", "copysign", "nextafter")],
    ("atan2", "arctan2", FLOATS),
    ("divide", "divide", INEXACT),
    ("floor_divide", "floor_divide", FLOATS),
    ("remainder", "remainder", FLOATS),
]


def each(table: list[Any]) -> list[Any]:
    return [(mine, numpys, d) for mine, numpys, dtypes in table for d in dtypes]


@pytest.mark.parametrize(("mine", "numpys", "dtype"), each(UNARY))
def test_unary(mine: str, numpys: str, dtype: str) -> None:
    for shape in ((), (0, 3), (2, 5)):
        x = numbers(dtype, shape)
        with np.errstate(all="ignore"):
            expected = np.asarray(getattr(np, numpys)(x))
        agree(getattr(fb, mine)(fb.asarray(x)), expected)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("mine", "numpys", "low", "high"), INSIDE)
def test_unary_on_its_domain(mine: str, numpys: str, low: float, high: float, dtype: str) -> None:
    x = numbers(dtype, (3, 5), low=low, high=high)
    agree(getattr(fb, mine)(fb.asarray(x)), getattr(np, numpys)(x))


@pytest.mark.parametrize("mine", ["exp", "sqrt", "sin", "log1p"])
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64"])
def test_integers_become_floats(mine: str, dtype: str) -> None:
    x = np.asarray([0, 1, 1], dtype)
    agree(getattr(fb, mine)(fb.asarray(x)), getattr(np, mine)(x.astype(np.float32)))


@pytest.mark.parametrize(("mine", "numpys", "dtype"), each(BINARY))
def test_binary(mine: str, numpys: str, dtype: str) -> None:
    for first, second in (((), (3,)), ((2, 1, 4), (3, 1)), ((0, 3), (1, 3))):
        x, y = numbers(dtype, first), numbers(dtype, second, seed=1)
        with np.errstate(all="ignore"):
            expected = np.asarray(getattr(np, numpys)(x, y))
        agree(getattr(fb, mine)(fb.asarray(x), fb.asarray(y)), expected)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integer_division_and_shifts(dtype: str) -> None:
    x = numbers(dtype, (20,))
    y = np.where(numbers(dtype, (20,), seed=1) == 0, 3, numbers(dtype, (20,), seed=1)).astype(dtype)
    agree(fb.floor_divide(fb.asarray(x), fb.asarray(y)), x // y)
    agree(fb.remainder(fb.asarray(x), fb.asarray(y)), x % y)
    places = np.abs(y.astype(np.int64)).astype(dtype)
    agree(fb.bitwise_left_shift(fb.asarray(x), fb.asarray(places)), x << places)
    agree(fb.bitwise_right_shift(fb.asarray(x), fb.asarray(places)), x >> places)
    agree(fb.divide(fb.asarray(x), fb.asarray(y)), x.astype(np.float32) / y.astype(np.float32))


def test_pow() -> None:
    x = numbers("float64", (7,), low=0.1)
    agree(fb.pow(fb.asarray(x), fb.asarray(x)), x**x)
    agree(fb.pow(fb.asarray(x), 3), x**3)
    agree(fb.pow(fb.asarray(x), -2), x**-2.0)
    agree(fb.pow(2.0, fb.asarray(x)), 2**x)
    n = np.asarray([1, 2, -3], np.int32)
    agree(fb.pow(fb.asarray(n), 5), n**5)


@pytest.mark.parametrize("dtype", REAL)
def test_clip(dtype: str) -> None:
    x = numbers(dtype, (4, 5))
    t = fb.asarray(x)
    agree(fb.clip(t, 1, 3), np.clip(x, x.dtype.type(1), x.dtype.type(3)))
    agree(fb.clip(t, min=2), np.maximum(x, x.dtype.type(2)))
    agree(fb.clip(t, max=2), np.minimum(x, x.dtype.type(2)))
    assert fb.clip(t) is t
    low = numbers(dtype, (5,), seed=2)
    agree(fb.clip(t, fb.asarray(low)), np.maximum(x, low))


def test_nan_and_infinity() -> None:
    x = np.asarray([np.nan, np.inf, -np.inf, -0.0, 1.0], np.float32)
    t = fb.asarray(x)
    for name in ("isnan", "isinf", "isfinite", "signbit"):
        agree(getattr(fb, name)(t), getattr(np, name)(x))
    agree(fb.maximum(t, 0.0), np.maximum(x, np.float32(0)))
    agree(fb.max(t), np.float32(np.nan))
    agree(fb.isclose(t, t), np.isclose(x, x))
    agree(fb.isclose(t, t, equal_nan=True), np.isclose(x, x, equal_nan=True))
    agree(fb.allclose(t[1:], t[1:]), np.asarray(True))


# --- reductions ------------------------------------------------------------------------------

AXES = (None, 0, -1, (0, 2), (), (-1, 0, 1))


def promoted(x: Any) -> Any:
    """As the array API wants sums: integers are 64 bits wide."""
    kind = x.dtype.kind
    return x.astype(np.int64) if kind in "bi" else x.astype(np.uint64) if kind == "u" else x


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "float32", "complex128"])
def test_reductions(dtype: str, axis: Any, keepdims: bool) -> None:
    x = numbers(dtype, (2, 3, 4))
    t, how = fb.asarray(x), {"axis": axis, "keepdims": keepdims}
    agree(fb.sum(t, **how), promoted(x).sum(**how))
    agree(fb.any(t, **how), np.any(x, **how))
    agree(fb.all(t, **how), np.all(x, **how))
    agree(fb.count_nonzero(t, **how), np.sum(x != 0, dtype=np.int64, **how))
    small = x if dtype == "bool" else (x % 2 if x.dtype.kind in "iu" else x / 4)
    agree(fb.prod(fb.asarray(small), **how), promoted(small).prod(**how))
    if dtype != "complex128":
        agree(fb.max(t, **how), x.max(**how))
        agree(fb.min(t, **how), x.min(**how))
        wide = x.astype(np.float32)
        agree(fb.mean(t, **how), wide.mean(**how))
        agree(fb.var(t, correction=1, **how), wide.var(ddof=1, **how)) if axis != () else None
        agree(fb.std(t, **how), wide.std(**how))
        agree(fb.linalg.vector_norm(t, **how), np.sqrt((wide * wide).sum(**how)))


def test_reductions_of_nothing() -> None:
    x = fb.zeros((0, 3))
    agree(fb.sum(x, axis=0), np.zeros(3, np.float32))
    agree(fb.prod(x, axis=0), np.ones(3, np.float32))
    agree(fb.all(x, axis=0), np.ones(3, bool))
    agree(fb.any(x, axis=0), np.zeros(3, bool))
    assert fb.all(fb.isnan(fb.mean(x, axis=0)))
    assert fb.sum(x, axis=1).shape == (0,)
    with pytest.raises(ValueError, match=r"reduce_max: axis 0 of shape \(0, 3\) is empty"):
        fb.max(x, axis=0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_accumulated_in_single(dtype: str) -> None:
    x = fb.ones((100_000,), dtype=dtype)
    assert fb.mean(x).item() == 1.0
    assert fb.var(x).item() == 0.0
    assert fb.sum(x[:2048]).item() == 2048.0
    assert fb.sum(x[:2048]).dtype.name == dtype


@pytest.mark.parametrize("dtype", [None, "float64", "int64", "complex64"])
def test_the_dtype_of_sums(dtype: Any) -> None:
    x = numbers("int32", (4,))
    expected = x.astype(dtype or "int64")
    agree(fb.sum(fb.asarray(x), dtype=dtype), expected.sum())
    agree(fb.prod(fb.asarray(x), dtype=dtype), expected.prod())
    agree(fb.cumulative_sum(fb.asarray(x), dtype=dtype), expected.cumsum())


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", ["int8", "uint16", "float64"])
def test_running(dtype: str, axis: int) -> None:
    x = numbers(dtype, (3, 4))
    t = fb.asarray(x)
    agree(fb.cumulative_sum(t, axis=axis), promoted(x).cumsum(axis))
    agree(fb.cumulative_prod(t, axis=axis), promoted(x).cumprod(axis))
    agree(fb.cumulative_max(t, axis=axis), np.maximum.accumulate(x, axis))
    agree(fb.cumulative_min(t, axis=axis), np.minimum.accumulate(x, axis))
    start = np.zeros_like(promoted(x).take([0], axis))
    agree(
        fb.cumulative_sum(t, axis=axis, include_initial=True),
        np.concatenate([start, promoted(x).cumsum(axis)], axis),
    )
    agree(
        fb.cumulative_prod(t, axis=axis, include_initial=True),
        np.concatenate([start + 1, promoted(x).cumprod(axis)], axis).astype(start.dtype),
    )


def test_diff() -> None:
    x = numbers("int64", (3, 5))
    t = fb.asarray(x)
    agree(fb.diff(t), np.diff(x))
    agree(fb.diff(t, axis=0, n=2), np.diff(x, 2, 0))
    agree(fb.diff(t, n=0), x)
    agree(fb.diff(t, prepend=t[:, :1], append=t[:, :2]), np.diff(x, prepend=x[:, :1], append=x[:, :2]))


def test_extrema_and_order() -> None:
    x = numbers("float32", (3, 7))
    x[1, 2] = np.nan
    t = fb.asarray(x)
    for axis in (None, 0, 1):
        agree(fb.argmax(t, axis=axis), np.argmax(x, axis))
        agree(fb.argmin(t, axis=axis, keepdims=True), np.argmin(x, axis, keepdims=True))
    agree(fb.sort(t), np.sort(x))
    agree(fb.argsort(t, axis=0), np.argsort(x, 0, kind="stable"))
    repeated = np.asarray([2, 1, 2, 1, 3])
    agree(fb.argsort(fb.asarray(repeated), descending=True), np.asarray([4, 0, 2, 1, 3]))
    agree(fb.topk(fb.asarray(repeated), 2, largest=False), (np.asarray([1, 1]), np.asarray([1, 3])))


# --- shapes and places -----------------------------------------------------------------------


def test_shapes() -> None:
    x = numbers("int64", (2, 3, 1, 4))
    t = fb.asarray(x)
    agree(fb.reshape(t, (4, -1)), x.reshape(4, -1))
    agree(fb.flatten(t), x.reshape(-1))
    agree(fb.flatten(t, start_axis=1, end_axis=2), x.reshape(2, 3, 4))
    agree(fb.expand_dims(t, -2), np.expand_dims(x, -2))
    agree(fb.expand_dims(t, (0, -1)), np.expand_dims(x, (0, -1)))
    agree(fb.squeeze(t, 2), x.squeeze(2))
    agree(fb.permute_dims(t, (3, 0, -2, 1)), x.transpose(3, 0, 2, 1))
    agree(fb.moveaxis(t, (0, 1), (-1, 0)), np.moveaxis(x, (0, 1), (-1, 0)))
    agree(fb.flip(t), np.flip(x))
    agree(fb.flip(t, axis=(0, -1)), np.flip(x, (0, -1)))
    agree(fb.matrix_transpose(t), x.swapaxes(-1, -2))
    agree(fb.broadcast_to(t, (5, 2, 3, 6, 4)), np.broadcast_to(x, (5, 2, 3, 6, 4)))
    agree(fb.tile(t, (2, 1, 3)), np.tile(x, (2, 1, 3)))
    agree(fb.repeat(t, 2, axis=1), x.repeat(2, 1))
    agree(fb.repeat(t, fb.asarray([2, 0, 1]), axis=1), x.repeat([2, 0, 1], 1))
    agree(fb.repeat(t, 3), x.repeat(3))
    agree(
        fb.pad(t, ((0, 1), (2, 0), (0, 0), (1, 1)), value=9),
        np.pad(x, ((0, 1), (2, 0), (0, 0), (1, 1)), constant_values=9),
    )
    agree(fb.unstack(t, axis=-1), [x[..., i] for i in range(4)])
    agree(fb.split(t, (1, 2), axis=1), np.split(x, [1], 1))
    agree(fb.broadcast_arrays(t, fb.ones((3, 5, 1))), np.broadcast_arrays(x, np.ones((3, 5, 1), np.float32)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.lists(st.integers(0, 4), min_size=1, max_size=3).map(tuple),
    shift=st.integers(-9, 9),
    axis=st.integers(-1, 0) | st.none(),
)
def test_roll(shape: tuple[int, ...], shift: int, axis: int | None) -> None:
    x = np.arange(int(np.prod(shape))).reshape(shape)
    agree(fb.roll(fb.asarray(x), shift, axis=axis), np.roll(x, shift, axis))
    both = (0, -1) if len(shape) > 1 else (0, 0)
    agree(fb.roll(fb.asarray(x), (shift, 1), axis=both), np.roll(x, (shift, 1), both))


def test_joining() -> None:
    x, y = numbers("int8", (2, 3)), numbers("int32", (2, 1))
    agree(fb.concat([fb.asarray(x), fb.asarray(y)], axis=1), np.concatenate([x, y], 1))
    agree(fb.concat((fb.asarray(x), fb.asarray(y)), axis=None), np.concatenate([x, y], None))
    agree(fb.stack([fb.asarray(x)] * 3, axis=-1), np.stack([x] * 3, -1))


# --- selecting -------------------------------------------------------------------------------


def test_selecting() -> None:
    x = numbers("float32", (4, 3))
    t = fb.asarray(x)
    rows = np.asarray([[3, 0], [1, -1]])
    agree(fb.take(t, fb.asarray(rows), axis=0), x.take(rows, 0))
    where = np.argsort(x, 0)
    agree(fb.take_along_axis(t, fb.asarray(where), axis=0), np.take_along_axis(x, where, 0))
    expected = x.copy()
    np.put_along_axis(expected, where[:1], 9, 0)
    agree(fb.put_along_axis(t, fb.asarray(where[:1]), 9, axis=0), expected)
    agree(fb.where(t > 0, t, 0), np.where(x > 0, x, np.float32(0)))
    agree(fb.where(t > 0, 1, 2.5), np.where(x > 0, np.float32(1), np.float32(2.5)))
    agree(fb.nonzero(t > 0), np.nonzero(x > 0))
    table = np.asarray([1, 3, 3, 7])
    for side in ("left", "right"):
        agree(
            fb.searchsorted(fb.asarray(table), fb.asarray([0, 3, 9]), side=side),
            np.searchsorted(table, [0, 3, 9], side),
        )
    order = np.asarray([2, 0, 1])
    mixed = np.asarray([5, 7, 1])
    agree(
        fb.searchsorted(fb.asarray(mixed), fb.asarray([6]), sorter=fb.asarray(order)),
        np.searchsorted(mixed, [6], sorter=order),
    )
    agree(fb.one_hot(fb.asarray([0, 2, 5]), 3, dtype=fb.int8), np.eye(6, 3, dtype=np.int8)[[0, 2, 5]])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([0.0, -0.0, 1.5, -2.0, float("nan"), float("inf")]), max_size=12))
def test_sets(values: list[float]) -> None:
    x = np.asarray(values, np.float64)
    expected = np.unique(x, return_index=True, return_inverse=True, return_counts=True, equal_nan=False)
    found = fb.unique_all(fb.asarray(x))
    agree(found.values, expected[0])
    agree(found.counts, expected[3])
    assert fb.all(fb.asarray(fb.isnan(found.values[found.inverse_indices]) == fb.isnan(fb.asarray(x))))
    finite = ~np.isnan(x)
    again = found.values[found.inverse_indices].numpy()[finite]
    np.testing.assert_array_equal(again, x[finite])
    agree(fb.unique_values(fb.asarray(x)), expected[0])
    agree(fb.unique_counts(fb.asarray(x)).counts, expected[3])
    agree(fb.unique_inverse(fb.asarray(x)).inverse_indices, found.inverse_indices.numpy())


def test_gradients_flow_through_distinct_elements() -> None:
    x = fb.asarray([3.0, 1.0, 3.0], requires_grad=True)
    fb.sum(fb.unique_values(x) * fb.asarray([10.0, 1.0])).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 10.0, 0.0]


# --- products and linear algebra -------------------------------------------------------------

PRODUCTS: list[tuple[Callable[..., Any], Callable[..., Any], tuple[int, ...], tuple[int, ...]]] = [
    (fb.matmul, np.matmul, (3,), (3,)),
    (fb.matmul, np.matmul, (2, 3), (3,)),
    (fb.matmul, np.matmul, (4, 1, 2, 3), (5, 3, 2)),
    (fb.matmul, np.matmul, (2, 0), (0, 3)),
    (fb.linalg.outer, np.outer, (3,), (2,)),
    (fb.linalg.kron, np.kron, (2, 3), (3, 1)),
    (fb.vecdot, np.vecdot, (2, 3), (3,)),
    (fb.linalg.cross, np.cross, (4, 3), (3,)),
    (lambda x, y: fb.tensordot(x, y, axes=1), lambda x, y: np.tensordot(x, y, 1), (2, 3), (3, 4)),
    (
        lambda x, y: fb.tensordot(x, y, axes=([0, 2], [1, 0])),
        lambda x, y: np.tensordot(x, y, ([0, 2], [1, 0])),
        (2, 3, 4),
        (4, 2),
    ),
    (
        lambda x, y: fb.einsum("bij,bjk->ki", x, y),
        lambda x, y: np.einsum("bij,bjk->ki", x, y),
        (2, 3, 4),
        (2, 4, 5),
    ),
]


@pytest.mark.parametrize("dtype", ["int32", "float64", "complex128"])
@pytest.mark.parametrize("case", PRODUCTS, ids=range(len(PRODUCTS)))
def test_products(case: Any, dtype: str) -> None:
    mine, numpys, first, second = case
    x, y = numbers(dtype, first), numbers(dtype, second, seed=1)
    agree(mine(fb.asarray(x), fb.asarray(y)), numpys(x, y))


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_linear_algebra(dtype: str) -> None:
    a = numbers(dtype, (2, 4, 4)) + 5 * np.eye(4)
    b = numbers(dtype, (4, 3))
    t, u = fb.asarray(a), fb.asarray(b)
    definite = a @ a.conj().swapaxes(-1, -2)
    d = fb.asarray(definite)
    agree(fb.linalg.solve(t, u), np.linalg.solve(a, b))
    agree(fb.linalg.inv(t), np.linalg.inv(a))
    agree(fb.linalg.det(t), np.linalg.det(a))
    agree(fb.linalg.slogdet(t), tuple(np.linalg.slogdet(a)))
    agree(fb.linalg.cholesky(d), np.linalg.cholesky(definite))
    agree(fb.linalg.cholesky(d, upper=True), np.linalg.cholesky(definite, upper=True))
    agree(fb.linalg.eigvalsh(d), np.linalg.eigvalsh(definite))
    w, v = fb.linalg.eigh(d)
    np.testing.assert_allclose((v.numpy() * w.numpy()[:, None]) @ v.numpy().conj().swapaxes(-1, -2), definite)
    agree(fb.linalg.svdvals(u), np.linalg.svdvals(b))
    for full in (True, False):
        found = fb.linalg.svd(u, full_matrices=full)
        expected = np.linalg.svd(b, full_matrices=full)
        assert [x.shape for x in found] == [x.shape for x in expected]
        agree(found.S, expected.S)
    q, r = fb.linalg.qr(u)
    np.testing.assert_allclose((q @ r).numpy(), b, atol=1e-13)
    assert fb.linalg.qr(u, mode="complete").Q.shape == (4, 4)
    agree(fb.linalg.pinv(u), np.linalg.pinv(b))
    agree(fb.linalg.matrix_rank(t), np.asarray([4, 4]))
    agree(fb.linalg.matrix_rank(fb.ones((3, 3)), rtol=0.1), np.asarray(1))
    for n in (-2, 0, 3):
        agree(fb.linalg.matrix_power(t, n), np.linalg.matrix_power(a, n))
    agree(fb.linalg.diagonal(t, offset=1), np.diagonal(a, 1, -2, -1))
    agree(fb.linalg.trace(t), np.trace(a, axis1=-2, axis2=-1))
    for order in ("fro", "nuc", 1, 2, np.inf, -1, -2, -np.inf):
        agree(fb.linalg.matrix_norm(t, ord=order), np.linalg.norm(a, order, (-2, -1)))
    for order in (0, 1, 2, 2.5, np.inf, -np.inf):
        agree(fb.linalg.vector_norm(u, axis=0, ord=order), np.linalg.norm(b, order, 0))
    lower = np.tril(a[0])
    found = fb.linalg.triangular_solve(fb.asarray(lower), u)
    agree(found, np.linalg.solve(lower, b))


# --- Fourier ---------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
@pytest.mark.parametrize("n", [None, 3, 8])
def test_fourier(norm: Any, n: int | None) -> None:
    x = numbers("float64", (3, 5))
    z = numbers("complex128", (3, 5))
    how = {"n": n, "axis": 1, "norm": norm}
    for name, signal in (
        ("fft", z),
        ("ifft", z),
        ("fft", x),
        ("rfft", x),
        ("irfft", z),
        ("hfft", z),
        ("ihfft", x),
    ):
        agree(getattr(fb.fft, name)(fb.asarray(signal), **how), getattr(np.fft, name)(signal, **how))
    sizes = None if n is None else (4, n)
    several = {"s": sizes, "axes": (0, 1), "norm": norm}
    for name, signal in (("fftn", z), ("ifftn", z), ("rfftn", x), ("irfftn", z)):
        agree(getattr(fb.fft, name)(fb.asarray(signal), **several), getattr(np.fft, name)(signal, **several))


def test_frequencies() -> None:
    for n in (1, 4, 5):
        agree(fb.fft.fftfreq(n, d=0.5, dtype=fb.float64), np.fft.fftfreq(n, 0.5))
        agree(fb.fft.rfftfreq(n, d=0.5, dtype=fb.float64), np.fft.rfftfreq(n, 0.5))
    x = numbers("float64", (4, 5))
    agree(fb.fft.fftshift(fb.asarray(x)), np.fft.fftshift(x))
    agree(fb.fft.ifftshift(fb.asarray(x), axes=1), np.fft.ifftshift(x, 1))


# --- dtypes ----------------------------------------------------------------------------------


def test_dtype_functions() -> None:
    assert fb.result_type(fb.int8, fb.uint8) is fb.int16
    assert fb.result_type(fb.ones(2), 1j) is fb.complex64
    assert fb.result_type(fb.int64, fb.float32) is fb.float32
    assert fb.result_type(fb.float16, fb.bfloat16) is fb.float32
    with pytest.raises(TypeError, match="uint64 and int8 have no common integer dtype"):
        fb.result_type(fb.uint64, fb.int8)
    with pytest.raises(TypeError, match="at least one tensor or dtype"):
        fb.result_type(1, 2.0)
    assert fb.can_cast(fb.int8, fb.int64)
    assert not fb.can_cast(fb.int64, fb.int8)
    assert fb.isdtype(fb.bfloat16, "real floating")
    assert fb.isdtype(fb.uint8, ("bool", fb.uint8))
    assert not fb.isdtype(fb.bool, "numeric")
    with pytest.raises(TypeError, match="'floating' is no kind"):
        fb.isdtype(fb.float32, "floating")
    for dtype in (fb.float16, fb.float32, fb.float64):
        found, expected = fb.finfo(dtype), np.finfo(dtype.numpy)
        assert (found.bits, found.eps, found.max) == (expected.bits, expected.eps, expected.max)
        assert (found.min, found.smallest_normal) == (expected.min, expected.smallest_normal)
    assert fb.finfo(fb.bfloat16).eps == 2.0**-7
    assert fb.finfo(fb.complex64).dtype is fb.float32
    assert (fb.iinfo(fb.uint8).max, fb.iinfo(fb.ones(1, dtype=fb.int16)).min) == (255, -(2**15))
    with pytest.raises(TypeError, match="finfo: int8 is no floating-point dtype"):
        fb.finfo(fb.int8)


def test_the_namespace() -> None:
    x = fb.ones(2)
    assert x.__array_namespace__() is fb
    assert x.__array_namespace__(api_version="2024.12") is fb
    with pytest.raises(ValueError, match=r"up to 2024\.12, not 2099\.12"):
        x.__array_namespace__(api_version="2099.12")
    info = fb.__array_namespace_info__()
    assert info.devices() == [fb.cpu] == [info.default_device()]
    assert info.default_dtypes()["real floating"] is fb.float32
    assert set(info.dtypes(kind="integral")) == {f"{k}{n}" for k in ("int", "uint") for n in (8, 16, 32, 64)}
    assert info.dtypes(kind=("bool", "complex floating")).keys() == {"bool", "complex64", "complex128"}
    assert info.capabilities()["boolean indexing"] is True
    assert "float16" not in info.dtypes()  # the standard's only
