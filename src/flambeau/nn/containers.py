"""Modules made of modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flambeau.errors import OperandError
from flambeau.nn.module import Module
from flambeau.ops.record import refuse


class Sequential(Module):
    """Modules applied one after another.

    >>> import flambeau as fb
    >>> model = fb.nn.Sequential(fb.nn.Linear(4, 8), fb.nn.ReLU(), fb.nn.Linear(8, 2))
    >>> model(fb.ones((3, 4))).shape
    (3, 2)
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__()
        for i, module in enumerate(modules):
            if not isinstance(module, Module):
                refuse(OperandError(f"Sequential: argument {i} is {module!r}, not a module"))
            setattr(self, str(i), module)

    def forward(self, x: Any) -> Any:
        """Apply all modules in order."""
        for module in self._modules.values():
            x = module(x)
        return x

    def __len__(self) -> int:
        return len(self._modules)

    def __getitem__(self, index: int) -> Module:
        module: Module = list(self._modules.values())[index]
        return module

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())
