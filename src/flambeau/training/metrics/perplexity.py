"""Perplexity of a model of classes, such as the next character."""

from __future__ import annotations

import math
from typing import Any

from flambeau.dtypes import float64, int64
from flambeau.ops.reductions import log_softmax
from flambeau.ops.searching import take_along_axis
from flambeau.ops.transcendental import log
from flambeau.tensor import Tensor
from flambeau.training.metrics.metric import Metric, class_indices, shaped, weight_of, weighted_sum


class Perplexity(Metric):
    """How many classes a model hesitates between: e to the mean cross entropy.

    Targets are integers of shape (...), predictions logits of shape (..., classes), or
    probabilities with ``from_logits=False``.

    >>> import flambeau as fb
    >>> metric = fb.training.metrics.Perplexity()
    >>> metric.update_state([1, 0], [[0.0, 0.0], [0.0, 0.0]])
    >>> round(metric.result(), 6)
    2.0
    """

    def __init__(self, from_logits: bool = True, name: str = "perplexity") -> None:
        super().__init__(name)
        self.from_logits = from_logits

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> dict[str, Any]:
        """The sum of the cross entropies, in float64, and their number."""
        y_true = class_indices("Perplexity", y_true, y_pred)
        index = shaped(y_true.astype(int64), (*y_true.shape, 1))
        logs = log_softmax(y_pred, axis=-1) if self.from_logits else log(y_pred)
        chosen = shaped(-take_along_axis(logs, index, axis=-1), y_true.shape).astype(float64)
        return {"total": weighted_sum(chosen, sample_weight), "count": weight_of(chosen, sample_weight)}

    def result(self) -> float:
        """e to the mean; infinite where that is too large for a number."""
        mean = self.ratio("total", "count")
        return math.exp(mean) if not mean > 709 else math.inf
