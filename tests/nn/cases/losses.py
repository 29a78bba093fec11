"""Losses."""

# ruff: noqa: E501 - tables, a case a line

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

import flambeau as fb
from flambeau.errors import DTypeError, OperandError, ShapeError
from tests.nn.harness import Case, case, numbers, wholes

X, Y = numbers(4, 3), numbers(4, 3, seed=1)
P, Q = numbers(4, 3, low=0.05, high=0.95), numbers(4, 3, low=0.05, high=0.95, seed=1)
SIGNS = 2 * wholes(2, 4, 3) - 1
ROWS = 2 * wholes(2, 4) - 1
LABELS = wholes(3, 4)
MAPS, PIXELS = numbers(2, 3, 2, 2), wholes(3, 2, 2, 2)
DIFFERENT = [
    (
        (numbers(2, 1), numbers(2)),
        ShapeError,
        r"shapes \(2, 1\) and \(2,\) differ",
    )
]
NO_REDUCTION = [
    ((), {"reduction": "max"}, OperandError, "reduction must be 'mean', 'sum' or 'none', not 'max'")
]


def loss(layer: str, inputs: Any, rows: tuple[int, ...], shows: str = "", **options: Any) -> Case:
    """A loss of each element or example; what reductions make of it is the same for all."""
    text = f"{shows}, " if shows else ""
    kept = {"refused": NO_REDUCTION, "strict": False, "finite": False, **options}
    return case(
        layer, inputs=inputs, output=rows, shows=f"{layer}({text}reduction='none')", reduction="none", **kept
    )


def spoken(layer: Any, x: Any, *rest: Any) -> Any:
    """Of logits rather than logarithms of probabilities, which is what PyTorch's gradient is right for."""
    if isinstance(x, fb.Tensor):
        return layer(fb.log_softmax(x, axis=2), *rest)
    return layer(x.log_softmax(2), *rest)


CASES = [
    loss("MSELoss", (X, Y), (4, 3), wrong=[*DIFFERENT, ((wholes(3, 2), numbers(2)), DTypeError, "mse_loss: a floating-point input is needed, not int64")]),
    case("MSELoss", inputs=(X, Y), output=(), shows="MSELoss()", batch=None, strict=False),
    case("CrossEntropyLoss", inputs=(3 * X, LABELS), output=(), shows="CrossEntropyLoss()", batch=None, strict=False),
    loss("L1Loss", (X, Y), (4, 3), wrong=DIFFERENT),
    loss("SmoothL1Loss", (X, Y), (4, 3), beta=0.7, shows="beta=0.7", refused=[((), {"beta": -1.0}, OperandError, "SmoothL1Loss: beta must be a number of at least 0, not -1.0")]),
    loss("SmoothL1Loss", (X, Y), (4, 3), beta=0.0, shows="beta=0.0"),
    loss("HuberLoss", (X, Y), (4, 3), delta=0.4, shows="delta=0.4", refused=[((), {"delta": 0.0}, OperandError, "HuberLoss: delta must be a number above 0, not 0.0")]),
    loss("PoissonNLLLoss", (X, wholes(5, 4, 3) * 1.0), (4, 3), finite=False),
    loss("PoissonNLLLoss", (P, 4 * Q), (4, 3), log_input=False, full=True, eps=1e-6, shows="log_input=False, full=True, eps=1e-06", finite=False),
    loss("GaussianNLLLoss", (X, Y, P), (4, 3)),
    loss("GaussianNLLLoss", (X, Y, P[:, :1]), (4, 3), full=True, shows="full=True", variant="shared variance",
          wrong=[((X, Y, numbers(3)), ShapeError, r"gaussian_nll_loss: variances for an input of shape \(4, 3\)")]),
    loss("BCELoss", (P, Q), (4, 3), wrong=DIFFERENT),
    loss("BCEWithLogitsLoss", (3 * X, Q), (4, 3)),
    loss("KLDivLoss", (X, P), (4, 3), refused=[((), {"reduction": "all"}, OperandError, "'mean', 'sum', 'none' or 'batchmean', not 'all'")]),
    loss("KLDivLoss", (X, Y), (4, 3), log_target=True, shows="log_target=True", refused=()),
    case("KLDivLoss", "batchmean", inputs=(X, P), output=(), shows="KLDivLoss(reduction='batchmean')", batch=None, strict=False, theirs=lambda torch, kind: torch.nn.KLDivLoss(reduction="batchmean")),
    loss("SoftMarginLoss", (X, SIGNS), (4, 3)),
    loss("MultiLabelSoftMarginLoss", (X, wholes(2, 4, 3)), (4,)),
    loss("HingeEmbeddingLoss", (P, SIGNS), (4, 3), margin=0.6, shows="margin=0.6"),
    loss("CosineEmbeddingLoss", (X, Y, ROWS), (4,), margin=-0.5, shows="margin=-0.5",
          wrong=[((X, Y, numbers(3)), ShapeError, r"cosine_embedding_loss: inputs of shape \(N, D\) and targets of shape \(N,\)")]),
    loss("MarginRankingLoss", (X, Y, SIGNS), (4, 3), margin=0.3, shows="margin=0.3"),
    loss("TripletMarginLoss", (X, Y, numbers(4, 3, seed=2)), (4,), wrong=[((X, Y, X[:2]), ShapeError, "triplet_margin_loss: tensors of one shape are needed")]),
    loss("TripletMarginLoss", (X, Y, numbers(4, 3, seed=2)), (4,), margin=2.0, p=3.0, eps=1e-3, swap=True, shows="margin=2.0, p=3.0, eps=0.001, swap=True"),
    loss("TripletMarginWithDistanceLoss", (X, Y, numbers(4, 3, seed=2)), (4,), swap=True, shows="swap=True",
          refused=[((), {"distance_function": 3}, OperandError, "distance_function must be a function of two tensors, not 3")]),
    loss("CrossEntropyLoss", (3 * X, LABELS), (4,), wrong=[((X, numbers(4)), DTypeError, "cross_entropy: needs integer targets, not float32")],
          refused=[((), {"label_smoothing": 1.5}, OperandError, "label_smoothing must be a number from 0 to 1"), ((), {"weight": 2}, OperandError, "weight must be a tensor, not int")]),
    loss("CrossEntropyLoss", (MAPS, PIXELS), (2, 2, 2), ignore_index=1, label_smoothing=0.2, shows="ignore_index=1, label_smoothing=0.2"),
    loss("CrossEntropyLoss", (X, P), (4,), label_smoothing=0.1, shows="label_smoothing=0.1", variant="probabilities"),
    loss("NLLLoss", (X, LABELS), (4,), wrong=[((X, wholes(3, 4, 1)), ShapeError, r"nll_loss: an input of shape \(4, 3\) needs targets of shape \(4,\), not \(4, 1\)")]),
    loss("MultiMarginLoss", (X, LABELS), (4,), p=2, margin=0.7, shows="p=2, margin=0.7", refused=[((), {"p": 3}, OperandError, "MultiMarginLoss: p must be 1 or 2, not 3")]),
    case("CTCLoss", inputs=(numbers(5, 2, 4), 1 + wholes(3, 2, 2), np.asarray([5, 4]), np.asarray([2, 1])), output=(), shows="CTCLoss()", batch=None, strict=False,
         call=spoken, wrong=[((numbers(5, 2, 4), wholes(3, 3, 2), np.asarray([5, 5]), np.asarray([2, 1])), ShapeError, "ctc_loss: targets for log_probs")]),
]  # fmt: skip


def named(cases: list[Case]) -> list[Case]:
    """Cases under what they show, which tells those of one layer apart."""
    return [replace(c, variant=f"{c.variant}{c.shows.removeprefix(c.layer)}") for c in cases]


CASES = named(CASES)
