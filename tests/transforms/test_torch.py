"""The transforms against torch.func, where PyTorch is installed."""

from __future__ import annotations

import numpy as np
import pytest
from support import close, sin, tanh, tensor, total

from flambeau.transforms.forward import hessian, jacobian, jvp
from flambeau.transforms.gradient import grad, vjp
from flambeau.transforms.vectorize import vmap

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

RANDOM = np.random.default_rng(0)
W, X, T = RANDOM.normal(size=(4, 3)), RANDOM.normal(size=3), RANDOM.normal(size=3)
ROWS = RANDOM.normal(size=(5, 3))


def ours(x):
    return total(tanh(tensor(W) @ sin(x)) * 2.0)


def theirs(x):
    return (torch.tanh(torch.tensor(W) @ torch.sin(x)) * 2.0).sum()


def ours_vector(x):
    return tanh(tensor(W) @ sin(x))


def theirs_vector(x):
    return torch.tanh(torch.tensor(W) @ torch.sin(x))


CASES = {
    "grad": (lambda: grad(ours)(tensor(X)), lambda: torch.func.grad(theirs)(torch.tensor(X))),
    "grad grad": (
        lambda: grad(lambda x: total(grad(ours)(x) ** 2))(tensor(X)),
        lambda: torch.func.grad(lambda x: (torch.func.grad(theirs)(x) ** 2).sum())(torch.tensor(X)),
    ),
    "vmap grad": (
        lambda: vmap(grad(ours))(tensor(ROWS)),
        lambda: torch.func.vmap(torch.func.grad(theirs))(torch.tensor(ROWS)),
    ),
    "grad vmap": (
        lambda: grad(lambda r: total(vmap(ours)(r)))(tensor(ROWS)),
        lambda: torch.func.grad(lambda r: torch.func.vmap(theirs)(r).sum())(torch.tensor(ROWS)),
    ),
    "jvp": (
        lambda: jvp(ours_vector, (tensor(X),), (tensor(T),))[1],
        lambda: torch.func.jvp(theirs_vector, (torch.tensor(X),), (torch.tensor(T),))[1],
    ),
    "vjp": (
        lambda: vjp(ours_vector, tensor(X))[1](tensor(W[:, 0]))[0],
        lambda: torch.func.vjp(theirs_vector, torch.tensor(X))[1](torch.tensor(W[:, 0]))[0],
    ),
    "jacobian": (
        lambda: jacobian(ours_vector)(tensor(X)),
        lambda: torch.func.jacrev(theirs_vector)(torch.tensor(X)),
    ),
    "hessian": (lambda: hessian(ours)(tensor(X)), lambda: torch.func.hessian(theirs)(torch.tensor(X))),
    "vmap hessian": (
        lambda: vmap(hessian(ours))(tensor(ROWS)),
        lambda: torch.func.vmap(torch.func.hessian(theirs))(torch.tensor(ROWS)),
    ),
    "jvp grad": (
        lambda: jvp(grad(ours), (tensor(X),), (tensor(T),))[1],
        lambda: torch.func.jvp(torch.func.grad(theirs), (torch.tensor(X),), (torch.tensor(T),))[1],
    ),
    "jacobian of hessian": (
        lambda: jacobian(hessian(ours))(tensor(X)),
        lambda: torch.func.jacfwd(torch.func.hessian(theirs))(torch.tensor(X)),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_like_torch(case):
    mine, reference = CASES[case]
    close(mine(), reference().detach().numpy(), rtol=1e-10, atol=1e-10)
