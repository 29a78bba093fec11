"""What all trainings of the command line share: checkpoints, going on from them, interrupts."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flambeau.cli.arguments import UsageError
from flambeau.errors import NonFiniteError
from flambeau.io import Checkpoints
from flambeau.training import Model
from flambeau.training.callbacks import BackupAndRestore, Callback, TerminateOnNaN

# Batches between two checkpoints: what a training that is killed has to do again.
SAVE_EVERY = 100


@dataclass(frozen=True, slots=True)
class Session:
    """A training: its name, all that decides its result, its files, and whether it goes on.

    ``settings`` are kept in checkpoints; a training goes on only with the same ones.
    """

    task: str
    settings: Mapping[str, Any]
    epochs: int
    output: str
    resume: bool

    @property
    def folder(self) -> Path:
        """Where checkpoints are: beside the weights."""
        path = Path(self.output)
        return path.with_name(f"{path.name.removesuffix('.safetensors')}.checkpoints")

    def fit(
        self, model: Model, loader: Any, callbacks: Sequence[Callback] = (), validation: Any = None
    ) -> None:
        """Train, from the beginning or from the newest checkpoint.

        Raises ``UsageError`` where the checkpoint is of another training, ``KeyboardInterrupt`` at
        Ctrl-C, when the state has been saved, and ``NonFiniteError`` where numbers overflow.
        """
        model.notes = dict(self.settings)
        self._announce()
        backup = BackupAndRestore(self.folder, SAVE_EVERY, restore=self.resume)
        every = [*callbacks, TerminateOnNaN(), backup]
        began = time.perf_counter()
        try:
            model.fit(loader, epochs=self.epochs, callbacks=every, validation_data=validation)
        except KeyboardInterrupt:
            epoch = min(model.run.epoch + 1, self.epochs)
            what = f"interrupted in epoch {epoch} of {self.epochs}"
            hint = "--resume goes on from there" if backup.checkpoints.paths() else "nothing was saved"
            raise KeyboardInterrupt(f"{what}; {hint}") from None
        except NonFiniteError as error:
            reason = str(error).removeprefix("training failed: ")
            raise NonFiniteError(
                f"training failed in epoch {model.run.epoch + 1}; try a smaller --lr: {reason}"
            ) from None
        print(f"training time: {time.perf_counter() - began:.2f} s")

    def finish(self) -> None:
        """Remove the checkpoints: the weights have been saved."""
        Checkpoints(self.folder).clear()

    def _announce(self) -> None:
        checkpoints = Checkpoints(self.folder)
        found = checkpoints.load_latest() if self.resume else None
        if found is None:
            if self.resume:
                print(f"no checkpoint in {self.folder}: training begins", flush=True)
            elif checkpoints.paths():
                print(
                    f"an unfinished training in {self.folder} is replaced; --resume would have continued it",
                    flush=True,
                )
            return
        kept = found.state["notes"]
        for name, value in self.settings.items():
            if kept.get(name) != value:
                raise UsageError(
                    f"train {self.task}: --resume: the checkpoint in {str(self.folder)!r} was made with "
                    f"{_shown(name, kept.get(name))}, not {_shown(name, value)}"
                )
        state = found.state
        print(
            f"going on in epoch {min(state['epoch'] + 1, self.epochs)} after batch {state['batch']}",
            flush=True,
        )


def _shown(name: str, value: Any) -> str:
    if name == "data digest":
        return "other data" if value is None else f"data whose digest is {value}"
    return f"{name} {value!r}"


def check_output(task: str, output: str) -> None:
    """Raise ``UsageError`` where the weights could not be written, before anything is computed."""
    from flambeau.io.atomic import check_replaceable

    try:
        check_replaceable(output)
    except (OSError, ValueError) as error:
        reason = str(error)
        if isinstance(error, OSError) and error.filename is not None:
            reason = f"{error.strerror}: {str(error.filename)!r}"
        raise UsageError(f"train {task}: --output {output!r}: {reason}") from None


def use_threads(arguments: Any) -> None:
    """Compute with as many threads as ``--threads`` says."""
    if "threads" in arguments:
        from flambeau.runtime.threads import set_num_threads

        set_num_threads(arguments.threads)


def digest(*arrays: Any) -> str:
    """A number that differs for other data."""
    import hashlib

    import numpy as np

    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()[:16]


def plural(n: int, what: str) -> str:
    """The number with its noun.

    >>> plural(1, "thread"), plural(2, "thread")
    ('1 thread', '2 threads')
    """
    return f"{n} {what}{'' if n == 1 else 's'}"


def exists(path: str) -> bool:
    """Whether a path names something, however odd it is."""
    try:
        return os.path.exists(path)
    except ValueError:
        return False
