"""Laying out the weights in the order in which the innermost loop reads them: panels of channels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flambeau.compiler.contraction.gemm import address, split
from flambeau.compiler.contraction.packing import transposed
from flambeau.compiler.contraction.shape import Shape
from flambeau.compiler.direct.arguments import Inputs
from flambeau.compiler.ir import Module, Value, vector
from flambeau.compiler.kernel import Kernel
from flambeau.compiler.odometer import Odometer

Panel = tuple[Value, Value, Value]


class Packing:
    """Writes the entry that packs all of B: ``shape.width`` channels for each step of K, side by side.

    A tile is some steps of some panels of a group.  Where the last panel has fewer channels, the others
    are zero.
    """

    def __init__(self, module: Module, entry: str, kernel: Kernel, shape: Shape) -> None:
        self.shape = shape
        self.f = module.function(f"{entry}_pack", [("ptr", "args"), ("i64", "tile")])
        self.inputs = Inputs(self.f, kernel)

    def write(self) -> None:
        f, inputs, shape = self.f, self.inputs, self.shape
        tiles = [inputs.number(name) for name in ("groups", "pack_depth_tiles", "pack_column_tiles")]
        group, depth, block = split(f, f.params[1], tiles)
        self.k0 = f.mul(depth, inputs.number("pack_depth"))
        self.steps = f.min(inputs.number("pack_depth"), f.sub(inputs.number("k"), self.k0))
        n0 = f.mul(block, inputs.number("pack_columns"))
        stop = f.min(f.add(n0, inputs.number("pack_columns")), inputs.number("m"))
        self.channel = inputs.stride(1, inputs.axes.channel) or f.i64(0)
        source = address(f, inputs.pointer(1), shape.element, (group, inputs.stride(1, 0)))
        target = address(f, inputs.packed(), shape.element, (group, inputs.number("group_step")))
        target = f.element(target, shape.element, f.mul(self.k0, f.i64(shape.width)))
        run, channels = inputs.number("run"), (n0, stop)
        few, several, end = f.new_block("walking"), f.new_block("running"), f.new_block("packed")
        f.branch_if(f.icmp("eq", run, f.i64(0)), few, several)
        f.place(few)
        with self._panels(source, target, channels) as (read, write, columns):
            self._walk(read, write, columns)
        f.branch(end)
        f.place(several)
        self._runs(source, target, channels, run)
        f.branch(end)
        f.place(end)
        f.ret()

    @contextmanager
    def _panels(self, source: Value, target: Value, channels: tuple[Value, Value]) -> Iterator[Panel]:
        """Walks over panels of channels: where one is read and written, and how many channels it has."""
        f, inputs, element = self.f, self.inputs, self.shape.element
        first, stop = channels
        with f.loop(first, stop, self.shape.width) as panel:
            yield (
                address(f, source, element, (panel.index, self.channel)),
                address(f, target, element, (panel.index, inputs.number("panel_step"))),
                f.min(f.sub(stop, panel.index), f.i64(self.shape.width)),
            )

    def _runs(self, source: Value, target: Value, channels: tuple[Value, Value], run: Value) -> None:
        """Steps are neighbours within each run, in their order or backwards."""
        f, inputs, shape = self.f, self.inputs, self.shape
        steps = [inputs.stride(1, axis) for axis in inputs.axes.depth]
        odometer = Odometer(f, inputs.several("depth"), [steps])
        backwards = f.icmp("ne", inputs.number("backwards"), f.i64(0))
        with f.loop(f.i64(0), self.steps, run) as at:
            (offset,) = odometer.offsets(odometer.start(f.add(self.k0, at.index)))
            count = f.min(run, f.sub(self.steps, at.index))
            first = offset or f.i64(0)
            first = f.select(backwards, f.sub(first, f.sub(count, f.i64(1))), first)
            read = f.element(source, shape.element, first)
            write = f.element(target, shape.element, f.mul(at.index, f.i64(shape.width)))
            with self._panels(read, write, channels) as (own, to, columns):
                self._transpose(own, to, columns, count, backwards)

    def _transpose(self, read: Value, write: Value, columns: Value, count: Value, backwards: Value) -> None:
        """Square blocks of neighbouring steps are transposed in registers."""
        f, shape = self.f, self.shape
        element, lanes = shape.element, shape.lanes
        type_ = vector(lanes, element)
        last = f.sub(columns, f.i64(1))
        whole = f.binary("and", count, f.i64(-lanes))
        # From one step to the next in memory, and where the first is written.
        forth = f.select(backwards, f.i64(-shape.width), f.i64(shape.width))
        start = f.select(backwards, f.mul(f.sub(count, f.i64(1)), f.i64(shape.width)), f.i64(0))
        with f.loop(f.i64(0), columns, lanes) as part:
            # Beyond the last channel the last one is read again, into channels that nobody stores.
            rows = [f.min(f.add(part.index, f.i64(i)), last) for i in range(lanes)]
            places = [f.element(read, element, f.mul(row, self.channel)) for row in rows]
            to = f.element(write, element, f.add(start, part.index))

            def block(at: Value, load: Callable[[Value], Value], count: Value | None) -> None:
                made = transposed(f, [load(f.element(place, element, at)) for place in places])
                for i, step in enumerate(made):
                    place = f.element(to, element, f.mul(f.add(at, f.i64(i)), forth))
                    if count is None:
                        f.store(step, place)
                        continue
                    with f.when(f.icmp("slt", f.i64(i), count)):
                        f.store(step, place)

            with f.loop(f.i64(0), whole, lanes) as at:
                block(at.index, lambda place: f.load(type_, place), None)
            left = f.sub(count, whole)
            with f.when(f.icmp("sgt", left, f.i64(0))):
                mask = f.first_lanes(left, lanes)
                block(whole, lambda place: f.load_masked(type_, place, mask), left)

    def _walk(self, read: Value, write: Value, columns: Value) -> None:
        """One step after the other, wherever it lies."""
        f, shape, inputs = self.f, self.shape, self.inputs
        element, lanes = shape.element, shape.lanes
        type_ = vector(lanes, element)
        steps = [inputs.stride(1, axis) for axis in inputs.axes.depth]
        odometer = Odometer(f, inputs.several("depth"), [steps])
        zero = f.i64(0)
        starts = [f.i64(j * lanes) for j in range(shape.vectors)]
        masks = [f.first_lanes(f.intrinsic("smax", "i64", f.sub(columns, at), zero), lanes) for at in starts]
        single = f.icmp("eq", self.channel, f.i64(1))
        lanes_at = f.mul(f.iota(vector(lanes, "i64")), f.splat(self.channel, lanes))
        with f.loop(f.i64(0), self.steps, 1, odometer.start(self.k0)) as step:
            (offset,) = odometer.offsets(step.carried)
            place = f.element(read, element, offset or zero)
            to = f.element(write, element, f.mul(step.index, f.i64(shape.width)))
            near, apart, end = f.new_block("near"), f.new_block("apart"), f.new_block("walked")
            f.branch_if(single, near, apart)
            f.place(near)
            for at, mask in zip(starts, masks, strict=True):
                f.store(f.load_masked(type_, f.element(place, element, at), mask), f.element(to, element, at))
            f.branch(end)
            f.place(apart)
            for at, mask in zip(starts, masks, strict=True):
                first = f.element(place, element, f.mul(at, self.channel))
                f.store(
                    f.gather(type_, f.element(first, element, lanes_at), mask), f.element(to, element, at)
                )
            f.branch(end)
            f.place(end)
            step.next = odometer.advance(step.carried)
