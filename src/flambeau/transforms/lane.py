"""A shorter way for a compiled step that runs again and again: nothing is made that can be used once more.

The values, the memory and the gradients' handles of the tensors it updates stay, where nobody else holds
them; all that is made anew are results and the memory of gradients.  Where anything is not as it should be,
the step goes the longer way.
"""

from __future__ import annotations

from collections.abc import Sequence
from sys import getrefcount
from typing import Any

import numpy as np

from flambeau.counts import COUNTS
from flambeau.engine.direct import RUNNING, Direct, possible
from flambeau.engine.executor import Executable
from flambeau.engine.native import NativeExecutable
from flambeau.engine.tape import Cell, Value, leaf
from flambeau.errors import located
from flambeau.graph.types import TensorType
from flambeau.runtime.buffers import Buffer
from flambeau.runtime.driver import Program
from flambeau.runtime.interrupts import Deferred
from flambeau.tensor import Tensor
from flambeau.transforms.capture import OfTensor, Update


class _Holder:
    """What a tensor is here: something with a value."""

    __slots__ = ("held",)

    def __init__(self, held: object) -> None:
        self.held = held


def _references() -> int:
    """The references to what one attribute holds, as seen by the code below."""
    holder = _Holder(object())
    found = holder.held
    return getrefcount(found)


_SOLE = _references()
_LONGEST = 5e6  # of a program, in nanoseconds: Ctrl-C waits until it is over


class Lane:
    """One executable of a step, bound to the tensors that it updates and reads."""

    __slots__ = (
        "_arena", "_bases", "_constants", "_executable", "_first", "_fresh", "_given", "_gradients",
        "_numbers", "_program", "_read", "_results", "_seen", "_takes", "_updated",
    )  # fmt: skip

    def __init__(self, executable: NativeExecutable, program: Program) -> None:
        self._executable = executable
        self._program = program
        self._numbers: list[int] = []  # which of the operands that are numbers
        self._given: list[tuple[int, int]] = []  # argument, slot
        self._constants: list[tuple[Value, int]] = []
        self._read: list[tuple[Tensor, int, TensorType, bool]] = []
        self._seen: list[tuple[Tensor, TensorType, bool]] = []  # looked at when it was recorded, but not read
        # Where it is read, and where what takes its memory is written.
        self._updated: list[tuple[Tensor, int, int, TensorType, bool]] = []
        self._takes: list[int] = []  # for each updated tensor, the one whose memory it gets
        self._gradients: list[tuple[Tensor, bool, TensorType, int]] = []  # had one, type, which memory
        self._results: list[tuple[TensorType, int]] = []
        self._fresh: list[tuple[int, int]] = []  # slot, bytes
        self._first = 1 + executable.leaves  # the slot of the first number
        self._arena = executable.arena
        # Bound by one thread at a time; taking and returning it is a single step of a list.
        bases = [0] * executable.plan.slots
        for slot, buffer in executable.constants:
            bases[slot] = buffer.ptr
        self._bases = [bases]

    @staticmethod
    def of(
        direct: Direct,
        executable: Executable | None,
        sources: Sequence[OfTensor | Value],
        updates: Sequence[Update],
        graded: Sequence[tuple[Tensor, bool]],
        arguments: int,
    ) -> Lane | None:
        """The shorter way for a program, after it has run; None where it cannot be taken.

        ``graded`` are tensors whose gradient it sets, and whether they had one before.  Operands are
        ``arguments`` tensors, then ``sources``.
        """
        if not isinstance(executable, NativeExecutable) or executable.packs:
            return None
        program = executable.in_one_piece()
        if program is None or program.cost > _LONGEST:
            return None
        made = Lane(executable, program)
        made._numbers = [i - arguments - len(sources) for i in direct.numbers]
        slots = {operand: 1 + n for n, operand in enumerate(direct.leaves)}
        owners: dict[int, Tensor] = {}
        for i, source in enumerate(sources, arguments):
            if type(source) is Value:
                if i in slots:
                    made._constants.append((source, slots[i]))
            elif type(source) is not OfTensor or source.twins:
                return None
            elif i in slots:
                owners[slots[i]] = source.tensor
            else:
                value = source.tensor._value
                made._seen.append((source.tensor, value.type, value.needs_grad))
        made._given = [(i, slots[i]) for i in range(arguments) if i in slots]
        fresh, reused = executable.plan.fresh, executable.plan.reused
        outputs = [executable.results[at] if at >= 0 else -1 for at, _ in direct.outputs]
        if len(set(outputs)) != len(outputs) or not fresh.keys() >= set(outputs):
            return None
        made._fresh = [(slot, nbytes) for slot, nbytes in fresh.items() if slot not in reused]
        number = {slot: n for n, (slot, _) in enumerate(made._fresh)}
        count = len(outputs) - len(updates)
        if any(slot not in number for slot in outputs[:count]):
            return None
        made._results = [(direct.types[n], number[slot]) for n, slot in enumerate(outputs[:count])]
        places = {id(tensor): slot for slot, tensor in owners.items()}
        had = {id(tensor): before for tensor, before in graded}
        taken: list[tuple[int, int]] = []  # whose memory, and where
        updated: list[tuple[Tensor, int, TensorType]] = []
        for n, update in enumerate(updates, count):
            tensor, slot, type_ = update.owner, outputs[n], direct.types[n]
            if tensor is None:
                return None
            if update.gradient:
                if slot not in number or id(tensor) not in had:
                    return None
                made._gradients.append((tensor, had[id(tensor)], type_, number[slot]))
                continue
            if slot in number or id(tensor) not in places:
                return None
            place = places[id(tensor)]
            updated.append((tensor, place, type_))
            taken.append((reused[slot], slot))
        order = {place: n for n, (_, place, _) in enumerate(updated)}
        written = dict(taken)
        if len(order) != len(updated) or written.keys() != order.keys():
            return None
        made._updated = [
            (tensor, place, written[place], type_, tensor._value.needs_grad)
            for tensor, place, type_ in updated
        ]
        made._takes = [order[source] for source, _ in taken]
        for slot, tensor in owners.items():
            if slot not in order:
                made._read.append((tensor, slot, tensor._value.type, tensor._value.needs_grad))
        return made

    def run(self, arguments: Sequence[Tensor], numbers: Sequence[Any]) -> list[Value] | None:
        """The results, where nothing stands in the way; else None, with nothing changed.

        ``numbers`` are those that follow the tensors among the operands, with their dtypes.
        """
        if not possible(()):
            return None
        try:
            bases = self._bases.pop()
        except IndexError:
            return None  # another thread is on it
        values: list[Value] = []
        memory: list[Any] = []
        made: list[Buffer] | None = None
        deferred = Deferred()
        try:
            with deferred:
                try:
                    held = self._bind(bases, values, memory, arguments)
                    made = None if held is None else self._enter(bases, numbers)
                finally:
                    _give_back(values, memory, range(len(values)) if made is None else self._takes)
                    self._bases.append(bases)
                if made is not None:
                    self._put_gradients(made)
        finally:
            if (deliver := deferred.deliver) is not None:
                deliver()
        return None if made is None else [leaf(type_, made[n]) for type_, n in self._results]

    def _put_gradients(self, made: list[Buffer]) -> None:
        """Gives tensors their gradients: in the handles that are there, where nobody else has these."""
        for tensor, had, type_, n in self._gradients:
            gradient = tensor._grad
            if had and gradient is not None and getrefcount(gradient) <= _SOLE:
                gradient._value.data = made[n]
            else:
                tensor._grad = Tensor(leaf(type_, made[n]))

    def _bind(
        self, bases: list[int], values: list[Value], memory: list[Any], arguments: Sequence[Tensor]
    ) -> list[Any] | None:
        """Writes down where everything lies, and takes the memory of what is updated from its values.

        Gives what is to be held while it is read; None where something stands in the way.
        """
        held: list[Any] = []
        for tensor, type_, needs in self._seen:
            value = tensor._value
            if value.type is not type_ or value.needs_grad is not needs:
                return None
        for value, slot in self._constants:
            data = value.data
            if data is None:
                return None
            bases[slot] = data.ptr
        for n, slot in self._given:
            data = arguments[n]._value.data
            if data is None:
                return None
            held.append(data)
            bases[slot] = data.ptr
        for tensor, slot, type_, needs in self._read:
            value = tensor._value
            data = value.data
            if data is None or value.type is not type_ or value.needs_grad is not needs:
                return None
            held.append(data)
            bases[slot] = data.ptr
        for tensor, had, type_, _ in self._gradients:
            gradient = tensor._grad
            if not had:
                if gradient is not None:
                    return None
                continue
            if gradient is None or getrefcount(gradient) > _SOLE or type(gradient) is not Tensor:
                return None
            value = gradient._value
            if getrefcount(value) > _SOLE or value.source is not None or value.data is None:
                return None
            if value.type is not type_ or value.needs_grad:
                return None
        for tensor, slot, written, type_, needs in self._updated:
            value = tensor._value
            if getrefcount(value) > _SOLE or value.source is not None or value.type is not type_:
                return None
            data = value.data
            if data is None or value.needs_grad is not needs:
                return None
            values.append(value)
            memory.append(data)
            value.data, value.source = None, RUNNING  # from here on whoever asks for it waits
            if getrefcount(data) > _SOLE or data.borrowed:
                return None
            data.forms = None  # of what it holds until now
            bases[slot] = bases[written] = data.ptr
        return held

    def _enter(self, bases: list[int], numbers: Sequence[Any]) -> list[Buffer]:
        """Runs the program; the memory of what is new."""
        executable, program = self._executable, self._program
        arena = Buffer(self._arena)
        bases[0] = arena.ptr
        if self._numbers:
            given = [numbers[n][0] for n in self._numbers]
            written = executable.numbers.write([x.value if isinstance(x, Cell) else x for x in given])
            at = written.ptr
            for n in range(self._first, self._first + len(self._numbers)):
                bases[n] = at
                at += 16
        made = []
        for slot, nbytes in self._fresh:
            buffer = Buffer(nbytes)
            bases[slot] = buffer.ptr
            made.append(buffer)
        status = program.status_slot
        if status is not None:
            word = Buffer(16)
            word.view(np.int64, (2,))[:] = 0
            bases[status] = word.ptr
        if program.run(bases):
            failure = executable.failure(*word.view(np.int64, (2,)).tolist())
            located(failure.error, str(failure.where))
            raise failure.error
        COUNTS.launches += program.calls
        COUNTS.runs += 1
        return made


def _give_back(values: list[Value], memory: list[Any], order: Sequence[int]) -> None:
    """Gives values the memory with these numbers; whoever keeps a traceback shall not keep them."""
    for value, n in zip(values, order, strict=True):
        value.data, value.source = memory[n], None
    values.clear()
    memory.clear()
