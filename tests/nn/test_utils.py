"""Clipping and vectors of parameters, beside PyTorch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.errors import NonFiniteError, OperandError, ShapeError
from flambeau.nn import utils

SHAPES: list[tuple[int, ...]] = [(3, 4), (5,), (), (2, 0)]


def parameters(scale: float = 1.0) -> list[nn.Parameter]:
    rng = np.random.default_rng(0)
    made = [nn.Parameter(fb.asarray(rng.normal(size=s))) for s in SHAPES]
    for p in made:
        p.grad = fb.asarray(scale * rng.normal(size=p.shape))
    return [*made, nn.Parameter(fb.ones(2))]  # the last one has no gradient


def as_theirs(torch: Any, ours: list[nn.Parameter]) -> list[Any]:
    made = []
    for p in ours:
        q = torch.nn.Parameter(torch.tensor(p.numpy()))
        q.grad = None if p.grad is None else torch.tensor(p.grad.numpy())
        made.append(q)
    return made


def same_gradients(ours: list[nn.Parameter], theirs: list[Any]) -> None:
    for p, q in zip(ours, theirs, strict=True):
        assert (p.grad is None) == (q.grad is None)
        if p.grad is not None:
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=0, atol=1e-12)


@pytest.mark.torch
@pytest.mark.parametrize("kind", [2.0, 1.0, math.inf, 3.5])
@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_clip_grad_norm(kind: float, limit: float) -> None:
    torch = pytest.importorskip("torch")
    ours = parameters() if kind != math.inf else parameters()[:3]
    theirs = as_theirs(torch, ours)
    norm = utils.clip_grad_norm_(ours, limit, norm_type=kind)
    expected = torch.nn.utils.clip_grad_norm_(theirs, limit, norm_type=kind)
    np.testing.assert_allclose(norm.item(), expected.item(), rtol=1e-12)
    same_gradients(ours, theirs)


@pytest.mark.torch
def test_clip_grad_value() -> None:
    torch = pytest.importorskip("torch")
    ours = parameters()
    theirs = as_theirs(torch, ours)
    utils.clip_grad_value_(ours, 0.4)
    torch.nn.utils.clip_grad_value_(theirs, 0.4)
    same_gradients(ours, theirs)


def test_limits_compile_nothing_and_half_precision_does_not_overflow() -> None:
    p = nn.Parameter(fb.ones(1000, dtype=fb.float16))
    for limit in (1.0, 2.0, 3.0):
        p.grad = fb.full(1000, 100.0, dtype=fb.float16)
        norm = utils.clip_grad_norm_(p, limit)
        assert norm.dtype is fb.float16 and abs(norm.item() - 3162) <= 2
        np.testing.assert_allclose(p.grad.numpy().astype(float), limit / 31.62, rtol=2e-3)
        if limit == 2.0:
            before = fb.stats().plans
    assert fb.stats().plans == before


def test_nothing_to_clip() -> None:
    p = nn.Parameter(fb.ones(2))
    assert utils.clip_grad_norm_([p], 1.0).item() == 0.0
    utils.clip_grad_value_([p], 1.0)
    assert p.grad is None


def test_norms_that_are_not_finite() -> None:
    p = nn.Parameter(fb.ones(2))
    p.grad = fb.asarray([math.inf, 1.0])
    with pytest.raises(NonFiniteError, match=r"(?s)the norm of the gradients is inf.*at test_utils\.py"):
        utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
    assert p.grad.tolist() == [math.inf, 1.0]
    assert math.isinf(utils.clip_grad_norm_([p], 1.0).item())
    assert math.isnan(p.grad.tolist()[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda p: utils.clip_grad_norm_([p], -1.0),
            "clip_grad_norm_: max_norm must be a number of at least 0",
        ),
        (lambda p: utils.clip_grad_norm_([1], 1.0), "clip_grad_norm_: parameters are needed, not int"),
        (lambda p: utils.clip_grad_norm_([p], 1.0, "fro"), "norm_type must be a number, not 'fro'"),
        (lambda p: utils.clip_grad_value_([p], None), "clip_value must be a number of at least 0, not None"),
        (lambda p: utils.parameters_to_vector([]), "parameters_to_vector: at least one parameter"),
        (lambda p: utils.vector_to_parameters([1.0], [p]), "vector_to_parameters: a tensor is needed"),
    ],
)
def test_what_does_not_fit(call: Any, message: str) -> None:
    with pytest.raises(OperandError, match=rf"(?s){message}.*at test_utils\.py"):
        call(nn.Parameter(fb.ones(2)))


def test_vectors() -> None:
    ours = parameters()[:3]
    vector = utils.parameters_to_vector(ours)
    np.testing.assert_array_equal(vector.numpy(), np.concatenate([p.numpy().ravel() for p in ours]))
    (vector * vector).sum().backward()
    for p in ours:
        p.grad = None
    (utils.parameters_to_vector(ours) ** 2).sum().backward()
    for p in ours:
        assert p.grad is not None
        np.testing.assert_allclose(p.grad.numpy(), 2 * p.numpy())
    utils.vector_to_parameters(fb.arange(18.0), ours)
    assert [p.dtype for p in ours] == [fb.float64] * 3
    assert ours[1].tolist() == [12.0, 13.0, 14.0, 15.0, 16.0]
    assert all(p.is_leaf and p.requires_grad for p in ours)
    with pytest.raises(ShapeError, match=r"need a vector of shape \(18,\), not \(17,\)"):
        utils.vector_to_parameters(fb.arange(17.0), ours)


def test_clipping_inside_of_a_compiled_step() -> None:
    p, q = nn.Parameter(fb.ones(3)), nn.Parameter(fb.ones(3))

    def step(owner: nn.Parameter, x: fb.Tensor) -> None:
        owner.grad = None
        (owner * owner * x).sum().backward()
        utils.clip_grad_norm_([owner], 0.5)
        with fb.no_grad():
            owner -= owner.grad

    compiled = fb.compile(lambda x: step(q, x))
    for i in range(5):
        x = fb.asarray([1.0, 2.0, float(i)])
        step(p, x)
        compiled(x)
        assert p.tolist() == q.tolist()
