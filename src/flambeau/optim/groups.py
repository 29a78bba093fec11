"""Parameter groups: plain dictionaries, and the cells through which programs read their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flambeau.engine.tape import Cell
from flambeau.errors import OperandError
from flambeau.ops.record import refuse
from flambeau.optim.rule import Flags, Rule


class GroupNumber(Cell):
    """A number of a parameter group, read from the group at each run.

    So ``group["lr"] = x`` reaches every program that was recorded before, compiled ones too.
    """

    __slots__ = ("group", "name", "owner", "place")
    advances = False

    def __init__(self, owner: str, group: dict[str, Any], name: str, place: int | None) -> None:
        self.owner = owner
        self.group = group
        self.name = name
        self.place = place  # in a tuple such as betas

    @property
    def value(self) -> Any:
        """The number as it is now; raises where it is none."""
        found = self.group.get(self.name)
        if self.place is not None and isinstance(found, (tuple, list)) and len(found) > self.place:
            found = found[self.place]
        if type(found) is float and found == found:
            return found
        if isinstance(found, bool) or not isinstance(found, (int, float)) or found != found:
            refuse(OperandError(f"{self.owner}: {self.name} must be a number, not {found!r}"))
        return float(found)

    @value.setter
    def value(self, number: Any) -> None:
        if self.place is None:
            self.group[self.name] = number
        else:
            parts = list(self.group[self.name])
            parts[self.place] = number
            self.group[self.name] = tuple(parts)

    def __str__(self) -> str:
        return f"the number {self.name} of {self.owner}"


_OPTIONS = ("amsgrad", "centered", "decoupled_weight_decay", "maximize", "nesterov")


def number_names(defaults: Mapping[str, Any]) -> dict[str, tuple[str, int | None]]:
    """Names for all numbers among options, with where they are: "beta1" is ``("betas", 0)``."""
    found: dict[str, tuple[str, int | None]] = {}
    for name, value in defaults.items():
        if isinstance(value, (tuple, list)):
            for i in range(len(value)):
                found[f"{name.removesuffix('s')}{i + 1}"] = (name, i)
        elif not isinstance(value, bool):
            found[name] = (name, None)
    return found


def cells(owner: str, group: dict[str, Any], defaults: Mapping[str, Any]) -> list[GroupNumber]:
    """The cells of all numbers of a group."""
    return [GroupNumber(owner, group, name, place) for name, place in number_names(defaults).values()]


def flags_of(rule: type[Rule], group: Mapping[str, Any]) -> Flags:
    """The options of a group that are on: what decides how its update is written."""
    on = [name for name, value in group.items() if value is True]
    return frozenset(on + [name for name in rule.switches if group[name] != 0])


def check_options(
    owner: str, rule: type[Rule], group: Mapping[str, Any], defaults: Mapping[str, Any]
) -> None:
    """Raise where an option of a group cannot be used."""
    for name, default in defaults.items():
        value = group[name]
        if isinstance(default, bool) or name in _OPTIONS:
            if not isinstance(value, bool):
                refuse(OperandError(f"{owner}: {name} must be True or False, not {value!r}"))
        elif name == "betas":
            fitting = isinstance(value, (tuple, list)) and len(value) == 2
            if not fitting or not all(_is_number(x) and 0 <= x < 1 for x in value):
                refuse(
                    OperandError(
                        f"{owner}: {name} must be two numbers of at least 0 and below 1, not {value!r}"
                    )
                )
        elif not _is_number(value) or not value >= 0:
            refuse(OperandError(f"{owner}: {name} must be a number of at least 0, not {value!r}"))
        elif name in rule.fractions and value > 1:
            refuse(OperandError(f"{owner}: {name} must be at most 1, not {value!r}"))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def options_text(group: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """A group as ``repr`` shows it: numbers, and options that are on."""
    shown = [f"parameters={len(group['params'])}"]
    for name in defaults:
        value = group[name]
        if isinstance(value, bool):
            shown += [f"{name}=True"] if value else []
        elif isinstance(value, (int, float)):
            shown.append(f"{name}={value:g}")
        else:
            shown.append(f"{name}={value!r}")
    return ", ".join(shown)
