"""Measures the errors of the elementary functions at every float32 argument, into docs/numerics.md.

PYTHONPATH=src:. python tools/measure_functions.py              # all functions: ten minutes
PYTHONPATH=src:. python tools/measure_functions.py exp tanh     # these rows alone
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from tests.compiler.exact import IN_FLOAT64, Found, over_all

PAGE = Path(__file__).parent.parent / "docs" / "numerics.md"
HEAD = "| function | largest error in ULP | at the argument | not the nearest float32 |\n|---|---|---|---|\n"
_ROW = re.compile(r"^\| `(\w+)` \| ([\d.]+) \| `([-+.\w]+)` \| ([\d.]+) % \|$", re.MULTILINE)


class Row(NamedTuple):
    """What the page says of a function: the argument is written as Python writes it in hexadecimal."""

    name: str
    error: str
    at: str
    missed: str

    def text(self) -> str:
        return f"| `{self.name}` | {self.error} | `{self.at}` | {self.missed} % |\n"


def rows(page: str) -> dict[str, Row]:
    """The table on a page."""
    return {match[1]: Row(*match.groups()) for match in _ROW.finditer(page)}


def row(name: str, found: Found) -> Row:
    """The page's words for what was found."""
    return Row(name, f"{found.error:.3f}", found.at.hex(), f"{100 * found.missed:.4f}")


def put(page: str, made: Iterable[Row]) -> str:
    """The page with these rows in place of what they were, in alphabetical order."""
    table = rows(page) | {each.name: each for each in made}
    start = page.index(HEAD) + len(HEAD)
    end = page.find("\n\n", start - 1) + 1
    return page[:start] + "".join(table[name].text() for name in sorted(table)) + page[end:]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="functions (all)", choices=[[], *IN_FLOAT64])
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    names = options.names or sorted(IN_FLOAT64)
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        for name, found in zip(names, pool.map(over_all, names), strict=True):
            made = row(name, found)
            PAGE.write_text(put(PAGE.read_text(), [made]))
            print(made.text(), end="", flush=True)


if __name__ == "__main__":
    main()
