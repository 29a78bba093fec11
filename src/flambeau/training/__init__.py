"""Training: ``Model`` with Keras's methods, callbacks and metrics."""

from flambeau.training import callbacks, metrics
from flambeau.training.history import History
from flambeau.training.model import Model

__all__ = ["History", "Model", "callbacks", "metrics"]
