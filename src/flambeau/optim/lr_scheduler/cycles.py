"""Schedules that raise and lower the rate, and the momentum against it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from flambeau.optim.lr_scheduler.base import LRScheduler, Momenta, check_count
from flambeau.optim.optimizer import Optimizer

Phase = tuple[float, str, str, str, str]


def between(kind: str, start: float, end: float, share: float) -> float:
    """A number that goes from ``start`` to ``end`` as ``share`` goes from 0 to 1: "cos" or "linear"."""
    if kind == "cos":
        return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
    return (end - start) * share + start


class OneCycleLR(LRScheduler):
    """The rate rises from ``max_lr / div_factor`` to ``max_lr`` and then falls far below, in ``total_steps``.

    Step it after every batch.  ``cycle_momentum`` moves the momentum (the first of ``betas``) the other
    way, between ``max_momentum`` and ``base_momentum``.

    Source: Smith and Topin, Super-Convergence: Very Fast Training of Neural Networks Using Large
    Learning Rates, 2018.
    """

    unsaved = ("optimizer", "_momenta")

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self.attach(optimizer)
        if total_steps is not None:
            check_count(self, "total_steps", total_steps)
            self.total_steps = total_steps
        elif epochs is not None and steps_per_epoch is not None:
            check_count(self, "epochs", epochs)
            check_count(self, "steps_per_epoch", steps_per_epoch)
            self.total_steps = epochs * steps_per_epoch
        else:
            self.refuse("total_steps is needed, or epochs and steps_per_epoch")
        if not isinstance(pct_start, (int, float)) or not 0 <= pct_start <= 1:
            self.refuse(f"pct_start must be a number from 0 to 1, not {pct_start!r}")
        if anneal_strategy not in ("cos", "linear"):
            self.refuse(f"anneal_strategy must be 'cos' or 'linear', not {anneal_strategy!r}")
        self.anneal_strategy = anneal_strategy
        self.pct_start = pct_start
        self.three_phase = three_phase
        self.cycle_momentum = cycle_momentum
        tops = self.per_group("max_lr", max_lr)
        if last_epoch == -1:
            for group, top in zip(self.groups, tops, strict=True):
                group["initial_lr"] = top / div_factor
                group["max_lr"] = top
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self._momenta = Momenta(self) if cycle_momentum else None
        if self._momenta is not None:
            highs = self.per_group("max_momentum", max_momentum)
            lows = self.per_group("base_momentum", base_momentum)
            if last_epoch == -1:
                for group, high, low in zip(self.groups, highs, lows, strict=True):
                    self._momenta.set(group, high)
                    group["max_momentum"], group["base_momentum"] = high, low
        super().__init__(optimizer, last_epoch)

    def phases(self) -> list[Phase]:
        """Where each phase ends, and between which entries of the group rate and momentum move."""
        end = float(self.pct_start * self.total_steps) - 1
        last = self.total_steps - 1
        up: Phase = (end, "initial_lr", "max_lr", "max_momentum", "base_momentum")
        if not self.three_phase:
            return [up, (last, "max_lr", "min_lr", "base_momentum", "max_momentum")]
        down: Phase = (
            float(2 * self.pct_start * self.total_steps) - 2,
            "max_lr",
            "initial_lr",
            "base_momentum",
            "max_momentum",
        )
        return [up, down, (last, "initial_lr", "min_lr", "max_momentum", "max_momentum")]

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``; sets the momentum as well."""
        if self.last_epoch > self.total_steps:
            self.refuse(f"step was called {self.last_epoch} times: the cycle has {self.total_steps} steps")
        start = 0.0
        phases = self.phases()
        for phase in phases:
            end = phase[0]
            if self.last_epoch <= end or phase is phases[-1]:
                break
            start = end
        share = (self.last_epoch - start) / (end - start)
        _, lr0, lr1, m0, m1 = phase
        if self._momenta is not None:
            for group in self.groups:
                self._momenta.set(group, between(self.anneal_strategy, group[m0], group[m1], share))
        return [between(self.anneal_strategy, group[lr0], group[lr1], share) for group in self.groups]


class CyclicLR(LRScheduler):
    """The rate goes up and down in straight lines between ``base_lr`` and ``max_lr``.

    ``mode`` says how cycles shrink: "triangular" not at all, "triangular2" to half each time,
    "exp_range" by ``gamma`` each step; ``scale_fn`` is a function of your own of the cycle, or of the
    step with ``scale_mode="iterations"``.

    Source: Smith, Cyclical Learning Rates for Training Neural Networks, 2017.
    """

    unsaved = ("optimizer", "_momenta", "_own_scale")

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        self.attach(optimizer)
        check_count(self, "step_size_up", step_size_up)
        if step_size_down is not None:
            check_count(self, "step_size_down", step_size_down)
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            self.refuse(f"mode must be 'triangular', 'triangular2' or 'exp_range', not {mode!r}")
        lows = self.per_group("base_lr", base_lr)
        self.max_lrs = self.per_group("max_lr", max_lr)
        if last_epoch == -1:
            for group, low in zip(self.groups, lows, strict=True):
                group["lr"] = low
        self.total_size = float(step_size_up + (step_size_down or step_size_up))
        self.step_ratio = step_size_up / self.total_size
        self.mode = mode
        self.gamma = gamma
        self._own_scale = scale_fn
        self.scale_mode = (
            scale_mode if scale_fn is not None else "iterations" if mode == "exp_range" else "cycle"
        )
        self.cycle_momentum = cycle_momentum
        self._momenta = Momenta(self) if cycle_momentum else None
        self.base_momentums: list[Any] = []
        self.max_momentums: list[Any] = []
        if self._momenta is not None:
            self.base_momentums = self.per_group("base_momentum", base_momentum)
            self.max_momentums = self.per_group("max_momentum", max_momentum)
            if last_epoch == -1:
                for group, high, low in zip(
                    self.groups, self.max_momentums, self.base_momentums, strict=True
                ):
                    self._momenta.set(group, high)
                    group["max_momentum"], group["base_momentum"] = high, low
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lows

    def scale(self, x: float) -> float:
        """How high a cycle is, of cycle or step ``x``."""
        if self._own_scale is not None:
            return float(self._own_scale(x))
        if self.mode == "triangular2":
            return float(2.0 ** (1 - x))
        return float(self.gamma**x) if self.mode == "exp_range" else 1.0

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``; sets the momentum as well."""
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self._momenta is not None:
            for group, low, high in zip(self.groups, self.base_momentums, self.max_momentums, strict=True):
                self._momenta.set(group, high - (high - low) * height * scale)
        return [
            low + (high - low) * height * scale for low, high in zip(self.base_lrs, self.max_lrs, strict=True)
        ]
