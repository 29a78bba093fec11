"""Lion beside its definition: PyTorch has none."""

from __future__ import annotations

import numpy as np

import flambeau as fb
from flambeau import nn, optim


def test_ten_steps() -> None:
    rng = np.random.default_rng(0)
    start = rng.normal(size=(4, 3))
    p = nn.Parameter(fb.asarray(start))
    lr, beta1, beta2, decay = 0.05, 0.8, 0.95, 0.3
    optimizer = optim.Lion([p], lr, (beta1, beta2), decay)
    momentum = np.zeros_like(start)
    for _ in range(10):
        g = rng.normal(size=start.shape)
        start = start - lr * (np.sign(beta1 * momentum + (1 - beta1) * g) + decay * start)
        momentum = beta2 * momentum + (1 - beta2) * g
        p.grad = fb.asarray(g)
        optimizer.step()
        np.testing.assert_allclose(p.numpy(), start, rtol=0, atol=1e-12)
