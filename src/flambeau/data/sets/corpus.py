"""Text for language models."""

from __future__ import annotations

from typing import NamedTuple


class TextCorpus(NamedTuple):
    """Text to train on and text to test with.

    Attributes:
        train: The text to train on.
        test: Held out: no part of it is in ``train``.
        titles: The works, in order; the last one is the one held out.
    """

    train: str
    test: str
    titles: tuple[str, ...]
