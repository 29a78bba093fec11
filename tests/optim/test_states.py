"""What optimizers keep: counts of each parameter, state dictionaries, and exact resume."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn, optim
from flambeau.errors import OperandError, WeightsError

RULES: dict[str, Any] = {
    "sgd": lambda params: optim.SGD(params, lr=0.1),
    "dampening": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, dampening=0.5),
    "adam": lambda params: optim.Adam(params, lr=0.01, amsgrad=True),
    "nadam": lambda params: optim.NAdam(params, lr=0.01),
    "rmsprop": lambda params: optim.RMSprop(params, momentum=0.5, centered=True),
    "adagrad": lambda params: optim.Adagrad(params, initial_accumulator_value=0.5),
}


def parameters(count: int = 2) -> list[nn.Parameter]:
    rng = np.random.default_rng(0)
    return [nn.Parameter(fb.asarray(rng.normal(size=3 + i))) for i in range(count)]


def step(optimizer: optim.Optimizer, params: list[nn.Parameter], used: tuple[int, ...] = (0, 1)) -> None:
    optimizer.zero_grad()
    for i in used:
        fb.sum(params[i] ** 3).backward()
    optimizer.step()


@pytest.mark.parametrize("rule", RULES)
def test_resume_is_exact(rule: str) -> None:
    whole, broken = parameters(), parameters()
    first = RULES[rule](whole)
    second = RULES[rule](broken)
    plan: list[tuple[int, ...]] = [(0,), (0, 1), (0, 1), (1,), (0, 1)]
    for used in plan[:3]:
        step(first, whole, used)
        step(second, broken, used)
    second.param_groups[0]["lr"] = first.param_groups[0]["lr"] = 0.0625
    kept = second.state_dict()
    copies = {i: {n: x.numpy().copy() for n, x in s.items()} for i, s in kept["state"].items()}
    step(second, broken)  # what was saved does not follow
    for i, s in kept["state"].items():
        for n, x in s.items():
            np.testing.assert_array_equal(x.numpy(), copies[i][n])
    resumed = parameters()
    third = RULES[rule](resumed)
    third.load_state_dict(kept)
    assert third.param_groups[0]["lr"] == 0.0625
    for p, q in zip(resumed, whole, strict=True):
        with fb.no_grad():
            p *= 0.0
            p += q
    for used in plan[3:]:
        step(first, whole, used)
        step(third, resumed, used)
        for p, q in zip(whole, resumed, strict=True):
            assert p.numpy().tobytes() == q.numpy().tobytes()
    assert str(third.state_dict()) == str(first.state_dict())


def test_counts_are_each_parameters_own_and_shared_where_equal() -> None:
    params = parameters(3)
    optimizer = optim.Adam(params)
    step(optimizer, params, (0, 1))
    step(optimizer, params, (0, 1, 2))
    counts = [optimizer.state[p]["step"] for p in params]
    assert [int(c) for c in counts] == [2, 2, 1]
    assert counts[0]._value is counts[1]._value
    saved = optimizer.state_dict()
    assert saved["param_groups"][0]["params"] == [0, 1, 2]
    assert sorted(saved["state"][2]) == ["exp_avg", "exp_avg_sq", "step"]
    other = optim.Adam(parameters(3))
    other.load_state_dict(saved)
    loaded = [other.state[p]["step"]._value for p in other.param_groups[0]["params"]]
    assert loaded[0] is loaded[1] and loaded[0] is not loaded[2]


def test_a_plain_rule_keeps_nothing() -> None:
    params = parameters()
    optimizer = optim.SGD(params)
    step(optimizer, params)
    assert optimizer.state_dict()["state"] == {}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s["param_groups"].append({"params": []}), "1 parameter groups are needed, not 2"),
        (lambda s: s["param_groups"][0]["params"].pop(), "group 0 has 2 parameters, not 1"),
        (lambda s: s["state"][0].pop("exp_avg"), "parameter 0: exp_avg is missing"),
        (
            lambda s: s["state"][1].update(exp_avg=fb.ones(2)),
            r"parameter 1: exp_avg must be float64\[4\], not float32\[2\]",
        ),
        (lambda s: s["state"][0].update(step="x"), "parameter 0: step must be one number, not 'x'"),
        (lambda s: s["state"][0].update(momentum=fb.ones(3)), "parameter 0: there is no momentum"),
        (lambda s: s["state"].update({7: {}}), "there is no parameter 7"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(spoil: Any, message: str) -> None:
    params = parameters()
    optimizer = optim.Adam(params)
    step(optimizer, params)
    state = optimizer.state_dict()
    spoil(state)
    state["param_groups"][0]["lr"] = 7.0
    before = str(optimizer.state_dict())
    with pytest.raises(WeightsError, match=rf"(?s)does not fit Adam.*{message}.*at test_states\.py"):
        optimizer.load_state_dict(state)
    assert str(optimizer.state_dict()) == before


def test_a_state_that_is_none() -> None:
    with pytest.raises(OperandError, match="Adam: load_state_dict needs what state_dict gave"):
        optim.Adam(parameters()).load_state_dict({"a": 1})


def test_a_closure_computes_with_gradients() -> None:
    params = parameters()
    optimizer = optim.SGD(params, lr=0.5)

    def closure() -> fb.Tensor:
        optimizer.zero_grad()
        loss = fb.sum(params[0] * 2)
        loss.backward()
        return loss

    before = params[0].numpy().copy()
    with fb.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == before.sum() * 2
    np.testing.assert_array_equal(params[0].numpy(), before - 1)


def test_numbers_of_groups_compile_nothing() -> None:
    params = parameters()
    optimizer = optim.AdamW([{"params": params[:1]}, {"params": params[1:], "betas": (0.5, 0.5)}])
    step(optimizer, params)
    step(optimizer, params)

    def work() -> tuple[int, ...]:
        s = fb.stats()
        return s.kernels_compiled + s.kernels_from_disk, s.partitions, s.plans

    before = work()
    for i in range(5):
        for group in optimizer.param_groups:
            group.update(lr=0.1 / (i + 1), betas=(0.1 * i, 0.2 * i), eps=0.1**i, weight_decay=0.1 * i)
        step(optimizer, params)
    assert work() == before


def test_copies_go_on_alike() -> None:
    params = parameters()
    optimizer = optim.AdamW(params, betas=(0.8, 0.9))
    step(optimizer, params)
    again = copy.deepcopy(optimizer)
    own = again.param_groups[0]["params"]
    again.param_groups[0]["lr"] = optimizer.param_groups[0]["lr"] = 0.125
    step(optimizer, params)
    step(again, own)
    for p, q in zip(params, own, strict=True):
        assert p is not q and p.numpy().tobytes() == q.numpy().tobytes()
