"""Every Python block of the README and the documentation runs.

The blocks of a page share one namespace and run in order, in an empty folder. A block that shows a
session (``>>>``) must print what it shows. A block with ``title="step.py"`` runs as if it were that
file. A block is left out when the line before it says why:

    <!-- not run: reason -->

In a table whose last column is headed ``flambeau``, the code in that column runs as well, row by row.
"""

from __future__ import annotations

import doctest
import linecache
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>[^`]*)$")
_TITLE = re.compile(r'title="([^"]+\.py)"')
_TABLE = re.compile(r"^\|.*\| *flambeau *\|$")
_CODE = re.compile(r"`([^`]+)`")
_NOT_RUN = re.compile(r"^ *<!-- not run: \S.*-->$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its code, the number of the line before its first, and the file it stands for."""

    code: str
    line: int
    title: str = ""


def python_blocks(text: str) -> list[Block]:
    """The blocks of a page that are to run, and the rows of tables."""
    lines = text.splitlines()
    blocks = []
    i = 0
    in_table = False
    while i < len(lines):
        opening = _FENCE.match(lines[i])
        if in_table and lines[i].startswith("|"):
            cell = lines[i].rstrip().removesuffix("|").rpartition("|")[2]
            blocks += [Block(code + "\n", i) for code in _CODE.findall(cell)]
        in_table = lines[i].startswith("|") and (in_table or _TABLE.match(lines[i]) is not None)
        i += 1
        if opening is None:
            continue
        start = i
        closing = opening["indent"] + opening["ticks"]
        while i < len(lines) and lines[i].rstrip() != closing:
            i += 1
        if i == len(lines):
            raise ValueError(f"the block that opens in line {start} is never closed")
        language = opening["info"].split()
        left_out = start >= 2 and _NOT_RUN.match(lines[start - 2])
        if language[:1] == ["python"] and not left_out:
            width = len(opening["indent"])
            title = _TITLE.search(opening["info"])
            code = "\n".join(line[width:] for line in lines[start:i]) + "\n"
            blocks.append(Block(code, start, title[1] if title else ""))
        i += 1
    return blocks


def run_block(block: Block, page: Path, namespace: dict[str, Any]) -> None:
    """Run one block; a failure shows the page and the line within it."""
    if block.code.lstrip().startswith(">>>"):
        run_session(block, page, namespace)
        return
    if block.title:
        lines = block.code.splitlines(keepends=True)
        linecache.cache[block.title] = (len(block.code), None, lines, block.title)
        exec(compile(block.code, block.title, "exec", dont_inherit=True), namespace)
        return
    # Blank lines in front make line numbers those of the page, in tracebacks and in error messages.
    code = compile("\n" * block.line + block.code, str(page), "exec", dont_inherit=True)
    exec(code, namespace)


def run_session(block: Block, page: Path, namespace: dict[str, Any]) -> None:
    test = doctest.DocTestParser().get_doctest(block.code, {}, page.name, str(page), block.line)
    test.globs = namespace
    report: list[str] = []
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    results = doctest.DocTestRunner(verbose=False, optionflags=options).run(
        test, out=report.append, clear_globs=False
    )
    assert results.failed == 0, "".join(report)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in python_blocks(page.read_text(encoding="utf-8")):
        run_block(block, page, namespace)


# The runner itself.

PAGE = """Text.

```python
x = 1
```

```
not python
```

<!-- not run: it needs a network -->
```python
raise AssertionError
```

- A list:

  ```python title="in a list"
  y = x + 1
  ```

```python
>>> x + y
3
```

````markdown
```python
raise AssertionError("inside another block")
```
````
"""


def test_blocks_are_found_in_order() -> None:
    assert [block.line for block in python_blocks(PAGE)] == [3, 18, 22]


def test_rows_of_tables_are_found() -> None:
    page = (
        "| a | flambeau |\n|---|---|\n| `no` | `x = 1`, a number |\n| - | `y = 2` |\n\n"
        "| a | b |\n|---|---|\n| `a` | `b` |\n"
    )
    assert [(block.code, block.line) for block in python_blocks(page)] == [("x = 1\n", 2), ("y = 2\n", 3)]


def test_blocks_share_a_namespace() -> None:
    namespace: dict[str, Any] = {}
    for block in python_blocks(PAGE):
        run_block(block, Path("page.md"), namespace)
    assert namespace["y"] == 2


def test_a_failure_names_the_line_of_the_page() -> None:
    (block,) = python_blocks("Text.\n\n```python\nx = 1\n1 / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as caught:
        run_block(block, Path("page.md"), {})
    assert (str(caught.traceback[-1].path).endswith("page.md"), caught.traceback[-1].lineno + 1) == (True, 5)


def test_a_titled_block_is_the_file_it_names() -> None:
    (block,) = python_blocks('```python title="step.py"\ndef f():\n    return 1 / 0\n```\n')
    namespace: dict[str, Any] = {}
    run_block(block, Path("page.md"), namespace)
    with pytest.raises(ZeroDivisionError) as caught:
        namespace["f"]()
    found = caught.traceback[-1].frame.code.raw
    assert (found.co_filename, caught.traceback[-1].lineno + 1) == ("step.py", 2)
    assert linecache.getline("step.py", 2) == "    return 1 / 0\n"


def test_a_session_that_prints_something_else_fails() -> None:
    (block,) = python_blocks("```python\n>>> 1 + 1\n3\n```\n")
    with pytest.raises(AssertionError, match=r"line 2(.|\n)*Expected:\n\s+3\n\s+Got:\n\s+2"):
        run_block(block, Path("page.md"), {})


def test_a_block_left_open_is_an_error() -> None:
    with pytest.raises(ValueError, match="opens in line 1 is never closed"):
        python_blocks("```python\nx = 1\n")


def test_each_page_begins_with_a_title() -> None:
    for page in PAGES:
        assert page.read_text(encoding="utf-8").startswith("# "), page
