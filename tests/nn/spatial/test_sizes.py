"""Sizes of images are no structure: symbolic ones have shapes, and new ones need no new program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.graph.dims import Dim
from tests.nn.harness import numbers

LAYERS: dict[str, Callable[[], Any]] = {
    "conv": lambda: nn.Conv2d(4, 3, 3, stride=2, padding=1),
    "conv-same": lambda: nn.Conv2d(4, 3, (2, 3), padding="same"),
    "conv-reflect": lambda: nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect"),
    "conv-circular": lambda: nn.Conv2d(4, 3, 3, padding=1, padding_mode="circular"),
    "conv-transpose": lambda: nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1),
    "max": lambda: nn.MaxPool2d(3, 2, 1, return_indices=True),
    "max-ceil": lambda: nn.MaxPool2d(2, 3, ceil_mode=True),
    "average": lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "average-ceil": lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True),
    "power": lambda: nn.LPPool2d(2, 2),
    "adaptive-average": lambda: nn.AdaptiveAvgPool2d(1),
    "adaptive-average-uneven": lambda: nn.AdaptiveAvgPool2d((3, None)),
    "adaptive-max": lambda: nn.AdaptiveMaxPool2d((5, 7), return_indices=True),
    "nearest": lambda: nn.Upsample(scale_factor=2),
    "nearest-exact": lambda: nn.Upsample(scale_factor=0.5, mode="nearest-exact"),
    "bilinear": lambda: nn.Upsample(size=(7, 40), mode="bilinear"),
    "bicubic": lambda: nn.Upsample(scale_factor=1.5, mode="bicubic", align_corners=True),
    "area": lambda: nn.Upsample(size=(3, 5), mode="area"),
    "replicate": lambda: nn.ReplicationPad2d((1, 2, 0, 1)),
    "zero": lambda: nn.ZeroPad2d((1, 2, -1, 1)),
    "pixels": lambda: nn.PixelShuffle(2),
    "unfold": lambda: nn.Unfold(3, padding=1, stride=2),
}


def _all(made: Any) -> list[fb.Tensor]:
    return list(made) if isinstance(made, tuple) else [made]


@pytest.mark.parametrize("name", LAYERS)
def test_symbolic_sizes_have_the_shapes_of_known_ones(name: str) -> None:
    layer = LAYERS[name]()
    dims = {0: Dim.named("n"), 2: Dim.named("h", min=8), 3: Dim.named("w", min=8)}

    def forward(x: fb.Tensor) -> list[fb.Tensor]:
        return _all(layer(x))

    def gradient(x: fb.Tensor) -> Any:
        return fb.grad(lambda x: fb.sum(forward(x)[0]))(x)

    for function in (forward, gradient):
        symbolic = fb.trace(function, fb.ones((2, 4, 9, 13)), dims={0: dims}).graph.output_types
        for sizes in ((2, 9, 13), (1, 8, 8), (5, 30, 17)):
            at = dict(zip("nhw", sizes, strict=True))
            known = fb.trace(function, fb.ones((sizes[0], 4, *sizes[1:]))).graph.output_types
            for a, b in zip(symbolic, known, strict=True):
                assert isinstance(a.shape[0], Dim)
                assert tuple([s.evaluate(at) if isinstance(s, Dim) else s for s in a.shape]) == b.shape
                assert a.dtype is b.dtype


@pytest.mark.parametrize("name", LAYERS)
def test_new_sizes_need_no_new_program(name: str) -> None:
    layer = LAYERS[name]()

    def step(*shape: int) -> None:
        x = fb.asarray(numbers(*shape).astype(np.float32), requires_grad=True)
        y = _all(layer(x))[0]
        layer.zero_grad()
        fb.sum(y * y).backward()
        assert x.grad is not None and np.isfinite(x.grad.numpy()).all()

    step(2, 4, 10, 23)
    before = fb.stats()
    for shape in ((3, 4, 10, 23), (2, 4, 16, 31), (5, 4, 22, 53)):
        step(*shape)
    after = fb.stats()
    compiled = [after.kernels_compiled, after.kernels_from_disk, after.partitions]
    assert compiled == [before.kernels_compiled, before.kernels_from_disk, before.partitions]
