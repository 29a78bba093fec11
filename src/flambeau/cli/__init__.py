"""The command ``flambeau``."""

from __future__ import annotations

from flambeau.cli.command import main

__all__ = ["main"]
