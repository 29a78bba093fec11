"""A tokenizer whose tokens are frequent pieces of text, found by merging pairs.

Source: R. Sennrich, B. Haddow, A. Birch, "Neural machine translation of rare words with subword units",
ACL 2016; on bytes as in A. Radford et al., "Language models are unsupervised multitask learners", 2019.
The work is done by the ``tokenizers`` library.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flambeau.data.errors import DataError
from flambeau.data.memory import IndexArray
from flambeau.data.text.characters import read_json
from flambeau.errors import FlambeauError, OperandError
from flambeau.io.atomic import replacing


class MissingLibraryError(FlambeauError, ImportError):
    """An optional library that is needed here is not installed."""


class BytePairTokenizer:
    """Numbers the pieces of a text: single bytes and what they were merged to, so any text has tokens.

    Make one with ``train`` or ``load``.  It needs the library ``tokenizers``
    (``pip install 'flambeau[text]'``).

    Raises:
        MissingLibraryError: The library is not installed; also an ``ImportError``.

    Example:
        >>> from flambeau.data import BytePairTokenizer
        >>> text = "to be or not to be, that is the question"
        >>> tokenizer = BytePairTokenizer.train([text] * 9, vocab_size=270)
        >>> tokenizer.decode(tokenizer.encode("not to be"))
        'not to be'
        >>> len(tokenizer), len(tokenizer.encode("not to be")) < 9
        (270, True)
    """

    def __init__(self, tokenizer: Any) -> None:
        library = _library()
        if not isinstance(tokenizer, library.Tokenizer):
            raise OperandError(
                "BytePairTokenizer: make one with BytePairTokenizer.train(texts) or .load(path); the "
                f"constructor takes a tokenizers.Tokenizer, not {type(tokenizer).__name__}"
            )
        numbers = sorted(tokenizer.get_vocab().values())
        if numbers != list(range(len(numbers))):
            raise OperandError(
                f"BytePairTokenizer: the numbers of {len(numbers)} tokens must be those from 0 up to and "
                f"without {len(numbers)}, but some are missing or come twice"
            )
        self.tokenizer = tokenizer

    @classmethod
    def train(
        cls,
        texts: str | Iterable[str],
        vocab_size: int = 1000,
        *,
        min_frequency: int = 2,
        special_tokens: Sequence[str] = (),
    ) -> BytePairTokenizer:
        """Learn the merges from one or more texts.

        Args:
            texts: What to learn from.
            vocab_size: How many tokens to end with, special ones and the 256 bytes included.
            min_frequency: How often a pair must occur to be merged.
            special_tokens: Pieces that are tokens of their own whatever surrounds them; they get the
                first numbers.
        """
        library = _library()
        if vocab_size < 256 + len(special_tokens):
            raise OperandError(
                f"BytePairTokenizer: vocab_size must be at least 256 for the bytes and {len(special_tokens)} "
                f"for special tokens, not {vocab_size}"
            )
        tokenizer = library.Tokenizer(library.models.BPE())
        tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = library.decoders.ByteLevel()
        trainer = library.trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=min_frequency,
            special_tokens=list(special_tokens),
            initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator([texts] if isinstance(texts, str) else texts, trainer)
        return cls(tokenizer)

    def __len__(self) -> int:
        """The size of the vocabulary."""
        return int(self.tokenizer.get_vocab_size())

    def token(self, piece: str) -> int:
        """The number of a special token; raises ``OperandError`` where there is none."""
        found = self.tokenizer.token_to_id(piece)
        if found is None:
            raise OperandError(f"BytePairTokenizer: there is no token {piece!r}")
        return int(found)

    def encode(self, text: str) -> IndexArray:
        """The numbers of the pieces of a text, as int64."""
        return np.array(self.tokenizer.encode(text, add_special_tokens=False).ids, np.int64)

    def decode(self, tokens: Any) -> str:
        """The text of a sequence of numbers; bytes that are no UTF-8 become replacement characters."""
        numbers = np.asarray(tokens).reshape(-1)
        if numbers.size and numbers.dtype.kind not in "iu":
            raise OperandError(f"BytePairTokenizer: tokens are integers, not {numbers.dtype}")
        wrong = numbers[(numbers < 0) | (numbers >= len(self))]
        if wrong.size:
            raise OperandError(
                f"BytePairTokenizer: there is no token {wrong[0]}; the vocabulary has {len(self)}"
            )
        return str(self.tokenizer.decode(numbers.tolist(), skip_special_tokens=False))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write vocabulary and merges to a JSON file in the library's format, whole or not at all."""
        with replacing(path) as file:
            file.write(self.tokenizer.to_str(pretty=True).encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> BytePairTokenizer:
        """Read what ``save`` wrote; raises ``DataError`` for a file that is something else."""
        import json

        library = _library()
        content = read_json(Path(path))
        try:
            return cls(library.Tokenizer.from_str(json.dumps(content)))
        except BaseException as error:
            # The library raises nothing more precise, and what its Rust code trips over not even that.
            if isinstance(error, Exception) or type(error).__name__ == "PanicException":
                raise DataError(f"{path}: not a tokenizer: {error}") from error
            raise

    def __repr__(self) -> str:
        return f"BytePairTokenizer({len(self)} tokens)"


def _library() -> Any:
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError as error:
        raise MissingLibraryError(
            "BytePairTokenizer needs the library tokenizers, which is not installed: "
            "pip install 'flambeau[text]'"
        ) from error
    return tokenizers
