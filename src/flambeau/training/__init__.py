"""Training: `Model` with Keras's methods, callbacks and metrics."""

from flambeau.training import metrics

__all__ = ["metrics"]
