"""Losses that compare examples with each other."""

from __future__ import annotations

from collections.abc import Callable

from flambeau.errors import OperandError
from flambeau.nn.loss import Loss, number_of, operand, record_loss, reduction_of
from flambeau.nn.similarity import pairwise_distance
from flambeau.ops.record import refuse
from flambeau.primitives import distance_losses, losses
from flambeau.tensor import Tensor

Distance = Callable[[Tensor, Tensor], Tensor]


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """``1 - cos`` of the angle between inputs where the target is 1, ``max(0, cos - margin)`` where -1.

    Inputs (N, D) and targets (N,), or (D,) and ().
    """
    name = "cosine_embedding_loss"
    limit = operand(number_of(name, "margin", margin))
    attrs = (reduction_of(name, reduction),)
    return record_loss(name, distance_losses.cosine_embedding_loss, attrs, input1, input2, target, limit)


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """``max(0, -y * (x1 - x2) + margin)``: with a target of 1, ``x1`` shall be ranked above ``x2``."""
    name = "margin_ranking_loss"
    limit = operand(number_of(name, "margin", margin))
    attrs = (reduction_of(name, reduction),)
    return record_loss(name, distance_losses.margin_ranking_loss, attrs, input1, input2, target, limit)


def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """The input, a distance, where the target is 1; ``max(0, margin - input)`` where it is -1."""
    name = "hinge_embedding_loss"
    limit = operand(number_of(name, "margin", margin))
    return record_loss(
        name, losses.hinge_embedding_loss, (reduction_of(name, reduction),), input, target, limit
    )


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, d(a, p) - d(a, n) + margin)`` with ``d`` the ``p``-norm over the last axis.

    ``eps`` is added to differences.  ``swap`` takes the smaller of ``d(a, n)`` and ``d(p, n)``.

    Source: V. Balntas et al., "Learning shallow convolutional feature descriptors with triplet losses",
    2016.
    """
    name = "triplet_margin_loss"
    limit = operand(number_of(name, "margin", margin, above=0))
    attrs = (
        number_of(name, "p", p),
        number_of(name, "eps", eps),
        bool(swap),
        reduction_of(name, reduction),
    )
    fn = distance_losses.triplet_margin_loss
    return record_loss(name, fn, attrs, anchor, positive, negative, limit)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Distance | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """``triplet_margin_loss`` with a distance of your own: a function of two tensors.

    >>> import flambeau as fb
    >>> a, p, n = fb.zeros((1, 2)), fb.ones((1, 2)), fb.full((1, 2), 2.0)
    >>> def largest(x, y):
    ...     return fb.max(fb.abs(x - y), axis=-1)
    >>> fb.nn.functional.triplet_margin_with_distance_loss(a, p, n, distance_function=largest)
    tensor(0.)
    """
    name = "triplet_margin_with_distance_loss"
    limit = operand(number_of(name, "margin", margin, above=0))
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    attrs = (reduction_of(name, reduction),)
    if swap:
        other = distance(positive, negative)
        return record_loss(name, distance_losses.margin_of_swapped, attrs, near, far, other, limit)
    return record_loss(name, distance_losses.margin_of_distances, attrs, near, far, limit)


class CosineEmbeddingLoss(Loss):
    """``cosine_embedding_loss`` as a module."""

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = number_of("CosineEmbeddingLoss", "margin", margin)

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return cosine_embedding_loss(input1, input2, target, self.margin, self.reduction)


class MarginRankingLoss(Loss):
    """``margin_ranking_loss`` as a module."""

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = number_of("MarginRankingLoss", "margin", margin)

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return margin_ranking_loss(input1, input2, target, self.margin, self.reduction)


class HingeEmbeddingLoss(Loss):
    """``hinge_embedding_loss`` as a module."""

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = number_of("HingeEmbeddingLoss", "margin", margin)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return hinge_embedding_loss(input, target, self.margin, self.reduction)


class TripletMarginLoss(Loss):
    """``triplet_margin_loss`` as a module."""

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.margin = number_of("TripletMarginLoss", "margin", margin, above=0)
        self.p = number_of("TripletMarginLoss", "p", p)
        self.eps = number_of("TripletMarginLoss", "eps", eps)
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss."""
        return triplet_margin_loss(
            anchor, positive, negative, self.margin, self.p, self.eps, self.swap, self.reduction
        )


class TripletMarginWithDistanceLoss(Loss):
    """``triplet_margin_with_distance_loss`` as a module."""

    def __init__(
        self,
        *,
        distance_function: Distance | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        if distance_function is not None and not callable(distance_function):
            refuse(
                OperandError(
                    "TripletMarginWithDistanceLoss: distance_function must be a function of two tensors, "
                    f"not {distance_function!r}"
                )
            )
        self.distance_function = distance_function
        self.margin = number_of("TripletMarginWithDistanceLoss", "margin", margin, above=0)
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss."""
        return triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )
