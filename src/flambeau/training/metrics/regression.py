"""Metrics of numbers that are predicted: distances, and the share of the variance explained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from flambeau.dtypes import float64
from flambeau.ops.arithmetic import abs as absolute
from flambeau.ops.arithmetic import square
from flambeau.ops.reductions import sum as total
from flambeau.tensor import Tensor
from flambeau.training.metrics.metric import Metric, aligned, shaped, spread_weight, weight_of, weighted_sum


class _Distance(Metric):
    """The mean of a distance between targets and predictions of one shape."""

    def distance(self, difference: Tensor) -> Tensor:
        """The distance that a difference makes."""
        raise NotImplementedError(f"{type(self).__name__} has no distance method")

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> dict[str, Any]:
        """The sum of all distances, in float64, and their number."""
        y_true, y_pred = aligned(type(self).__name__, y_true, y_pred)
        far = self.distance(y_pred.astype(float64) - y_true.astype(float64))
        return {"total": weighted_sum(far, sample_weight), "count": weight_of(far, sample_weight)}

    def result(self) -> float:
        """The mean distance."""
        return self.ratio("total", "count")


class MeanAbsoluteError(_Distance):
    """The mean of ``|y_pred - y_true|``.

    >>> import flambeau as fb
    >>> metric = fb.training.metrics.MeanAbsoluteError()
    >>> metric.update_state([0.0, 1.0], [1.0, 3.0])
    >>> metric.result()
    1.5
    """

    def __init__(self, name: str = "mae") -> None:
        super().__init__(name)

    def distance(self, difference: Tensor) -> Tensor:
        """The absolute value."""
        return absolute(difference)


class MeanSquaredError(_Distance):
    """The mean of ``(y_pred - y_true)**2``.

    >>> import flambeau as fb
    >>> metric = fb.training.metrics.MeanSquaredError()
    >>> metric.update_state([0.0, 1.0], [1.0, 3.0])
    >>> metric.result()
    2.5
    """

    def __init__(self, name: str = "mse") -> None:
        super().__init__(name)

    def distance(self, difference: Tensor) -> Tensor:
        """The square."""
        return square(difference)


class RootMeanSquaredError(MeanSquaredError):
    """The root of the mean of ``(y_pred - y_true)**2``.

    >>> import flambeau as fb
    >>> metric = fb.training.metrics.RootMeanSquaredError()
    >>> metric.update_state([0.0, 0.0], [1.0, 7.0])
    >>> metric.result()
    5.0
    """

    def __init__(self, name: str = "rmse") -> None:
        super().__init__(name)

    def result(self) -> float:
        """The root."""
        return math.sqrt(super().result())


class R2Score(Metric):
    """The share of the targets' variance that predictions explain: 1 is perfect, 0 no better than the mean.

    Targets and predictions have shape (count,) or (count, outputs); of several outputs the mean is
    taken.  The variance is gathered batch by batch as deviations from running means, so that large
    values with small differences lose nothing.

    Source: T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for
    computing sample variances", 1979.

    >>> import flambeau as fb
    >>> metric = fb.training.metrics.R2Score()
    >>> metric.update_state([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    >>> metric.result()
    0.5
    """

    def __init__(self, name: str = "r2_score") -> None:
        super().__init__(name)

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> dict[str, Any]:
        """Count, mean, squared deviations from it and squared errors of a batch."""
        y_true, y_pred = aligned("R2Score", y_true, y_pred)
        y, p = [shaped(x.astype(float64), (x.shape[0], -1)) for x in (y_true, y_pred)]
        w = 1.0 + 0.0 * y if sample_weight is None else spread_weight(sample_weight, y)
        count = total(w, axis=0)
        mean = total(w * y, axis=0) / count
        return {
            "count": count,
            "mean": mean,
            "deviations": total(w * square(y - mean), axis=0),
            "errors": total(w * square(y - p), axis=0),
        }

    def add(self, measured: Mapping[str, Any]) -> None:
        """Merge a batch with what there is."""
        new = {name: np.asarray(value, np.float64) for name, value in measured.items()}
        if not self.sums:
            self.sums = {name: value.copy() for name, value in new.items()}
            return
        old = self.sums
        count = old["count"] + new["count"]
        apart = new["mean"] - old["mean"]
        share = new["count"] / count
        self.sums = {
            "count": count,
            "mean": old["mean"] + apart * share,
            "deviations": old["deviations"] + new["deviations"] + apart * apart * old["count"] * share,
            "errors": old["errors"] + new["errors"],
        }

    def result(self) -> float:
        """One minus errors by deviations; NaN of fewer than two examples or of targets that are all equal."""
        if not self.sums or not (self.sums["deviations"] > 0).all():
            return float("nan")
        return float((1.0 - self.sums["errors"] / self.sums["deviations"]).mean())
