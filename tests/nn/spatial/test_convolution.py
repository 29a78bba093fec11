"""Convolutions beside PyTorch, in all options."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.errors import DTypeError, ShapeError
from flambeau.nn import functional as F
from tests.nn.harness import numbers
from tests.nn.spatial.beside import refused, same

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

# input, (out channels, kernel size), options
CONVS: list[tuple[tuple[int, ...], int, Any, dict[str, Any]]] = [
    ((2, 4, 9), 6, 3, {}),
    ((1, 4, 9), 6, 4, {"stride": 2, "padding": 3, "dilation": 2, "groups": 2, "bias": False}),
    ((4, 7), 2, 2, {"padding": "same"}),
    ((2, 2, 5), 2, 1, {"stride": 3}),
    ((2, 4, 7, 6), 6, 3, {"padding": 1}),
    ((1, 4, 7, 8), 4, (3, 2), {"stride": (2, 3), "padding": (2, 1), "dilation": (1, 2), "groups": 4}),
    ((4, 5, 6), 2, (2, 4), {"padding": "same", "dilation": (1, 2), "groups": 2}),
    ((2, 4, 5, 5), 4, 5, {"padding": "valid"}),
    ((2, 3, 1, 1), 5, 3, {"padding": 1, "stride": 2}),
    ((2, 2, 4, 5, 6), 4, (2, 3, 2), {"stride": (1, 2, 2), "padding": (1, 0, 2), "groups": 2}),
    ((2, 3, 4, 3), 2, 2, {"padding": "same", "dilation": (1, 2, 1)}),
    *[
        ((2, 2, 5, 7), 4, (3, 4), {"padding_mode": mode, "padding": padding})
        for mode, padding in (("reflect", (1, 2)), ("replicate", "same"), ("circular", (2, 1)))
    ],
    ((2, 2, 7), 4, 4, {"padding_mode": "circular", "padding": "same"}),
    ((2, 3, 4, 5), 4, (2, 1, 3), {"padding_mode": "reflect", "padding": 1}),
]


def _layer(kind: str, shape: tuple[int, ...], out: int, kernel: Any, options: dict[str, Any]) -> Any:
    count = _count(shape, kernel, options)
    channels = shape[len(shape) - count - 1]
    theirs = getattr(torch.nn, f"{kind}{count}d")(channels, out, kernel, dtype=torch.float64, **options)
    ours = getattr(nn, f"{kind}{count}d")(channels, out, kernel, dtype=fb.float64, **options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert repr(ours).replace("'", "") == repr(theirs)
    ours.load_state_dict({name: fb.asarray(t.numpy()) for name, t in theirs.state_dict().items()})
    return ours, theirs


def _count(shape: tuple[int, ...], kernel: Any, options: dict[str, Any]) -> int:
    for value in (kernel, *options.values()):
        if isinstance(value, tuple):
            return len(value)
    return len(shape) - 1 if len(shape) == 2 else len(shape) - 2


@pytest.mark.parametrize(("shape", "out", "kernel", "options"), CONVS, ids=str)
def test_conv(shape: tuple[int, ...], out: int, kernel: Any, options: dict[str, Any]) -> None:
    ours, theirs = _layer("Conv", shape, out, kernel, options)
    same(torch, ours, theirs, numbers(*shape))
    for name, p in ours.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), dict(theirs.named_parameters())[name].grad, atol=1e-9)


TRANSPOSES: list[tuple[tuple[int, ...], int, Any, dict[str, Any], Any]] = [
    ((2, 4, 5), 6, 3, {}, None),
    ((4, 5), 6, 4, {"stride": 3, "padding": 2, "output_padding": 2, "groups": 2, "bias": False}, None),
    ((1, 2, 5), 2, 2, {"stride": 4}, [19]),
    ((2, 4, 3, 4), 2, (3, 2), {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 3), "groups": 2}, None),
    ((1, 4, 3, 1), 4, 3, {"stride": 2, "padding": 1, "output_padding": 1, "groups": 4}, None),
    ((2, 2, 4, 4), 2, 3, {"stride": 2, "padding": 1}, [8, 7]),
    ((1, 2, 4, 4), 2, 3, {"stride": 2, "padding": 1}, [1, 2, 7, 8]),
    ((2, 2, 2, 3, 2), 3, (2, 1, 3), {"stride": 2, "padding": (1, 0, 1), "output_padding": (0, 1, 1)}, None),
    ((2, 3, 4, 3), 3, 2, {"padding": (1, 0, 1)}, None),
]


@pytest.mark.parametrize(("shape", "out", "kernel", "options", "size"), TRANSPOSES, ids=str)
def test_conv_transpose(
    shape: tuple[int, ...], out: int, kernel: Any, options: dict[str, Any], size: Any
) -> None:
    ours, theirs = _layer("ConvTranspose", shape, out, kernel, options)
    same(torch, lambda x: ours(x, size), lambda x: theirs(x, size), numbers(*shape))
    for name, p in ours.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), dict(theirs.named_parameters())[name].grad, atol=1e-9)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_functions(count: int) -> None:
    x, b = numbers(2, 4, *(5,) * count), numbers(6)
    w, wt = numbers(6, 2, *(3,) * count), numbers(4, 3, *(3,) * count)
    T = torch.nn.functional
    for name, weight in ((f"conv{count}d", w), (f"conv_transpose{count}d", wt)):
        options = {"stride": 2, "padding": 1, "groups": 2, "dilation": 1}
        mine, other = getattr(F, name), getattr(T, name)
        same(
            torch,
            lambda x, w, b, f=mine, o=options: f(x, w, b, **o),
            lambda x, w, b, f=other, o=options: f(x, w, b, **o),
            x,
            weight,
            b,
        )


def test_float32_agrees() -> None:
    ours, theirs = nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(3, 8, 3, padding=1)
    ours.load_state_dict({name: fb.asarray(t.numpy()) for name, t in theirs.state_dict().items()})
    x = numbers(2, 3, 9, 9).astype(np.float32)
    np.testing.assert_allclose(
        ours(fb.asarray(x)).numpy(), theirs(torch.tensor(x)).detach(), rtol=0, atol=2e-5
    )


@pytest.mark.parametrize(
    ("name", "args"),
    [("Conv2d", (6, 8, 3, 1, 0, 1, 2)), ("ConvTranspose2d", (6, 8, 3, 1, 0, 0, 2)), ("Conv1d", (4, 400, 5))],
)
def test_initial_values_spread_like_those_of_pytorch(name: str, args: tuple[int, ...]) -> None:
    ours, theirs = getattr(nn, name)(*args), getattr(torch.nn, name)(*args)
    for key, t in theirs.state_dict().items():
        mine = ours.state_dict()[key].numpy()
        assert mine.shape == tuple(t.shape)
        bound = 1 / np.sqrt(np.prod(theirs.weight.shape[1:]))
        assert np.abs(mine).max() <= bound
        assert np.abs(mine).max() > 0.7 * bound


def test_what_both_refuse() -> None:
    x4, t4 = fb.zeros((2, 3, 4, 4)), torch.zeros((2, 3, 4, 4))
    ours, theirs = nn.Conv2d(3, 5, 5), torch.nn.Conv2d(3, 5, 5)
    refused(
        lambda: ours(x4),
        lambda: theirs(t4),
        r"Conv2d: the window \(5, 5\) does not fit into the input \(2, 3, 4, 4\), which is \(4, 4\)",
    )
    wrong, t_wrong = fb.zeros((2, 4, 9, 9)), torch.zeros((2, 4, 9, 9))
    refused(
        lambda: ours(wrong),
        lambda: theirs(t_wrong),
        r"Conv2d: an input of shape \(N, 3, H, W\) or \(3, H, W\) is needed, not \(2, 4, 9, 9\); "
        r"the weight has shape \(5, 3, 5, 5\)",
    )
    flat, t_flat = fb.zeros((9, 9)), torch.zeros((9, 9))
    refused(lambda: ours(flat), lambda: theirs(t_flat), r"Conv2d: an input of shape \(N, 3, H, W\)")
    for args, message in (
        ((3, 4, 2, 1, 0, 1, 2), r"in_channels 3 do not divide into 2 groups"),
        ((4, 3, 2, 1, 0, 1, 2), r"out_channels 3 do not divide into 2 groups"),
        ((4, 4, 2, 2, "same"), r"padding 'same' needs stride 1, not \(2, 2\)"),
        ((4, 4, 2, 1, "half"), r"padding must be numbers, 'same' or 'valid', not 'half'"),
    ):
        refused(lambda a=args: nn.Conv2d(*a), lambda a=args: torch.nn.Conv2d(*a), message)
    refused(
        lambda: nn.Conv2d(2, 2, 2, padding_mode="mirror"),
        lambda: torch.nn.Conv2d(2, 2, 2, padding_mode="mirror"),
        "padding_mode must be one of zeros, reflect, replicate, circular, not 'mirror'",
    )
    double, t_double = x4.astype(fb.float64), t4.double()
    refused(
        lambda: nn.Conv2d(3, 1, 2)(double),
        lambda: torch.nn.Conv2d(3, 1, 2)(t_double),
        "Conv2d: the input is float64, the weights are float32",
    )


def test_what_both_refuse_of_transposed_convolutions() -> None:
    x, t = fb.zeros((2, 3, 4, 4)), torch.zeros((2, 3, 4, 4))
    refused(
        lambda: nn.ConvTranspose2d(3, 1, 3, stride=2, output_padding=2)(x),
        lambda: torch.nn.ConvTranspose2d(3, 1, 3, stride=2, output_padding=2)(t),
        r"output_padding \(2, 2\) must be smaller than the stride \(2, 2\)",
    )
    refused(
        lambda: nn.ConvTranspose2d(3, 1, 3, stride=2)(x, output_size=(9, 12)),
        lambda: torch.nn.ConvTranspose2d(3, 1, 3, stride=2)(t, output_size=(9, 12)),
        r"output_size \(9, 12\) must lie between \(9, 9\) and \(10, 10\) for an input",
    )
    refused(
        lambda: nn.ConvTranspose2d(3, 1, 1, padding=3)(x),
        lambda: torch.nn.ConvTranspose2d(3, 1, 1, padding=3)(t),
        r"padding \(3, 3\) leaves nothing",
    )
    refused(
        lambda: nn.ConvTranspose2d(4, 1, 3)(x),
        lambda: torch.nn.ConvTranspose2d(4, 1, 3)(t),
        r"ConvTranspose2d: an input of shape \(N, 4, H, W\) or \(4, H, W\) is needed, not \(2, 3, 4, 4\)",
    )


def test_errors_name_line_and_layer() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(3, 4, 3))
    with pytest.raises(ShapeError, match=r"(?s)\(N, 3, H, W\).*not \(1, 4, 6, 6\).*at .*\n  in layer .*1"):
        net(fb.zeros((1, 1, 8, 8)))
    with pytest.raises(ShapeError, match=r"conv2d: a bias of shape \(4,\) is needed, not \(3,\)"):
        F.conv2d(fb.zeros((1, 2, 4, 4)), fb.zeros((4, 2, 1, 1)), fb.zeros(3))
    with pytest.raises(ShapeError, match=r"conv2d: a weight of shape \(O, C / groups, \*window\) is needed"):
        F.conv2d(fb.zeros((1, 2, 4, 4)), fb.zeros((4, 2, 1)))
    with pytest.raises(DTypeError, match="conv1d: the bias is float64"):
        F.conv1d(fb.zeros((1, 2, 4)), fb.zeros((4, 2, 1)), fb.zeros(4, dtype=fb.float64))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_small_windows() -> None:
    """Every combination of small sizes, in one dimension, there and back."""
    for n, k, s, p, d in itertools.product(range(1, 7), range(1, 4), range(1, 4), range(3), (1, 2)):
        x, w = numbers(1, 2, n), numbers(2, 1, k)
        for name, options in (
            ("conv1d", {}),
            *[("conv_transpose1d", {"output_padding": extra}) for extra in range(2)],
        ):
            more: dict[str, Any] = {"stride": s, "padding": p, "dilation": d, "groups": 2, **options}
            ours = functools.partial(getattr(F, name), **more)
            theirs = functools.partial(getattr(torch.nn.functional, name), **more)
            try:
                theirs(*[torch.tensor(a, requires_grad=True) for a in (x, w)])
            except RuntimeError:
                with pytest.raises(ShapeError, match=name):
                    ours(fb.asarray(x), fb.asarray(w))
            else:
                same(torch, ours, theirs, x, w)
