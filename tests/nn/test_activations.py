"""Activations at their kinks, at infinity, and with other numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn

POINTS = np.array(
    [-np.inf, -700.0, -6.0, -3.0, -1.0, -0.5, -0.0, 0.0, 1e-300, 0.5, 1.0, 3.0, 6.0, 700.0, np.inf]
)
LAYERS: list[tuple[str, tuple[Any, ...]]] = [
    ("ReLU", ()),
    ("LeakyReLU", ()),
    ("ELU", ()),
    ("CELU", ()),
    ("SELU", ()),
    ("GELU", ()),
    ("SiLU", ()),
    ("Mish", ()),
    ("Sigmoid", ()),
    ("LogSigmoid", ()),
    ("Tanhshrink", ()),
    ("Softplus", ()),
    ("Softsign", ()),
    ("ReLU6", ()),
    ("Hardtanh", ()),
    ("Hardsigmoid", ()),
    ("Hardswish", ()),
    ("Hardshrink", ()),
    ("Softshrink", ()),
    ("Threshold", (0.5, -2.0)),
]


@pytest.mark.torch
@pytest.mark.parametrize(("name", "args"), LAYERS, ids=[name for name, _ in LAYERS])
def test_kinks_and_infinities_are_those_of_pytorch(name: str, args: tuple[Any, ...]) -> None:
    torch = pytest.importorskip("torch")
    points = POINTS[1:] if name == "Hardswish" else POINTS  # at -inf PyTorch gives NaN for 0
    x, tx = fb.asarray(points, requires_grad=True), torch.tensor(points, requires_grad=True)
    y, ty = getattr(nn, name)(*args)(x), getattr(torch.nn, name)(*args)(tx)
    fb.sum(y).backward()
    ty.sum().backward()
    np.testing.assert_allclose(y.numpy(), ty.detach().numpy(), rtol=1e-9, atol=1e-12)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-6, atol=1e-12)


def test_hardswish_has_a_limit() -> None:
    x = fb.asarray([-np.inf, np.inf], requires_grad=True)
    y = nn.functional.hardswish(x)
    fb.sum(y).backward()
    assert y.tolist() == [0.0, np.inf] and x.grad is not None and x.grad.tolist() == [0.0, 1.0]


def test_changing_numbers_compiles_nothing() -> None:
    layer, x = nn.LeakyReLU(), fb.asarray(np.full((8, 8), -1.0, np.float32))
    assert layer(x).numpy()[0, 0] == np.float32(-0.01)
    before = fb.stats()
    layer.negative_slope = 0.5
    assert layer(x).numpy()[0, 0] == -0.5
    after = fb.stats()
    assert (after.kernels_compiled, after.partitions) == (before.kernels_compiled, before.partitions)


def test_slopes_of_rrelu() -> None:
    x = fb.full(1000, -1.0)
    fb.random.seed(0)
    slopes = -nn.functional.rrelu(x, 0.2, 0.4, training=True).numpy()
    assert slopes.min() >= 0.2 and slopes.max() <= 0.4 and abs(slopes.mean() - 0.3) < 0.01
    with pytest.raises(TypeError, match=r"rrelu: lower must be at most upper, not 0\.4 and 0\.2"):
        nn.functional.rrelu(x, 0.4, 0.2)
