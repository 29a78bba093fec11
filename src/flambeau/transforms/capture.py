"""What a function changes besides returning something: tensors it updates, gradients, cells.

Which tensors and cells there are is asked of the garbage collector, once for each recording: so
every way of updating one is seen, and ordinary recording pays nothing for it.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any
from weakref import ReferenceType, ref

from flambeau.dtypes import uint64
from flambeau.engine.direct import RUNNING, Direct
from flambeau.engine.modes import grad_enabled
from flambeau.engine.tape import HOOKS, THREAD, Cell, Tape, Value, leaf
from flambeau.errors import TraceError
from flambeau.random import Generator, Operand
from flambeau.tensor import Tensor
from flambeau.transforms.tracing import apply


class OfTensor:
    """The value that a tensor holds when the program is called."""

    __slots__ = ("tensor", "twins")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.twins: list[ReferenceType[Tensor]] = []  # other handles that held the same value

    def read(self) -> Value:
        return self.tensor._value

    def split(self) -> bool:
        """Whether a tensor that shared the value when it was recorded holds another one now."""
        value = self.tensor._value
        return any((t := twin()) is not None and t._value is not value for twin in self.twins)


class OfGradient(OfTensor):
    """The gradient that a tensor has when the program is called."""

    __slots__ = ()

    def read(self) -> Value:
        held = self.tensor._grad
        if held is None:
            raise TraceError("a gradient that the program reads is gone")
        return held._value

    def split(self) -> bool:
        return False


def _kinds(base: type = Tensor) -> set[type]:
    """A class and its subclasses: looking a type up is the cheapest test for each of millions of objects."""
    found: set[type] = {base}
    waiting: list[type] = [base]
    while waiting:
        kind: type
        for kind in waiting.pop().__subclasses__():
            if kind not in found:
                found.add(kind)
                waiting.append(kind)
    return found


def _living() -> list[Tensor]:
    kinds = _kinds()
    return [x for x in gc.get_objects() if type(x) in kinds]


class Snapshot:
    """All tensors and cells, and what they hold."""

    def __init__(self) -> None:
        if gc.get_freeze_count():
            raise TraceError(
                "fb.compile looks for tensors among Python's objects, "
                "which gc.freeze() hid: call gc.unfreeze()"
            )
        cells = _kinds(Cell)
        kinds = _kinds() | cells
        found = [x for x in gc.get_objects() if type(x) in kinds]
        self.tensors = [(t, t._value, t._grad) for t in found if type(t) not in cells]
        self.cells = [(c, c.value) for c in found if type(c) in cells]
        self.sources: dict[Value, OfTensor] = {}
        gradients = {id(g) for _, _, g in self.tensors if g is not None}
        for t, _, g in self.tensors:
            if g is not None:
                self.sources[g._value] = OfGradient(t)
        for t, v, _ in self.tensors:
            if id(t) in gradients:
                continue
            known = self.sources.get(v)
            if known is None:
                self.sources[v] = OfTensor(t)
            elif not isinstance(known, OfGradient):
                if v.handle is not None and v.handle() is t:
                    t, known.tensor = known.tensor, t
                known.twins.append(ref(t))

    def restore(self) -> None:
        """Put back what was there."""
        for t, v, g in self.tensors:
            if t._value is not v:
                t._value = v
            if t._grad is not g:
                t._grad = g
        for c, number in self.cells:
            if c.value != number:
                c.value = number

    def changes(self, tape: Tape, mine: Sequence[Tensor]) -> Changes:
        """What is different now, ``mine`` being tensors of the recording's own."""
        index = tape.index
        updated = [t for t, v, _ in self.tensors if t._value is not v and t._value in index]
        graded = [t for t, _, g in self.tensors if t._grad is not g]
        moved = [(c, number) for c, number in self.cells if c.value != number]
        for c, number in moved:
            if not c.advances:
                raise TraceError(
                    f"{c} changed from {number} to {c.value} inside of the function: change it outside of it"
                )
        steps = [(c, c.value - number) for c, number in moved]
        known = {id(t) for t, _, _ in self.tensors} | {id(t) for t in mine}
        known |= {id(t._grad) for t in graded}
        made = self._made(index, known)
        if made:
            del made
            gc.collect()
            made = self._made(index, known)

        # The collector lists objects by age, which differs from call to call: the order is that of values.
        def position(t: Tensor) -> int:
            return index[t._value]

        def gradients(t: Tensor) -> int:
            return -1 if t._grad is None else index.get(t._grad._value, -1)

        return Changes(
            sorted(updated, key=position), sorted(graded, key=gradients), sorted(made, key=position), steps
        )

    @staticmethod
    def _made(index: Any, known: set[int]) -> list[Tensor]:
        return [t for t in _living() if id(t) not in known and t._value in index]


class Changes:
    """Tensors updated, tensors whose gradient changed, tensors made and kept somewhere, cells advanced."""

    __slots__ = ("graded", "made", "steps", "updated")

    def __init__(
        self, updated: list[Tensor], graded: list[Tensor], made: list[Tensor], steps: list[tuple[Cell, Any]]
    ) -> None:
        self.updated = updated
        self.graded = graded
        self.made = made
        self.steps = steps


class Draw:
    """A draw of random numbers: what stands for its key and its counter in a recording."""

    __slots__ = ("counter", "generator", "key")

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.key, self.counter = Cell(0), Cell(0)

    def operands(self) -> tuple[Operand, Operand]:
        return (self.key, uint64), (self.counter, uint64)


class Draws:
    """The draws that a function makes, in order, noted instead of made while it is recorded.

    A second recording is given the ``earlier`` ones: where it draws from the same generators in the
    same order, it has the same operands.
    """

    __slots__ = ("earlier", "made")

    def __init__(self, earlier: Sequence[Draw] = ()) -> None:
        self.earlier = earlier
        self.made: list[Draw] = []

    def take(self, generator: Generator) -> tuple[Operand, Operand]:
        """The operands of the next draw, from ``generator``."""
        n = len(self.made)
        draw = self.earlier[n] if n < len(self.earlier) else None
        if draw is None or draw.generator is not generator:
            draw = Draw(generator)
        self.made.append(draw)
        return draw.operands()


class Update:
    """A tensor that gets a new value from a program, or a new gradient."""

    __slots__ = ("argument", "connected", "gradient", "is_leaf", "owner", "target")

    def __init__(self, tensor: Tensor, argument: int, gradient: bool, held: bool, connected: bool) -> None:
        self.argument = argument  # the index of the argument it is, or -1
        self.gradient = gradient
        self.is_leaf = tensor.requires_grad and tensor._value.handle is not None
        self.connected = connected  # to be differentiated through
        self.owner: Tensor | None = tensor if held and argument < 0 else None
        self.target: ReferenceType[Tensor] = ref(tensor)

    def tensor(self, arguments: Sequence[Any]) -> Tensor | None:
        if self.argument >= 0:
            found: Tensor = arguments[self.argument]
            return found
        return self.target()


def run_directly(
    program: Direct, operands: list[Any], updates: Sequence[Update], arguments: Sequence[Any]
) -> list[Value]:
    """As ``run`` without gradients, but without a recording.

    Tensors have their new values before these are there: a thread that asks for one of them waits.
    """
    undo: list[tuple[Tensor, Value]] = []
    fresh: list[tuple[Value, int]] = []
    first = len(program.types) - len(updates)
    shared: dict[tuple[int, int], Value] = {}
    gradients: list[tuple[Tensor, Update, int]] = []
    for at, update in enumerate(updates, first):
        tensor = update.target() if update.argument < 0 else arguments[update.argument]
        if tensor is None:
            continue
        if update.gradient:
            gradients.append((tensor, update, at))
            continue
        old = tensor._value
        undo.append((tensor, old))
        output = program.outputs[at]
        value = None if update.is_leaf else shared.get(output)
        if value is None:
            value = Value(program.types[at], RUNNING, -1, update.is_leaf)
            value.device = old.device
            if update.is_leaf:
                value.handle = ref(tensor)
            else:
                shared[output] = value
            fresh.append((value, at))
        tensor._value = value
        del old
    try:
        made, after = program.run(operands)
    except BaseException:
        for tensor, old in undo:
            value, tensor._value = tensor._value, old
            value.data, value.source = old.data, None  # who waits for it gets what was there
        raise
    for value, at in fresh:
        value.data = made[at]
        value.source = None
    for tensor, update, at in gradients:
        plain = leaf(program.types[at], made[at])
        if update.argument >= 0:
            tensor._accumulate(plain)
        else:
            tensor._grad = Tensor(plain)
    results = [leaf(type, data) for type, data in zip(program.types[:first], made, strict=False)]
    if after is not None:
        after()
    return results


def run(
    graph: Any, operands: list[Any], updates: Sequence[Update], arguments: Sequence[Any], grad: bool
) -> list[Value]:
    """Record the program; where it updates tensors evaluate it and give them their values.

    Returns the values that are not updates.  ``operands`` is emptied, so that memory that nothing
    refers to any more can be written to.  If the program fails, every tensor is as it was before.
    Tensors that get one and the same result share its value.
    """
    token = None if grad else grad_enabled.set(False)
    try:
        made = list(apply(graph, operands))
    finally:
        if token is not None:
            grad_enabled.reset(token)
    operands.clear()
    if not updates:
        return made
    tape = THREAD.tape
    count = len(made) - len(updates)
    fresh = made[count:]
    del made[count:]
    undo: list[tuple[Tensor, Any]] = []
    for update, value in zip(updates, fresh, strict=True):
        tensor = update.tensor(arguments)
        if tensor is not None and not update.gradient:
            old = tensor._value
            # by position where the tape knows it: a reference would keep its memory from being reused
            undo.append((tensor, tape.index.get(old, old)))
            tensor._value = value
            del old
    try:
        HOOKS.evaluate(tape)
    except BaseException:
        values = list(tape.index)
        for tensor, was in undo:
            tensor._value = values[was] if isinstance(was, int) else was
        raise
    shared: dict[int, Value] = {}
    for update, value, output in zip(updates, fresh, graph.outputs[count:], strict=True):
        tensor = update.tensor(arguments)
        if tensor is None:
            continue
        if update.gradient:
            plain = value if update.connected else leaf(value.type, value.data)
            if update.argument >= 0:
                tensor._accumulate(plain)
            else:
                tensor._grad = Tensor(plain)
        elif not update.connected:
            if not update.is_leaf and output in shared:
                tensor._value = shared[output]
                continue
            plain = leaf(value.type, value.data, update.is_leaf)
            plain.device = value.device
            if update.is_leaf:
                plain.handle = ref(tensor)
            else:
                shared[output] = plain
            tensor._value = plain
    return made
