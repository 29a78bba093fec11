"""Hooks: functions that a module calls before or after its own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

Hooks = dict[int, Callable[..., Any]]

_NUMBERS = count()


class RemovableHandle:
    """A registered hook; ``remove()`` takes it away, also as the end of a ``with`` block."""

    def __init__(self, hooks: Hooks, hook: Callable[..., Any]) -> None:
        self._hooks = hooks
        self._number = next(_NUMBERS)
        hooks[self._number] = hook

    def remove(self) -> None:
        """Take the hook away; a second time does nothing."""
        self._hooks.pop(self._number, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()
