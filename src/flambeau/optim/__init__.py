"""Optimizers, with PyTorch's names and arguments."""

from flambeau.optim.adam import Adam
from flambeau.optim.optimizer import Optimizer
from flambeau.optim.sgd import SGD

__all__ = ["SGD", "Adam", "Optimizer"]
