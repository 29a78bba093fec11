"""Random numbers behind a convolution: drawn row by row, whatever order the channels lie in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn

LAYERS: dict[str, Callable[[fb.Tensor], fb.Tensor]] = {
    "dropout": nn.Dropout(0.3),
    "dropout of a pool": lambda x: nn.Dropout(0.3)(nn.MaxPool2d(2)(x)),
    "noise": lambda x: fb.tanh(x + 0.1 * fb.random.normal(x.shape)),
    "whole channels": nn.Dropout2d(0.3),
}


@pytest.fixture
def images() -> fb.Tensor:
    return fb.asarray(np.random.default_rng(3).standard_normal((4, 16, 10, 10), np.float32))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("gradients", [False, True])
def test_bits_do_not_depend_on_the_order_of_the_channels(images, layer, gradients):
    convolution = nn.Conv2d(16, 32, 3, padding=1)
    found = []
    for look in (False, True):
        fb.random.seed(7)
        convolution.weight.grad = None
        made = convolution(images)
        if look:
            made.numpy()
        result = LAYERS[layer](made)
        if gradients:
            fb.sum(result * result).backward()
            assert convolution.weight.grad is not None
            found.append((result.numpy(), convolution.weight.grad.numpy()))
        else:
            found.append((result.numpy(),))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    if gradients:
        np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layer", ["dropout", "dropout of a pool", "noise"])
def test_a_block_of_bits_serves_four_elements(images, layer):
    convolution = nn.Conv2d(16, 32, 3, padding=1)
    with fb.no_grad():
        rows = fb.explain(lambda: nn.MaxPool2d(2)(LAYERS[layer](convolution(images)))).rows
    drawing = [row for row in rows if "random_bits" in row.fused]
    assert len(drawing) == 1
    assert drawing[0].kind == "elementwise" and len(drawing[0].sizes.split(" x ")) == 1  # row by row
