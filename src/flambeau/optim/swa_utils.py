"""Averages of weights along training."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flambeau.dtypes import float64, int64
from flambeau.engine.convert import from_array
from flambeau.engine.evaluate import evaluate
from flambeau.engine.modes import grad_enabled
from flambeau.engine.tape import THREAD
from flambeau.errors import OperandError
from flambeau.graph.builder import Var
from flambeau.nn.module import Module
from flambeau.nn.running_norms import BatchNorm1d, BatchNorm2d, BatchNorm3d
from flambeau.ops.record import refuse
from flambeau.optim.lr_scheduler import LRScheduler
from flambeau.optim.optimizer import Optimizer
from flambeau.primitives.composites import sum_precision
from flambeau.primitives.elementwise import add, cast, div, eq, mul, select, sub
from flambeau.tensor import Tensor

__all__ = ["SWALR", "AveragedModel", "get_ema_avg_fn", "get_swa_avg_fn", "update_bn"]

Average = Callable[[Tensor, Tensor, Tensor], Tensor]


def mean_step(average: Var, current: Var, count: Var) -> Var:
    """The builder of an average of ``count`` values with one more."""
    wide = sum_precision(average.dtype)
    share = div(1.0, add(cast(count, wide), 1.0))
    moved = mul(sub(cast(current, wide), cast(average, wide)), share)
    return cast(add(cast(average, wide), moved), average.dtype)


def exponential_step(average: Var, current: Var, decay: Var) -> Var:
    """The builder of ``decay * average + (1 - decay) * current``."""
    wide = sum_precision(average.dtype)
    old = mul(cast(average, wide), cast(decay, wide))
    new = mul(cast(current, wide), cast(sub(1.0, decay), wide))
    return cast(add(old, new), average.dtype)


def first_or(count: Var, *values: Var) -> tuple[Var, ...]:
    """The builder of the next count and of what is kept: at first the current values (the second half)."""
    half = len(values) // 2
    fresh = eq(count, 0)
    kept = [select(fresh, new, old) for old, new in zip(values[:half], values[half:], strict=True)]
    return (add(count, 1), *kept)


def get_swa_avg_fn() -> Average:
    """A function for ``AveragedModel``: the plain average of all weights seen."""

    def swa_update(averaged: Tensor, current: Tensor, count: Tensor) -> Tensor:
        operands = [averaged._value, current._value, count._value]
        return Tensor(THREAD.tape.record(mean_step, (), operands))

    return swa_update


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """A function for ``AveragedModel``: ``decay * average + (1 - decay) * weights``."""
    if isinstance(decay, bool) or not isinstance(decay, (int, float)) or not 0 <= decay <= 1:
        refuse(OperandError(f"get_ema_avg_fn: decay must be a number from 0 to 1, not {decay!r}"))

    def ema_update(averaged: Tensor, current: Tensor, count: Tensor) -> Tensor:
        operands = [averaged._value, current._value, (float(decay), float64)]
        return Tensor(THREAD.tape.record(exponential_step, (), operands))

    return ema_update


class AveragedModel(Module):
    """A copy of a model whose parameters are an average of the model's along training.

    ``update_parameters(model)`` takes in the model's weights as they are: the first time they are
    copied, then ``avg_fn(averaged, current, count)`` says what becomes of each parameter
    (``get_swa_avg_fn()`` where nothing is given, ``get_ema_avg_fn(decay)`` for an exponential average).
    Buffers are copied, or with ``use_buffers`` averaged as well (floating-point ones).

    >>> import flambeau as fb
    >>> from flambeau.optim.swa_utils import AveragedModel
    >>> model = fb.nn.Linear(2, 1)
    >>> average = AveragedModel(model)
    >>> for value in (1.0, 3.0):
    ...     fb.nn.utils.vector_to_parameters(fb.full(3, value), model.parameters())
    ...     average.update_parameters(model)
    >>> average.module.weight
    tensor([[2., 2.]], requires_grad=True)

    Source: Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization, 2018;
    Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992.
    """

    n_averaged: Tensor

    def __init__(self, model: Module, avg_fn: Average | None = None, use_buffers: bool = False) -> None:
        super().__init__()
        if not isinstance(model, Module):
            refuse(OperandError(f"AveragedModel: a module is needed, not {type(model).__name__}"))
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", Tensor(from_array(int64.numpy.type(0)[()])))
        self.avg_fn = avg_fn if avg_fn is not None else get_swa_avg_fn()
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Apply the averaged model."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take in the weights of ``model``, and evaluate."""
        own, theirs = _weights(self.module), _weights(model)
        buffers = list(zip(_buffers(self.module), _buffers(model), strict=True))
        if [p._value.type for p in own] != [p._value.type for p in theirs]:
            refuse(OperandError("AveragedModel: update_parameters needs a model of the same parameters"))
        pairs = list(zip(own, theirs, strict=True))
        if self.use_buffers:
            pairs += [pair for pair in buffers if pair[0].dtype.floating]
            buffers = [pair for pair in buffers if not pair[0].dtype.floating]
        count = self.n_averaged
        token = grad_enabled.set(False)
        try:
            averages = [self.avg_fn(old.detach(), new.detach(), count) for old, new in pairs]
            operands = [count._value, *[x._value for x in averages], *[new._value for _, new in pairs]]
            made = THREAD.tape.record(first_or, (), operands)
            values = made if type(made) is tuple else (made,)
            del averages, operands, made
            self.n_averaged = Tensor(values[0])
            for (old, _), value in zip(pairs, values[1:], strict=True):
                old._rebind(value)
            for old, new in buffers:
                old._rebind(new.detach()._value)
        finally:
            grad_enabled.reset(token)
        del values
        tape = THREAD.tape
        if not tape.abstract:
            evaluate(tape)


def _weights(module: Module) -> list[Tensor]:
    return list(module.parameters())


def _buffers(module: Module) -> list[Tensor]:
    return list(module.buffers())


def update_bn(loader: Iterable[Any], model: Module) -> None:
    """Compute the statistics of batch normalization anew, by one pass over data in training mode.

    To be done after weights were averaged.  Batches that are tuples or lists have the model's input
    first.
    """
    layers = [m for m in model.modules() if isinstance(m, (BatchNorm1d, BatchNorm2d, BatchNorm3d))]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    modes = [(m, m.training) for m in model.modules()]
    token = grad_enabled.set(False)
    try:
        model.train()
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # the average of all batches
        for batch in loader:
            model(batch[0] if isinstance(batch, (list, tuple)) else batch)
            evaluate(THREAD.tape)
    finally:
        grad_enabled.reset(token)
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for module, mode in modes:
            module.training = mode


class SWALR(LRScheduler):
    """The rate goes to ``swa_lr`` in ``anneal_epochs`` and stays there, for averaging along the way.

    Source: Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization, 2018.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | Sequence[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        self.attach(optimizer)
        if anneal_strategy not in ("cos", "linear"):
            self.refuse(f"anneal_strategy must be 'cos' or 'linear', not {anneal_strategy!r}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            self.refuse(f"anneal_epochs must be an integer of at least 0, not {anneal_epochs!r}")
        for group, rate in zip(self.groups, self.per_group("swa_lr", swa_lr), strict=True):
            group["swa_lr"] = rate
        self.anneal_epochs = anneal_epochs
        self.anneal_strategy = anneal_strategy
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        """How far the rate is on its way."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * t)) / 2 if self.anneal_strategy == "cos" else t

    def get_lr(self) -> list[float]:
        """The rates at this step."""
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group, lr in zip(self.groups, self.present(), strict=True):
            goal = group["swa_lr"]
            start = goal if before == 1 else (lr - before * goal) / (1 - before)
            rates.append(goal * now + start * (1 - now))
        return rates
