"""Saving weights while training goes on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flambeau.errors import OperandError
from flambeau.io import save_weights
from flambeau.training.callbacks.callback import Callback, Logs
from flambeau.training.callbacks.monitor import Monitor


class ModelCheckpoint(Callback):
    """Save the weights to a safetensors file after each epoch, or after every so many batches.

    ``filepath`` may hold ``{epoch}``, which counts from 1, and figures of the logs, such as
    ``"model-{epoch:02d}-{val_loss:.3f}.safetensors"``.  With ``save_best_only`` a file is written
    when the figure ``monitor`` has got better.  ``save_freq`` is ``"epoch"`` or a number of batches.
    To go on with a training that was interrupted, use ``BackupAndRestore``.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        save_best_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
    ) -> None:
        check_frequency("ModelCheckpoint", save_freq)
        self.filepath = os.fspath(filepath)
        self.monitor = Monitor("ModelCheckpoint", monitor, mode)
        self.save_best_only = save_best_only
        self.save_freq = save_freq
        self._epoch = 0
        self._batches = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.monitor.best = None
        self._batches = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._batches += 1
        if self.save_freq != "epoch" and self._batches % int(self.save_freq) == 0:
            self._save(logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(logs)

    def _save(self, logs: Logs | None) -> None:
        if self.save_best_only:
            value = self.monitor.read(logs)
            if value is None or not self.monitor.improved(value):
                return
        figures = {name: value for name, value in (logs or {}).items() if isinstance(value, (int, float))}
        try:
            path = Path(self.filepath.format(**(figures | {"epoch": self._epoch + 1})))
        except KeyError as error:
            raise OperandError(
                f"ModelCheckpoint: {self.filepath!r} names {error}, but there are only "
                f"{', '.join(['epoch', *figures])}"
            ) from None
        path.parent.mkdir(parents=True, exist_ok=True)
        save_weights(path, self.model.module.state_dict())

    def state_dict(self) -> dict[str, Any]:
        return {**self.monitor.state_dict(), "epoch": self._epoch, "batches": self._batches}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.monitor.load_state_dict(state)
        self._epoch, self._batches = state["epoch"], state["batches"]


def check_frequency(owner: str, save_freq: Any) -> None:
    """Raise unless it is ``"epoch"`` or a number of batches."""
    if save_freq != "epoch" and (
        isinstance(save_freq, bool) or not isinstance(save_freq, int) or save_freq < 1
    ):
        raise OperandError(f"{owner}: save_freq must be 'epoch' or a number of batches, not {save_freq!r}")
