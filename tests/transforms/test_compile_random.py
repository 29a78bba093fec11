"""Random numbers inside compiled functions: drawn anew at each call, from the same generators."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as fb
from flambeau.errors import CaptureError


def test_draws_are_those_of_define_by_run() -> None:
    g = fb.random.Generator(3)

    def f(x: fb.Tensor) -> tuple[fb.Tensor, fb.Tensor]:
        return x + g.uniform((3,)), fb.random.normal((2,)) * g.normal((2,))

    compiled, x = fb.compile(f), fb.zeros(3)
    fb.random.seed(0)
    made = [compiled(x) for _ in range(4)]
    g.seed(3)
    fb.random.seed(0)
    for a, b in made:
        c, d = f(x)
        assert a.tolist() == c.tolist()
        assert b.tolist() == d.tolist()
    assert compiled.explain() == ["compile(f) is recorded: it is the first call"]


def test_results_looked_at_late_keep_their_own_numbers() -> None:
    compiled = fb.compile(lambda: fb.random.uniform((4,)))
    fb.random.seed(0)
    pending = [compiled() for _ in range(4)]
    fb.random.seed(0)
    assert [t.tolist() for t in pending] == [fb.random.uniform((4,)).tolist() for _ in range(4)]


def test_new_numbers_make_no_new_plan() -> None:
    w = fb.zeros(8).requires_grad_()

    def step() -> fb.Tensor:
        mask = fb.random.bernoulli(0.5, (8,))
        loss = fb.sum(fb.where(mask, w, fb.zeros_like(w)))
        w.grad = None
        loss.backward()
        return loss

    compiled = fb.compile(step)
    masks = []
    for n in range(6):
        compiled()
        assert w.grad is not None
        masks.append(tuple(w.grad.tolist()))
        if n == 2:
            plans = fb.stats().plans
    assert fb.stats().plans == plans
    assert len(set(masks)) > 3


def test_failed_call_draws_nothing() -> None:
    g = fb.random.Generator(1)
    table = fb.asarray([1.0, 2.0])
    state = fb.zeros(())

    def f(i: fb.Tensor) -> fb.Tensor:
        state.__iadd__(1.0)
        return fb.take(table, i) + g.uniform((1,))

    compiled = fb.compile(f)
    for _ in range(3):
        compiled(fb.asarray([1])).numpy()
    before = g.state
    with pytest.raises(IndexError):
        compiled(fb.asarray([7]))
    assert g.state == before
    compiled(fb.asarray([0])).numpy()
    assert g.state == (before[0], before[1] + 1)


def test_another_generator_is_an_error() -> None:
    generators = [fb.random.Generator(i) for i in range(2)]

    def f() -> fb.Tensor:
        return generators[0].uniform((2,))

    compiled = fb.compile(f)
    compiled()
    generators.reverse()
    with pytest.raises(CaptureError, match=r"(?s)come from another generator.*test_compile_random"):
        compiled()


def test_checkpoint_draws_the_same_numbers_twice() -> None:
    """The mask of the forward pass is the mask that the gradient sees, though it is computed again."""

    def dropped(x: fb.Tensor) -> fb.Tensor:
        return fb.where(fb.random.bernoulli(0.5, (64,)), x * x, fb.zeros_like(x))

    for function in (fb.checkpoint(dropped), fb.compile(fb.checkpoint(dropped))):
        x = fb.asarray(np.arange(1.0, 65.0), dtype=fb.float32, requires_grad=True)
        y = function(x)
        fb.sum(y).backward()
        assert x.grad is not None
        expected = np.where(y.numpy() != 0, 2 * x.numpy(), 0)
        np.testing.assert_array_equal(x.grad.numpy(), expected)
        assert 0 < np.count_nonzero(expected) < 64
