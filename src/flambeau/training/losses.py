"""The loss that a model is compiled with: by name or object, with weights of examples."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

from flambeau.dtypes import float32
from flambeau.errors import OperandError, ShapeError
from flambeau.nn import functional
from flambeau.nn.module import Module
from flambeau.ops.record import refuse
from flambeau.ops.reductions import mean
from flambeau.ops.reductions import sum as total
from flambeau.primitives.views import shape_text
from flambeau.tensor import Tensor

# What Keras calls losses, and their names here.
_ELSEWHERE = {
    "sparse_categorical_crossentropy": "cross_entropy",
    "categorical_crossentropy": "cross_entropy",
    "binary_crossentropy": "binary_cross_entropy",
    "mse": "mse_loss",
    "mean_squared_error": "mse_loss",
    "mae": "l1_loss",
    "mean_absolute_error": "l1_loss",
    "huber": "huber_loss",
    "kl_divergence": "kl_div",
}
NAMES = (
    "cross_entropy",
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "nll_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "kl_div",
)
_WITH_LOGITS = ("binary_cross_entropy_with_logits", "BCEWithLogitsLoss")


class Loss:
    """A loss of outputs and targets: their order is PyTorch's, ``loss(outputs, targets)``."""

    def __init__(self, loss: Any) -> None:
        self.function: Callable[[Any, Any], Any] = _function(loss)
        name = loss if isinstance(loss, str) else type(loss).__name__
        self.logits = name in _WITH_LOGITS or getattr(loss, "__name__", "") in _WITH_LOGITS
        self.summed = getattr(loss, "reduction", "mean") == "sum"
        self._each = _unreduced(loss, self.function)

    def __call__(self, outputs: Any, targets: Any, weights: Tensor | None) -> Tensor:
        """The loss of a batch: one number.

        With weights it is the sum of each example's loss times its weight, divided by the number of
        examples, as in Keras.
        """
        if weights is None:
            found = self.function(outputs, targets)
            if not isinstance(found, Tensor) or found.ndim:
                shown = shape_text(found.shape) if isinstance(found, Tensor) else type(found).__name__
                refuse(ShapeError(f"fit: the loss must be a tensor without axes, not {shown}"))
            return found
        if self._each is None:
            refuse(
                OperandError(
                    "fit: weights need a loss that can be had for each example: one of flambeau's, or a "
                    "function with an argument reduction that can be 'none'"
                )
            )
        each: Tensor = self._each(outputs, targets)
        if each.ndim > 1:
            each = mean(each, axis=tuple(range(1, each.ndim)))
        if each.shape != weights.shape:
            refuse(
                ShapeError(
                    f"fit: weights of shape {shape_text(weights.shape)} do not fit losses of "
                    f"{shape_text(each.shape)}: one weight for each example is needed"
                )
            )
        found = total(each * weights.astype(each.dtype))
        return found if self.summed else found / each.shape[0]


def _function(loss: Any) -> Callable[[Any, Any], Any]:
    if isinstance(loss, str):
        if loss in NAMES:
            found: Callable[[Any, Any], Any] = getattr(functional, loss)
            return found
        hint = f": it is called {_ELSEWHERE[loss]!r} here" if loss in _ELSEWHERE else ""
        raise OperandError(f"compile: there is no loss {loss!r}{hint or '; there are ' + ', '.join(NAMES)}")
    if isinstance(loss, type) or not callable(loss):
        raise OperandError(f"compile: the loss must be a name, a module or a function, not {loss!r}")
    made: Callable[[Any, Any], Any] = loss
    return made


def _unreduced(loss: Any, function: Callable[..., Any]) -> Callable[[Any, Any], Any] | None:
    """The same loss for each element, where it can be had."""
    if isinstance(loss, Module):
        if not hasattr(loss, "reduction"):
            return None
        single: Any = copy.copy(loss)
        object.__setattr__(single, "reduction", "none")
        made: Callable[[Any, Any], Any] = single
        return made
    try:
        if "reduction" not in inspect.signature(function).parameters:
            return None
    except (TypeError, ValueError):
        return None

    def each(outputs: Any, targets: Any) -> Any:
        return function(outputs, targets, reduction="none")

    return each


def in_float32(outputs: Any) -> Any:
    """Outputs of half precision as float32: losses are computed in it."""
    if isinstance(outputs, Tensor):
        return outputs.astype(float32) if outputs.dtype.floating and outputs.dtype.itemsize == 2 else outputs
    if isinstance(outputs, dict):
        return {key: in_float32(x) for key, x in outputs.items()}
    if isinstance(outputs, (tuple, list)):
        return tuple([in_float32(x) for x in outputs])
    return outputs
