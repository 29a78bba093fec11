"""What the tests of transforms compute with: tensors in float64 and a few functions of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from flambeau.engine.convert import from_array
from flambeau.engine.modes import grad_enabled
from flambeau.primitives import elementwise as e
from flambeau.primitives import views
from flambeau.tensor import Tensor, apply


def tensor(x, requires_grad=False, dtype=np.float64):
    made = Tensor(from_array(np.asarray(x, dtype)))
    return made.requires_grad_() if requires_grad else made


def sin(x):
    return apply(e.sin, (), x)


def exp(x):
    return apply(e.exp, (), x)


def log(x):
    return apply(e.log, (), x)


def tanh(x):
    return apply(e.tanh, (), x)


def total(x):
    return apply(views.reduce_sum, (tuple(range(x.ndim)),), x)


@contextmanager
def no_grad() -> Iterator[None]:
    token = grad_enabled.set(False)
    try:
        yield
    finally:
        grad_enabled.reset(token)


def numeric(f, x, eps=1e-6):
    """The derivative of a function of one array by central differences, element by element."""
    x = np.array(x, np.float64)
    columns = []
    for i in np.ndindex(x.shape):
        at = x[i]
        x[i] = at + eps
        above = f(tensor(x)).numpy().copy()
        x[i] = at - eps
        below = f(tensor(x)).numpy().copy()
        x[i] = at
        columns.append((above - below) / (2 * eps))
    shape = columns[0].shape
    return np.moveaxis(np.array(columns), 0, -1).reshape((*shape, *x.shape))


def close(a, b, rtol=1e-6, atol=1e-7):
    a = a.numpy() if isinstance(a, Tensor) else a
    b = b.numpy() if isinstance(b, Tensor) else b
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)
