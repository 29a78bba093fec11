"""Metric: what is counted over batches, and what it comes to.

A metric is two small methods.  ``measure`` says with tensors what one batch adds, so that it is
fused and compiled with the step that made the predictions; ``result`` turns the sums into the
figure.  Sums are float64, so counts are exact up to 2**53.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from flambeau.dtypes import float64
from flambeau.errors import OperandError, ShapeError
from flambeau.ops.creation import asarray
from flambeau.ops.grad_mode import no_grad
from flambeau.ops.manipulation import broadcast_to, reshape
from flambeau.ops.record import refuse
from flambeau.ops.reductions import sum as total
from flambeau.primitives.views import shape_text
from flambeau.tensor import Tensor

Sums = dict[str, np.ndarray]


class Metric:
    """A figure that is accumulated over batches.

    Subclasses write ``measure(y_true, y_pred, sample_weight)``, which gives by name what a batch
    adds, and ``result()``, which reads the sums in ``self.sums``.  Sums start as zeros of the shape
    that ``measure`` gives first.

    >>> import flambeau as fb
    >>> class Largest(fb.training.metrics.Metric):
    ...     def measure(self, y_true, y_pred, sample_weight):
    ...         return {"hits": fb.sum(y_true == y_pred), "count": y_true.size}
    ...     def result(self):
    ...         return self.ratio("hits", "count")
    >>> metric = Largest("equal")
    >>> metric.update_state(fb.asarray([1, 2]), fb.asarray([1, 3]))
    >>> metric.result()
    0.5
    """

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise OperandError(f"{type(self).__name__}: the name must be text, not {name!r}")
        self.name = name
        self.sums: Sums = {}

    def measure(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Mapping[str, Any]:
        """What a batch adds to the sums, by name: tensors or numbers."""
        raise NotImplementedError(f"{type(self).__name__} has no measure method")

    def result(self) -> Any:
        """The figure for all that was accumulated; NaN of nothing."""
        raise NotImplementedError(f"{type(self).__name__} has no result method")

    def add(self, measured: Mapping[str, Any]) -> None:
        """Add what ``measure`` gave to the sums."""
        for name, value in measured.items():
            array = np.asarray(value, dtype=np.float64)
            held = self.sums.get(name)
            self.sums[name] = array.copy() if held is None else held + array

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in a batch: tensors, arrays or lists."""
        with no_grad():
            weight = None if sample_weight is None else _tensor(sample_weight)
            self.add(self.measure(_tensor(y_true), _tensor(y_pred), weight))

    def reset_state(self) -> None:
        """Begin anew."""
        self.sums = {}

    def ratio(self, above: str, below: str) -> float:
        """One sum by another; NaN of nothing."""
        if below not in self.sums:
            return float("nan")
        return _quotient(float(self.sums[above]), float(self.sums[below]))

    def state_dict(self) -> dict[str, np.ndarray]:
        """The sums so far, to be saved."""
        return {name: value.copy() for name, value in self.sums.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from sums that were saved."""
        self.sums = {name: np.array(value, dtype=np.float64) for name, value in state.items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"


class Mean(Metric):
    """The weighted mean of values, such as a loss.

    >>> import flambeau as fb
    >>> mean = fb.training.metrics.Mean()
    >>> mean.update_state([1.0, 3.0])
    >>> mean.update_state(5.0)
    >>> mean.result()
    3.0
    """

    def __init__(self, name: str = "mean") -> None:
        super().__init__(name)

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Take in values, each with a weight of 1 unless ``sample_weight`` gives others."""
        with no_grad():
            x = _tensor(values).astype(float64)
            weight = None if sample_weight is None else _tensor(sample_weight)
            self.add({"total": weighted_sum(x, weight), "count": weight_of(x, weight)})

    def result(self) -> float:
        """The mean."""
        return self.ratio("total", "count")


def _quotient(a: float, b: float) -> float:
    return a / b if b else float("nan")


def _tensor(x: Any) -> Tensor:
    if isinstance(x, Tensor):
        return x
    made: Tensor = asarray(x)
    return made


def shaped(x: Tensor, shape: tuple[Any, ...]) -> Tensor:
    """The tensor in another shape, sizes that are symbolic included."""
    return reshape(x, shape)


def aligned(name: str, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
    """Both with one shape, a last axis of size 1 being dropped where the other has none."""
    if y_pred.ndim == y_true.ndim + 1 and y_pred.shape[-1] == 1:
        y_pred = shaped(y_pred, y_pred.shape[:-1])
    elif y_true.ndim == y_pred.ndim + 1 and y_true.shape[-1] == 1:
        y_true = shaped(y_true, y_true.shape[:-1])
    if y_true.shape != y_pred.shape:
        refuse(
            ShapeError(
                f"{name}: targets of shape {shape_text(y_true.shape)} do not fit predictions of shape "
                f"{shape_text(y_pred.shape)}"
            )
        )
    return y_true, y_pred


def class_indices(name: str, y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Integer targets of the shape of the predictions without their last axis, the classes."""
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        y_true = shaped(y_true, y_true.shape[:-1])
    if y_pred.ndim < 1 or y_true.shape != y_pred.shape[:-1]:
        refuse(
            ShapeError(
                f"{name}: predictions of shape {shape_text(y_pred.shape)} need a class for each row, targets "
                f"of shape {shape_text(y_pred.shape[:-1])}, not {shape_text(y_true.shape)}"
            )
        )
    return y_true


def spread_weight(weight: Tensor, like: Tensor) -> Tensor:
    """Weights of the leading axes, repeated over the others, in float64."""
    w = weight.astype(float64)
    if w.ndim > like.ndim or w.shape != like.shape[: w.ndim]:
        if w.ndim == like.ndim + 1 and w.shape == (*like.shape, 1):
            return shaped(w, like.shape)
        refuse(
            ShapeError(
                f"sample_weight of shape {shape_text(weight.shape)} does not fit values of shape "
                f"{shape_text(like.shape)}: one weight for each example is needed"
            )
        )
    if w.ndim < like.ndim:
        shape: tuple[Any, ...] = like.shape
        w = broadcast_to(shaped(w, (*w.shape, *(1,) * (like.ndim - w.ndim))), shape)
    return w


def weighted_sum(values: Tensor, weight: Tensor | None) -> Tensor:
    """The sum of values, each times its weight, in float64 (counts of booleans without weights: int64)."""
    if weight is None:
        return total(values)
    return total(values.astype(float64) * spread_weight(weight, values))


def weight_of(values: Tensor, weight: Tensor | None) -> Any:
    """The sum of all weights: the number of values where there are none."""
    return values.size if weight is None else total(spread_weight(weight, values))
