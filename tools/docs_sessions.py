"""MkDocs hook: Python blocks that show a session look like one.

Pages write ```` ```python ```` for sessions too, which is what the tests run, and ``<BLANKLINE>`` for
an empty line that is printed, as ``doctest`` wants it.
"""

from __future__ import annotations

import re
from typing import Any

_BLANK = re.compile(r"^( *)<BLANKLINE>$", re.MULTILINE)
_OPENING = re.compile(r"^( *`{3,})python(?=[^\n]*\n *>>>)", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with the language of sessions changed, and empty lines empty."""
    return _BLANK.sub(r"\1", _OPENING.sub(r"\1pycon", markdown))
