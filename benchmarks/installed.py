"""Prints the bytes of an installed package, and of all it requires without extras: run where it is installed.

python -m benchmarks.installed torch
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement

_REQUIRED_BY_FLAMBEAU = ("numpy", "llvmlite", "ml_dtypes")


def required(names: Iterable[str]) -> dict[str, Distribution]:
    """The installed distributions that ``names`` need, themselves included, without extras."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop().replace("_", "-").lower()
        if name in found:
            continue
        found[name] = distribution(name)
        for line in found[name].requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def size_of(made: Distribution) -> int:
    """The bytes of all files of a distribution, without compiled Python files."""
    paths = [Path(str(made.locate_file(f))) for f in made.files or () if f.suffix != ".pyc"]
    return sum(p.stat().st_size for p in paths if p.is_file())


def size_of_folder(module: str) -> int:
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None
    files = Path(spec.origin).parent.rglob("*")
    return sum(p.stat().st_size for p in files if p.is_file() and p.suffix != ".pyc")


def installed_size(package: str) -> tuple[int, int]:
    """The bytes of the package itself, and with all it requires."""
    extra = ["mlx-cpu"] if package == "mlx" else []  # which does nothing without it
    if package == "flambeau":  # measured as sources, which may not be installed
        own = size_of_folder(package)
        return own, own + sum(map(size_of, required(_REQUIRED_BY_FLAMBEAU).values()))
    return size_of(distribution(package)), sum(map(size_of, required([package, *extra]).values()))


def main() -> None:
    for package in sys.argv[1:]:
        try:
            print(json.dumps(installed_size(package)))
            return
        except PackageNotFoundError:
            continue
    raise SystemExit(f"{' and '.join(sys.argv[1:])} are not installed")


if __name__ == "__main__":
    main()
