"""Tensors: operators, methods, indexing, in-place changes, and what Python sees of them."""

from __future__ import annotations

import copy
import operator
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flambeau as fb
from flambeau.errors import DTypeError, GradientError, OperandError, OutOfBoundsError, ShapeError
from flambeau.methods import Methods

X = np.arange(12, dtype=np.float32).reshape(3, 4)


def same(x: Any, expected: Any) -> None:
    expected = np.asarray(expected)
    assert x.shape == expected.shape
    assert x.dtype.numpy == expected.dtype
    np.testing.assert_array_equal(x.numpy(), expected)


# --- operators -------------------------------------------------------------------------------

ARITHMETIC = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow"]
COMPARISONS = ["eq", "ne", "lt", "le", "gt", "ge"]
BITS = ["and_", "or_", "xor"]


@pytest.mark.parametrize("name", ARITHMETIC + COMPARISONS)
def test_operators(name: str) -> None:
    run = getattr(operator, name)
    x, y = X[:, :3] + 1, np.asarray([3.0, 2.0, 1.0], np.float32)
    same(run(fb.asarray(x), fb.asarray(y)), run(x, y))
    same(run(fb.asarray(x), 2.0), run(x, np.float32(2)))
    same(run(2.0, fb.asarray(x)), run(np.float32(2), x))
    same(run(fb.asarray(x), y), run(x, y))
    same(run(y, fb.asarray(x)), run(y, x))


@pytest.mark.parametrize("name", [*BITS, "lshift", "rshift"])
def test_bit_operators(name: str) -> None:
    run = getattr(operator, name)
    x, y = np.arange(6, dtype=np.int32), np.asarray([1, 0, 3, 2, 1, 0], np.int32)
    same(run(fb.asarray(x), fb.asarray(y)), run(x, y))
    same(run(fb.asarray(x), 1), run(x, np.int32(1)))
    same(run(5, fb.asarray(y)), run(np.int32(5), y))


def test_signs_and_matrix_products() -> None:
    t = fb.asarray(X)
    same(-t, -X)
    same(+t, X)
    same(abs(-t), X)
    same(~fb.asarray([True, False]), [False, True])
    same(t @ t.T, X @ X.T)
    same(X @ t.T, X @ X.T)


@pytest.mark.parametrize("name", ARITHMETIC)
def test_in_place_operators(name: str) -> None:
    run = getattr(operator, "i" + name)
    t, view = fb.asarray(X + 1), X + 1
    alias = t
    before = t[:]
    t = run(t, 3.0)
    assert t is alias
    same(t, getattr(operator, name)(view, np.float32(3)))
    same(before, X + 1)  # another tensor never changes


@pytest.mark.parametrize(
    ("number", "dtype"), [(True, "int32"), (2, "int32"), (2.5, "float32"), (1j, "complex64")]
)
def test_numbers_take_the_dtype_of_the_tensor(number: Any, dtype: str) -> None:
    assert (fb.asarray([1, 2], dtype=fb.int32) + number).dtype.name == dtype


def test_numbers_that_do_not_fit() -> None:
    with pytest.raises(DTypeError, match=r"the number 300 .*does not fit int8"):
        fb.asarray([1], dtype=fb.int8) + 300
    with pytest.raises(TypeError, match="unsupported operand"):
        fb.asarray([1]) + "x"
    with pytest.raises(ShapeError, match=r"add: shapes \(2,\) and \(3,\) cannot be broadcast"):
        fb.ones(2) + fb.ones(3)
    x = fb.asarray([1])
    with pytest.raises(DTypeError, match="in place"):
        x += 1.5


# --- what Python sees ------------------------------------------------------------------------


def test_attributes() -> None:
    t = fb.asarray(X)
    assert (t.shape, t.ndim, t.size, len(t), t.device) == ((3, 4), 2, 12, 3, fb.cpu)
    assert t.dtype is fb.float32
    assert fb.asarray(3).ndim == 0
    assert [row.tolist() for row in t] == X.tolist()
    assert t.tolist() == X.tolist()


def test_conversions() -> None:
    assert int(fb.asarray(3)) == 3
    assert float(fb.asarray([[2.5]])) == 2.5
    assert complex(fb.asarray(1j)) == 1j
    assert bool(fb.asarray(0.0)) is False
    assert list(range(5))[fb.asarray(2)] == 2
    assert fb.asarray(2.0).item() == 2.0
    for make, message in (
        (lambda: bool(fb.ones(2)), r"bool: a tensor of shape \(2,\) has 2 elements"),
        (lambda: [1][fb.asarray(0.0)], "cannot be an index"),
        (lambda: len(fb.asarray(1)), "has no length"),
        (lambda: iter(fb.asarray(1)), "cannot be iterated over"),
        (lambda: fb.Tensor([1]), "make tensors with fb.asarray"),
    ):
        with pytest.raises(OperandError, match=message):
            make()
    with pytest.raises(ShapeError, match="item"):
        fb.ones(2).item()


def test_numpy_sees_tensors() -> None:
    t = fb.asarray(X)
    same(t, np.asarray(t))
    assert np.shares_memory(t.numpy(), np.asarray(t))
    assert not t.numpy().flags.writeable
    assert np.array(t).flags.writeable
    assert np.asarray(t, dtype=np.float64).dtype == np.float64
    assert np.sum(np.asarray(t)) == X.sum()
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(t, dtype=np.int8, copy=False)


def test_text() -> None:
    assert repr(fb.asarray([1.0, 2.0])) == "tensor([1., 2.])"
    assert repr(fb.asarray([1], dtype=fb.int8)) == "tensor([1], dtype=int8)"
    assert repr(fb.asarray([1.0], requires_grad=True)) == "tensor([1.], requires_grad=True)"
    assert repr(fb.zeros((0, 2))) == "tensor([], dtype=float32)" or "shape" in repr(fb.zeros((0, 2)))


def test_copies_are_values() -> None:
    x = fb.asarray([1.0, 2.0], requires_grad=True)
    for twin in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert twin is not x
        assert twin.requires_grad
        assert twin.tolist() == [1.0, 2.0]
    assert {x: 1}[x] == 1


def test_conversion_of_dtypes_and_devices() -> None:
    t = fb.asarray([1.5, -1.5])
    same(t.astype(fb.int32), np.asarray([1, -1], np.int32))
    assert t.to("float64").dtype is fb.float64
    assert t.to("cpu") is t
    assert t.to_device(fb.cpu) is t
    with pytest.raises(RuntimeError, match="'cuda' is not available"):
        t.to("cuda")


# --- methods ---------------------------------------------------------------------------------


def test_every_method_is_there() -> None:
    assert issubclass(fb.Tensor, Methods)
    own = {n for n in vars(Methods) if not n.startswith("_")}
    known = {"T", "mT"} | {n for n in own if callable(getattr(fb, n, None))}
    assert own == known  # a method has the name of its function


@pytest.mark.parametrize("name", sorted(n for n in vars(Methods) if not n.startswith("_")))
def test_methods_do_what_functions_do(name: str) -> None:
    arguments: dict[str, tuple[Any, ...]] = {
        "reshape": ((4, 3),),
        "expand_dims": (1,),
        "permute_dims": ((1, 0),),
        "moveaxis": (0, 1),
        "broadcast_to": ((2, 3, 4),),
        "repeat": (2,),
        "clip": (2.0, 5.0),
        "matmul": (fb.ones((4, 2)),),
        "take_along_axis": (fb.zeros((3, 1), dtype=fb.int64),),
    }
    keywords = {
        "take": {"indices": fb.asarray([1, 0]), "axis": 0},
        "cumulative_sum": {"axis": 1},
        "cumulative_prod": {"axis": 0},
    }
    t = fb.asarray((X + 1) / 16)
    if name in ("T", "mT"):
        same(getattr(t, name), t.numpy().T)
        return
    if name == "squeeze":
        t, given = fb.expand_dims(t, 0), (0,)
    else:
        given = arguments.get(name, ())
    if name == "imag":
        t = fb.asarray(X * 1j)
    if name == "take":
        same(t.take(fb.asarray([1, 0]), axis=0), t.numpy()[[1, 0]])
        return
    found = getattr(t, name)(*given, **keywords.get(name, {}))
    expected = getattr(fb, name)(t, *given, **keywords.get(name, {}))
    same(found, expected.numpy())


def test_arguments_of_methods() -> None:
    t = fb.asarray(X)
    same(t.sum(axis=[0, 1], keepdims=True), X.sum(keepdims=True))
    same(t.sum(dtype=fb.float64), X.sum(dtype=np.float64))
    same(t.var(axis=0, correction=1), X.var(0, ddof=1))
    same(t.clip(min=3.0), X.clip(3))
    same(t.clip(max=3.0), X.clip(None, 3))
    assert t.clip() is t
    same(t.sort(axis=0, descending=True), -np.sort(-X, 0))
    same(t.flatten(start_axis=1), X)
    with pytest.raises(ShapeError, match="T: a matrix is needed"):
        _ = fb.ones(3).T
    with pytest.raises(DTypeError, match="not a dtype"):
        t.sum(dtype="number")
    with pytest.raises(ShapeError, match="sum: axis 2 is out of range for a tensor with 2 axes") as raised:
        t.sum(axis=2)
    assert "test_tensor.py" in str(raised.value)


# --- indexing --------------------------------------------------------------------------------

KEYS: list[Any] = [
    0, -1, (1, 2), slice(1, 3), slice(None, None, -1), slice(2, 0, -1), slice(0, 0), (slice(None), 1), ...,
    (..., 0), None, (None, 0, None), (0, ...), (slice(None), slice(None, None, 2)), [0, 2], [[0, 1], [2, 0]],
    (slice(None), [1, 3]), ([0, 2], [1, 3]), ([0, 2], slice(1, 3)), (0, [1, 3]), (None, [0, 1]),
    ([True, False, True],), (slice(None), [True, False, True, False]), X > 5, True, False, (), [],
    (np.int64(1), np.asarray([0, 0])), (slice(0, 2), None, [3, 1]),
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing_is_numpys(key: Any) -> None:
    np_key = np.zeros(0, np.int64) if isinstance(key, list) and not key else key
    expected = X[np_key]
    same(fb.asarray(X)[key], expected)
    changed = X.copy()
    changed[np_key] = 50.0
    t = fb.asarray(X)
    t[key] = 50.0
    same(t, changed)
    changed[np_key] = expected * 2
    t[key] = fb.asarray(expected * 2)
    same(t, changed)


def test_tensors_as_indices() -> None:
    t = fb.asarray(X)
    rows = fb.asarray([2, 0])
    same(t[rows], X[[2, 0]])
    same(t[rows, fb.asarray([1])], X[[2, 0], [1]])
    same(t[t > 5], X[X > 5])
    same(t[fb.asarray(1)], X[1])


def test_indexing_gives_values() -> None:
    t = fb.asarray(X)
    row = t[0]
    t[0] = 9.0
    same(row, X[0])


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.lists(st.integers(0, 5), min_size=1, max_size=3).map(tuple),
    data=st.data(),
)
def test_any_slice(shape: tuple[int, ...], data: Any) -> None:
    x = np.arange(int(np.prod(shape))).reshape(shape)
    key = tuple([data.draw(st.slices(n)) for n in shape])
    with fb.use_executor("reference"):
        same(fb.asarray(x)[key], x[key])
        t, y = fb.asarray(x), x.copy()
        t[key] = 7
        y[key] = 7
        same(t, y)


def test_another_place_compiles_nothing() -> None:
    t = fb.asarray(np.arange(40.0).reshape(10, 4))
    (t[1:3] * 2).numpy()
    t[4].numpy()
    before = fb.stats()
    (t[5:7] * 2).numpy()
    t[-1].numpy()
    after = fb.stats()
    assert (after.kernels_compiled, after.plans) == (before.kernels_compiled, before.plans)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (3, "index 3 is out of range for axis 0 of size 3"),
        ((0, -5), "index -5 is out of range for axis 1 of size 4"),
        ((0, 0, 0), r"too many indices: 3 for a tensor of shape \(3, 4\)"),
        (1.5, "1.5 of type float cannot be an index"),
        ((..., ...), "only one ellipsis"),
        ([0.5], "an index must hold integers or bool, not float64"),
        ([True], r"a bool index of shape \(1,\) does not fit"),
        ("x", "cannot be an index"),
    ],
)
def test_bad_indices(key: Any, message: str) -> None:
    t = fb.asarray(X)
    with pytest.raises(OutOfBoundsError, match=message) as raised:
        t[key]
    assert "test_tensor.py" in str(raised.value)
    with pytest.raises(OutOfBoundsError, match=message):
        t[key] = 0.0
    same(t, X)


def test_indices_in_tensors_are_checked_when_they_are_used() -> None:
    t = fb.asarray(X)
    with pytest.raises(IndexError, match="index 7 is out of range for axis 0 of size 3"):
        t[fb.asarray([0, 7])].numpy()


# --- gradients and changes -------------------------------------------------------------------


def test_gradients_through_changes() -> None:
    x = fb.asarray([1.0, 2.0, 3.0], requires_grad=True)
    y = x * 2
    y[0] = 10.0
    y += x
    fb.sum(y * y).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [22.0, 36.0, 54.0]


def test_leaves_are_protected() -> None:
    x = fb.asarray([1.0], requires_grad=True)
    with pytest.raises(GradientError, match="cannot be changed in place"):
        x += 1.0
    with pytest.raises(GradientError, match="cannot be changed in place"):
        x[0] = 1.0
    with fb.no_grad():
        x += 1.0
    assert x.requires_grad
    assert x.is_leaf
    assert x.tolist() == [2.0]


def test_grad_modes() -> None:
    x = fb.asarray([1.0], requires_grad=True)
    assert fb.is_grad_enabled()

    @fb.no_grad()
    def frozen() -> fb.Tensor:
        assert not fb.is_grad_enabled()
        with fb.enable_grad():
            assert (x * 2).requires_grad
        return x * 2

    assert not frozen().requires_grad
    assert not frozen().requires_grad
    assert (x * 2).requires_grad
    with pytest.raises(KeyError), fb.no_grad():
        raise KeyError
    assert fb.is_grad_enabled()
