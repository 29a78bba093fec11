"""From a partition and concrete sizes to a program: tasks in order, memory, and kernel calls.

This is what happens again for new sizes: no fusion is decided and, unless strides fall into other
classes, no kernel is compiled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flambeau.compiler import contraction, direct, elementwise, normalization, reduction
from flambeau.compiler.control import ControlTask, Operand
from flambeau.compiler.convolution import MANY_CHANNELS, convolution_tasks, fills_vectors
from flambeau.compiler.groups import Partition
from flambeau.compiler.in_place import taken_over, updates
from flambeau.compiler.indexed import Failure, Indexed
from flambeau.compiler.kernel import Call, Kernel, Op, Pointer
from flambeau.compiler.layout import Layouts, spaced
from flambeau.compiler.memory import plan_arena
from flambeau.compiler.moving import Box, move_tasks, pad_tasks, parts_of
from flambeau.compiler.normalization_task import normalization_task
from flambeau.compiler.running import whole_tasks
from flambeau.compiler.tasks import (
    NOWHERE,
    STATUS,
    Part,
    Sources,
    Task,
    computed_in,
    contraction_task,
    converted_task,
    copy_task,
    elementwise_task,
    product_of,
    reduction_task,
)
from flambeau.compiler.units import Unit, enter_bodies
from flambeau.compiler.views import MOVES_NOTHING, View, through
from flambeau.compiler.windows import window_tasks
from flambeau.dtypes import DType
from flambeau.graph.graph import Graph, Node
from flambeau.graph.primitive import Effect
from flambeau.graph.types import TensorType
from flambeau.primitives.views import constant_p

ARENA = 0  # the slot of intermediate values; inputs follow


@dataclass(slots=True)
class HostStep:
    """A node computed by its NumPy rule: where its inputs lie, and the slots of its outputs."""

    node: Node
    inputs: list[tuple[View, TensorType] | tuple[None, Any]]
    outputs: list[int]


@dataclass(slots=True)
class Schedule:
    """A program without addresses of code.

    ``constants`` are computed once, when the program is made; ``steps`` are lists of operations and
    host steps, in order; ``overwriting`` are the operations from the first that writes to an input on.
    ``once`` is what the body of a loop does before the first step.

    Slots: the arena, then the inputs, then ``fresh`` outputs (bytes each), then results of host
    calls, then what moves in loops.  ``results`` says per output of the graph which slot holds it;
    ``reused`` maps a fresh slot to the input slot whose memory it takes over.  ``status`` is the slot
    of the status word, where a kernel may fail, and ``failures`` say what its values from 1 on mean.
    """

    constants: list[HostStep] = field(default_factory=list)
    steps: list[list[Op] | HostStep] = field(default_factory=list)
    once: list[Op] = field(default_factory=list)
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
AnyTask = Task | HostStep | ControlTask
_NO_WORKSPACE = Pointer(ARENA)
_COUNTING = ("elementwise", "reduction", "normalization")  # kernels that can count


class _Scheduler:
    def __init__(
        self, graph: Graph, partition: Partition, donated: frozenset[int], numbers: int, entry: Entry
    ) -> None:
        self.graph = graph
        self.partition = partition
        self.donated = donated
        self.numbers = frozenset(graph.inputs[len(graph.inputs) - numbers :])
        self.entry = entry
        self.sources = Sources({}, {})
        self.counting = Sources(self.sources.views, self.sources.constants, self.sources.parts)
        self.counted: dict[int, Node] = {}  # what counts; kernels that cannot read it from memory
        self.copies: dict[int, View] = {}  # values that are a dense copy of a view, made when first needed
        self.copied: set[int] = set()
        self.extra: dict[int, TensorType] = {}
        self.failures: list[Failure] = []
        self.pads: dict[Any, View] = {}  # what has been padded or converted, and how
        self.tasks: list[AnyTask] = []
        self.lying: Mapping[int, Operand] | None = None  # of a body's inputs; None for a whole program
        self.staying: frozenset[int] = frozenset()  # inputs of a loop's body that are the same at each step
        self.slots = 1
        self.made: dict[int, int] = {}  # value with memory -> task that writes it, or its first part
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

    # -- where everything lies ----------------------------------------------------------------

    def _views(self) -> None:
        views, constants, counts = self.sources.views, self.sources.constants, self.counting.counts
        types = self.graph.types
        shape: tuple[int, ...]
        for v in self.graph.inputs:
            found = (self.lying or {}).get(v)
            if isinstance(found, tuple):
                constants[v] = found
            else:
                views[v] = found or View.dense(v, types[v].shape)  # type: ignore[arg-type]
        stored = self.partition.stored
        layouts = Layouts(self.graph)
        for node in self.graph.nodes:
            name = node.primitive.name
            out = node.outputs[0]
            if name == "constant":
                constants[out] = (node.attrs["value"], node.attrs["dtype"])
            elif name == "iota" and out not in stored:
                shape = types[out].shape  # type: ignore[assignment]
                views[out] = View.dense(out, shape)
                steps = [int(i == node.attrs["axis"]) for i in range(len(shape))]
                counts[out] = View(NOWHERE, shape, tuple(steps))
                self.counted[out] = node
            elif name in MOVES_NOTHING:
                source = node.inputs[0]
                if source in constants:
                    constants[out] = constants[source]
                    continue
                shape = types[out].shape  # type: ignore[assignment]
                if source in counts and (count := through(node, counts[source], shape)) is not None:
                    counts[out] = count
                view = through(node, views[source], shape)
                if view is None or layouts.turns(node):
                    self.copies[out] = views[source] if view is None else view
                    view = View.dense(out, shape)
                views[out] = view
            else:
                for v in node.outputs:
                    place = layouts.place(node, v, views)
                    if v in stored:
                        views[v] = place or View.dense(v, types[v].shape)  # type: ignore[arg-type]
                        if place is not None:
                            self.sources.parts[v] = Part(place)
        self._parts()

    def _parts(self) -> None:
        """Let what is only ever concatenated be written where it belongs at once."""
        groups = self.partition.groups
        written = {v for g in groups if g.kind == "elementwise" for v in g.outputs}
        written.difference_update(self.graph.outputs)
        uses = Counter(v for node in self.graph.nodes for v in node.inputs)
        for node in self.graph.nodes:
            if node.primitive.name == "concatenate" and written.intersection(node.inputs):
                for v, place in parts_of(self.graph, node):
                    if v in written and uses[v] == 1 and 0 not in place.shape:
                        self.sources.parts[v] = Part(place)
                        self.sources.views[v] = place

    def _type(self, v: int) -> TensorType:
        return self.extra[v] if v < 0 else self.graph.types[v]

    def _need(self, view: View) -> None:
        """Make sure that what a view reads has been written: copies are made when first read."""
        base = view.base
        if base in self.counted and base not in self.made:
            self._add(HostStep(self.counted[base], [], [base]))
        if base in self.copies and base not in self.copied:
            self.copied.add(base)
            source = self.copies[base]
            self._need(source)
            self._add(copy_task(self.graph, base, source, self._type(base).dtype))

    def _fresh(self, shape: tuple[int, ...], dtype: DType) -> int:
        """A new value."""
        v = -1 - len(self.extra)
        self.extra[v] = TensorType(shape, dtype)
        return v

    def _as(self, view: View, dtype: DType) -> View:
        """The same elements as another dtype, kept for others that ask for the same."""
        if self._type(view.base).dtype is dtype:
            return view
        found = self.pads.get((view, dtype))
        if found is None:
            v = self._fresh(view.shape, dtype)
            found = self.pads[view, dtype] = View.dense(v, view.shape).in_order_of(view)
            self._need(view)
            self._add(converted_task(self.graph, view, self._type(view.base).dtype, Part(found), dtype))
        return found

    def _copy(self, view: View) -> View:
        """A dense copy of a view, as a value of its own."""
        v = self._fresh(view.shape, self._type(view.base).dtype)
        self._need(view)
        self._add(copy_task(self.graph, v, view, self.extra[v].dtype))
        return View.dense(v, view.shape)

    def _channels_inside(self, view: View) -> View:
        """The same elements with those of the channels side by side, where they are not and are many.

        The channels are along axis 1, or along axis 0 where that is a batch's turned to sum over it.
        """
        axis = 0 if view.strides[0] < view.strides[1] else 1
        if view.shape[axis] < MANY_CHANNELS or 1 in view.strides[:2] or 0 in view.strides or 0 in view.shape:
            return view
        rest = sorted([i for i in range(len(view.shape)) if i != axis], key=lambda i: -abs(view.strides[i]))
        order = [*rest, axis]
        source = view.permuted(order)
        found = self.pads.get(source)
        if found is None:
            dtype = self._type(view.base).dtype
            v = self._fresh(source.shape, dtype)
            found = self.pads[source] = spaced(v, source.shape, dtype.itemsize)
            self.sources.parts[v] = Part(found)
            self._need(view)
            self._add(copy_task(self.graph, Part(found), source, dtype))
        return found.permuted(sorted(range(len(order)), key=order.__getitem__))

    def _padded(
        self, view: View, low: Sequence[int], high: Sequence[int], interior: Sequence[int], number: Any = 0
    ) -> View:
        """A view with a number around and between its elements, kept for others that ask for the same."""
        shape = tuple(
            [
                a + (n - 1) * (c + 1) + 1 + b if n else a + b
                for n, a, b, c in zip(view.shape, low, high, interior, strict=True)
            ]
        )
        box = Box.of(view.shape, shape, low, interior)
        if box.counts == shape:
            return box.narrowed(view)
        key = (view, shape, box.starts, box.steps, number)
        found = self.pads.get(key)
        if found is None:
            dtype = self._type(view.base).dtype
            v = self._fresh(shape, dtype)
            found = self.pads[key] = View.dense(v, shape).in_order_of(view)
            self._need(view)
            for task in pad_tasks(self.graph, dtype, number, view, box, found):
                self._add(task)
        return found

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
            for task in whole_tasks(self.graph, nodes[0], operands, self._fresh):
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
                    self._add(task)
                return
            product = product_of(self.graph, root, a, b)
            task = contraction_task(self.graph, group, self.sources, product, self._copy)
            right = task.operands[1]
            stays = isinstance(right, View) and right.base in self.staying
            task.once = stays and contraction.packs_alone(task.kernel, task.sizes, task.strides)
        self._add(task)

    def _operand(self, v: int) -> View:
        """A view of ``v`` even where it is a constant, which contractions cannot take as a number."""
        found = self.sources.views.get(v)
        if found is None:
            found = self._constant_tensor(v)
        return found

    def _constant_tensor(self, v: int) -> View:
        value, dtype = self.sources.constants[v]
        shape: tuple[int, ...] = self.graph.types[v].shape  # type: ignore[assignment]
        fresh = -1 - len(self.extra)
        self.extra[fresh] = TensorType((), dtype)
        node = Node(constant_p, (), {"value": value, "dtype": dtype}, (fresh,))
        self._add(HostStep(node, [], [fresh]))
        return View(fresh, shape, (0,) * len(shape))

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
        if base in taken or task is None or isinstance(self.tasks[task], HostStep):
            return self._copy(View.dense(base, self.graph.types[v].shape)).base  # type: ignore[arg-type]
        return base

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
        for t, task in enumerate(self.tasks):
            need = _workspace(task)
            if need:
                key = -(1 << 40) - t
                scratch[t] = key
                sizes[key], born[key], dies[key] = need, t, t
                if isinstance(task, Task) and task.once:  # what was packed stays there
                    born[key], dies[key] = 0, len(self.tasks)
        offsets, schedule.arena = plan_arena(sizes, born, dies)
        for v in sizes:
            if v > -(1 << 40):
                place[v] = Pointer(ARENA, offsets[v])
        for task in self.tasks:
            for base in _reads(task):
                place.setdefault(base, Pointer(ARENA))  # what nothing writes has no elements
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
                made = self._calls(task, place, workspace)
                if task.once:
                    schedule.once.extend(made[:-1])
                    made = made[-1:]
                calls.extend(made)
            schedule.kernels += 1
            if self.units is not None:
                self._describe(t, task, calls[first:])
        schedule.results = [place[v].slot for v in outputs]
        schedule.slots = self.slots
        schedule.units = self.units or []
        return schedule

    def _bytes(self, v: int) -> int:
        """Bytes of a value in the arena, those between its elements among them."""
        part = self.sources.parts.get(v)
        dtype = self._type(v).dtype
        if part is None or part.view.base != v:
            return int(self._type(v).nbytes)
        view = part.view
        return (sum((n - 1) * s for n, s in zip(view.shape, view.strides, strict=True)) + 1) * dtype.itemsize

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
        self, task: Task, place: Mapping[int, Pointer], workspace: Pointer = _NO_WORKSPACE
    ) -> list[Call]:
        pointers: list[Pointer | int] = []
        for operand, described in zip(task.operands, task.kernel.operands, strict=True):
            if isinstance(operand, int):
                pointers.append(place[operand])
            else:
                view = operand.view if isinstance(operand, Part) else operand
                if view.base == NOWHERE:
                    pointers.append(view.offset * described.dtype.itemsize)
                    continue
                at = place[view.base]
                pointers.append(Pointer(at.slot, at.offset + view.offset * described.dtype.itemsize))
        entry = self.entry(task.kernel)
        family = task.kernel.family
        if family == "elementwise":
            return elementwise.calls(task.kernel, entry, task.sizes, task.strides, tuple(pointers))
        if family == "normalization":
            return normalization.calls(task.kernel, entry, task.sizes, task.strides, tuple(pointers))
        given = task.kernel, entry, task.sizes, task.strides, tuple(pointers), workspace
        if family == "convolution":
            return direct.calls(*given, task.boxes, task.chunk)
        return (
            reduction.calls(*given)
            if family == "reduction"
            else contraction.calls(*given, task.once, task.chunk)
        )


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
    if isinstance(task, HostStep) or task.kernel.family in ("elementwise", "normalization"):
        return 0
    if task.kernel.family == "reduction":
        return reduction.workspace(task.kernel, task.sizes)
    if task.kernel.family == "convolution":
        return direct.workspace(task.kernel, task.sizes, task.strides, task.boxes, task.chunk)
    return contraction.workspace(task.kernel, task.sizes, task.once, task.chunk)


def schedule(
    graph: Graph,
    partition: Partition,
    donated: frozenset[int],
    numbers: int,
    entry: Entry,
    units: bool = False,
) -> Schedule:
    """Lay out ``graph`` for its sizes; ``entry(kernel)`` names a kernel's machine code.

    The last ``numbers`` inputs are numbers, not buffers.  With ``units`` the schedule says what its
    tasks came from.
    """
    scheduler = _Scheduler(graph, partition, donated, numbers, entry)
    scheduler.units = [] if units else None
    return scheduler.run()
