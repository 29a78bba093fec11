"""Progress of a training: a line that is rewritten on a terminal, plain lines everywhere else."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

_SECONDS_BETWEEN_UPDATES = 0.1
_ERASE = "\r\x1b[K"


class Progress:
    """Shows how far the current epoch is, on terminals only, and a line for each finished epoch."""

    def __init__(self, epochs: int, steps: int, stream: TextIO | None = None) -> None:
        self.epochs = epochs
        self.steps = steps
        self.stream = sys.stdout if stream is None else stream
        self.live = self.stream.isatty()
        self._shown = False
        self._next = 0.0

    def step(self, epoch: int, step: int, loss: float) -> None:
        """Step ``step`` of epoch ``epoch`` is done; both count from 1."""
        if not self.live:
            return
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _SECONDS_BETWEEN_UPDATES
        text = f"{self._epoch(epoch)}  loss {loss:.4f}  {bar(step / self.steps)}  step {step}/{self.steps}"
        columns = shutil.get_terminal_size().columns
        self.stream.write(_ERASE + text[: max(columns - 1, 10)])
        self.stream.flush()
        self._shown = True

    def epoch(self, epoch: int, loss: float, accuracy: float, seconds: float) -> None:
        """Epoch ``epoch`` is done, with its mean loss and accuracy on the training images."""
        self.clear()
        line = f"{self._epoch(epoch)}  loss {loss:.4f}  training accuracy {accuracy:.4f}  {seconds:.2f} s"
        print(line, file=self.stream, flush=True)

    def clear(self) -> None:
        """Remove the line that is being rewritten."""
        if self._shown:
            self.stream.write(_ERASE)
            self.stream.flush()
            self._shown = False

    def _epoch(self, epoch: int) -> str:
        return f"epoch {epoch:>{len(str(self.epochs))}}/{self.epochs}"


def bar(share: float, width: int = 20) -> str:
    """A bar of which ``share`` (0 to 1) is filled.

    >>> bar(0.5, 8)
    '[####....]'
    """
    filled = round(width * share)
    return f"[{'#' * filled}{'.' * (width - filled)}]"
