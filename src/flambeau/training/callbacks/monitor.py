"""What callbacks share that watch one figure: which way is better, and whether it has got better."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

from flambeau.errors import OperandError
from flambeau.training.callbacks.callback import Logs

_RISING = ("acc", "auc", "precision", "recall", "f1", "r2")


class Monitor:
    """A figure of the logs, by name; ``mode`` is ``"min"``, ``"max"`` or, by the name, ``"auto"``."""

    def __init__(self, owner: str, name: str, mode: str = "auto", min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise OperandError(f"{owner}: mode must be 'auto', 'min' or 'max', not {mode!r}")
        self.owner = owner
        self.name = name
        rising = any(part in name for part in _RISING)
        self.sign = 1.0 if mode == "max" or (mode == "auto" and rising) else -1.0
        self.min_delta = abs(min_delta)
        self.best: float | None = None

    def read(self, logs: Logs | None) -> float | None:
        """The figure now; warns where it is missing."""
        value = (logs or {}).get(self.name)
        if value is None:
            there = ", ".join(logs or {}) or "nothing"
            warnings.warn(f"{self.owner}: there is no {self.name!r} to watch, only {there}", stacklevel=2)
            return None
        return float(value)

    def better(self, value: float, than: float | None) -> bool:
        """Whether a figure is better than another by more than ``min_delta``; NaN is never better."""
        if math.isnan(value):
            return False
        return than is None or self.sign * (value - than) > self.min_delta

    def improved(self, value: float) -> bool:
        """Whether a figure is the best so far, which it then becomes."""
        if not self.better(value, self.best):
            return False
        self.best = value
        return True

    def state_dict(self) -> dict[str, Any]:
        """The best so far."""
        return {"best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the best so far."""
        self.best = state["best"]
