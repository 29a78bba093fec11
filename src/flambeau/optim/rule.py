"""Rule: what one optimizer is, and the builder that applies it to all parameters at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from flambeau.graph.builder import Var
from flambeau.primitives.composites import sum_precision
from flambeau.primitives.elementwise import add, cast, mul, neg

Flags = frozenset[str]
Vars = dict[str, Var]


class Rule:
    """How a parameter follows its gradient: ``update``, with what ``prepare`` computes once for many.

    ``flags`` are the names of the options that are on, and of those ``switches`` (numbers such as
    momentum) that are not 0; with "first" among them, the parameter takes its first step.
    """

    switches: ClassVar[tuple[str, ...]] = ()
    fractions: ClassVar[tuple[str, ...]] = ()  # numbers that must lie below 1

    @staticmethod
    def kept(flags: Flags) -> tuple[str, ...]:
        """The tensors kept for each parameter, of its shape and dtype."""
        return ()

    @staticmethod
    def scalars(flags: Flags) -> tuple[str, ...]:
        """The numbers kept for each parameter; "step" counts its steps."""
        return ("step",)

    @staticmethod
    def initial(name: str, group: Mapping[str, Any]) -> float:
        """What a kept tensor or number is before the first step."""
        return 0.0

    @staticmethod
    def prepare(n: Vars, flags: Flags) -> Vars:
        """Numbers in float64 that updates share, from the group's numbers and the kept ones.

        What it returns under the name of a kept number is that number's new value.
        """
        return {}

    @staticmethod
    def update(p: Var, g: Var, state: Vars, n: Vars, flags: Flags) -> tuple[Var, Vars]:
        """The new parameter and the new kept tensors."""
        raise NotImplementedError


def step_all(*operands: Any) -> tuple[Var, ...]:
    """The builder of one step for all parameters.

    Operands: for each group its numbers; for each unit (parameters of one group that have taken the
    same steps) what it keeps as numbers; for each parameter its value, gradient and kept tensors.
    The last one says how: ``(rule, names of the numbers, count of groups, units, unit of each parameter)``.
    """
    *values, (rule, names, groups, units, members) = operands
    it = iter(values)
    numbers = [{name: next(it) for name in names} for _ in range(groups)]
    out: list[Var] = []
    prepared: list[Vars] = []
    for group, flags in units:
        kept = {name: next(it) for name in rule.scalars(flags)}
        if "step" in kept:
            kept["step"] = add(kept["step"], 1)
        n = numbers[group] | kept
        n |= rule.prepare(n, flags)
        prepared.append(n)
        out += [n[name] for name in kept]
    for unit in members:
        flags = units[unit][1]
        p, g = next(it), next(it)
        state = {name: next(it) for name in rule.kept(flags)}
        wide = sum_precision(p.dtype)  # half precision has no 0.999
        n = {name: cast(x, wide) for name, x in prepared[unit].items()}
        g = cast(g, wide)
        new, new_state = rule.update(
            cast(p, wide),
            neg(g) if "maximize" in flags else g,
            {name: cast(x, wide) for name, x in state.items()},
            n,
            flags,
        )
        out += [cast(new, p.dtype), *[cast(new_state[name], p.dtype) for name in state]]
    return tuple(out)


def decayed(g: Var, p: Var, n: Vars) -> Var:
    """The gradient with that of the penalty ``weight_decay / 2 * p**2``."""
    return add(g, mul(p, n["weight_decay"]))


def mixed(old: Var, new: Var, share: Var, rest: Var) -> Var:
    """A running mean: ``share`` of the old value and ``rest`` of the new one."""
    return add(mul(old, share), mul(new, rest))
