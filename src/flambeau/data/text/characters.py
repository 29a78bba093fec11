"""A tokenizer whose tokens are characters."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flambeau.data.errors import DataError
from flambeau.data.memory import IndexArray
from flambeau.errors import OperandError
from flambeau.io.atomic import replacing

_FORMAT = "flambeau characters"
_MAX_FILE = 64 << 20  # every character of Unicode takes less


class CharTokenizer:
    """Numbers the characters of a text.

    Args:
        characters: The vocabulary; a character's number is its place in it.
        unknown: A character of the vocabulary that stands for all that are not in it; without it they
            are refused.

    Example:
        >>> from flambeau.data import CharTokenizer
        >>> tokenizer = CharTokenizer.fit("to be or not to be")
        >>> tokenizer.encode("not")
        array([3, 4, 6])
        >>> tokenizer.decode([3, 4, 6]), len(tokenizer)
        ('not', 7)
    """

    def __init__(self, characters: Sequence[str], unknown: str | None = None) -> None:
        self.characters = tuple(characters)
        odd = [c for c in self.characters if not isinstance(c, str) or len(c) != 1]
        if odd or len(set(self.characters)) != len(self.characters):
            found = f"{odd[0]!r} is not one" if odd else "some come twice"
            raise OperandError(f"CharTokenizer: a vocabulary is made of different single characters; {found}")
        if unknown is not None and unknown not in self.characters:
            raise OperandError(f"CharTokenizer: the unknown character {unknown!r} is not in the vocabulary")
        self.unknown = unknown
        codes = np.array([ord(c) for c in self.characters], np.uint32)
        self._order = np.argsort(codes)
        self._codes = codes[self._order]

    @classmethod
    def fit(cls, texts: str | Iterable[str], unknown: str | None = None) -> CharTokenizer:
        """A tokenizer for the characters of one or more texts, in the order of Unicode."""
        found: set[str] = set() if unknown is None else {unknown}
        for text in [texts] if isinstance(texts, str) else texts:
            found.update(text)
        return cls(sorted(found), unknown)

    def __len__(self) -> int:
        """The size of the vocabulary."""
        return len(self.characters)

    def encode(self, text: str) -> IndexArray:
        """The numbers of the characters, as int64.

        Raises ``OperandError`` for a character that is not in the vocabulary, where no character
        stands for such.
        """
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
        if not len(self):
            known = np.zeros(len(codes), bool)
            places = np.zeros(len(codes), np.int64)
        else:
            places = np.minimum(np.searchsorted(self._codes, codes), len(self) - 1)
            known = self._codes[places] == codes
            places = self._order[places]
        if not known.all():
            if self.unknown is None:
                at = int(np.flatnonzero(~known)[0])
                raise OperandError(
                    f"CharTokenizer: the character {text[at]!r} at position {at} is not in the vocabulary"
                )
            places = np.where(known, places, self.characters.index(self.unknown))
        return np.asarray(places, np.int64)

    def decode(self, tokens: Any) -> str:
        """The text of a sequence of numbers; raises ``OperandError`` for one that is too large."""
        numbers = np.asarray(tokens).reshape(-1)
        if numbers.size and numbers.dtype.kind not in "iu":
            raise OperandError(f"CharTokenizer: tokens are integers, not {numbers.dtype}")
        wrong = numbers[(numbers < 0) | (numbers >= len(self))]
        if wrong.size:
            raise OperandError(f"CharTokenizer: there is no token {wrong[0]}; the vocabulary has {len(self)}")
        return "".join([self.characters[i] for i in numbers.tolist()])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary to a JSON file, whole or not at all."""
        content = {
            "format": _FORMAT,
            "version": 1,
            "characters": list(self.characters),
            "unknown": self.unknown,
        }
        with replacing(path) as file:
            file.write(json.dumps(content).encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CharTokenizer:
        """Read what ``save`` wrote; raises ``DataError`` for a file that is something else."""
        content = read_json(Path(path))
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise DataError(f"{path}: not a vocabulary of characters")
        if content.get("version") != 1:
            raise DataError(f"{path}: version {content.get('version')!r:.40} of the format is not known")
        characters, unknown = content.get("characters"), content.get("unknown")
        if not isinstance(characters, list) or not (unknown is None or isinstance(unknown, str)):
            raise DataError(f"{path}: the list of characters is missing or damaged")
        try:
            return cls(characters, unknown)
        except (OperandError, TypeError) as error:
            raise DataError(f"{path}: {error}") from error

    def __repr__(self) -> str:
        return f"CharTokenizer({len(self)} characters)"


def read_json(path: Path) -> Any:
    """What a JSON file holds; raises ``DataError`` where it is no JSON, saying at which byte."""
    with path.open("rb") as file:
        raw = file.read(_MAX_FILE + 1)
    if len(raw) > _MAX_FILE:
        raise DataError(f"{path}: more than {_MAX_FILE} bytes are too many for a tokenizer")
    try:
        return json.loads(raw.decode())
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        offset = len(error.doc[: error.pos].encode("utf-8", "surrogatepass"))
        raise DataError(f"{path}: not JSON at byte {offset}: {error.msg}") from None
    except RecursionError:
        raise DataError(f"{path}: the JSON is nested too deeply") from None
