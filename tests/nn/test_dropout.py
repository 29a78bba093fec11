"""Dropout in training: which elements, how many, and that gradients see the same mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.engine.tape import THREAD


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_how_many_are_dropped(p: float) -> None:
    fb.random.seed(3)
    n = 40_000
    y = nn.functional.dropout(fb.ones(n), p).numpy()
    dropped = float((y == 0).mean())
    assert abs(dropped - p) <= 4 * np.sqrt(p * (1 - p) / n)
    if p < 1:
        np.testing.assert_allclose(y[y != 0], 1 / (1 - p), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Dropout(0.4), (6, 50)),
        (nn.Dropout2d(0.4), (6, 8, 3, 3)),
        (nn.AlphaDropout(0.4), (6, 50)),
        (nn.FeatureAlphaDropout(0.4), (6, 8, 3)),
        (nn.RReLU(0.1, 0.3), (6, 50)),
    ],
)
def test_gradients_see_the_same_mask(layer: nn.Module, shape: Any, dtype: str, both_executors: str) -> None:
    x = fb.full(shape, -1.5, dtype=getattr(fb, dtype)).requires_grad_()
    y = layer(x)
    fb.sum(y).backward()
    assert x.grad is not None
    slopes, values = x.grad.numpy().astype(float), y.numpy().astype(float)
    if isinstance(layer, nn.RReLU):
        np.testing.assert_allclose(values, slopes * -1.5, rtol=1e-2 if dtype == "bfloat16" else 1e-6)
        assert slopes.min() >= 0.099 and slopes.max() <= 0.301 and len(set(slopes.ravel())) > 20
    else:
        kept = values.ravel()[np.abs(slopes).argmax()]
        assert set(np.unique(slopes)) == {0.0, slopes.max()}
        assert ((values == kept) == (slopes != 0)).all()


def test_the_mask_is_the_same_in_every_dtype() -> None:
    masks = []
    for dtype in (fb.float64, fb.float32, fb.bfloat16):
        fb.random.seed(5)
        masks.append(nn.functional.dropout(fb.ones(200, dtype=dtype), 0.3).numpy() == 0)
    assert (masks[0] == masks[1]).all() and (masks[0] == masks[2]).all()


@pytest.mark.parametrize(
    ("layer", "shape", "axes"),
    [
        (nn.Dropout1d(), (10, 20, 5), (2,)),
        (nn.Dropout1d(), (20, 5), (1,)),
        (nn.Dropout2d(), (10, 20, 3, 4), (2, 3)),
        (nn.Dropout2d(), (20, 3, 4), (1, 2)),
        (nn.Dropout3d(), (10, 20, 3, 2, 2), (2, 3, 4)),
        (nn.FeatureAlphaDropout(), (10, 20, 7), (2,)),
    ],
)
def test_whole_channels_are_dropped(layer: nn.Module, shape: Any, axes: Any) -> None:
    y = layer(fb.ones(shape)).numpy()
    assert (y.min(axes) == y.max(axes)).all()
    assert len(np.unique(y)) == 2


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    x = fb.random.normal((100_000,))
    for p in (0.1, 0.5):
        y = nn.functional.alpha_dropout(x, p, training=True).numpy()
        assert abs(y.mean()) < 0.02 and abs(y.std() - 1) < 0.02
    assert nn.functional.alpha_dropout(x[:5], 1.0, training=True).tolist() == [0.0] * 5


def test_what_is_dropped_does_not_count() -> None:
    x = fb.asarray([np.inf, np.nan], requires_grad=True)
    y = nn.functional.dropout(x, 1.0)
    fb.sum(y).backward()
    assert y.tolist() == [0.0, 0.0] and x.grad is not None and x.grad.tolist() == [0.0, 0.0]


def test_draws_differ_and_seeds_repeat_them() -> None:
    drop, x = nn.Dropout(), fb.ones(64)
    fb.random.seed(1)
    one, two = drop(x).tolist(), drop(x).tolist()
    fb.random.seed(1)
    assert drop(x).tolist() == one != two


def test_changing_p_compiles_nothing() -> None:
    drop, x = nn.Dropout(0.5), fb.ones((8, 8))
    drop(x).numpy()
    before = fb.stats()
    for p in (0.1, 0.2):
        drop.p = p
        drop(x).numpy()
    after = fb.stats()
    assert (after.kernels_compiled, after.partitions) == (before.kernels_compiled, before.partitions)
    drop.p = 2.0
    with pytest.raises(TypeError, match=r"Dropout: p must be a probability from 0 to 1, not 2\.0"):
        drop(x)


def test_compiled_steps_draw_anew() -> None:
    drop = nn.Dropout()
    step = fb.compile(lambda x: drop(x))
    seen = [tuple(step(fb.ones(64)).tolist()) for _ in range(4)]
    assert len(set(seen)) == 4


def test_masks_are_not_kept() -> None:
    """What is kept for the gradient are the key and the counter, not the mask or the random bits."""
    x = fb.ones((32, 32)).requires_grad_()
    y = nn.functional.dropout(x)
    loss = fb.sum(y)
    loss.backward()
    call = THREAD.tape.state.entry[0]
    large = [t for t in call.graph.input_types if t.size > 1]
    assert large == []
