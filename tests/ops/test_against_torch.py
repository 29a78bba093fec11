"""Values and gradients of the public functions against PyTorch, in both precisions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as fb
from tests.ops.families.case import Case
from tests.ops.function_table import CASES, functions

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

TOLERANCE = {"float64": 1e-11, "float32": 3e-5}


def listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (list, tuple)) else [result]


def weights(outputs: list[np.ndarray]) -> list[np.ndarray]:
    """How much each element counts in the number that is differentiated."""
    random = np.random.default_rng(1)
    return [random.uniform(0.5, 1.5, y.shape).astype(np.float32) for y in outputs]


def ours(c: Case, dtype: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    inputs = [
        fb.asarray(a, requires_grad=c.differentiable and a.dtype.kind == "f")
        for a in c.typed(np.dtype(dtype))
    ]
    outputs = listed(c.ours(*inputs))
    values = [y.numpy() for y in outputs]
    if not c.differentiable:
        return values, []
    total: Any = None
    for y, w in zip(outputs, weights(values), strict=True):
        if y.requires_grad:
            term = fb.sum(y * fb.asarray(w.astype(y.numpy().dtype)))
            total = term if total is None else total + term
    total.backward()
    moving = [x for x in inputs if x.requires_grad]
    return values, [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in moving]


def theirs(c: Case, dtype: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    assert c.theirs is not None
    inputs = [
        torch.tensor(a, requires_grad=c.differentiable and a.dtype.kind == "f")
        for a in c.typed(np.dtype(dtype))
    ]
    outputs = [torch.as_tensor(y) for y in listed(c.theirs(torch, *inputs))]
    values = [y.detach().numpy() for y in outputs]
    if not c.differentiable:
        return values, []
    total: Any = None
    for y, w in zip(outputs, weights(values), strict=True):
        if y.requires_grad:
            term = (y * torch.tensor(w).to(y.dtype)).sum()
            total = term if total is None else total + term
    moving = [x for x in inputs if x.requires_grad]
    found = torch.autograd.grad(total, moving, allow_unused=True)
    return values, [np.zeros(x.shape) if g is None else g.numpy() for x, g in zip(moving, found, strict=True)]


def close(found: np.ndarray, expected: np.ndarray, tolerance: float, what: str) -> None:
    """Equal but for rounding, measured against the largest element too, for sums that cancel."""
    assert found.shape == expected.shape, f"{what}: shape {found.shape}, PyTorch has {expected.shape}"
    if expected.dtype.kind == "f":
        finite = np.abs(expected[np.isfinite(expected)])
        scale = float(finite.max()) if finite.size else 0.0
        np.testing.assert_allclose(
            found, expected, rtol=tolerance, atol=tolerance * max(scale, 1e-3), err_msg=what
        )
    else:
        np.testing.assert_array_equal(found, expected, err_msg=what)


def compare(c: Case, dtype: str) -> None:
    values, gradients = ours(c, dtype)
    expected, slopes = theirs(c, dtype)
    assert len(values) == len(expected)
    for i, (a, b) in enumerate(zip(values, expected, strict=True)):
        if b.dtype.kind == "f" and "to" not in c.name and "astype" not in c.name:
            assert a.dtype == b.dtype, f"{c.id}: {a.dtype}, PyTorch has {b.dtype}"
        close(a, b, TOLERANCE[dtype], f"{c.id}: output {i}")
    assert len(gradients) == len(slopes)
    for i, (a, b) in enumerate(zip(gradients, slopes, strict=True)):
        close(a, b, TOLERANCE[dtype], f"{c.id}: gradient of argument {i}")


COMPARED = [c for c in CASES if c.theirs is not None]


@pytest.mark.parametrize("c", COMPARED, ids=lambda c: c.id)
def test_float64(c: Case) -> None:
    with fb.use_executor("reference"):
        compare(c, "float64")


@pytest.mark.parametrize("c", COMPARED, ids=lambda c: c.id)
def test_float32(c: Case) -> None:
    with fb.use_executor("llvm"):
        compare(c, "float32")


@pytest.mark.parametrize("c", COMPARED[::4], ids=lambda c: c.id)
def test_other_executor_and_precision(c: Case) -> None:
    """A sample with the executors exchanged."""
    with fb.use_executor("reference"):
        compare(c, "float32")
    with fb.use_executor("llvm"):
        compare(c, "float64")


def test_enough_functions() -> None:
    compared = functions() & {c.name for c in COMPARED}
    assert len(compared) >= 150, f"{len(compared)} differentiable functions are compared with PyTorch"
