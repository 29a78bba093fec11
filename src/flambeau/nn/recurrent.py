"""Recurrent layers over sequences: RNN, LSTM and GRU."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from flambeau import random
from flambeau.dtypes import DType, default_float, float64
from flambeau.engine.tape import THREAD, Value
from flambeau.errors import OperandError
from flambeau.nn import init
from flambeau.nn.module import Module
from flambeau.nn.parameter import Parameter
from flambeau.nn.utils.rnn import PackedSequence
from flambeau.ops.record import refuse, value_of
from flambeau.primitives import recurrent
from flambeau.primitives.recurrent import Kind, Plan
from flambeau.tensor import Tensor
from flambeau.transforms.checkpoint import needs_gradient

States = Tensor | tuple[Tensor, ...]


def check_sizes(layer: str, **sizes: Any) -> None:
    """Raise unless all ``sizes`` are positive integers."""
    for name, n in sizes.items():
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            refuse(OperandError(f"{layer}: {name} must be a positive integer, not {n!r}"))


def nonlinear(layer: str, nonlinearity: str) -> Kind:
    """The kind of cell that applies ``nonlinearity``."""
    kinds = {"tanh": recurrent.RNN_TANH, "relu": recurrent.RNN_RELU}
    if nonlinearity not in kinds:
        refuse(OperandError(f"{layer}: nonlinearity must be 'tanh' or 'relu', not {nonlinearity!r}"))
    return kinds[nonlinearity]


def states_of(layer: str, kind: Kind, hx: Any) -> list[Value]:
    """The values of initial states: a tensor, or a tuple of two for an LSTM; none for None."""
    if hx is None:
        return []
    if len(kind.states) == 1:
        return [value_of(hx, f"{layer}: {kind.states[0]}")]
    if not isinstance(hx, (tuple, list)) or len(hx) != 2:
        refuse(OperandError(f"{layer}: the initial state must be a tuple (h_0, c_0), not {hx!r:.80}"))
    return [value_of(x, f"{layer}: {name}") for x, name in zip(hx, kind.states, strict=True)]


class _Recurrent(Module):
    """What RNN, LSTM and GRU share."""

    def __init__(
        self,
        kind: Kind,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: int,
        dtype: DType,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_sizes(name, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
            refuse(OperandError(f"{name}: dropout is a probability from 0 to 1, not {dropout!r}"))
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                f"{name}: dropout lies between layers, so dropout={dropout} does nothing with one layer",
                stacklevel=3,
            )
        if isinstance(proj_size, bool) or not isinstance(proj_size, int) or not 0 <= proj_size < hidden_size:
            refuse(OperandError(f"{name}: proj_size must be from 0 to below hidden_size, not {proj_size!r}"))
        self._kind = kind
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        bound = init.fan_in_bound(hidden_size)
        for parameter, shape in self._shapes():
            setattr(self, parameter, init.uniform(shape, bound, dtype))

    def _shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The names and shapes of all parameters, in order."""
        gates = self._kind.gates * self.hidden_size
        state = self.proj_size or self.hidden_size
        for layer in range(self.num_layers):
            size = self.input_size if layer == 0 else state * self._directions
            for ending in ("", "_reverse")[: self._directions]:
                at = f"l{layer}{ending}"
                yield f"weight_ih_{at}", (gates, size)
                yield f"weight_hh_{at}", (gates, state)
                if self.bias:
                    yield f"bias_ih_{at}", (gates,)
                    yield f"bias_hh_{at}", (gates,)
                if self.proj_size:
                    yield f"weight_hr_{at}", (self.proj_size, self.hidden_size)

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _run(
        self, input: Tensor | PackedSequence, hx: Any, lengths: Tensor | None
    ) -> tuple[Any, tuple[Tensor, ...]]:
        name = type(self).__name__
        packed = isinstance(input, PackedSequence)
        if packed and lengths is not None:
            refuse(OperandError(f"{name}: a PackedSequence has lengths of its own: pass no others"))
        x, lengths = input if isinstance(input, PackedSequence) else (input, lengths)
        names = [n for n, _ in self._shapes()]
        weights: list[Parameter] = [getattr(self, n) for n in names]
        operands: list[Any] = [value_of(x, name), *[w._value for w in weights]]
        operands += states_of(name, self._kind, hx)
        if lengths is not None:
            operands.append(value_of(lengths, f"{name}: lengths"))
        dropped = self.training and self.dropout > 0 and self.num_layers > 1
        kept = needs_gradient(operands)
        if dropped:
            operands.append((self.dropout, float64))
            for _ in range(self.num_layers - 1):
                operands += random.default_generator().operands()
        plan = Plan(
            name,
            self._kind,
            self.num_layers,
            self._directions,
            self.bias,
            self.proj_size > 0,
            self.batch_first and not packed,
            hx is not None,
            lengths is not None,
            dropped,
            kept,
        )
        made = THREAD.tape.record(recurrent.layers, (plan,), operands)
        y, *last = [Tensor(v) for v in made]
        return (PackedSequence(y, lengths) if packed and lengths is not None else y), tuple(last)

    def extra_repr(self) -> str:
        """The sizes, and the options that differ from their defaults."""
        parts = [f"{self.input_size}, {self.hidden_size}"]
        defaults = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        for name, default in defaults.items():
            if getattr(self, name) != default:
                parts.append(f"{name}={getattr(self, name)}")
        return ", ".join(parts)


class RNN(_Recurrent):
    """Layers of simple recurrent cells: ``h = tanh(W_ih x + b_ih + W_hh h + b_hh)`` at each step.

    Takes ``input`` of shape (steps, batch, input_size), with ``batch_first`` (batch, steps,
    input_size), or (steps, input_size) for a single sequence; a first state ``hx`` of shape
    (num_layers * directions, batch, hidden_size), 0 unless given; and ``lengths``, int64 of shape
    (batch,), for sequences shorter than the input.  Gives ``(output, h_n)``: the last layer's states
    at all steps, (steps, batch, directions * hidden_size), and the last states of all layers,
    shaped like ``hx``.

    Past a sequence's length the state stays and the output is 0; the backward direction of a
    ``bidirectional`` layer begins at the sequence's last element.  Whatever padding holds, even NaN,
    has no influence.  A ``PackedSequence`` brings its lengths along and comes out as one.

    ``dropout`` zeroes elements between layers while training.  The recorded graph and the number of
    kernels do not depend on the number of steps.  Raises ``ShapeError`` and ``DTypeError`` where the
    input, state or lengths do not fit, and ``OutOfBoundsError`` where a length exceeds the steps.

    >>> import flambeau as fb
    >>> layer = fb.nn.RNN(4, 8, num_layers=2)
    >>> output, h_n = layer(fb.ones((5, 3, 4)), lengths=fb.asarray([5, 2, 1]))
    >>> output.shape, h_n.shape
    ((5, 3, 8), (2, 3, 8))

    Source: J. L. Elman, "Finding structure in time", 1990.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: DType = default_float,
    ) -> None:
        kind = nonlinear("RNN", nonlinearity)
        super().__init__(
            kind, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, dtype
        )
        self.nonlinearity = nonlinearity

    def forward(
        self, input: Tensor | PackedSequence, hx: Tensor | None = None, lengths: Tensor | None = None
    ) -> tuple[Any, Tensor]:
        """The output at all steps, and the last states."""
        output, (h_n,) = self._run(input, hx, lengths)
        return output, h_n

    def extra_repr(self) -> str:
        """The sizes, and the options that differ from their defaults."""
        own = super().extra_repr()
        return own if self.nonlinearity == "tanh" else f"{own}, nonlinearity={self.nonlinearity!r}"


class LSTM(_Recurrent):
    """Layers of long short-term memory: gates decide what a cell keeps, takes in and shows.

    As ``RNN``, but the state is a pair: ``hx`` is ``(h_0, c_0)`` and the result
    ``(output, (h_n, c_n))``.  With ``proj_size`` the state h is projected to that many features,
    which are also those of the output; c keeps ``hidden_size``.

    >>> import flambeau as fb
    >>> output, (h_n, c_n) = fb.nn.LSTM(4, 8, bidirectional=True)(fb.ones((5, 3, 4)))
    >>> output.shape, h_n.shape, c_n.shape
    ((5, 3, 16), (2, 3, 8), (2, 3, 8))

    Source: S. Hochreiter, J. Schmidhuber, "Long short-term memory", 1997, with forget gates by
    Gers et al., 2000; projections: H. Sak et al., 2014.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        dtype: DType = default_float,
    ) -> None:
        super().__init__(
            recurrent.LSTM,
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            dtype,
        )

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: tuple[Tensor, Tensor] | None = None,
        lengths: Tensor | None = None,
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        """The output at all steps, and the last states and cells."""
        output, (h_n, c_n) = self._run(input, hx, lengths)
        return output, (h_n, c_n)


class GRU(_Recurrent):
    """Layers of gated recurrent units: an update gate mixes the old state with a new one.

    As ``RNN``.  The reset gate multiplies the state's part of the new state after its matrix
    product, as in PyTorch and cuDNN: ``n = tanh(W_in x + b_in + r * (W_hn h + b_hn))``.

    >>> import flambeau as fb
    >>> output, h_n = fb.nn.GRU(4, 8, batch_first=True)(fb.ones((3, 5, 4)))
    >>> output.shape, h_n.shape
    ((3, 5, 8), (1, 3, 8))

    Source: K. Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: DType = default_float,
    ) -> None:
        super().__init__(
            recurrent.GRU,
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            dtype,
        )

    def forward(
        self, input: Tensor | PackedSequence, hx: Tensor | None = None, lengths: Tensor | None = None
    ) -> tuple[Any, Tensor]:
        """The output at all steps, and the last states."""
        output, (h_n,) = self._run(input, hx, lengths)
        return output, h_n
