from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
from support import close, no_grad, numeric, sin, tensor, total

from flambeau.counts import COUNTS
from flambeau.engine.executors import use_executor
from flambeau.engine.tape import THREAD
from flambeau.errors import GradientError, OperandError, ShapeError
from flambeau.tensor import Tensor
from flambeau.transforms.forward import hessian, jacobian, jvp
from flambeau.transforms.gradient import grad, value_and_grad, vjp
from flambeau.transforms.vectorize import vmap

X = np.array([0.3, -0.7, 1.2])
A = np.array([[1.0, 2.0, -1.0], [0.5, -3.0, 2.0]])


def f(x):
    return total(sin(x * x) * x)


def g(x):
    return sin(tensor(A) @ x) * 2.0


def test_gradient_against_differences():
    close(grad(f)(tensor(X)), numeric(f, X))


def test_value_and_gradient():
    value, gradient = value_and_grad(f)(tensor(X))
    close(value, f(tensor(X)))
    close(gradient, numeric(f, X))
    assert not value.requires_grad
    assert not gradient.requires_grad


@pytest.mark.parametrize("order", [2, 3, 4])
def test_gradient_of_gradient(order):
    h = lambda x: sin(x * 2.0) * x  # noqa: E731
    for _ in range(order - 1):
        h = grad(h)
    close(grad(h)(tensor(0.4)), numeric(h, 0.4), rtol=1e-5)


def test_no_confusion_of_perturbations():
    one = tensor(1.0)
    assert grad(lambda x: x * grad(lambda y: x + y)(one))(one).item() == 1.0
    # inner argument and captured variable are the same tensor
    assert grad(lambda x: x * grad(lambda y: x * y)(x))(tensor(3.0)).item() == 6.0
    # two fresh copies of one tensor, one inside the other
    x = tensor(3.0)
    assert grad(lambda y: grad(lambda z: y * z)(x))(x).item() == 1.0


def test_same_tensor_twice_has_separate_gradients():
    x = tensor(2.0)
    a, b = grad(lambda x, y: x * x * y, argnums=(0, 1))(x, x)
    assert (a.item(), b.item()) == (8.0, 4.0)


def test_data_dependent_branch():
    def h(x):
        return x * x if x > 1 else -x

    assert grad(h)(tensor(3.0)).item() == 6.0
    assert grad(h)(tensor(0.5)).item() == -1.0
    assert grad(grad(h))(tensor(3.0)).item() == 2.0

    # the value is looked at in the middle, and the argument used again after it
    def k(x):
        y = x * x
        return y * x if y > 0 else y

    close(grad(grad(k))(tensor(2.0)), 12.0)


class Point(NamedTuple):
    x: object
    y: object


@dataclass
class Params:
    w: Tensor
    rest: dict


def test_trees_of_arguments():
    params = Params(tensor(2.0), {"b": [tensor(3.0), None], "p": Point(tensor(4.0), tensor(5.0))})

    def h(p):
        return p.w * p.rest["b"][0] + p.rest["p"].x * p.rest["p"].x

    found = grad(h)(params)
    assert isinstance(found, Params)
    assert found.w.item() == 3.0
    assert found.rest["b"][0].item() == 2.0
    assert found.rest["b"][1] is None
    assert isinstance(found.rest["p"], Point)
    assert found.rest["p"].x.item() == 8.0
    assert found.rest["p"].y.item() == 0.0


def test_aux():
    gradient, aux = grad(lambda x: (x * x, {"twice": x * 2, "note": "hello"}), has_aux=True)(tensor(3.0))
    assert gradient.item() == 6.0
    assert aux["twice"].item() == 6.0
    assert not aux["twice"].requires_grad
    assert aux["note"] == "hello"


def test_numbers_are_arguments():
    assert grad(lambda x: x * x)(3.0).item() == 6.0


def test_constant_has_zero_gradient():
    assert grad(lambda x: tensor(5.0))(tensor(1.0)).item() == 0.0
    assert grad(lambda x, y: y * y, argnums=0)(tensor(1.0), tensor(2.0)).item() == 0.0


def test_gradient_flows_to_leaves_outside():
    w = tensor([1.0, 2.0], requires_grad=True)
    x = tensor([3.0, 4.0])
    inner = grad(lambda x: total(x * x * w * w))(x)
    assert inner.requires_grad
    total(inner * inner).backward()
    close(w.grad, 16 * np.array([1.0, 2.0]) ** 3 * np.array([9.0, 16.0]))


def test_unrolled_optimization_is_differentiated():
    def trained(rate):
        w = tensor(1.0)
        for _ in range(3):
            w = w - rate * grad(lambda v: sin(v * v))(w)
        return w * w

    close(grad(trained)(tensor(0.1)), numeric(trained, 0.1), rtol=1e-6)


def test_no_grad_inside_and_outside():
    def h(x):
        with no_grad():
            c = x * x
        return c * x

    assert grad(h)(tensor(3.0)).item() == 9.0
    with no_grad():
        value, gradient = value_and_grad(lambda x: x * x)(tensor(3.0, requires_grad=True))
    assert gradient.item() == 6.0
    assert not value.requires_grad
    assert not gradient.requires_grad


def test_vjp_may_be_called_again():
    x = tensor(X)
    y, pull = vjp(g, x)
    jac = numeric(g, X)
    for c in ([1.0, 0.0], [0.0, 1.0], [2.0, -3.0]):
        close(pull(tensor(c))[0], np.array(c) @ jac)
    assert not y.requires_grad


def test_vjp_of_trees_and_integers():
    out, pull = vjp(
        lambda x, d: {"a": x * d["k"], "n": x.astype("int64")}, tensor([1.0, 2.0]), {"k": tensor(5.0)}
    )
    gx, gd = pull({"a": tensor([1.0, 10.0]), "n": out["n"]})
    close(gx, [5.0, 50.0])
    close(gd["k"], 21.0)


def test_vjp_inside_vmap():
    x = tensor(X)
    _, pull = vjp(g, x)
    rows = vmap(pull)(tensor(np.eye(2)))[0]
    close(rows, numeric(g, X))
    assert not rows.requires_grad
    both = vmap(lambda x: vmap(vjp(g, x)[1])(tensor(np.eye(2)))[0])(tensor([X, -X]))
    close(both, np.stack([numeric(g, X), numeric(g, -X)]))


def test_forward_over_reverse_and_reverse_over_forward():
    d = np.array([1.0, -2.0, 0.5])
    h = numeric(grad(f), X)
    close(jvp(grad(f), (tensor(X),), (tensor(d),))[1], h @ d)
    close(grad(lambda x: jvp(f, (x,), (tensor(d),))[1])(tensor(X)), h @ d)


@pytest.mark.parametrize("mode", ["auto", "reverse", "forward"])
def test_jacobian(mode):
    close(jacobian(g, mode=mode)(tensor(X)), numeric(g, X))
    both = jacobian(lambda x, y: {"r": g(x * y)}, argnums=(0, 1), mode=mode)(tensor(X), tensor(2.0))["r"]
    close(both[0], numeric(lambda x: g(x * 2.0), X))
    close(both[1], numeric(lambda y: g(tensor(X) * y), 2.0))


def test_hessian():
    close(hessian(f)(tensor(X)), numeric(grad(f), X), rtol=1e-5)
    rows = np.stack([X, 2 * X])
    close(vmap(hessian(f))(tensor(rows)), np.stack([numeric(grad(f), r) for r in rows]), rtol=1e-5)


def test_hessian_of_vmap():
    rows = np.stack([X, 2 * X])
    h = hessian(lambda a: total(vmap(f)(a)))(tensor(rows)).numpy()
    close(h[0, :, 0], numeric(grad(f), X), rtol=1e-5)
    close(h[1, :, 1], numeric(grad(f), 2 * X), rtol=1e-5)
    assert not h[0, :, 1].any()


def test_third_derivatives_by_all_routes():
    x = tensor(X)
    a = jacobian(hessian(f))(x)
    assert a.shape == (3, 3, 3)
    close(a, numeric(hessian(f), X), rtol=1e-4, atol=1e-6)
    close(a, jacobian(jacobian(grad(f), mode="reverse"), mode="reverse")(x))
    close(a, jacobian(jacobian(jacobian(f), mode="forward"), mode="reverse")(x))


def test_second_call_makes_no_plan():
    h = grad(lambda x: grad(f)(x) @ x)
    h(tensor(X)).numpy()
    hessian(f)(tensor(X)).numpy()
    before = COUNTS.plans
    h(tensor(2 * X)).numpy()
    hessian(f)(tensor(2 * X)).numpy()
    assert COUNTS.plans == before


def test_changing_numbers_make_no_plan():
    counts = []
    for rate in (0.1, 0.2, 0.3):
        grad(lambda x, rate=rate: total(sin(x) * rate))(tensor(X)).numpy()
        counts.append(COUNTS.plans)
    assert counts[1] == counts[2]


@pytest.mark.parametrize("name", ["reference", pytest.param("llvm", marks=pytest.mark.slow)])
def test_long_chains(name):
    def chain(x):
        for _ in range(100_000):
            x = x * 1.00001
        return x

    with use_executor(name):
        gradient = grad(chain)(tensor(1.0)).item()
    assert gradient == pytest.approx(1.00001**100_000, rel=1e-9)


def test_long_chain_inside_a_trace():
    def chain(x):
        for _ in range(10_000):
            x = x * 1.0001
        return x

    with use_executor("reference"):
        close(vmap(grad(chain))(tensor([1.0, 2.0])), np.full(2, 1.0001**10_000))
        close(jvp(chain, (tensor(1.0),), (tensor(1.0),))[1], 1.0001**10_000)


# --- errors ---------------------------------------------------------------------------------------


def test_vector_result():
    with pytest.raises(GradientError, match=r"returned a tensor of shape \(3,\).*use vjp or jacobian"):
        grad(lambda x: x * 2)(tensor(X))


def test_integer_argument():
    with pytest.raises(GradientError, match=r"argument 0\['n'\] is int64: only floating-point"):
        grad(lambda d: d["x"] * d["n"])({"x": tensor(1.0), "n": tensor(2, dtype=np.int64)})


def test_number_result():
    with pytest.raises(GradientError, match="returned a float, not a tensor"):
        grad(lambda x: 1.0)(tensor(1.0))


def test_argnums_out_of_range():
    with pytest.raises(OperandError, match="argnums names argument 2, but 1 positional"):
        grad(lambda x: x, argnums=2)(tensor(1.0))


def test_wrong_cotangent():
    _, pull = vjp(g, tensor(X))
    with pytest.raises(ShapeError, match=r"the cotangent is float64\[3\] where the value is float64\[2\]"):
        pull(tensor(X))
    with pytest.raises(OperandError, match="the cotangent has structure"):
        pull((tensor(X), None))


def test_failed_function_restores_everything():
    def broken(x):
        raise ValueError("mine")

    tape = THREAD.tape
    for transform in (grad(broken), vmap(broken), jacobian(broken), hessian(broken)):
        with pytest.raises(ValueError, match="mine"):
            transform(tensor(X))
    assert THREAD.tape is tape


def test_leak_from_a_trace():
    kept = []
    vmap(lambda x: kept.append(x) or x)(tensor(X))
    with pytest.raises(Exception, match=r"made inside vmap\(<lambda>\) was used outside"):
        kept[0] + 1
