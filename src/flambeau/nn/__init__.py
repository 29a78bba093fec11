"""Neural networks: modules, layers and losses, with PyTorch's names."""

from flambeau.nn.activation import ReLU
from flambeau.nn.containers import Sequential
from flambeau.nn.linear import Linear
from flambeau.nn.loss import CrossEntropyLoss, MSELoss, cross_entropy, mse_loss
from flambeau.nn.module import Module
from flambeau.nn.parameter import Parameter

__all__ = [
    "CrossEntropyLoss",
    "Linear",
    "MSELoss",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "cross_entropy",
    "mse_loss",
]
