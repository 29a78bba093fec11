"""The figures of each epoch as lines of a CSV file."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from typing import Any, TextIO

from flambeau.training.callbacks.callback import Callback, Logs


class CSVLogger(Callback):
    """Write the figures of each epoch to a CSV file, one line each, with a header.

    The columns are those of the first epoch.  With ``append`` lines are added to a file that is
    there.  When a training goes on from a checkpoint, lines of epochs after it are taken away
    first, so that the file is what an unbroken training writes.

    >>> import os, tempfile
    >>> import flambeau as fb
    >>> path = os.path.join(tempfile.mkdtemp(), "log.csv")
    >>> model = fb.Model(fb.nn.Linear(1, 1))
    >>> model.compile("sgd", "mse_loss")
    >>> x = fb.ones((4, 1))
    >>> log = fb.training.callbacks.CSVLogger(path)
    >>> _ = model.fit(x, x, epochs=2, verbose=0, callbacks=[log])
    >>> with open(path) as file:
    ...     [line.split(",")[0] for line in file]
    ['epoch', '0', '1']
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        self.filename = os.fspath(filename)
        self.separator = separator
        self.append = append
        self._file: TextIO | None = None
        self._keys: list[str] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._close()
        self._keys = None

    def _begin(self) -> TextIO:
        """The file: opened at the first line, when it is known whether a training goes on."""
        if self._file is None:
            if self.append and os.path.exists(self.filename):
                with open(self.filename, newline="", encoding="utf-8") as file:
                    header = next(csv.reader(file, delimiter=self.separator), None)
                self._keys = header[1:] if header else None
            self._file = self._open("a" if self.append else "w")
        return self._file

    def _open(self, mode: str) -> TextIO:
        made: Any = open(self.filename, mode, newline="", encoding="utf-8")  # noqa: SIM115
        return made  # type: ignore[no-any-return]

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        file = self._begin()
        logs = logs or {}
        writer = csv.writer(file, delimiter=self.separator, lineterminator="\n")
        if self._keys is None:
            self._keys = list(logs)
            writer.writerow(["epoch", *self._keys])
        writer.writerow([epoch, *[logs.get(key, "") for key in self._keys]])
        file.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._close()

    def on_train_error(self, error: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def state_dict(self) -> dict[str, Any]:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
        size = os.path.getsize(self.filename) if os.path.exists(self.filename) else 0
        return {"keys": self._keys, "bytes": size}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._keys = state["keys"]
        self._close()
        if state["keys"] is not None:
            self._file = self._open("a")
            self._file.truncate(state["bytes"])
