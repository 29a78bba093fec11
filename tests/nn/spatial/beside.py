"""A function of ours beside one of PyTorch's: values, gradients, and what both refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau.errors import FlambeauError
from tests.nn.harness import distance, numbers

LIMIT = 1e-9


def same(
    torch: Any,
    ours: Callable[..., Any],
    theirs: Callable[..., Any],
    *arrays: np.ndarray,
    limit: float = LIMIT,
) -> None:
    """Assert that values and gradients agree; of several results, floats are differentiated."""
    xs = [fb.asarray(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    ts = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    made, wanted = ours(*xs), theirs(*ts)
    made, wanted = (v if isinstance(v, tuple) else (v,) for v in (made, wanted))
    assert len(made) == len(wanted)
    loss, t_loss = fb.zeros((), dtype=fb.float64), torch.zeros((), dtype=torch.float64)
    for i, (y, t) in enumerate(zip(made, wanted, strict=True)):
        assert y.shape == tuple(t.shape)
        assert distance(y.numpy(), t.detach().numpy()) <= LIMIT
        if t.requires_grad:
            weight = numbers(*y.shape, seed=i + 1)
            loss = loss + fb.sum(y * fb.asarray(weight))
            t_loss = t_loss + (t * torch.tensor(weight)).sum()
    if t_loss.requires_grad:
        loss.backward()
        t_loss.backward()
        for x, t in zip(xs, ts, strict=True):
            if t.requires_grad:
                assert x.grad is not None
                assert distance(x.grad.numpy(), t.grad.numpy()) <= LIMIT


def refused(ours: Callable[[], Any], theirs: Callable[[], Any], message: str) -> None:
    """Assert that both raise, ours an error of its own with a message."""
    with pytest.raises((RuntimeError, ValueError, IndexError, TypeError, AssertionError)):
        theirs()
    with pytest.raises(FlambeauError, match=message):
        ours()
