"""Initial values: each function changes a parameter, or another tensor, in place and returns it.

Random ones draw from the default generator (``fb.random.seed``), or from ``generator``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau import random
from flambeau.dtypes import DType, default_float, float32, float64
from flambeau.engine.convert import from_array
from flambeau.engine.modes import grad_enabled
from flambeau.errors import DTypeError, OperandError, ShapeError
from flambeau.nn.parameter import Parameter
from flambeau.ops.arithmetic import sign
from flambeau.ops.linalg import diagonal, qr
from flambeau.ops.record import refuse, value_of
from flambeau.ops.searching import argsort, where
from flambeau.ops.transcendental import erf
from flambeau.primitives.views import shape_text
from flambeau.random import Generator
from flambeau.tensor import Tensor

# -- what layers use --------------------------------------------------------------------------


def uniform(shape: Sequence[int], bound: float, dtype: DType = default_float) -> Parameter:
    """A parameter drawn uniformly from [-bound, bound)."""
    values: Any = random.uniform(tuple(shape), low=-bound, high=bound, dtype=dtype)
    return Parameter(values)


def fan_in_bound(fan_in: int) -> float:
    """The bound that PyTorch draws weights and biases of linear layers from: 1/sqrt(fan_in).

    Source: He et al., Delving Deep into Rectifiers, 2015, with a = sqrt(5).
    """
    return 1.0 / math.sqrt(fan_in) if fan_in > 0 else 0.0


# -- pieces -----------------------------------------------------------------------------------


def _check(name: str, tensor: Any, least: int = 0, most: int = 1 << 30) -> None:
    dtype = value_of(tensor, name).type.dtype
    if not dtype.floating:
        refuse(DTypeError(f"{name}: a floating-point tensor is needed, not {dtype}"))
    if not least <= tensor.ndim <= most:
        wanted = f"{least}" if least == most else f"{least} to {most}" if most < 9 else f"at least {least}"
        refuse(
            ShapeError(f"{name}: a tensor with {wanted} axes is needed, not shape {shape_text(tensor.shape)}")
        )


def _filled(tensor: Tensor, values: Tensor | np.ndarray) -> Tensor:
    """Give a tensor new values; a leaf stays a leaf."""
    token = grad_enabled.set(False)
    try:
        if isinstance(values, np.ndarray):
            values = Tensor(from_array(np.asarray(values, dtype=tensor.dtype.numpy)))
        made = values.detach().astype(tensor.dtype)
        made.numpy()  # the parameter is there when the first step is recorded
        tensor._rebind(made._value)
    finally:
        grad_enabled.reset(token)
    return tensor


def _source(generator: Generator | None) -> Generator:
    return random.default_generator() if generator is None else generator


def _wide(tensor: Tensor) -> DType:
    """The dtype to compute in."""
    return float64 if tensor.dtype is float64 else float32


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple([int(n) for n in tensor.shape])


# -- constants --------------------------------------------------------------------------------


def constant_(tensor: Tensor, val: float) -> Tensor:
    """All elements the number ``val``.

    >>> import flambeau as fb
    >>> fb.nn.init.constant_(fb.zeros(2), 0.5)
    tensor([0.5, 0.5])
    """
    _check("constant_", tensor)
    return _filled(tensor, np.full(_shape(tensor), val))


def ones_(tensor: Tensor) -> Tensor:
    """All elements 1.

    >>> import flambeau as fb
    >>> fb.nn.init.ones_(fb.zeros(2))
    tensor([1., 1.])
    """
    _check("ones_", tensor)
    return _filled(tensor, np.ones(_shape(tensor)))


def zeros_(tensor: Tensor) -> Tensor:
    """All elements 0.

    >>> import flambeau as fb
    >>> layer = fb.nn.Linear(2, 3)
    >>> fb.nn.init.zeros_(layer.bias)
    tensor([0., 0., 0.], requires_grad=True)
    """
    _check("zeros_", tensor)
    return _filled(tensor, np.zeros(_shape(tensor)))


def eye_(tensor: Tensor) -> Tensor:
    """A matrix with ones on its diagonal: a linear layer that keeps its input.

    >>> import flambeau as fb
    >>> fb.nn.init.eye_(fb.zeros((2, 3)))
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    _check("eye_", tensor, 2, 2)
    rows, columns = _shape(tensor)
    return _filled(tensor, np.eye(rows, columns))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Weights of a convolution, of 3 to 5 axes, that keeps as many channels as it can.

    >>> import flambeau as fb
    >>> fb.nn.init.dirac_(fb.zeros((2, 2, 3))).tolist()
    [[[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]
    """
    _check("dirac_", tensor, 3, 5)
    shape = _shape(tensor)
    if not isinstance(groups, int) or groups < 1 or shape[0] % groups:
        refuse(OperandError(f"dirac_: {shape[0]} output channels cannot be divided into {groups!r} groups"))
    each = shape[0] // groups
    values = np.zeros(shape)
    middle = tuple([n // 2 for n in shape[2:]])
    for group in range(groups):
        for channel in range(min(each, shape[1])):
            values[(group * each + channel, channel, *middle)] = 1
    return _filled(tensor, values)


# -- simple distributions ---------------------------------------------------------------------


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Drawn evenly from [a, b).

    >>> import flambeau as fb
    >>> w = fb.nn.init.uniform_(fb.zeros(100), -1.0, 1.0)
    >>> bool(fb.all(fb.abs(w) <= 1))
    True
    """
    _check("uniform_", tensor)
    return _filled(tensor, _source(generator).uniform(_shape(tensor), a, b, dtype=tensor.dtype))


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Drawn from a normal distribution.

    >>> import flambeau as fb
    >>> fb.nn.init.normal_(fb.zeros((2, 3)), std=0.02).shape
    (2, 3)
    """
    _check("normal_", tensor)
    return _filled(tensor, _source(generator).normal(_shape(tensor), mean, std, dtype=tensor.dtype))


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Drawn from a normal distribution of which only [a, b] is left.

    The distribution function is inverted by bisection, for all elements at once.

    >>> import flambeau as fb
    >>> w = fb.nn.init.trunc_normal_(fb.zeros(100), std=5.0)
    >>> bool(fb.all(fb.abs(w) <= 2))
    True
    """
    _check("trunc_normal_", tensor)
    if not a < b or not std > 0:
        refuse(OperandError(f"trunc_normal_: a < b and std > 0 are needed, not a={a}, b={b} and std={std}"))
    low, high = (a - mean) / std, (b - mean) / std
    if low > 0:  # the lower tail, mirrored: near 1 the distribution function has few digits
        low, high, side = -high, -low, -1.0
    else:
        side = 1.0
    start, stop = math.erf(low * math.sqrt(0.5)), math.erf(high * math.sqrt(0.5))
    token = grad_enabled.set(False)
    try:
        target = _source(generator).uniform(_shape(tensor), start, stop, dtype=float64)
        bottom, top = target * 0.0 + max(low, -40.0), target * 0.0 + min(high, 40.0)
        for _ in range(60 if tensor.dtype is float64 else 34):
            middle = (bottom + top) * 0.5
            below = erf(middle * math.sqrt(0.5)) < target
            bottom, top = where(below, middle, bottom), where(below, top, middle)
            bottom.numpy()  # every round is the same small program
        values = np.clip(bottom.numpy() * side * std + mean, a, b)
    finally:
        grad_enabled.reset(token)
    return _filled(tensor, values)


# -- by the size of layers --------------------------------------------------------------------

_GAINS = {"sigmoid": 1.0, "tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75}
_LINEAR = ("linear", *[f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)])


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights before an activation are larger than without one.

    ``param`` is the slope of "leaky_relu".

    >>> import flambeau as fb
    >>> round(fb.nn.init.calculate_gain("relu"), 3)
    1.414
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            refuse(OperandError(f"calculate_gain: the slope of leaky_relu must be a number, not {param!r}"))
        return math.sqrt(2.0 / (1.0 + slope**2))
    if nonlinearity in _LINEAR:
        return 1.0
    if nonlinearity not in _GAINS:
        known = ", ".join(["linear", *_GAINS, "leaky_relu"])
        refuse(OperandError(f"calculate_gain: {nonlinearity!r} is none of {known}"))
    return _GAINS[nonlinearity]


def _fans(name: str, tensor: Any) -> tuple[int, int]:
    """How many inputs an output has, and how many outputs an input."""
    _check(name, tensor, 2)
    shape = _shape(tensor)
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def _spread(gain: float, fan: float) -> float:
    return gain / math.sqrt(fan) if fan else 0.0


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Drawn evenly, with variance ``2 * gain**2 / (fan_in + fan_out)``.

    Source: X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010.

    >>> import flambeau as fb
    >>> w = fb.nn.init.xavier_uniform_(fb.zeros((3, 3)))
    >>> bool(fb.all(fb.abs(w) <= 1))
    True
    """
    bound = math.sqrt(3.0) * _spread(gain, sum(_fans("xavier_uniform_", tensor)) / 2)
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Drawn from a normal distribution of variance ``2 * gain**2 / (fan_in + fan_out)``.

    Source: X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010.

    >>> import flambeau as fb
    >>> fb.nn.init.xavier_normal_(fb.zeros((3, 4))).shape
    (3, 4)
    """
    return normal_(tensor, 0.0, _spread(gain, sum(_fans("xavier_normal_", tensor)) / 2), generator)


def _kaiming(name: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    fans = dict(zip(("fan_in", "fan_out"), _fans(name, tensor), strict=True))
    if mode not in fans:
        refuse(OperandError(f"{name}: mode must be 'fan_in' or 'fan_out', not {mode!r}"))
    return _spread(calculate_gain(nonlinearity, a), fans[mode])


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Drawn evenly, with variance ``gain**2 / fan``; ``a`` is the slope of "leaky_relu".

    Source: K. He et al., "Delving deep into rectifiers", 2015.

    >>> import flambeau as fb
    >>> w = fb.nn.init.kaiming_uniform_(fb.zeros((3, 6)), nonlinearity="relu")
    >>> bool(fb.all(fb.abs(w) <= 1))
    True
    """
    bound = math.sqrt(3.0) * _kaiming("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Drawn from a normal distribution of variance ``gain**2 / fan``; ``a`` is the slope of "leaky_relu".

    Source: K. He et al., "Delving deep into rectifiers", 2015.

    >>> import flambeau as fb
    >>> fb.nn.init.kaiming_normal_(fb.zeros((3, 6)), mode="fan_out", nonlinearity="relu").shape
    (3, 6)
    """
    return normal_(tensor, 0.0, _kaiming("kaiming_normal_", tensor, a, mode, nonlinearity), generator)


# -- matrices ---------------------------------------------------------------------------------


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Rows, or columns where there are fewer, that are orthogonal and ``gain`` long.

    Axes beyond the second count as columns.

    Source: A. M. Saxe, J. L. McClelland, S. Ganguli, "Exact solutions to the nonlinear dynamics of
    learning in deep linear neural networks", 2013.

    >>> import flambeau as fb
    >>> w = fb.nn.init.orthogonal_(fb.zeros((2, 5)))
    >>> fb.allclose(w @ w.T, fb.eye(2), atol=1e-5).item()
    True
    """
    _check("orthogonal_", tensor, 2)
    shape = _shape(tensor)
    if not math.prod(shape):
        return tensor
    rows, columns = shape[0], math.prod(shape[1:])
    token = grad_enabled.set(False)
    try:
        tall = (max(rows, columns), min(rows, columns))
        q, r = qr(_source(generator).normal(tall, dtype=_wide(tensor)))
        values = (q * sign(diagonal(r)) * gain).numpy()
    finally:
        grad_enabled.reset(token)
    return _filled(tensor, (values if rows >= columns else values.T).reshape(shape))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """A matrix from a normal distribution, in each column of which a part ``sparsity`` is 0.

    Source: J. Martens, "Deep learning via Hessian-free optimization", 2010.

    >>> import flambeau as fb
    >>> fb.count_nonzero(fb.nn.init.sparse_(fb.zeros((10, 3)), 0.5)).item()
    15
    """
    _check("sparse_", tensor, 2, 2)
    if isinstance(sparsity, bool) or not isinstance(sparsity, (int, float)) or not 0 <= sparsity <= 1:
        refuse(OperandError(f"sparse_: sparsity must be a part from 0 to 1, not {sparsity!r}"))
    shape, source = _shape(tensor), _source(generator)
    count = math.ceil(sparsity * shape[0])
    token = grad_enabled.set(False)
    try:
        rank = argsort(argsort(source.uniform(shape), axis=0), axis=0)
        drawn = source.normal(shape, 0.0, std, dtype=_wide(tensor))
        values = where(rank < count, drawn * 0.0, drawn)
    finally:
        grad_enabled.reset(token)
    return _filled(tensor, values)
