"""A schedule that watches a number."""

from __future__ import annotations

import math
from typing import Any

from flambeau.optim.lr_scheduler.base import LRScheduler, check_count
from flambeau.optim.optimizer import Optimizer


class ReduceLROnPlateau(LRScheduler):
    """The rate times ``factor`` when a number has not become better for ``patience`` epochs.

    Better is lower by more than ``threshold`` ("rel": of the best so far, "abs": in itself), or with
    ``mode="max"`` higher.  After a reduction ``cooldown`` epochs are not counted.  Reductions smaller
    than ``eps`` are left out.

    >>> import flambeau as fb
    >>> optimizer = fb.optim.SGD([fb.nn.Parameter(fb.ones(3))], lr=1.0)
    >>> schedule = fb.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in [3.0, 2.0, 2.0, 2.5]:
    ...     schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        self.attach(optimizer)
        if mode not in ("min", "max"):
            self.refuse(f"mode must be 'min' or 'max', not {mode!r}")
        if threshold_mode not in ("rel", "abs"):
            self.refuse(f"threshold_mode must be 'rel' or 'abs', not {threshold_mode!r}")
        if not factor < 1:
            self.refuse(f"factor must be below 1, not {factor!r}")
        check_count(self, "patience", patience, 0)
        check_count(self, "cooldown", cooldown, 0)
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.min_lrs = self.per_group("min_lr", min_lr)
        self.eps = eps
        self.last_epoch = 0
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = 0
        self.num_bad_epochs = 0
        self._last_lr = self.present()

    def step(self, metrics: Any) -> None:  # type: ignore[override]
        """Go on to the next epoch, which ended with ``metrics``: a number or a tensor of one element."""
        self.allow()
        current = float(metrics)
        self.last_epoch += 1
        if self.is_better(current):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self.set(self.get_lr())
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self.present()

    def is_better(self, current: float) -> bool:
        """Whether a number is better than the best so far."""
        margin = self.threshold if self.mode == "max" else -self.threshold
        edge = self.best * (1.0 + margin) if self.threshold_mode == "rel" else self.best + margin
        return current > edge if self.mode == "max" else current < edge

    def get_lr(self) -> list[float]:
        """The reduced rates."""
        if len(self.min_lrs) < len(self.groups):
            self.min_lrs += [self.min_lrs[-1]] * (len(self.groups) - len(self.min_lrs))
        lower = [max(lr * self.factor, least) for lr, least in zip(self.present(), self.min_lrs, strict=True)]
        return [new if old - new > self.eps else old for old, new in zip(self.present(), lower, strict=True)]
