"""The area under a curve over all thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.dtypes import float64
from flambeau.errors import OperandError
from flambeau.ops.creation import asarray
from flambeau.ops.manipulation import reshape
from flambeau.ops.reductions import sum as total
from flambeau.ops.transcendental import sigmoid
from flambeau.tensor import Tensor
from flambeau.training.metrics.metric import Metric, aligned, spread_weight


class AUC(Metric):
    """The area under the ROC curve, or with ``curve="PR"`` under that of precision against recall.

    Targets are 0 or 1, predictions probabilities of the same shape, or logits with ``from_logits``.
    Decisions are counted, exactly, at ``num_thresholds`` probabilities between 0 and 1, so the area
    is that of a curve through as many points: between two thresholds lies what it cannot tell apart.

    Source: T. Fawcett, "An introduction to ROC analysis", 2006; for the interpolation between
    points of precision and recall, J. Davis and M. Goadrich, "The relationship between
    precision-recall and ROC curves", ICML 2006.

    >>> import flambeau as fb
    >>> metric = fb.training.metrics.AUC()
    >>> metric.update_state([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> metric.result()
    0.75
    """

    def __init__(
        self, num_thresholds: int = 200, curve: str = "ROC", from_logits: bool = False, name: str = "auc"
    ) -> None:
        super().__init__(name)
        if isinstance(num_thresholds, bool) or not isinstance(num_thresholds, int) or num_thresholds < 2:
            raise OperandError(f"AUC: num_thresholds must be a whole number above 1, not {num_thresholds!r}")
        if curve not in ("ROC", "PR"):
            raise OperandError(f"AUC: curve must be 'ROC' or 'PR', not {curve!r}")
        self.curve = curve
        self.from_logits = from_logits
        inner = [i / (num_thresholds - 1) for i in range(1, num_thresholds - 1)]
        self.thresholds = np.array([-1e-7, *inner, 1.0 + 1e-7])

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> dict[str, Any]:
        """Hits and false alarms at each threshold, and all there are of both."""
        y_true, y_pred = aligned("AUC", y_true, y_pred)
        truth = (y_true.astype(float64) > 0.5).astype(float64)
        weight = None if sample_weight is None else spread_weight(sample_weight, truth)
        p = y_pred.astype(float64)
        p = reshape(sigmoid(p) if self.from_logits else p, (-1, 1))
        above = (p > asarray(self.thresholds)).astype(float64)
        there = reshape(truth if weight is None else truth * weight, (-1, 1))
        absent = reshape((1.0 - truth) if weight is None else (1.0 - truth) * weight, (-1, 1))
        return {
            "hits": total(above * there, axis=0),
            "false": total(above * absent, axis=0),
            "there": total(there),
            "absent": total(absent),
        }

    def result(self) -> float:
        """The area; NaN where one of the two classes has not occurred."""
        if not self.sums or not self.sums["there"] or not (self.sums["absent"] or self.curve == "PR"):
            return float("nan")
        hits, false, there = self.sums["hits"], self.sums["false"], float(self.sums["there"])
        if self.curve == "ROC":
            x, y = false / float(self.sums["absent"]), hits / there
            return float(((x[:-1] - x[1:]) * (y[:-1] + y[1:])).sum() / 2)
        return _precision_recall_area(hits, false, there)


def _precision_recall_area(hits: np.ndarray, false: np.ndarray, there: float) -> float:
    """Between two points, false alarms grow linearly with hits; the integral of that precision."""
    d_hits = hits[:-1] - hits[1:]
    alarms = hits + false
    d_alarms = alarms[:-1] - alarms[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(d_alarms > 0, d_hits / np.maximum(d_alarms, 1e-300), 0.0)
        intercept = hits[1:] - slope * alarms[1:]
        both = (alarms[:-1] > 0) & (alarms[1:] > 0)
        ratio = np.where(both, alarms[:-1] / np.where(both, alarms[1:], 1.0), 1.0)
    return float((slope * (d_hits + intercept * np.log(ratio))).sum() / there)
