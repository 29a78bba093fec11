"""Loops and branches inside a program: the bodies of ``scan``, ``cond`` and ``while_loop`` as its own calls.

A body is scheduled like a program and its calls become part of the surrounding one, between
operations of the driver that loop and branch.  What a body takes from outside it reads where it
lies.  A step along an axis is an address that moves on, and a carried value is a pair of buffers
that are exchanged after each step, so nothing is copied and Python has no part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from flambeau.compiler.bodies import bodies
from flambeau.compiler.kernel import Bind, Branch, Call, Op, Pointer, Repeat, Role, Step, Swap
from flambeau.compiler.memory import ALIGNMENT
from flambeau.compiler.tasks import STATUS, Body, Sources, Task, copy_task, pointwise
from flambeau.compiler.units import Unit
from flambeau.compiler.views import View
from flambeau.dtypes import DType
from flambeau.graph.graph import Graph, Node
from flambeau.graph.types import TensorType

Operand = View | tuple[Any, DType]  # where an operand lies, or the number it is


class Inner(Protocol):
    """A body laid out: see ``schedule.Schedule``."""

    constants: list[Any]
    arena: int
    slots: int
    results: list[int]
    place: dict[int, Pointer]
    units: list[Unit]
    once: list[Op]

    def operations(self) -> list[Op]: ...


Layout = Callable[[Graph, Any, Mapping[int, Operand], frozenset[int]], Inner]
Calls = Callable[[Task, Mapping[int, Pointer]], list[Call]]


class ControlTask:
    """One node of control flow with its bodies laid out.

    ``operands`` are those of the node, ``constants`` the constant tensors that the bodies read:
    (value for the surrounding program to hold, node that makes it).
    """

    def __init__(
        self,
        node: Node,
        types: Sequence[TensorType],
        partitions: Sequence[Any],
        operands: Sequence[Operand],
        layout: Layout,
        constant: Callable[[Node], int],
    ) -> None:
        self.node = node
        self.types = types
        self.operands = list(operands)
        self.writes = list(node.outputs)
        self.reads = [x.base for x in operands if isinstance(x, View)]
        self._graphs = bodies(node)
        self._inner: list[Inner] = []
        self._tensors: list[dict[int, int]] = []  # per body: slot of a constant tensor -> outer value
        for graph, partition in zip(self._graphs, partitions, strict=True):
            number = len(self._inner)
            inner = layout(graph, partition, self._lying(number), self._staying(number))
            tensors: dict[int, int] = {}
            for step in inner.constants:
                made = constant(step.node)
                tensors[inner.place[step.outputs[0]].slot] = made
                self.reads.append(made)
            self._inner.append(inner)
            if STATUS in inner.place and STATUS not in self.writes:
                self.writes.append(STATUS)
            self._tensors.append(tensors)
        self.written: list[list[Op]] = [[] for _ in self._inner]  # the operations of each body
        self._offsets: dict[Any, int] = {}
        self.workspace = 0
        for number, inner in enumerate(self._inner):
            self._reserve(("arena", number), inner.arena)
        if node.primitive.name == "while_loop":
            self._reserve("answer", 1)
        for i in self._carried():
            nbytes = int(types[node.outputs[i]].nbytes)
            self._reserve(("now", i), nbytes)
            self._reserve(("next", i), nbytes)

    def _reserve(self, key: Any, nbytes: int) -> None:
        self._offsets[key] = self.workspace
        self.workspace += -(-nbytes // ALIGNMENT) * ALIGNMENT

    def _carried(self) -> range:
        """Which outputs are carried from step to step."""
        name, attrs = self.node.primitive.name, self.node.attrs
        if name == "cond":
            return range(0)
        return range(attrs["split"][1] if name == "scan" else len(self.node.outputs))

    def _sources(self, number: int) -> list[tuple[str, int]]:
        """What each input of a body is: ("outside", operand), ("carried", output) or ("step", operand)."""
        name, attrs = self.node.primitive.name, self.node.attrs
        count = len(self._carried())
        if name == "cond":
            return [("outside", i) for i in range(1, len(self.operands))]
        if name == "scan":
            consts = attrs["split"][0]
            steps = range(consts + count, len(self.operands))
            outside = range(consts)
        else:
            asked, used = attrs["split"]
            outside = range(asked) if number == 0 else range(asked, asked + used)
            steps = range(0)
        return [
            *[("outside", i) for i in outside],
            *[("carried", i) for i in range(count)],
            *[("step", i) for i in steps],
        ]

    def _staying(self, number: int) -> frozenset[int]:
        """The inputs of a loop's body that are the same at each step."""
        if self.node.primitive.name != "scan":
            return frozenset()
        sources = self._sources(number)
        inputs = self._graphs[number].inputs
        return frozenset(v for v, (kind, _) in zip(inputs, sources, strict=True) if kind == "outside")

    def _lying(self, number: int) -> dict[int, Operand]:
        """How the inputs of a body lie, where that is not densely in row-major order."""
        graph = self._graphs[number]
        found: dict[int, Operand] = {}
        for v, (kind, i) in zip(graph.inputs, self._sources(number), strict=True):
            if kind == "carried":
                continue
            x = self.operands[i]
            if not isinstance(x, View):
                found[v] = x
            elif kind == "outside":
                found[v] = View(v, x.shape, x.strides)
            else:
                found[v] = View(v, x.shape[1:], x.strides[1:])
        return found

    def units(self) -> list[list[Unit]]:
        """What the tasks of each body came from."""
        return [inner.units for inner in self._inner]

    # -- operations ---------------------------------------------------------------------------

    def operations(
        self,
        place: Mapping[int, Pointer],
        workspace: Pointer,
        new_slot: Callable[[], int],
        calls: Calls,
    ) -> list[Op]:
        """What the driver does, once it is known where everything lies."""
        made = _Writer(self, place, workspace, new_slot, calls)
        name = self.node.primitive.name
        if name == "cond":
            return made.cond()
        return made.scan() if name == "scan" else made.while_loop()


class _Writer:
    """Writes the operations of one task."""

    def __init__(
        self,
        task: ControlTask,
        place: Mapping[int, Pointer],
        workspace: Pointer,
        new_slot: Callable[[], int],
        calls: Calls,
    ) -> None:
        self.task = task
        self.place = place
        self.workspace = workspace
        self.new_slot = new_slot
        self.calls = calls
        self.now = {i: new_slot() for i in task._carried()}
        self.next = {i: new_slot() for i in task._carried()}
        self.moving: dict[int, int] = {}  # operand that is walked along -> slot

    def _reserved(self, key: Any) -> Pointer:
        return Pointer(self.workspace.slot, self.workspace.offset + self.task._offsets[key])

    def _operand(self, i: int) -> Pointer:
        """Where an operand that has memory begins."""
        view = self.task.operands[i]
        assert isinstance(view, View)
        at = self.place[view.base]
        itemsize = self._dtype(i).itemsize
        return Pointer(at.slot, at.offset + view.offset * itemsize)

    def _dtype(self, i: int) -> DType:
        return self.task.types[self.task.node.inputs[i]].dtype

    def _body(self, number: int, outputs: Sequence[Pointer]) -> tuple[list[Op], list[Op]]:
        """What comes before the first step, and the operations of a body whose results go to ``outputs``."""
        task = self.task
        inner = task._inner[number]
        graph = task._graphs[number]
        at: dict[int, Pointer] = {0: self._reserved(("arena", number))}
        for v, (kind, i) in zip(graph.inputs, task._sources(number), strict=True):
            slot = inner.place[v].slot
            if kind == "carried":
                at[slot] = Pointer(self.now[i])
            elif isinstance(task.operands[i], View):
                at[slot] = self._operand(i) if kind == "outside" else Pointer(self.moving[i])
        for slot, v in task._tensors[number].items():
            at[slot] = self.place[v]
        at.update(zip(inner.results, outputs, strict=True))
        if STATUS in inner.place:
            at[inner.place[STATUS].slot] = self.place[STATUS]

        def moved(p: Pointer) -> Pointer:
            if p.slot not in at:
                at[p.slot] = Pointer(self.new_slot())  # the moving slot of a loop inside
            return Pointer(at[p.slot].slot, at[p.slot].offset + p.offset)

        once, out = self._placed(inner.once, moved), self._placed(inner.operations(), moved)
        task.written[number] = list(out)
        return once, out

    def _placed(self, ops: Sequence[Op], moved: Callable[[Pointer], Pointer]) -> list[Op]:
        """Operations of a body with the places that they have in the surrounding program."""

        def slot_of(slot: int) -> int:
            return moved(Pointer(slot)).slot

        out: list[Op] = []
        for op in ops:
            if isinstance(op, Call):
                args = tuple([moved(a) if isinstance(a, Pointer) else a for a in op.args])
                out.append(Call(op.entry, op.tiles, args, op.cost))
            elif isinstance(op, Bind):
                out.append(Bind(tuple(map(slot_of, op.slots)), tuple(map(moved, op.places))))
            elif isinstance(op, Step):
                out.append(Step(tuple([(slot_of(slot), nbytes) for slot, nbytes in op.steps])))
            elif isinstance(op, Swap):
                out.append(Swap(tuple([(slot_of(a), slot_of(b)) for a, b in op.pairs])))
            elif isinstance(op, Branch) and op.condition is not None:
                out.append(Branch(op.ahead, moved(op.condition), op.when))
            else:
                out.append(op)
        return out

    # -- carried values -----------------------------------------------------------------------

    def _begin(self, first: int) -> list[Op]:
        """Bind the slots of carried values, and copy their start values (operands from ``first`` on)."""
        task = self.task
        if not self.now:
            return []
        slots = [*self.now.values(), *self.next.values()]
        places = [*[self._reserved(("now", i)) for i in self.now]]
        places += [self._reserved(("next", i)) for i in self.next]
        out: list[Op] = [Bind(tuple(slots), tuple(places))]
        for i, slot in self.now.items():
            out += self._copy(task.operands[first + i], self._type(i), None, Pointer(slot))
        return out

    def _end(self) -> list[Op]:
        """Copy the last carried values to the outputs."""
        out: list[Op] = []
        for i, slot in self.now.items():
            target = self.place[self.task.node.outputs[i]]
            out += self._copy(View.dense(0, self._shape(i)), self._type(i), Pointer(slot), target)
        return out

    def _type(self, i: int) -> TensorType:
        return self.task.types[self.task.node.outputs[i]]

    def _shape(self, i: int) -> tuple[int, ...]:
        shape: tuple[int, ...] = self._type(i).shape  # type: ignore[assignment]
        return shape

    def _copy(self, source: Operand, type: TensorType, origin: Pointer | None, target: Pointer) -> list[Call]:
        """Copy a view (of ``origin``, or of a value of the program) or a number to dense memory."""
        shape: Any = type.shape
        if 0 in shape:
            return []
        result = -1 << 50
        graph = Graph((type,), (), (), ())
        if isinstance(source, View):
            base = source.base
            task = copy_task(graph, result, source, type.dtype)
            return self.calls(task, {result: target, base: origin or self.place[base]})
        body = Body(graph, Sources({}, {0: source}))
        made = body.read(0)
        body.add("store", type.dtype, (made,), operand=body.operand(type.dtype, Role.OUT, result))
        return self.calls(pointwise(body, shape), {result: target})

    # -- the three kinds ----------------------------------------------------------------------

    def scan(self) -> list[Op]:
        task = self.task
        attrs = task.node.attrs
        consts, count = attrs["split"]
        length: int = attrs["length"]
        out = self._begin(consts)
        if length:
            slots: list[int] = []
            places: list[Pointer] = []
            steps: list[int] = []

            def walk(start: Pointer, nbytes: int) -> int:
                slot = self.new_slot()
                slots.append(slot)
                last = (length - 1) * nbytes if attrs["reverse"] else 0
                places.append(Pointer(start.slot, start.offset + last))
                steps.append(-nbytes if attrs["reverse"] else nbytes)
                return slot

            for i in range(consts + count, len(task.operands)):
                view = task.operands[i]
                if isinstance(view, View):
                    self.moving[i] = walk(self._operand(i), view.strides[0] * self._dtype(i).itemsize)
            results = [Pointer(slot) for slot in self.next.values()]
            for v in task.node.outputs[count:]:
                row = int(task.types[v].nbytes) // length
                results.append(Pointer(walk(self.place[v], row)))
            if slots:
                out.append(Bind(tuple(slots), tuple(places)))
            once, loop = self._body(0, results)
            out += once
            moving = tuple([(slot, nbytes) for slot, nbytes in zip(slots, steps, strict=True) if nbytes])
            if moving:
                loop.append(Step(moving))
            loop += self._exchange()
            out += [*loop, Repeat(len(loop), length)]
        return [*out, *self._end()]

    def _exchange(self) -> list[Op]:
        pairs = tuple(zip(self.now.values(), self.next.values(), strict=True))
        return [Swap(pairs)] if pairs else []

    def cond(self) -> list[Op]:
        task = self.task
        results = [self.place[v] for v in task.node.outputs]
        (_, yes), (_, no) = self._body(0, results), self._body(1, results)
        condition = task.operands[0]
        if not isinstance(condition, View):
            return yes if condition[0] else no
        return [
            Branch(len(yes) + 2, self._operand(0), False),
            *yes,
            Branch(len(no) + 1),
            *no,
        ]

    def while_loop(self) -> list[Op]:
        task = self.task
        answer = self._reserved("answer")
        _, test = self._body(0, [answer])
        _, body = self._body(1, [Pointer(slot) for slot in self.next.values()])
        body += self._exchange()
        return [
            *self._begin(sum(task.node.attrs["split"])),
            *test,
            Branch(len(body) + 2, answer, False),
            *body,
            Branch(-(len(test) + 1 + len(body))),
            *self._end(),
        ]
