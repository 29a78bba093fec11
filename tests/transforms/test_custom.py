from __future__ import annotations

import numpy as np
import pytest
from support import close, numeric, sin, tensor, total

from flambeau.counts import COUNTS
from flambeau.errors import GradientError, OperandError, ShapeError
from flambeau.transforms.checkpoint import checkpoint
from flambeau.transforms.custom import custom_function, host_call
from flambeau.transforms.forward import hessian, jvp
from flambeau.transforms.gradient import grad, value_and_grad
from flambeau.transforms.vectorize import vmap

X = np.array([0.3, -0.7, 1.2])


# --- checkpoint -----------------------------------------------------------------------------------


def plain(x, w):
    return total(sin(sin(x * w) * x))


def test_checkpoint_changes_no_value_and_no_gradient():
    f = checkpoint(plain)
    x, w = tensor(X), tensor(2.0)
    close(f(x, w), plain(x, w))
    for i in (0, 1):
        close(grad(f, i)(x, w), grad(plain, i)(x, w))
        close(hessian(f, i)(x, w), hessian(plain, i)(x, w))
    close(jvp(f, (x, w), (x, w))[1], jvp(plain, (x, w), (x, w))[1])
    rows = tensor(np.stack([X, -X]))
    close(vmap(grad(f), in_axes=(0, None))(rows, w), vmap(grad(plain), in_axes=(0, None))(rows, w))


def test_checkpoint_computes_again_for_the_gradient():
    calls = []

    def noted(v):
        return host_call(lambda a: calls.append(1) or a, v, v).detach()

    def f(v):
        return total(v * noted(v))

    value, gradient = value_and_grad(f)(tensor(X))
    close(value, X @ X)
    close(gradient, X)
    assert len(calls) == 1
    value, gradient = value_and_grad(checkpoint(f))(tensor(X))
    close(value, X @ X)
    close(gradient, X)
    assert len(calls) == 3


def test_checkpoint_captures_what_it_closes_over():
    w = tensor(2.0, requires_grad=True)
    total(checkpoint(lambda x: sin(x * w))(tensor(X))).backward()
    close(w.grad, numeric(lambda w: total(sin(tensor(X) * w)), 2.0))


def test_checkpoint_second_call_makes_no_plan():
    f = grad(checkpoint(lambda x: total(sin(sin(x)))))
    f(tensor(X)).numpy()
    before = COUNTS.plans
    f(tensor(X * 2)).numpy()
    assert COUNTS.plans == before


# --- custom_function --------------------------------------------------------------------------------

scaled = custom_function(lambda x, w: (x * w, (x, w)), lambda r, g: (r[1] * g, 10.0 * total(r[0] * g)))
triple = custom_function(lambda x: (x * x, x), lambda x, g: 3.0 * x * g)


def test_own_rule_is_used():
    x, w = tensor(X), tensor(2.0)
    close(scaled(x, w), X * 2.0)
    close(grad(lambda x, w: total(scaled(x, w)), 1)(x, w), 10 * X.sum())
    assert triple(tensor(3.0)).item() == 9.0
    assert grad(triple)(tensor(3.0)).item() == 9.0
    assert grad(grad(triple))(tensor(3.0)).item() == 3.0


def test_own_rule_with_backward():
    x = tensor(X, requires_grad=True)
    total(triple(x)).backward()
    close(x.grad, 3 * X)


def test_own_rule_under_vmap():
    close(vmap(grad(triple))(tensor(X)), 3 * X)
    close(grad(lambda x: total(vmap(triple)(x)))(tensor(X)), 3 * X)
    one = custom_function(lambda x, w: (x * w, (x, w)), lambda r, g: (r[1] * g, 10.0 * r[0] * g))
    # an argument all examples share collects from all of them
    close(grad(lambda w: total(vmap(one, in_axes=(0, None))(tensor(X), w)))(tensor(2.0)), 10 * X.sum())


def test_host_call_with_a_rule():
    sine = custom_function(lambda x: (host_call(np.sin, x, x), x), lambda x, g: host_call(np.cos, x, x) * g)
    close(grad(lambda x: total(sine(x)))(tensor(X)), np.cos(X))
    close(vmap(grad(sine))(tensor(X)), np.cos(X))


def test_several_results_and_none():
    both = custom_function(
        lambda x, n: ((x * 2.0, x.astype("int64")), None), lambda _, g, h: (g * 5.0, None) if h is None else 1
    )
    close(grad(lambda x: total(both(x, 3)[0]))(tensor(X)), np.full(3, 5.0))


@pytest.mark.parametrize(
    ("rule", "error", "message"),
    [
        (lambda r, g: g, GradientError, "backward returned a Tensor for 2 arguments"),
        (lambda r, g: (g, g, g), GradientError, "backward returned 3 gradients for 2 arguments"),
        (
            lambda r, g: (g[0:2], None),
            ShapeError,
            r"returned float64\[2\] as the gradient of argument \[0\], which is float64\[3\]",
        ),
        (lambda r, g: ("no", None), OperandError, r"the gradient of \[0\] is a str"),
    ],
)
def test_wrong_rules(rule, error, message):
    f = custom_function(lambda x, y: (x * y, None), rule)
    with pytest.raises(error, match=message):
        grad(lambda x: total(f(x, tensor(X))))(tensor(X))


def test_forward_without_residuals():
    f = custom_function(lambda x: x, lambda r, g: g)
    with pytest.raises(OperandError, match=r"forward returns \(result, residuals\), not Tensor"):
        f(tensor(X))


def test_closing_over_what_needs_gradients():
    w = tensor(2.0, requires_grad=True)
    f = custom_function(lambda x: (x * w, None), lambda r, g: g)
    with pytest.raises(GradientError, match="without taking it as an argument"):
        f(tensor(X))


def test_no_forward_mode():
    with pytest.raises(GradientError, match="a custom_function has a rule for reverse mode only"):
        jvp(triple, (tensor(1.0),), (tensor(1.0),))
