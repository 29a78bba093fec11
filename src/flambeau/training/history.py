"""What a training came to, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class History:
    """The figures of each epoch: ``history["loss"]`` is a list, ``epoch`` has the epochs' numbers."""

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}

    def add(self, epoch: int, logs: Mapping[str, Any]) -> None:
        """Add an epoch."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)

    def state_dict(self) -> dict[str, Any]:
        """All of it, to be saved."""
        return {"epoch": list(self.epoch), "history": {k: list(v) for k, v in self.history.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what was saved."""
        self.epoch = list(state["epoch"])
        self.history = {name: list(values) for name, values in state["history"].items()}

    def __repr__(self) -> str:
        last = ", ".join(
            f"{name}={values[-1]:.4g}"
            for name, values in self.history.items()
            if isinstance(values[-1], (int, float))
        )
        return f"History(epochs={len(self.epoch)}{', ' + last if last else ''})"
