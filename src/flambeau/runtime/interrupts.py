"""Holding back Ctrl-C while memory is being overwritten: a step happens whole or not at all."""

from __future__ import annotations

# Without the enumerations of ``signal``, whose conversion costs more than the step.
import _signal  # type: ignore[import-not-found]
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class Deferred:
    """Within this context SIGINT only is noted; ``deliver`` then does what it would have done.

    Only the main thread receives signals, so elsewhere this does nothing.
    """

    __slots__ = ("_handler", "_noted")

    def __init__(self) -> None:
        self._handler: Any = None
        self._noted: tuple[int, FrameType | None] | None = None

    def __enter__(self) -> Deferred:
        if threading.get_ident() == threading.main_thread().ident:
            handler = _signal.getsignal(_signal.SIGINT)
            if callable(handler):
                self._handler = handler
                _signal.signal(_signal.SIGINT, self._note)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._handler is not None:
            _signal.signal(_signal.SIGINT, self._handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted = (number, frame)

    @property
    def deliver(self) -> Callable[[], None] | None:
        """What is still to be done about a signal that came; None where none did."""
        if self._noted is None:
            return None
        handler, noted = self._handler, self._noted
        return lambda: handler(*noted)
