from __future__ import annotations

import gc

import numpy as np
import pytest

import flambeau as fb
from flambeau.counts import COUNTS
from flambeau.engine.convert import from_array
from flambeau.engine.gradients import Frontier, cotangents, moment
from flambeau.engine.modes import grad_enabled
from flambeau.engine.tape import THREAD
from flambeau.errors import GradientError
from flambeau.primitives import elementwise as e
from flambeau.tensor import Tensor, apply

X = np.array([0.5, -1.5, 2.0])


def tensor(x, requires_grad=True):
    made = Tensor(from_array(np.asarray(x, np.float64)))
    return made.requires_grad_() if requires_grad else made


def exp(x):
    return apply(e.exp, (), x)


ONES = tensor([1.0, 1.0, 1.0], False)


def test_accumulation_and_zeroing():
    x = tensor(X)
    for n in (1, 2, 3):
        ((x * x) @ ONES).backward()
        np.testing.assert_allclose(x.grad.numpy(), 2 * n * X)
    x.grad = None
    ((x * 3.0) @ ONES).backward()
    np.testing.assert_allclose(x.grad.numpy(), [3.0, 3.0, 3.0])


def test_looking_before_backward_runs_nothing_twice():
    x = tensor(X)
    loss = exp(x * 2.0) @ ONES
    loss.item()
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp(2 * X))


@pytest.mark.parametrize("look", [False, True])
def test_freed_graph(look):
    x = tensor(X)
    y = exp(x) @ ONES
    if look:
        y.item()
    y.backward()
    with pytest.raises(GradientError, match=r"was already taken and its graph freed"):
        y.backward()
    assert grad_enabled.get()


@pytest.mark.parametrize("look", [False, True])
def test_using_a_freed_value_again(look):
    x = tensor(X)
    y = exp(x)
    (y @ ONES).backward()
    if look:
        y.numpy()
    with pytest.raises(GradientError, match="graph freed"):
        ((y * 2.0) @ ONES).backward()


@pytest.mark.parametrize("look", [False, True])
def test_retained_graph(look):
    x = tensor(X)
    y = exp(x) @ ONES
    if look:
        y.item()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp(X))


@pytest.mark.parametrize("look", [False, True])
def test_create_graph(look):
    x = tensor(X)
    y = (x * x * x) @ ONES
    if look:
        y.item()
    y.backward(create_graph=True)
    first = x.grad
    x.grad = None
    (first @ ONES).backward()
    np.testing.assert_allclose(x.grad.numpy(), 6 * X)


def test_values_kept_as_memory_of_a_leaf_keep_their_history():
    # y is a leaf of its own whose memory is that of x; second derivatives must reach y, not x
    x = tensor(X, False)
    y = (x * 1.0).requires_grad_()
    z = (y * y * y) @ ONES
    z.item()
    z.backward(create_graph=True)
    g = y.grad
    y.grad = None
    (g @ ONES).backward()
    np.testing.assert_allclose(y.grad.numpy(), 6 * X)


def test_several_segments():
    x = tensor(X)
    a = exp(x)
    a.numpy()
    b = a * x
    b.numpy()
    c = (b * a) @ ONES
    c.backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp(2 * X) * (1 + 2 * X))


def test_hooks_see_complete_gradients_and_may_look_at_them():
    x = tensor(X)
    seen = []
    y = x * 2.0

    def hook(g):
        seen.append(g.numpy().copy())
        return g * 10.0

    y.register_hook(hook)
    ((y * y) @ ONES + y @ ONES).backward()
    np.testing.assert_allclose(seen, [2 * (2 * X) + 1])
    np.testing.assert_allclose(x.grad.numpy(), 20 * (4 * X + 1))


def test_frontier_stops_at_values_in_the_middle():
    x = tensor(X)
    since = moment()
    y = exp(x)
    z = (y * y) @ ONES
    found = cotangents([z._value], [None], frontier=Frontier({y._value}, THREAD.tape, since))
    assert set(found) == {y._value}
    np.testing.assert_allclose(Tensor(found[y._value]).numpy(), 2 * np.exp(X))
    assert x.grad is None


def test_frontier_after_evaluation():
    x = tensor(X)
    since = moment()
    home = THREAD.tape
    y = exp(x)
    z = (y * y) @ ONES
    z.item()
    found = cotangents([z._value], [None], frontier=Frontier({y._value}, home, since))
    np.testing.assert_allclose(Tensor(found[y._value]).numpy(), 2 * np.exp(X))


def test_no_history():
    with pytest.raises(GradientError, match="does not depend on a tensor with requires_grad=True"):
        (tensor(X, False) @ ONES).backward()
    assert grad_enabled.get()
    assert THREAD.tape.held == 0


def test_detached_values_need_no_gradient():
    x = tensor(X)
    pending = (x * 2.0).detach()
    assert not pending.requires_grad
    assert not (pending * 3.0).requires_grad


def test_overflow_while_gradients_are_recorded():
    # the recording is as long as it may be when the gradient begins, over several segments
    from flambeau.engine.tape import PENDING_LIMIT

    x = tensor(1.0)
    for extra in (0, 2, 4):
        y = x
        for _ in range(2 * PENDING_LIMIT - 3 + extra):
            y = y * 1.0001
        x.grad = None
        y.backward()
        assert x.grad.item() == pytest.approx(1.0001 ** (2 * PENDING_LIMIT - 3 + extra))


def test_loop_keeps_plans_and_values_constant():
    w = tensor(X)

    def step():
        w.grad = None
        ((w * w) @ ONES).backward()
        token = grad_enabled.set(False)
        try:
            w.__isub__(w.grad * 0.01)
        finally:
            grad_enabled.reset(token)
        return w.numpy()[0]

    for _ in range(3):
        step()
    gc.collect()
    before, objects = COUNTS.plans, len(gc.get_objects())
    for _ in range(200):
        step()
    gc.collect()
    assert COUNTS.plans == before
    assert len(gc.get_objects()) < objects + 100


def test_training_by_hand_without_looking() -> None:
    """Each step's weights are new leaves: the gradient of one step does not reach the step before."""
    x, target = fb.ones((4, 3)), fb.zeros(4)
    w = fb.asarray([1.0, 1.0, 1.0], requires_grad=True)
    for rate in (0.02, 0.01, 0.02):
        loss = fb.mean((x @ w - target) ** 2)
        loss.backward()
        with fb.no_grad():
            w -= rate * w.grad
        w.grad = None
    expected = 1.0
    for rate in (0.02, 0.01, 0.02):
        expected -= rate * 2 * 3 * expected
    assert abs(w[0].item() - expected) < 1e-5


def test_step_functions_have_gradient_zero() -> None:
    for f in (fb.floor, fb.ceil, fb.trunc, fb.round, fb.sign):
        x = fb.asarray([-1.5, 0.5, 2.0], requires_grad=True)
        fb.sum(f(x)).backward()
        assert x.grad is not None
        assert x.grad.tolist() == [0.0, 0.0, 0.0]
