"""Layers over sequences: recurrent layers and cells, and attention."""

# ruff: noqa: E501 - tables, a case a line

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.errors import DTypeError, OperandError, ShapeError
from tests.nn.harness import case, numbers

X = numbers(3, 2, 2)  # steps, batch, features
FIRST = numbers(2, 3, 4)  # batch, positions, features
HIDDEN = np.asarray([[False, False, True], [False, False, False]])

NO_SIZE = [((2, 0), {}, OperandError, "hidden_size must be a positive integer, not 0")]
BAD_LAYER = [
    *NO_SIZE,
    ((2, 3), {"num_layers": 0}, OperandError, "num_layers must be a positive integer, not 0"),
    ((2, 3), {"dropout": 1.5}, OperandError, "dropout is a probability from 0 to 1, not 1.5"),
]


def with_pair(layer: Any, x: Any, h: Any, c: Any) -> Any:
    """A step from a state and a cell."""
    return layer(x, (h, c))


def attend(layer: Any, x: Any) -> Any:
    """Self-attention."""
    return layer(x, x, x)


def attend_masked(layer: Any, x: Any, hidden: Any) -> Any:
    """Self-attention with a key padding mask, without weights."""
    return layer(x, x, x, key_padding_mask=hidden, need_weights=False)[0]


CASES = [
    case("RNNCell", 2, 3, inputs=(numbers(5, 2), numbers(5, 3)), output=(5, 3), shows="RNNCell(2, 3)", refused=NO_SIZE),
    case("RNNCell", 2, 3, inputs=(numbers(5, 2), numbers(5, 3)), output=(5, 3), shows="RNNCell(2, 3, bias=False, nonlinearity='relu')", bias=False, nonlinearity="relu",
         refused=[((2, 3), {"nonlinearity": "elu"}, OperandError, "RNNCell: nonlinearity must be 'tanh' or 'relu', not 'elu'")]),
    case("LSTMCell", 2, 3, call=with_pair, inputs=(numbers(5, 2), numbers(5, 3), numbers(5, 3, seed=1)), output=[(5, 3), (5, 3)], shows="LSTMCell(2, 3)", refused=NO_SIZE),
    case("GRUCell", 2, 3, inputs=(numbers(5, 2), numbers(5, 3)), output=(5, 3), shows="GRUCell(2, 3)",
         wrong=[
             ((numbers(5, 3),), ShapeError, r"GRUCell: an input of shape \(batch, 2\) or \(2,\) is needed, not \(5, 3\)"),
             ((numbers(5, 2), numbers(4, 3)), ShapeError, r"GRUCell: h_0 must have shape \(5, 3\), not \(4, 3\)"),
         ]),
    case("RNN", 2, 3, inputs=(X, numbers(1, 2, 3)), output=[(3, 2, 3), (1, 2, 3)], shows="RNN(2, 3)", refused=BAD_LAYER, batch=1,
         wrong=[
             ((numbers(3, 2, 4),), ShapeError, r"RNN: an input of shape \(steps, batch, 2\) or \(steps, 2\) is needed, not \(3, 2, 4\)"),
             ((X > 0,), DTypeError, "RNN: the input is bool, the weights are float32: cast one of them"),
             ((X, numbers(2, 2, 3)), ShapeError, r"RNN: h_0 must have shape \(1, 2, 3\), not \(2, 2, 3\)"),
         ]),
    case("RNN", 2, 3, inputs=X, output=[(3, 2, 6), (2, 2, 3)], shows="RNN(2, 3, bias=False, bidirectional=True, nonlinearity='relu')",
         bias=False, bidirectional=True, nonlinearity="relu", batch=1),
    case("LSTM", 2, 3, inputs=X, output=[(3, 2, 3), (1, 2, 3), (1, 2, 3)], shows="LSTM(2, 3)", refused=BAD_LAYER, batch=1),
    case("LSTM", 2, 3, inputs=X, output=[(3, 2, 2), (1, 2, 2), (1, 2, 3)], shows="LSTM(2, 3, proj_size=2)", proj_size=2, batch=1,
         refused=[((2, 3), {"proj_size": 3}, OperandError, "LSTM: proj_size must be from 0 to below hidden_size, not 3")]),
    case("GRU", 2, 3, inputs=X, output=[(3, 2, 3), (1, 2, 3)], shows="GRU(2, 3)", refused=BAD_LAYER, batch=1),
    case("GRU", 2, 2, inputs=numbers(2, 3, 2), output=[(2, 3, 4), (4, 2, 2)], shows="GRU(2, 2, num_layers=2, batch_first=True, bidirectional=True)",
         num_layers=2, batch_first=True, bidirectional=True, batch=None),
    case("MultiheadAttention", 4, 2, inputs=numbers(3, 2, 4), output=[(3, 2, 4), (2, 3, 3)], shows="MultiheadAttention(4, 2)", call=attend, batch=None),
    case("MultiheadAttention", 4, 2, inputs=FIRST, output=[(2, 3, 4), (2, 3, 3)], shows="MultiheadAttention(4, 2, batch_first=True)", call=attend, batch_first=True,
         refused=[((4, 3), {}, OperandError, "MultiheadAttention: embed_dim=4 does not divide into num_heads=3")]),
    case("MultiheadAttention", 4, 2, inputs=(FIRST, HIDDEN), output=(2, 3, 4), shows="MultiheadAttention(4, 2, batch_first=True)", variant="masked",
         call=attend_masked, batch_first=True),
    case("MultiheadAttention", 4, 1, inputs=(FIRST, numbers(2, 5, 3), numbers(2, 5, 2)), output=[(2, 3, 4), (2, 3, 7)],
         shows="MultiheadAttention(4, 1, bias=False, add_bias_kv=True, add_zero_attn=True, kdim=3, vdim=2, batch_first=True)",
         bias=False, kdim=3, vdim=2, add_bias_kv=True, add_zero_attn=True, batch_first=True),
]  # fmt: skip
