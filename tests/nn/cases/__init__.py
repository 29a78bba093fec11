"""The layers under test: one file per family, each with a list ``CASES``; the files find themselves."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from tests.nn.harness import Case


def all_cases() -> list[Case]:
    """The cases of all families."""
    names = sorted(info.name for info in pkgutil.iter_modules(__path__))
    return [case for name in names for case in import_module(f"{__name__}.{name}").CASES]
