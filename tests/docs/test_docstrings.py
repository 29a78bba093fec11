"""The examples in docstrings run and print what they show."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import flambeau

MODULES = [
    "flambeau",
    *sorted(
        info.name
        for info in pkgutil.walk_packages(flambeau.__path__, "flambeau.")
        if not info.name.endswith("__main__")
    ),
]


def test_the_modules_are_found() -> None:
    assert {"flambeau.dtypes", "flambeau.data.fashion_mnist"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_hold(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    report: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for test in doctest.DocTestFinder().find(module, name):
        runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)
