"""MkDocs hook: one API page per module, generated from its docstrings.

The modules people import come first, under "API reference", each followed by the modules that it
offers by name (``nn.functional``); the rest of the package, which is there to be read, follows under
"Inside". A new module appears by itself.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PACKAGE = Path(__file__).parents[1] / "src" / "flambeau"
# What users import, in the order of the page list.
PUBLIC = (
    "", "tensor", "transforms", "nn", "optim", "data", "training", "random", "linalg", "fft", "io", "dtypes",
    "devices", "errors", "cli",
)  # fmt: skip
# Packages of the inside, from the bottom layer up.
INSIDE = ("graph", "primitives", "autodiff", "compiler", "runtime", "engine", "ops", "program")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, and their entries to the navigation."""
    for title, names in (("API reference", PUBLIC), ("Inside", INSIDE)):
        entries = []
        for name in names:
            if not _exists(name):
                continue
            module = f"flambeau.{name}" if name else "flambeau"
            uri = f"api/{module}.md"
            files.append(File.generated(config, uri, content="\n\n".join(_blocks(name, module))))
            entries.append({module: uri})
            if title == "API reference" and name:
                for part in _parts(name):
                    uri = f"api/{module}.{part}.md"
                    files.append(File.generated(config, uri, content=f"::: {module}.{part}"))
                    entries.append({f"{module}.{part}": uri})
        if entries and config.nav is not None:
            config.nav.append({title: entries})
    return files


def _exists(name: str) -> bool:
    return (PACKAGE / name / "__init__.py").is_file() or (name != "" and (PACKAGE / f"{name}.py").is_file())


def _blocks(name: str, module: str) -> Iterator[str]:
    """The page: the module itself; for a package of the inside, its modules too."""
    # Much of a tensor is in classes that it inherits from.
    yield f"::: {module}" + ("\n    options:\n      inherited_members: true" if name == "tensor" else "")
    for late, names in _late():
        for own in names:
            shadowed = (PACKAGE / name / f"{own}.py").is_file()  # trace the module hides trace the function
            if late == module and shadowed:
                yield f"::: {module}.{own}.{own}\n    options:\n      heading_level: 2"
            elif not name and late.removeprefix("flambeau.") not in PUBLIC:
                yield f"::: {late}.{own}\n    options:\n      heading_level: 2"
    if name in INSIDE:
        for path in sorted((PACKAGE / name).glob("*.py")):
            if not path.stem.startswith("_"):
                yield f"::: {module}.{path.stem}\n    options:\n      heading_level: 2"


def _parts(name: str) -> list[str]:
    """The modules inside a public package that it offers by name, such as ``nn.functional``."""
    source = PACKAGE / name / "__init__.py"
    if not source.is_file():
        return []
    tree = ast.parse(source.read_text(encoding="utf-8"))
    parts = []
    for node in tree.body:
        # A function may hide the module that it is in; only what is imported as a module is one.
        if isinstance(node, ast.ImportFrom) and node.module == f"flambeau.{name.replace('/', '.')}":
            for part in (alias.name for alias in node.names):
                inner = f"{name}/{part}"
                parts += [part, *(f"{part}.{deeper}" for deeper in _parts(inner))]
    return parts


def _late() -> list[tuple[str, tuple[str, ...]]]:
    """The modules and names that the package loads when first used: who reads its source cannot know them."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    (table,) = (node.value for node in assigned if ast.unparse(node.targets[0]) == "_LATE")
    (source,) = (node for node in ast.walk(table) if isinstance(node, ast.Dict))
    return list(ast.literal_eval(source).items())
