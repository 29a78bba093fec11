"""Normalization with running statistics: over the batch, or over each instance's channels."""

from __future__ import annotations

from typing import Any, ClassVar

from flambeau.dtypes import DType, default_float, float64, int64
from flambeau.engine.tape import THREAD, Builder
from flambeau.errors import OperandError
from flambeau.nn.module import Module
from flambeau.nn.norms import given, size_of
from flambeau.nn.parameter import Parameter
from flambeau.nn.pointwise import checked_number
from flambeau.ops.creation import asarray, ones, zeros
from flambeau.ops.record import number, refuse, value_of
from flambeau.primitives import normalization
from flambeau.primitives.views import shape_text
from flambeau.tensor import Tensor


def _with_state(fn: Builder, operands: list[Any], spec: tuple[Any, ...]) -> tuple[Tensor, list[Tensor]]:
    """Record a builder of a result and new statistics, through which no gradient flows."""
    y, *state = THREAD.tape.record(fn, (spec,), operands)
    return Tensor(y), [Tensor(value).detach() for value in state]


class _RunningNorm(Module):
    """What the layers share: parameters, running statistics, and the choice between the two."""

    spaces: ClassVar[tuple[int, ...]]  # how many axes there may be behind the channels
    batched: ClassVar[bool]  # whether there must be a batch axis

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        dtype: DType,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.num_features = size_of(name, "num_features", num_features)
        self.eps = float(eps)
        self.momentum = None if momentum is None else checked_number(name, "momentum", momentum)
        self.affine = affine
        self.track_running_stats = track_running_stats
        tracked = track_running_stats
        self.weight = Parameter(ones(num_features, dtype=dtype)) if affine else None
        self.bias = Parameter(zeros(num_features, dtype=dtype)) if affine else None
        self.register_buffer("running_mean", zeros(num_features, dtype=dtype) if tracked else None)
        self.register_buffer("running_var", ones(num_features, dtype=dtype) if tracked else None)
        self.register_buffer("num_batches_tracked", asarray(0, dtype=int64) if tracked else None)

    def reset_running_stats(self) -> None:
        """Forget all batches seen so far."""
        if self.running_mean is not None and self.running_var is not None:
            kind = self.running_mean.dtype
            self.running_mean = zeros(self.num_features, dtype=kind)
            self.running_var = ones(self.num_features, dtype=kind)
            self.num_batches_tracked = asarray(0, dtype=int64)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer, and in training update the running statistics."""
        name = type(self).__name__
        affine = given(name, x, self.weight, self.bias)
        biased = self.bias is not None
        if self.running_mean is not None and self.running_var is not None and not self.training:
            x_value, *parameters = affine
            operands = [x_value, self.running_mean._value, self.running_var._value, *parameters]
            spec: Any = (name, self.num_features, self.spaces, self.batched, self.eps, biased)
            return Tensor(THREAD.tape.record(normalization.norm_by, (spec,), operands))
        spec = (name, self.num_features, self.spaces, self.eps, biased)
        if self.training and self.running_mean is not None:
            return self._tracked(affine, spec)
        builder = normalization.batch_norm if self.batched else normalization.instance_norm
        return Tensor(THREAD.tape.record(builder, (spec,), affine))

    def _tracked(self, affine: list[Any], spec: tuple[Any, ...]) -> Tensor:
        """The result in training, with the running statistics updated."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """The size and the options."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


# -- over the batch ---------------------------------------------------------------------------


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 for each channel (axis 1) over the batch, times ``weight``, plus ``bias``.

    Where not ``training`` the running statistics take the place of the batch's; in training they are
    updated in place, by ``(1 - momentum) * old + momentum * new``, the variance with divisor n - 1.

    >>> import flambeau as fb
    >>> x = fb.asarray([[1.0], [3.0]])
    >>> fb.nn.functional.batch_norm(x, None, None, training=True, eps=0.0)
    tensor([[-1.],
            [ 1.]])
    """
    name = "batch_norm"
    value_of(input, name)
    channels, spaces = _channels(name, input)
    if not training:
        if running_mean is None or running_var is None:
            refuse(OperandError(f"{name}: running_mean and running_var are needed unless training=True"))
        operands = given(name, input, running_mean, running_var, weight, bias)
        spec: Any = (name, channels, spaces, True, float(eps), bias is not None)
        return Tensor(THREAD.tape.record(normalization.norm_by, (spec,), operands))
    spec = (name, channels, spaces, float(eps), bias is not None)
    value, *parameters = given(name, input, weight, bias)
    if running_mean is None or running_var is None:
        return Tensor(THREAD.tape.record(normalization.batch_norm, (spec,), [value, *parameters]))
    state = [*given(name, running_mean, running_var), (0, int64), number(momentum, float64, name)]
    y, new = _with_state(normalization.tracked_batch_norm, [value, *state, *parameters], (*spec, True))
    running_mean._rebind(new[0]._value)
    running_var._rebind(new[1]._value)
    return y


def _channels(name: str, x: Tensor) -> tuple[int, tuple[int, ...]]:
    """How many channels there are on axis 1, and how many axes behind them."""
    channels = x.shape[1] if x.ndim > 1 else None
    if not isinstance(channels, int):
        refuse(OperandError(f"{name}: an input of shape (N, C, ...) is needed, not {shape_text(x.shape)}"))
    return channels, (x.ndim - 2,)


class _BatchNorm(_RunningNorm):
    """Mean 0 and variance 1 for each channel over the batch."""

    batched = True

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: DType = default_float,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype)

    def _tracked(self, affine: list[Any], spec: tuple[Any, ...]) -> Tensor:
        x, *parameters = affine
        state = given(type(self).__name__, self.running_mean, self.running_var, self.num_batches_tracked)
        if self.momentum is not None:
            state.append(number(self.momentum, float64, type(self).__name__))
        spec = (*spec, self.momentum is not None)
        y, new = _with_state(normalization.tracked_batch_norm, [x, *state, *parameters], spec)
        self.running_mean, self.running_var, self.num_batches_tracked = new
        return y


class BatchNorm1d(_BatchNorm):
    """Mean 0 and variance 1 for each channel over the batch, times a weight, plus a bias.

    Takes tensors of shape (N, num_features) or (N, num_features, L).  In evaluation running
    statistics take the batch's place.  In training they are updated, by ``(1 - momentum) * old +
    momentum * new``, the variance with divisor n - 1; with ``momentum=None`` all batches weigh the
    same.  They are buffers: part of ``state_dict``, no parameters.

    Source: S. Ioffe, C. Szegedy, "Batch normalization", 2015.

    >>> import flambeau as fb
    >>> norm = fb.nn.BatchNorm1d(1, eps=0.0, momentum=0.5)
    >>> norm(fb.asarray([[1.0], [3.0]])).tolist()
    [[-1.0], [1.0]]
    >>> norm.running_mean
    tensor([1.])
    """

    spaces = (0, 1)


class BatchNorm2d(_BatchNorm):
    """``BatchNorm1d`` for images: tensors of shape (N, num_features, H, W).

    >>> import flambeau as fb
    >>> fb.nn.BatchNorm2d(3)(fb.ones((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    spaces = (2,)


class BatchNorm3d(_BatchNorm):
    """``BatchNorm1d`` for volumes: tensors of shape (N, num_features, D, H, W).

    >>> import flambeau as fb
    >>> fb.nn.BatchNorm3d(3)(fb.ones((2, 3, 2, 4, 4))).shape
    (2, 3, 2, 4, 4)
    """

    spaces = (3,)


# -- over one example -------------------------------------------------------------------------


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 for each channel of each example of shape (N, C, ...).

    With ``use_input_stats=False`` the running statistics take the place of the examples' own;
    otherwise, where they are given, they are updated in place.

    >>> import flambeau as fb
    >>> fb.nn.functional.instance_norm(fb.asarray([[[1.0, 3.0], [10.0, 30.0]]]), eps=0.0).tolist()
    [[[-1.0, 1.0], [-1.0, 1.0]]]
    """
    name = "instance_norm"
    value_of(input, name)
    channels, spaces = _channels(name, input)
    if not use_input_stats:
        if running_mean is None or running_var is None:
            refuse(OperandError(f"{name}: without use_input_stats running_mean and running_var are needed"))
        operands = given(name, input, running_mean, running_var, weight, bias)
        spec: Any = (name, channels, spaces, True, float(eps), bias is not None)
        return Tensor(THREAD.tape.record(normalization.norm_by, (spec,), operands))
    spec = (name, channels, spaces, float(eps), bias is not None)
    value, *parameters = given(name, input, weight, bias)
    if running_mean is None or running_var is None:
        return Tensor(THREAD.tape.record(normalization.instance_norm, (spec,), [value, *parameters]))
    state = [*given(name, running_mean, running_var), number(momentum, float64, name)]
    y, new = _with_state(normalization.tracked_instance_norm, [value, *state, *parameters], spec)
    running_mean._rebind(new[0]._value)
    running_var._rebind(new[1]._value)
    return y


class _InstanceNorm(_RunningNorm):
    """Mean 0 and variance 1 for each channel of each example."""

    batched = False

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        dtype: DType = default_float,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype)

    def _tracked(self, affine: list[Any], spec: tuple[Any, ...]) -> Tensor:
        name = type(self).__name__
        x, *parameters = affine
        momentum = number(self.momentum or 0.0, float64, name)
        state = [*given(name, self.running_mean, self.running_var), momentum]
        y, new = _with_state(normalization.tracked_instance_norm, [x, *state, *parameters], spec)
        self.running_mean, self.running_var = new
        return y


class InstanceNorm1d(_InstanceNorm):
    """Mean 0 and variance 1 for each channel of each example.

    Takes tensors of shape (N, num_features, L) or (num_features, L).  With ``affine`` the result is
    multiplied by a weight and a bias is added; with ``track_running_stats`` running statistics take
    the place of the examples' own in evaluation.

    Source: D. Ulyanov, A. Vedaldi, V. Lempitsky, "Instance normalization", 2016.

    >>> import flambeau as fb
    >>> fb.nn.InstanceNorm1d(2, eps=0.0)(fb.asarray([[1.0, 3.0], [10.0, 30.0]])).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """

    spaces = (1,)


class InstanceNorm2d(_InstanceNorm):
    """``InstanceNorm1d`` for images: tensors of shape (N, num_features, H, W) or (num_features, H, W).

    >>> import flambeau as fb
    >>> fb.nn.InstanceNorm2d(3)(fb.ones((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    spaces = (2,)


class InstanceNorm3d(_InstanceNorm):
    """``InstanceNorm1d`` for volumes: tensors of shape (N, num_features, D, H, W), or without N.

    >>> import flambeau as fb
    >>> fb.nn.InstanceNorm3d(3)(fb.ones((2, 3, 2, 4, 4))).shape
    (2, 3, 2, 4, 4)
    """

    spaces = (3,)
