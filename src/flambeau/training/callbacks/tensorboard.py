"""Figures, histograms and images for TensorBoard."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from flambeau.errors import OperandError
from flambeau.training.callbacks.callback import Callback, Logs
from flambeau.training.callbacks.saving import check_frequency
from flambeau.training.optimizers import learning_rate


class TensorBoard(Callback):
    """Write figures for TensorBoard; needs the package tensorboardX (``pip install flambeau[tensorboard]``).

    After each epoch its figures are written, and with a number as ``update_freq`` those of every so
    many batches too.  Every ``histogram_freq`` epochs (0: never) histograms of weights and of
    the last gradients are written.  ``images`` are shown after each epoch: by name, arrays of shape
    (count, height, width), (count, channels, height, width) with 1 or 3 channels, or functions of the
    model that give one.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        update_freq: str | int = "epoch",
        images: Mapping[str, Any] | None = None,
    ) -> None:
        if isinstance(histogram_freq, bool) or not isinstance(histogram_freq, int) or histogram_freq < 0:
            raise OperandError(
                f"TensorBoard: histogram_freq must be a whole number of epochs, not {histogram_freq!r}"
            )
        check_frequency("TensorBoard", update_freq)
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq = histogram_freq
        self.update_freq = update_freq
        self.images = dict(images or {})
        self.needs_gradients = histogram_freq > 0
        self._writer: Any = None
        self._step = self._epochs = 0
        self._purge: int | None = None  # what an interrupted training wrote from this epoch on is void

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._close()
        self._step = self._epochs = 0
        self._purge = None

    @property
    def writer(self) -> Any:
        """The writer, opened when there is something to write."""
        if self._writer is None:
            self._writer = self._open()
        return self._writer

    def _open(self) -> Any:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise OperandError(
                "TensorBoard: the package tensorboardX is needed: pip install tensorboardX"
            ) from None
        return SummaryWriter(self.log_dir, purge_step=self._purge)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._step += 1
        if self.update_freq != "epoch" and self._step % int(self.update_freq) == 0:
            self._figures("batch", logs, self._step)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._epochs = epoch + 1
        rate = {"learning_rate": learning_rate(self.model.optimizer)}
        self._figures("epoch", rate | (logs or {}), epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for name, p in self.model.module.named_parameters():
                self.writer.add_histogram(f"weights/{name}", _wide(p), epoch)
                if p.grad is not None:
                    self.writer.add_histogram(f"gradients/{name}", _wide(p.grad), epoch)
        for name, given in self.images.items():
            self.writer.add_images(name, _images(name, given, self.model), epoch)
        self.writer.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._close()

    def on_train_error(self, error: BaseException) -> None:
        self._close()

    def _figures(self, kind: str, logs: Logs | None, step: int) -> None:
        for name, value in (logs or {}).items():
            if isinstance(value, (int, float)):
                self.writer.add_scalar(f"{kind}_{name}", value, step)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def state_dict(self) -> dict[str, Any]:
        return {"step": self._step, "epochs": self._epochs}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._close()
        self._step = state["step"]
        self._purge = state["epochs"]


def _wide(x: Any) -> np.ndarray:
    array: np.ndarray = x.numpy()
    return array.astype(np.float32) if array.dtype.itemsize == 2 else array


def _images(name: str, given: Any | Callable[[Any], Any], model: Any) -> np.ndarray:
    array = np.asarray(given(model) if callable(given) else given)
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or array.shape[1] not in (1, 3):
        raise OperandError(
            f"TensorBoard: images {name!r} have shape {array.shape}; (count, channels, height, width) with "
            "1 or 3 channels is needed"
        )
    return array
