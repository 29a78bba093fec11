"""Where the values of a program lie: views of what has memory, and copies, made when asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flambeau.compiler.control import ControlTask, Operand
from flambeau.compiler.convolution import MANY_CHANNELS
from flambeau.compiler.groups import Partition
from flambeau.compiler.layout import Layouts, spaced
from flambeau.compiler.moving import Box, pad_tasks, parts_of
from flambeau.compiler.tasks import NOWHERE, Part, Sources, Task, converted_task, copy_task
from flambeau.compiler.views import MOVES_NOTHING, View, through
from flambeau.dtypes import DType
from flambeau.graph.graph import Graph, Node
from flambeau.graph.types import TensorType
from flambeau.primitives.views import constant_p


@dataclass(slots=True)
class HostStep:
    """A node computed by its NumPy rule: where its inputs lie, and the slots of its outputs."""

    node: Node
    inputs: list[tuple[View, TensorType] | tuple[None, Any]]
    outputs: list[int]


AnyTask = Task | HostStep | ControlTask


class Values:
    """The values of a graph that is being scheduled; what has to be copied for them becomes tasks."""

    def __init__(self, graph: Graph, partition: Partition) -> None:
        self.graph = graph
        self.partition = partition
        self.sources = Sources({}, {})
        self.counting = Sources(self.sources.views, self.sources.constants, self.sources.parts)
        self.counted: dict[int, Node] = {}  # what counts; kernels that cannot read it from memory
        self.copies: dict[int, View] = {}  # values that are a dense copy of a view, made when first needed
        self.copied: set[int] = set()
        self.extra: dict[int, TensorType] = {}
        self.pads: dict[Any, View] = {}  # what has been padded, converted or turned, and how
        self.lying: Mapping[int, Operand] | None = None  # of a body's inputs; None for a whole program
        self.made: dict[int, int] = {}  # value with memory -> task that writes it, or its first part

    def _add(self, task: AnyTask) -> None:
        """Append a task."""
        raise NotImplementedError

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
        layouts = Layouts(self.graph, self.partition)
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
            elif name == "barrier":
                for v, w in zip(node.inputs, node.outputs, strict=True):
                    if v in constants:
                        constants[w] = constants[v]
                        continue
                    views[w] = views[v]
                    if v in counts:
                        counts[w] = counts[v]
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

    def _bytes(self, v: int) -> int:
        """Bytes of a value in the arena, those between its elements among them."""
        part = self.sources.parts.get(v)
        dtype = self._type(v).dtype
        if part is None or part.view.base != v:
            return int(self._type(v).nbytes)
        view = part.view
        return (sum((n - 1) * s for n, s in zip(view.shape, view.strides, strict=True)) + 1) * dtype.itemsize
