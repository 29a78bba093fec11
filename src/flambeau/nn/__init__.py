"""Neural networks: modules, layers and losses, with PyTorch's names."""

from flambeau.nn import functional, init, utils
from flambeau.nn.activation import ReLU
from flambeau.nn.attention import MultiheadAttention
from flambeau.nn.cells import GRUCell, LSTMCell, RNNCell
from flambeau.nn.containers import ModuleDict, ModuleList, Sequential
from flambeau.nn.linear import Linear
from flambeau.nn.loss import CrossEntropyLoss, MSELoss
from flambeau.nn.module import Module
from flambeau.nn.parameter import Parameter
from flambeau.nn.parameter_containers import ParameterDict, ParameterList
from flambeau.nn.recurrent import GRU, LSTM, RNN

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "CrossEntropyLoss",
    "GRUCell",
    "LSTMCell",
    "Linear",
    "MSELoss",
    "Module",
    "ModuleDict",
    "ModuleList",
    "MultiheadAttention",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "RNNCell",
    "ReLU",
    "Sequential",
    "functional",
    "init",
    "utils",
]
