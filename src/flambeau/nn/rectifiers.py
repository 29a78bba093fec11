"""Activations that let positive numbers pass: ReLU and what came after it."""

from __future__ import annotations

from flambeau.dtypes import DType, default_float
from flambeau.engine.tape import THREAD
from flambeau.errors import OperandError
from flambeau.nn.module import Module
from flambeau.nn.parameter import Parameter
from flambeau.nn.pointwise import Activation, PlainActivation, checked_number, pointwise
from flambeau.ops.creation import full
from flambeau.ops.record import refuse, value_of
from flambeau.primitives import activations, composites, elementwise
from flambeau.tensor import Tensor


class ReLU(Module):
    """``max(x, 0)``, element by element.

    >>> import flambeau as fb
    >>> fb.nn.ReLU()(fb.asarray([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation."""
        return Tensor(THREAD.tape.record(elementwise.relu, (), (value_of(x, "ReLU"),)))


# -- slopes below zero ------------------------------------------------------------------------


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``x`` where positive, else ``negative_slope * x``.

    Source: A. Maas, A. Hannun, A. Ng, "Rectifier nonlinearities improve neural network acoustic
    models", 2013.

    >>> import flambeau as fb
    >>> fb.nn.functional.leaky_relu(fb.asarray([-1.0, 2.0]), 0.5)
    tensor([-0.5,  2. ])
    """
    return pointwise("leaky_relu", activations.leaky_relu, input, negative_slope)


class LeakyReLU(Activation):
    """``x`` where positive, else ``negative_slope * x``.

    >>> import flambeau as fb
    >>> fb.nn.LeakyReLU(0.5)(fb.asarray([-1.0, 2.0]))
    tensor([-0.5,  2. ])
    """

    builder = activations.leaky_relu
    numbers = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self._set(negative_slope)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """``x`` where positive, else ``weight * x``, with one weight or one for each channel (axis 1).

    >>> import flambeau as fb
    >>> fb.nn.functional.prelu(fb.asarray([[-1.0, -1.0]]), fb.asarray([0.5, 0.25]))
    tensor([[-0.5 , -0.25]])
    """
    operands = [value_of(x, "prelu") for x in (input, weight)]
    return Tensor(THREAD.tape.record(activations.prelu, (), operands))


class PReLU(Module):
    """``x`` where positive, else ``weight * x`` with a learned weight: one, or one for each channel.

    Takes tensors of shape (N, channels, ...), or of any shape where there is one weight.

    Source: K. He et al., "Delving deep into rectifiers", 2015.

    >>> import flambeau as fb
    >>> fb.nn.PReLU()(fb.asarray([-1.0, 2.0])).tolist()
    [-0.25, 2.0]
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, dtype: DType = default_float) -> None:
        super().__init__()
        if not isinstance(num_parameters, int) or num_parameters < 1:
            refuse(
                OperandError(f"PReLU: num_parameters must be a size of at least 1, not {num_parameters!r}")
            )
        self.num_parameters = num_parameters
        self.weight = Parameter(full((num_parameters,), checked_number("PReLU", "init", init), dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation."""
        operands = (value_of(x, "PReLU"), self.weight._value)
        return Tensor(THREAD.tape.record(activations.prelu, (), operands))

    def extra_repr(self) -> str:
        """The number of weights."""
        return f"num_parameters={self.num_parameters}"


def _rrelu(name: str, x: Tensor, lower: float, upper: float, training: bool) -> Tensor:
    if not lower <= upper:
        refuse(OperandError(f"{name}: lower must be at most upper, not {lower} and {upper}"))
    if not training:
        return pointwise(name, activations.leaky_relu, x, (lower + upper) / 2)
    return pointwise(name, activations.rrelu, x, lower, upper, random=True)


def rrelu(
    input: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """``leaky_relu`` with slopes drawn anew for each element; their mean where not ``training``.

    >>> import flambeau as fb
    >>> fb.nn.functional.rrelu(fb.asarray([-1.0, 2.0]), 0.25, 0.75)
    tensor([-0.5,  2. ])
    """
    return _rrelu("rrelu", input, lower, upper, training)


class RReLU(Module):
    """In training ``leaky_relu`` with slopes drawn anew for each element; their mean in evaluation.

    Source: B. Xu et al., "Empirical evaluation of rectified activations", 2015.

    >>> import flambeau as fb
    >>> fb.nn.RReLU(0.25, 0.75).eval()(fb.asarray([-1.0, 2.0]))
    tensor([-0.5,  2. ])
    """

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower = checked_number("RReLU", "lower", lower)
        self.upper = checked_number("RReLU", "upper", upper)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation."""
        return _rrelu("RReLU", x, self.lower, self.upper, self.training)

    def extra_repr(self) -> str:
        """The range of slopes."""
        return f"lower={self.lower}, upper={self.upper}"


# -- exponentials below zero ------------------------------------------------------------------


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` where positive, else ``alpha * (exp(x) - 1)``.

    >>> import flambeau as fb
    >>> fb.nn.functional.elu(fb.asarray([-100.0, 2.0]))
    tensor([-1.,  2.])
    """
    return pointwise("elu", activations.elu, input, alpha)


class ELU(Activation):
    """``x`` where positive, else ``alpha * (exp(x) - 1)``.

    Source: D.-A. Clevert, T. Unterthiner, S. Hochreiter, "Fast and accurate deep network learning
    by exponential linear units", 2015.

    >>> import flambeau as fb
    >>> fb.nn.ELU()(fb.asarray([-100.0, 2.0]))
    tensor([-1.,  2.])
    """

    builder = activations.elu
    numbers = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self._set(alpha)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` where positive, else ``alpha * (exp(x / alpha) - 1)``.

    >>> import flambeau as fb
    >>> fb.nn.functional.celu(fb.asarray([-100.0, 2.0]), 0.5)
    tensor([-0.5,  2. ])
    """
    return pointwise("celu", activations.celu, input, alpha)


class CELU(Activation):
    """``x`` where positive, else ``alpha * (exp(x / alpha) - 1)``.

    Source: J. T. Barron, "Continuously differentiable exponential linear units", 2017.

    >>> import flambeau as fb
    >>> fb.nn.CELU(0.5)(fb.asarray([-100.0, 2.0]))
    tensor([-0.5,  2. ])
    """

    builder = activations.celu
    numbers = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self._set(alpha)
        if alpha == 0:
            refuse(OperandError("CELU: alpha must not be 0, which exponents are divided by"))


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """``elu`` scaled so that mean 0 and variance 1 persist from layer to layer.

    >>> import flambeau as fb
    >>> fb.nn.functional.selu(fb.asarray([0.0, 1.0]))
    tensor([0.      , 1.050701])
    """
    return pointwise("selu", composites.selu, input)


class SELU(PlainActivation):
    """``elu`` scaled so that mean 0 and variance 1 persist from layer to layer.

    Source: G. Klambauer et al., "Self-normalizing neural networks", 2017.

    >>> import flambeau as fb
    >>> fb.nn.SELU()(fb.asarray([0.0, 1.0]))
    tensor([0.      , 1.050701])
    """

    builder = composites.selu


# -- smooth ones ------------------------------------------------------------------------------


def _gelu_kind(name: str, approximate: str) -> str:
    if approximate not in ("none", "tanh"):
        refuse(OperandError(f"{name}: approximate must be 'none' or 'tanh', not {approximate!r}"))
    return approximate


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """``x * P(Z < x)`` for a standard normal Z; ``approximate="tanh"`` computes it with a tanh.

    >>> import flambeau as fb
    >>> fb.nn.functional.gelu(fb.asarray([0.0, 10.0]))
    tensor([ 0., 10.])
    """
    return pointwise("gelu", composites.gelu, input, attrs=(_gelu_kind("gelu", approximate),))


class GELU(Module):
    """``x * P(Z < x)`` for a standard normal Z; ``approximate="tanh"`` computes it with a tanh.

    Source: D. Hendrycks, K. Gimpel, "Gaussian error linear units", 2016.

    >>> import flambeau as fb
    >>> fb.nn.GELU()(fb.asarray([0.0, 10.0]))
    tensor([ 0., 10.])
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = _gelu_kind("GELU", approximate)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation."""
        return pointwise("GELU", composites.gelu, x, attrs=(self.approximate,))

    def extra_repr(self) -> str:
        """The kind of approximation."""
        return f"approximate={self.approximate!r}"


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * sigmoid(x)``.

    >>> import flambeau as fb
    >>> fb.nn.functional.silu(fb.asarray([0.0, 100.0]))
    tensor([  0., 100.])
    """
    return pointwise("silu", composites.silu, input)


class SiLU(PlainActivation):
    """``x * sigmoid(x)``, also called swish.

    Source: S. Elfwing, E. Uchibe, K. Doya, "Sigmoid-weighted linear units", 2017.

    >>> import flambeau as fb
    >>> fb.nn.SiLU()(fb.asarray([0.0, 100.0]))
    tensor([  0., 100.])
    """

    builder = composites.silu


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * tanh(softplus(x))``.

    >>> import flambeau as fb
    >>> fb.nn.functional.mish(fb.asarray([0.0, 100.0]))
    tensor([  0., 100.])
    """
    return pointwise("mish", composites.mish, input)


class Mish(PlainActivation):
    """``x * tanh(softplus(x))``.

    Source: D. Misra, "Mish: a self regularized non-monotonic activation function", 2019.

    >>> import flambeau as fb
    >>> fb.nn.Mish()(fb.asarray([0.0, 100.0]))
    tensor([  0., 100.])
    """

    builder = composites.mish
