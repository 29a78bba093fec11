"""Ten steps of every rule beside PyTorch, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn, optim

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

RULES: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.1}),
    "momentum": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "decay": ("SGD", {"lr": 0.1, "weight_decay": 0.03}),
    "all": ("SGD", {"lr": 0.1, "weight_decay": 0.03, "momentum": 0.7, "nesterov": True}),
    "adam": ("Adam", {}),
    "adam betas": ("Adam", {"lr": 0.02, "betas": (0.5, 0.9), "eps": 1e-3}),
    "adam no betas": ("Adam", {"lr": 0.02, "betas": (0.0, 0.0)}),
    "adam decay": ("Adam", {"lr": 0.02, "weight_decay": 0.1}),
}


def pair(seed: int = 0) -> tuple[nn.Module, Any]:
    torch.manual_seed(seed)
    theirs = torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.ReLU(), torch.nn.Linear(9, 4)).double()
    ours = nn.Sequential(nn.Linear(6, 9, dtype=fb.float64), nn.ReLU(), nn.Linear(9, 4, dtype=fb.float64))
    ours.load_state_dict({name: fb.asarray(t.numpy()) for name, t in theirs.state_dict().items()})
    return ours, theirs


def agree(ours: nn.Module, theirs: Any, atol: float = 1e-10) -> None:
    for p, tp in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.numpy(), tp.detach().numpy(), rtol=0, atol=atol)


def train(ours: nn.Module, theirs: Any, o: Any, t: Any, between: Callable[[int], None] | None = None) -> None:
    rng = np.random.default_rng(0)
    for step in range(10):
        x, labels = rng.normal(size=(12, 6)), rng.integers(0, 4, 12)
        o.zero_grad()
        t.zero_grad()
        nn.functional.cross_entropy(ours(fb.asarray(x)), fb.asarray(labels)).backward()
        torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(labels)).backward()
        o.step()
        t.step()
        if between is not None:
            between(step)
        agree(ours, theirs)


@pytest.mark.parametrize("rule", RULES)
def test_ten_steps(rule: str, both_executors: str) -> None:
    name, arguments = RULES[rule]
    ours, theirs = pair()
    mine = getattr(optim, name)(ours.parameters(), **arguments)
    other = getattr(torch.optim, name)(theirs.parameters(), **arguments)
    before = [p.numpy().copy() for p in ours.parameters()]
    train(ours, theirs, mine, other)
    assert all(not np.allclose(b, p.numpy()) for b, p in zip(before, ours.parameters(), strict=True))


@pytest.mark.parametrize("rule", ["all", "adam decay"])
def test_a_changing_learning_rate(rule: str) -> None:
    name, arguments = RULES[rule]
    ours, theirs = pair()
    mine = getattr(optim, name)(ours.parameters(), **arguments)
    other = getattr(torch.optim, name)(theirs.parameters(), **arguments)

    def change(step: int) -> None:
        mine.lr = other.param_groups[0]["lr"] = 0.05 / (step + 1)

    train(ours, theirs, mine, other, change)


@pytest.mark.parametrize("rule", ["momentum", "adam"])
def test_float32(rule: str) -> None:
    name, arguments = RULES[rule]
    array = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    p = nn.Parameter(fb.asarray(array))
    tp = torch.nn.Parameter(torch.tensor(array))
    mine = getattr(optim, name)([p], **arguments)
    other = getattr(torch.optim, name)([tp], **arguments)
    for _ in range(10):
        mine.zero_grad()
        other.zero_grad()
        fb.sum(p**4).backward()
        (tp**4).sum().backward()
        mine.step()
        other.step()
    np.testing.assert_allclose(p.numpy(), tp.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", ["momentum", "adam"])
def test_parameters_without_a_gradient_stay(rule: str) -> None:
    """One parameter has no gradient at first, another has none later: each has its own momentum.

    Adam counts steps once for all its parameters, so what joins late is compared for SGD only.
    """
    name, arguments = RULES[rule]
    values = np.random.default_rng(0).normal(size=(2, 3))
    ours = [nn.Parameter(fb.asarray(v)) for v in values]
    theirs = [torch.nn.Parameter(torch.tensor(v)) for v in values]
    mine, other = getattr(optim, name)(ours, **arguments), getattr(torch.optim, name)(theirs, **arguments)
    for used in [(0,), (0,), (0, 1), (1,), (0, 1)] if rule == "momentum" else [(0, 1), (0,), (0,)]:
        mine.zero_grad()
        other.zero_grad()
        for i in used:
            fb.sum(ours[i] ** 3).backward()
            (theirs[i] ** 3).sum().backward()
        mine.step()
        other.step()
    for p, tp in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.numpy(), tp.detach().numpy(), rtol=0, atol=1e-12)
