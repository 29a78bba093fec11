"""Gradients against central differences, in float64; needs nothing but NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as fb
from tests.ops.families.case import Case
from tests.ops.function_table import DIFFERENTIABLE, functions

STEP = 1e-5
# conversions to float32 leave steps in the function: wider differences, compared more loosely
WIDE = {"astype-there-and-back": (2.0**-7, 1e-4)}
# these hold a part constant, which moving the argument does not: PyTorch alone can check them
CONSTANT_PART = {"detach"}


def listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (list, tuple)) else [result]


def weighted(outputs: list[Any]) -> Any:
    """One number made of all outputs, each element with a weight of its own."""
    random = np.random.default_rng(2)
    terms = [
        fb.sum(y * fb.asarray(random.uniform(0.5, 1.5, y.shape)), dtype=fb.float64)
        for y in outputs
        if y.dtype.floating
    ]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def gradients(c: Case, arrays: list[np.ndarray]) -> list[np.ndarray]:
    inputs = [fb.asarray(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    weighted(listed(c.ours(*inputs))).backward()
    return [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in inputs if x.dtype.floating]


def differences(c: Case, arrays: list[np.ndarray], step: float) -> list[np.ndarray]:
    """Each element moved up and down by ``step``."""

    def value() -> float:
        with fb.no_grad():
            return float(weighted(listed(c.ours(*[fb.asarray(a) for a in arrays]))))

    found = []
    for a in arrays:
        if a.dtype.kind != "f":
            continue
        slope = np.zeros(a.shape)
        for index in np.ndindex(a.shape):
            at = a[index]
            a[index] = at + step
            above = value()
            a[index] = at - step
            below = value()
            a[index] = at
            slope[index] = (above - below) / (2 * step)
        found.append(slope)
    return found


@pytest.mark.parametrize("c", [c for c in DIFFERENTIABLE if c.name not in CONSTANT_PART], ids=lambda c: c.id)
def test_gradient(c: Case) -> None:
    step, tolerance = WIDE.get(c.id, (STEP, 1e-7))
    with fb.use_executor("reference"):
        arrays = [a.copy() for a in c.typed(np.float64)]
        found = gradients(c, arrays)
        expected = differences(c, arrays, step)
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        scale = float(np.abs(b).max()) if b.size else 0.0
        np.testing.assert_allclose(
            a,
            b,
            rtol=tolerance,
            atol=tolerance * max(scale, 1.0),
            err_msg=f"{c.id}: gradient of argument {i}",
        )


def test_enough_functions() -> None:
    assert len(functions()) >= 150, f"the table holds {len(functions())} differentiable public functions"
