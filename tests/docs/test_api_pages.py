"""The generated API pages: which modules and names are on them, and how examples are shown."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import flambeau

TOOLS = Path(__file__).parents[2] / "tools"


def tool(name: str) -> ModuleType:
    """A file of ``tools/`` as a module; skips where what builds the documentation is not installed."""
    pytest.importorskip("mkdocs")
    pytest.importorskip("griffe")
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_names_that_are_loaded_late_have_a_place() -> None:
    pages = tool("docs_api_pages")
    known = {name: module for module, names in pages._late() for name in names}
    assert known == flambeau._LATE
    shown = {
        line.removeprefix("::: ")
        for page in pages.PUBLIC
        if pages._exists(page)
        for block in pages._blocks(page, f"flambeau.{page}".rstrip("."))
        for line in block.splitlines()
        if line.startswith(":::")
    }
    for name, module in known.items():
        found = {f"{module}.{name}", f"{module}.{name}.{name}", module} & shown
        assert found, name


def test_every_public_submodule_has_a_page() -> None:
    pages = tool("docs_api_pages")
    assert set(flambeau._SUBMODULES) <= set(pages.PUBLIC)


def test_modules_inside_packages_have_pages() -> None:
    pages = tool("docs_api_pages")
    found = {f"{name}.{part}" for name in pages.PUBLIC if name for part in pages._parts(name)}
    assert {
        "nn.functional",
        "nn.init",
        "nn.utils.rnn",
        "optim.lr_scheduler",
        "data.transforms",
        "training.callbacks",
        "training.metrics",
    } <= found
    for name in found:
        assert isinstance(importlib.import_module(f"flambeau.{name}"), ModuleType)


def test_sessions_look_like_sessions() -> None:
    changed = tool("docs_sessions").on_page_markdown
    text = (
        "```python\n>>> 1\n<BLANKLINE>\n```\n\n"
        "```python\nx = 1\n>>> no\n```\n\n"
        "    ```python\n    >>> 2\n    ```\n"
    )
    assert changed(text, page=None) == text.replace("```python\n>>>", "```pycon\n>>>").replace(
        "```python\n    >>>", "```pycon\n    >>>"
    ).replace("<BLANKLINE>", "")


def test_sessions_get_fences() -> None:
    fenced = tool("docs_examples").fenced
    text = "One.\n\n>>> 1 + 1\n2\n\nTwo.\n\n    >>> f()\n    ... g()"
    assert fenced(text) == (
        "One.\n\n```pycon\n>>> 1 + 1\n2\n```\n\nTwo.\n\n    ```pycon\n    >>> f()\n    ... g()\n    ```"
    )


def test_text_without_sessions_stays() -> None:
    assert tool("docs_examples").fenced("One.\n\n    code >>> 2") == "One.\n\n    code >>> 2"
