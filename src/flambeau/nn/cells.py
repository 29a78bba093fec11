"""Recurrent cells: one step of RNN, LSTM and GRU."""

from __future__ import annotations

from typing import Any

from flambeau.dtypes import DType, default_float
from flambeau.engine.tape import THREAD
from flambeau.nn import init
from flambeau.nn.module import Module
from flambeau.nn.recurrent import check_sizes, nonlinear, states_of
from flambeau.ops.record import value_of
from flambeau.primitives import recurrent
from flambeau.primitives.recurrent import Kind
from flambeau.tensor import Tensor


class _Cell(Module):
    """What the cells share."""

    def __init__(self, kind: Kind, input_size: int, hidden_size: int, bias: bool, dtype: DType) -> None:
        super().__init__()
        check_sizes(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        self._kind = kind
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        bound = init.fan_in_bound(hidden_size)
        gates = kind.gates * hidden_size
        self.weight_ih = init.uniform((gates, input_size), bound, dtype)
        self.weight_hh = init.uniform((gates, hidden_size), bound, dtype)
        self.bias_ih = init.uniform((gates,), bound, dtype) if bias else None
        self.bias_hh = init.uniform((gates,), bound, dtype) if bias else None

    def _step(self, input: Tensor, hx: Any) -> tuple[Tensor, ...]:
        name = type(self).__name__
        operands = [value_of(input, name), self.weight_ih._value, self.weight_hh._value]
        if self.bias_ih is not None and self.bias_hh is not None:
            operands += [self.bias_ih._value, self.bias_hh._value]
        operands += states_of(name, self._kind, hx)
        attrs = (name, self._kind, self.bias_ih is not None, hx is not None)
        made = THREAD.tape.record(recurrent.cell, attrs, operands)
        return tuple([Tensor(v) for v in made]) if isinstance(made, tuple) else (Tensor(made),)

    def extra_repr(self) -> str:
        """The sizes."""
        bias = "" if self.bias else ", bias=False"
        return f"{self.input_size}, {self.hidden_size}{bias}"


class RNNCell(_Cell):
    """A simple recurrent cell: ``tanh(W_ih x + b_ih + W_hh h + b_hh)``.

    Takes ``input`` of shape (batch, input_size) or (input_size,) and a state ``hx`` of shape
    (batch, hidden_size) or (hidden_size,), 0 unless given; gives the next state.  Raises
    ``ShapeError`` and ``DTypeError`` where they do not fit.

    >>> import flambeau as fb
    >>> fb.nn.RNNCell(4, 8)(fb.ones((3, 4))).shape
    (3, 8)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        dtype: DType = default_float,
    ) -> None:
        super().__init__(nonlinear("RNNCell", nonlinearity), input_size, hidden_size, bias, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next state."""
        return self._step(input, hx)[0]

    def extra_repr(self) -> str:
        """The sizes, and the nonlinearity if it is not tanh."""
        own = super().extra_repr()
        return own if self.nonlinearity == "tanh" else f"{own}, nonlinearity={self.nonlinearity!r}"


class LSTMCell(_Cell):
    """A cell of long short-term memory; see ``LSTM``.

    As ``RNNCell``, but ``hx`` is a pair ``(h, c)`` and so is the result.

    >>> import flambeau as fb
    >>> h, c = fb.nn.LSTMCell(4, 8)(fb.ones((3, 4)))
    >>> h.shape, c.shape
    ((3, 8), (3, 8))
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, dtype: DType = default_float
    ) -> None:
        super().__init__(recurrent.LSTM, input_size, hidden_size, bias, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """The next state and cell."""
        h, c = self._step(input, hx)
        return h, c


class GRUCell(_Cell):
    """A gated recurrent unit; see ``GRU``.  As ``RNNCell``.

    >>> import flambeau as fb
    >>> fb.nn.GRUCell(4, 8)(fb.ones((3, 4))).shape
    (3, 8)
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, dtype: DType = default_float
    ) -> None:
        super().__init__(recurrent.GRU, input_size, hidden_size, bias, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next state."""
        return self._step(input, hx)[0]
