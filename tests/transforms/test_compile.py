from __future__ import annotations

import gc
import logging

import numpy as np
import pytest
from support import close, no_grad, sin, tensor, total

from flambeau.counts import COUNTS
from flambeau.engine.tape import THREAD, Cell
from flambeau.errors import CaptureError, OperandError, TraceError
from flambeau.tensor import Tensor
from flambeau.transforms.compile import compile
from flambeau.transforms.control_flow import cond
from flambeau.transforms.gradient import grad

X = np.array([0.3, -0.7, 1.2])


class Trainer:
    """Momentum, whose state is made at the first step; gradients set anew or added up."""

    def __init__(self, clear):
        self.w = tensor([[0.1, 0.2], [0.3, 0.4]], requires_grad=True)
        self.m = None
        self.count = tensor(0.0)
        self.clear = clear
        self.python_runs = 0

    def step(self, x, y):
        self.python_runs += 1
        d = x @ self.w - y
        loss = total(d * d)
        if self.clear:
            self.w.grad = None
        loss.backward()
        with no_grad():
            self.count += 1.0
            if self.m is None:
                self.m = self.w * 0.0
            self.m *= 0.9
            self.m += self.w.grad
            self.w -= self.m * (0.01 / self.count)
        return loss


@pytest.mark.parametrize("clear", [True, False])
def test_training_is_the_same_as_define_by_run(clear):
    random = np.random.default_rng(0)
    a, b = Trainer(clear), Trainer(clear)
    step = compile(b.step)
    for _ in range(8):
        x, y = random.normal(size=(3, 2)), random.normal(size=(3, 2))
        assert a.step(tensor(x), tensor(y)).item() == step(tensor(x), tensor(y)).item()
        for u, v in ((a.w, b.w), (a.m, b.m), (a.w.grad, b.w.grad), (a.count, b.count)):
            np.testing.assert_array_equal(u.numpy(), v.numpy())
    assert b.w.requires_grad
    assert b.w.is_leaf
    assert b.python_runs <= 4
    before, runs = COUNTS.plans, b.python_runs
    for _ in range(5):
        step(tensor(x), tensor(y)).numpy()
    assert COUNTS.plans == before
    assert b.python_runs == runs
    assert len(THREAD.tape.types) <= 2


def test_pure_function_joins_its_surroundings():
    f = compile(lambda x, k: sin(x) * k["a"])
    for _ in range(4):
        x = tensor(X, requires_grad=True)
        total(f(x * 2.0, {"a": tensor(3.0)})).backward()
        close(x.grad, 6 * np.cos(2 * X))
    close(grad(lambda x: total(f(x, {"a": tensor(3.0)})))(tensor(X)), 3 * np.cos(X))


def test_leaves_outside_get_gradients():
    w = tensor(X, requires_grad=True)
    f = compile(lambda x: total(x * w * w))
    for n in range(1, 5):
        f(tensor(X)).backward()
        close(w.grad, n * 2 * X * X)


def test_closed_over_tensor_is_read_at_each_call():
    w = tensor(1.0)
    f = compile(lambda x: x * w)
    for k in (1.0, 2.0, 3.0, 4.0):
        close(f(tensor(X)), k * X)
        w += 1.0


def test_a_detached_tensor_is_read_at_each_call():
    w = tensor(X, requires_grad=True)
    f = compile(lambda x: x * w.detach())
    for k in (1.0, 1.0, 1.0, 2.0, 3.0):
        with no_grad():
            w *= k
        expected = w.numpy() * X
        close(f(tensor(X)), expected)


def test_arguments_updated_in_place():
    def f(x):
        x *= 2.0
        return x + 1.0

    g, x = compile(f), tensor(X)
    for n in range(1, 5):
        close(g(x), 2**n * X + 1)
        close(x, 2**n * X)


def test_gradients_of_arguments():
    f = compile(lambda x: total(sin(x)).backward())
    x = tensor(X, requires_grad=True)
    for n in range(1, 5):
        assert f(x) is None
        close(x.grad, n * np.cos(X))


def test_running_statistics_beside_a_differentiable_result():
    mean = tensor(np.zeros(3))
    w = tensor(2.0, requires_grad=True)

    def f(x):
        with no_grad():
            mean.__imul__(0.5)
            mean.__iadd__(x * 0.5)
        return total(x * w - mean)

    g = compile(f)
    expected = np.zeros(3)
    for n in range(1, 5):
        g(tensor(X)).backward()
        expected = expected * 0.5 + X * 0.5
        close(mean, expected)
        close(w.grad, n * X.sum())
        assert not mean.requires_grad


def test_results_of_every_kind():
    w = tensor(2.0)
    f = compile(lambda x: {"y": x * w, "same": x, "w": w, "n": 3, "s": "text", "none": None})
    for _ in range(4):
        x = tensor(X)
        out = f(x)
        close(out["y"], 2 * X)
        assert out["same"] is x
        assert out["w"] is w
        assert (out["n"], out["s"], out["none"]) == (3, "text", None)


def test_kept_output_is_refreshed():
    class Model:
        last: Tensor

        def __call__(self, x):
            self.last = x * 2.0
            return self.last + 1.0

    model = Model()
    f = compile(model)
    for k in range(5):
        f(tensor(X + k))
        close(model.last, 2 * (X + k))


def test_cells_are_read_and_advanced():
    rate, step = Cell(0.5), Cell(0)

    def f(x):
        step.value += 1
        record = THREAD.tape.record
        from flambeau.primitives.elementwise import mul

        return Tensor(record(mul, (), (x._value, (rate, x.dtype))))

    g = compile(f)
    for k in range(1, 6):
        rate.value = 0.5 * k
        close(g(tensor(X)), 0.5 * k * X)
        assert step.value == k


def test_methods():
    class Scale:
        def __init__(self, k):
            self.k = tensor(k)

        @compile
        def __call__(self, x):
            return x * self.k

        @compile
        def twice(self, x):
            return x * self.k * 2.0

    a, b = Scale(2.0), Scale(3.0)
    for _ in range(4):
        close(a.twice(tensor(X)), 4 * X)
        close(b.twice(tensor(X)), 6 * X)


def test_inside_other_transforms():
    f = compile(lambda x: sin(x) * x)
    close(grad(grad(f))(tensor(0.3)), 2 * np.cos(0.3) - 0.3 * np.sin(0.3))
    close(cond(tensor(True, dtype=bool), f, f, tensor(0.3)), 0.3 * np.sin(0.3))


# --- what is recorded again, and why ----------------------------------------------------------------


def test_every_recording_is_explained(caplog):
    def f(x, n=1):
        return x * float(n)

    g = compile(f)
    with caplog.at_level(logging.INFO, logger="flambeau.compile"):
        g(tensor(X))
        g(tensor(X[:2]))
        g(tensor(np.stack([X, X])))
        g(tensor(X, dtype=np.float32))
        g(tensor(X))
        g(tensor(X), 2)
        g(tensor(X), 3)
        with no_grad():
            g(tensor(X), 3)
        g(tensor(X, requires_grad=True), 3)
    assert g.explain() == [
        "compile(f) is recorded: it is the first call",
        "compile(f) is recorded again: axis 0 of argument x changed from 3 to 2",
        "compile(f) is recorded again: argument x changed its shape from (2,) to (2, 3)",
        "compile(f) is recorded again: argument x changed its dtype from float64 to float32 and "
        "its shape from (2, 3) to (3,)",
        "compile(f) is recorded again: the arguments have another structure",
        "compile(f) is recorded again: argument n changed from 2 to 3",
        "compile(f) is recorded again: gradients were on and are off",
        "compile(f) is recorded again: gradients were off and are on",
    ]
    assert [r.message for r in caplog.records] == g.explain()


def test_tensor_it_closes_over_changes_its_type():
    box = [tensor(X)]
    f = compile(lambda: box[0] * 2.0)
    for _ in range(3):
        close(f(), 2 * X)
    box[0]._value = tensor(X[:2])._value
    close(f(), 2 * X[:2])
    assert f.explain()[-1].endswith("a tensor it closes over was float64[3] and is float64[2]")


def test_least_recently_used_is_dropped():
    f = compile(lambda x: x * 2.0, limit=2)
    for n in (1, 2, 3, 1):
        close(f(tensor(np.ones(n))), 2 * np.ones(n))
    assert repr(f) == "<compiled <lambda>: 2 signatures>"


# --- capture by agreement ---------------------------------------------------------------------------


def test_number_that_changed():
    k = [0.5]

    def f(x):
        return x * k[0]  # the line

    g = compile(f)
    g(tensor(X))
    k[0] = 0.25
    with pytest.raises(
        CaptureError, match=r"(?s)the number 0.5 is now 0.25.*test_compile.py:\d+ in f: .*# the line"
    ):
        g(tensor(X))


def test_branch_that_changed():
    flag = [True]
    g = compile(lambda x: sin(x) if flag[0] else -x)
    g(tensor(X))
    flag[0] = False
    with pytest.raises(
        CaptureError, match=r"(?s)sin giving float64\[3\] at first and neg giving.*test_compile.py"
    ):
        g(tensor(X))


def test_more_operations_the_second_time():
    n = [1]

    def f(x):
        for _ in range(n[0]):
            x = x * 2.0
        return x

    g = compile(f)
    g(tensor(X))
    n[0] = 2
    with pytest.raises(CaptureError, match=r"only the second has build giving|only the second has mul"):
        g(tensor(X))


def test_data_that_changed():
    data = [[1.0, 2.0, 3.0]]
    g = compile(lambda x: x * tensor(data[0]))
    g(tensor(X))
    data[0] = [1.0, 2.0, 4.0]
    with pytest.raises(
        CaptureError, match=r"made inside of it from Python data was \[1., 2., 3.\] and is \[1., 2., 4.\]"
    ):
        g(tensor(X))


def test_constant_result_that_changed():
    n = [1]
    g = compile(lambda x: (x, n[0]))
    g(tensor(X))
    n[0] = 2
    with pytest.raises(CaptureError, match="the results are not the same: 1 at first and 2 the second time"):
        g(tensor(X))


# --- failures ---------------------------------------------------------------------------------------


def test_failed_recording_changes_nothing():
    w = tensor(X, requires_grad=True)

    def f(x):
        total(w * x).backward()
        with no_grad():
            w.__isub__(w.grad)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        compile(f)(tensor(X))
    close(w, X)
    assert w.grad is None
    assert w.is_leaf


def test_failed_program_changes_nothing():
    table, count = tensor(X), tensor(0.0)

    def f(i):
        count.__iadd__(1.0)
        return table[i] * count

    g = compile(f)
    good, bad = tensor([0, 2], dtype=np.int64), tensor([0, 7], dtype=np.int64)
    for n in range(1, 4):
        close(g(good), X[[0, 2]] * n)
    with pytest.raises(IndexError):
        g(bad)
    assert count.item() == 3.0
    close(g(good), X[[0, 2]] * 4)


def test_value_looked_at_names_the_line():
    def f(x):
        return x if x[0] > 0 else -x

    with pytest.raises(TraceError, match=r"(?s)inside compile\(f\).*test_compile.py:\d+ in f"):
        compile(f)(tensor(X))


def test_argument_that_cannot_be_compared():
    with pytest.raises(OperandError, match="an argument is a set, which cannot be compared"):
        compile(lambda x, s: x)(tensor(X), {1})


def test_the_age_of_tensors_does_not_matter():
    old = tensor(np.zeros(2))
    gc.collect()  # the collector lists old objects after young ones, or among them once they are old too
    young = tensor(np.zeros(3))

    @compile
    def step(x):
        nonlocal old, young
        old += x
        young += x

    for _ in range(3):
        step(tensor(np.array(1.0)))
        gc.collect()
    assert (old.tolist(), young.tolist()) == ([3.0] * 2, [3.0] * 3)
