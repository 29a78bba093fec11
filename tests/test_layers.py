"""The house: layers import only from those below them, without cycles, in files that stay small.

Imports are read from the source, so that an import inside a function counts as well.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "flambeau"
LONGEST_FILE = 600

# From the bottom up.  What stands on one line may import each other, without cycles.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("dtypes", "devices", "errors", "counts", "hints"),
    ("graph",),
    ("primitives",),
    ("autodiff",),
    ("compiler",),
    ("runtime",),
    ("engine",),
    ("tensor", "methods"),
    ("ops", "random"),
    ("linalg", "fft"),  # the names of the array API's extensions
    ("transforms",),
    ("program",),
    ("io",),
    ("nn", "optim", "data", "training"),
    ("onnx", "viz", "serving", "pipelines", "edge", "cli"),
    ("__init__", "__main__"),  # the whole package: nothing below may import ``flambeau`` itself
)
RANK = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}

# Imports inside a function that may point upwards, and why.
EXCEPTIONS = {
    ("flambeau.tensor", "flambeau"): "the array API's __array_namespace__ returns the package itself",
}

# Slow to load or not needed by most programs: only what uses them imports them.
HEAVY = (
    "llvmlite",
    "torch",
    "safetensors",
    "tokenizers",
    "rich",
    "tensorboardX",
    "multiprocessing",
    "asyncio",
    "unittest",
)


@dataclass(frozen=True)
class Import:
    """``importer`` imports ``imported``; ``late`` when a function does so rather than the module."""

    importer: str
    imported: str
    line: int
    late: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def modules(root: Path) -> dict[str, Path]:
    """Every module of the package in the folder ``root``, by dotted name."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def part_of(module: str) -> str:
    """The part of the house a module belongs to: ``flambeau.graph.dims`` lies in ``graph``."""
    return module.split(".")[1] if "." in module else "__init__"


def imports(module: str, path: Path, known: dict[str, Path]) -> Iterator[Import]:
    """The package's own modules that ``module`` imports, type-checking blocks aside."""
    package = module.split(".")[0]
    pending: list[tuple[ast.AST, bool]] = [(ast.parse(path.read_text()), False)]
    while pending:
        node, late = pending.pop()
        for name in _imported_names(node, module, path, known):
            if name == package or name.startswith(f"{package}."):
                yield Import(module, name, getattr(node, "lineno", 0), late)
        late = late or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        children = node.orelse if _is_type_checking(node) else ast.iter_child_nodes(node)
        pending += [(child, late) for child in children]


def _imported_names(node: ast.AST, module: str, path: Path, known: dict[str, Path]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
            parents = parents[: len(parents) - node.level + 1]
            base = ".".join([*parents, base] if base else parents)
        members = [f"{base}.{alias.name}" for alias in node.names]
        return [member if member in known else base for member in members]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if name in ("import_module", "__import__") and isinstance(node.args[0].value, str):
            return [node.args[0].value]
    return []


def _is_type_checking(node: ast.AST) -> bool:
    if not isinstance(node, ast.If):
        return False
    test = node.test
    return "TYPE_CHECKING" in (getattr(test, "id", ""), getattr(test, "attr", ""))


def all_imports(root: Path) -> list[Import]:
    known = modules(root)
    return [found for name, path in known.items() for found in imports(name, path, known)]


def wrong_direction(found: list[Import]) -> list[str]:
    """The imports of a layer from one above it."""
    return [
        f"{i}: {part_of(i.imported)} lies above {part_of(i.importer)}"
        for i in found
        if RANK.get(part_of(i.imported), 0) > RANK.get(part_of(i.importer), 0)
        and not (i.late and (i.importer, i.imported) in EXCEPTIONS)
    ]


def cycle(root: Path, found: list[Import]) -> list[str]:
    """The modules of one import cycle, or an empty list.

    Importing a module imports the packages it lies in.  Inside ``graph`` a function may import
    its own layer late: a graph prints itself with the printer, which knows graphs.
    """
    known = modules(root)
    needs: dict[str, set[str]] = {name: set() for name in known}
    for i in found:
        if i.late and part_of(i.importer) == part_of(i.imported) == "graph":
            continue
        if i.late and part_of(i.imported) == "__init__":
            continue  # the whole package is loaded by then
        parts = i.imported.split(".")
        for length in range(1, len(parts) + 1):
            name = ".".join(parts[:length])
            around = i.importer == name or i.importer.startswith(f"{name}.")
            if name in known and not (around and length < len(parts)):
                needs[i.importer].add(name)
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_every_part_of_the_house_has_its_layer():
    unknown = {part_of(name) for name in modules(SOURCE)} - set(RANK)
    assert not unknown, f"say in LAYERS of this test above which layers {sorted(unknown)} belong"


def test_layers_import_only_from_below():
    assert wrong_direction(all_imports(SOURCE)) == []


def test_exceptions_are_still_needed():
    late = {(i.importer, i.imported) for i in all_imports(SOURCE) if i.late}
    assert set(EXCEPTIONS) <= late


def test_there_are_no_import_cycles():
    assert " -> ".join(cycle(SOURCE, all_imports(SOURCE))) == ""


def test_files_stay_small():
    lengths = {str(p.relative_to(SOURCE)): len(p.read_text().splitlines()) for p in modules(SOURCE).values()}
    assert {name: n for name, n in lengths.items() if n > LONGEST_FILE} == {}


@pytest.mark.skipif(not (SOURCE / "__init__.py").exists(), reason="the package cannot be imported yet")
def test_importing_flambeau_loads_nothing_heavy():
    path = os.pathsep.join(filter(None, [str(SOURCE.parent), os.environ.get("PYTHONPATH")]))
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import flambeau"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert ran.returncode == 0, ran.stderr
    names = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines() if line.count("|") == 2}
    assert "flambeau" in names
    assert sorted(name for name in names if name.split(".")[0] in HEAVY) == []


# --- the checks themselves -------------------------------------------------------------------


def _house(folder: Path, files: dict[str, str]) -> Path:
    """A package with the given files."""
    root = folder / "flambeau"
    for name, text in {"__init__.py": "", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    "text",
    [
        "import flambeau.engine.tape",
        "from flambeau.engine import tape",
        "from ..engine.tape import Tape",
        "def f():\n    from flambeau.engine.tape import Tape",
        "import flambeau as fb",
        "from importlib import import_module\nimport_module('flambeau.engine.tape')",
        "import typing\nif typing.TYPE_CHECKING:\n    pass\nelse:\n    import flambeau.engine.tape",
    ],
)
def test_the_direction_check_sees(tmp_path, text):
    root = _house(tmp_path, {"engine/tape.py": "", "graph/node.py": text})
    assert len(wrong_direction(all_imports(root))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "import flambeau.graph.node\nfrom flambeau import errors\nimport os",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import flambeau.engine.tape",
        "import typing as t\nif t.TYPE_CHECKING:\n    import flambeau.engine.tape",
    ],
)
def test_the_direction_check_allows(tmp_path, text):
    others = dict.fromkeys(("errors.py", "engine/tape.py", "graph/node.py"), "")
    root = _house(tmp_path, {**others, "primitives/add.py": text})
    assert wrong_direction(all_imports(root)) == []


@pytest.mark.parametrize(
    ("files", "members"),
    [
        ({"engine/a.py": "import flambeau.engine.b", "engine/b.py": "import flambeau.engine.a"}, 2),
        ({"engine/a.py": "def f():\n    import flambeau.engine.b", "engine/b.py": "from . import a"}, 2),
        ({"io/x.py": "import flambeau.nn.y", "nn/__init__.py": "import flambeau.io.x", "nn/y.py": ""}, 2),
        ({"graph/a.py": "def f():\n    import flambeau.graph.b", "graph/b.py": "from . import a"}, 0),
        ({"graph/a.py": "import flambeau.graph.b", "graph/b.py": ""}, 0),
        ({"graph/__init__.py": "from flambeau.graph.a import x", "graph/a.py": "x = 1"}, 0),
    ],
)
def test_the_cycle_check(tmp_path, files, members):
    root = _house(tmp_path, files)
    assert len(set(cycle(root, all_imports(root)))) == members
