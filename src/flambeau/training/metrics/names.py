"""Metrics by name, as ``compile`` takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.errors import OperandError
from flambeau.graph.types import TensorType
from flambeau.training.metrics.accuracy import (
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from flambeau.training.metrics.auc import AUC
from flambeau.training.metrics.classification import F1Score, Precision, Recall
from flambeau.training.metrics.metric import Metric
from flambeau.training.metrics.perplexity import Perplexity
from flambeau.training.metrics.regression import (
    MeanAbsoluteError,
    MeanSquaredError,
    R2Score,
    RootMeanSquaredError,
)

_BY_NAME: dict[str, Callable[[], Metric]] = {
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
    "precision": Precision,
    "recall": Recall,
    "f1_score": F1Score,
    "auc": AUC,
    "mae": MeanAbsoluteError,
    "mse": MeanSquaredError,
    "rmse": RootMeanSquaredError,
    "r2_score": R2Score,
    "perplexity": Perplexity,
}
_TAKES_LOGITS = ("binary_accuracy", "precision", "recall", "f1_score", "auc")


def check(metric: Any) -> None:
    """Raise unless ``metric`` is a metric or the name of one."""
    if isinstance(metric, Metric) or metric == "accuracy" or (isinstance(metric, str) and metric in _BY_NAME):
        return
    known = ", ".join(["accuracy", *_BY_NAME])
    raise OperandError(f"compile: {metric!r} is neither a metric nor the name of one: {known}")


def resolve(metric: str | Metric, y_true: TensorType, y_pred: TensorType, logits: bool) -> Metric:
    """The metric that a name means for targets and predictions of these types.

    ``"accuracy"`` is chosen by them: binary where there is one prediction for each example,
    categorical where targets have the shape of predictions, sparse otherwise.  ``logits`` says
    that the loss takes predictions for logits, and so will metrics made from names.
    """
    if isinstance(metric, Metric):
        return metric
    name = metric
    if name == "accuracy":
        if y_pred.ndim == 0 or y_pred.shape[-1] == 1 or (y_true.shape == y_pred.shape and y_pred.ndim == 1):
            name = "binary_accuracy"
        elif y_true.shape == y_pred.shape:
            # Several independent decisions for each example are no choice of one class.
            name = "binary_accuracy" if logits else "categorical_accuracy"
        else:
            name = "sparse_categorical_accuracy"
    if logits and name in _TAKES_LOGITS:
        made: Metric = _BY_NAME[name](from_logits=True)  # type: ignore[call-arg]
    else:
        made = _BY_NAME[name]()
    made.name = metric
    return made
