from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn, optim
from flambeau.errors import OperandError

RULES: dict[str, Any] = {
    "sgd": lambda params: optim.SGD(params, lr=0.1),
    "momentum": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam": lambda params: optim.Adam(params, lr=0.01),
}


class Training:
    """A small network, its optimizer and batches."""

    def __init__(self, rule: str, hidden: int = 33) -> None:
        fb.random.seed(0)
        self.model = nn.Sequential(nn.Linear(10, hidden), nn.ReLU(), nn.Linear(hidden, 3))
        self.optimizer = RULES[rule](self.model.parameters())
        self.rng = np.random.default_rng(0)
        self.table = fb.asarray(self.rng.normal(size=(100, 10)), dtype=fb.float32)

    def loss(self, rows: Any = None, count: int = 16) -> fb.Tensor:
        rows = self.rng.integers(0, 100, count) if rows is None else rows
        labels = fb.asarray(self.rng.integers(0, 3, len(rows)))
        return nn.functional.cross_entropy(self.model(fb.take(self.table, fb.asarray(rows), axis=0)), labels)

    def step(self, rows: Any = None, count: int = 16) -> None:
        loss = self.loss(rows, count)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def everything(self) -> list[bytes]:
        """The bits of all that a step changes."""
        values = [p.numpy().tobytes() for p in self.model.parameters()]
        state = self.optimizer.state
        kept = [
            x.numpy().tobytes() for p in self.model.parameters() for _, x in sorted(state.get(p, {}).items())
        ]
        return [*values, *kept]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("steps", [0, 3])
def test_a_failed_step_changes_nothing_and_training_goes_on(
    rule: str, steps: int, both_executors: str
) -> None:
    with_failure, without = Training(rule), Training(rule)
    for training in (with_failure, without):
        for _ in range(steps):
            training.step()
    before = [p.numpy().tobytes() for p in with_failure.model.parameters()]
    everything = with_failure.everything() if steps else None
    handles = list(with_failure.model.parameters())
    random_state = with_failure.rng.bit_generator.state
    with pytest.raises(IndexError, match=r"(?s)index 100 is out of range.*at test_steps\.py:\d+"):
        with_failure.step(np.asarray([0, 1, 100, 3]))
    with_failure.rng.bit_generator.state = random_state
    assert [p.numpy().tobytes() for p in with_failure.model.parameters()] == before
    if everything is not None:
        assert with_failure.everything() == everything
    assert all(a is b for a, b in zip(handles, with_failure.model.parameters(), strict=True))
    for training in (with_failure, without):
        for _ in range(2):
            training.step()
    assert with_failure.everything() == without.everything()


@pytest.mark.parametrize("rule", RULES)
def test_what_was_taken_before_a_step_keeps_its_values(rule: str) -> None:
    training = Training(rule)
    training.step()
    parameters = list(training.model.parameters())
    views = [p.numpy() for p in parameters]
    detached = [p.detach() for p in parameters]
    state = training.model.state_dict()
    pending = [p.detach() * 2 for p in parameters]
    slices = [v[:1] for v in views]
    expected = [v.copy() for v in views]
    for _ in range(3):
        training.step()
    for v, d, s, q, cut, e in zip(views, detached, state.values(), pending, slices, expected, strict=True):
        np.testing.assert_array_equal(v, e)
        np.testing.assert_array_equal(d.numpy(), e)
        np.testing.assert_array_equal(s.numpy(), e)
        np.testing.assert_array_equal(q.numpy(), e * 2)
        np.testing.assert_array_equal(cut, e[:1])
    assert all(not np.array_equal(p.numpy(), e) for p, e in zip(parameters, expected, strict=True))


def test_views_of_the_state_too() -> None:
    training = Training("adam")
    training.step()
    kept = [x.numpy() for x in training.optimizer.state[training.model[0].weight].values()]
    copies = [k.copy() for k in kept]
    training.step()
    for k, c in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(k, c)


def test_gradients_of_several_batches_add_up() -> None:
    one, two = Training("sgd"), Training("sgd")
    rows = [np.arange(8), np.arange(8, 16), np.arange(16, 24)]
    for part in rows:
        (one.loss(part) / 3).backward()
    one.optimizer.step()
    two.loss(np.concatenate(rows)).backward()
    two.optimizer.step()
    for p, q in zip(one.model.parameters(), two.model.parameters(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=0, atol=1e-6)


def test_gradients_stay_until_they_are_forgotten() -> None:
    p = nn.Parameter(fb.asarray([1.0, 2.0]))
    optimizer = optim.SGD([p], lr=1.0)
    fb.sum(p * 3).backward()
    optimizer.step()
    assert p.grad is not None and p.grad.tolist() == [3.0, 3.0]
    optimizer.step()
    assert p.tolist() == [-5.0, -4.0]
    optimizer.zero_grad()
    assert p.grad is None
    optimizer.step()  # nothing has a gradient, so nothing changes
    assert p.tolist() == [-5.0, -4.0]
    fb.sum(p * 2).backward()
    optimizer.step()
    assert p.tolist() == [-7.0, -6.0]


def test_updates_by_hand() -> None:
    p = nn.Parameter(fb.asarray([1.0, 2.0]))
    for _ in range(3):
        fb.sum(p * p).backward()
        with fb.no_grad():
            assert p.grad is not None
            p -= 0.25 * p.grad
        p.grad = None
    assert p.tolist() == [0.125, 0.25]
    assert p.requires_grad and p.is_leaf and isinstance(p, nn.Parameter)
    with pytest.raises(RuntimeError, match="cannot be changed in place"):
        p -= 1.0


def test_a_step_inside_no_grad() -> None:
    p = nn.Parameter(fb.asarray([1.0]))
    fb.sum(p * 2).backward()
    with fb.no_grad():
        optim.SGD([p], lr=0.5).step()
    assert p.tolist() == [0.0]
    p.grad = None
    fb.sum(p * 2).backward()
    assert p.grad is not None and p.grad.tolist() == [2.0]


def test_frozen_parameters_stay() -> None:
    training = Training("adam")
    first = training.model[0]
    first.weight.requires_grad_(False)
    before = first.weight.numpy().copy()
    bias = first.bias.numpy().copy()
    training.step()
    np.testing.assert_array_equal(first.weight.numpy(), before)
    assert not np.array_equal(first.bias.numpy(), bias)
    first.weight.requires_grad_(True)
    training.step()
    assert not np.array_equal(first.weight.numpy(), before)


@pytest.mark.parametrize("dtype", [fb.float16, fb.bfloat16, fb.float64])
def test_other_dtypes(dtype: fb.DType) -> None:
    p = nn.Parameter(fb.ones(4, dtype=dtype))
    optimizer = optim.Adam([p], lr=0.125)
    fb.sum(p * p).backward()
    optimizer.step()
    assert p.dtype is dtype
    np.testing.assert_allclose(p.numpy().astype(np.float64), 0.875, atol=0.01)


def broken_rate(p: nn.Parameter, rate: Any) -> None:
    optimizer = optim.SGD([p])
    fb.sum(p).backward()
    optimizer.param_groups[0]["lr"] = rate
    optimizer.step()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: optim.SGD([]), "SGD: there are no parameters to optimize"),
        (lambda p: optim.SGD([p * 2]), "SGD: parameters must be floating-point leaf tensors"),
        (lambda p: optim.SGD([fb.asarray([1])]), "SGD: parameters must be floating-point leaf tensors"),
        (lambda p: optim.SGD([p, p]), "SGD: a parameter is listed twice"),
        (lambda p: optim.SGD([p], lr=-1.0), "SGD: lr must be a number of at least 0, not -1.0"),
        (lambda p: optim.SGD([p], lr=float("nan")), "SGD: lr must be a number of at least 0, not nan"),
        (lambda p: optim.SGD([p], lr="fast"), "SGD: lr must be a number of at least 0, not 'fast'"),
        (lambda p: optim.SGD([p], nesterov=True), "SGD: nesterov looks ahead along the momentum"),
        (
            lambda p: optim.Adam([p], betas=(0.9, 1.0)),
            "Adam: betas must be two numbers of at least 0 and below 1",
        ),
        (lambda p: optim.Adam([p], betas=(0.9,)), "Adam: betas must be two numbers"),
        (lambda p: optim.Adam([p], eps=-1), "Adam: eps must be a number of at least 0, not -1"),
        (lambda p: optim.Adam([p], betas=0.9), "Adam: betas must be two numbers"),
        (lambda p: optim.Adam([p], amsgrad=1), "Adam: amsgrad must be True or False, not 1"),
        (lambda p: optim.RMSprop([p], alpha=1.5), "RMSprop: alpha must be at most 1, not 1.5"),
        (lambda p: optim.SGD(p), "SGD: params must be a list of parameters or of groups, not a Parameter"),
        (lambda p: optim.SGD([{"params": [p], "lr": -1}]), "SGD: lr must be a number of at least 0, not -1"),
        (lambda p: optim.SGD([{"params": p}, {"params": [p]}]), "SGD: a parameter is listed twice"),
        (lambda p: optim.SGD([{"lr": 1.0}]), "SGD: a parameter group is a dictionary with 'params', not {"),
        (lambda p: broken_rate(p, "fast"), "SGD: lr must be a number, not 'fast'"),
        (lambda p: broken_rate(p, float("nan")), "SGD: lr must be a number, not nan"),
        (lambda p: broken_rate(p, None), "SGD: lr must be a number, not None"),
    ],
)
def test_bad_arguments(make: Any, message: str) -> None:
    with pytest.raises(OperandError) as caught:
        make(nn.Parameter(fb.ones(2)))
    assert str(caught.value).startswith(message)
    assert "\n  at test_steps.py:" in str(caught.value)


def test_repr() -> None:
    p, q = nn.Parameter(fb.ones(2)), nn.Parameter(fb.ones(2))
    optimizer: optim.Optimizer = optim.SGD([p], lr=0.5, momentum=0.9)
    assert repr(optimizer) == "SGD(parameters=1, lr=0.5, momentum=0.9, dampening=0, weight_decay=0)"
    optimizer = optim.Lion([{"params": p}, {"params": [q], "lr": 0.5, "maximize": True}])
    assert repr(optimizer).splitlines() == [
        "Lion(",
        "  0: parameters=1, lr=0.0001, betas=(0.9, 0.99), weight_decay=0",
        "  1: parameters=1, lr=0.5, betas=(0.9, 0.99), weight_decay=0, maximize=True",
        ")",
    ]


# -- what is compiled -------------------------------------------------------------------------


def work() -> tuple[int, int, int]:
    s = fb.stats()
    return s.kernels_compiled + s.kernels_from_disk, s.partitions, s.plans


@pytest.mark.parametrize("rule", RULES)
def test_after_the_second_step_nothing_is_compiled_or_planned(rule: str) -> None:
    training = Training(rule)
    training.step()
    training.step()
    before = work()
    for i in range(20):
        training.optimizer.param_groups[0]["lr"] = 0.1 / (i + 1)
        training.step()
    assert work() == before


def test_a_hundred_batch_sizes_are_one_structure() -> None:
    training = Training("adam", hidden=37)
    training.step(count=2)
    training.step(count=2)
    kernels, partitions, plans = work()
    for count in range(3, 102):
        training.step(count=count)
    assert work()[:2] == (kernels, partitions)
    assert work()[2] - plans <= 2 * 99
