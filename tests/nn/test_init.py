"""Initial values: in place, from a seed or a generator, and distributed as they should be."""

# ruff: noqa: E501 - tables, a case a line

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.errors import DTypeError, OperandError, ShapeError

init = nn.init
FAN_IN, FAN_OUT = 120, 180

# name: options, the standard deviation, the largest value (None for normal distributions)
SPREADS: dict[str, tuple[Any, dict[str, Any], float, float | None]] = {
    "uniform": (init.uniform_, {"a": -2.0, "b": 2.0}, 2 / math.sqrt(3), 2.0),
    "normal": (init.normal_, {"std": 0.5}, 0.5, None),
    "xavier-uniform": (init.xavier_uniform_, {"gain": 2.0}, 2 / math.sqrt(150), 2 * math.sqrt(3 / 150)),
    "xavier-normal": (init.xavier_normal_, {}, 1 / math.sqrt(150), None),
    "kaiming-uniform": (init.kaiming_uniform_, {}, math.sqrt(2 / FAN_IN), math.sqrt(6 / FAN_IN)),
    "kaiming-uniform-5": (init.kaiming_uniform_, {"a": math.sqrt(5)}, math.sqrt(1 / 3 / FAN_IN), math.sqrt(1 / FAN_IN)),
    "kaiming-normal": (init.kaiming_normal_, {"mode": "fan_out", "nonlinearity": "relu"}, math.sqrt(2 / FAN_OUT), None),
    "trunc-normal": (init.trunc_normal_, {"std": 0.5, "a": -1.0, "b": 1.0}, 0.5 * 0.8796, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", SPREADS)
def test_spreads(name: str) -> None:
    function, options, std, largest = SPREADS[name]
    parameter = nn.Parameter(fb.zeros((60, 40, 3)))
    assert function(parameter, **options) is parameter
    assert parameter.requires_grad and parameter.is_leaf and parameter.dtype is fb.float32
    values = parameter.numpy()
    n = values.size
    assert abs(values.mean()) < 4 * std / math.sqrt(n)
    assert abs(values.std() / std - 1) < 4 / math.sqrt(n)
    if largest is not None:
        assert 0.99 * largest < np.abs(values).max() <= largest * (1 + 1e-6)
    else:
        assert np.abs(values).max() > 2.5 * std


@pytest.mark.parametrize("name", [*SPREADS, "orthogonal", "sparse"])
def test_seeds_and_generators(name: str) -> None:
    others = {"orthogonal": (init.orthogonal_, {}), "sparse": (init.sparse_, {"sparsity": 0.3})}
    function, options = others[name] if name in others else SPREADS[name][:2]
    made = []
    for use in (None, None, fb.random.Generator(3), fb.random.Generator(3), fb.random.Generator(4)):
        fb.random.seed(3)
        made.append(function(fb.zeros((4, 5)), generator=use, **options).numpy().tobytes())
        assert use is None or fb.random.default_generator().state == (3, 0)
    assert made[0] == made[1] == made[2] == made[3] != made[4]


@pytest.mark.parametrize(("a", "b"), [(-2.0, 2.0), (-100.0, 0.5), (1.0, 1.5), (3.0, 100.0), (-5.0, -3.0)])
@pytest.mark.parametrize("dtype", [fb.float32, fb.float64])
def test_truncated_normals(a: float, b: float, dtype: Any) -> None:
    x = init.trunc_normal_(fb.zeros(4000, dtype=dtype), a=a, b=b).numpy()
    assert x.min() >= a and x.max() <= b
    cdf = np.vectorize(lambda z: 0.5 * math.erfc(-z / math.sqrt(2)))
    low, high = (0.5 * math.erfc(-z / math.sqrt(2)) for z in (a, b))
    ranks = np.sort((cdf(x.astype(float)) - low) / (high - low))
    steps = (np.arange(ranks.size) + 0.5) / ranks.size
    assert np.abs(ranks - steps).max() < 1.9 / math.sqrt(ranks.size)  # Kolmogorov and Smirnov, 0.1 %


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (6, 2, 2), (1, 1)])
@pytest.mark.parametrize("dtype", [fb.float64, fb.bfloat16])
def test_orthogonal(shape: Any, dtype: Any) -> None:
    w = init.orthogonal_(fb.zeros(shape, dtype=dtype), gain=2.0).numpy().astype(float).reshape(shape[0], -1)
    small = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-12 if dtype is fb.float64 else 0.1)


def test_sparse() -> None:
    w = init.sparse_(fb.zeros((50, 30)), 0.25, std=2.0).numpy()
    assert ((w == 0).sum(0) == 13).all() and len({tuple(column) for column in (w == 0).T}) == 30
    assert abs(w[w != 0].std() - 2) < 0.2


@pytest.mark.torch
def test_constants_and_gains_are_those_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.init
    for shape in ((3, 5), (5, 3)):
        assert init.eye_(fb.ones(shape)).tolist() == theirs.eye_(torch.ones(shape)).tolist()
    for shape, groups in (((4, 2, 3), 1), ((4, 2, 3), 2), ((2, 4, 3, 2), 1), ((6, 1, 3, 3, 3), 3)):
        assert (
            init.dirac_(fb.ones(shape), groups).tolist() == theirs.dirac_(torch.ones(shape), groups).tolist()
        )
    assert init.constant_(fb.zeros(3, dtype=fb.bfloat16), 0.5).tolist() == [0.5] * 3
    assert init.ones_(fb.zeros((2, 1))).tolist() == [[1.0], [1.0]] and init.zeros_(fb.ones(1)).tolist() == [
        0.0
    ]
    for name in ("linear", "conv2d", "conv_transpose3d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert init.calculate_gain(name) == pytest.approx(theirs.calculate_gain(name), rel=1e-12)
    assert init.calculate_gain("leaky_relu", 0.2) == pytest.approx(theirs.calculate_gain("leaky_relu", 0.2))


def test_optimizers_keep_initialised_parameters() -> None:
    layer = nn.Linear(3, 2)
    optimizer = fb.optim.SGD(layer.parameters(), lr=0.5)
    init.ones_(layer.weight)
    fb.sum(layer(fb.ones((1, 3)))).backward()
    optimizer.step()
    assert layer.weight.tolist() == [[0.5] * 3] * 2


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: init.ones_([1.0]), OperandError, "ones_: a tensor is needed, not list"),
        (
            lambda: init.zeros_(fb.asarray([1])),
            DTypeError,
            "zeros_: a floating-point tensor is needed, not int64",
        ),
        (
            lambda: init.eye_(fb.zeros(3)),
            ShapeError,
            r"eye_: a tensor with 2 axes is needed, not shape \(3,\)",
        ),
        (lambda: init.dirac_(fb.zeros((3, 2))), ShapeError, "dirac_: a tensor with 3 to 5 axes is needed"),
        (
            lambda: init.dirac_(fb.zeros((3, 2, 1)), 2),
            OperandError,
            "dirac_: 3 output channels cannot be divided",
        ),
        (
            lambda: init.xavier_normal_(fb.zeros(3)),
            ShapeError,
            "xavier_normal_: a tensor with at least 2 axes",
        ),
        (
            lambda: init.kaiming_normal_(fb.zeros((3, 2)), mode="in"),
            OperandError,
            "kaiming_normal_: mode must be",
        ),
        (
            lambda: init.calculate_gain("gelu"),
            OperandError,
            "calculate_gain: 'gelu' is none of linear, sigmoid",
        ),
        (
            lambda: init.trunc_normal_(fb.zeros(3), a=1.0, b=0.0),
            OperandError,
            "trunc_normal_: a < b and std > 0",
        ),
        (
            lambda: init.sparse_(fb.zeros((3, 2)), 1.5),
            OperandError,
            "sparse_: sparsity must be a part from 0 to 1",
        ),
    ],
)
def test_what_is_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
