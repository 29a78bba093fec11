"""What data sets, readers and loaders raise."""

from __future__ import annotations

from flambeau.errors import FlambeauError


class DataError(FlambeauError, ValueError):
    """A data file that is damaged, hostile or not what its name says; the message names the file."""


class WorkerError(FlambeauError, RuntimeError):
    """A worker process of a loader that failed, died or took too long.

    The message names the worker and holds its traceback, exit code or signal; ``__cause__`` is the
    exception itself where it could be sent over.
    """
