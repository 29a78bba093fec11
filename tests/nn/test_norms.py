"""Normalization: running statistics over several steps, precision, functions, and counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.errors import DTypeError, OperandError, TraceError
from tests.nn.harness import numbers


def test_a_large_mean_costs_no_digits() -> None:
    x = fb.asarray((numbers(4, 64) + 1e4).astype(np.float32))
    wide = x.numpy().astype(np.float64)
    centred = wide - wide.mean(1, keepdims=True)
    wanted = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(nn.LayerNorm(64)(x).numpy(), wanted, atol=2e-3)


@pytest.mark.parametrize("make", [lambda d: nn.LayerNorm(6, dtype=d), lambda d: nn.BatchNorm1d(6, dtype=d)])
def test_half_precision_beside_full_weights(make: Any) -> None:
    x = fb.asarray(numbers(5, 6), dtype=fb.bfloat16, requires_grad=True)
    layer = make(fb.float32)
    y = layer(x)
    assert y.dtype is fb.bfloat16
    fb.sum(y * y).backward()
    assert x.grad is not None and x.grad.dtype is fb.bfloat16
    assert layer.weight.grad is not None and layer.weight.grad.dtype is fb.float32
    with pytest.raises(
        DTypeError, match=r"Norm(1d)?: the input is float32, the weights are float64: cast one"
    ):
        make(fb.float64)(fb.ones((5, 6)))


def test_running_statistics_in_compiled_steps() -> None:
    one, two = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    step = fb.compile(two)
    for i in range(4):
        x = fb.asarray(numbers(5, 3, seed=i).astype(np.float32))
        assert one(x).numpy().tobytes() == step(x).numpy().tobytes()
    for name, t in one.state_dict().items():
        assert t.numpy().tobytes() == two.state_dict()[name].numpy().tobytes(), name
    assert one.num_batches_tracked is not None and one.num_batches_tracked.item() == 4
    assert not any(b.requires_grad for b in one.buffers())
    one.reset_running_stats()
    assert one.running_mean is not None and one.running_mean.tolist() == [0.0] * 3
    assert one.num_batches_tracked.item() == 0


def test_running_statistics_and_transformations() -> None:
    norm = nn.BatchNorm1d(3)
    assert fb.grad(lambda x: fb.sum(norm(x)))(fb.ones((4, 3))).shape == (4, 3)
    assert norm.running_mean is not None and norm.running_mean.numpy() == pytest.approx([0.1] * 3)
    with pytest.raises(
        TraceError, match=r"BatchNorm1d\.running_mean is a buffer, and cannot be changed inside"
    ):
        fb.checkpoint(norm)(fb.ones((4, 3)))
    assert norm.running_mean.numpy() == pytest.approx([0.1] * 3)
    norm.eval()
    assert fb.checkpoint(norm)(fb.ones((4, 3))).numpy() == pytest.approx(0.9 / np.sqrt(0.9), rel=1e-4)


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(3), nn.InstanceNorm1d(3, track_running_stats=True)])
def test_looking_at_results_leaves_nothing_pending(norm: Any) -> None:
    x = fb.asarray(numbers(2, 3, 4).astype(np.float32))
    for _ in range(2):
        norm(x).numpy()
    before = fb.stats()
    for momentum in (0.1, 0.5, 0.25):
        norm.momentum = momentum
        norm(x).numpy()
    after = fb.stats()
    assert after.pending == before.pending and after.plans == before.plans
    assert (after.kernels_compiled, after.partitions) == (before.kernels_compiled, before.partitions)


def test_other_batch_sizes_compile_nothing() -> None:
    norm = nn.LayerNorm(16)
    norm(fb.ones((4, 16))).numpy()
    before = fb.stats()
    for n in (3, 7, 50):
        norm(fb.ones((n, 16))).numpy()
    after = fb.stats()
    assert (after.kernels_compiled, after.partitions) == (before.kernels_compiled, before.partitions)


@pytest.mark.torch
@pytest.mark.parametrize("training", [True, False])
def test_functions_beside_pytorch(training: bool) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = nn.functional, torch.nn.functional
    x, image = numbers(4, 6), numbers(2, 6, 5)
    w, b, mean, var = numbers(6), numbers(6, seed=1), numbers(6, seed=2), numbers(6, low=0.5, high=2.0)

    def both(name: str, array: Any, *args: Any, **options: Any) -> None:
        tensors = [fb.asarray(a) if isinstance(a, np.ndarray) else a for a in (array, *args)]
        others = [torch.tensor(a) if isinstance(a, np.ndarray) else a for a in (array, *args)]
        y, ty = getattr(ours, name)(*tensors, **options), getattr(theirs, name)(*others, **options)
        np.testing.assert_allclose(y.numpy(), ty.numpy(), atol=1e-9)
        for a, t in zip(tensors, others, strict=True):
            if isinstance(a, fb.Tensor):
                np.testing.assert_allclose(a.numpy(), t.numpy(), atol=1e-9)

    both("batch_norm", x, mean, var, w, b, training=training, momentum=0.3)
    both("batch_norm", image, mean, var, training=training)
    both("batch_norm", image, None, None, None, b, training=True)
    both("instance_norm", image, mean, var, w, b, use_input_stats=training)
    both("instance_norm", image)
    both("layer_norm", x, (6,), w, b, 1e-3)
    both("layer_norm", x, (6,), None, b)
    both("group_norm", image, 3, w, b)
    both("rms_norm", x, (6,), w)
    both("local_response_norm", image, 3, alpha=0.4)


def test_what_functions_need() -> None:
    with pytest.raises(
        OperandError, match="batch_norm: running_mean and running_var are needed unless training"
    ):
        nn.functional.batch_norm(fb.ones((2, 3)), None, None)
    with pytest.raises(
        OperandError, match="instance_norm: without use_input_stats running_mean and running_var"
    ):
        nn.functional.instance_norm(fb.ones((2, 3, 4)), use_input_stats=False)
    with pytest.raises(
        OperandError, match=r"batch_norm: an input of shape \(N, C, \.\.\.\) is needed, not \(3,\)"
    ):
        nn.functional.batch_norm(fb.ones(3), None, None, training=True)
    with pytest.raises(OperandError, match="group_norm: a tensor is needed, not list"):
        nn.functional.group_norm([1.0], 1)  # type: ignore[arg-type]
