"""The ``llvm`` executor: fused kernels in generated machine code, and host calls for the rest.

Three caches stand between a graph and its program: plans by exact recording (above, on the trie),
partitions by structure, kernels by content (and on disk).
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flambeau.compiler import contraction, direct, elementwise, jit, normalization, reduction, sorting
from flambeau.compiler.groups import Partition
from flambeau.compiler.kernel import Kernel, Op
from flambeau.compiler.partition import partition
from flambeau.compiler.schedule import Schedule, schedule
from flambeau.compiler.target import Target
from flambeau.compiler.values import HostStep
from flambeau.compiler.verify import verify_kernel
from flambeau.compiler.views import View
from flambeau.counts import COUNTS
from flambeau.dtypes import DType
from flambeau.engine.executor import Done, NodeFailure, Pending
from flambeau.errors import FlambeauError
from flambeau.graph.graph import Graph, Node, compact, freeze
from flambeau.graph.interpreter import run_node
from flambeau.graph.types import TensorType
from flambeau.graph.verifier import CHECKS
from flambeau.runtime.buffers import Buffer
from flambeau.runtime.driver import Program
from flambeau.runtime.interrupts import Deferred

_LOWER = {
    "elementwise": elementwise.lower,
    "reduction": reduction.lower,
    "normalization": normalization.lower,
    "contraction": contraction.lower,
    "convolution": direct.lower,
    "sort": sorting.lower,
}
_CACHED_STRUCTURES = 4096


def structure(graph: Graph) -> Any:
    """What the partition of a graph depends on: everything but sizes other than 1."""
    number = {v: i for i, v in enumerate(graph.inputs)}
    types = graph.types

    def outline(v: int) -> Any:
        t = types[v]
        return (t.dtype, tuple([n == 1 for n in t.shape]))

    rows: list[Any] = [tuple([outline(v) for v in graph.inputs])]
    for node in graph.nodes:
        sizes = node.primitive.sizes
        attrs = tuple([(k, _outline(a)) for k, a in node.attrs.items() if k not in sizes])
        rows.append(
            (
                node.primitive,
                attrs,
                tuple([number[v] for v in node.inputs]),
                tuple([outline(v) for v in node.outputs]),
            )
        )
        for v in node.outputs:
            number[v] = len(number)
    rows.append(tuple([number[v] for v in graph.outputs]))
    return tuple(rows)


def _outline(attribute: Any) -> Any:
    """An attribute as part of a structure: graphs by theirs."""
    if isinstance(attribute, Graph):
        return structure(attribute)
    if isinstance(attribute, tuple) and attribute and isinstance(attribute[0], Graph):
        return tuple([structure(graph) for graph in attribute])
    return freeze(attribute)


def _needs_passes(entry: str) -> bool:
    """Whether LLVM's passes gain anything: contractions are written as they shall run."""
    return not entry.startswith(("contraction", "convolution"))


class Kernels:
    """Machine code by kernel: lowered and loaded at most once in a process."""

    def __init__(self) -> None:
        self.entries: dict[Any, str] = {}
        self.addresses: dict[str, int] = {}
        self.waiting: dict[str, str] = {}

    def entry(self, kernel: Kernel) -> str:
        """The name of a kernel's code, lowered now if it was not known."""
        # 0.0 and -0.0, 1 and True are equal to Python, but make different code
        key = (kernel, tuple([repr(i.number) for i in kernel.body if i.number is not None]))
        name = self.entries.get(key)
        if name is None:
            if CHECKS.enabled:
                verify_kernel(kernel)
            name, text = _LOWER[kernel.family](kernel, Target.host())
            self.entries[key] = name
            if name not in self.addresses:
                self.waiting[name] = text
        return name

    def load(self) -> dict[str, int]:
        """Compile or fetch from disk what was lowered; the addresses of all code."""
        if self.waiting:
            waiting = dict(self.waiting)
            for optimise in (True, False):
                chosen = {n: text for n, text in waiting.items() if _needs_passes(n) is optimise}
                if chosen:
                    self.addresses.update(jit.load(chosen, Target.host(), optimise))
            for name in waiting:  # only now: what could not be compiled is tried again
                self.waiting.pop(name, None)
        return self.addresses


_FORMATS = {
    "float32": "f4x",
    "float64": "d",
    "int64": "q",
    "uint64": "Q",
    "int32": "i4x",
    "uint32": "I4x",
    "int16": "h6x",
    "uint16": "H6x",
    "int8": "b7x",
    "uint8": "B7x",
    "bool": "?7x",
}


class Numbers:
    """The memory of a program's numbers, 16 bytes each."""

    __slots__ = ("dtypes", "exporter", "packer")

    def __init__(self, dtypes: Sequence[DType]) -> None:
        self.dtypes = list(dtypes)
        self.packer: struct.Struct | None = None
        self.exporter = ctypes.c_char * (16 * len(dtypes))
        if all(d.name in _FORMATS for d in dtypes):
            self.packer = struct.Struct("=" + "8x".join(_FORMATS[d.name] for d in dtypes))

    def write(self, numbers: Sequence[Any]) -> Buffer:
        """A buffer that holds ``numbers``, each rounded to its dtype."""
        buffer = Buffer(16 * len(numbers))
        if self.packer is not None:
            try:
                self.packer.pack_into(self.exporter.from_address(buffer.ptr), 0, *numbers)
                return buffer
            except (struct.error, OverflowError):
                pass  # a number beyond its dtype's range: NumPy makes it infinite
        for i, (x, dtype) in enumerate(zip(numbers, self.dtypes, strict=True)):
            with np.errstate(all="ignore"):
                buffer.view(dtype, (1,), offset=16 * i)[0] = np.asarray(x).astype(dtype.numpy)
        return buffer


@dataclass(slots=True)
class _Host:
    """A host step, with the places of its operands resolved to slots."""

    step: HostStep
    inputs: list[Any]
    slots: list[int]


_EMPTY = Buffer(0)


class NativeExecutable:
    """A program over slots of memory."""

    __slots__ = (
        "addresses",
        "arena",
        "constants",
        "fresh",
        "hosts",
        "last",
        "leaves",
        "numbers",
        "packs",
        "plan",
        "results",
        "steps",
    )

    def __init__(self, graph: Graph, plan: Schedule, addresses: dict[str, int], numbers: int) -> None:
        self.plan = plan
        self.addresses = addresses
        types = graph.input_types
        self.leaves = len(types) - numbers
        self.numbers = Numbers([t.dtype for t in types[self.leaves :]])
        self.arena = plan.arena
        self.results = plan.results
        self.fresh = [(nbytes, plan.reused.get(slot)) for slot, nbytes in plan.fresh.items()]
        self.hosts = plan.slots - 1 - len(types) - len(self.fresh)
        self.steps: list[Program | _Host] = []
        self.constants: list[tuple[int, Buffer]] = []
        for host in plan.constants:
            self.constants += zip(self._slots(host), _compute(host.node, []), strict=True)
        for step in plan.steps:
            if isinstance(step, HostStep):
                inputs = [
                    (None, data) if view is None else (plan.place[view.base], (view, data))
                    for view, data in step.inputs
                ]
                self.steps.append(_Host(step, inputs, self._slots(step)))
            elif step:
                self.steps.append(Program(step, addresses, plan.slots, plan.status))
        self.packs = [(pack, Program(pack.calls, addresses, plan.slots)) for pack in plan.packs]
        self.last: Program | None = None  # overwrites inputs
        if plan.overwriting:
            self.last = Program(plan.overwriting, addresses, plan.slots)

    def _slots(self, step: HostStep) -> list[int]:
        return [self.plan.place[v].slot for v in step.outputs]

    def in_one_piece(self) -> Program | None:
        """The calls of all parts as one program, for who holds back interrupts; None with host calls."""
        ops: list[Op] = []
        for step in self.plan.steps:
            if isinstance(step, HostStep):
                return None
            ops += step
        return Program([*ops, *self.plan.overwriting], self.addresses, self.plan.slots, self.plan.status)

    def bind(self, inputs: Sequence[Any]) -> tuple[list[int], list[Any], Buffer | None, Buffer | None]:
        """An address for each slot, what owns their memory, the status word, and the numbers' memory."""
        # Slots in order: the arena, leaves, numbers, fresh outputs, results of host calls.
        held: list[Any] = [Buffer(self.arena) if self.arena else _EMPTY]
        held += inputs[: self.leaves]
        bases = [buffer.ptr for buffer in held]
        numbers = None
        if self.leaves < len(inputs):
            numbers = self.numbers.write(inputs[self.leaves :])
            at = range(numbers.ptr, numbers.ptr + numbers.nbytes, 16)
            bases += at
            held += [None] * len(at)
        for nbytes, source in self.fresh:
            if source is None:
                buffer = Buffer(nbytes)
            else:
                buffer = held[source]
                buffer.forms = None  # of what it held until now
            held.append(buffer)
            bases.append(buffer.ptr)
        if self.hosts:
            held += [None] * self.hosts
            bases += [0] * self.hosts
            for slot, buffer in self.constants:
                held[slot] = buffer
                bases[slot] = buffer.ptr
        status = None
        if self.plan.status is not None:
            status = Buffer(16)
            status.view(np.int64, (2,))[:] = 0
            bases[self.plan.status] = status.ptr
        if self.packs:
            self._pack(bases, held)
        return bases, held, status, numbers

    def _pack(self, bases: list[int], held: list[Any]) -> None:
        """Give slots of packed operands what is kept with the buffers of these, packing what is not yet."""
        for pack, program in self.packs:
            source: Buffer = held[pack.source]
            form = None if source.forms is None else source.forms.get(pack.key)
            if form is None:
                form = Buffer(pack.nbytes)
                bases[pack.slot] = form.ptr
                program.run(bases)
                COUNTS.launches += program.calls
                source.keep(pack.key, form)
            held[pack.slot] = form
            bases[pack.slot] = form.ptr

    def submit(self, inputs: Sequence[Any]) -> Pending:
        bases, held, status, numbers = self.bind(inputs)
        for step in self.steps:
            if type(step) is Program:
                if step.run(bases):
                    assert status is not None
                    raise self.failure(*status.view(np.int64, (2,)).tolist())
                COUNTS.launches += step.calls
            else:
                self._host(step, bases, held)  # type: ignore[arg-type]
        after = None
        if self.last is not None:
            with Deferred() as deferred:
                self.last.run(bases)
            COUNTS.launches += self.last.calls
            after = deferred.deliver
        del numbers  # kept until here: the program reads it
        return Done([held[slot] for slot in self.results], after)

    def failure(self, code: int, index: int) -> NodeFailure:
        """The error that the two numbers of the status word stand for."""
        failure = self.plan.failures[code - 1]
        return NodeFailure(failure.error(failure.message.format(index)), failure.node.where)

    def _host(self, host: _Host, bases: list[int], held: list[Any]) -> None:
        COUNTS.host_calls += 1
        node = host.step.node
        arrays = []
        for place, data in host.inputs:
            if place is None:
                value, dtype, shape = data
                arrays.append(np.broadcast_to(np.asarray(value, dtype.numpy), shape))
            else:
                view, type_ = data
                arrays.append(_array(bases[place.slot] + place.offset, view, type_))
        for slot, buffer in zip(host.slots, _compute(node, arrays), strict=True):
            held[slot] = buffer
            bases[slot] = buffer.ptr


def _compute(node: Node, arrays: Sequence[np.ndarray]) -> list[Buffer]:
    """The outputs of a node by its NumPy rule."""
    try:
        made = run_node(node, arrays)
    except FlambeauError as error:
        raise NodeFailure(error, node.where) from error
    buffers = []
    for array in made:
        dense = np.ascontiguousarray(array)
        if not dense.flags.owndata or not dense.flags.writeable:
            dense = dense.copy()  # results must not share memory that the arena will reuse
        buffers.append(Buffer.borrow(dense, dense.ctypes.data, dense.nbytes))
    return buffers


def _array(address: int, view: View, type: TensorType) -> np.ndarray:
    """The elements of a view as an array; the caller keeps the memory alive."""
    itemsize = type.dtype.itemsize
    shape: Any = view.shape
    if 0 in shape:
        return np.empty(shape, type.dtype.numpy)
    start = address + view.offset * itemsize
    low = sum((n - 1) * s for n, s in zip(shape, view.strides, strict=True) if s < 0) * itemsize
    high = sum((n - 1) * s for n, s in zip(shape, view.strides, strict=True) if s > 0) * itemsize + itemsize
    memory = Buffer.borrow(None, start + low, high - low)
    flat = memory.view(np.uint8, (high - low,), writable=False)
    strides = tuple([s * itemsize for s in view.strides])
    return np.ndarray(shape, type.dtype.numpy, flat, -low, strides)


class NativeExecutor:
    """Compiles graphs to machine code with LLVM."""

    name = "llvm"

    def __init__(self) -> None:
        self.kernels = Kernels()
        self.partitions: dict[Any, Partition] = {}

    def prepare(
        self, graph: Graph, donated: frozenset[int], numbers: int, weights: frozenset[int] = frozenset()
    ) -> NativeExecutable:
        graph = compact(graph)
        plan = self.plan(graph, donated, numbers, weights)
        return NativeExecutable(graph, plan, self.kernels.load(), numbers)

    def plan(
        self,
        graph: Graph,
        donated: frozenset[int],
        numbers: int,
        weights: frozenset[int] = frozenset(),
        units: bool = False,
    ) -> Schedule:
        """The schedule of a compact graph; with ``units`` it says what its tasks came from."""
        key = structure(graph)
        found = self.partitions.get(key)
        if found is None:
            if len(self.partitions) >= _CACHED_STRUCTURES:
                self.partitions.clear()
            found = self.partitions[key] = partition(graph, supports)
            COUNTS.partitions += 1
        return schedule(graph, found, donated, numbers, self.kernels.entry, units, weights)


def supports(op: str, dtype: DType, operands: tuple[DType, ...]) -> bool:
    """Whether kernels can do an operation."""
    from flambeau.compiler import scalar_ops

    return scalar_ops.supports(op, dtype, operands)
