"""Neural networks: modules, layers and losses, with PyTorch's names."""

from flambeau.nn import functional, init
from flambeau.nn.activation import ReLU
from flambeau.nn.containers import ModuleDict, ModuleList, Sequential
from flambeau.nn.linear import Linear
from flambeau.nn.loss import CrossEntropyLoss, MSELoss
from flambeau.nn.module import Module
from flambeau.nn.parameter import Parameter
from flambeau.nn.parameter_containers import ParameterDict, ParameterList

__all__ = [
    "CrossEntropyLoss",
    "Linear",
    "MSELoss",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "ReLU",
    "Sequential",
    "functional",
    "init",
]
