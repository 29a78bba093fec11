"""Gathers, scatters and dynamic slices: elementwise kernels whose addresses are computed.

An index is brought inside before anything is read or written with it, so no kernel leaves its
memory; where it was outside, the kernel says so in the program's status word, the driver stops,
and the error names the operation.  Scatters run the positions of their indices in order, on one
thread for each block of columns, so equal indices add up, or replace each other, in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flambeau.compiler.groups import Group
from flambeau.compiler.kernel import AxisKind, Role
from flambeau.compiler.tasks import (
    NOWHERE,
    STATUS,
    Body,
    Part,
    Sources,
    Task,
    converted_task,
    copy_task,
    pointwise,
)
from flambeau.compiler.views import View
from flambeau.dtypes import DType, bool_, float32, int64
from flambeau.errors import FlambeauError, OperandError, OutOfBoundsError
from flambeau.graph.graph import Graph, Node


@dataclass(frozen=True, slots=True)
class Failure:
    """What a value of the status word means: the node, and the message, which takes the index."""

    node: Node
    message: str
    error: type[FlambeauError] = OutOfBoundsError


class Indexed:
    """Makes the tasks of one group; ``failures`` grows by what its kernels may report.

    ``fresh(shape, dtype)`` is a new value.
    """

    def __init__(
        self,
        graph: Graph,
        group: Group,
        sources: Sources,
        operands: Sequence[View],
        failures: list[Failure],
        fresh: Callable[[tuple[int, ...], DType], int],
    ) -> None:
        self.graph = graph
        self.group = group
        self.sources = sources
        self.node = graph.nodes[group.root]
        self.operands = operands
        self.failures = failures
        self.fresh = fresh
        self.out = self.node.outputs[0]
        self.shape: tuple[int, ...] = graph.types[self.out].shape  # type: ignore[assignment]
        self.dtype = graph.types[self.out].dtype

    def tasks(self) -> list[Task]:
        """The kernels of the group, in order."""
        name = self.node.primitive.name
        if name == "gather":
            return [self._gather()]
        if name == "in_range":
            return [self._in_range()]
        if name == "dynamic_slice":
            return [self._dynamic_slice()]
        if name == "pow":
            return [self._power()]
        if name == "dynamic_update_slice":
            return self._dynamic_update_slice()
        return self._scatter(adds=name == "scatter_add")

    # -- reading ------------------------------------------------------------------------------

    def _gather(self) -> Task:
        x, *indices = self.operands
        count, ndim = len(indices), len(indices[0].shape)
        body = Body(self.graph, self.sources)
        at = self._inside(body, x, indices, self.shape)
        if 0 in x.shape:  # every index fails, and what is read meanwhile is some number
            x = View(indices[0].base, x.shape, (0,) * len(x.shape))
        own = View(x.base, self.shape, (*[0] * ndim, *x.strides[count:]), x.offset)
        body.values[self.out] = self._load(body, own, self.dtype, at)
        return self._followed(body)

    def _in_range(self) -> Task:
        (index,) = self.operands
        body = Body(self.graph, self.sources)
        limit = int(self.node.attrs["size"])
        read = body.add("load", self.dtype, operand=body.operand(self.dtype, Role.IN, index))
        wide = read if self.dtype is int64 else body.add("cast", int64, (read,))
        zero = body.add("const", int64, number=0)
        bad = self._outside(body, wide, zero, self._number(body, limit, self.shape))
        text = f"{self.node.attrs['name']}: {{}} is not in the range from 0 to {limit - 1}"
        self._fail(body, bad, wide, text, self.shape)
        body.values[self.out] = read
        return self._followed(body)

    def _power(self) -> Task:
        """Integers to the power of integers, none of which may be negative."""
        body = Body(self.graph, self.sources)
        x, y = [
            body.add("load", self.dtype, operand=body.operand(self.dtype, Role.IN, v)) for v in self.operands
        ]
        wide = y if self.dtype is int64 else body.add("cast", int64, (y,))
        bad = body.add("lt", bool_, (wide, body.add("const", int64, number=0)))
        text = "pow: integers have no negative powers: cast to a floating-point dtype"
        self._fail(body, bad, wide, text, self.shape, OperandError)
        body.values[self.out] = body.add("pow", self.dtype, (x, y))
        return self._followed(body)

    def _dynamic_slice(self) -> Task:
        x, *starts = self.operands
        body = Body(self.graph, self.sources)
        at = self._start(body, x, starts, self.shape)
        own = View(x.base, self.shape, x.strides, x.offset)
        body.values[self.out] = self._load(body, own, self.dtype, at)
        return self._followed(body)

    def _followed(self, body: Body) -> Task:
        """The kernel of what has been written so far and the elementwise nodes after it."""
        for i in self.group.nodes:
            if i != self.group.root:
                body.compute(self.graph.nodes[i])
        for v in self.group.outputs:
            body.store(v)
        return pointwise(body, self.shape)

    # -- writing ------------------------------------------------------------------------------

    def _dynamic_update_slice(self) -> list[Task]:
        x, update, *starts = self.operands
        shape = update.shape
        whole = View.dense(self.out, self.shape)
        tasks = [copy_task(self.graph, self.out, x, self.dtype)]
        body = Body(self.graph, self.sources)
        at = self._start(body, whole, starts, shape)
        made = body.add("load", self.dtype, operand=body.operand(self.dtype, Role.IN, update))
        part = Part(View(self.out, shape, whole.strides))
        body.add("store_at", self.dtype, (made, at), operand=body.operand(self.dtype, Role.OUT, part))
        if 0 not in shape:
            tasks.append(pointwise(body, shape))
        return tasks

    def _scatter(self, adds: bool) -> list[Task]:
        x, updates, *indices = self.operands
        # Sums of 16-bit numbers are rounded once, at the end.
        wide = float32 if adds and self.dtype.floating and self.dtype.itemsize == 2 else self.dtype
        out = self.out if wide is self.dtype else self.fresh(self.shape, wide)
        whole = View.dense(out, self.shape)
        tasks = [converted_task(self.graph, x, self.dtype, out, wide)]
        count, ndim = len(indices), len(indices[0].shape)
        shape = updates.shape
        body = Body(self.graph, self.sources)
        at = self._inside(body, whole, indices, shape)
        if 0 in self.shape:  # every index fails, and what is written meanwhile must go somewhere
            room = tuple([max(1, n) for n in self.shape])
            whole = View.dense(self.fresh(room, wide), room)
        own = View(whole.base, shape, (*[0] * ndim, *whole.strides[count:]))
        made = body.add("load", self.dtype, operand=body.operand(self.dtype, Role.IN, updates))
        if wide is not self.dtype:
            made = body.add("cast", wide, (made,))
        if adds:
            made = body.add("add", wide, (self._load(body, own, wide, at), made))
        body.add("store_at", wide, (made, at), operand=body.operand(wide, Role.OUT, Part(own)))
        if 0 not in shape:
            kinds = [AxisKind.SERIAL] * ndim + [AxisKind.GRID] * (len(shape) - ndim)
            tasks.append(pointwise(body, shape, kinds=kinds))
        if out != self.out:
            tasks.append(converted_task(self.graph, whole, wide, self.out, self.dtype))
        return tasks

    # -- addresses ----------------------------------------------------------------------------

    def _number(self, body: Body, number: int, shape: tuple[int, ...]) -> int:
        """A number that is known when sizes are: no part of the kernel."""
        nowhere = View(NOWHERE, shape, (0,) * len(shape), number)
        return body.add("index", int64, operand=body.operand(int64, Role.INDEX, nowhere))

    def _load(self, body: Body, view: View, dtype: DType, at: int) -> int:
        return body.add("load_at", dtype, (at,), operand=body.operand(dtype, Role.IN, view))

    def _outside(self, body: Body, index: int, low: int, high: int) -> int:
        below = body.add("lt", bool_, (index, low))
        return body.add("bitwise_or", bool_, (below, body.add("ge", bool_, (index, high))))

    def _fail(
        self, body: Body, bad: int, index: int, message: str, shape: tuple[int, ...],
        error: type[FlambeauError] = OutOfBoundsError,
    ) -> None:  # fmt: skip
        self.failures.append(Failure(self.node, message, error))
        code = self._number(body, len(self.failures), shape)
        status = Part(View(STATUS, shape, (0,) * len(shape)))
        body.add("fail", int64, (bad, index, code), operand=body.operand(int64, Role.OUT, status))

    def _summed(self, body: Body, total: int, place: int, step: int, shape: tuple[int, ...]) -> int:
        moved = body.add("mul", int64, (place, self._number(body, step, shape)))
        return moved if total < 0 else body.add("add", int64, (total, moved))

    def _inside(self, body: Body, x: View, indices: Sequence[View], shape: tuple[int, ...]) -> int:
        """How many elements from where ``x`` begins the indices lead, each brought inside."""
        zero = body.add("const", int64, number=0)
        total = -1
        for axis, index in enumerate(indices):
            spread = (*index.strides, *[0] * (len(shape) - len(index.shape)))
            own = View(index.base, shape, spread, index.offset)
            dtype = self.graph.types[self.node.inputs[len(self.node.inputs) - len(indices) + axis]].dtype
            read = body.add("load", dtype, operand=body.operand(dtype, Role.IN, own))
            read = read if dtype is int64 else body.add("cast", int64, (read,))
            size = self._number(body, x.shape[axis], shape)
            last = self._number(body, x.shape[axis] - 1, shape)
            turned = body.add("add", int64, (read, size))
            place = body.add("select", int64, (body.add("lt", bool_, (read, zero)), turned, read))
            bad = self._outside(body, place, zero, size)
            text = f"index {{}} is out of range for axis {axis} of size {x.shape[axis]}"
            self._fail(body, bad, read, f"{self.node.primitive.name}: {text}", shape)
            place = body.add("maximum", int64, (body.add("minimum", int64, (place, last)), zero))
            total = self._summed(body, total, place, x.strides[axis], shape)
        return total

    def _start(self, body: Body, x: View, starts: Sequence[View], shape: tuple[int, ...]) -> int:
        """How many elements from where ``x`` begins a part begins, moved so that it lies inside."""
        zero = body.add("const", int64, number=0)
        total = -1
        for axis, start in enumerate(starts):
            own = View(start.base, shape, (0,) * len(shape), start.offset)
            read = body.add("load", int64, operand=body.operand(int64, Role.IN, own))
            room = self._number(body, x.shape[axis] - shape[axis], shape)
            place = body.add("minimum", int64, (body.add("maximum", int64, (read, zero)), room))
            total = self._summed(body, total, place, x.strides[axis], shape)
        return zero if total < 0 else total
