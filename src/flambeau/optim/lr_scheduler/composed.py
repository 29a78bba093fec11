"""Schedules made of schedules."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from flambeau.optim.lr_scheduler.base import LRScheduler
from flambeau.optim.lr_scheduler.plateau import ReduceLROnPlateau
from flambeau.optim.optimizer import Optimizer


class _Composed(LRScheduler):
    """What holds other schedules, all for one optimizer."""

    unsaved = ("optimizer", "_schedulers")
    _schedulers: list[LRScheduler]

    def hold(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> None:
        """Remember the schedules; raises where they do not fit."""
        self._schedulers = list(schedulers)
        if not self._schedulers:
            self.refuse("at least one schedule is needed")
        for i, schedule in enumerate(self._schedulers):
            if not isinstance(schedule, LRScheduler):
                self.refuse(f"schedule {i} is {schedule!r}")
            if isinstance(schedule, ReduceLROnPlateau):
                self.refuse(f"schedule {i} is a ReduceLROnPlateau, whose step needs a number")
            if schedule.optimizer is not (optimizer or self._schedulers[0].optimizer):
                self.refuse(f"schedule {i} belongs to another optimizer")
        self.attach(self._schedulers[0].optimizer)

    def state_dict(self) -> dict[str, Any]:
        """As for every schedule, with the states of those it is made of."""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Set attributes, also of the schedules inside."""
        inner = state["_schedulers"]
        if len(inner) != len(self._schedulers):
            self.refuse(f"the state is of {len(inner)} schedules, not of {len(self._schedulers)}")
        for schedule, own in zip(self._schedulers, inner, strict=True):
            schedule.load_state_dict(own)
        super().restore({name: value for name, value in state.items() if name != "_schedulers"})


class SequentialLR(_Composed):
    """One schedule after the other: the next one begins at each of the ``milestones``.

    >>> import flambeau as fb
    >>> from flambeau.optim import lr_scheduler
    >>> optimizer = fb.optim.SGD([fb.nn.Parameter(fb.ones(3))], lr=1.0)
    >>> warmup = lr_scheduler.LinearLR(optimizer, 0.5, total_iters=2)
    >>> rest = lr_scheduler.ExponentialLR(optimizer, 0.5)
    >>> schedule = lr_scheduler.SequentialLR(optimizer, [warmup, rest], [2])
    >>> rates = []
    >>> for epoch in range(5):
    ...     rates += schedule.get_last_lr()
    ...     schedule.step()
    >>> rates
    [0.5, 0.75, 1.0, 0.5, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        self.hold(schedulers, optimizer)
        if len(milestones) != len(self._schedulers) - 1:
            self.refuse(
                f"{len(self._schedulers)} schedules need {len(self._schedulers) - 1} milestones, "
                f"not {len(milestones)}"
            )
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        for group in self.groups:
            group["lr"] = group["initial_lr"]
        _take_back(self)
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first.begin()
        self._last_lr = first.get_last_lr()

    def begin(self) -> None:
        """Set the rates of the first epoch."""
        self._schedulers[0].begin()
        self._last_lr = self._schedulers[0].get_last_lr()

    def move(self, epoch: int | None = None) -> None:
        """Set the rates of the next epoch, or of ``epoch``."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        i = bisect_right(self._milestones, self.last_epoch)
        schedule = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            schedule.move(0)
        else:
            schedule.step()
        self._last_lr = schedule.get_last_lr()

    def step(self) -> None:
        """Go on to the next epoch, perhaps of the next schedule."""
        self.allow()
        self.move()


def _take_back(schedule: LRScheduler) -> None:
    """Undo the first step that schedules took when they were made."""
    if isinstance(schedule, _Composed):
        for inner in schedule._schedulers:
            _take_back(inner)
    else:
        schedule.last_epoch -= 1


class ChainedScheduler(_Composed):
    """Several schedules at once: each changes the rates that the one before has set."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        self.hold(schedulers, optimizer)
        self._last_lr = self.present()

    def begin(self) -> None:
        """Set the rates of the first epoch, by a step of each schedule, as PyTorch does."""
        self.step()

    def step(self) -> None:
        """Go on to the next epoch."""
        self.allow()
        for schedule in self._schedulers:
            schedule.step()
        self._last_lr = self.present()
