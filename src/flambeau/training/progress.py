"""Progress of a training: a bar on a terminal, plain lines everywhere else.

The bar is drawn by ``rich`` where that is installed, and else by hand on a line that is rewritten.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from flambeau.errors import OperandError
from flambeau.training.callbacks.callback import Callback, Logs

_SECONDS_BETWEEN_UPDATES = 0.1
_ERASE = "\r\x1b[K"


def verbosity(verbose: Any) -> int:
    """0, 1 or 2 for ``verbose``: ``"auto"`` is a bar on a terminal and lines elsewhere."""
    if verbose == "auto":
        return 1 if sys.stdout.isatty() else 2
    if verbose not in (0, 1, 2):
        raise OperandError(f"verbose must be 'auto', 0, 1 or 2, not {verbose!r}")
    return int(verbose)


def figures(logs: Mapping[str, Any]) -> str:
    """The figures of logs as text, those that are numbers.

    >>> figures({"loss": 0.12345, "accuracy": 1.0, "matrix": [1, 2]})
    'loss 0.1235  accuracy 1.0000'
    """
    numbers = {name: value for name, value in logs.items() if isinstance(value, (int, float))}
    return "  ".join(f"{name} {_number(value)}" for name, value in numbers.items())


def _number(value: float) -> str:
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.3e}"


class Bar(Protocol):
    """What shows how far an epoch is."""

    def begin(self, title: str, steps: int | None) -> None:
        """A new epoch."""

    def update(self, step: int, text: str) -> None:
        """So many steps are done."""

    def clear(self) -> None:
        """Remove what is shown."""


class NoBar:
    """Nothing."""

    def begin(self, title: str, steps: int | None) -> None:
        pass

    def update(self, step: int, text: str) -> None:
        pass

    def clear(self) -> None:
        pass


class PlainBar:
    """A line that is rewritten, at most ten times a second."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.title = ""
        self.steps: int | None = None
        self._shown = False
        self._next = 0.0

    def begin(self, title: str, steps: int | None) -> None:
        self.title, self.steps = title, steps

    def update(self, step: int, text: str) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _SECONDS_BETWEEN_UPDATES
        share = f"{bar(step / self.steps)}  step {step}/{self.steps}" if self.steps else f"step {step}"
        line = f"{self.title}  {share}  {text}"
        columns = shutil.get_terminal_size().columns
        self.stream.write(_ERASE + line[: max(columns - 1, 10)])
        self.stream.flush()
        self._shown = True

    def clear(self) -> None:
        if self._shown:
            self.stream.write(_ERASE)
            self.stream.flush()
            self._shown = False


class RichBar:
    """A bar of the package rich."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        text = TextColumn("{task.description}", markup=False)
        figures = TextColumn("{task.fields[figures]}", markup=False)
        console = Console(file=stream)
        self._progress = Progress(
            text,
            BarColumn(30),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            figures,
            console=console,
            transient=True,
        )
        self._task: Any = None

    def begin(self, title: str, steps: int | None) -> None:
        self.clear()
        self._task = self._progress.add_task(title, total=steps, figures="")
        self._progress.start()

    def update(self, step: int, text: str) -> None:
        self._progress.update(self._task, completed=step, figures=text)

    def clear(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
            self._progress.stop()


def make_bar(stream: TextIO) -> Bar:
    """A bar of rich where that is installed, else one by hand."""
    try:
        return RichBar(stream)
    except ImportError:
        return PlainBar(stream)


class Report(Callback):
    """Tells how a training goes: with ``verbose=1`` by a bar too, with 2 by a line for each epoch."""

    saved = False

    def __init__(self, verbose: int, stream: TextIO | None = None) -> None:
        self.stream = sys.stdout if stream is None else stream
        self.bar: Bar = make_bar(self.stream) if verbose == 1 else NoBar()
        self._began: float | None = None
        self._begun = False
        self._training = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._training = True

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._begin(epoch)

    def _begin(self, epoch: int) -> None:
        self._began = time.perf_counter()
        self.bar.begin(self._title(epoch), self.params["steps"])
        self._begun = True

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        if not self._begun:  # a training that goes on within an epoch
            self._begin(self.model.run.epoch)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.bar.update(batch + 1, figures(logs or {}))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.bar.clear()
        self._begun = False
        seconds = 0.0 if self._began is None else time.perf_counter() - self._began
        print(f"{self._title(epoch)}  {figures(logs or {})}  {seconds:.2f} s", file=self.stream, flush=True)

    def on_train_end(self, logs: Logs | None = None) -> None:
        self.bar.clear()

    def on_train_error(self, error: BaseException) -> None:
        self.bar.clear()

    def on_test_begin(self, logs: Logs | None = None) -> None:
        if not self._training:
            self.bar.begin("evaluate", self.params["steps"])

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if not self._training:
            self.bar.update(batch + 1, figures(logs or {}))

    def on_test_end(self, logs: Logs | None = None) -> None:
        if not self._training:
            self.bar.clear()
            print(f"evaluate  {figures(logs or {})}", file=self.stream, flush=True)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self.bar.begin("predict", self.params["steps"])

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.bar.update(batch + 1, "")

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self.bar.clear()

    def _title(self, epoch: int) -> str:
        epochs = self.params["epochs"]
        return f"epoch {epoch + 1:>{len(str(epochs))}}/{epochs}"


def bar(share: float, width: int = 20) -> str:
    """A bar of which ``share`` (0 to 1) is filled.

    >>> bar(0.5, 8)
    '[####....]'
    """
    filled = round(width * share)
    return f"[{'#' * filled}{'.' * (width - filled)}]"
