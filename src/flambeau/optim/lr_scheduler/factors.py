"""Schedules that multiply the rates: by a factor at some epochs, at all of them, or by a function."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType
from typing import Any

from flambeau.optim.lr_scheduler.base import LRScheduler, check_count, check_factor
from flambeau.optim.optimizer import Optimizer

Factor = Callable[[int], float]


class _OfFunctions(LRScheduler):
    """Schedules made of a function for each group."""

    unsaved = ("optimizer", "lr_lambdas")

    def __init__(self, optimizer: Optimizer, lr_lambda: Factor | list[Factor], last_epoch: int = -1) -> None:
        self.attach(optimizer)
        self.lr_lambdas: list[Any] = self.per_group("lr_lambda", lr_lambda)
        for f in self.lr_lambdas:
            if not callable(f):
                self.refuse(f"lr_lambda must be a function of the epoch, not {f!r}")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """As for every schedule; of the functions what they hold as objects, None for plain functions."""
        held = [None if isinstance(f, FunctionType) else dict(vars(f)) for f in self.lr_lambdas]
        return {**super().state_dict(), "lr_lambdas": held}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Set attributes, also those of functions that are objects."""
        super().restore({name: value for name, value in state.items() if name != "lr_lambdas"})
        for f, held in zip(self.lr_lambdas, state["lr_lambdas"], strict=True):
            if held is not None:
                f.__dict__.update(held)


class LambdaLR(_OfFunctions):
    """The rate at the start times a function of the epoch.

    >>> import flambeau as fb
    >>> optimizer = fb.optim.SGD([fb.nn.Parameter(fb.ones(3))], lr=0.5)
    >>> schedule = fb.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 / (1 + epoch))
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.25]
    """

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``."""
        return [base * f(self.last_epoch) for f, base in zip(self.lr_lambdas, self.base_lrs, strict=True)]


class MultiplicativeLR(_OfFunctions):
    """The present rate times a function of the epoch."""

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``."""
        if self._is_initial:
            return self.present()
        return [lr * f(self.last_epoch) for f, lr in zip(self.lr_lambdas, self.present(), strict=True)]


class StepLR(LRScheduler):
    """The rate times ``gamma`` every ``step_size`` epochs.

    >>> import flambeau as fb
    >>> optimizer = fb.optim.SGD([fb.nn.Parameter(fb.ones(3))], lr=1.0)
    >>> schedule = fb.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> for epoch in range(4):
    ...     schedule.step()
    >>> schedule.get_last_lr()
    [0.25]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        check_count(self, "step_size", step_size)
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``."""
        changes = self.last_epoch != 0 and self.last_epoch % self.step_size == 0
        return [lr * self.gamma if changes else lr for lr in self.present()]

    def closed_form(self) -> list[float]:
        """The same from the rates at the start."""
        return [base * self.gamma ** (self.last_epoch // self.step_size) for base in self.base_lrs]


class MultiStepLR(LRScheduler):
    """The rate times ``gamma`` at each of the epochs ``milestones``."""

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones = sorted(milestones)
        for milestone in self.milestones:
            check_count(self, "each of the milestones", milestone, 0)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``."""
        times = self.milestones.count(self.last_epoch)
        return [lr * self.gamma**times if times else lr for lr in self.present()]

    def closed_form(self) -> list[float]:
        """The same from the rates at the start."""
        return [base * self.gamma ** bisect_right(self.milestones, self.last_epoch) for base in self.base_lrs]


class ConstantLR(LRScheduler):
    """The rate times ``factor`` for the first ``total_iters`` epochs."""

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        check_factor(self, "factor", factor)
        check_count(self, "total_iters", total_iters, 0)
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``."""
        if self.last_epoch == 0:
            return [lr * self.factor for lr in self.present()]
        if self.last_epoch != self.total_iters:
            return self.present()
        return [lr * (1.0 / self.factor) for lr in self.present()]

    def closed_form(self) -> list[float]:
        """The same from the rates at the start."""
        over = self.last_epoch >= self.total_iters
        return [base * (self.factor + over * (1 - self.factor)) for base in self.base_lrs]


class LinearLR(LRScheduler):
    """The rate times a factor that goes from ``start_factor`` to ``end_factor`` in ``total_iters`` epochs."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        check_factor(self, "start_factor", start_factor, positive=True)
        check_factor(self, "end_factor", end_factor)
        check_count(self, "total_iters", total_iters)
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``."""
        if self.last_epoch == 0:
            return [lr * self.start_factor for lr in self.present()]
        if self._is_initial or self.last_epoch > self.total_iters:
            return self.present()
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return [lr * (1.0 + rise / before) for lr in self.present()]

    def closed_form(self) -> list[float]:
        """The same from the rates at the start."""
        rise = self.end_factor - self.start_factor
        done = min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * (self.start_factor + rise * done) for base in self.base_lrs]


class ExponentialLR(LRScheduler):
    """The rate times ``gamma`` at every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``."""
        return [lr if self._is_initial else lr * self.gamma for lr in self.present()]

    def closed_form(self) -> list[float]:
        """The same from the rates at the start."""
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]


class PolynomialLR(LRScheduler):
    """The rate times ``(1 - epoch / total_iters) ** power``, 0 from ``total_iters`` on."""

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        check_count(self, "total_iters", total_iters)
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``."""
        if self._is_initial or self.last_epoch > self.total_iters:
            return self.present()
        now = 1.0 - self.last_epoch / self.total_iters
        before = 1.0 - (self.last_epoch - 1) / self.total_iters
        return [lr * (now / before) ** self.power for lr in self.present()]

    def closed_form(self) -> list[float]:
        """The same from the rates at the start."""
        left = 1.0 - min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * left**self.power for base in self.base_lrs]
