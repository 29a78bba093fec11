"""Nine plays by Shakespeare: a text that is small enough to learn from in minutes.

Source: Project Gutenberg's texts, as the Open Knowledge Foundation's package ``shakespeare`` has them.
They are in the public domain.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

from flambeau.data.errors import DataError
from flambeau.data.sets.corpus import TextCorpus

TITLES = (
    "Macbeth",
    "Julius Caesar",
    "Othello",
    "The Merchant of Venice",
    "Much Ado About Nothing",
    "Twelfth Night",
    "As You Like It",
    "Richard II",
    "The Tempest",
)
# Between two plays in the file; in the text they are three empty lines apart.
SEPARATOR = "\f"
_BETWEEN = "\n\n\n"

FILE = Path(__file__).parents[1] / "shakespeare-mini" / "plays.txt.gz"
# Of the text, not of the file; printed by tools/make_shakespeare_mini.py.
SHA256 = "11a804ee4f161f9f67e66cb6003dc5495871a160859d7c241efb553acc767055"
_MAX_BYTES = 4 << 20


def shakespeare_mini() -> TextCorpus:
    """Load the plays that are shipped with flambeau: eight to train on, and The Tempest to test with.

    About 1.1 million characters of ASCII, of which The Tempest, the last play, is 9 %.  Each play is
    whole, with its list of persons and its stage directions.

    Raises:
        DataError: The file of the installed package is missing or damaged.

    Example:
        >>> from flambeau.data import shakespeare_mini
        >>> plays = shakespeare_mini()
        >>> plays.titles[-1], plays.train[:7], len(set(plays.train + plays.test))
        ('The Tempest', 'MACBETH', 80)
    """
    return _load_verified(FILE)


def _load_verified(path: Path) -> TextCorpus:
    repair = "shakespeare-mini is damaged; reinstall flambeau to repair it"
    try:
        with gzip.open(path) as stream:
            content = stream.read(_MAX_BYTES)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{repair}: {path}: {error}") from error
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise DataError(f"{repair}: {path} does not hold the text that was shipped")
    *train, test = content.decode("ascii").split(SEPARATOR)
    return TextCorpus(_BETWEEN.join(train), test, TITLES)
