"""Going on with a training that was interrupted, exactly where it was."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from flambeau.io.checkpoint import Checkpoints
from flambeau.training.callbacks.callback import Callback, Logs
from flambeau.training.callbacks.saving import check_frequency


class BackupAndRestore(Callback):
    """Keep checkpoints of the whole training, and go on from the newest one when it begins again.

    A checkpoint holds weights, optimizer, schedules, positions of random generators and of the data,
    sums of metrics, the history and the state of the other callbacks; so a training that was killed
    at any moment and begun again ends with the same bits as one that was not.  It is written
    after each epoch, or with a number as ``save_freq`` after so many batches too, and at
    Ctrl-C, which ends the training after the present step; the ``keep`` newest are kept in
    ``backup_dir``.  With ``restore=False`` training begins anew, and what is there is removed
    when the first checkpoint is written.  With ``delete_checkpoint`` the folder is removed when
    training has ended.

    This callback is called after all others, wherever it stands in the list.

    >>> import tempfile
    >>> import flambeau as fb
    >>> def train(epochs):
    ...     fb.random.seed(0)
    ...     model = fb.Model(fb.nn.Linear(2, 1))
    ...     model.compile("adam", "mse_loss")
    ...     x = fb.random.normal((64, 2))
    ...     backup = fb.training.callbacks.BackupAndRestore(folder)
    ...     model.fit(x, x[:, :1], epochs=epochs, verbose=0, callbacks=[backup])
    ...     return model.module.weight.tolist()
    >>> folder = tempfile.mkdtemp()
    >>> _ = train(2)
    >>> resumed = train(4)
    >>> folder = tempfile.mkdtemp()
    >>> resumed == train(4)
    True
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        keep: int = 2,
        delete_checkpoint: bool = False,
        restore: bool = True,
    ) -> None:
        check_frequency("BackupAndRestore", save_freq)
        self.checkpoints = Checkpoints(backup_dir, keep)
        self.save_freq = save_freq
        self.delete_checkpoint = delete_checkpoint
        self.restore = restore
        self.interrupted = False
        self._steps = 0
        self._before: Any = None
        self._stale = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.interrupted = False
        self._stale = not self.restore
        self._steps = 0
        self._defer_interrupts()
        found = self.checkpoints.load_latest() if self.restore else None
        if found is not None:
            self.model.run.load(found)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._steps += 1
        if not self.model.run.between_steps:
            return  # gradients are being accumulated: what they add up to is not saved
        due = self.save_freq != "epoch" and self._steps >= int(self.save_freq)
        if due or self.interrupted:
            self._save()
        self._stop_if_interrupted()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._save()
        self._stop_if_interrupted()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._restore_interrupts()
        if self.delete_checkpoint:
            self.checkpoints.clear()

    def on_train_error(self, error: BaseException) -> None:
        self._restore_interrupts()

    def _save(self) -> None:
        if self._stale:
            self.checkpoints.clear()
            self._stale = False
        self._steps = 0
        self.model.run.save(self.checkpoints)

    def _stop_if_interrupted(self) -> None:
        if self.interrupted:
            raise KeyboardInterrupt(f"interrupted; the training can go on from {self.checkpoints.folder}")

    # -- Ctrl-C -------------------------------------------------------------------------------

    def _defer_interrupts(self) -> None:
        """Let Ctrl-C wait for the end of a step, where the state is whole; a second one does not wait."""
        if threading.current_thread() is not threading.main_thread():
            return
        before = signal.getsignal(signal.SIGINT)
        if before is not signal.default_int_handler:
            return  # the program has its own way

        def handler(number: int, frame: Any) -> None:
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True

        signal.signal(signal.SIGINT, handler)
        self._before = before

    def _restore_interrupts(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
