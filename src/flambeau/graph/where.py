"""Where an operation was written: a code object and an offset, resolved only when shown.

Frames are never kept: they would keep the user's variables alive.
"""

from __future__ import annotations

import linecache
import sys
from os.path import basename, dirname
from types import CodeType
from typing import NamedTuple

_PACKAGE = dirname(dirname(__file__))
_INSIDE: dict[str, bool] = {}


def is_internal(filename: str) -> bool:
    """Whether a file is part of flambeau (its frames are not the user's)."""
    inside = _INSIDE.get(filename)
    if inside is None:
        inside = _INSIDE[filename] = filename.startswith(_PACKAGE)
    return inside


class Where(NamedTuple):
    """A place in the user's program, the path of the layer that was running, and the tape's entry."""

    code: CodeType | None
    offset: int
    layer: tuple[str, ...] = ()
    entry: int = -1

    @property
    def line(self) -> int:
        """The line number, or 0 where it is not known."""
        if self.code is None:
            return 0
        found = self.code.co_firstlineno
        for start, end, line in self.code.co_lines():
            if start <= self.offset < end and line is not None:
                found = line
        return found

    @property
    def short(self) -> str:
        """The file's name and the line, such as ``train.py:11``; empty where they are not known."""
        return "" if self.code is None else f"{basename(self.code.co_filename)}:{self.line}"

    def __str__(self) -> str:
        parts = []
        if self.code is not None:
            text = linecache.getline(self.code.co_filename, self.line).strip()
            place = f"at {self.short} in {self.code.co_name}"
            parts.append(f"{place}: {text}" if text else place)
        if self.layer:
            parts.append(f"in layer {'.'.join(self.layer)}")
        return "\n  ".join(parts)


NOWHERE = Where(None, 0)


def caller(layer: tuple[str, ...] = ()) -> Where:
    """The innermost frame outside flambeau."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if not is_internal(code.co_filename):
            return Where(code, frame.f_lasti, layer)
        frame = frame.f_back  # type: ignore[assignment]
    return Where(None, 0, layer)
