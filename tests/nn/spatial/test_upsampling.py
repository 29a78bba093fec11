"""Interpolation beside PyTorch, in all modes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.nn import functional as F
from tests.nn.harness import numbers
from tests.nn.spatial.beside import refused, same

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
T = torch.nn.functional

SHAPES = {1: (2, 2, 7), 2: (1, 3, 5, 4), 3: (2, 1, 3, 4, 2)}
MODES = [
    *[(mode, count, None) for mode in ("nearest", "nearest-exact", "area") for count in (1, 2, 3)],
    *[
        (mode, count, corners)
        for mode, count in (("linear", 1), ("bilinear", 2), ("trilinear", 3), ("bicubic", 2))
        for corners in ((None, True) if mode == "bilinear" else (False, True))
    ],
]


def targets(count: int) -> list[dict[str, Any]]:
    return [
        {"size": 1},
        {"size": (6, 9, 3)[:count]},
        {"size": SHAPES[count][2:]},
        {"scale_factor": 2},
        {"scale_factor": (1.7, 0.6, 3.0)[:count]},
        {"scale_factor": (1.7, 0.6, 3.0)[:count], "recompute_scale_factor": True},
    ]


@pytest.mark.parametrize(("mode", "count", "corners"), MODES)
def test_interpolate(mode: str, count: int, corners: bool | None) -> None:
    x = numbers(*SHAPES[count])
    for given in targets(count):
        options = {**given, "mode": mode, "align_corners": corners}
        same(
            torch,
            lambda x, o=options: F.interpolate(x, **o),
            lambda x, o=options: T.interpolate(x, **o),
            x,
        )


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_an_axis_that_keeps_its_size_is_copied(mode: str) -> None:
    for scale in (1.1, (1.1, 1.6), (1.6, 1.1)):
        same(
            torch,
            lambda x, s=scale: F.interpolate(x, scale_factor=s, mode=mode),
            lambda x, s=scale: T.interpolate(x, scale_factor=s, mode=mode),
            numbers(1, 2, 7, 7),
        )


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_other_dtypes(dtype: str) -> None:
    x = numbers(1, 2, 5, 6).astype(dtype)
    for mode in ("nearest", "bilinear", "bicubic"):
        y = F.interpolate(fb.asarray(x), (8, 3), mode=mode)
        t = T.interpolate(torch.tensor(x), (8, 3), mode=mode)
        assert y.numpy().dtype == x.dtype
        np.testing.assert_allclose(y.numpy(), t, rtol=0, atol=1e-5 if dtype == "float32" else 4e-3)


def test_whole_scales_choose_the_elements_that_pytorch_chooses() -> None:
    for n, m in ((3, 30), (17, 34), (5, 65), (1, 40), (8, 256), (30, 3), (34, 17), (100, 70)):
        x = np.arange(n, dtype=np.float64).reshape(1, 1, n)
        for mode in ("nearest", "nearest-exact"):
            y = F.interpolate(fb.asarray(x), m, mode=mode)
            np.testing.assert_array_equal(y.numpy(), T.interpolate(torch.tensor(x), m, mode=mode))


def test_layer() -> None:
    x = numbers(1, 2, 3, 5)
    for options in ({"scale_factor": 2}, {"size": (4, 7), "mode": "bilinear", "align_corners": True}):
        same(torch, nn.Upsample(**options), torch.nn.Upsample(**options), x)


def test_what_both_refuse() -> None:
    x, t = fb.zeros((2, 3, 4, 4)), torch.zeros((2, 3, 4, 4))
    for options, message in (
        ({}, "interpolate: either size or scale_factor is needed, and not both"),
        ({"size": 2, "scale_factor": 2.0}, "either size or scale_factor"),
        ({"size": 2, "mode": "cubic"}, "mode must be one of nearest, .*not 'cubic'"),
        (
            {"size": 2, "mode": "trilinear"},
            r"mode 'trilinear' needs an input of shape \(N, C, D, H, W\), not \(2, 3, 4, 4\)",
        ),
        ({"size": 2, "mode": "nearest", "align_corners": True}, "align_corners is for the modes linear"),
        ({"size": (1, 2, 3)}, r"size \(1, 2, 3\) has 3 entries for the 2 spatial axes of the input"),
        ({"scale_factor": 0.1}, r"the input \(2, 3, 4, 4\) cannot be resized to \(0.1, 0.1\)"),
        ({"size": 0}, "size must be at least 1, not 0"),
        ({"size": 3, "recompute_scale_factor": True}, "recompute_scale_factor needs scale_factor"),
    ):
        refused(lambda o=options: F.interpolate(x, **o), lambda o=options: T.interpolate(t, **o), message)
    refused(lambda: F.interpolate(x[0, 0], 3), lambda: T.interpolate(t[0, 0], 3), "needs an input of shape")
