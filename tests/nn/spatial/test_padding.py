"""Padding beside PyTorch, in all modes."""

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

WIDTHS: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((2, 3, 5), (2, 1)),
    ((3, 4), (0, 3)),
    ((2, 3, 4, 5), (1, 2, 3, 0)),
    ((3, 4, 5), (-1, 2, 1, -2)),
    ((2, 2, 3, 4, 5), (1, 0, 2, 1, 0, 2)),
    ((2, 3, 4, 5), (1, 1, -1, 2, 1, -1)),
]


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize(("shape", "widths"), WIDTHS, ids=str)
def test_pad(shape: tuple[int, ...], widths: tuple[int, ...], mode: str) -> None:
    x = numbers(*shape)
    same(torch, lambda x: F.pad(x, widths, mode), lambda x: T.pad(x, widths, mode), x)
    if mode == "constant":
        same(
            torch,
            lambda x: F.pad(x, list(widths), value=-1.5),
            lambda x: T.pad(x, widths, value=-1.5),
            x,
        )


def test_pad_of_all_axes_and_of_none() -> None:
    x = numbers(2, 3)
    same(torch, lambda x: F.pad(x, (1, 0, 0, 2), value=7), lambda x: T.pad(x, (1, 0, 0, 2), value=7), x)
    same(torch, lambda x: F.pad(x, ()), lambda x: T.pad(x, ()), x)
    same(torch, lambda x: F.pad(x, (-1, -2)), lambda x: T.pad(x, (-1, -2)), x)


@pytest.mark.parametrize("kind", ["ZeroPad", "ConstantPad", "ReflectionPad", "ReplicationPad", "CircularPad"])
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_layers(kind: str, count: int, batch: tuple[int, ...]) -> None:
    value = (0.25,) if kind == "ConstantPad" else ()
    for widths in (1, tuple(range(2 * count))[::-1]):
        if isinstance(widths, tuple) and kind == "ReflectionPad":
            widths = tuple([w % 3 for w in widths])
        ours, theirs = (getattr(lib, f"{kind}{count}d")(widths, *value) for lib in (nn, torch.nn))
        assert repr(ours) == repr(theirs)
        same(torch, ours, theirs, numbers(*batch, 2, *(6, 5, 7)[:count]))


def test_another_number_is_no_new_program() -> None:
    x = fb.ones((2, 2))
    F.pad(x, (1, 1), value=0.5).numpy()
    before = fb.stats()
    assert F.pad(x, (1, 1), value=0.75).numpy()[0, 0] == 0.75
    after = fb.stats()
    assert (after.plans, after.partitions) == (before.plans, before.partitions)


def test_what_both_refuse() -> None:
    x, t = fb.zeros((2, 3, 4, 4)), torch.zeros((2, 3, 4, 4))
    refused(
        lambda: nn.ReflectionPad2d(4)(x),
        lambda: torch.nn.ReflectionPad2d(4)(t),
        r"ReflectionPad2d: padding \(4, 4\) of axis 2 must be smaller than its size 4; "
        r"the input has shape \(2, 3, 4, 4\)",
    )
    refused(
        lambda: nn.CircularPad2d(5)(x),
        lambda: torch.nn.CircularPad2d(5)(t),
        r"CircularPad2d: padding \(5, 5\) of axis 2 must be at most its size 4",
    )
    refused(
        lambda: nn.ReplicationPad2d(1)(x[0, 0]),
        lambda: torch.nn.ReplicationPad2d(1)(t[0, 0]),
        r"ReplicationPad2d: an input of shape \(N, C, H, W\) or \(C, H, W\) is needed, not \(4, 4\)",
    )
    for widths, mode, message in (
        ((1, 2, 3), "constant", r"pad: a pair of widths for each of at most 4 axes is needed"),
        ((1,) * 10, "constant", r"not \(1, 1, 1, 1, 1, 1, 1, 1, 1, 1\); the input has shape \(2, 3, 4, 4\)"),
        ((-3, -2), "constant", r"padding \(-3, -2\) of axis 3 must be no crop of more than its size 4"),
        ((1, 1), "mirror", "pad: mode must be one of constant, reflect, replicate, circular, not 'mirror'"),
    ):
        refused(lambda w=widths, m=mode: F.pad(x, w, m), lambda w=widths, m=mode: T.pad(t, w, m), message)
    wrong: Any = (1, 2, 3)
    with pytest.raises(ValueError, match="ZeroPad2d: padding must be an integer or 4 integers"):
        nn.ZeroPad2d(wrong)
    refused(
        lambda: F.pad(x[..., :0], (1, 1), mode="replicate"),
        lambda: T.pad(t[..., :0], (1, 1), mode="replicate"),
        r"pad: axis 3 of the input \(2, 3, 4, 0\), padded by \(1, 1\), has no edge to repeat",
    )
