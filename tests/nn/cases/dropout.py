"""Dropout: identity in evaluation; what it does in training is in ``test_dropout``."""

# ruff: noqa: E501 - tables, a case a line

from __future__ import annotations

from typing import Any

from flambeau.errors import DTypeError, OperandError, ShapeError
from tests.nn.harness import Case, case, numbers, wholes


def drop(layer: str, *shape: int, bad: Any = None, **options: Any) -> Case:
    whole = ((wholes(3, *shape),), DTypeError, f"{layer}: a floating-point tensor is needed, not int64")
    no = ((1.5,), {}, OperandError, f"{layer}: p must be a probability from 0 to 1, not 1.5")
    return case(
        layer,
        0.3,
        inputs=numbers(*shape),
        output=shape,
        shows=f"{layer}(p=0.3)",
        wrong=[whole],
        refused=[no],
        training=False,
        **options,
    )


CASES = [
    drop("Dropout", 5, 7),
    drop("Dropout1d", 2, 3, 5),
    drop("Dropout2d", 2, 3, 2, 3),
    drop("Dropout3d", 2, 3, 2, 1, 3),
    drop("AlphaDropout", 5, 7),
    drop("FeatureAlphaDropout", 2, 3, 4),
    case("Dropout", 0.0, inputs=numbers(5, 7), output=(5, 7), shows="Dropout(p=0.0)", variant="none"),
    case("Dropout1d", 0.0, inputs=numbers(3, 5), output=(3, 5), shows="Dropout1d(p=0.0)", batch=None, variant="none",
         wrong=[((numbers(2, 3, 4, 5),), ShapeError, r"Dropout1d: an input of shape \(N, C, L\) or \(C, L\) is needed, not \(2, 3, 4, 5\)")]),
    case("Dropout2d", 0.0, inputs=numbers(2, 3, 2, 3), output=(2, 3, 2, 3), shows="Dropout2d(p=0.0)", variant="none",
         wrong=[((numbers(2, 3),), ShapeError, r"Dropout2d: an input of shape \(N, C, H, W\) or \(C, H, W\) is needed, not \(2, 3\)")]),
    case("Dropout3d", 0.0, inputs=numbers(2, 3, 2, 1, 3), output=(2, 3, 2, 1, 3), shows="Dropout3d(p=0.0)", variant="none"),
    case("AlphaDropout", 0.0, inputs=numbers(5, 7), output=(5, 7), shows="AlphaDropout(p=0.0)", variant="none"),
    case("FeatureAlphaDropout", 0.0, inputs=numbers(2, 3, 4), output=(2, 3, 4), shows="FeatureAlphaDropout(p=0.0)", variant="none",
         wrong=[((numbers(3),), ShapeError, r"FeatureAlphaDropout: an input of shape \(N, C, \.\.\.\) is needed, not \(3,\)")]),
]  # fmt: skip
