"""Activations."""

# ruff: noqa: E501 - tables, a case a line

from __future__ import annotations

from typing import Any

from flambeau.errors import DTypeError, OperandError, ShapeError
from tests.nn.harness import Case, Refused, case, numbers, wholes

X = numbers(5, 7, low=-4.0, high=4.0)
FAR = numbers(5, 7, low=-40.0, high=40.0)


def same(layer: str, *args: Any, shows: str, x: Any = X, **options: Any) -> Case:
    """A layer that gives a tensor of the shape it takes."""
    whole = layer not in ("ReLU", "PReLU")
    text = f"{layer}: a floating-point tensor is needed, not int64"
    wrong = [((wholes(3, 2, 2),), DTypeError, text)] if whole else []
    return case(layer, *args, inputs=x, output=x.shape, shows=shows, **{"wrong": wrong, **options})


def no(message: str, *args: Any, **options: Any) -> Refused:
    return (args, options, OperandError, message)


CASES = [
    same("ReLU", shows="ReLU()"),
    same("LeakyReLU", shows="LeakyReLU(negative_slope=0.01)", refused=[no("LeakyReLU: negative_slope must be a number, not '1'", "1")]),
    same("LeakyReLU", 0.3, shows="LeakyReLU(negative_slope=0.3)"),
    same("PReLU", shows="PReLU(num_parameters=1)"),
    same("PReLU", shows="PReLU(num_parameters=1)", x=numbers(4), batch=None, variant="vector"),
    same("PReLU", 7, 0.5, shows="PReLU(num_parameters=7)", refused=[no("PReLU: num_parameters must be a size of at least 1, not 0", 0)],
         wrong=[((numbers(2, 3),), ShapeError, r"PReLU: an input of shape \(N, 7, \.\.\.\) is needed for 7 slopes, not \(2, 3\)")]),
    same("PReLU", 3, shows="PReLU(num_parameters=3)", x=numbers(2, 3, 2, 2)),
    same("RReLU", shows="RReLU(lower=0.125, upper=0.3333333333333333)", training=False),
    same("RReLU", 0.5, 0.5, shows="RReLU(lower=0.5, upper=0.5)", variant="training"),
    same("ELU", shows="ELU(alpha=1.0)", x=FAR),
    same("ELU", 0.7, shows="ELU(alpha=0.7)"),
    same("CELU", shows="CELU(alpha=1.0)", x=FAR, refused=[no("CELU: alpha must not be 0", 0.0)]),
    same("CELU", 0.5, shows="CELU(alpha=0.5)"),
    same("SELU", shows="SELU()"),
    same("GELU", shows="GELU(approximate='none')", x=FAR, refused=[no("GELU: approximate must be 'none' or 'tanh', not 'erf'", "erf")]),
    same("GELU", "tanh", shows="GELU(approximate='tanh')", x=FAR),
    same("GELU", approximate="tanh", shows="GELU(approximate='tanh')"),
    same("SiLU", shows="SiLU()", x=FAR),
    same("Mish", shows="Mish()", x=FAR),
    same("Sigmoid", shows="Sigmoid()", x=FAR),
    same("LogSigmoid", shows="LogSigmoid()", x=FAR),
    same("Tanh", shows="Tanh()", x=FAR),
    same("Tanhshrink", shows="Tanhshrink()"),
    same("Softplus", shows="Softplus(beta=1.0, threshold=20.0)", x=FAR),
    same("Softplus", 2.0, 3.0, shows="Softplus(beta=2.0, threshold=3.0)", variant="bent", finite=False),
    same("Softsign", shows="Softsign()", x=FAR),
    same("ReLU6", shows="ReLU6()", x=2 * X),
    same("Hardtanh", shows="Hardtanh(min_val=-1.0, max_val=1.0)", refused=[no("Hardtanh: min_val must be at most max_val, not 2.0 and 1.0", 2.0, 1.0)]),
    same("Hardtanh", -2.0, 0.5, shows="Hardtanh(min_val=-2.0, max_val=0.5)"),
    same("Hardsigmoid", shows="Hardsigmoid()", double=1e-7),  # PyTorch multiplies by a 1/6 of 24 bits
    same("Hardswish", shows="Hardswish()"),
    same("Hardshrink", shows="Hardshrink(lambd=0.5)"),
    same("Hardshrink", 1.5, shows="Hardshrink(lambd=1.5)"),
    same("Softshrink", shows="Softshrink(lambd=0.5)", refused=[no("Softshrink: lambd must be at least 0, not -1.0", -1.0)]),
    same("Softshrink", 1.5, shows="Softshrink(lambd=1.5)"),
    same("Threshold", 0.5, -2.0, shows="Threshold(threshold=0.5, value=-2.0)"),
    same("Softmax", 1, shows="Softmax(dim=1)", x=FAR, refused=[no("Softmax: dim must be an axis, not None", None)]),
    same("Softmax", dim=-2, shows="Softmax(dim=-2)", x=numbers(2, 3, 4)),
    same("Softmin", 1, shows="Softmin(dim=1)"),
    same("LogSoftmax", 1, shows="LogSoftmax(dim=1)", x=FAR),
    same("Softmax2d", shows="Softmax2d()", x=numbers(2, 3, 2, 2), wrong=[((X,), ShapeError, r"Softmax2d: an input of shape \(N, C, H, W\) or \(C, H, W\) is needed, not \(5, 7\)")]),
    same("Softmax2d", shows="Softmax2d()", x=numbers(3, 2, 2), batch=None, variant="image", wrong=()),
    case("GLU", inputs=numbers(5, 6), output=(5, 3), shows="GLU(dim=-1)", wrong=[((X,), ShapeError, r"GLU: axis -1 of shape \(5, 7\) cannot be halved")]),
    case("GLU", 1, inputs=numbers(2, 4, 3), output=(2, 2, 3), shows="GLU(dim=1)"),
]  # fmt: skip
