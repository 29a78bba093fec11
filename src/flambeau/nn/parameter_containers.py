"""Parameters in lists and dictionaries, found by ``parameters()`` like those in attributes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from flambeau.errors import OperandError
from flambeau.nn.module import Module
from flambeau.nn.parameter import Parameter
from flambeau.ops.record import refuse
from flambeau.tensor import Tensor


def _parameter(value: Any, what: str) -> Parameter:
    if isinstance(value, Parameter):
        return value
    if isinstance(value, Tensor):
        return Parameter(value)
    refuse(OperandError(f"{what}: a parameter or a tensor is needed, not {type(value).__name__}"))


def _look(p: Parameter) -> str:
    return f"Parameter({p._value.type})"


class ParameterList(Module):
    """Parameters in a list; tensors become parameters.

    >>> import flambeau as fb
    >>> scales = fb.nn.ParameterList([fb.ones(2), fb.zeros(3)])
    >>> [p.shape for p in scales]
    [(2,), (3,)]
    """

    def __init__(self, values: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.extend(values)

    def _name_at(self, index: int) -> str:
        if not -len(self) <= index < len(self):
            raise IndexError(f"ParameterList: there is no parameter {index}, only {len(self)} of them")
        return str(index % len(self))

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Parameter]:
        return iter(list(self._parameters.values()))

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return self._parameters[self._name_at(index)]

    def __setitem__(self, index: int, value: Tensor) -> None:
        setattr(self, self._name_at(index), _parameter(value, "ParameterList"))

    def append(self, value: Tensor) -> Self:
        """Add a parameter at the end."""
        setattr(self, str(len(self)), _parameter(value, "ParameterList"))
        return self

    def extend(self, values: Iterable[Tensor]) -> Self:
        """Add parameters at the end."""
        for value in list(values):
            self.append(value)
        return self

    def __repr__(self) -> str:
        return super()._look([f"({name}): {_look(p)}" for name, p in self._parameters.items()])


class ParameterDict(Module):
    """Parameters by name; tensors become parameters.

    >>> import flambeau as fb
    >>> table = fb.nn.ParameterDict({"left": fb.ones(2)})
    >>> table["left"].requires_grad
    True
    """

    def __init__(self, parameters: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]] = ()) -> None:
        super().__init__()
        self.update(parameters)

    def __getitem__(self, name: str) -> Parameter:
        try:
            return self._parameters[name]
        except KeyError:
            raise KeyError(
                f"ParameterDict has no parameter {name!r}, only {list(self._parameters)}"
            ) from None

    def __setitem__(self, name: str, value: Tensor) -> None:
        self.register_parameter(name, _parameter(value, "ParameterDict"))

    def __delitem__(self, name: str) -> None:
        self[name]
        delattr(self, name)

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._parameters))

    def __contains__(self, name: object) -> bool:
        return name in self._parameters

    def keys(self) -> Iterable[str]:
        """The names, in order."""
        return self._parameters.keys()

    def values(self) -> Iterable[Parameter]:
        """The parameters, in order."""
        return self._parameters.values()

    def items(self) -> Iterable[tuple[str, Parameter]]:
        """Names and parameters, in order."""
        return self._parameters.items()

    def update(self, parameters: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]]) -> None:
        """Add parameters, or replace those of the same names."""
        for name, value in parameters.items() if isinstance(parameters, Mapping) else parameters:
            self[name] = value

    def pop(self, name: str) -> Parameter:
        """Take a parameter out and return it."""
        value = self[name]
        del self[name]
        return value

    def __repr__(self) -> str:
        return super()._look([f"({name}): {_look(p)}" for name, p in self._parameters.items()])
