"""Losses between scores of classes and the right class."""

from __future__ import annotations

from typing import Any

from flambeau.errors import OperandError
from flambeau.nn.loss import Loss, number_of, operand, record_loss, reduction_of
from flambeau.ops.record import refuse
from flambeau.primitives import class_losses
from flambeau.tensor import Tensor


def _smoothing(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        refuse(OperandError(f"{name}: label_smoothing must be a number from 0 to 1, not {value!r}"))
    return float(value)


def _index(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        refuse(OperandError(f"{name}: ignore_index must be an integer, not {value!r}"))
    return value


def _power(name: str, value: Any) -> int:
    if value not in (1, 2):
        refuse(OperandError(f"{name}: p must be 1 or 2, not {value!r}"))
    return int(value)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Minus the logarithm of the probability, ``softmax(input)``, of the right class.

    The input holds logits (N, C, d1, ...) with the classes on axis 1, or (C,); the target integers of
    shape (N, d1, ...), or probabilities of classes of the input's shape.  ``weight`` has a number for
    each class; the mean is over the weights of the targets, those at ``ignore_index`` left out.
    ``label_smoothing`` moves that share of each target to all classes equally.

    Raises ``ShapeError`` and ``DTypeError`` where these do not fit, and ``OutOfBoundsError`` for a
    target that is no class when the loss is computed.

    >>> import flambeau as fb
    >>> fb.nn.functional.cross_entropy(fb.asarray([[0.0, 0.0]]), fb.asarray([1]))
    tensor(0.6931472)

    Source: C. Szegedy et al., "Rethinking the inception architecture for computer vision", 2016, for
    label smoothing.
    """
    name = "cross_entropy"
    attrs = (
        _index(name, ignore_index),
        reduction_of(name, reduction),
        _smoothing(name, label_smoothing),
    )
    return record_loss(name, class_losses.cross_entropy, attrs, input, target, weight)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Minus the input at the right class, of logarithms of probabilities.

    Shapes, weights and ``ignore_index`` are those of ``cross_entropy``, which is this after
    ``log_softmax``.
    """
    attrs = (_index("nll_loss", ignore_index), reduction_of("nll_loss", reduction))
    return record_loss("nll_loss", class_losses.nll_loss, attrs, input, target, weight)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, margin - x[y] + x[i]) ** p`` summed over the wrong classes ``i``, divided by all.

    Input (N, C) or (C,), integer targets (N,) or (); ``weight`` has a number for each class.
    """
    name = "multi_margin_loss"
    attrs = (_power(name, p), reduction_of(name, reduction))
    limit = operand(number_of(name, "margin", margin))
    return record_loss(name, class_losses.multi_margin_loss, attrs, input, target, limit, weight)


class CrossEntropyLoss(Loss):
    """``cross_entropy`` as a module.

    >>> import flambeau as fb
    >>> loss = fb.nn.CrossEntropyLoss(label_smoothing=0.1)
    >>> loss(fb.asarray([[0.0, 0.0]]), fb.asarray([1]))
    tensor(0.6931472)
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self._keep("weight", weight)
        self.ignore_index = _index("CrossEntropyLoss", ignore_index)
        self.label_smoothing = _smoothing("CrossEntropyLoss", label_smoothing)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return cross_entropy(
            input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )


class NLLLoss(Loss):
    """``nll_loss`` as a module."""

    weight: Tensor | None

    def __init__(
        self, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self._keep("weight", weight)
        self.ignore_index = _index("NLLLoss", ignore_index)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class MultiMarginLoss(Loss):
    """``multi_margin_loss`` as a module."""

    weight: Tensor | None

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Tensor | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.p = _power("MultiMarginLoss", p)
        self.margin = number_of("MultiMarginLoss", "margin", margin)
        self._keep("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return multi_margin_loss(input, target, self.p, self.margin, self.weight, self.reduction)
