"""Optimizer: the machinery that every rule shares.

A rule is two small methods: ``state`` names what is kept per parameter, ``update`` computes the
new parameter and state with builders.  A step is one entry of the recording, for all parameters
together; its numbers (learning rate and the like) are read at run time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from flambeau.dtypes import float64
from flambeau.engine.convert import from_array
from flambeau.engine.evaluate import evaluate
from flambeau.engine.modes import grad_enabled
from flambeau.engine.tape import THREAD, Tape, Value
from flambeau.errors import OperandError
from flambeau.graph.builder import Var
from flambeau.graph.types import TensorType
from flambeau.primitives.elementwise import add
from flambeau.tensor import Tensor


def step_all(*operands: Any) -> tuple[Var, ...]:
    """The builder of one step for all parameters.

    Operands: the step count so far, the numbers, then per parameter its value, gradient and state;
    the last one is ``(rule, flags, names of the numbers, size of the state)``.
    """
    *values, (rule, flags, names, kept) = operands
    count = add(values[0], 1)
    numbers = dict(zip(names, values[1 : 1 + len(names)], strict=True))
    rest = values[1 + len(names) :]
    out = [count]
    shared = rule.prepare(count, numbers, flags)
    width = 2 + kept
    for i in range(0, len(rest), width):
        parameter, gradient, *state = rest[i : i + width]
        new, new_state = rule.update(parameter, gradient, state, shared, flags)
        out += [new, *new_state]
    return tuple(out)


class Optimizer:
    """Changes parameters along their gradients.

    Subclasses give ``defaults`` (names of their numbers), ``kept`` (state tensors per parameter),
    ``prepare`` (what all parameters share in a step) and ``update``.
    """

    def __init__(self, params: Iterable[Tensor], flags: tuple[Any, ...], kept: int, **numbers: float) -> None:
        self.params = list(params)
        if not self.params:
            raise OperandError(f"{type(self).__name__}: there are no parameters to optimize")
        for p in self.params:
            if not isinstance(p, Tensor) or not p.is_leaf or not p.dtype.floating:
                raise OperandError(
                    f"{type(self).__name__}: parameters must be floating-point leaf tensors, not {p!r}"
                )
        if len({id(p) for p in self.params}) < len(self.params):
            raise OperandError(f"{type(self).__name__}: a parameter is listed twice")
        for name, value in numbers.items():
            self._check(name, value)
        self.numbers = dict(numbers)
        self._flags = flags
        self._kept = kept
        self._count = _filled(TensorType((), float64))
        self._state: dict[int, list[Value]] = {}

    @property
    def lr(self) -> float:
        """The learning rate; changing it compiles nothing."""
        return self.numbers["lr"]

    @lr.setter
    def lr(self, value: float) -> None:
        self._check("lr", value)
        self.numbers["lr"] = value

    def _check(self, name: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
            raise OperandError(f"{type(self).__name__}: {name} must be a number of at least 0, not {value!r}")

    @staticmethod
    def prepare(count: Var, numbers: dict[str, Var], flags: tuple[Any, ...]) -> Any:
        """What the updates of all parameters share."""
        return numbers

    @staticmethod
    def update(
        parameter: Var, gradient: Var, state: Sequence[Var], shared: Any, flags: tuple[Any, ...]
    ) -> tuple[Var, Sequence[Var]]:
        """The new parameter and state."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.params:
            p._grad = None

    def step(self) -> None:
        """Change every parameter that has a gradient, and evaluate.

        A step that fails leaves parameters and state as they were.
        """
        tape = THREAD.tape
        chosen = [p for p in self.params if p._grad is not None]
        if not chosen:
            return
        operands: list[Any] = [self._count]
        operands += [(value, float64) for value in self.numbers.values()]
        for p in chosen:
            state = self._state.get(id(p))
            if state is None:
                state = self._state[id(p)] = [_filled(p._value.type) for _ in range(self._kept)]
            operands += [p._value, p._grad._value, *state]  # type: ignore[union-attr]
        spec = (type(self), self._flags, tuple(self.numbers), self._kept)
        token = grad_enabled.set(False)
        try:
            made = tape.record(step_all, (spec,), operands)
        finally:
            grad_enabled.reset(token)
        old = [tape.index[v] for v in operands if isinstance(v, Value)]
        del operands, state
        self._place(chosen, made)
        del made
        late: BaseException | None = None
        try:
            if not tape.abstract:
                evaluate(tape)
        except BaseException as error:
            if self._count.data is None:
                self._restore(chosen, tape, old)
                raise
            late = error  # an interrupt that waited until the step was made
        for p in chosen:
            if p._value.data is not None:
                p._value = p._as_leaf(p._value, True)
        if late is not None:
            raise late

    def __repr__(self) -> str:
        numbers = ", ".join(f"{name}={value:g}" for name, value in self.numbers.items())
        return f"{type(self).__name__}(parameters={len(self.params)}, {numbers})"

    def _place(self, chosen: Sequence[Tensor], made: tuple[Value, ...]) -> None:
        self._count = made[0]
        at = 1
        for p in chosen:
            p._value = made[at]
            self._state[id(p)] = list(made[at + 1 : at + 1 + self._kept])
            at += 1 + self._kept

    def _restore(self, chosen: Sequence[Tensor], tape: Tape, old: Sequence[int]) -> None:
        """Give parameters and state the values they had before a step that failed."""
        values = list(tape.index)
        before = iter([values[i] for i in old])
        self._count = next(before)
        for p in chosen:
            p._value = next(before)
            next(before)  # the gradient
            self._state[id(p)] = [next(before) for _ in range(self._kept)]


def _filled(type: TensorType) -> Value:
    """Zeros that are there already, so that the first step is recorded like all others."""
    return from_array(np.zeros(type.shape, type.dtype.numpy))
