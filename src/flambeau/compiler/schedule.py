"""From a partition and concrete sizes to a program: tasks in order, memory, and kernel calls.

This is what happens again for new sizes: no fusion is decided and, unless strides fall into other
classes, no kernel is compiled.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flambeau.compiler import elementwise
from flambeau.compiler.control import ControlTask, Operand
from flambeau.compiler.convolution import convolution_tasks, fills_vectors
from flambeau.compiler.draws import drawn_first
from flambeau.compiler.groups import Group, Partition
from flambeau.compiler.in_place import taken_over, updates
from flambeau.compiler.indexed import Failure, Indexed
from flambeau.compiler.kernel import Call, Kernel, Op, Pointer
from flambeau.compiler.launches import launches, packed_key, packed_of, workspace_of
from flambeau.compiler.layout import is_channels_last
from flambeau.compiler.memory import plan_arena
from flambeau.compiler.moving import move_tasks
from flambeau.compiler.normalization_task import normalization_task
from flambeau.compiler.ordering import order_tasks
from flambeau.compiler.packs import LEAST, Pack
from flambeau.compiler.partition import CONTRACTIONS, ORDERING
from flambeau.compiler.running import whole_tasks
from flambeau.compiler.second_stores import holder_of, store_too
from flambeau.compiler.tasks import (
    STATUS,
    Task,
    computed_in,
    contraction_task,
    elementwise_task,
    product_of,
    reduction_task,
)
from flambeau.compiler.units import Unit, enter_bodies
from flambeau.compiler.values import AnyTask, HostStep, Values
from flambeau.compiler.views import View
from flambeau.compiler.whole_numbers import integer_tasks
from flambeau.compiler.windows import window_tasks
from flambeau.graph.graph import Graph, Node
from flambeau.graph.primitive import Effect
from flambeau.graph.types import TensorType

ARENA = 0  # the slot of intermediate values; inputs follow


@dataclass(slots=True)
class Schedule:
    """A program without addresses of code.

    ``constants`` are computed once, when the program is made; ``steps`` are lists of operations and
    host steps, in order; ``overwriting`` are the operations from the first that writes to an input on.
    ``once`` is what the body of a loop does before the first step.

    ``packs`` are operands that stay from run to run, packed where that has not been done.

    Slots: the arena, then the inputs, then ``fresh`` outputs (bytes each), then results of host
    calls, then what moves in loops and what is packed.  ``results`` says per output of the graph which
    slot holds it; ``reused`` maps a fresh slot to the input slot whose memory it takes over.  ``status``
    is the slot of the status word, where a kernel may fail, and ``failures`` say what its values from 1
    on mean.
    """

    constants: list[HostStep] = field(default_factory=list)
    steps: list[list[Op] | HostStep] = field(default_factory=list)
    once: list[Op] = field(default_factory=list)
    packs: list[Pack] = field(default_factory=list)
    overwriting: list[Op] = field(default_factory=list)
    arena: int = 0
    slots: int = 0
    fresh: dict[int, int] = field(default_factory=dict)
    reused: dict[int, int] = field(default_factory=dict)
    results: list[int] = field(default_factory=list)
    place: dict[int, Pointer] = field(default_factory=dict)
    kernels: int = 0
    status: int | None = None
    failures: list[Failure] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)  # what the tasks were, where that was asked for

    def operations(self) -> list[Op]:
        """What a program without host calls and without inputs to overwrite does."""
        out: list[Op] = []
        for step in self.steps:
            assert not isinstance(step, HostStep)
            out += step
        return out


Entry = Callable[[Kernel], str]
_NO_WORKSPACE = Pointer(ARENA)
# Keys of memory that is no value, by task: its workspace, and what it finds packed at each step of a loop.
_SCRATCH, _PACKED = -(1 << 40), -(1 << 41)
_COUNTING = ("elementwise", "reduction", "normalization")  # kernels that can count


class _Scheduler(Values):
    def __init__(
        self,
        graph: Graph,
        partition: Partition,
        donated: frozenset[int],
        numbers: int,
        entry: Entry,
        weights: frozenset[int] = frozenset(),
    ) -> None:
        super().__init__(graph, partition)
        self.donated = donated
        self.weights = frozenset([graph.inputs[i] for i in weights])
        self.numbers = frozenset(graph.inputs[len(graph.inputs) - numbers :])
        self.entry = entry
        self.failures: list[Failure] = []
        self.tasks: list[AnyTask] = []
        self.staying: frozenset[int] = frozenset()  # inputs of a loop's body that are the same at each step
        self.slots = 1
        self.units: list[Unit] | None = None  # what each task is part of, where that is asked for
        self.group: Any = None

    def run(self) -> Schedule:
        self._views()
        for group in self.partition.groups:
            self.group = group
            self._group(group)
        self.group = None
        if self.lying is None:
            outputs = [self._output(v) for v in self.graph.outputs]
        else:
            outputs = []
            for v in self.graph.outputs:
                outputs.append(self._own_output(v, outputs))
        return self._layout(outputs)

    def _add(self, task: AnyTask) -> None:
        for v in _writes(task):
            self.made.setdefault(v, len(self.tasks))
        self.tasks.append(task)
        if self.units is not None:
            self.units.append(self._unit(task))

    def _unit(self, task: AnyTask) -> Unit:
        group, nodes = self.group, self.graph.nodes
        if group is None:
            return Unit("output", [], None, task, self._type)
        root = nodes[group.root] if group.root >= 0 else None
        return Unit(group.kind, [nodes[i] for i in group.nodes], root, task, self._type)

    def _group(self, group: Any) -> None:
        placed = [self.sources.parts[v].view for v in group.outputs if v in self.sources.parts]
        if any(is_channels_last(view) for view in placed):
            group = self._draw_first(group)
        nodes = [self.graph.nodes[i] for i in group.nodes]
        inside = {v for n in nodes for v in n.outputs}
        inside |= {self.graph.nodes[i].outputs[0] for i in group.views}
        if group.kind in _COUNTING:
            inside |= self.counting.counts.keys()
        for n in nodes:
            for v in n.inputs:
                if v not in inside and v not in self.sources.constants:
                    self._need(self.sources.views[v])
        if group.kind == "host":
            self._host(nodes[0])
            return
        if group.kind == "control":
            self._control(nodes[0], group.inner)
            return
        if group.kind == "move":
            for task in move_tasks(self.graph, group, self.sources):
                self._add(task)
            return
        if group.kind == "window":
            operands = [self._operand(v) for v in self.graph.nodes[group.root].inputs]
            for task in window_tasks(self.graph, group, self.sources, operands, self._fresh, self._padded):
                self._add(task)
            return
        if group.kind == "whole":
            operands = [self._operand(v) for v in nodes[0].inputs]
            if nodes[0].primitive.name in ORDERING:
                tasks = order_tasks(self.graph, nodes[0], operands, set(group.outputs))
            elif nodes[0].primitive.name in CONTRACTIONS:
                tasks = integer_tasks(self.graph, nodes[0], operands, self._padded)
            else:
                tasks = whole_tasks(self.graph, nodes[0], operands, self._fresh)
            for task in tasks:
                self._add(task)
            return
        if group.kind == "indexed":
            operands = [self._operand(v) for v in self.graph.nodes[group.root].inputs]
            indexed = Indexed(self.graph, group, self.sources, operands, self.failures, self._fresh)
            for task in indexed.tasks():
                self._add(task)
            return
        if group.kind == "normalization":
            rows = self.graph, group, self.counting
            found = None if updates(*rows, self._free()) else normalization_task(*rows)
            if found is None:
                for part in group.parts:
                    self.group = part
                    self._group(part)
                return
            task = found
        elif group.kind == "elementwise":
            task = elementwise_task(self.graph, group, self.counting)
        elif group.kind == "reduction":
            task = reduction_task(self.graph, group, self.counting)
        else:
            root = self.graph.nodes[group.root]
            wide = computed_in(root, self.graph.types[root.outputs[0]].dtype)
            a, b = [self._as(self._operand(v), wide) for v in root.inputs]
            if root.primitive.name == "conv_general":
                if fills_vectors(b.shape, root.attrs["groups"]):
                    a = self._channels_inside(a)
                given = self.graph, group, self.sources, a, b, self._copy, self._padded
                for task in convolution_tasks(*given):
                    self._pack_once(task)
                    self._add(task)
                return
            product = product_of(self.graph, root, a, b)
            task = contraction_task(self.graph, group, self.sources, product, self._copy)
            self._pack_once(task)
        self._add(task)

    def _pack_once(self, task: Task) -> None:
        """Let a task find its second operand packed, if that stays."""
        if task.kernel.family in ("contraction", "convolution"):
            if task.right in self.staying:
                task.once = packed_of(task) > 0
            elif task.right in self.weights:
                task.once = packed_of(task) >= LEAST

    def _draw_first(self, group: Group) -> Group:
        """Compute what a group needs of random numbers row by row, in a kernel of its own; the rest of it."""
        found = drawn_first(self.graph, group, self.sources)
        if found is None:
            return group
        first, rest = found
        for v in first.outputs:
            self.sources.views.setdefault(v, View.dense(v, self.graph.types[v].shape))  # type: ignore[arg-type]
        first.outputs = [v for v in first.outputs if v not in self.made]
        if first.outputs:
            self.group = first
            self._group(first)
            self.group = group
        return rest

    def _control(self, node: Node, partitions: Sequence[Partition]) -> None:
        operands: list[Operand] = []
        for v in node.inputs:
            constant = self.sources.constants.get(v)
            operands.append(self.sources.views[v] if constant is None else constant)

        def layout(
            body: Graph, inner: Partition, lying: Mapping[int, Operand], staying: frozenset[int]
        ) -> Schedule:
            scheduler = _Scheduler(body, inner, frozenset(), 0, self.entry)
            scheduler.lying, scheduler.staying = lying, staying
            scheduler.units = None if self.units is None else []
            scheduler.failures = self.failures
            return scheduler.run()

        def constant_tensor(node: Node) -> int:
            fresh = -1 - len(self.extra)
            self.extra[fresh] = TensorType(node.attrs.get("shape", ()), node.attrs["dtype"])
            self._add(HostStep(Node(node.primitive, (), node.attrs, (fresh,)), [], [fresh]))
            return fresh

        self._add(ControlTask(node, self.graph.types, partitions, operands, layout, constant_tensor))

    def _host(self, node: Node) -> None:
        inputs: list[Any] = []
        for v in node.inputs:
            if v in self.sources.constants:
                value, dtype = self.sources.constants[v]
                inputs.append((None, (value, dtype, self.graph.types[v].shape)))
            else:
                view = self.sources.views.get(v) or View.dense(v, self.graph.types[v].shape)  # type: ignore[arg-type]
                inputs.append((view, self.graph.types[v]))
        self._add(HostStep(node, inputs, list(node.outputs)))
        for v in node.outputs:
            self.sources.views.setdefault(v, View.dense(v, self.graph.types[v].shape))  # type: ignore[arg-type]

    def _output(self, v: int) -> int:
        """The value with memory that holds output ``v``, copying a view that is not all of it."""
        if v in self.sources.constants:
            self.sources.views[v] = self._constant_tensor(v)
        view = self.sources.views[v]
        self._need(view)
        base = self._type(view.base)
        whole = view.is_dense() and view.offset == 0 and base.size == self.graph.types[v].size
        if whole and view.base not in self.numbers:  # numbers lie in memory that is gone after the run
            return view.base
        return self._copy(view).base

    def _own_output(self, v: int, taken: Sequence[int]) -> int:
        """As ``_output``, but memory that a task of the body writes, for this output alone."""
        base = self._output(v)
        task = self.made.get(base)
        if base not in taken and task is not None and not isinstance(self.tasks[task], HostStep):
            return base
        whole = View.dense(base, self.sources.views[v].shape)
        holder = None
        if base not in self.sources.parts:
            holder = holder_of(self.tasks, base, math.prod(whole.shape))
        if holder is None:
            return self._copy(whole).base
        fresh = self._fresh(whole.shape, self._type(base).dtype)
        holding = self.tasks[holder.task]
        assert isinstance(holding, Task)
        store_too(holding, holder, fresh)
        self.made[fresh] = holder.task
        return fresh

    # -- memory -------------------------------------------------------------------------------

    def _layout(self, outputs: list[int]) -> Schedule:
        schedule = Schedule()
        place = schedule.place
        for v in self.graph.inputs:
            place[v] = Pointer(self._new_slot())
        last: dict[int, int] = {}
        for t, task in enumerate(self.tasks):
            for base in (*_reads(task), *_writes(task)):
                last[base] = t
        host = {v for task in self.tasks if isinstance(task, HostStep) for v in task.outputs}
        reuse = self._reuse(set(outputs) - host, last)
        for v in dict.fromkeys(outputs):
            if v in place or v in host:
                continue
            slot = self._new_slot()
            place[v] = Pointer(slot)
            schedule.fresh[slot] = int(self._type(v).nbytes)
            if v in reuse:
                schedule.reused[slot] = place[reuse[v]].slot
        for v in sorted(host):
            place[v] = Pointer(self._new_slot())
        if STATUS in self.made:
            schedule.status = self._new_slot()
            place[STATUS] = Pointer(schedule.status)
            schedule.failures = self.failures
        sizes: dict[int, int] = {}
        born: dict[int, int] = {}
        dies: dict[int, int] = {}
        for v, t in self.made.items():
            if v not in place:
                sizes[v], born[v], dies[v] = self._bytes(v), t, last.get(v, t)
        scratch: dict[int, int] = {}
        packed: dict[int, int] = {}
        for t, task in enumerate(self.tasks):
            need = _workspace(task)
            if need:
                key = scratch[t] = _SCRATCH - t
                sizes[key], born[key], dies[key] = need, t, t
            if isinstance(task, Task) and task.once and task.right in self.staying:
                key = packed[t] = _PACKED - t
                sizes[key], born[key], dies[key] = packed_of(task), 0, len(self.tasks)
        offsets, schedule.arena = plan_arena(sizes, born, dies)
        for v in sizes:
            if v > _SCRATCH:
                place[v] = Pointer(ARENA, offsets[v])
        for task in self.tasks:
            for base in _reads(task):
                place.setdefault(base, Pointer(ARENA))  # what nothing writes has no elements
        self._stream(reuse)
        overwriting = False
        for t, task in enumerate(self.tasks):
            if isinstance(task, HostStep):
                (schedule.steps if _runs_on_host(task) else schedule.constants).append(task)
                continue
            if not overwriting and any(v in reuse for v in task.writes):
                overwriting = True
            if overwriting:
                calls = schedule.overwriting
            else:
                if not schedule.steps or isinstance(schedule.steps[-1], HostStep):
                    schedule.steps.append([])
                calls = schedule.steps[-1]  # type: ignore[assignment]
            workspace = Pointer(ARENA, offsets[scratch[t]]) if t in scratch else Pointer(ARENA)
            first = len(calls)
            if isinstance(task, ControlTask):
                calls.extend(task.operations(place, workspace, self._new_slot, self._calls))
            else:
                if t in packed:
                    made = self._calls(task, place, workspace, Pointer(ARENA, offsets[packed[t]]))
                    schedule.once.extend(made[:-1])
                    made = made[-1:]
                elif task.once:
                    made = self._with_pack(task, place, workspace, schedule.packs)
                else:
                    made = self._calls(task, place, workspace)
                calls.extend(made)
            schedule.kernels += 1
            if self.units is not None:
                self._describe(t, task, calls[first:])
        schedule.results = [place[v].slot for v in outputs]
        schedule.slots = self.slots
        schedule.units = self.units or []
        return schedule

    def _stream(self, reuse: Mapping[int, int]) -> None:
        """Let large results go past the caches, where the next task does not read them."""
        for task, following in itertools.zip_longest(self.tasks, self.tasks[1:]):
            if not isinstance(task, Task) or task.kernel.family != "elementwise":
                continue
            made = set(task.writes)
            soon = set() if following is None else set(_reads(following))
            if made.isdisjoint(soon) and made.isdisjoint(reuse) and STATUS not in made:
                task.streams = elementwise.streams(task.kernel, min(map(self._bytes, made)))

    def _describe(self, t: int, task: Task | ControlTask, ops: list[Op]) -> None:
        """Give the unit of a task its operations."""
        assert self.units is not None
        unit = self.units[t]
        unit.ops = ops
        unit.workspace = _workspace(task)
        unit.at = sum(len(one.ops) for one in self.units[:t])
        if isinstance(task, ControlTask):
            enter_bodies(unit, task.units(), task.written)

    def _new_slot(self) -> int:
        self.slots += 1
        return self.slots - 1

    def _reuse(self, outputs: set[int], last: dict[int, int]) -> dict[int, int]:
        """Outputs that may take over the memory of a donated input.

        Only kernels after the last one that may fail qualify, host calls among them: a step that
        fails must leave everything as it was.
        """
        after = max((t for t, task in enumerate(self.tasks) if _may_fail(task)), default=-1)
        return taken_over(self.tasks, after, self._free() - outputs, outputs, last, self._type)

    def _free(self) -> set[int]:
        """The inputs whose memory may be overwritten."""
        return {self.graph.inputs[i] for i in self.donated}

    def _calls(
        self,
        task: Task,
        place: Mapping[int, Pointer],
        workspace: Pointer = _NO_WORKSPACE,
        packed: Pointer | None = None,
    ) -> list[Call]:
        return launches(task, self.entry(task.kernel), place, workspace, packed)

    def _with_pack(
        self, task: Task, place: Mapping[int, Pointer], workspace: Pointer, packs: list[Pack]
    ) -> list[Call]:
        """The calls of a task whose second operand is one of ``packs``, which it is added to."""
        source = place[task.right].slot
        key = packed_key(task, self.entry(task.kernel))
        for pack in packs:
            if (pack.source, pack.key) == (source, key):
                return self._calls(task, place, workspace, Pointer(pack.slot))[-1:]
        slot = self._new_slot()
        *calls, product = self._calls(task, place, workspace, Pointer(slot))
        packs.append(Pack(source, slot, key, packed_of(task), calls))
        return [product]


def _reads(task: AnyTask) -> list[int]:
    if isinstance(task, HostStep):
        return [view.base for view, _ in task.inputs if view is not None]
    return task.reads


def _writes(task: AnyTask) -> list[int]:
    return task.outputs if isinstance(task, HostStep) else task.writes


def _runs_on_host(task: AnyTask) -> bool:
    """Whether a task is a host call at every run, rather than a constant."""
    return isinstance(task, HostStep) and (bool(task.inputs) or task.node.primitive.effect is not Effect.PURE)


def _may_fail(task: AnyTask) -> bool:
    return _runs_on_host(task) or STATUS in _writes(task)


def _workspace(task: AnyTask) -> int:
    if isinstance(task, ControlTask):
        return task.workspace
    return 0 if isinstance(task, HostStep) else workspace_of(task)


def schedule(
    graph: Graph,
    partition: Partition,
    donated: frozenset[int],
    numbers: int,
    entry: Entry,
    units: bool = False,
    weights: frozenset[int] = frozenset(),
) -> Schedule:
    """Lay out ``graph`` for its sizes; ``entry(kernel)`` names a kernel's machine code.

    The last ``numbers`` inputs are numbers, not buffers; ``weights`` are inputs whose contents stay from run
    to run as a rule.  With ``units`` the schedule says what its
    tasks came from.
    """
    scheduler = _Scheduler(graph, partition, donated, numbers, entry, weights)
    scheduler.units = [] if units else None
    return scheduler.run()
