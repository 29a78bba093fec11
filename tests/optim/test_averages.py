"""Averages of weights, beside PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn, optim
from flambeau.errors import OperandError
from flambeau.optim import swa_utils


class Running(nn.Module):
    """A layer with buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(fb.ones(3))
        self.register_buffer("running_mean", fb.zeros(3))
        self.register_buffer("count", fb.asarray(0))


@pytest.mark.torch
def test_the_pass_over_data_sets_running_statistics() -> None:
    torch = pytest.importorskip("torch")
    model = nn.Sequential(nn.BatchNorm1d(3, momentum=0.5, dtype=fb.float64), nn.ReLU())
    theirs = torch.nn.Sequential(torch.nn.BatchNorm1d(3, momentum=0.5, dtype=torch.float64), torch.nn.ReLU())
    model.eval()
    rng = np.random.default_rng(0)
    batches = [rng.normal(size=(n, 3)) for n in (4, 4, 7)]
    for _ in range(2):  # what was there before is forgotten
        swa_utils.update_bn([(fb.asarray(b), None) for b in batches], model)
        torch.optim.swa_utils.update_bn([torch.tensor(b) for b in batches], theirs)
    wanted = theirs.state_dict()
    for name, value in model.state_dict().items():
        np.testing.assert_allclose(value.numpy(), wanted[name].numpy(), rtol=1e-12)
    assert model[0].momentum == 0.5
    assert not model.training and not model[0].training
    swa_utils.update_bn([], nn.ReLU())


def pair(torch: Any) -> tuple[nn.Module, Any]:
    torch.manual_seed(0)
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)).double()
    ours = nn.Sequential(nn.Linear(3, 4, dtype=fb.float64), nn.ReLU(), nn.Linear(4, 2, dtype=fb.float64))
    ours.load_state_dict({n: fb.asarray(t.numpy()) for n, t in theirs.state_dict().items()})
    return ours, theirs


def shift(ours: nn.Module, theirs: Any, torch: Any, by: float) -> None:
    with fb.no_grad():
        for p in ours.parameters():
            p += by
    with torch.no_grad():
        for p in theirs.parameters():
            p += by


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["swa", "ema", "mine"])
@pytest.mark.parametrize("compiled", [False, True])
def test_averages_are_pytorchs(kind: str, compiled: bool) -> None:
    torch = pytest.importorskip("torch")
    theirs_of = torch.optim.swa_utils
    ours, theirs = pair(torch)

    def half(old: Any, new: Any, count: Any) -> Any:
        return 0.5 * old + 0.5 * new

    if kind == "swa":
        mine, other = swa_utils.AveragedModel(ours), theirs_of.AveragedModel(theirs)
    elif kind == "ema":
        mine = swa_utils.AveragedModel(ours, swa_utils.get_ema_avg_fn(0.9))
        other = theirs_of.AveragedModel(theirs, multi_avg_fn=theirs_of.get_ema_multi_avg_fn(0.9))
    else:
        mine = swa_utils.AveragedModel(ours, half)
        other = theirs_of.AveragedModel(theirs, avg_fn=half)

    def take_in() -> None:
        mine.update_parameters(ours)

    call: Any = fb.compile(take_in) if compiled else take_in
    for i in range(6):
        shift(ours, theirs, torch, 0.1 * (i + 1))
        call()
        other.update_parameters(theirs)
        for p, q in zip(mine.parameters(), other.parameters(), strict=True):
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=0, atol=1e-12)
    assert mine.n_averaged.item() == 6
    assert sorted(mine.state_dict()) == sorted(other.state_dict())
    x = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(
        mine(fb.asarray(x)).numpy(), other(torch.tensor(x)).detach().numpy(), rtol=0, atol=1e-12
    )
    assert all(p.requires_grad and p.is_leaf for p in mine.parameters())


@pytest.mark.parametrize("use_buffers", [False, True])
def test_buffers(use_buffers: bool) -> None:
    model = Running()
    average = swa_utils.AveragedModel(model, use_buffers=use_buffers)
    for value in (1.0, 3.0):
        model.running_mean = fb.full(3, value)
        model.count = fb.asarray(int(value))
        average.update_parameters(model)
    inner: Any = average.module
    assert inner.running_mean.tolist() == [2.0 if use_buffers else 3.0] * 3
    assert inner.count.item() == 3
    model.running_mean = fb.full(3, 9.0)
    assert inner.running_mean.tolist() == [2.0 if use_buffers else 3.0] * 3


def test_what_does_not_fit() -> None:
    with pytest.raises(OperandError, match=r"decay must be a number from 0 to 1, not 1\.5"):
        swa_utils.get_ema_avg_fn(1.5)
    with pytest.raises(OperandError, match="AveragedModel: a module is needed, not int"):
        swa_utils.AveragedModel(3)  # type: ignore[arg-type]
    average = swa_utils.AveragedModel(nn.Linear(2, 3))
    with pytest.raises(OperandError, match="needs a model of the same parameters"):
        average.update_parameters(nn.Linear(3, 2))


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("epochs", "kind"), [(5, "cos"), (4, "linear"), (0, "cos"), (1, "linear")])
def test_swalr(epochs: int, kind: str) -> None:
    torch = pytest.importorskip("torch")
    mine = optim.SGD([nn.Parameter(fb.ones(1))], lr=0.5)
    other = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.5)
    one = swa_utils.SWALR(mine, 0.05, epochs, kind)
    two = torch.optim.swa_utils.SWALR(other, 0.05, epochs, kind)
    for _ in range(10):
        np.testing.assert_allclose(one.get_last_lr(), two.get_last_lr(), rtol=1e-12)
        one.step()
        two.step()
    with pytest.raises(OperandError, match="SWALR: anneal_strategy must be 'cos' or 'linear', not 'up'"):
        swa_utils.SWALR(mine, 0.05, anneal_strategy="up")
