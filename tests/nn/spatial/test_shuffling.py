"""Shuffles and sliding blocks beside PyTorch."""

from __future__ import annotations

from typing import Any

import pytest

import flambeau as fb
from flambeau import nn
from flambeau.nn import functional as F
from tests.nn.harness import numbers
from tests.nn.spatial.beside import refused, same

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
T = torch.nn.functional


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_pixels(lead: tuple[int, ...], factor: int) -> None:
    x = numbers(*lead, 2 * factor**2, 3, 2)
    same(torch, nn.PixelShuffle(factor), torch.nn.PixelShuffle(factor), x)
    x = numbers(*lead, 2, 3 * factor, 2 * factor)
    same(torch, nn.PixelUnshuffle(factor), torch.nn.PixelUnshuffle(factor), x)


@pytest.mark.parametrize("shape", [(2, 6, 5), (1, 6, 3, 2), (2, 12, 1, 2, 3)])
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_channels(shape: tuple[int, ...], groups: int) -> None:
    same(torch, nn.ChannelShuffle(groups), torch.nn.ChannelShuffle(groups), numbers(*shape))


BLOCKS: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((2, 3, 5, 6), {"kernel_size": 3}),
    ((3, 5, 6), {"kernel_size": (2, 3), "stride": (2, 1)}),
    ((1, 2, 7, 6), {"kernel_size": (3, 2), "dilation": (1, 3), "padding": (2, 1), "stride": (3, 2)}),
    ((2, 1, 4, 4), {"kernel_size": 4}),
    ((1, 1, 4, 6), {"kernel_size": 2, "stride": 2}),
]


@pytest.mark.parametrize(("shape", "options"), BLOCKS, ids=str)
def test_blocks(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    same(torch, nn.Unfold(**options), torch.nn.Unfold(**options), numbers(*shape))
    columns = T.unfold(torch.tensor(numbers(*shape)), **options).shape
    size = shape[-2:]
    same(torch, nn.Fold(size, **options), torch.nn.Fold(size, **options), numbers(*columns))
    assert repr(nn.Fold(size, **options)).replace("Fold", "") == repr(torch.nn.Fold(size, **options)).replace(
        "Fold", ""
    )


def test_what_both_refuse() -> None:
    x, t = fb.zeros((2, 6, 4, 5)), torch.zeros((2, 6, 4, 5))
    for ours, theirs, message in (
        (nn.PixelShuffle(2), torch.nn.PixelShuffle(2), r"with C divisible by 2\*\*2 is needed, not \(2, 6"),
        (nn.PixelUnshuffle(2), torch.nn.PixelUnshuffle(2), "H and W divisible by 2 is needed"),
        (nn.ChannelShuffle(4), torch.nn.ChannelShuffle(4), "C divisible by 4 groups is needed"),
        (nn.Unfold(6), torch.nn.Unfold(6), r"Unfold: the window \(6, 6\) does not fit into the input"),
        (nn.Fold(4, 2), torch.nn.Fold(4, 2), r"Fold: an input of shape \(N, C \* 4, 9\)"),
    ):
        refused(lambda f=ours: f(x), lambda f=theirs: f(t), message)
    refused(
        lambda: F.fold(fb.zeros((1, 8, 7)), 4, 2),
        lambda: T.fold(torch.zeros((1, 8, 7)), 4, 2),
        r"fold: an input of shape \(N, C \* 4, 9\) or \(C \* 4, 9\) is needed for output_size \(4, 4\) "
        r"and the window \(2, 2\), not \(1, 8, 7\)",
    )
    refused(
        lambda: F.fold(fb.zeros((1, 9, 1)), 2, 3),
        lambda: T.fold(torch.zeros((1, 9, 1)), 2, 3),
        r"no block of \(3, 3\) fits into output_size \(2, 2\)",
    )
