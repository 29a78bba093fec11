"""What an optimizer keeps, as a plain dictionary and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flambeau.engine.convert import from_array
from flambeau.engine.tape import Value
from flambeau.errors import OperandError, WeightsError
from flambeau.ops.record import refuse
from flambeau.optim.groups import flags_of
from flambeau.tensor import Tensor

if TYPE_CHECKING:
    from flambeau.optim.optimizer import Optimizer


def saved(
    groups: Sequence[Mapping[str, Any]], state: Mapping[Tensor, Mapping[str, Tensor]]
) -> dict[str, Any]:
    """Groups and state with parameters replaced by their numbers."""
    numbers: dict[Tensor, int] = {}
    for group in groups:
        for p in group["params"]:
            numbers[p] = len(numbers)
    return {
        "state": {
            number: {name: x.detach() for name, x in state[p].items()}
            for p, number in numbers.items()
            if p in state
        },
        "param_groups": [{**group, "params": [numbers[p] for p in group["params"]]} for group in groups],
    }


def load(optimizer: Optimizer, given: Mapping[str, Any]) -> None:
    """Check everything, then take it over."""
    name = type(optimizer).__name__
    groups, problems = _groups(optimizer, given)
    state: dict[Tensor, dict[str, Value]] = {}
    shared: dict[Any, Value] = {}
    if not problems:
        found = given["state"]
        for i, (group, options) in enumerate(zip(optimizer.param_groups, groups, strict=True)):
            flags = flags_of(type(optimizer), options)
            scalars, kept = optimizer.scalars(flags), optimizer.kept(flags)
            for p, number in zip(group["params"], options["params"], strict=True):
                own = {n: x for n, x in found.get(number, {}).items() if x is not None}
                if not own:
                    continue
                label = f"parameter {number}"
                problems += [f"{label}: {n} is missing" for n in (*scalars, *kept) if n not in own]
                values: dict[str, Value] = {}
                for n, x in own.items():
                    if n in scalars:
                        if _count(x) is None:
                            problems.append(f"{label}: {n} must be one number, not {x!r:.80}")
                    elif not isinstance(x, Tensor) or x._value.type != p._value.type:
                        what = str(x._value.type) if isinstance(x, Tensor) else repr(x)[:80]
                        problems.append(f"{label}: {n} must be {p._value.type}, not {what}")
                    else:
                        x.numpy()  # what is pending may fail, before anything is taken over
                        values[n] = x.detach()._value
                counts = tuple([_count(own.get(n)) for n in scalars])
                for n, count in zip(scalars, counts, strict=True):
                    if count is not None:  # parameters that took the same steps share their counts
                        at = (i, n, counts)
                        if at not in shared:
                            shared[at] = from_array(np.asarray(count, np.float64))
                        values[n] = shared[at]
                order = (*scalars, *optimizer.kept(frozenset(options)))
                problems += [f"{label}: there is no {n}" for n in own if n not in order]
                state[p] = {n: values[n] for n in order if n in values}
        total = sum(len(group["params"]) for group in optimizer.param_groups)
        problems += [f"there is no parameter {n!r}" for n in found if n not in range(total)]
    if problems:
        listed = "\n  ".join(problems)
        refuse(WeightsError(f"the state does not fit {name}:\n  {listed}"))
    for group, options in zip(optimizer.param_groups, groups, strict=True):
        group.update({k: v for k, v in options.items() if k != "params"})
    for p in [p for p in optimizer.state if p not in state]:
        del optimizer.state[p]
    for p, values in state.items():
        own_state = optimizer.state.setdefault(p, {})
        for n in [n for n in own_state if n not in values]:
            del own_state[n]
        for n, value in values.items():
            if n in own_state:
                own_state[n]._value = value  # the same handle: compiled functions read it
            else:
                own_state[n] = Tensor(value)


def _groups(optimizer: Optimizer, given: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """The options to take over, and what does not fit."""
    name = type(optimizer).__name__
    if not isinstance(given, Mapping) or not {"state", "param_groups"} <= set(given):
        refuse(OperandError(f"{name}: load_state_dict needs what state_dict gave, not {given!r:.80}"))
    own, listed = optimizer.param_groups, given["param_groups"]
    if len(own) != len(listed):
        return [], [f"{len(own)} parameter groups are needed, not {len(listed)}"]
    groups, problems = [], []
    for i, (group, options) in enumerate(zip(own, listed, strict=True)):
        if len(group["params"]) != len(options["params"]):
            problems.append(f"group {i} has {len(group['params'])} parameters, not {len(options['params'])}")
        merged = {**group, **options}
        for n, default in optimizer.defaults.items():  # a JSON file has lists where there were tuples
            if isinstance(default, tuple) and isinstance(merged[n], list):
                merged[n] = tuple(merged[n])
        optimizer.check(merged)
        groups.append(merged)
    return groups, problems


def _count(x: Any) -> float | None:
    if isinstance(x, Tensor):
        return float(x.item()) if x.size == 1 and x.dtype.kind != "complex" else None
    return float(x) if isinstance(x, (int, float)) and not isinstance(x, bool) else None
