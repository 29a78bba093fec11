"""Metrics from counts of decisions: precision, recall, F1 and the confusion matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.dtypes import float64, int64
from flambeau.errors import OperandError
from flambeau.ops.manipulation import reshape
from flambeau.ops.products import matmul
from flambeau.ops.reductions import sum as total
from flambeau.ops.searching import argmax, one_hot
from flambeau.tensor import Tensor
from flambeau.training.metrics.accuracy import cut_of
from flambeau.training.metrics.metric import Metric, aligned, class_indices, spread_weight

_AVERAGES = (None, "macro", "micro", "weighted")


class Decisions(Metric):
    """What precision, recall and F1 share: hits, false alarms and misses of each class.

    Predictions of shape (..., classes) with integer targets of shape (...) decide for the largest.
    Predictions of the shape of the targets, which are 0 or 1, are compared with ``threshold``:
    one class where there is one axis or the last has size 1, else each column is a class that can be
    there or not; without a ``threshold`` the largest of a row is decided for, as with indices.

    ``average`` says what is made of several classes: ``"macro"``, the mean of the classes' figures;
    ``"micro"``, the figure of all decisions together; ``"weighted"``, the mean weighted by how often
    the classes occur; None, an array of one figure for each.  ``class_id`` looks at one class alone.
    """

    def __init__(
        self,
        threshold: float | None = None,
        class_id: int | None = None,
        average: str | None = "macro",
        from_logits: bool = False,
        name: str = "",
    ) -> None:
        super().__init__(name)
        kind = type(self).__name__
        if average not in _AVERAGES:
            raise OperandError(f"{kind}: average must be one of {_AVERAGES}, not {average!r}")
        if class_id is not None and (isinstance(class_id, bool) or not isinstance(class_id, int)):
            raise OperandError(f"{kind}: class_id must be the number of a class, not {class_id!r}")
        self.threshold = threshold
        self.class_id = class_id
        self.average = average
        self.cut = cut_of(kind, 0.5 if threshold is None else threshold, from_logits)

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> dict[str, Any]:
        """Hits, false alarms and misses of each class."""
        name = type(self).__name__
        if y_pred.ndim > 1 and y_pred.shape[-1] != 1 and y_true.ndim == y_pred.ndim - 1:
            count = _classes(name, y_pred)
            truth = one_hot(class_indices(name, y_true, y_pred).astype(int64), count, dtype=float64)
            guess = one_hot(argmax(y_pred, axis=-1), count, dtype=float64)
        else:
            y_true, y_pred = aligned(name, y_true, y_pred)
            truth = (y_true.astype(float64) > 0.5).astype(float64)
            if y_pred.ndim > 1 and self.threshold is None:
                guess = one_hot(argmax(y_pred, axis=-1), _classes(name, y_pred), dtype=float64)
            else:
                guess = (y_pred > self.cut).astype(float64)
            if y_pred.ndim < 2:
                truth, guess = reshape(truth, (-1, 1)), reshape(guess, (-1, 1))
        weighted = truth if sample_weight is None else truth * spread_weight(sample_weight, truth)
        alarms = guess if sample_weight is None else guess * spread_weight(sample_weight, guess)
        axes = tuple(range(truth.ndim - 1))
        hits = total(weighted * guess, axis=axes)
        return {
            "hits": hits,
            "false": total(alarms, axis=axes) - hits,
            "missed": total(weighted, axis=axes) - hits,
        }

    def figure(self, hits: Any, false: Any, missed: Any) -> Any:
        """The figure of counts, with NumPy."""
        raise NotImplementedError(f"{type(self).__name__} has no figure method")

    def result(self) -> Any:
        """The figure; 0 where there is nothing to decide by, NaN of nothing."""
        if not self.sums:
            return float("nan")
        counts = [self.sums[k] for k in ("hits", "false", "missed")]
        if self.class_id is not None:
            if not 0 <= self.class_id < len(counts[0]):
                raise OperandError(
                    f"{type(self).__name__}: class_id is {self.class_id}, but there are {len(counts[0])} "
                    "classes"
                )
            return float(self.figure(*[c[self.class_id] for c in counts]))
        if self.average == "micro":
            return float(self.figure(*[c.sum() for c in counts]))
        figures = self.figure(*counts)
        if self.average is None:
            return figures
        if self.average == "macro":
            return float(figures.mean())
        support = counts[0] + counts[2]
        return float((figures * support).sum() / support.sum()) if support.sum() else 0.0


class Precision(Decisions):
    """The share of what was decided for that is there; for the arguments see ``Decisions``.

    >>> import flambeau as fb
    >>> metric = fb.training.metrics.Precision()
    >>> metric.update_state([0, 1, 1, 1], [0.9, 0.9, 0.1, 0.6])
    >>> round(metric.result(), 4)
    0.6667
    """

    def __init__(
        self,
        threshold: float | None = None,
        class_id: int | None = None,
        average: str | None = "macro",
        from_logits: bool = False,
        name: str = "precision",
    ) -> None:
        super().__init__(threshold, class_id, average, from_logits, name)

    def figure(self, hits: Any, false: Any, missed: Any) -> Any:
        """Hits among alarms."""
        return _share(hits, hits + false)


class Recall(Decisions):
    """The share of what is there that was decided for; for the arguments see ``Decisions``.

    >>> import flambeau as fb
    >>> metric = fb.training.metrics.Recall()
    >>> metric.update_state([0, 1, 1, 1], [0.9, 0.9, 0.1, 0.6])
    >>> round(metric.result(), 4)
    0.6667
    """

    def __init__(
        self,
        threshold: float | None = None,
        class_id: int | None = None,
        average: str | None = "macro",
        from_logits: bool = False,
        name: str = "recall",
    ) -> None:
        super().__init__(threshold, class_id, average, from_logits, name)

    def figure(self, hits: Any, false: Any, missed: Any) -> Any:
        """Hits among occurrences."""
        return _share(hits, hits + missed)


class F1Score(Decisions):
    """The harmonic mean of precision and recall; for the arguments see ``Decisions``.

    >>> import flambeau as fb
    >>> metric = fb.training.metrics.F1Score(average=None)
    >>> metric.update_state([0, 1, 1], [[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    >>> metric.result().round(4).tolist()
    [0.6667, 0.6667]
    """

    def __init__(
        self,
        threshold: float | None = None,
        class_id: int | None = None,
        average: str | None = "macro",
        from_logits: bool = False,
        name: str = "f1_score",
    ) -> None:
        super().__init__(threshold, class_id, average, from_logits, name)

    def figure(self, hits: Any, false: Any, missed: Any) -> Any:
        """Twice the hits among alarms and occurrences."""
        return _share(2 * hits, 2 * hits + false + missed)


class ConfusionMatrix(Metric):
    """How often examples of each class (rows) were taken for each class (columns).

    Targets are integers of shape (...), predictions have shape (..., classes), or are integers too.
    The result is int64, or float64 where there are weights.

    >>> import flambeau as fb
    >>> metric = fb.training.metrics.ConfusionMatrix(2)
    >>> metric.update_state([0, 1, 1], [[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    >>> metric.result().tolist()
    [[1, 0], [1, 1]]
    """

    def __init__(self, num_classes: int, name: str = "confusion_matrix") -> None:
        super().__init__(name)
        if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
            raise OperandError(
                f"ConfusionMatrix: num_classes must be a whole number above 0, not {num_classes!r}"
            )
        self.num_classes = num_classes

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> dict[str, Any]:
        """The counts of a batch: one-hot targets, transposed, times one-hot predictions."""
        if y_pred.dtype.floating:
            y_true = class_indices("ConfusionMatrix", y_true, y_pred)
            y_pred = argmax(y_pred, axis=-1)
        else:
            y_true, y_pred = aligned("ConfusionMatrix", y_true, y_pred)
        rows, columns = [
            reshape(one_hot(x.astype(int64), self.num_classes, dtype=float64), (-1, self.num_classes))
            for x in (y_true, y_pred)
        ]
        if sample_weight is not None:
            rows = rows * reshape(spread_weight(sample_weight, y_true), (-1, 1))
        return {"counts": matmul(rows.T, columns)}

    def result(self) -> np.ndarray:
        """The matrix."""
        counts = self.sums.get("counts", np.zeros((self.num_classes, self.num_classes)))
        return counts.astype(np.int64) if (counts == np.floor(counts)).all() else counts.copy()


def _classes(name: str, y_pred: Tensor) -> int:
    size = y_pred.shape[-1]
    if not isinstance(size, int):
        raise OperandError(f"{name}: the number of classes must be known, not {size}")
    return size


def _share(part: Any, whole: Any) -> Any:
    """``part / whole``, and 0 where there is nothing."""
    return np.divide(
        part, whole, out=np.zeros_like(np.asarray(part, np.float64)), where=np.asarray(whole) > 0
    )
