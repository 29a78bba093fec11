"""From text to numbers and back."""

from __future__ import annotations

from flambeau.data.text.byte_pairs import BytePairTokenizer
from flambeau.data.text.characters import CharTokenizer
from flambeau.data.text.sequences import pad_sequences, truncate
from flambeau.data.text.windows import TextWindows

__all__ = ["BytePairTokenizer", "CharTokenizer", "TextWindows", "pad_sequences", "truncate"]
