"""Modules made of modules: sequences and dictionaries of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, overload

from flambeau.errors import OperandError
from flambeau.nn.module import Module
from flambeau.ops.record import refuse


class _Uncalled(Module):
    """What is never called itself: its modules carry its name before their own, so that paths are whole."""

    def _take_name(self, name: str) -> None:
        super()._take_name(name)
        for own, module in self._modules.items():
            module._take_name(f"{name}.{own}")

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if isinstance(value, Module) and self._name:
            value._take_name(f"{self._name}.{name}")


class _Listed(Module):
    """What ``Sequential`` and ``ModuleList`` share: modules in order, under the names "0", "1", ..."""

    def _checked(self, i: int, module: Any) -> Module:
        if not isinstance(module, Module):
            refuse(OperandError(f"{type(self).__name__}: argument {i} is {module!r}, not a module"))
        return module

    def _arrange(self, modules: Iterable[Module]) -> None:
        """Take these modules instead of those there are, numbered anew."""
        listed = list(modules)
        for name in list(self._modules):
            delattr(self, name)
        for i, module in enumerate(listed):
            setattr(self, str(i), module)

    def _name_at(self, index: int) -> str:
        try:
            return list(self._modules)[index]
        except (IndexError, TypeError):
            if isinstance(index, int):
                raise IndexError(
                    f"{type(self).__name__}: there is no module {index}, only {len(self)} of them"
                ) from None
            refuse(OperandError(f"{type(self).__name__}: an index or a slice is needed, not {index!r}"))

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(list(self._modules.values()))

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module | Self:
        if not isinstance(index, slice):
            return self._modules[self._name_at(index)]
        made = type(self)()
        for name in list(self._modules)[index]:
            module = self._modules[name]
            known_as = module._name
            setattr(made, name if not name.isdigit() else str(len(made)), module)
            module._take_name(known_as)
        return made

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name_at(index), self._checked(index, module))

    def __delitem__(self, index: int | slice) -> None:
        names = list(self._modules)
        gone = set(names[index]) if isinstance(index, slice) else {self._name_at(index)}
        if all(name.isdigit() for name in names):
            self._arrange([self._modules[name] for name in names if name not in gone])
        else:
            for name in gone:
                delattr(self, name)

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        setattr(self, str(len(self)), self._checked(len(self), module))
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Add a module before the one at ``index``; those after it are numbered anew."""
        listed = list(self)
        listed.insert(index, self._checked(index, module))
        self._arrange(listed)
        return self

    def pop(self, index: int = -1) -> Module:
        """Take a module out and return it."""
        module = self[index]
        del self[index]
        return module


class Sequential(_Listed):
    """Modules applied one after another, given in order or by name in a dictionary.

    >>> import flambeau as fb
    >>> model = fb.nn.Sequential(fb.nn.Linear(4, 8), fb.nn.ReLU(), fb.nn.Linear(8, 2))
    >>> model(fb.ones((3, 4))).shape
    (3, 2)
    >>> len(model[:2])
    2
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            for i, given in enumerate(modules):
                setattr(self, str(i), self._checked(i, given))

    def forward(self, x: Any) -> Any:
        """Apply all modules in order."""
        for module in self._modules.values():
            x = module(x)
        return x


class ModuleList(_Uncalled, _Listed):
    """Modules in a list: they are found by ``parameters()`` and the like, and used as you write it.

    >>> import flambeau as fb
    >>> layers = fb.nn.ModuleList([fb.nn.Linear(4, 4) for _ in range(3)])
    >>> layers
    ModuleList(
      (0-2): 3 x Linear(4, 4, bias=True)
    )
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def __repr__(self) -> str:
        runs: list[tuple[int, int, str]] = []
        for i, module in enumerate(self):
            text = repr(module)
            if runs and runs[-1][2] == text:
                runs[-1] = (runs[-1][0], i, text)
            else:
                runs.append((i, i, text))
        lines = [
            f"({first}): {text}" if first == last else f"({first}-{last}): {last - first + 1} x {text}"
            for first, last, text in runs
        ]
        return self._look([line.replace("\n", "\n  ") for line in lines])


class ModuleDict(_Uncalled):
    """Modules by name: they are found by ``parameters()`` and the like, and used as you write it.

    >>> import flambeau as fb
    >>> heads = fb.nn.ModuleDict({"age": fb.nn.Linear(8, 1), "kind": fb.nn.Linear(8, 5)})
    >>> heads["kind"](fb.ones((2, 8))).shape
    (2, 5)
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()) -> None:
        super().__init__()
        self.update(modules)

    def __getitem__(self, name: str) -> Module:
        try:
            return self._modules[name]
        except KeyError:
            raise KeyError(f"ModuleDict has no module {name!r}, only {list(self._modules)}") from None

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def __delitem__(self, name: str) -> None:
        self[name]
        delattr(self, name)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._modules))

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def keys(self) -> Iterable[str]:
        """The names, in order."""
        return self._modules.keys()

    def values(self) -> Iterable[Module]:
        """The modules, in order."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Names and modules, in order."""
        return self._modules.items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add modules, or replace those of the same names."""
        for name, module in modules.items() if isinstance(modules, Mapping) else modules:
            self.add_module(name, module)

    def pop(self, name: str) -> Module:
        """Take a module out and return it."""
        module = self[name]
        del self[name]
        return module

    def clear(self) -> None:
        """Take all modules out."""
        for name in list(self._modules):
            delattr(self, name)
