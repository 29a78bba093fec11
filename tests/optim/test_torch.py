"""Ten steps of every rule beside PyTorch, in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    "dampening": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.03}),
    "all": ("SGD", {"lr": 0.1, "weight_decay": 0.03, "momentum": 0.7, "nesterov": True}),
    "sgd upwards": ("SGD", {"lr": 0.1, "weight_decay": 0.03, "maximize": True}),
    "adam": ("Adam", {}),
    "adam options": ("Adam", {"lr": 0.02, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    "adam no betas": ("Adam", {"lr": 0.02, "betas": (0.0, 0.0), "maximize": True}),
    "amsgrad": ("Adam", {"lr": 0.02, "betas": (0.5, 0.6), "amsgrad": True}),
    "adamw": ("AdamW", {"lr": 0.02}),
    "adamw amsgrad": ("AdamW", {"lr": 0.02, "weight_decay": 0.5, "amsgrad": True, "maximize": True}),
    "rmsprop": ("RMSprop", {}),
    "rmsprop all": (
        "RMSprop",
        {"alpha": 0.8, "eps": 1e-4, "weight_decay": 0.1, "momentum": 0.9, "centered": True, "maximize": True},
    ),
    "adagrad": ("Adagrad", {}),
    "adagrad all": (
        "Adagrad",
        {"lr": 0.1, "lr_decay": 0.2, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "maximize": True},
    ),
    "adadelta": ("Adadelta", {}),
    "adadelta all": ("Adadelta", {"lr": 0.5, "rho": 0.7, "weight_decay": 0.1, "maximize": True}),
    "adamax": ("Adamax", {}),
    "adamax all": ("Adamax", {"lr": 0.1, "betas": (0.7, 0.9), "weight_decay": 0.1, "maximize": True}),
    "nadam": ("NAdam", {}),
    "nadam all": ("NAdam", {"lr": 0.1, "momentum_decay": 0.1, "weight_decay": 0.1, "maximize": True}),
    "nadam decoupled": ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    "radam": ("RAdam", {}),
    "radam short": ("RAdam", {"lr": 0.1, "betas": (0.7, 0.8), "weight_decay": 0.1, "maximize": True}),
    "radam decoupled": ("RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
}
BOTH = ("all", "adam", "rmsprop all", "nadam all")  # on both executors; the others on the native one


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    """PyTorch keeps its counts and NAdam's product of momenta in the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


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


def ten_steps(rule: str) -> None:
    name, arguments = RULES[rule]
    ours, theirs = pair()
    mine = getattr(optim, name)(ours.parameters(), **arguments)
    other = getattr(torch.optim, name)(theirs.parameters(), **arguments)
    before = [p.numpy().copy() for p in ours.parameters()]
    train(ours, theirs, mine, other)
    assert all(not np.allclose(b, p.numpy()) for b, p in zip(before, ours.parameters(), strict=True))


@pytest.mark.parametrize("rule", RULES)
def test_ten_steps(rule: str) -> None:
    ten_steps(rule)


@pytest.mark.parametrize("rule", BOTH)
def test_ten_steps_of_both_executors(rule: str, both_executors: str) -> None:
    ten_steps(rule)


GROUPS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "rates": ("SGD", {"lr": 0.1, "momentum": 0.9}, {"lr": 0.01, "momentum": 0.0}),
    "flags": ("SGD", {"lr": 0.1, "momentum": 0.9}, {"nesterov": True, "maximize": True}),
    "betas": ("Adam", {"lr": 0.1}, {"betas": (0.5, 0.7), "amsgrad": True, "weight_decay": 0.1}),
    "nadam": ("NAdam", {"lr": 0.1}, {"betas": (0.5, 0.7), "momentum_decay": 0.5}),
}


@pytest.mark.parametrize("case", GROUPS)
def test_parameter_groups(case: str) -> None:
    name, arguments, own = GROUPS[case]
    ours, theirs = pair()
    mine = getattr(optim, name)([{"params": ours[0].parameters()}], **arguments)  # type: ignore[index]
    other = getattr(torch.optim, name)([{"params": theirs[0].parameters()}], **arguments)
    mine.add_param_group({"params": ours[2].parameters(), **own})  # type: ignore[index]
    other.add_param_group({"params": theirs[2].parameters(), **own})

    def change(step: int) -> None:
        for group in (mine.param_groups[1], other.param_groups[1]):
            group["lr"] *= 0.9
            group["weight_decay"] += 0.01

    train(ours, theirs, mine, other, change)


@pytest.mark.parametrize("rule", ["all", "adam options"])
def test_a_changing_learning_rate(rule: str) -> None:
    name, arguments = RULES[rule]
    ours, theirs = pair()
    mine = getattr(optim, name)(ours.parameters(), **arguments)
    other = getattr(torch.optim, name)(theirs.parameters(), **arguments)

    def change(step: int) -> None:
        mine.param_groups[0]["lr"] = other.param_groups[0]["lr"] = 0.05 / (step + 1)

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


@pytest.mark.parametrize("rule", ["momentum", "dampening", "adam", "nadam", "radam short"])
def test_parameters_without_a_gradient_stay(rule: str) -> None:
    """One parameter has no gradient at first, another has none later: each counts its own steps."""
    name, arguments = RULES[rule]
    values = np.random.default_rng(0).normal(size=(2, 3))
    ours = [nn.Parameter(fb.asarray(v)) for v in values]
    theirs = [torch.nn.Parameter(torch.tensor(v)) for v in values]
    mine, other = getattr(optim, name)(ours, **arguments), getattr(torch.optim, name)(theirs, **arguments)
    for used in [(0,), (0,), (0, 1), (1,), (0, 1)]:
        mine.zero_grad()
        other.zero_grad()
        for i in used:
            fb.sum(ours[i] ** 3).backward()
            (theirs[i] ** 3).sum().backward()
        mine.step()
        other.step()
    for p, tp in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.numpy(), tp.detach().numpy(), rtol=0, atol=1e-12)
