from __future__ import annotations

import numpy as np
import pytest
from support import close, exp, numeric, sin, tensor, total

from flambeau.counts import COUNTS
from flambeau.errors import DTypeError, GradientError, OperandError, ShapeError
from flambeau.transforms.compile import compile
from flambeau.transforms.control_flow import cond, scan, while_loop
from flambeau.transforms.custom import host_call
from flambeau.transforms.forward import hessian, jvp
from flambeau.transforms.gradient import grad, value_and_grad
from flambeau.transforms.vectorize import vmap

W, C, XS = 0.5, 1.1, np.array([0.1, -0.4, 0.3, 0.7])


def stepwise(w, c, xs):
    ys = []
    for i in range(len(XS)):
        c = sin(c * w) + xs[i]
        ys.append(c * c)
    return c * 2.0 + ys[0] + ys[1] + ys[2] + ys[3]


def scanned(w, c, xs, reverse=False):
    def body(carry, x):
        carry = sin(carry * w) + x
        return carry, carry * carry

    c, ys = scan(body, c, xs, reverse=reverse)
    return c * 2.0 + total(ys)


ARGS = (tensor(W), tensor(C), tensor(XS))


def test_scan_values():
    close(scanned(*ARGS), stepwise(*ARGS))
    last, ys = scan(lambda s, x: (s + x, s), tensor(0.0), tensor(XS), reverse=True)
    close(last, XS.sum())
    close(ys, np.cumsum(XS[::-1])[::-1] - XS)


@pytest.mark.parametrize("i", [0, 1, 2])
def test_scan_gradients(i):
    close(grad(scanned, i)(*ARGS), grad(stepwise, i)(*ARGS))
    close(hessian(scanned, i)(*ARGS), hessian(stepwise, i)(*ARGS))
    close(
        grad(lambda *a: total(grad(scanned, i)(*a)), i)(*ARGS),
        grad(lambda *a: total(grad(stepwise, i)(*a)), i)(*ARGS),
    )


def test_scan_backwards_in_time_has_gradients():
    f = lambda xs: scanned(ARGS[0], ARGS[1], xs, reverse=True)  # noqa: E731
    close(grad(f)(ARGS[2]), numeric(f, XS))


def test_scan_forward_mode():
    tangents = (tensor(1.0), None, tensor(XS))
    close(jvp(scanned, ARGS, tangents)[1], jvp(stepwise, ARGS, tangents)[1])


@pytest.mark.parametrize("axes", [(0, None, None), (None, 0, None), (None, None, 1), (0, None, 1)])
def test_scan_batched(axes):
    ws, cs, xss = np.array([W, 2 * W]), np.array([C, -C]), np.stack([XS, XS + 1], 1)
    args = [
        tensor(b if a is not None else s) for a, b, s in zip(axes, (ws, cs, xss), (W, C, XS), strict=True)
    ]
    for f in (scanned, value_and_grad(scanned, (0, 1, 2))):
        found = vmap(f, in_axes=axes)(*args)
        wanted = vmap(stepwise if f is scanned else value_and_grad(stepwise, (0, 1, 2)), in_axes=axes)(*args)
        if f is scanned:
            close(found, wanted)
        else:
            for a, b in zip(found[1], wanted[1], strict=True):
                close(a, b)


def test_scan_of_trees_with_integers():
    def body(carry, x):
        n, state = carry
        return (n + 1, {"s": state["s"] * x["a"]}), None

    (n, state), ys = scan(body, (tensor(0, dtype=np.int64), {"s": tensor(1.0)}), {"a": tensor(XS)})
    assert n.item() == 4
    assert ys is None
    close(state["s"], XS.prod())

    def loss(xs):
        return scan(body, (tensor(0, dtype=np.int64), {"s": tensor(1.0)}), {"a": xs})[0][1]["s"]

    close(grad(loss)(tensor(XS)), numeric(loss, XS))


def test_scan_without_xs_and_of_no_steps():
    last, ys = scan(lambda c, _: (c * 2.0, c), tensor(1.0), length=5)
    assert last.item() == 32.0
    close(ys, [1, 2, 4, 8, 16])
    last, ys = scan(lambda c, x: (c + x, c), tensor(1.0), tensor(np.zeros(0)))
    assert last.item() == 1.0
    assert ys.shape == (0,)


def test_scan_sees_leaves_outside():
    w = tensor(0.5, requires_grad=True)
    scan(lambda c, x: (sin(c * w) + x, None), tensor(C), tensor(XS))[0].backward()
    close(w.grad, numeric(lambda w: scan(lambda c, x: (sin(c * w) + x, None), tensor(C), tensor(XS))[0], 0.5))


def test_scan_many_steps_is_one_plan():
    f = grad(lambda w: scan(lambda c, x: (c * w + x, None), tensor(0.0), tensor(np.ones(2000)))[0])
    f(tensor(0.5)).numpy()
    before = COUNTS.plans
    f(tensor(0.25)).numpy()
    assert COUNTS.plans == before


def test_scan_errors():
    with pytest.raises(
        ShapeError, match=r"the carried value is float64\[\] at first and float64\[4\] after a step"
    ):
        scan(lambda c, x: (c + tensor(XS), None), tensor(0.0), tensor(XS))
    with pytest.raises(OperandError, match=r"the body returns \(carry, y\)"):
        scan(lambda c, x: c, tensor(0.0), tensor(XS))
    with pytest.raises(OperandError, match="without xs the length must be given"):
        scan(lambda c, x: (c, x), tensor(0.0))
    with pytest.raises(ShapeError, match=r"xs\[1\] has 3 steps where there are 4"):
        scan(lambda c, x: (c, None), tensor(0.0), (tensor(XS), tensor(XS[:3])))


def branch(x):
    return cond(x > 1.0, lambda v: v * v * ARGS[0], lambda v: exp(v), x)


def test_cond():
    close(branch(tensor(2.0)), 2.0)
    close(branch(tensor(0.5)), np.exp(0.5))
    for at in (2.0, 0.5):
        close(grad(branch)(tensor(at)), numeric(branch, at))
        close(hessian(branch)(tensor(at)), numeric(grad(branch), at), rtol=1e-5)
        close(jvp(branch, (tensor(at),), (tensor(1.0),))[1], numeric(branch, at))
    both = tensor([2.0, 0.5])
    close(vmap(branch)(both), [2.0, np.exp(0.5)])
    close(vmap(grad(branch))(both), [2.0, np.exp(0.5)])
    close(grad(lambda v: total(vmap(branch)(v)))(both), [2.0, np.exp(0.5)])
    close(vmap(lambda x: cond(tensor(True, dtype=bool), lambda v: v * 2, lambda v: v, x))(both), [4.0, 1.0])
    assert cond(True, lambda: "yes", lambda: "no") == "yes"


def test_cond_computes_one_branch():
    calls = []

    def note(x):
        return host_call(lambda a: calls.append(1) or a, x, x)

    cond(tensor(False, dtype=bool), note, lambda x: x, tensor(1.0)).numpy()
    assert not calls


def test_cond_errors():
    p, x = tensor(True, dtype=bool), tensor(1.0)
    with pytest.raises(
        ShapeError, match=r"the result is float64\[\] where the condition holds and float64\[4\]"
    ):
        cond(p, lambda v: v, lambda v: v + tensor(XS), x)
    with pytest.raises(OperandError, match="return different structures"):
        cond(p, lambda v: v, lambda v: (v, v), x)
    with pytest.raises(DTypeError, match="the condition must be bool, not float64"):
        cond(x, lambda v: v, lambda v: v, x)


def power(x):
    return while_loop(lambda c: c[0] < 100.0, lambda c: (c[0] * x, c[1] + 1), (x, tensor(0, dtype=np.int64)))


def test_while_loop():
    value, count = power(tensor(3.0))
    assert (value.item(), count.item()) == (243.0, 4)
    values, counts = vmap(power)(tensor([3.0, 2.0]))
    close(values, [243.0, 128.0])
    assert counts.tolist() == [4, 6]
    close(jvp(lambda x: power(x)[0], (tensor(3.0),), (tensor(1.0),))[1], 405.0)
    close(
        vmap(lambda x: jvp(lambda x: power(x)[0], (x,), (tensor(1.0),))[1])(tensor([3.0, 2.0])),
        [405.0, 448.0],
    )


def test_while_loop_has_no_reverse_mode():
    with pytest.raises(
        GradientError, match=r"(?s)while_loop cannot be differentiated: how often.*test_control_flow.py"
    ):
        grad(lambda x: power(x)[0])(tensor(3.0))


def test_host_call():
    x = tensor([3.0, 1.0, 2.0])
    close(host_call(np.sort, x, x), [1.0, 2.0, 3.0])
    a, b = host_call(lambda v: (v * 2, v.sum()), (x, tensor(0.0)), x)
    close(a, [6.0, 2.0, 4.0])
    close(b, 6.0)
    close(vmap(lambda r: host_call(np.sort, r, r))(tensor([[2.0, 1.0], [3.0, 4.0]])), [[1, 2], [3, 4]])
    with pytest.raises(ShapeError, match=r"result 0 of sum has shape \(\) where \(3,\) was announced"):
        host_call(np.sum, x, x).numpy()
    with pytest.raises(OperandError, match="returned 2 arrays where 1 were announced"):
        host_call(lambda v: (v, v), x, x).numpy()
    with pytest.raises(GradientError, match="calls a Python function whose derivative is not known"):
        grad(lambda x: total(host_call(np.sort, x, x)))(x)


def test_host_call_cannot_change_its_arguments():
    def bad(v):
        v[0] = 5.0
        return v

    with pytest.raises(ValueError, match="read-only"):
        host_call(bad, tensor(XS), tensor(XS)).numpy()


def test_control_flow_inside_compile():
    f = compile(lambda x: branch(scanned(x, *ARGS[1:])))
    for at in (0.5, 0.6, 0.7, 0.9):
        close(f(tensor(at)), branch(scanned(tensor(at), *ARGS[1:])))
