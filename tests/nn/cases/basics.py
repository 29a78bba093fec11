"""Layers that look up, reshape, and compare."""

# ruff: noqa: E501 - tables, a case a line

from __future__ import annotations

import numpy as np

from flambeau.errors import DTypeError, OperandError, ShapeError
from tests.nn.harness import case, numbers, wholes

A, B = numbers(5, 3), numbers(5, 3, seed=1)

CASES = [
    case("Identity", inputs=numbers(5, 3), output=(5, 3), shows="Identity()", strict=False),
    case("Flatten", inputs=numbers(3, 2, 2, 3), output=(3, 12), shows="Flatten(start_dim=1, end_dim=-1)",
         wrong=[((numbers(3),), ShapeError, "Flatten: axis 1 is out of range")],
         refused=[(("1",), {}, OperandError, "Flatten: start_dim must be an axis, not '1'")]),
    case("Flatten", 1, 2, inputs=numbers(3, 2, 2, 3), output=(3, 4, 3), shows="Flatten(start_dim=1, end_dim=2)"),
    case("Unflatten", 1, (2, 3), inputs=numbers(5, 6, 2), output=(5, 2, 3, 2), shows="Unflatten(dim=1, unflattened_size=(2, 3))",
         wrong=[((numbers(5, 4),), ShapeError, r"Unflatten: axis 1 of shape \(5, 4\) cannot be divided into \(2, 3\)")],
         refused=[((1, "ab"), {}, OperandError, "Unflatten: unflattened_size must be sizes, not 'ab'")]),
    case("Unflatten", -1, (-1, 3), inputs=numbers(5, 6), output=(5, 2, 3), shows="Unflatten(dim=-1, unflattened_size=(-1, 3))",
         wrong=[((numbers(5, 4),), ShapeError, r"Unflatten: axis -1 of shape \(5, 4\) cannot be divided into \(-1, 3\)")]),
    case("Embedding", 7, 3, inputs=wholes(7, 5, 2), output=(5, 2, 3), shows="Embedding(7, 3)",
         wrong=[((np.asarray([0, 7]),), IndexError, "Embedding: an index: 7 is not in the range from 0 to 6"),
                ((np.asarray([0, -1]),), IndexError, "Embedding: an index: -1 is not in the range"),
                ((numbers(2),), DTypeError, "Embedding: integers are needed as indices, not float32")],
         refused=[((0, 3), {}, OperandError, "Embedding: num_embeddings must be a size of at least 1, not 0"),
                  ((3, 3, 3), {}, OperandError, "Embedding: padding_idx must be the index of one of 3 rows, not 3")]),
    case("Embedding", 4, 3, padding_idx=2, inputs=np.asarray([[2, 0], [1, 2], [3, 3]], np.int32), output=(3, 2, 3), shows="Embedding(4, 3, padding_idx=2)", finite=False),
    case("Bilinear", 3, 4, 2, inputs=(A, numbers(5, 4)), output=(5, 2), shows="Bilinear(3, 4, 2, bias=True)",
         wrong=[((A, A), ShapeError, r"Bilinear: inputs of shapes \(\.\.\., 3\) and \(\.\.\., 4\) are needed, not \(5, 3\) and \(5, 3\)"),
                ((A, numbers(4, 4)), ShapeError, r"Bilinear: inputs of shapes \(5, 3\) and \(4, 4\) do not have the same examples"),
                ((A, wholes(3, 5, 4)), DTypeError, "Bilinear: the input is int64, the weights are float32")],
         refused=[((3, 0, 2), {}, OperandError, "Bilinear: in2_features must be a size of at least 1, not 0")]),
    case("Bilinear", 2, 1, 3, bias=False, inputs=(numbers(2, 3, 2), numbers(2, 3, 1)), output=(2, 3, 3), shows="Bilinear(2, 1, 3, bias=False)"),
    case("CosineSimilarity", inputs=(A, B), output=(5,), shows="CosineSimilarity(dim=1, eps=1e-08)",
         wrong=[((A, numbers(5, 4)), ShapeError, r"CosineSimilarity: shapes \(5, 3\) and \(5, 4\) do not fit each other"),
                ((A, wholes(3, 5, 3)), DTypeError, "CosineSimilarity: a floating-point tensor is needed, not int64")]),
    case("CosineSimilarity", -1, 1e-3, inputs=(numbers(2, 3, 4), numbers(2, 1, 4)), output=(2, 3), shows="CosineSimilarity(dim=-1, eps=0.001)"),
    case("PairwiseDistance", inputs=(A, B), output=(5,), shows="PairwiseDistance(p=2.0, eps=1e-06, keepdim=False)",
         wrong=[((A, numbers(4, 3)), ShapeError, r"PairwiseDistance: shapes \(5, 3\) and \(4, 3\) do not fit each other")]),
    case("PairwiseDistance", 1.0, keepdim=True, inputs=(A, B), output=(5, 1), shows="PairwiseDistance(p=1.0, eps=1e-06, keepdim=True)"),
    case("PairwiseDistance", 3.0, inputs=(A, B), output=(5,), shows="PairwiseDistance(p=3.0, eps=1e-06, keepdim=False)"),
    case("PairwiseDistance", float("inf"), inputs=(A, B), output=(5,), shows="PairwiseDistance(p=inf, eps=1e-06, keepdim=False)"),
]  # fmt: skip
