"""Pooling beside PyTorch, in all options."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.errors import OutOfBoundsError, ShapeError
from flambeau.nn import functional as F
from tests.nn.harness import numbers
from tests.nn.spatial.beside import refused, same

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
T = torch.nn.functional

# spatial axes, shape, kernel size, stride, padding, dilation (of maxima)
WINDOWS: list[tuple[int, tuple[int, ...], Any, Any, Any, Any]] = [
    (1, (2, 3, 9), 2, None, 0, 1),
    (1, (3, 10), 3, 2, 1, 1),
    (1, (1, 1, 11), 4, 3, 2, 2),
    (1, (2, 2, 2), 2, 5, 1, 1),
    (2, (2, 3, 7, 8), 2, None, 0, 1),
    (2, (3, 7, 9), (3, 2), (2, 3), (1, 0), (1, 2)),
    (2, (1, 2, 8, 5), (2, 4), (3, 1), (0, 2), 1),
    (2, (2, 1, 10, 10), 3, 4, 1, 1),
    (3, (2, 2, 5, 4, 6), 2, None, 1, 1),
    (3, (2, 4, 7, 5), (1, 3, 2), (2, 2, 1), (0, 1, 1), (1, 1, 2)),
]


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(("count", "shape", "kernel", "stride", "padding", "dilation"), WINDOWS, ids=str)
def test_max_pool(
    count: int, shape: tuple[int, ...], kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> None:
    x = numbers(*shape)
    made = {
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "return_indices": True,
        "ceil_mode": ceil_mode,
    }
    ours, theirs = (getattr(lib, f"MaxPool{count}d")(**made) for lib in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    same(torch, ours, theirs, x)


@pytest.mark.parametrize(("ceil_mode", "count_include_pad"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize(("count", "shape", "kernel", "stride", "padding", "dilation"), WINDOWS, ids=str)
def test_avg_pool(
    count: int,
    shape: tuple[int, ...],
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    count_include_pad: bool,
) -> None:
    options: dict[str, Any] = {"ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
    ours, theirs = (
        getattr(lib, f"AvgPool{count}d")(kernel, stride, padding, **options) for lib in (nn, torch.nn)
    )
    same(torch, ours, theirs, numbers(*shape))


@pytest.mark.parametrize(("count", "shape"), [(2, (2, 3, 7, 8)), (3, (2, 5, 4, 6))])
def test_average_with_a_divisor(count: int, shape: tuple[int, ...]) -> None:
    options = {"padding": 1, "ceil_mode": True, "divisor_override": -7}
    ours, theirs = (getattr(lib, f"AvgPool{count}d")(3, 2, **options) for lib in (nn, torch.nn))
    same(torch, ours, theirs, numbers(*shape))


@pytest.mark.parametrize(
    ("count", "shape", "kernel", "stride", "norm", "ceil_mode"),
    [
        (1, (2, 3, 8), 3, None, 1, True),
        (1, (2, 3, 8), 3, 1, 2.0, False),
        (2, (3, 7, 8), (2, 3), (2, 2), 3, True),
        (2, (2, 2, 5, 4), 2, 1, 1.5, False),
        (3, (2, 2, 4, 5, 3), 2, None, 2, True),
    ],
)
def test_lp_pool(
    count: int, shape: tuple[int, ...], kernel: Any, stride: Any, norm: float, ceil_mode: bool
) -> None:
    ours, theirs = (
        getattr(lib, f"LPPool{count}d")(norm, kernel, stride, ceil_mode) for lib in (nn, torch.nn)
    )
    same(torch, ours, theirs, np.abs(numbers(*shape)))


def test_lp_pool_at_zero() -> None:
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 0, 0] = 3.0
    same(torch, nn.LPPool2d(2, 2), torch.nn.LPPool2d(2, 2), x)


def test_equal_elements_and_negative_ones() -> None:
    x = np.zeros((1, 2, 6, 6)) - np.arange(2).reshape(1, 2, 1, 1)
    for args in ((2,), (3, 2, 1), (3, 1, 1)):
        same(
            torch,
            nn.MaxPool2d(*args, return_indices=True),
            torch.nn.MaxPool2d(*args, return_indices=True),
            x,
        )
    for size in (2, 4, (5, 3)):
        same(torch, nn.AdaptiveMaxPool2d(size, True), torch.nn.AdaptiveMaxPool2d(size, True), x)


ADAPTIVE: list[tuple[int, tuple[int, ...], Any]] = [
    (1, (2, 3, 9), 3),
    (1, (3, 7), 4),
    (1, (2, 2, 3), 5),
    (2, (2, 3, 7, 8), 1),
    (2, (2, 3, 7, 8), (3, 4)),
    (2, (3, 7, 10), (None, 3)),
    (2, (2, 3, 4, 5), (7, 5)),
    (2, (1, 1, 1, 1), 2),
    (3, (2, 2, 5, 4, 6), (3, 2, 4)),
    (3, (2, 4, 6, 5), (2, None, 5)),
]


@pytest.mark.parametrize(("count", "shape", "size"), ADAPTIVE, ids=str)
def test_adaptive(count: int, shape: tuple[int, ...], size: Any) -> None:
    x = numbers(*shape)
    avg, t_avg = (getattr(lib, f"AdaptiveAvgPool{count}d")(size) for lib in (nn, torch.nn))
    same(torch, avg, t_avg, x)
    for indices in (False, True):
        ours, theirs = (getattr(lib, f"AdaptiveMaxPool{count}d")(size, indices) for lib in (nn, torch.nn))
        same(torch, ours, theirs, x)


def _called(function: Any, args: list[Any], x: Any) -> Any:
    return function(x, *args)


def test_functions() -> None:
    x = numbers(2, 3, 7, 6)
    for name, *args in (
        ("max_pool2d", 3, (2, 1), 1, 2, True),
        ("avg_pool2d", (2, 3), 2, 1, True, False, 5),
        ("lp_pool2d", 2, 3, 2, True),
        ("adaptive_avg_pool2d", (4, None)),
        ("adaptive_max_pool2d", 4),
    ):
        ours, theirs = (functools.partial(_called, getattr(lib, name), args) for lib in (F, T))
        same(torch, ours, theirs, np.abs(x))


@pytest.mark.parametrize(
    ("count", "shape", "args", "size"),
    [
        (1, (2, 3, 9), (2,), None),
        (1, (2, 3, 9), (2,), [9]),
        (2, (3, 7, 8), (2,), (7, 8)),
        (2, (2, 3, 8, 8), (3, 3, 1), (2, 3, 8, 8)),
        (3, (1, 2, 4, 4, 6), (2,), None),
    ],
)
def test_max_unpool(count: int, shape: tuple[int, ...], args: tuple[int, ...], size: Any) -> None:
    def there_and_back(lib: Any, x: Any) -> Any:
        y, at = getattr(lib, f"MaxPool{count}d")(*args, return_indices=True)(x)
        return getattr(lib, f"MaxUnpool{count}d")(*args)(y, at, size)

    same(torch, lambda x: there_and_back(nn, x), lambda x: there_and_back(torch.nn, x), numbers(*shape))


def test_indices_outside() -> None:
    x, at = fb.ones((1, 2, 2)), fb.asarray(np.asarray([[[0, 1], [2, 4]]]))
    with pytest.raises(OutOfBoundsError):
        F.max_unpool1d(x, at, 2).numpy()


def test_nan_wins() -> None:
    x = numbers(1, 1, 4, 4)
    x[0, 0, 1, 1] = np.nan
    same(torch, lambda x: F.max_pool2d(x, 2), lambda x: T.max_pool2d(x, 2), x)


def test_what_both_refuse() -> None:
    x, t = fb.zeros((2, 3, 4, 4)), torch.zeros((2, 3, 4, 4))
    for name in ("MaxPool2d", "AvgPool2d"):
        ours, theirs = getattr(nn, name), getattr(torch.nn, name)
        refused(
            lambda o=ours: o(5)(x),
            lambda o=theirs: o(5)(t),
            rf"{name}: the window \(5, 5\) does not fit into the input \(2, 3, 4, 4\)",
        )
        refused(
            lambda o=ours: o(3, padding=2)(x),
            lambda o=theirs: o(3, padding=2)(t),
            r"padding \(2, 2\) must be at most half of the window \(3, 3\)",
        )
        refused(
            lambda o=ours: o(2)(x[0, 0]),
            lambda o=theirs: o(2)(t[0, 0]),
            rf"{name}: an input of shape \(N, C, H, W\) or \(C, H, W\) is needed, not \(4, 4\)",
        )
    refused(
        lambda: nn.MaxPool2d(3, padding=2, dilation=2)(x),
        lambda: torch.nn.MaxPool2d(3, padding=2, dilation=2)(t),
        r"padding \(2, 2\) must be at most half of the window \(3, 3\)",
    )
    refused(
        lambda: nn.AvgPool2d(2, divisor_override=0),
        lambda: torch.nn.AvgPool2d(2, divisor_override=0)(t),
        "divisor_override must not be 0",
    )
    refused(
        lambda: nn.AdaptiveAvgPool2d(2)(x[0, 0]),
        lambda: torch.nn.AdaptiveAvgPool2d(2)(t[0, 0]),
        r"AdaptiveAvgPool2d: an input of shape",
    )
    refused(
        lambda: nn.AdaptiveAvgPool2d((2, 2, 2)),
        lambda: torch.nn.AdaptiveAvgPool2d((2, 2, 2))(t),
        "AdaptiveAvgPool2d: output_size must be a size, or 2 sizes",
    )
    refused(
        lambda: F.max_unpool2d(x, x.astype(fb.int64)[..., :2], 2),
        lambda: T.max_unpool2d(t, t.long()[..., :2], 2),
        r"indices of the input's shape \(2, 3, 4, 4\) are needed, not \(2, 3, 4, 2\)",
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_small_windows() -> None:
    """Every combination of small sizes, in one dimension: the output size and what lies in it."""
    for n, k, s, p, d, ceil in itertools.product(
        range(1, 9), range(1, 5), range(1, 5), range(3), (1, 2), (False, True)
    ):
        x = numbers(1, n)
        for name, more in (("max_pool1d", {"dilation": d}), ("avg_pool1d", {"count_include_pad": d == 1})):
            options = {"kernel_size": k, "stride": s, "padding": p, "ceil_mode": ceil, **more}
            ours = functools.partial(getattr(F, name), **options)
            theirs = functools.partial(getattr(T, name), **options)
            try:
                theirs(torch.tensor(x))
            except RuntimeError:
                with pytest.raises(ShapeError, match=name):
                    ours(fb.asarray(x))
            else:
                same(torch, ours, theirs, x)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_small_adaptive_sizes() -> None:
    for n, m in itertools.product(range(1, 13), range(1, 13)):
        x = numbers(1, 2, n)
        same(torch, nn.AdaptiveAvgPool1d(m), torch.nn.AdaptiveAvgPool1d(m), x)
        same(torch, nn.AdaptiveMaxPool1d(m, True), torch.nn.AdaptiveMaxPool1d(m, True), x)
