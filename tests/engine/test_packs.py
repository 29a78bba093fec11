"""Weights that stay are packed once, and never read packed after they changed."""

from __future__ import annotations

import ctypes
import gc

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.engine.executors import use_executor
from flambeau.runtime import buffers


def _image_model() -> nn.Module:
    fb.random.seed(0)
    return nn.Sequential(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 128, 3, padding=1))


def _dense_model() -> nn.Module:
    fb.random.seed(0)
    return nn.Sequential(nn.Linear(512, 700), nn.ReLU(), nn.Linear(700, 512))


CASES = {
    "convolutions": (_image_model, (2, 32, 9, 9), 2),
    "products": (_dense_model, (40, 512), 2),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, fb.Tensor, int]:
    make, shape, packed = CASES[request.param]
    values = np.random.default_rng(1).standard_normal(shape, np.float32)
    return make(), fb.asarray(values), packed


def _run(model: nn.Module, x: fb.Tensor) -> tuple[np.ndarray, int]:
    """The result, and how many kernels were launched for it."""
    before = fb.stats().launches
    with fb.no_grad():
        result = model(x).numpy()
    return result, fb.stats().launches - before


def _settle(model: nn.Module) -> None:
    for p in model.parameters():
        p.numpy()


def test_later_runs_pack_nothing(case):
    model, x, packed = case
    expected, first = _run(model, x)
    for _ in range(3):
        result, later = _run(model, x)
        assert later == first - packed
        np.testing.assert_array_equal(result, expected)


def test_more_rows_find_the_weights_packed():
    model = _dense_model()
    rows = fb.asarray(np.random.default_rng(1).standard_normal((120, 512), np.float32))
    many, _ = _run(model, rows)
    few, launches = _run(model, rows[:40])
    assert launches == _run(model, rows[:40])[1]
    np.testing.assert_array_equal(few, many[:40])


def test_bits_are_those_of_weights_packed_at_each_run(case):
    model, x, _ = case
    _run(model, x)
    result, _ = _run(model, x)
    trained = model(x)  # with gradients, where weights are expected to change
    np.testing.assert_array_equal(result, trained.numpy())
    fb.mean(trained * trained).backward()


@pytest.mark.parametrize("how", ["optimizer", "assignment", "in place"])
def test_changed_weights_are_packed_again(case, how):
    model, x, packed = case
    old, first = _run(model, x)
    _run(model, x)
    if how == "optimizer":
        optimizer = fb.optim.SGD(model.parameters(), lr=0.1)
        fb.mean(model(x) ** 2).backward()
        optimizer.step()
    else:
        with fb.no_grad():
            for p in model.parameters():
                if how == "assignment":
                    p[...] = p * 1.5
                else:
                    p *= 1.5
    _settle(model)
    new, launches = _run(model, x)
    assert launches == first
    assert _run(model, x)[1] == first - packed
    assert not np.array_equal(new, old)
    with use_executor("reference"):
        expected, _ = _run(model, x)
    np.testing.assert_allclose(new, expected, rtol=1e-4, atol=1e-4)


def test_training_keeps_nothing(case):
    model, x, _ = case
    optimizer = fb.optim.SGD(model.parameters(), lr=1e-3)
    for look in (True, False):
        for _ in range(3):
            loss = fb.mean(model(x) ** 2)
            if look:
                loss.item()
            loss.backward()
            optimizer.step()
        assert loss.item() > 0.0
        assert not any(p._value.data.forms for p in model.parameters())


def test_forms_go_with_the_weights(case):
    model, x, _ = case
    gc.collect()
    before = buffers.stats().live_bytes
    _run(model, x)
    weights = [p for p in model.parameters() if p.ndim > 1]
    kept = buffers.stats().live_bytes - before
    assert kept >= sum(p.numpy().nbytes for p in weights)
    with fb.no_grad():
        for p in weights:
            p *= 1.0
    _settle(model)
    assert buffers.stats().live_bytes - before < kept / 2


def test_memory_that_others_may_write_to_is_packed_at_each_run():
    shared = np.random.default_rng(1).standard_normal((700, 512), np.float32)
    x = fb.ones((40, 512))
    borrowed = fb.asarray(shared, copy=False).requires_grad_()
    with fb.no_grad():
        for factor in (1.0, 2.0):
            shared *= factor
            result = (x @ borrowed.T).numpy()
            np.testing.assert_allclose(result[0], shared.sum(1), rtol=1e-3, atol=1e-3)
        lent = (borrowed * 1.0).requires_grad_()
        lent.numpy()
        first = (x @ lent.T).numpy()
        assert lent._value.data.forms
        array = np.from_dlpack(_Old(lent))  # NumPy itself would not write there
        memory = np.frombuffer((ctypes.c_float * array.size).from_address(array.ctypes.data), np.float32)
        for factor in (2.0, 4.0):
            memory *= 2.0
            np.testing.assert_array_equal((x @ lent.T).numpy(), factor * first)


class _Old:
    """A tensor as a reader of the old protocol sees it that must share its memory."""

    def __init__(self, x: fb.Tensor) -> None:
        self.x = x

    def __dlpack__(self, **_: object) -> object:
        return self.x.__dlpack__(copy=False)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.x.__dlpack_device__()


def test_few_forms_of_one_buffer_are_kept():
    buffer = buffers.Buffer(64)
    for key in range(100):
        buffer.keep(key, buffers.Buffer(64))
    assert buffer.forms is not None and 1 <= len(buffer.forms) <= 4 and 99 in buffer.forms


def test_explain_tells_what_is_kept(case):
    model, x, _ = case
    with fb.no_grad():
        found = fb.explain(model, x)
    weights = sum(p.numpy().nbytes for p in model.parameters() if p.ndim > 1)
    assert weights <= found.memory.weights <= 1.2 * weights
    assert "weights kept packed" in str(found)
    assert fb.explain(model, x).memory.weights == 0  # where gradients may be taken weights change
