"""Optimizers inside ``fb.compile``: present numbers at each call, state made and found, nothing frozen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn, optim
from flambeau.errors import TraceError

RULES: dict[str, Any] = {
    "sgd": lambda groups: optim.SGD(groups, lr=0.1),
    "dampening": lambda groups: optim.SGD(groups, lr=0.1, momentum=0.9, dampening=0.5),
    "adamw": lambda groups: optim.AdamW(groups, lr=0.01, amsgrad=True),
    "nadam": lambda groups: optim.NAdam(groups, lr=0.01),
}


class Training:
    """A network, an optimizer with two groups, and a step that may be compiled."""

    def __init__(self, rule: str) -> None:
        fb.random.seed(0)
        self.model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
        groups = [{"params": self.model[0].parameters()}, {"params": self.model[2].parameters(), "lr": 0.05}]
        self.optimizer = RULES[rule](groups)
        self.runs = 0

    def step(self, x: fb.Tensor, y: fb.Tensor) -> fb.Tensor:
        self.runs += 1
        loss = nn.functional.cross_entropy(self.model(x), y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def bits(self) -> list[bytes]:
        state = self.optimizer.state
        kept = [x.numpy().tobytes() for p in self.model.parameters() for x in state.get(p, {}).values()]
        return [p.numpy().tobytes() for p in self.model.parameters()] + kept


@pytest.mark.parametrize("rule", RULES)
def test_a_compiled_step_uses_the_present_numbers(rule: str) -> None:
    rng = np.random.default_rng(0)
    plain, other = Training(rule), Training(rule)
    compiled = fb.compile(other.step)
    for i in range(8):
        x, y = fb.asarray(rng.normal(size=(4, 5)), dtype=fb.float32), fb.asarray(rng.integers(0, 3, 4))
        for training in (plain, other):
            for group in training.optimizer.param_groups:
                group["lr"] = 0.1 / (i + 1)
                group["weight_decay"] = 0.01 * i
        assert plain.step(x, y).item() == compiled(x, y).item()
        assert plain.bits() == other.bits()
    assert all(p.requires_grad and p.is_leaf for p in other.model.parameters())
    assert other.runs <= 3
    if rule in ("adamw", "nadam"):  # parameters of a group go on sharing their counts
        for group in other.optimizer.param_groups:
            assert len({id(other.optimizer.state[p]["step"]._value) for p in group["params"]}) == 1
    plain.step(x, y)
    other.step(x, y)  # and uncompiled steps go on from there
    assert plain.bits() == other.bits()


def test_loading_a_state_reaches_a_compiled_step() -> None:
    rng = np.random.default_rng(0)
    x, y = fb.asarray(rng.normal(size=(4, 5)), dtype=fb.float32), fb.asarray(rng.integers(0, 3, 4))
    training = Training("adamw")
    compiled = fb.compile(training.step)
    for _ in range(4):
        compiled(x, y)
    weights, state = training.model.state_dict(), training.optimizer.state_dict()
    runs = training.runs
    compiled(x, y)
    expected = training.bits()
    for _ in range(2):
        training.model.load_state_dict(weights)
        training.optimizer.load_state_dict(state)
        compiled(x, y)
        assert training.bits() == expected
    assert training.runs == runs


def test_options_and_parameters_changed_later_are_recorded_again() -> None:
    """A momentum that is no longer 0, an option, a new group: nothing is frozen silently."""

    def make() -> tuple[list[nn.Parameter], optim.Optimizer, Any]:
        params = [nn.Parameter(fb.full(2, float(i + 1))) for i in range(2)]
        optimizer = optim.SGD(params[:1], lr=0.5)

        def step() -> None:
            for group in optimizer.param_groups:
                for p in group["params"]:
                    p.grad = fb.ones(2)
            optimizer.step()

        return params, optimizer, step

    plain, one, step = make()
    params, two, other = make()
    compiled = fb.compile(other)
    for i in range(12):
        for optimizer, given in ((one, plain), (two, params)):
            group = optimizer.param_groups[0]
            if i == 3:
                group["momentum"] = 0.9
            elif i == 6:
                group["nesterov"] = True
            elif i == 9:
                optimizer.add_param_group({"params": given[1]})
        step()
        compiled()
        assert [p.tolist() for p in params] == [p.tolist() for p in plain]
    reasons = [r for r in compiled.explain() if "an option or a group of SGD changed" in r]
    assert len(reasons) == 3


def test_a_number_changed_inside_is_refused() -> None:
    p = nn.Parameter(fb.ones(3))
    optimizer = optim.SGD([p], lr=0.5)

    def step() -> None:
        optimizer.param_groups[0]["lr"] = 0.25
        p.grad = fb.ones(3)
        optimizer.step()

    with pytest.raises(TraceError, match=r"the number lr of SGD changed from 0\.5 to 0\.25 inside"):
        fb.compile(step)()
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert p.tolist() == [1.0, 1.0, 1.0]


def test_a_number_that_is_none_is_refused_at_the_call() -> None:
    p = nn.Parameter(fb.ones(3))
    optimizer = optim.SGD([p], lr=0.5)

    @fb.compile
    def step() -> None:
        p.grad = fb.ones(3)
        optimizer.step()

    for _ in range(3):
        step()
    optimizer.param_groups[0]["lr"] = "fast"
    before = p.numpy().copy()
    with pytest.raises(TypeError, match=r"(?s)SGD: lr must be a number, not 'fast'.*at test_compiled\.py"):
        step()
    np.testing.assert_array_equal(p.numpy(), before)
    optimizer.param_groups[0]["lr"] = 0.5
    step()
    np.testing.assert_array_equal(p.numpy(), before - 0.5)
