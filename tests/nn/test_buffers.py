"""Buffers: registered, assigned, saved, copied and changed by compiled steps."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.errors import OperandError, TraceError, WeightsError


class Counter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", fb.zeros(2))
        self.register_buffer("scratch", fb.ones(1), persistent=False)
        self.register_buffer("later", None)

    def forward(self, x: fb.Tensor) -> fb.Tensor:
        with fb.no_grad():
            self.total = self.total + fb.sum(x, axis=0)
        return x + self.total


class Owner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(fb.ones(2))
        self.inner = Counter()


def test_names_and_state() -> None:
    net = Owner()
    assert [name for name, _ in net.named_buffers()] == ["inner.total", "inner.scratch"]
    assert [name for name, _ in net.named_buffers(recurse=False)] == []
    assert list(net.state_dict()) == ["scale", "inner.total"]
    assert [name for name, _ in net.named_parameters("net")] == ["net.scale"]
    assert net.get_buffer("inner.total") is net.inner.total
    with pytest.raises(AttributeError, match="get_buffer: inner has no buffer 'later'"):
        net.get_buffer("inner.later")


def test_assignment_keeps_a_buffer_a_buffer() -> None:
    net = Counter()
    held, given = net.total, fb.ones(2)
    net.total = given
    assert net.total is held and held.tolist() == [1.0, 1.0]
    net.total += 1
    assert given.tolist() == [1.0, 1.0], "the tensor that was assigned is another one"
    net.later = fb.zeros(3)
    assert list(net.state_dict()) == ["total", "later"]
    net.later = None
    assert net.later is None and list(net.state_dict()) == ["total"]
    with pytest.raises(
        OperandError, match=r"Counter\.total is a buffer: a tensor or None is needed, not float"
    ):
        net.total = 1.0  # type: ignore[assignment]
    net.total = nn.Parameter(fb.ones(2))
    assert [name for name, _ in net.named_parameters()] == ["total"]
    assert [name for name, _ in net.named_buffers()] == ["scratch"]
    del net.scratch
    assert not hasattr(net, "scratch") and not list(net.buffers())


def test_registering_takes_the_value() -> None:
    given = fb.zeros(2)
    net = nn.Module()
    net.register_buffer("x", given)
    net.x = net.x + 1
    assert given.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("a.b", fb.ones(1), "a buffer needs a name without dots, not 'a.b'"),
        ("", fb.ones(1), "a buffer needs a name without dots, not ''"),
        ("scale", fb.ones(1), "Owner has an attribute 'scale' already, which is no buffer"),
        ("forward", fb.ones(1), "Owner has an attribute 'forward' already"),
        ("x", np.ones(1), "register_buffer: 'x' needs a tensor that is no parameter, or None, not ndarray"),
        ("x", nn.Parameter(fb.ones(1)), "register_buffer: 'x' needs a tensor that is no parameter"),
    ],
)
def test_what_is_no_buffer(name: str, value: Any, message: str) -> None:
    with pytest.raises(OperandError, match=message):
        Owner().register_buffer(name, value)


def test_state_goes_round() -> None:
    one, two = Counter(), Counter()
    one(fb.ones((3, 2)))
    held = two.total
    two.load_state_dict(one.state_dict())
    assert two.total is held and two.total.tolist() == [3.0, 3.0]
    one(fb.ones((1, 2)))
    assert two.total.tolist() == [3.0, 3.0]
    with pytest.raises(WeightsError, match=r"missing: total float32\[2\]"):
        two.load_state_dict({})


@pytest.mark.parametrize("duplicate", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy])
def test_copies_have_buffers_of_their_own(duplicate: Any) -> None:
    one = Counter()
    one(fb.ones((3, 2)))
    two = duplicate(one)
    assert two.total is dict(two.named_buffers())["total"]
    assert list(two.state_dict()) == ["total"]
    two(fb.ones((1, 2)))
    assert two.total.tolist() == [4.0, 4.0] and one.total.tolist() == [3.0, 3.0]
    two.later = fb.ones(1)
    assert "later" in two.state_dict()


def test_compiled_steps_change_buffers() -> None:
    net = Counter()
    step = fb.compile(net)
    for i in range(1, 5):
        assert step(fb.ones((3, 2))).tolist() == [[3.0 * i + 1] * 2] * 3
        assert net.total.tolist() == [3.0 * i] * 2
    assert len(step.explain()) == 1


def test_other_transformations_cannot() -> None:
    net = Counter()
    with pytest.raises(TraceError, match=r"Counter\.total is a buffer, and cannot be changed inside trace"):
        fb.trace(net, fb.ones((3, 2)))
    assert net.total.tolist() == [0.0, 0.0]


def test_gradients_do_not_go_through_what_was_counted() -> None:
    net = Counter()
    x = fb.ones((3, 2)).requires_grad_()
    fb.sum(net(x)).backward()
    assert x.grad is not None and x.grad.tolist() == [[1.0, 1.0]] * 3
    assert not net.total.requires_grad


def test_to_another_dtype() -> None:
    net = Owner()
    net.inner.later = fb.asarray([1, 2])
    scale = net.scale
    fb.sum(scale * 2.0).backward()
    held = net.inner.total
    assert net.to(fb.float64) is net
    assert net.scale is scale and scale.is_leaf and scale.requires_grad and scale.dtype is fb.float64
    assert scale.grad is not None and scale.grad.dtype is fb.float64
    assert net.inner.total is held and held.dtype is fb.float64
    assert net.inner.later.dtype is fb.int64
    assert net.to(dtype="bfloat16", device="cpu").scale.dtype is fb.bfloat16
    assert net.to("cpu").to(device=fb.cpu).to("float32").scale.dtype is fb.float32
    with pytest.raises(TypeError, match="to: a floating-point dtype is needed for parameters, not int64"):
        net.to(fb.int64)
    with pytest.raises(RuntimeError, match=r"device 'cuda' is not available"):
        net.to("cuda")
    net.scale.requires_grad_(False)
    net.to(fb.float64)
    assert not net.scale.requires_grad
