"""What the readers of data files raise."""

from __future__ import annotations

from flambeau.errors import FlambeauError


class DataError(FlambeauError, ValueError):
    """A data file that is damaged, hostile or not what its name says; the message names the file."""
