"""Layers and losses, alone and one after another, and builders that no public function offers yet."""

# ruff: noqa: E501 - tables, a case a line

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import flambeau as fb
from flambeau.primitives import arranging, composites, convolution, windows
from flambeau.primitives.cumulative import linear_recurrence
from flambeau.tensor import apply
from tests.ops.families.case import Case, case, numbers

nn = fb.nn
X, W, BIAS = numbers(4, 3), numbers(5, 3), numbers(5)
W2, BIAS2 = numbers(2, 5), numbers(2)
LOGITS, LABELS = numbers(4, 5), np.array([0, 4, 2, 2])


class _With:
    """A layer whose parameters are replaced by tensors for one call, so that these are differentiated."""

    def __init__(self, layer: Any, **parameters: Any) -> None:
        self.layer = layer
        for name, value in parameters.items():
            object.__setattr__(layer, name, value)

    def __call__(self, x: Any) -> Any:
        return self.layer(x)


def _linear(x: Any, w: Any, *bias: Any) -> Any:
    layer = nn.Linear(w.shape[1], w.shape[0], bias=bool(bias))
    parameters = {"weight": w} | ({"bias": bias[0]} if bias else {})
    return _With(layer, **parameters)(x)


def _network(x: Any, w: Any, b: Any, w2: Any, b2: Any) -> Any:
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    _With(model[0], weight=w, bias=b)
    _With(model[2], weight=w2, bias=b2)
    return model(x)


def _their_network(t: Any, x: Any, w: Any, b: Any, w2: Any, b2: Any) -> Any:
    f = t.nn.functional
    return f.linear(t.relu(f.linear(x, w, b)), w2, b2)


def _their_checkpoint(t: Any, x: Any, w: Any) -> Any:
    from torch.utils.checkpoint import checkpoint

    return checkpoint(lambda a, b: t.tanh(a @ b.T), x, w, use_reentrant=False)


def _attention(q: Any, k: Any, v: Any) -> Any:
    return fb.softmax(q @ k.mT / 3.0**0.5, axis=-1) @ v


def _layer_norm(x: Any, w: Any, b: Any) -> Any:
    centred = x - fb.mean(x, axis=-1, keepdims=True)
    return centred * fb.rsqrt(fb.var(x, axis=-1, keepdims=True) + 1e-5) * w + b


PUBLIC = [
    case("nn.Linear", _linear, lambda t, x, w, b: t.nn.functional.linear(x, w, b), X, W, BIAS),
    case("nn.Linear", _linear, lambda t, x, w: t.nn.functional.linear(x, w), numbers(2, 2, 3), W, variant="no-bias"),
    case("relu", lambda x: nn.ReLU()(x), lambda t, x: t.nn.functional.relu(x), X, variant="layer"),
    case("nn.Sequential", _network, _their_network, X, W, BIAS, W2, BIAS2),
    case("nn.cross_entropy", nn.functional.cross_entropy, lambda t, x, y: t.nn.functional.cross_entropy(x, y), LOGITS, LABELS),
    case("nn.cross_entropy", lambda x, y: nn.CrossEntropyLoss()(x * 100.0, y), lambda t, x, y: t.nn.functional.cross_entropy(x * 100.0, y), LOGITS, LABELS, variant="large"),
    case("nn.mse_loss", nn.functional.mse_loss, lambda t, x, y: t.nn.functional.mse_loss(x, y), X, numbers(4, 3, seed=1)),
    case("checkpoint", lambda x, w: fb.checkpoint(lambda a, b: fb.tanh(a @ b.T))(x, w), _their_checkpoint, X, W),
    case("attention", _attention, lambda t, q, k, v: t.nn.functional.scaled_dot_product_attention(q, k, v), numbers(2, 4, 3), numbers(2, 5, 3), numbers(2, 5, 2), variant="composed"),
    case("layer norm", _layer_norm, lambda t, x, w, b: t.nn.functional.layer_norm(x, (5,), w, b), numbers(3, 5), BIAS, numbers(5, seed=1), variant="composed"),
]  # fmt: skip


def _builder(
    name: str, fn: Callable[..., Any], attrs: tuple[Any, ...], theirs: Any, *arrays: Any, variant: str = ""
) -> Case:
    def ours(*tensors: Any) -> Any:
        return apply(fn, attrs, *tensors)

    return case(name, ours, theirs, *arrays, variant=variant, public=False)


def _named(fn: Callable[..., Any], theirs: str, x: Any, *attrs: Any) -> Case:
    return _builder(fn.__name__, fn, attrs, lambda t, x: getattr(t.nn.functional, theirs)(x, *attrs), x)


ACTIVATIONS = [
    _named(composites.gelu, "gelu", numbers(3, 5)),
    _builder("gelu", composites.gelu, ("tanh",), lambda t, x: t.nn.functional.gelu(x, approximate="tanh"), numbers(3, 5), variant="tanh"),
    _named(composites.silu, "silu", numbers(3, 5)),
    _named(composites.softplus, "softplus", numbers(3, 5)),
    _named(composites.log_sigmoid, "logsigmoid", numbers(3, 5, low=-20.0, high=20.0)),
    _named(composites.leaky_relu, "leaky_relu", numbers(3, 5), 0.2),
    _named(composites.elu, "elu", numbers(3, 5), 1.5),
    _named(composites.selu, "selu", numbers(3, 5)),
    _named(composites.mish, "mish", numbers(3, 5)),
    _named(composites.relu6, "relu6", numbers(3, 5, low=-9.0, high=9.0)),
    _builder("hard_sigmoid", composites.hard_sigmoid, (), lambda t, x: t.clamp(x / 6 + 0.5, 0, 1), numbers(3, 5, low=-5.0, high=5.0)),
    _named(composites.hard_silu, "hardswish", numbers(3, 5, low=-5.0, high=5.0)),
    _named(composites.softsign, "softsign", numbers(3, 5)),
]  # fmt: skip

IMAGE, SIGNAL = numbers(2, 4, 6, 5), numbers(2, 3, 9)
WINDOWS = [
    _builder("conv1d", convolution.conv, ((2,), ((1, 1),), (2,)), lambda t, x, w: t.nn.functional.conv1d(x, w, stride=2, padding=1, dilation=2), SIGNAL, numbers(2, 3, 3)),
    _builder("conv2d", convolution.conv, (), lambda t, x, w: t.nn.functional.conv2d(x, w), IMAGE[:1], numbers(2, 4, 3, 2)),
    _builder("conv2d", convolution.conv, ((1, 2), ((1, 1), (0, 0)), None, 2), lambda t, x, w: t.nn.functional.conv2d(x, w, stride=(1, 2), padding=(1, 0), groups=2), IMAGE[:1], numbers(2, 2, 3, 2), variant="groups"),
    _builder("conv_transpose1d", convolution.conv_transpose, ((2,), (1,), (1,), (1,)), lambda t, x, w: t.nn.functional.conv_transpose1d(x, w, stride=2, padding=1, output_padding=1), SIGNAL[:1, :, :4], numbers(3, 2, 3)),
    _builder("max_pool2d", windows.reduce_window, ("max", (1, 1, 2, 2), (1, 1, 2, 2)), lambda t, x: t.nn.functional.max_pool2d(x, 2), IMAGE[:1]),
    _builder("sum_pool2d", windows.reduce_window, ("sum", (1, 1, 2, 2), (1, 1, 2, 1)), lambda t, x: t.nn.functional.avg_pool2d(x, 2, (2, 1)) * 4, IMAGE[:1]),
    _builder("diag_embed", arranging.diagonal_matrix, (1,), lambda t, x: t.diag_embed(x, 1), X),
    _builder("linear_recurrence", linear_recurrence, (1,), None, X, numbers(4, 3, seed=1)),
]  # fmt: skip

CASES: list[Case] = [*PUBLIC, *ACTIVATIONS, *WINDOWS]
