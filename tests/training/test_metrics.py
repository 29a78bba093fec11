from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau.errors import OperandError, ShapeError
from flambeau.graph.types import TensorType
from flambeau.training import metrics
from flambeau.training.metrics.names import check, resolve

N, C = 211, 5


@pytest.fixture
def scores(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((N, C)).astype(np.float32)


@pytest.fixture
def labels(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, C, N)


def fed(metric: Any, *data: np.ndarray) -> Any:
    """The result of batches of odd sizes."""
    for start in range(0, len(data[0]), 60):
        metric.update_state(*[x[start : start + 60] for x in data])
    return metric.result()


def test_accuracies(scores: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> None:
    hits = scores.argmax(1) == labels
    one_hot = np.eye(C)[labels]
    weights = rng.random(N)
    assert fed(metrics.SparseCategoricalAccuracy(), labels, scores) == hits.sum() / N
    assert fed(metrics.SparseCategoricalAccuracy(), labels[:, None], scores) == hits.sum() / N
    assert fed(metrics.CategoricalAccuracy(), one_hot, scores) == hits.sum() / N
    assert fed(metrics.Accuracy(), labels, scores.argmax(1)) == hits.sum() / N
    weighted = fed(metrics.SparseCategoricalAccuracy(), labels, scores, weights)
    assert weighted == pytest.approx((hits * weights).sum() / weights.sum(), rel=1e-14)
    top = (np.argsort(-scores, axis=1)[:, :2] == labels[:, None]).any(1).sum() / N
    assert fed(metrics.SparseTopKCategoricalAccuracy(2), labels, scores) == top
    assert fed(metrics.TopKCategoricalAccuracy(2), one_hot, scores) == top


def test_binary_accuracy(rng: np.random.Generator) -> None:
    truth, logits = rng.integers(0, 2, (N, 1)), rng.standard_normal((N, 1))
    p = 1 / (1 + np.exp(-logits))
    assert fed(metrics.BinaryAccuracy(0.7), truth, p) == ((p > 0.7) == truth).sum() / N
    assert fed(metrics.BinaryAccuracy(0.7, from_logits=True), truth, logits) == ((p > 0.7) == truth).sum() / N
    assert fed(metrics.BinaryAccuracy(), truth[:, 0], p) == ((p > 0.5) == truth).sum() / N


def test_a_prediction_that_is_no_number_is_no_hit() -> None:
    metric = metrics.SparseTopKCategoricalAccuracy(5)
    metric.update_state([0, 1], [[math.nan, 1.0], [0.0, 1.0]])
    assert metric.result() == 0.5


@pytest.mark.parametrize("average", [None, "macro", "micro", "weighted"])
def test_precision_recall_f1(scores: np.ndarray, labels: np.ndarray, average: str | None) -> None:
    labels = np.where(labels == 3, 2, labels)  # a class that does not occur
    guess = scores.argmax(1)
    hits = np.array([((guess == c) & (labels == c)).sum() for c in range(C)])
    alarms, there = np.bincount(guess, minlength=C), np.bincount(labels, minlength=C)
    for kind, above, below in (
        (metrics.Precision, hits, alarms),
        (metrics.Recall, hits, there),
        (metrics.F1Score, 2 * hits, alarms + there),
    ):
        figures = np.where(below > 0, above / np.maximum(below, 1), 0.0)
        expected = {
            None: figures,
            "macro": figures.mean(),
            "micro": above.sum() / below.sum(),
            "weighted": (figures * there).sum() / there.sum(),
        }[average]
        np.testing.assert_allclose(fed(kind(average=average), labels, scores), expected, rtol=1e-14)
        np.testing.assert_allclose(
            fed(kind(average=average), np.eye(C)[labels], scores), expected, rtol=1e-14
        )
        assert fed(kind(class_id=1), labels, scores) == pytest.approx(figures[1], rel=1e-14)


def test_decisions_that_exclude_nothing(rng: np.random.Generator) -> None:
    truth, p, w = rng.integers(0, 2, (N, 3)), rng.random((N, 3)), rng.random(N)
    guess = p > 0.3
    expected = ((guess & (truth == 1)) * w[:, None]).sum() / (guess * w[:, None]).sum()
    assert fed(metrics.Precision(0.3, average="micro"), truth, p, w) == pytest.approx(expected, rel=1e-13)
    assert (
        fed(metrics.Recall(), truth[:, 0], p[:, 0])
        == ((p > 0.5) & (truth == 1))[:, 0].sum() / truth[:, 0].sum()
    )


def test_confusion_matrix(scores: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> None:
    expected = np.zeros((C, C), np.int64)
    np.add.at(expected, (labels, scores.argmax(1)), 1)
    found = fed(metrics.ConfusionMatrix(C), labels, scores)
    assert found.dtype == np.int64 and (found == expected).all()
    assert (fed(metrics.ConfusionMatrix(C), labels, scores.argmax(1)) == expected).all()
    w = rng.random(N)
    weighted = np.zeros((C, C))
    np.add.at(weighted, (labels, scores.argmax(1)), w)
    np.testing.assert_allclose(fed(metrics.ConfusionMatrix(C), labels, scores, w), weighted, rtol=1e-12)


def test_area_under_the_curve(rng: np.random.Generator) -> None:
    truth = rng.integers(0, 2, N)
    p = (np.round(rng.random(N) * 40 + truth * 15) / 80).clip(0, 1)  # ties, and on no threshold of 1000
    positive, negative = p[truth == 1], p[truth == 0]
    pairs = positive[:, None] - negative
    exact = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    assert fed(metrics.AUC(1000), truth, p) == pytest.approx(exact, abs=1e-12)
    logits = np.log(p.clip(1e-6, 1 - 1e-6) / (1 - p.clip(1e-6, 1 - 1e-6)))
    assert fed(metrics.AUC(1000, from_logits=True), truth, logits) == pytest.approx(exact, abs=1e-12)
    assert math.isnan(fed(metrics.AUC(), np.ones(3), np.ones(3)))
    # a perfect order has area 1, random guesses about the share of positives
    assert fed(metrics.AUC(curve="PR"), truth, truth * 0.5 + 0.2) == pytest.approx(1.0, abs=1e-9)
    assert fed(metrics.AUC(curve="PR"), truth, np.full(N, 0.3)) == pytest.approx(truth.mean(), abs=1e-9)


def test_regression(rng: np.random.Generator) -> None:
    y = rng.standard_normal(N) + 1e6
    p = y + rng.standard_normal(N) * 0.5
    w = rng.random(N)
    assert fed(metrics.MeanAbsoluteError(), y, p) == pytest.approx(np.abs(y - p).mean(), rel=1e-12)
    assert fed(metrics.MeanSquaredError(), y, p[:, None]) == pytest.approx(((y - p) ** 2).mean(), rel=1e-12)
    assert fed(metrics.RootMeanSquaredError(), y, p) == pytest.approx(((y - p) ** 2).mean() ** 0.5, rel=1e-12)
    weighted = (w * np.abs(y - p)).sum() / w.sum()
    assert fed(metrics.MeanAbsoluteError(), y, p, w) == pytest.approx(weighted, rel=1e-12)
    r2 = 1 - ((y - p) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    assert fed(metrics.R2Score(), y, p) == pytest.approx(r2, rel=1e-8)
    middle = (w * y).sum() / w.sum()
    r2 = 1 - (w * (y - p) ** 2).sum() / (w * (y - middle) ** 2).sum()
    assert fed(metrics.R2Score(), y, p, w) == pytest.approx(r2, rel=1e-8)
    assert math.isnan(fed(metrics.R2Score(), np.ones(3), np.zeros(3)))


def test_perplexity(rng: np.random.Generator) -> None:
    logits, labels = rng.standard_normal((N, 3, C)), rng.integers(0, C, (N, 3))
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = math.exp(-np.take_along_axis(logs, labels[..., None], -1).mean())
    assert fed(metrics.Perplexity(), labels, logits) == pytest.approx(expected, rel=1e-12)
    assert fed(metrics.Perplexity(False), labels, np.exp(logs)) == pytest.approx(expected, rel=1e-12)


def test_counts_stay_exact() -> None:
    metric = metrics.Mean()
    metric.add({"total": 2.0**52, "count": 2.0**52})
    metric.update_state(1.0)
    assert (metric.sums["total"], metric.sums["count"]) == (2**52 + 1, 2**52 + 1)


EVERY = [
    metrics.Accuracy(),
    metrics.SparseCategoricalAccuracy(),
    metrics.SparseTopKCategoricalAccuracy(2),
    metrics.F1Score(),
    metrics.ConfusionMatrix(C),
    metrics.Perplexity(),
    metrics.R2Score(),
    metrics.AUC(),
]


@pytest.mark.parametrize("metric", EVERY, ids=lambda m: m.name)
def test_saved_in_the_middle(metric: Any, scores: np.ndarray, labels: np.ndarray) -> None:
    if isinstance(metric, (metrics.Accuracy, metrics.R2Score, metrics.AUC)):
        scores, labels = scores[:, 0], (labels > 2).astype(np.float32)
    metric.reset_state()
    assert isinstance(metric.result(), np.ndarray) or math.isnan(metric.result())
    whole = fed(metric, labels, scores)
    metric.reset_state()
    fed(metric, labels[:120], scores[:120])
    text = json.dumps({k: v.tolist() for k, v in metric.state_dict().items()})
    metric.reset_state()
    metric.load_state_dict(json.loads(text))
    assert np.array_equal(fed(metric, labels[120:], scores[120:]), whole)


@pytest.mark.parametrize(
    ("truth", "guess", "logits", "kind"),
    [
        ((8,), (8,), False, metrics.BinaryAccuracy),
        ((8, 1), (8, 1), True, metrics.BinaryAccuracy),
        ((8,), (8, 1), False, metrics.BinaryAccuracy),
        ((8,), (8, 3), False, metrics.SparseCategoricalAccuracy),
        ((8, 1), (8, 3), False, metrics.SparseCategoricalAccuracy),
        ((8, 7), (8, 7, 3), False, metrics.SparseCategoricalAccuracy),
        ((8, 3), (8, 3), False, metrics.CategoricalAccuracy),
        ((8, 3), (8, 3), True, metrics.BinaryAccuracy),
    ],
)
def test_which_accuracy_is_meant(truth: Any, guess: Any, logits: bool, kind: type) -> None:
    made = resolve("accuracy", TensorType(truth, fb.int64), TensorType(guess, fb.float32), logits)
    assert type(made) is kind and made.name == "accuracy"
    if isinstance(made, metrics.BinaryAccuracy):
        assert made.cut == (0.0 if logits else 0.5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: check("acc"),
            OperandError,
            "'acc' is neither a metric nor the name of one: accuracy",
        ),
        (lambda: metrics.AUC(curve="roc"), OperandError, "AUC: curve must be 'ROC' or 'PR', not 'roc'"),
        (lambda: metrics.Precision(1.5), OperandError, "Precision: the threshold must be a probability"),
        (lambda: metrics.Recall(average="mean"), OperandError, "Recall: average must be one of"),
        (lambda: metrics.ConfusionMatrix(0), OperandError, "num_classes must be a whole number above 0"),
        (
            lambda: metrics.MeanSquaredError().update_state([1.0, 2.0], [[1.0, 2.0]]),
            ShapeError,
            r"MeanSquaredError: targets of shape \(2,\) do not fit predictions of shape \(1, 2\)",
        ),
        (
            lambda: metrics.SparseCategoricalAccuracy().update_state([1], [[0.0, 1.0], [1.0, 0.0]]),
            ShapeError,
            r"need a class for each row, targets of shape \(2,\), not \(1,\)",
        ),
        (
            lambda: metrics.Mean().update_state([1.0, 2.0], [1.0]),
            ShapeError,
            r"sample_weight of shape \(1,\) does not fit values of shape \(2,\)",
        ),
    ],
)
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
