"""Gradients of gradients beside PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau.nn import functional as F
from tests.nn.harness import distance, numbers

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "conv2d": (lambda f, x, w: f.conv2d(x, w, stride=(2, 1), padding=1, groups=2), (4, 1, 3, 2)),
    "conv_transpose2d": (lambda f, x, w: f.conv_transpose2d(x, w, stride=2, padding=1), (2, 2, 3, 2)),
    "max_pool2d": (lambda f, x, w: f.max_pool2d(x * x * w, 3, 2, 1), ()),
    "avg_pool2d": (lambda f, x, w: f.avg_pool2d(x * x * w, 3, 2, 1, True, False), ()),
    "lp_pool2d": (lambda f, x, w: f.lp_pool2d(x * x * w, 3, 2), ()),
    "adaptive_max_pool2d": (lambda f, x, w: f.adaptive_max_pool2d(x * x * w, (3, 4)), ()),
    "adaptive_avg_pool2d": (lambda f, x, w: f.adaptive_avg_pool2d(x * x * w, (3, 4)), ()),
    "interpolate": (lambda f, x, w: f.interpolate(x * x * w, (7, 3), mode="bilinear"), ()),
    "pad": (lambda f, x, w: f.pad(x * x * w, (2, 1, 1, 2), mode="reflect"), ()),
    "unfold": (lambda f, x, w: f.unfold(x * x * w, (3, 2), 2, 1, 2), ()),
}


QUICK = ("conv2d", "max_pool2d", "avg_pool2d", "interpolate")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FUNCTIONS]
)
def test_second_derivatives(name: str) -> None:
    function, shape = FUNCTIONS[name]
    x, w = numbers(2, 2, 5, 6), np.abs(numbers(*shape))

    def loss(a: Any, b: Any) -> Any:
        y = function(F, a, b)
        return fb.sum(y * y * y)

    def of_gradients(a: Any, b: Any) -> Any:
        gx, gw = fb.grad(loss, argnums=(0, 1))(a, b)
        return fb.sum(gx * fb.sin(gx)) + fb.sum(gw * gw)

    ours = fb.grad(of_gradients, argnums=(0, 1))(fb.asarray(x), fb.asarray(w))
    tx, tw = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
    y = function(torch.nn.functional, tx, tw)
    gx, gw = torch.autograd.grad((y * y * y).sum(), (tx, tw), create_graph=True)
    ((gx * torch.sin(gx)).sum() + (gw * gw).sum()).backward()
    assert distance(ours[0].numpy(), tx.grad.numpy()) <= 1e-9
    assert distance(ours[1].numpy(), tw.grad.numpy()) <= 1e-9
