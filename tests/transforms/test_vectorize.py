from __future__ import annotations

import gc

import numpy as np
import pytest
from support import close, sin, tensor, total

from flambeau.counts import COUNTS
from flambeau.engine.tape import THREAD
from flambeau.errors import OperandError, ShapeError, TraceError
from flambeau.transforms.gradient import grad
from flambeau.transforms.vectorize import vmap

A = np.arange(6.0).reshape(2, 3) / 7
V = np.array([1.0, -2.0, 0.5])


def rows(f, *args):
    return np.stack([f(*[tensor(a) for a in row]).numpy() for row in zip(*args, strict=True)])


def test_rows_alone_and_together():
    def f(x, y):
        return sin(x) @ y + total(x * y)

    close(vmap(f)(tensor(A), tensor(A + 1)), rows(f, A, A + 1))


def test_shared_argument_and_axes():
    close(vmap(lambda x, y: x * y, in_axes=(0, None))(tensor(A), tensor(V)), A * V)
    close(vmap(lambda x: x * 2, in_axes=1)(tensor(A)), 2 * A.T)
    close(vmap(lambda x: x * 2, in_axes=-1, out_axes=1)(tensor(A)), 2 * A)
    close(vmap(lambda x: x[0:2], out_axes=-1)(tensor(A)), A[:, :2].T)


def test_trees_of_axes():
    out = vmap(
        lambda d: {"s": d["a"] * d["b"], "c": d["b"]},
        in_axes=({"a": 0, "b": None},),
        out_axes={"s": 1, "c": None},
    )({"a": tensor(A), "b": tensor(V)})
    close(out["s"], (A * V).T)
    close(out["c"], V)


def test_captured_tensors_and_numbers():
    w, k = tensor(V), 3.0
    close(vmap(lambda x: (x * w) @ w * k)(tensor(A)), (A * V) @ V * k)


def test_result_without_batch_is_repeated():
    close(vmap(lambda x: tensor(V))(tensor(A)), np.stack([V, V]))
    close(vmap(lambda x: 5.0)(tensor(A)), [5.0, 5.0])


def test_nested():
    close(vmap(vmap(lambda x: x * x))(tensor(A)), A * A)
    outer = vmap(lambda x: vmap(lambda y: x * y)(tensor(V)))(tensor(V))
    close(outer, np.outer(V, V))


def test_gradient_of_vmap_and_vmap_of_gradient():
    def f(x):
        return total(sin(x) * x)

    close(vmap(grad(f))(tensor(A)), np.sin(A) + A * np.cos(A))
    close(grad(lambda a: total(vmap(f)(a)))(tensor(A)), np.sin(A) + A * np.cos(A))
    w = tensor(V, requires_grad=True)
    total(vmap(grad(lambda x: total(x * x * w)))(tensor(A))).backward()
    close(w.grad, 2 * A.sum(0))


def test_second_call_makes_no_plan():
    f = vmap(lambda x: sin(x) * 0.5)
    f(tensor(A)).numpy()
    before = COUNTS.plans
    f(tensor(A + 1)).numpy()
    assert COUNTS.plans == before


def test_captured_tensors_are_let_go_of_at_once():
    # what a finished trace still held would count as alive, and make another plan
    box = {}
    f = vmap(lambda x: x * box["w"])
    gc.disable()
    try:
        counts = []
        for _ in range(4):
            box["w"] = tensor(V) * 2.0
            y = f(tensor(A)) * 3.0
            box.clear()
            y.numpy()
            counts.append(COUNTS.plans)
    finally:
        gc.enable()
    assert counts[1] == counts[3]


def test_looking_at_a_value_names_the_line():
    def f(x):
        if x > 0:  # the line
            return x
        return -x

    tape = THREAD.tape
    with pytest.raises(
        TraceError, match=r"(?s)inside vmap\(f\).*test_vectorize.py:\d+ in f: if x > 0:  # the line"
    ):
        vmap(f)(tensor(V))
    assert THREAD.tape is tape


def test_sizes_differ():
    with pytest.raises(
        ShapeError, match=r"argument \[0\] has 2 examples along its batch axis and argument \[1\] has 3"
    ):
        vmap(lambda x, y: x)(tensor(A), tensor(V))


def test_no_batch_axis():
    with pytest.raises(OperandError, match="no argument has a batch axis"):
        vmap(lambda x: x, in_axes=None)(tensor(A))


def test_axis_out_of_range():
    with pytest.raises(ShapeError, match=r"axis 2 is out of range for argument \[0\] of shape \(2, 3\)"):
        vmap(lambda x: x, in_axes=2)(tensor(A))


def test_out_axes_none_for_a_batched_result():
    with pytest.raises(OperandError, match="out_axes is None for the result"):
        vmap(lambda x: x, out_axes=None)(tensor(A))


def test_result_that_is_no_tensor():
    with pytest.raises(OperandError, match="the result is a str"):
        vmap(lambda x: "no")(tensor(A))
