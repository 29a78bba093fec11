from __future__ import annotations

import numpy as np
import pytest
from support import close, log, sin, tensor, total

from flambeau.dtypes import float32, float64
from flambeau.errors import GradientError, NonFiniteError, OperandError, ShapeError, TraceError
from flambeau.graph.dims import Dim
from flambeau.graph.types import TensorType
from flambeau.graph.verifier import verify
from flambeau.transforms.anomaly import detect_anomaly
from flambeau.transforms.check import gradcheck, gradgradcheck
from flambeau.transforms.custom import custom_function
from flambeau.transforms.gradient import grad
from flambeau.transforms.trace import trace

X = np.array([0.3, 0.7])


# --- gradcheck ------------------------------------------------------------------------------------


def test_right_gradients():
    assert gradcheck(
        lambda d: {"a": log(d["x"]) * d["n"]}, ({"x": tensor(X), "n": tensor(2, dtype=np.int64)},)
    )
    assert gradgradcheck(lambda x, y: sin(x) * y * y, (tensor(X), tensor(2.0)))


def test_wrong_gradient_names_the_place():
    wrong = custom_function(lambda x, y: (x * y, (x, y)), lambda r, g: (r[1] * g, r[0] * g * 1.5))
    with pytest.raises(
        GradientError,
        match=r"the gradient of input \[1\]\['y'\] at index \(1,\) is 0.*, but differences give 0.",
    ):
        gradcheck(lambda x, d: wrong(x, d["y"]) * tensor([0.0, 1.0]), (tensor(X), {"y": tensor(X)}))


def test_wrong_second_gradient():
    wrong = custom_function(lambda x: (x * x, x), lambda x, g: 2.0 * x.detach() * g)
    assert gradcheck(wrong, (tensor(X),))
    with pytest.raises(GradientError, match="differences give"):
        gradgradcheck(wrong, (tensor(X),))


def test_float32_is_refused():
    with pytest.raises(OperandError, match=r"input \[0\] is float32; differences need float64"):
        gradcheck(sin, (tensor(X, dtype=np.float32),))


# --- anomaly ---------------------------------------------------------------------------------------


def test_forward_anomaly_names_the_line():
    def f(x):
        y = x - 1.0
        return log(y) * 2.0

    with (
        pytest.raises(
            NonFiniteError,
            match=r"(?s)log made a NaN of finite operands at index \(1,\), in the forward pass.*support.py",
        ),
        detect_anomaly(),
    ):
        kept = f(tensor([2.0, 0.5]))  # noqa: F841


def test_gradient_anomaly():
    x = tensor([4.0, 0.0], requires_grad=True)
    with (
        pytest.raises(
            NonFiniteError,
            match=r"(?s)made an infinity of finite operands at index \(1,\), while its gradient was computed",
        ),
        detect_anomaly(),
    ):
        total(x**0.5 * 1.0).backward()


def test_no_anomaly():
    with detect_anomaly():
        y = tensor([1.0, np.inf]) * 2.0  # not finite before
        g = grad(lambda x: total(log(x)))(tensor(X))
    close(g, 1 / X)
    assert np.isinf(y.numpy()[1])


def test_what_came_before_is_not_looked_at():
    y = log(tensor([-1.0]))
    with detect_anomaly():
        z = tensor([1.0]) * 2.0
    assert np.isnan(y.numpy()[0])
    assert z.item() == 2.0


# --- trace ------------------------------------------------------------------------------------------


def test_trace_is_readable():
    w = tensor(X)

    def f(d):
        return d["x"] * w * 3.0

    traced = trace(f, {"x": tensor(X)})
    text = str(traced)
    assert text.startswith("f(x0: float64[2], x1: float64[2], x2: float64[]) -> (float64[2])")
    assert "mul(x0, x1)" in text
    assert "test_check.py:" in text
    assert traced.names == ("[0]['x']",)
    assert traced.captured == (w._value,)
    assert traced.numbers == (3.0,)
    verify(traced.graph)


def test_symbolic_sizes():
    seen = []

    def f(x, y):
        seen.append(x.shape[0])
        return total(x @ y)

    traced = trace(f, TensorType((4, 2), float32), TensorType((2, 5), float32), dims={"x": {0: "batch"}})
    assert seen == [Dim.named("batch")]
    assert "float32[batch, 5]" in str(traced)
    verify(traced.graph)
    n = Dim.named("n", min=2)
    verify(trace(lambda x: grad(lambda v: total(v * v))(x), TensorType((n, 3), float64)).graph)


def test_symbolic_sizes_that_there_are_not():
    with pytest.raises(OperandError, match="dims names the argument 'z'"):
        trace(lambda x: x, tensor(X), dims={"z": {0: "n"}})
    with pytest.raises(ShapeError, match="argument 0 has no axis 3"):
        trace(lambda x: x, tensor(X), dims={0: {3: "n"}})


def test_trace_computes_nothing():
    with pytest.raises(TraceError, match=r"inside trace\(<lambda>\)"):
        trace(lambda x: x.numpy(), tensor(X))
