"""Learning rates that change while training goes on."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from flambeau.errors import OperandError
from flambeau.training.callbacks.callback import Callback, Logs
from flambeau.training.callbacks.monitor import Monitor
from flambeau.training.optimizers import learning_rate, set_learning_rate


class LearningRateScheduler(Callback):
    """Set the learning rate by a function, or by a schedule of ``fb.optim.lr_scheduler``.

    A function is called with the epoch, or with the epoch and the present rate, and gives the rate.
    A schedule's ``step()`` is called after each epoch, or after each batch with
    ``interval="batch"``.

    >>> import flambeau as fb
    >>> halve = fb.training.callbacks.LearningRateScheduler(lambda epoch, lr: lr / 2)
    >>> model = fb.Model(fb.nn.Linear(1, 1))
    >>> model.compile(fb.optim.SGD(model.parameters(), lr=0.5), "mse_loss")
    >>> x = fb.ones((4, 1))
    >>> model.fit(x, x, epochs=3, verbose=0, callbacks=[halve]).history["learning_rate"]
    [0.25, 0.125, 0.0625]
    """

    def __init__(self, schedule: Any, interval: str = "epoch") -> None:
        if interval not in ("epoch", "batch"):
            raise OperandError(
                f"LearningRateScheduler: interval must be 'epoch' or 'batch', not {interval!r}"
            )
        self.schedule = schedule
        self.interval = interval
        self._steps = hasattr(schedule, "step")
        if not self._steps and (not callable(schedule) or interval == "batch"):
            raise OperandError(
                "LearningRateScheduler: a schedule with step() is needed, or a function of the epoch"
            )
        self._takes_rate = not self._steps and _arguments(schedule) > 1

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if not self._steps:
            old = learning_rate(self.model.optimizer)
            new = self.schedule(epoch, old) if self._takes_rate else self.schedule(epoch)
            set_learning_rate(self.model.optimizer, float(new))

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self._steps and self.interval == "batch":
            self.schedule.step()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = learning_rate(self.model.optimizer)
        if self._steps and self.interval == "epoch":
            self.schedule.step()

    def state_dict(self) -> dict[str, Any]:
        return {"schedule": self.schedule.state_dict()} if hasattr(self.schedule, "state_dict") else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if "schedule" in state:
            self.schedule.load_state_dict(state["schedule"])


class ReduceLROnPlateau(Callback):
    """Multiply the learning rate by ``factor`` when a figure has not got better for ``patience`` epochs.

    ``min_delta`` is the least change that counts; after a reduction ``cooldown`` epochs pass before
    waiting begins anew; the rate does not go below ``min_lr``.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        if not 0 < factor < 1:
            raise OperandError(
                f"ReduceLROnPlateau: the factor must be a number between 0 and 1, not {factor!r}"
            )
        self.monitor = Monitor("ReduceLROnPlateau", monitor, mode, min_delta)
        self.factor = factor
        self.patience = patience
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.wait = self.cooling = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.monitor.best = None
        self.wait = self.cooling = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = self.monitor.read(logs)
        rate = learning_rate(self.model.optimizer)
        if logs is not None:
            logs["learning_rate"] = rate
        if value is None:
            return
        if self.cooling > 0:
            self.cooling -= 1
            self.wait = 0
        if self.monitor.improved(value):
            self.wait = 0
        elif self.cooling <= 0:
            self.wait += 1
            if self.wait >= self.patience and rate > self.min_lr:
                set_learning_rate(self.model.optimizer, max(rate * self.factor, self.min_lr))
                self.cooling, self.wait = self.cooldown, 0

    def state_dict(self) -> dict[str, Any]:
        return {**self.monitor.state_dict(), "wait": self.wait, "cooling": self.cooling}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.monitor.load_state_dict(state)
        self.wait, self.cooling = state["wait"], state["cooling"]


def _arguments(function: Callable[..., Any]) -> int:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds and p.default is p.empty for p in parameters)
