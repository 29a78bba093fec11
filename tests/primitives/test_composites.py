"""Composite builders against NumPy and PyTorch, values and gradients."""

# ruff: noqa: E501 - tables, a case a line

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from flambeau.primitives import (
    advanced,
    arranging,
    composites,
    convolution,
    matrices,
    norms,
    products,
    splitting,
)
from flambeau.primitives.decompositions import svd
from flambeau.primitives.elementwise import add, cast, square
from flambeau.primitives.views import reduce_sum
from samples.core import random
from samples.evaluate import call, gradients, listed
from samples.linalg import regular, spread


def numbers(*shape: int, low: float = -3, high: float = 3) -> np.ndarray:
    made: np.ndarray = random(np.random.default_rng(len(shape)), shape, np.float64, low, high)
    return made


X, Y = numbers(3, 5), numbers(3, 5, low=-1, high=2)
CUBE = numbers(2, 3, 4)
V3 = numbers(4, 3)
LABELS = np.array([0, 4, 2])

# name, function of Var, function of torch and tensors, arrays
CASES: list[tuple[str, Callable[..., Any], Callable[..., Any], tuple[np.ndarray, ...]]] = [
    ("mean", lambda x: composites.mean(x, (1,)), lambda t, x: x.mean(1), (X,)),
    ("mean-all", lambda x: composites.mean(x, (0, 1), True), lambda t, x: x.mean((0, 1), True), (X,)),
    ("variance", lambda x: composites.variance(x, (1,)), lambda t, x: x.var(1, correction=0), (X,)),
    ("variance-1", lambda x: composites.variance(x, (0, 2), 1.0, True), lambda t, x: x.var((0, 2), keepdim=True), (CUBE,)),
    ("std", lambda x: composites.std(x, (0,), 1.0), lambda t, x: x.std(0), (X,)),
    ("logsumexp", lambda x: composites.logsumexp(x, (0,)), lambda t, x: x.logsumexp(0), (X,)),
    ("logsumexp-2", lambda x: composites.logsumexp(x, (0, 2), True), lambda t, x: x.logsumexp((0, 2), True), (CUBE,)),
    ("logsumexp-large", lambda x: composites.logsumexp(x, (1,)), lambda t, x: x.logsumexp(1), (X * 1000,)),
    ("softmax", lambda x: composites.softmax(x, 1), lambda t, x: x.softmax(1), (X,)),
    ("softmax-large", lambda x: composites.softmax(x, 0), lambda t, x: x.softmax(0), (X * 300,)),
    ("log_softmax", lambda x: composites.log_softmax(x, 1), lambda t, x: x.log_softmax(1), (CUBE * 50,)),
    ("clip", lambda x: composites.clip(x, -1, 2), lambda t, x: x.clamp(-1, 2), (X,)),
    ("clip-ties", lambda x: composites.clip(x, -1, 2), lambda t, x: x.clamp(-1, 2), (np.array([-1.0, 2.0, 0, 5]),)),
    ("clip-low", lambda x: composites.clip(x, 0.5), lambda t, x: x.clamp(0.5), (X,)),
    ("clip-high", lambda x: composites.clip(x, high=0.5), lambda t, x: x.clamp(max=0.5), (X,)),
    ("gelu", composites.gelu, lambda t, x: t.nn.functional.gelu(x), (X,)),
    ("gelu-tanh", lambda x: composites.gelu(x, "tanh"), lambda t, x: t.nn.functional.gelu(x, approximate="tanh"), (X,)),
    ("silu", composites.silu, lambda t, x: t.nn.functional.silu(x), (X,)),
    ("softplus", composites.softplus, lambda t, x: t.nn.functional.softplus(x, threshold=1e9), (X * 10,)),
    ("softplus-2", lambda x: composites.softplus(x, 2.0), lambda t, x: t.nn.functional.softplus(x, 2.0, 1e9), (X,)),
    ("log_sigmoid", composites.log_sigmoid, lambda t, x: t.nn.functional.logsigmoid(x), (X * 10,)),
    ("leaky_relu", lambda x: composites.leaky_relu(x, 0.2), lambda t, x: t.nn.functional.leaky_relu(x, 0.2), (X,)),
    ("elu", lambda x: composites.elu(x, 1.5), lambda t, x: t.nn.functional.elu(x, 1.5), (X * 400,)),
    ("selu", composites.selu, lambda t, x: t.nn.functional.selu(x), (X,)),
    ("mish", composites.mish, lambda t, x: t.nn.functional.mish(x), (X,)),
    ("relu6", composites.relu6, lambda t, x: t.nn.functional.relu6(x), (X * 4,)),
    ("hard_sigmoid", composites.hard_sigmoid, lambda t, x: t.nn.functional.hardsigmoid(x), (X * 2,)),
    ("hard_silu", composites.hard_silu, lambda t, x: t.nn.functional.hardswish(x), (X * 2,)),
    ("softsign", composites.softsign, lambda t, x: t.nn.functional.softsign(x), (X,)),
    ("outer", products.outer, lambda t, x, y: t.outer(x, y), (X[0], Y[:, 1].copy())),
    ("tensordot", lambda x, y: products.tensordot(x, y, 2), lambda t, x, y: t.tensordot(x, y, 2), (CUBE, numbers(3, 4, 5))),
    (
        "tensordot-pairs",
        lambda x, y: products.tensordot(x, y, ((2, 0), (1, -1))),
        lambda t, x, y: t.tensordot(x, y, ((2, 0), (1, 2))),
        (CUBE, numbers(5, 4, 2)),
    ),
    ("vecdot", products.vecdot, lambda t, x, y: t.linalg.vecdot(x, y), (X, Y)),
    ("vecdot-0", lambda x, y: products.vecdot(x, y, -2), lambda t, x, y: t.linalg.vecdot(x, y, dim=-2), (CUBE, numbers(3, 1))),
    ("cross", products.cross, lambda t, x, y: t.linalg.cross(x, y), (V3, V3[::-1].copy())),
    ("cross-0", lambda x, y: products.cross(x, y, 0), lambda t, x, y: t.linalg.cross(x, y, dim=0), (X, Y)),
    ("kron", products.kron, lambda t, x, y: t.kron(x, y), (X, numbers(2, 2))),
    ("diff", lambda x: arranging.diff(x, 1), lambda t, x: t.diff(x, dim=1), (X,)),
    ("diff-2", lambda x: arranging.diff(x, 0, 2), lambda t, x: t.diff(x, 2, 0), (X,)),
    ("trace", arranging.trace, lambda t, x: t.trace(x), (X,)),
    ("diagonal", lambda x: arranging.diagonal(x, 1, 2, 0), lambda t, x: t.diagonal(x, 1, 2, 0), (CUBE,)),
    ("diagonal-2", lambda x: arranging.diagonal(x, -1), lambda t, x: t.diagonal(x, -1), (X,)),
    ("diagonal_matrix", lambda x: arranging.diagonal_matrix(x, -2), lambda t, x: t.diag_embed(x, -2), (X,)),
    ("tril", lambda x: matrices.tril(x, 1), lambda t, x: t.tril(x, 1), (CUBE,)),
    ("triu", lambda x: matrices.triu(x, -1), lambda t, x: t.triu(x, -1), (CUBE,)),
    ("flip", lambda x: arranging.flip(x, (0, 2)), lambda t, x: t.flip(x, (0, 2)), (CUBE,)),
    ("roll", lambda x: arranging.roll(x, (2, -1), (0, 1)), lambda t, x: t.roll(x, (2, -1), (0, 1)), (X,)),
    ("roll-far", lambda x: arranging.roll(x, (13,), (1,)), lambda t, x: t.roll(x, 13, 1), (X,)),
    ("tile", lambda x: arranging.tile(x, (2, 1, 3)), lambda t, x: t.tile(x, (2, 1, 3)), (X,)),
    ("tile-few", lambda x: arranging.tile(x, (2,)), lambda t, x: t.tile(x, (2,)), (X,)),
    ("repeat", lambda x: arranging.repeat(x, 3, 1), lambda t, x: t.repeat_interleave(x, 3, 1), (CUBE,)),
    ("stack", lambda x, y: arranging.stack([x, y], 1), lambda t, x, y: t.stack([x, y], 1), (X, Y)),
    ("split", lambda x: splitting.split(x, (1, 3, 1), 1)[1], lambda t, x: t.split(x, (1, 3, 1), 1)[1], (X,)),
    ("unstack", lambda x: arranging.unstack(x, 1)[2], lambda t, x: t.unbind(x, 1)[2], (CUBE,)),
    ("chunk", lambda x: splitting.chunk(x, 2, 1)[2], lambda t, x: t.split(x, 2, 1)[2], (X,)),
    ("meshgrid", lambda x, y: arranging.meshgrid([x, y])[1], lambda t, x, y: t.meshgrid(x, y, indexing="xy")[1], (X[0], Y[:, 1].copy())),
    ("norm", lambda x: norms.vector_norm(x, (1,)), lambda t, x: t.linalg.vector_norm(x, dim=1), (X,)),
    ("norm-0", lambda x: norms.vector_norm(x, (0, 1)), lambda t, x: t.linalg.vector_norm(x), (X * 0,)),
    ("norm-3", lambda x: norms.vector_norm(x, (0,), True, 3), lambda t, x: t.linalg.vector_norm(x, 3, 0, True), (X,)),
    ("norm-inf", lambda x: norms.vector_norm(x, (1,), ord=math.inf), lambda t, x: t.linalg.vector_norm(x, math.inf, 1), (X,)),
    ("norm-1", lambda x: norms.vector_norm(x, (1,), ord=1), lambda t, x: t.linalg.vector_norm(x, 1, 1), (X,)),
    *[
        (f"matrix_norm-{o}", lambda x, o=o: norms.matrix_norm(x, ord=o), lambda t, x, o=o: t.linalg.matrix_norm(x, o), (CUBE,))
        for o in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)
    ],
    ("pinv", norms.pinv, lambda t, x: t.linalg.pinv(x), (CUBE,)),
    ("matrix_power", lambda x: norms.matrix_power(x, 5), lambda t, x: t.linalg.matrix_power(x, 5), (numbers(2, 3, 3),)),
    ("matrix_power--2", lambda x: norms.matrix_power(x, -2), lambda t, x: t.linalg.matrix_power(x, -2), (regular(np.random.default_rng(1), (3, 3)),)),
    (
        "svd",
        lambda x: reduce_sum(square(products.einsum("ik,k,kj->ij", *svd(x, False))), (0,)),
        lambda t, x: (x * x).sum(0),
        (spread(np.random.default_rng(0), (4, 3)),),
    ),
    (
        "conv_transpose",
        lambda x, w: convolution.conv_transpose(x, w, (2, 3), (1, 0), (1, 2), (1, 1), 2),
        lambda t, x, w: t.nn.functional.conv_transpose2d(x, w, None, (2, 3), (1, 0), (1, 2), 2, (1, 1)),
        (numbers(2, 4, 3, 4), numbers(4, 3, 3, 2)),
    ),
]  # fmt: skip
for _text, _shapes in (
    ("ij,jk->ik", ((3, 5), (5, 2))),
    ("ij,jk", ((3, 5), (5, 2))),
    ("ji,kj", ((3, 5), (2, 3))),
    ("ii->i", ((4, 4),)),
    ("ii", ((4, 4),)),
    ("ij->j", ((3, 5),)),
    ("ij->ji", ((3, 5),)),
    ("i,j->ij", ((3,), (5,))),
    ("i,i->", ((7,), (7,))),
    ("bij,bjk->bik", ((2, 3, 4), (2, 4, 5))),
    ("bhqd,bhkd->bhqk", ((2, 3, 4, 5), (2, 3, 7, 5))),
    ("...ij,...jk->...ik", ((2, 3, 4), (2, 4, 5))),
    ("...ij,jk->...ik", ((2, 7, 3, 4), (4, 5))),
    ("i...,i...->...", ((3, 2), (3, 2))),
    ("ij,jk,kl->il", ((2, 9), (9, 3), (3, 8))),
    ("ij,kj,kl,lm->im", ((2, 3), (4, 3), (4, 5), (5, 2))),
    ("a,ab,abc->abc", ((2,), (2, 3), (2, 3, 4))),
    ("abc,cd->abd", ((2, 3, 4), (4, 5))),
    ("iij,jk->ik", ((3, 3, 4), (4, 2))),
    ("ab,cd->", ((2, 3), (4, 5))),
    ("...a,...a->...", ((2, 1, 4), (3, 4))),
):
    CASES.append(
        (
            f"einsum-{_text}",
            lambda *xs, text=_text: products.einsum(text, *xs),
            lambda t, *xs, text=_text: t.einsum(text, *xs),
            tuple(numbers(*s) for s in _shapes),
        )
    )


@pytest.mark.torch
@pytest.mark.parametrize(("name", "function", "by_torch", "arrays"), CASES, ids=[c[0] for c in CASES])
def test_against_torch(name: str, function: Any, by_torch: Any, arrays: Any) -> None:
    torch = pytest.importorskip("torch")
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    wanted = by_torch(torch, *tensors)
    actual = call(function, *arrays)
    np.testing.assert_allclose(actual, wanted.detach().numpy(), rtol=1e-9, atol=1e-11)
    g = np.random.default_rng(3).normal(size=actual.shape)
    theirs = torch.autograd.grad(wanted, tensors, torch.tensor(g), allow_unused=True)
    for mine, other, x in zip(gradients(function, *arrays, cotangent=g), theirs, arrays, strict=True):
        np.testing.assert_allclose(
            mine, np.zeros_like(x) if other is None else other.numpy(), rtol=1e-7, atol=1e-9
        )


@pytest.mark.parametrize(("name", "function", "by_torch", "arrays"), CASES, ids=[c[0] for c in CASES])
def test_gradients_against_finite_differences(name: str, function: Any, by_torch: Any, arrays: Any) -> None:
    if "ties" in name or name == "norm-0":
        return  # no derivative there
    rng = np.random.default_rng(4)
    g = rng.normal(size=call(function, *arrays).shape)
    for i, found in enumerate(gradients(function, *arrays, cotangent=g)):
        v = rng.normal(size=arrays[i].shape)
        h = 1e-6
        up, down = (
            np.sum(g * call(function, *[a + s * h * v if j == i else a for j, a in enumerate(arrays)]))
            for s in (1, -1)
        )
        slope = (up - down) / (2 * h)
        assert abs(np.sum(found * v) - slope) <= 1e-5 * max(1, abs(slope), float(np.abs(up)))


def test_rows_of_minus_infinity() -> None:
    x = np.array([[-np.inf, -np.inf], [0.0, -np.inf], [np.inf, 0.0]])
    y = call(lambda x: composites.logsumexp(x, (1,)), x)
    np.testing.assert_array_equal(y, [-np.inf, 0.0, np.inf])
    found = gradients(lambda x: composites.logsumexp(x, (1,)), x[:2])[0]
    np.testing.assert_array_equal(found, [[0, 0], [1, 0]])


def test_half_precision_means_are_summed_in_float32() -> None:
    x = np.full((4096,), 100, np.float16)  # the sum is beyond float16
    assert call(lambda x: composites.mean(x, (0,)), x) == np.float16(100)


def test_std_of_equal_elements_has_gradient_zero() -> None:
    np.testing.assert_array_equal(gradients(lambda x: composites.std(x, (0,)), np.ones(4))[0], np.zeros(4))


def test_too_few_elements_for_the_correction_give_nan() -> None:
    assert np.isnan(call(lambda x: composites.variance(x, (0,), 1.0), np.ones(1)))


@pytest.mark.parametrize("equal_nan", [False, True])
def test_isclose(equal_nan: bool) -> None:
    x = np.array([1.0, np.inf, np.inf, np.nan, 1.0, 0.0, -np.inf])
    y = np.array([1.0 + 1e-6, np.inf, -np.inf, np.nan, 1.1, 1e-9, 1.0])
    actual = call(lambda x, y: composites.isclose(x, y, equal_nan=equal_nan), x, y)
    np.testing.assert_array_equal(actual, np.isclose(x, y, equal_nan=equal_nan))
    assert not call(lambda x, y: composites.allclose(x, y), x, y)


def test_matrix_rank() -> None:
    x = np.stack([np.diag([1.0, 0, 0]), np.diag([1.0, 2, 0]), np.zeros((3, 3)), np.eye(3)])
    np.testing.assert_array_equal(call(norms.matrix_rank, x), [1, 2, 0, 3])


@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (2, 3, 3)])
def test_decompositions_rebuild_the_matrix(shape: tuple[int, ...]) -> None:
    from flambeau.primitives.decompositions import eigh, qr
    from flambeau.primitives.linalg import cholesky

    x = random(np.random.default_rng(0), shape, np.complex128)
    for mode in ("reduced", "complete"):
        q, r = call(lambda x, mode=mode: qr(x, mode), x)
        np.testing.assert_allclose(q @ r, x, atol=1e-12)
        np.testing.assert_allclose(np.triu(r), r)
        np.testing.assert_allclose(
            np.swapaxes(q.conj(), -1, -2) @ q,
            np.broadcast_to(np.eye(q.shape[-1]), (*shape[:-2], *q.shape[-1:] * 2)),
            atol=1e-12,
        )
    u, s, vh = call(lambda x: svd(x, False), x)
    np.testing.assert_allclose((u * s[..., None, :]) @ vh, x, atol=1e-12)
    if shape[-1] == shape[-2]:
        h = x @ np.swapaxes(x, -1, -2).conj() + np.eye(3)
        w, v = call(eigh, h)
        np.testing.assert_allclose((v * w[..., None, :]) @ np.swapaxes(v, -1, -2).conj(), h, atol=1e-12)
        upper = call(lambda x: cholesky(x, upper=True), h)
        np.testing.assert_allclose(np.swapaxes(upper, -1, -2).conj() @ upper, h, atol=1e-12)


# --- indexing as users write it --------------------------------------------------------------

ROWS, J = np.array([0, -1, 2, 0]), np.array([[1], [-2]])


@pytest.mark.parametrize(
    ("axes", "indices", "key"),
    [
        ((0,), (ROWS % 2,), (ROWS % 2,)),
        ((1,), (J,), (slice(None), J)),
        ((2,), (ROWS,), (slice(None), slice(None), ROWS)),
        ((0, 1), (ROWS % 2, J), (ROWS % 2, J)),
        ((1, 2), (ROWS, J), (slice(None), ROWS, J)),
        ((0, 2), (ROWS % 2, J), (ROWS % 2, slice(None), J)),
        ((0, 1, 2), (ROWS % 2, ROWS, ROWS), (ROWS % 2, ROWS, ROWS)),
        ((0,), (np.array(1),), (np.array(1),)),
    ],
)
def test_indexing_on_several_axes(axes: Any, indices: Any, key: Any) -> None:
    actual = call(lambda x, *i: advanced.take_axes(x, axes, i), CUBE, *indices)
    np.testing.assert_array_equal(actual, CUBE[key])
    values = np.random.default_rng(0).normal(size=actual.shape[-1:])
    written = CUBE.copy()
    written[key] = values
    np.testing.assert_array_equal(
        call(lambda x, v, *i: advanced.put_axes(x, axes, i, v), CUBE, values, *indices), written
    )
    added = CUBE.copy()
    np.add.at(added, key, values)
    np.testing.assert_allclose(
        call(lambda x, v, *i: advanced.add_axes(x, axes, i, v), CUBE, values, *indices), added
    )


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_take(axis: int) -> None:
    for index in (np.array([1, 0, -1]), np.array(1), np.array([[0, 1], [1, 1]])):
        np.testing.assert_array_equal(
            call(lambda x, i: advanced.take(x, i, axis), CUBE, index), np.take(CUBE, index, axis)
        )


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_along_axis(axis: int) -> None:
    order = np.argsort(CUBE, axis)
    np.testing.assert_array_equal(
        call(lambda x, i: advanced.take_along_axis(x, i, axis), CUBE, order),
        np.take_along_axis(CUBE, order, axis),
    )
    written = CUBE.copy()
    np.put_along_axis(written, order, -CUBE, axis)
    np.testing.assert_array_equal(
        call(lambda x, i, v: advanced.put_along_axis(x, i, v, axis), CUBE, order, -CUBE), written
    )
    twice = np.zeros_like(order)
    total = call(lambda x, i, v: advanced.add_along_axis(x, i, v, axis), CUBE, twice, CUBE)
    np.testing.assert_allclose(total.sum(), 2 * CUBE.sum())


@pytest.mark.parametrize("ndim", [0, 1, 2, 3])
def test_masks(ndim: int) -> None:
    mask = np.random.default_rng(1).random(CUBE.shape[:ndim]) < 0.5
    filled = CUBE.copy()
    filled[mask] = 7
    np.testing.assert_array_equal(call(lambda x, m: advanced.masked_fill(x, m, 7), CUBE, mask), filled)
    values = np.random.default_rng(2).normal(size=CUBE[mask].shape)
    put = CUBE.copy()
    put[mask] = values
    np.testing.assert_array_equal(call(advanced.masked_put, CUBE, mask, values), put)


def test_masked_put_sends_gradients_to_the_values_it_wrote() -> None:
    x, mask, values = np.zeros(5), np.array([True, False, True, False, True]), np.ones(3)
    g = np.arange(5.0)
    of_x, _, of_values = gradients(advanced.masked_put, x, mask, values, cotangent=g)
    np.testing.assert_array_equal(of_x, [0, 1, 0, 3, 0])
    np.testing.assert_array_equal(of_values, [0, 2, 4])


def test_second_derivatives_of_running_products() -> None:
    """The rules use only builders, so they can be differentiated again: here twice by hand."""
    from flambeau.primitives.cumulative import cumprod

    x = np.array([2.0, 0.0, 3.0, 4.0])

    def gradient(x: Any) -> Any:
        y = cumprod(x, 0)
        node = x.builder.nodes[-1]
        return node.primitive.vjp(cast(add(y, 1), y.dtype), (x,), (y,), **node.attrs)[0]

    v, h = np.array([0.3, -0.5, 0.2, 0.7]), 1e-6
    found = np.sum(gradients(gradient, x, cotangent=v)[0])
    up, down = (np.sum(v * call(gradient, x + s * h)) for s in (1, -1))
    assert abs(found - (up - down) / (2 * h)) < 1e-6
    assert len(listed(call(gradient, x))) == 1
