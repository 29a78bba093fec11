"""Arguments of spatial layers: one number for all axes, or a number for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.errors import OperandError, ShapeError
from flambeau.ops.record import refuse

Ints = tuple[int, ...]


def integer(value: Any, name: str, what: str, least: int = 1) -> int:
    """An integer argument of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        refuse(OperandError(f"{name}: {what} must be an integer, not {value!r}"))
    if value < least:
        refuse(ShapeError(f"{name}: {what} must be at least {least}, not {value}"))
    return int(value)


def _wanted(count: int) -> str:
    return "an integer" if count == 1 else f"an integer or {count} integers"


def each(value: Any, count: int, name: str, what: str, least: int = 1) -> Ints:
    """``count`` integers of at least ``least``; one stands for all."""
    if type(value) is int and value >= least:
        return (value,) * count
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) not in (1, count):
            refuse(ShapeError(f"{name}: {what} must be {_wanted(count)}, not {value!r}"))
        made = tuple([integer(v, name, what, least) for v in value])
        return made * count if len(made) < count else made
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return (integer(value, name, what, least),) * count
    refuse(OperandError(f"{name}: {what} must be {_wanted(count)}, not {value!r}"))
