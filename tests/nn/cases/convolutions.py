"""Convolutions and transposed convolutions."""

# ruff: noqa: E501 - tables, a case a line

from __future__ import annotations

from flambeau.errors import DTypeError, OperandError, ShapeError
from tests.nn.harness import case, numbers

CASES = [
    case(
        "Conv1d", 2, 4, 3,
        inputs=numbers(3, 2, 6), output=(3, 4, 4), shows="Conv1d(2, 4, kernel_size=(3,), stride=(1,))",
        wrong=[
            ((numbers(2, 3, 6),), ShapeError, r"Conv1d: an input of shape \(N, 2, L\) or \(2, L\) is needed, not \(2, 3, 6\); the weight has shape \(4, 2, 3\)"),
            ((numbers(2, 2, 2),), ShapeError, r"Conv1d: the window \(3,\) does not fit into the input \(2, 2, 2\)"),
            ((numbers(2, 2, 5) > 0,), DTypeError, "Conv1d: the input is bool, the weights are float32"),
        ],
        refused=[
            ((2, 4, 0), {}, ShapeError, "Conv1d: kernel_size must be at least 1, not 0"),
            ((2, 4, (1, 2)), {}, ShapeError, r"Conv1d: kernel_size must be an integer, not \(1, 2\)"),
            ((2, 4, 2.5), {}, OperandError, "Conv1d: kernel_size must be an integer, not 2.5"),
        ],
    ),
    case(
        "Conv2d", 2, 4, (2, 3), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2, bias=False,
        inputs=numbers(2, 2, 4, 5), output=(2, 4, 3, 5),
        shows="Conv2d(2, 4, kernel_size=(2, 3), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2, bias=False)",
    ),
    case(
        "Conv2d", 1, 2, 3, padding="same", padding_mode="reflect",
        inputs=numbers(2, 1, 3, 4), output=(2, 2, 3, 4),
        shows="Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1), padding='same', padding_mode='reflect')",
    ),
    case("Conv2d", 2, 3, 2, variant="single", batch=None, inputs=numbers(2, 3, 4), output=(3, 2, 3), shows="Conv2d(2, 3, kernel_size=(2, 2), stride=(1, 1))"),
    case(
        "Conv3d", 2, 2, 2, padding=1, padding_mode="circular",
        inputs=numbers(2, 2, 2, 3, 2), output=(2, 2, 3, 4, 3),
        shows="Conv3d(2, 2, kernel_size=(2, 2, 2), stride=(1, 1, 1), padding=(1, 1, 1), padding_mode='circular')",
    ),
    case("ConvTranspose1d", 2, 3, 3, stride=2, inputs=numbers(2, 2, 4), output=(2, 3, 9), shows="ConvTranspose1d(2, 3, kernel_size=(3,), stride=(2,))"),
    case(
        "ConvTranspose2d", 2, 4, (3, 2), stride=(2, 1), padding=(1, 0), output_padding=(1, 0), groups=2, dilation=(1, 2), bias=False,
        inputs=numbers(2, 2, 3, 4), output=(2, 4, 6, 6),
        shows="ConvTranspose2d(2, 4, kernel_size=(3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), output_padding=(1, 0), groups=2, bias=False)",
        refused=[
            ((3, 4, 2), {"groups": 2}, ShapeError, "ConvTranspose2d: in_channels 3 do not divide into 2 groups"),
            ((3, 4, 2), {"padding_mode": "reflect"}, OperandError, "ConvTranspose2d: padding_mode must be one of zeros, not 'reflect'"),
        ],
        wrong=[((numbers(2, 3, 3, 4),), ShapeError, r"ConvTranspose2d: an input of shape \(N, 2, H, W\) or \(2, H, W\) is needed")],
    ),
    case("ConvTranspose3d", 2, 1, 2, inputs=numbers(2, 2, 2, 3, 2), output=(2, 1, 3, 4, 3), shows="ConvTranspose3d(2, 1, kernel_size=(2, 2, 2), stride=(1, 1, 1))"),
]  # fmt: skip
