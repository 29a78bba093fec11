"""Schedules beside PyTorch's: rates, momenta, states, and steps at which a compiled step goes on."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn, optim
from flambeau.errors import OperandError, TraceError
from flambeau.optim import lr_scheduler as ours

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

theirs = torch.optim.lr_scheduler


def decay(epoch: int) -> float:
    return 0.95**epoch


def late(epoch: int) -> float:
    return 1.0 / (1 + epoch)


# name: (what makes the schedule from a module of schedules and an optimizer, how many steps)
CASES: dict[str, Any] = {
    "lambda": lambda s, o: s.LambdaLR(o, [decay, late]),
    "lambda for all": lambda s, o: s.LambdaLR(o, late),
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, decay),
    "step": lambda s, o: s.StepLR(o, 3, 0.5),
    "multistep": lambda s, o: s.MultiStepLR(o, [2, 5, 5, 8], gamma=0.3),
    "constant": lambda s, o: s.ConstantLR(o, factor=0.25, total_iters=4),
    "linear": lambda s, o: s.LinearLR(o, 0.1, 0.9, 6),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.9),
    "polynomial": lambda s, o: s.PolynomialLR(o, 7, power=2.0),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 6, eta_min=0.01),
    "restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, 2, eta_min=0.01),
    "restarts of one length": lambda s, o: s.CosineAnnealingWarmRestarts(o, 4),
    "one cycle": lambda s, o: s.OneCycleLR(o, [0.5, 0.3], total_steps=25),
    "one cycle linear": lambda s, o: s.OneCycleLR(
        o, 0.5, epochs=5, steps_per_epoch=5, anneal_strategy="linear", three_phase=True, pct_start=0.4
    ),
    "one cycle of rates": lambda s, o: s.OneCycleLR(o, 0.5, 25, cycle_momentum=False, div_factor=5.0),
    "triangular": lambda s, o: s.CyclicLR(o, 0.01, [0.1, 0.2], step_size_up=4),
    "triangular2": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 3, 5, mode="triangular2"),
    "exp range": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 3, mode="exp_range", gamma=0.9),
    "cyclic of my own": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 3, scale_fn=late, scale_mode="iterations"),
    "sequential": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, total_iters=4), s.CosineAnnealingLR(o, 8), s.StepLR(o, 2)], [4, 12]
    ),
    "sequential restarts": lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.1, 3), s.CosineAnnealingWarmRestarts(o, 4)], [3]
    ),
    "nested": lambda s, o: s.SequentialLR(
        o,
        [s.ChainedScheduler([s.LinearLR(o, 0.5, total_iters=3), s.ExponentialLR(o, 0.9)]), s.StepLR(o, 3)],
        [5],
    ),
    "chained": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 4), s.ExponentialLR(o, 0.9)]),
}
RULES: dict[str, dict[str, Any]] = {"SGD": {"lr": 0.1, "momentum": 0.9}, "Adam": {"lr": 0.1}}


def optimizers(rule: str = "SGD") -> tuple[optim.Optimizer, Any]:
    p, q = nn.Parameter(fb.ones(1)), nn.Parameter(fb.ones(1))
    tp, tq = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(1))
    mine = getattr(optim, rule)([{"params": [p]}, {"params": [q], "lr": 0.05}], **RULES[rule])
    other = getattr(torch.optim, rule)([{"params": [tp]}, {"params": [tq], "lr": 0.05}], **RULES[rule])
    return mine, other


def numbers(optimizer: Any) -> list[float]:
    return [
        x for g in optimizer.param_groups for x in (g["lr"], g["betas"][0] if "betas" in g else g["momentum"])
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("case", CASES)
def test_rates_are_pytorchs(case: str, rule: str) -> None:
    mine, other = optimizers(rule)
    schedule, reference = CASES[case](ours, mine), CASES[case](theirs, other)
    for step in range(20):
        np.testing.assert_allclose(numbers(mine), numbers(other), rtol=1e-12, atol=1e-15, err_msg=str(step))
        np.testing.assert_allclose(schedule.get_last_lr(), reference.get_last_lr(), rtol=1e-12, atol=1e-15)
        schedule.step()
        other.step()
        reference.step()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_schedules_resume(case: str) -> None:
    mine, _ = optimizers()
    schedule = CASES[case](ours, mine)
    for _ in range(7):
        schedule.step()
    states = json.loads(json.dumps([schedule.state_dict(), mine.state_dict()]))
    resumed, _ = optimizers()
    again = CASES[case](ours, resumed)
    resumed.load_state_dict(states[1] | {"state": {}})
    again.load_state_dict(states[0])
    for _ in range(8):
        assert numbers(resumed) == numbers(mine)
        assert again.get_last_lr() == schedule.get_last_lr()
        schedule.step()
        again.step()


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 1, "factor": 0.5},
        {"patience": 0, "cooldown": 2, "threshold": 0.1},
        {"mode": "max", "patience": 1, "threshold_mode": "abs", "threshold": 0.05},
        {"patience": 0, "min_lr": [0.03, 0.001], "threshold_mode": "abs"},
        {"mode": "max", "patience": 0, "eps": 0.02},
    ],
)
def test_plateau(options: dict[str, Any]) -> None:
    mine, other = optimizers()
    schedule, reference = ours.ReduceLROnPlateau(mine, **options), theirs.ReduceLROnPlateau(other, **options)
    for i, loss in enumerate([1.0, 0.9, 0.91, 0.905, 0.5, 0.51, 0.52, 0.53, 0.53, 0.2, 0.3, 0.25]):
        if i == 6:
            state = json.loads(json.dumps(schedule.state_dict()))
            schedule = ours.ReduceLROnPlateau(mine, **options)
            schedule.load_state_dict(state)
        schedule.step(fb.asarray(loss) if i % 2 else loss)
        reference.step(float(np.float32(loss)) if i % 2 else loss)
        np.testing.assert_allclose(numbers(mine), numbers(other), rtol=1e-12)
        assert schedule.get_last_lr() == [g["lr"] for g in mine.param_groups]


def test_warm_restarts_at_parts_of_epochs() -> None:
    mine, other = optimizers()
    schedule = ours.CosineAnnealingWarmRestarts(mine, 2, 2)
    reference = theirs.CosineAnnealingWarmRestarts(other, 2, 2)
    for epoch in (0.5, 1.25, 2.0, 3.5, 6.5, 15.25, 1.0):
        schedule.step(epoch)
        reference.step(epoch)
        np.testing.assert_allclose(numbers(mine), numbers(other), rtol=1e-12)


@pytest.mark.filterwarnings("ignore")
def test_going_on_from_an_epoch() -> None:
    mine, other = optimizers()
    for group in (*mine.param_groups, *other.param_groups):
        group["initial_lr"] = group["lr"]
    pairs = [(ours.StepLR(mine, 2, last_epoch=3), theirs.StepLR(other, 2, last_epoch=3))]
    pairs.append((ours.LinearLR(mine, last_epoch=1), theirs.LinearLR(other, last_epoch=1)))
    for schedule, reference in pairs:
        for _ in range(3):
            np.testing.assert_allclose(numbers(mine), numbers(other), rtol=1e-12)
            schedule.step()
            reference.step()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: ours.StepLR(None, 2), "StepLR: an optimizer is needed, not NoneType"),
        (lambda o: ours.StepLR(o, 0), "StepLR: step_size must be an integer of at least 1, not 0"),
        (lambda o: ours.StepLR(o, 2, last_epoch=3), r"StepLR: param_groups\[0\] has no 'initial_lr'"),
        (lambda o: ours.LambdaLR(o, [decay]), "LambdaLR: lr_lambda needs 2 numbers, one for each"),
        (lambda o: ours.LambdaLR(o, 0.5), "LambdaLR: lr_lambda must be a function of the epoch, not 0.5"),
        (lambda o: ours.LinearLR(o, 0.0), "LinearLR: start_factor must be a number above 0 and up to 1"),
        (lambda o: ours.ConstantLR(o, 2), "ConstantLR: factor must be a number from 0 up to 1, not 2"),
        (lambda o: ours.OneCycleLR(o, 0.1), "OneCycleLR: total_steps is needed, or epochs and"),
        (lambda o: ours.OneCycleLR(optim.Adagrad([nn.Parameter(fb.ones(1))]), 0.1, 5), "Adagrad has no mom"),
        (lambda o: ours.CyclicLR(o, 0.1, 0.2, mode="square"), "CyclicLR: mode must be 'triangular',"),
        (lambda o: ours.ReduceLROnPlateau(o, "low"), "ReduceLROnPlateau: mode must be 'min' or 'max'"),
        (lambda o: ours.ReduceLROnPlateau(o, factor=1.0), "ReduceLROnPlateau: factor must be below 1"),
        (lambda o: ours.ChainedScheduler([]), "ChainedScheduler: at least one schedule is needed"),
        (lambda o: ours.SequentialLR(o, [ours.StepLR(o, 2)], [3]), "1 schedules need 0 milestones, not 1"),
        (
            lambda o: ours.ChainedScheduler([ours.ReduceLROnPlateau(o)]),
            "schedule 0 is a ReduceLROnPlateau, whose step needs a number",
        ),
        (
            lambda o: ours.StepLR(o, 2).load_state_dict({"gamma": 1}),
            r"StepLR: the state does not fit: unexpected \[\], missing \['_is_initial'",
        ),
    ],
)
def test_what_does_not_fit(make: Any, message: str) -> None:
    with pytest.raises(OperandError, match=rf"(?s){message}.*at test_schedules\.py"):
        make(optimizers()[0])


def test_a_step_too_many() -> None:
    schedule = ours.OneCycleLR(optimizers()[0], 0.1, 3)
    for _ in range(3):
        schedule.step()
    with pytest.raises(OperandError, match="OneCycleLR: step was called 4 times: the cycle has 3 steps"):
        schedule.step()


def test_inside_of_a_compiled_function() -> None:
    schedule = ours.ExponentialLR(optimizers()[0], 0.5)
    with pytest.raises(TraceError, match=r"ExponentialLR: step computes with Python.*outside"):
        fb.compile(schedule.step)()
    assert schedule.last_epoch == 0


def test_a_compiled_step_follows_a_schedule() -> None:
    """Changed between the first calls, and later."""
    p = nn.Parameter(fb.zeros(1))
    optimizer = optim.Adam([p], lr=1.0)
    schedule = ours.OneCycleLR(optimizer, 1.0, total_steps=10)
    q = nn.Parameter(fb.zeros(1))
    plain = optim.Adam([q], lr=1.0)
    other = ours.OneCycleLR(plain, 1.0, total_steps=10)

    @fb.compile
    def step() -> None:
        p.grad = fb.ones(1)
        optimizer.step()

    for _ in range(9):
        step()
        schedule.step()
        q.grad = fb.ones(1)
        plain.step()
        other.step()
        assert p.tolist() == q.tolist()
    assert len(step.explain()) <= 3
