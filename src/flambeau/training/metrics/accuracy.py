"""Accuracies: how many predictions are right."""

from __future__ import annotations

import math
from typing import Any

from flambeau.dtypes import int64
from flambeau.errors import OperandError
from flambeau.ops.logic import equal, greater, isfinite, less, logical_and
from flambeau.ops.reductions import sum as total
from flambeau.ops.searching import argmax, take_along_axis
from flambeau.tensor import Tensor
from flambeau.training.metrics.metric import Metric, aligned, class_indices, shaped, weight_of, weighted_sum


class MeanOfHits(Metric):
    """The share of examples for which ``hits`` says True."""

    def hits(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Which predictions are right: booleans."""
        raise NotImplementedError(f"{type(self).__name__} has no hits method")

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> dict[str, Any]:
        """The number of hits and of examples, weighted."""
        hits = self.hits(y_true, y_pred)
        return {"hits": weighted_sum(hits, sample_weight), "count": weight_of(hits, sample_weight)}

    def result(self) -> float:
        """The share of hits."""
        return self.ratio("hits", "count")


class Accuracy(MeanOfHits):
    """How often predictions equal targets; both have one shape.

    >>> import flambeau as fb
    >>> metric = fb.training.metrics.Accuracy()
    >>> metric.update_state([1, 2, 3, 4], [0, 2, 3, 4])
    >>> metric.result()
    0.75
    """

    def __init__(self, name: str = "accuracy") -> None:
        super().__init__(name)

    def hits(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Where both are equal."""
        y_true, y_pred = aligned("Accuracy", y_true, y_pred)
        return equal(y_true, y_pred)


class BinaryAccuracy(MeanOfHits):
    """How often a prediction above ``threshold`` meets a target of 1, and others a target of 0.

    With ``from_logits`` predictions are logits, and the threshold, a probability, is turned into one.

    >>> import flambeau as fb
    >>> metric = fb.training.metrics.BinaryAccuracy()
    >>> metric.update_state([1, 0, 1, 0], [0.9, 0.2, 0.4, 0.7])
    >>> metric.result()
    0.5
    """

    def __init__(
        self, threshold: float = 0.5, from_logits: bool = False, name: str = "binary_accuracy"
    ) -> None:
        super().__init__(name)
        self.cut = cut_of("BinaryAccuracy", threshold, from_logits)

    def hits(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Where both lie on the same side."""
        y_true, y_pred = aligned("BinaryAccuracy", y_true, y_pred)
        return equal(greater(y_pred, self.cut), greater(y_true.astype(y_pred.dtype), 0.5))


class CategoricalAccuracy(MeanOfHits):
    """How often the largest prediction is where the largest of the targets, one-hot, is.

    >>> import flambeau as fb
    >>> metric = fb.training.metrics.CategoricalAccuracy()
    >>> metric.update_state([[0, 1], [1, 0]], [[0.2, 0.8], [0.4, 0.6]])
    >>> metric.result()
    0.5
    """

    def __init__(self, name: str = "categorical_accuracy") -> None:
        super().__init__(name)

    def hits(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Where the largest are in one place."""
        y_true, y_pred = aligned("CategoricalAccuracy", y_true, y_pred)
        return equal(argmax(y_true, axis=-1), argmax(y_pred, axis=-1))


class SparseCategoricalAccuracy(MeanOfHits):
    """How often the largest prediction is that of the target, the index of a class.

    >>> import flambeau as fb
    >>> metric = fb.training.metrics.SparseCategoricalAccuracy()
    >>> metric.update_state([1, 0], [[0.2, 0.8], [0.4, 0.6]])
    >>> metric.result()
    0.5
    """

    def __init__(self, name: str = "sparse_categorical_accuracy") -> None:
        super().__init__(name)

    def hits(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Where the largest is the target's."""
        y_true = class_indices("SparseCategoricalAccuracy", y_true, y_pred)
        return equal(argmax(y_pred, axis=-1), y_true.astype(int64))


class SparseTopKCategoricalAccuracy(MeanOfHits):
    """How often the target, the index of a class, is among the ``k`` largest predictions.

    Of equal predictions at the edge, all are among them.

    >>> import flambeau as fb
    >>> metric = fb.training.metrics.SparseTopKCategoricalAccuracy(k=2)
    >>> metric.update_state([2, 0], [[0.1, 0.6, 0.3], [0.1, 0.6, 0.3]])
    >>> metric.result()
    0.5
    """

    def __init__(self, k: int = 5, name: str = "sparse_top_k_categorical_accuracy") -> None:
        super().__init__(name)
        if not isinstance(k, int) or isinstance(k, bool) or k < 1:
            raise OperandError(f"{type(self).__name__}: k must be a whole number of at least 1, not {k!r}")
        self.k = k

    def hits(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Where fewer than ``k`` predictions are larger than the target's."""
        y_true = class_indices(type(self).__name__, y_true, y_pred)
        index = shaped(y_true.astype(int64), (*y_true.shape, 1))
        chosen = take_along_axis(y_pred, index, axis=-1)
        larger = total(greater(y_pred, chosen), axis=-1)
        return logical_and(less(larger, self.k), shaped(isfinite(chosen), y_true.shape))


class TopKCategoricalAccuracy(SparseTopKCategoricalAccuracy):
    """As ``SparseTopKCategoricalAccuracy``, with targets that are one-hot.

    >>> import flambeau as fb
    >>> metric = fb.training.metrics.TopKCategoricalAccuracy(k=2)
    >>> metric.update_state([[0, 0, 1], [1, 0, 0]], [[0.1, 0.6, 0.3], [0.1, 0.6, 0.3]])
    >>> metric.result()
    0.5
    """

    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy") -> None:
        super().__init__(k, name)

    def hits(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Where fewer than ``k`` predictions are larger than the target's."""
        y_true, y_pred = aligned("TopKCategoricalAccuracy", y_true, y_pred)
        return super().hits(argmax(y_true, axis=-1), y_pred)


def cut_of(name: str, threshold: Any, from_logits: bool) -> float:
    """The threshold, a probability, as a bound for what is predicted."""
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
        raise OperandError(f"{name}: the threshold must be a probability, from 0 to 1, not {threshold!r}")
    if not from_logits:
        return float(threshold)
    if threshold in (0, 1):
        return -math.inf if threshold == 0 else math.inf
    return math.log(threshold / (1 - threshold))
