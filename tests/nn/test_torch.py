"""Layers and losses beside PyTorch: values and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

TOLERANCE = {"float64": 1e-12, "float32": 2e-5}


def close(ours: fb.Tensor | None, theirs: Any, dtype: str) -> None:
    assert ours is not None
    expected = theirs.detach().numpy()
    assert ours.shape == expected.shape
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(ours.numpy(), expected, rtol=0, atol=TOLERANCE[dtype] * scale)


def pair(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tuple[fb.Tensor, Any]:
    array = rng.normal(size=shape).astype(dtype)
    return fb.asarray(array, requires_grad=True), torch.tensor(array, requires_grad=True)


def copied(ours: nn.Module, theirs: Any) -> None:
    ours.load_state_dict({name: fb.asarray(t.numpy()) for name, t in theirs.state_dict().items()})


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7, 5), (1, 5), (5,), (2, 3, 5), (0, 5)])
def test_linear(rng: np.random.Generator, dtype: str, bias: bool, shape: tuple[int, ...]) -> None:
    theirs = torch.nn.Linear(5, 3, bias=bias, dtype=getattr(torch, dtype))
    ours = nn.Linear(5, 3, bias=bias, dtype=fb.float64 if dtype == "float64" else fb.float32)
    copied(ours, theirs)
    x, tx = pair(rng, shape, dtype)
    weight, t_weight = pair(rng, (*shape[:-1], 3), dtype)
    y, ty = ours(x), theirs(tx)
    close(y, ty, dtype)
    y.backward(weight.detach())
    ty.backward(t_weight.detach())
    close(x.grad, tx.grad, dtype)
    close(ours.weight.grad, theirs.weight.grad, dtype)
    if bias:
        assert ours.bias is not None
        close(ours.bias.grad, theirs.bias.grad, dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_relu(dtype: str) -> None:
    array = np.asarray([-2.0, -0.0, 0.0, 3.0, np.inf, -np.inf], dtype)
    x, tx = fb.asarray(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    y, ty = nn.ReLU()(x), torch.nn.ReLU()(tx)
    np.testing.assert_array_equal(y.numpy(), ty.detach().numpy())
    fb.sum(y).backward()
    ty.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), tx.grad.numpy())


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", [(6, 4), (1, 4), (33, 1), (257, 10), (4,), (2, 5, 4)])
def test_cross_entropy(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> None:
    x, tx = pair(rng, shape, dtype)
    labels = rng.integers(0, shape[min(1, len(shape) - 1)], shape[:1][: len(shape) - 1] + shape[2:])
    ours = nn.functional.cross_entropy(x * 5, fb.asarray(labels))
    theirs = torch.nn.functional.cross_entropy(tx * 5, torch.tensor(labels))
    close(ours, theirs, dtype)
    ours.backward()
    theirs.backward()
    close(x.grad, tx.grad, dtype)


def test_cross_entropy_of_large_logits() -> None:
    array = np.asarray([[1000.0, 0.0, -1000.0], [-1e30, 1e30, 0.0]], np.float32)
    x, tx = fb.asarray(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    ours = nn.CrossEntropyLoss()(x, fb.asarray([2, 1]))
    theirs = torch.nn.CrossEntropyLoss()(tx, torch.tensor([2, 1]))
    assert ours.item() == theirs.item() == 1000.0
    ours.backward()
    theirs.backward()
    close(x.grad, tx.grad, "float32")


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", [(6, 4), (), (1000,)])
def test_mse_loss(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> None:
    (x, tx), (y, ty) = pair(rng, shape, dtype), pair(rng, shape, dtype)
    ours, theirs = nn.MSELoss()(x, y), torch.nn.MSELoss()(tx, ty)
    close(ours, theirs, dtype)
    ours.backward()
    theirs.backward()
    close(x.grad, tx.grad, dtype)
    close(y.grad, ty.grad, dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_sequential(rng: np.random.Generator, dtype: str) -> None:
    kind = fb.float64 if dtype == "float64" else fb.float32
    ours = nn.Sequential(nn.Linear(9, 17, dtype=kind), nn.ReLU(), nn.Linear(17, 5, dtype=kind))
    theirs = torch.nn.Sequential(torch.nn.Linear(9, 17), torch.nn.ReLU(), torch.nn.Linear(17, 5))
    theirs = theirs.to(getattr(torch, dtype))
    copied(ours, theirs)
    x, tx = pair(rng, (13, 9), dtype)
    labels = rng.integers(0, 5, 13)
    for _ in range(2):  # gradients add up over backward passes
        nn.functional.cross_entropy(ours(x), fb.asarray(labels)).backward()
        torch.nn.functional.cross_entropy(theirs(tx), torch.tensor(labels)).backward()
    close(x.grad, tx.grad, dtype)
    for (name, p), (t_name, tp) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == t_name
        close(p.grad, tp.grad, dtype)
