"""Losses between probabilities, or logits, and what happened."""

from __future__ import annotations

from flambeau.nn.loss import REDUCTIONS, Loss, record_loss, reduction_of
from flambeau.primitives import losses
from flambeau.tensor import Tensor

_BATCHED = (*REDUCTIONS, "batchmean")


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """``-(y log x + (1 - y) log(1 - x))`` of probabilities ``x`` and targets ``y`` from 0 to 1.

    Logarithms count as at least -100 and divisors of the gradient as at least 1e-12, so that both are
    finite.  ``weight`` broadcasts to the input.

    >>> import flambeau as fb
    >>> fb.nn.functional.binary_cross_entropy(fb.asarray([0.5, 1.0]), fb.asarray([1.0, 0.0]))
    tensor(50.346573)
    """
    attrs = (reduction_of("binary_cross_entropy", reduction),)
    return record_loss("binary_cross_entropy", losses.binary_cross_entropy, attrs, input, target, weight)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """``binary_cross_entropy`` of ``sigmoid(input)``, without overflow for large logits.

    ``pos_weight`` is how much more examples with target 1 count; it broadcasts to the input, as
    ``weight`` does.
    """
    name = "binary_cross_entropy_with_logits"
    attrs = (weight is not None, pos_weight is not None, reduction_of(name, reduction))
    fn = losses.binary_cross_entropy_with_logits
    return record_loss(name, fn, attrs, input, target, weight, pos_weight)


def kl_div(input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """``y * (log y - x)`` of logarithms of probabilities ``x`` and probabilities ``y``.

    With ``log_target`` the target holds logarithms too.  "batchmean" divides the sum by the size of the
    first axis, which is the Kullback-Leibler divergence; "mean" by the number of elements, as in PyTorch.
    """
    attrs = (bool(log_target), reduction_of("kl_div", reduction, _BATCHED))
    return record_loss("kl_div", losses.kl_div, attrs, input, target)


def soft_margin_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """``log(1 + exp(-y * x))`` for targets ``y`` of 1 and -1."""
    attrs = (reduction_of("soft_margin_loss", reduction),)
    return record_loss("soft_margin_loss", losses.soft_margin_loss, attrs, input, target)


def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """The binary cross entropy of logits (..., classes) and targets of 0 and 1, averaged over classes.

    ``weight`` has a number for each class.
    """
    name = "multilabel_soft_margin_loss"
    attrs = (reduction_of(name, reduction),)
    return record_loss(name, losses.multilabel_soft_margin_loss, attrs, input, target, weight)


class BCELoss(Loss):
    """``binary_cross_entropy`` as a module."""

    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self._keep("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return binary_cross_entropy(input, target, self.weight, self.reduction)


class BCEWithLogitsLoss(Loss):
    """``binary_cross_entropy_with_logits`` as a module.

    >>> import flambeau as fb
    >>> fb.nn.BCEWithLogitsLoss()(fb.asarray([0.0, -1000.0]), fb.asarray([1.0, 0.0]))
    tensor(0.3465736)
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self, weight: Tensor | None = None, reduction: str = "mean", pos_weight: Tensor | None = None
    ) -> None:
        super().__init__(reduction)
        self._keep("weight", weight)
        self._keep("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return binary_cross_entropy_with_logits(input, target, self.weight, self.reduction, self.pos_weight)


class KLDivLoss(Loss):
    """``kl_div`` as a module."""

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction, _BATCHED)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return kl_div(input, target, self.reduction, self.log_target)


class SoftMarginLoss(Loss):
    """``soft_margin_loss`` as a module."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return soft_margin_loss(input, target, self.reduction)


class MultiLabelSoftMarginLoss(Loss):
    """``multilabel_soft_margin_loss`` as a module."""

    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self._keep("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return multilabel_soft_margin_loss(input, target, self.weight, self.reduction)
