"""Dense layers."""

# ruff: noqa: E501 - tables, a case a line

from __future__ import annotations

from flambeau.errors import DTypeError, OperandError, ShapeError
from tests.nn.harness import case, numbers

CASES = [
    case(
        "Linear",
        5,
        3,
        inputs=numbers(7, 5),
        output=(7, 3),
        shows="Linear(5, 3, bias=True)",
        wrong=[
            ((numbers(7, 4),), ShapeError, r"Linear: an input of shape \(\.\.\., 5\) is needed, not \(7, 4\)"),
            ((numbers(7, 5) > 0,), DTypeError, "Linear: the input is bool, the weights are float32"),
        ],
        refused=[((-1, 3), {}, OperandError, "Linear: in_features must be a size, not -1")],
    ),
    case("Linear", 3, 1, inputs=numbers(2, 2, 3), output=(2, 2, 1), shows="Linear(3, 1, bias=False)", bias=False),
]  # fmt: skip
