"""A split is one node, whose gradient adds and pads nothing."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as fb
from flambeau.engine.executors import use_executor


def names(fn: object, *args: object) -> list[str]:
    return [node.primitive.name for node in fb.trace(fn, *args).graph.nodes]


def test_parts_are_put_together_again() -> None:
    def fn(x: fb.Tensor) -> fb.Tensor:
        a, b, c = fb.split(x, (2, 3, 1), axis=1)
        return (a * a).sum() + fb.exp(b).sum() + c.sum()

    found = names(fb.grad(fn), fb.ones((4, 6)))
    assert found.count("concatenate") == 1
    assert "pad" not in found


def test_a_part_that_is_not_used_has_a_gradient_of_zeros(both_executors: str) -> None:
    x = fb.asarray(np.arange(6.0), requires_grad=True)
    a, _, c = fb.split(x, 2)
    (a * c).sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), [4, 5, 0, 0, 0, 1])


def test_what_is_only_concatenated_is_written_there() -> None:
    def step(x: fb.Tensor) -> fb.Tensor:
        a, b = fb.split(x, 4, axis=1)
        c, d = fb.exp(a) * b, fb.exp(a) - b
        return fb.concat([c, d], axis=1)

    x = fb.asarray(np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32))
    assert len(fb.explain(step, x).rows) == 1
    with use_executor("reference"):
        expected = step(x).numpy()
    np.testing.assert_allclose(step(x).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("sizes", [(2, 2), (5,), ()])
def test_sizes_that_do_not_add_up(sizes: tuple[int, ...]) -> None:
    if sizes == (5,):
        assert len(fb.split(fb.ones(5), sizes)) == 1
        return
    with pytest.raises(fb.errors.ShapeError, match="split: "):
        fb.split(fb.ones(5), sizes)
