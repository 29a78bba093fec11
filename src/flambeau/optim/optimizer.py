"""Optimizer: the machinery that every rule shares.

A rule is two small methods, ``prepare`` and ``update``, that say with builders what a step does to
one parameter.  A step is one entry of the recording for all parameters together; its numbers
(learning rate and the like) are read from the parameter groups at run time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from flambeau.dtypes import float64
from flambeau.engine.convert import from_array
from flambeau.engine.evaluate import evaluate
from flambeau.engine.modes import grad_enabled
from flambeau.engine.tape import THREAD, Tape, Value
from flambeau.errors import FlambeauError, OperandError
from flambeau.graph.types import TensorType
from flambeau.ops.record import refuse
from flambeau.optim.groups import GroupNumber, cells, check_options, flags_of, number_names, options_text
from flambeau.optim.rule import Flags, Rule, step_all
from flambeau.optim.states import load, saved
from flambeau.tensor import Tensor

_SCALAR = TensorType((), float64)
_NOTHING: dict[str, Tensor] = {}


class Optimizer(Rule):
    """Changes parameters along their gradients.

    ``param_groups`` is a list of dictionaries: "params", and the options of those parameters.
    Changing a number there, for instance ``optimizer.param_groups[0]["lr"] = 0.01``, compiles
    nothing and also reaches functions compiled before with ``fb.compile``.  ``state`` holds what is
    kept for each parameter that has taken a step.

    ``params`` is an iterable of parameters, or of dictionaries with "params" and options of their
    own.  An optimizer of yours is a subclass with ``update`` and, where needed, ``prepare``,
    ``kept`` and ``scalars`` (see ``flambeau.optim.rule``).

    >>> import flambeau as fb
    >>> layer = fb.nn.Linear(3, 2)
    >>> rates = [{"params": [layer.weight]}, {"params": [layer.bias], "lr": 0.5}]
    >>> optimizer = fb.optim.SGD(rates, lr=0.1)
    >>> optimizer.param_groups[0]["lr"] = 0.05
    >>> [group["lr"] for group in optimizer.param_groups]
    [0.05, 0.5]
    """

    def __init__(self, params: Iterable[Tensor] | Iterable[dict[str, Any]], defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        self._cells: list[list[GroupNumber]] = []
        if isinstance(params, (Tensor, Mapping)):
            self._refuse(f"params must be a list of parameters or of groups, not a {type(params).__name__}")
        given: list[Any] = list(params)
        if not given:
            self._refuse("there are no parameters to optimize")
        self.check({"params": [], **defaults})
        self._names = tuple(number_names(defaults))
        for group in given if isinstance(given[0], Mapping) else [{"params": given}]:
            self.add_param_group(group)

    def _refuse(self, text: str) -> NoReturn:
        refuse(OperandError(f"{type(self).__name__}: {text}"))

    def check(self, group: Mapping[str, Any]) -> None:
        """Raise ``OperandError`` where an option of a group cannot be used."""
        check_options(type(self).__name__, type(self), group, self.defaults)

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Optimize further parameters: "params", and options that differ from the optimizer's.

        Raises ``OperandError`` for what is no floating-point leaf, or is there already.
        """
        if not isinstance(param_group, Mapping) or "params" not in param_group:
            self._refuse(f"a parameter group is a dictionary with 'params', not {param_group!r:.80}")
        given = param_group["params"]
        group: dict[str, Any] = {
            **self.defaults,
            **param_group,
            "params": [given] if isinstance(given, Tensor) else list(given),
        }
        known = {id(p) for other in self.param_groups for p in other["params"]}
        for p in group["params"]:
            if not isinstance(p, Tensor) or not p.is_leaf or not p.dtype.floating:
                self._refuse(f"parameters must be floating-point leaf tensors, not {p!r}")
            if id(p) in known:
                self._refuse("a parameter is listed twice")
            known.add(id(p))
        self.check(group)
        self.param_groups.append(group)
        self._cells.append(cells(type(self).__name__, group, self.defaults))

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for group in self.param_groups:
            for p in group["params"]:
                p._grad = None

    def structure(self) -> tuple[Any, ...]:
        """What decides how a step is written, other than numbers: options that are on, and parameters."""
        rule = type(self)
        return tuple([(flags_of(rule, group), len(group["params"])) for group in self.param_groups])

    # -- a step -------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient, and evaluate.

        ``closure``, where given, computes the loss and the gradients first; its result is returned.
        A step that fails leaves parameters and state as they were.
        """
        loss = None
        if closure is not None:
            token = grad_enabled.set(True)
            try:
                loss = closure()
            finally:
                grad_enabled.reset(token)
        step = _Step(self)
        if step.chosen:
            step.run()
        return loss

    # -- state --------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All that a later run needs to go on bit for bit: a dictionary of dictionaries.

        "state" has the kept tensors by the parameter's number, "param_groups" the options, with the
        numbers of the parameters as "params".
        """
        return saved(self.param_groups, self.state)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` gave, all or nothing.

        Raises ``WeightsError`` where groups, parameters or shapes do not fit, listing all that do not.
        """
        load(self, state_dict)

    def __repr__(self) -> str:
        shown = [options_text(group, self.defaults) for group in self.param_groups]
        name = type(self).__name__
        if len(shown) == 1:
            return f"{name}({shown[0]})"
        return f"{name}(\n" + "".join(f"  {i}: {text}\n" for i, text in enumerate(shown)) + ")"


class _Step:
    """One step: what it reads, how it is recorded, and where its results go."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.rule = rule = type(optimizer)
        self.optimizer = optimizer
        numbers: list[Any] = []
        scalars: list[Any] = []
        tensors: list[Any] = []
        found: dict[Any, int] = {}
        self.chosen: list[Tensor] = []
        self.handles: list[Tensor] = []  # in the order of the builder's results: parameter, kept tensors
        self.members: list[int] = []  # the unit of each parameter
        self.units: list[tuple[int, Flags]] = []
        self.sharing: list[list[dict[str, Tensor]]] = []  # for each unit the states of its parameters
        self.fresh: list[tuple[Tensor, str]] = []  # the state that this step makes
        groups = 0
        for group, its_cells in zip(optimizer.param_groups, optimizer._cells, strict=True):
            wanted = [p for p in group["params"] if p._grad is not None]
            if not wanted:
                continue
            flags = flags_of(rule, group)
            single, kept = rule.scalars(flags), rule.kept(flags)
            for cell in its_cells:
                cell.value  # noqa: B018 (raises at the user's line)
                numbers.append((cell, float64))
            needed = {*single, *kept}
            start: dict[str, Value] = {}
            for p in wanted:
                state = optimizer.state.get(p, _NOTHING)
                own = flags
                if not needed <= state.keys():
                    state = self._begin(p, group, single, kept, start)
                    own = flags | {"first"} if "dampening" in flags else flags
                values = [state[name]._value for name in single]
                key = (groups, own, *map(id, values))
                unit = found.get(key)
                if unit is None:
                    unit = found[key] = len(found)
                    self.units.append((groups, own))
                    self.sharing.append([])
                    scalars += values
                self.sharing[unit].append(state)
                self.members.append(unit)
                self.chosen.append(p)
                self.handles.append(p)
                tensors += (p._value, p._grad._value)
                for name in kept:
                    x = state[name]
                    self.handles.append(x)
                    tensors.append(x._value)
            groups += 1
        self.spec = (rule, optimizer._names, groups, tuple(self.units), tuple(self.members))
        self.operands = numbers + scalars + tensors
        self.needs = [p._value.needs_grad for p in self.chosen]

    def _begin(
        self,
        p: Tensor,
        group: Mapping[str, Any],
        single: Sequence[str],
        kept: Sequence[str],
        start: dict[str, Value],
    ) -> dict[str, Tensor]:
        """Make what is missing of a parameter's state; ``start`` is shared by those that begin together."""
        state = self.optimizer.state.setdefault(p, {})
        for name in (*single, *kept):
            if name in state:
                continue
            first = self.rule.initial(name, group)
            if name not in single:
                value = _filled(p._value.type, first)
            elif name in start:
                value = start[name]
            else:
                value = start[name] = _filled(_SCALAR, first)
            state[name] = Tensor(value)
            self.fresh.append((p, name))
        return state

    def run(self) -> None:
        """Record the step and, outside of a trace, evaluate it."""
        tape = THREAD.tape
        if tape.abstract:
            optimizer = self.optimizer
            tape.guards.append((optimizer.structure, f"an option or a group of {type(optimizer).__name__}"))
        token = grad_enabled.set(False)
        try:
            made = tape.record(step_all, (self.spec,), self.operands)
        except FlambeauError:
            self._forget()
            raise
        finally:
            grad_enabled.reset(token)
        # positions: references would keep memory from being written to again
        before = [tape.index[v] for v in self.operands if isinstance(v, Value)]
        self.operands.clear()
        self._place(list(made) if type(made) is tuple else [made])
        del made
        late: BaseException | None = None
        try:
            if not tape.abstract:
                evaluate(tape)
        except BaseException as error:
            if self.chosen[0]._value.data is None:
                self._restore(tape, before)
                raise
            late = error  # an interrupt that waited until the step was made
        for p, needs in zip(self.chosen, self.needs, strict=True):
            if needs:
                p._value = p._as_leaf(p._value, True)
        if late is not None:
            raise late

    def _place(self, values: Sequence[Value]) -> None:
        """Give kept numbers, parameters and kept tensors their values, in this order."""
        it = iter(values)
        for (_, flags), states in zip(self.units, self.sharing, strict=True):
            for name in self.rule.scalars(flags):
                value = next(it)
                for state in states:
                    state[name]._value = value
        for handle, value in zip(self.handles, it, strict=True):
            handle._value = value

    def _restore(self, tape: Tape, before: Sequence[int]) -> None:
        """Give parameters and state the values they had before a step that failed."""
        index = list(tape.index)
        values = iter([index[i] for i in before])
        ordered = [next(values) for _, flags in self.units for _ in self.rule.scalars(flags)]
        for unit in self.members:
            ordered.append(next(values))
            next(values)  # the gradient
            ordered += [next(values) for _ in self.rule.kept(self.units[unit][1])]
        self._place(ordered)
        self._forget()

    def _forget(self) -> None:
        """Take back the state that this step made."""
        state = self.optimizer.state
        for p, name in self.fresh:
            del state[p][name]
            if not state[p]:
                del state[p]


def _filled(type: TensorType, value: float) -> Value:
    """State that is there already, so that the first step is recorded like all others."""
    return from_array(np.full(type.shape, value, type.dtype.numpy))
