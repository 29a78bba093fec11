"""Evaluation: what is computed when, what stays pending, and that no memory anyone sees changes."""

from __future__ import annotations

import copy
import gc
import pickle
from collections.abc import Iterator

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn, optim
from flambeau.counts import COUNTS
from flambeau.engine import executors
from flambeau.engine.evaluate import realize
from flambeau.engine.native import NativeExecutor
from flambeau.engine.tape import THREAD
from flambeau.graph.builder import Var
from flambeau.primitives.elementwise import add, mul
from flambeau.tensor import Tensor

X = np.array([0.5, -1.5, 2.0])


def pending(x: Tensor) -> bool:
    return x._value.data is None


class Watching(NativeExecutor):
    """Notes the operations of every program that is prepared."""

    def __init__(self) -> None:
        super().__init__()
        self.programs: list[list[str]] = []

    def prepare(self, graph, donated, numbers, weights):  # type: ignore[no-untyped-def]
        self.programs.append([n.primitive.name for n in graph.nodes if n.primitive.name != "constant"])
        return super().prepare(graph, donated, numbers, weights)


@pytest.fixture
def watching() -> Iterator[Watching]:
    made = Watching()
    token = executors._ACTIVE.set(made)
    yield made
    executors._ACTIVE.reset(token)


# --- when ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "look",
    [
        repr, str, Tensor.numpy, Tensor.tolist, lambda x: x[0].item(), lambda x: bool(x[0] > 0), np.asarray,
        lambda x: float(x[0]), lambda x: list(map(float, x)), copy.deepcopy, pickle.dumps,
        lambda x: int(x[2]), np.from_dlpack,
    ],
)  # fmt: skip
def test_looking_evaluates(both_executors: str, look: object) -> None:
    y = fb.asarray(X) * 2.0
    assert pending(y)
    look(y)  # type: ignore[operator]
    np.testing.assert_array_equal(y.numpy(), X * 2)


def test_nothing_else_does(both_executors: str) -> None:
    runs = COUNTS.runs
    x = fb.asarray(X, requires_grad=True)
    y = fb.sum(fb.exp(x) * 2.0)
    y.backward()
    assert (y.shape, y.dtype, y.ndim, y.size, x.requires_grad, y.is_leaf, y.device.kind) == (
        (), fb.float64, 0, 1, True, False, "cpu",
    )  # fmt: skip
    assert x.grad is not None and x.grad.shape == (3,)
    assert COUNTS.runs == runs
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp(X), rtol=1e-15)


def test_a_condition_evaluates_only_what_it_needs(watching: Watching) -> None:
    x = fb.asarray(X)
    other = fb.exp(fb.asarray(X + 1))
    if (x > 0)[0]:
        pass
    assert "exp" not in watching.programs[-1]
    assert pending(other)
    np.testing.assert_allclose(other.numpy(), np.exp(X + 1))


# --- what ------------------------------------------------------------------------------------


def test_live_values_that_share_ancestors_come_along(watching: Watching) -> None:
    x = fb.asarray(X)
    shared = fb.exp(x)
    a, b = shared + 1.0, shared * 2.0
    a.numpy()
    assert not pending(b) and not pending(shared)
    assert len(watching.programs) == 1 and watching.programs[0].count("exp") == 1
    np.testing.assert_allclose(b.numpy(), np.exp(X) * 2)


def test_the_results_of_one_entry_come_together() -> None:
    def apart(x: Var, y: Var) -> tuple[Var, Var]:
        return mul(x, 2.0), add(y, 1.0)

    x, y = fb.ones(3), fb.zeros(3)
    x.numpy(), y.numpy()
    a, b = (Tensor(value) for value in THREAD.tape.record(apart, (), (x._value, y._value)))
    assert pending(a) and pending(b)
    assert a.tolist() == [2.0] * 3
    assert not pending(b) and b.tolist() == [1.0] * 3


def test_others_stay_pending_and_usable(watching: Watching) -> None:
    x = fb.asarray(X)
    a, b = fb.exp(x), fb.sin(x)
    c = b * 3.0
    a.numpy()
    assert pending(b) and pending(c)
    assert watching.programs == [["exp"]]
    d = c + a  # carried over, and combined with what was computed
    np.testing.assert_allclose(d.numpy(), np.sin(X) * 3 + np.exp(X))
    assert not pending(b)


def test_carrying_over_keeps_numbers_apart() -> None:
    x = fb.asarray(X)
    kept = [fb.asarray(X + i) * float(i) + float(10 * i) for i in range(5)]
    for i in range(5):
        (x * 100.0 + float(i)).numpy()  # leaves all others pending each time
        assert all(pending(k) for k in kept)
    for i in (3, 0, 4, 1, 2):
        np.testing.assert_allclose(kept[i].numpy(), (X + i) * i + 10 * i)


def test_carrying_over_keeps_gradients() -> None:
    x, w = fb.asarray(X, requires_grad=True), fb.asarray(X + 1, requires_grad=True)
    y = fb.sum(fb.exp(x) * x)
    z = fb.sum(fb.sin(w))
    y.item()
    assert pending(z)
    (z + y).backward()
    assert x.grad is not None and w.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), np.exp(X) * (1 + X))
    np.testing.assert_allclose(w.grad.numpy(), np.cos(X + 1))


def test_the_dead_are_not_computed(watching: Watching) -> None:
    x = fb.asarray(X)
    y = fb.exp(x)
    z = x + 1.0
    w = z * fb.erf(x)
    del y, w
    z.numpy()
    assert "exp" not in watching.programs[0] and "erf" not in watching.programs[0]


def test_a_result_is_computed_once(watching: Watching) -> None:
    x = fb.asarray(X, requires_grad=True)
    h = fb.erf(x)
    loss = fb.sum(h * h)
    loss.item()
    loss.backward()
    assert x.grad is not None
    x.grad.numpy()
    assert sum(p.count("erf") for p in watching.programs) == 1


def test_random_and_equal_operations_run_once_in_a_program(watching: Watching) -> None:
    x = fb.asarray(X)
    (fb.exp(x) + fb.exp(x)).numpy()
    assert watching.programs[-1].count("exp") == 1


def test_an_output_that_is_an_input_or_a_view_of_it() -> None:
    x = fb.asarray(np.arange(6.0))
    views = [
        +x,
        fb.reshape(x, (2, 3)),
        fb.permute_dims(fb.reshape(x, (2, 3)), (1, 0)),
        x.detach(),
        fb.flip(x),
    ]
    for _ in range(2):
        for v in views:
            v.numpy()
    np.testing.assert_array_equal(views[2].numpy(), np.arange(6.0).reshape(2, 3).T)
    np.testing.assert_array_equal(views[4].numpy(), np.arange(6.0)[::-1])
    x += 1.0
    np.testing.assert_array_equal(views[1].numpy(), np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 4, 0), (1, 1), ()])
def test_empty_and_single(both_executors: str, shape: tuple[int, ...]) -> None:
    x = fb.asarray(np.ones(shape, np.float32))
    np.testing.assert_array_equal((x * 2 + 1).numpy(), np.full(shape, 3, np.float32))
    np.testing.assert_array_equal(fb.sum(x).numpy(), np.float32(np.prod(shape)))
    if len(shape) > 1:
        other = fb.asarray(np.ones((*shape[:-2], shape[-1], 5), np.float32))
        np.testing.assert_array_equal((x @ other).numpy(), np.ones(shape) @ np.ones(other.shape))


def test_a_program_of_many_axes() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((2, 3, 2, 1, 3, 2, 2, 1, 3, 2, 2))
    x = fb.permute_dims(fb.asarray(a), tuple(range(10, -1, -1)))
    y = fb.flip(x, axis=(0, 3, 7)) * 2.0 + x
    expected = np.flip(a.transpose(), (0, 3, 7)) * 2 + a.transpose()
    np.testing.assert_array_equal(y.numpy(), expected)
    np.testing.assert_allclose(fb.sum(y, axis=(0, 2, 5, 9)).numpy(), expected.sum((0, 2, 5, 9)), atol=1e-12)
    np.testing.assert_array_equal(fb.reshape(y, (-1,)).numpy(), expected.reshape(-1))


# --- memory ----------------------------------------------------------------------------------


def test_views_detached_tensors_and_exports_never_change() -> None:
    x = fb.asarray(np.arange(64.0))
    (x + 0.0).numpy()
    seen = x.numpy()
    detached, alias, exported = x.detach(), +x, np.from_dlpack(x)
    before = seen.copy()
    for _ in range(10):
        x += 1.0
        x[3] = -1.0
        x *= 2.0
        x.numpy()
    for other in (seen, detached.numpy(), alias.numpy(), exported):
        np.testing.assert_array_equal(other, before)
    assert not seen.flags.writeable


def test_a_view_keeps_its_memory() -> None:
    x = fb.asarray(np.arange(1000.0)) + 1.0
    seen = x.numpy()
    before = seen.copy()
    del x
    gc.collect()
    more = [(fb.asarray(np.full(1000, float(i))) * 2.0).numpy() for i in range(50)]
    np.testing.assert_array_equal(seen, before)
    assert len(more) == 50


def test_weights_seen_before_a_step_stay_as_they_were() -> None:
    net = nn.Linear(6, 4)
    rule = optim.SGD(net.parameters(), 0.5, momentum=0.9)
    seen = []
    for _ in range(4):
        state = net.state_dict()
        seen.append((net.weight.numpy(), net.weight.numpy().copy(), state["weight"]))
        rule.zero_grad()
        fb.sum(net(fb.ones((3, 6)))).backward()
        rule.step()
    for view, then, kept in seen:
        np.testing.assert_array_equal(view, then)
        np.testing.assert_array_equal(kept.numpy(), then)


def test_foreign_memory_is_copied_or_borrowed_but_not_written() -> None:
    source = np.arange(8.0)
    copied, borrowed = fb.asarray(source), fb.asarray(source, copy=False)
    borrowed += 1.0
    borrowed *= 3.0
    borrowed.numpy()
    np.testing.assert_array_equal(source, np.arange(8.0))
    source[0] = 100.0
    assert copied.tolist()[0] == 0.0


def test_in_place_updates_reuse_memory_where_nobody_sees_it() -> None:
    x = fb.asarray(np.zeros(4096, np.float32))
    x += 1.0
    realize(x._value)
    at = x._value.data.ptr
    for _ in range(3):
        x += 1.0
        realize(x._value)
    assert x._value.data.ptr == at
    np.testing.assert_array_equal(x.numpy(), np.full(4096, 4, np.float32))


def test_nothing_pending_is_overwritten() -> None:
    """A value that pending work still reads is not given away."""
    x = fb.asarray(np.arange(16.0))
    old = x
    later = fb.asarray(np.ones(16)) * x  # pending, reads x
    x = x + 1.0
    del old
    x.numpy()
    np.testing.assert_array_equal(later.numpy(), np.arange(16.0))


def test_results_do_not_depend_on_what_was_evaluated_before(both_executors: str) -> None:
    found = []
    for look in range(8):
        x = fb.asarray(X)
        a = x * 2.0
        if look & 1:
            a.numpy()
        b = a + x
        if look & 2:
            b.numpy()
        a *= b
        if look & 4:
            a.numpy()
        found.append((a - b).numpy().tobytes())
    assert len(set(found)) == 1
    assert THREAD.tape.error is None
