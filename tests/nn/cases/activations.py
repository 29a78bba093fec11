"""Activations."""

from __future__ import annotations

from tests.nn.harness import case, numbers

X = numbers(5, 7)

CASES = [
    case("ReLU", inputs=X, output=(5, 7), shows="ReLU()"),
]  # fmt: skip
