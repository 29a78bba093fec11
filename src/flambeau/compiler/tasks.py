"""From a group of nodes and its sizes to a kernel and what it is called with."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flambeau.compiler.contraction.shape import CHUNK
from flambeau.compiler.direct.boxes import Box
from flambeau.compiler.groups import Group
from flambeau.compiler.kernel import AxisKind, Instr, Kernel, Operand, Role, Stride
from flambeau.compiler.partition import REDUCTIONS
from flambeau.compiler.views import View, collapse, dense_strides
from flambeau.dtypes import DType, float32, int64
from flambeau.graph.graph import Graph, Node

NOWHERE = -(1 << 60)  # the base of a view that only counts
STATUS = -(1 << 59)  # the value that says whether something failed


@dataclass(frozen=True, slots=True)
class Part:
    """The elements of a value that a task writes, leaving the others to other tasks."""

    view: View


Place = View | Part | int


@dataclass(slots=True)
class Task:
    """A kernel, its sizes, and per operand a view (read), or the number or part of the value it writes.

    ``once`` says that its second operand stays, through all steps of a loop or from one run to the next, and
    is packed once for all of them;
    ``boxes`` are what a convolution's positions fall into; ``chunk`` is how long chains of a contraction are,
    those of a convolution in channels; ``streams`` says that what it writes is too large to stay in a cache,
    and read by nobody soon.
    """

    kernel: Kernel
    sizes: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    operands: list[Place]
    once: bool = False
    boxes: tuple[Box, ...] = ()
    chunk: int = CHUNK
    streams: bool = False

    @property
    def reads(self) -> list[int]:
        return [o.base for o in self.operands if isinstance(o, View) and o.base != NOWHERE]

    @property
    def right(self) -> int:
        """The value that the second operand of a contraction or convolution is a view of."""
        view = self.operands[1]
        assert isinstance(view, View)
        return view.base

    @property
    def writes(self) -> list[int]:
        return [o.view.base if isinstance(o, Part) else o for o in self.operands if not isinstance(o, View)]


@dataclass(slots=True)
class Sources:
    """Where a group's inputs lie: views of values with memory, and numbers known at compile time.

    ``parts`` are values that lie within another one, which is put together of them.  ``counts`` are
    views of numbers that only count, which a kernel computes rather than reads.
    """

    views: dict[int, View]
    constants: dict[int, tuple[Any, DType]]
    parts: dict[int, Part] = field(default_factory=dict)
    counts: dict[int, View] = field(default_factory=dict)


_EFFECTS = ("store", "store_at", "fail")


class Body:
    """Straight-line code under construction: each value once, each operand once."""

    def __init__(self, graph: Graph, sources: Sources) -> None:
        self.graph = graph
        self.sources = sources
        self.instrs: list[Instr] = []
        self.values: dict[int, int] = {}
        self.operands: list[tuple[DType, Role, Place]] = []
        self._known: dict[Any, int] = {}
        self._loads: dict[Any, int] = {}

    def add(
        self, op: str, dtype: DType, args: tuple[int, ...] = (), operand: int = -1, number: Any = None
    ) -> int:
        """Append an instruction, unless there is an equal one without effects; returns its number."""
        made = Instr(op, dtype, args, operand, number)
        key = (made, repr(number))  # 0.0 equals -0.0
        known = self._known.get(key)
        if known is None or op in _EFFECTS:
            self.instrs.append(made)
            known = self._known[key] = len(self.instrs) - 1
        return known

    def operand(self, dtype: DType, role: Role, place: Place) -> int:
        """A new operand; returns its number."""
        self.operands.append((dtype, role, place))
        return len(self.operands) - 1

    def read(self, v: int) -> int:
        """The instruction that gives value ``v``: computed here, a constant, or a load."""
        known = self.values.get(v)
        if known is not None:
            return known
        constant, count = self.sources.constants.get(v), self.sources.counts.get(v)
        if constant is not None:
            made = self.add("const", constant[1], number=constant[0])
        elif count is not None:
            made = self._count(count)
            if (dtype := self.graph.types[v].dtype) is not int64:
                made = self.add("cast", dtype, (made,))
        else:
            view = self.sources.views[v]
            dtype = self.graph.types[v].dtype
            made = self._load(dtype, view)
        self.values[v] = made
        return made

    def _load(self, dtype: DType, view: View) -> int:
        """The element of a view at the kernel's point."""
        return self.add("load", dtype, operand=self._shared(dtype, Role.IN, view))

    def _count(self, view: View) -> int:
        """How many steps the kernel's point is from the first one: the offset that ``view`` says."""
        return self.add("index", int64, operand=self._shared(int64, Role.INDEX, view))

    def _shared(self, dtype: DType, role: Role, view: View) -> int:
        key = (role, view)
        if key not in self._loads:
            self._loads[key] = self.operand(dtype, role, view)
        return self._loads[key]

    def compute(self, node: Node) -> None:
        """Append an elementwise node."""
        if node.primitive.name == "random_bits":
            self._random(node)
            return
        out = node.outputs[0]
        if node.primitive.name == "size":
            self.values[out] = self._size(node)
            return
        args = tuple([self.read(v) for v in node.inputs])
        self.values[out] = self.add(node.primitive.name, self.graph.types[out].dtype, args)

    def _size(self, node: Node) -> int:
        """A size: known with the others, and no part of the kernel."""
        place = View(NOWHERE, (), (), int(node.attrs["value"]))
        made = self._count(place)
        dtype = self.graph.types[node.outputs[0]].dtype
        return made if dtype is int64 else self.add("cast", dtype, (made,))

    def _random(self, node: Node) -> None:
        """Random bits are a function of a key, a counter, and an element's number in the whole draw."""
        (out,) = node.outputs
        shape: tuple[int, ...] = self.graph.types[out].shape  # type: ignore[assignment]
        own: tuple[int, ...] = tuple(node.attrs["shape"])
        lead = len(shape) - len(own)
        args = []
        for v in node.inputs:
            view = self.sources.views.get(v)
            if v in self.values or view is None or not own:
                args.append(self.read(v))
                continue
            spread = View(view.base, shape, (*view.strides, *[0] * len(own)), view.offset)
            dtype = self.graph.types[v].dtype
            args.append(self._load(dtype, spread))
        row = node.attrs["row"]
        steps = dense_strides(own if row is None else (*own[:-1], row))
        places = View(NOWHERE, shape, (*[0] * lead, *steps))
        number = self._count(places)
        for start in args[2:]:
            number = self.add("add", int64, (number, start))
        self.values[out] = self.add("random_bits", self.graph.types[out].dtype, (*args[:2], number))

    def store(self, v: int, part: Part | None = None) -> None:
        """Write value ``v`` to memory of its own, or to a part of another value."""
        dtype = self.graph.types[v].dtype
        place: Place = part if part is not None else self.sources.parts.get(v, v)
        self.add("store", dtype, (self.values[v],), operand=self.operand(dtype, Role.OUT, place))


_NEAR = {1: Stride.ONE}
_NEAR_OR_NEXT = {1: Stride.ONE, 2: Stride.TWO}


def stride_kinds(
    steps: Sequence[int], one_at: Sequence[int], known: Mapping[int, Stride] = _NEAR
) -> tuple[Stride, ...]:
    """Stride classes; only along axes in ``one_at`` are steps in ``known`` told apart."""
    return tuple(
        Stride.ZERO if s == 0 else known.get(s, Stride.ANY) if i in one_at else Stride.ANY
        for i, s in enumerate(steps)
    )


def finish(
    family: str, body: Body, axes: Sequence[AxisKind], sizes: Sequence[int], strides: Sequence[Sequence[int]],
    one_at: Sequence[int], by_two: bool = False,
) -> Task:  # fmt: skip
    """A task of the family's kernel; only along axes in ``one_at`` are neighbours told apart.

    ``by_two`` says that a step of 2 is part of the program's structure, so that it is told apart too.
    """
    known = _NEAR_OR_NEXT if by_two else _NEAR
    operands = tuple(
        Operand(dtype, role, stride_kinds(steps, one_at, known))
        for (dtype, role, _), steps in zip(body.operands, strides, strict=True)
    )
    kernel = Kernel(family, tuple(axes), operands, tuple(body.instrs))
    places = [place for _, _, place in body.operands]
    return Task(kernel, tuple(sizes), tuple([tuple(s) for s in strides]), places)


def elementwise_task(graph: Graph, group: Group, sources: Sources) -> Task:
    """The kernel of an elementwise group."""
    body = Body(graph, sources)
    for i in group.nodes:
        body.compute(graph.nodes[i])
    for v in group.outputs:
        body.store(v)
    shape: tuple[int, ...] = graph.types[group.outputs[0]].shape  # type: ignore[assignment]
    return pointwise(body, shape)


def copy_task(graph: Graph, place: Place, source: View, dtype: DType) -> Task:
    """The kernel that copies the elements of a view into memory of a value or a part of it."""
    body = Body(graph, Sources({}, {}))
    made = body.add("load", dtype, operand=body.operand(dtype, Role.IN, source))
    body.add("store", dtype, (made,), operand=body.operand(dtype, Role.OUT, place))
    return _transposing(body, source) or pointwise(body, source.shape)


def _transposing(body: Body, source: View) -> Task | None:
    """The kernel of a copy of elements that are neighbours along another axis than the last one."""
    given = [strides_of(place, source.shape) for _, _, place in body.operands]
    sizes, (own, steps), _ = collapse(source.shape, given)
    if len(sizes) < 2 or own[-1] in (0, 1) or steps[-1] != 1 or 1 not in own:
        return None
    near = own.index(1)
    order = [*[i for i in range(len(sizes) - 1) if i != near], near, len(sizes) - 1]
    turned = [[s[i] for i in order] for s in (own, steps)]
    axes = [*[AxisKind.GRID] * (len(sizes) - 1), AxisKind.VECTOR]
    return finish(
        "elementwise", body, axes, [sizes[i] for i in order], turned, (len(sizes) - 2, len(sizes) - 1)
    )


def converted_task(graph: Graph, source: View, dtype: DType, place: Place, to: DType) -> Task:
    """The kernel that copies a view to a place, as another dtype where that differs."""
    body = Body(graph, Sources({}, {}))
    made = body.add("load", dtype, operand=body.operand(dtype, Role.IN, source))
    made = made if dtype is to else body.add("cast", to, (made,))
    body.add("store", to, (made,), operand=body.operand(to, Role.OUT, place))
    return pointwise(body, source.shape)


def strides_of(place: Place, shape: Sequence[int]) -> tuple[int, ...]:
    """The steps of an operand over points of ``shape``."""
    if isinstance(place, View):
        return place.strides
    return place.view.strides if isinstance(place, Part) else dense_strides(shape)


def pointwise(
    body: Body, shape: tuple[int, ...], by_two: bool = False, kinds: Sequence[AxisKind] = ()
) -> Task:
    """The elementwise kernel of a body over points of ``shape``.

    ``kinds`` are those of the axes, GRID where they are not given.  For ``by_two`` see ``finish``.
    """
    strides = [strides_of(place, shape) for _, _, place in body.operands]
    serial = [int(kind is AxisKind.SERIAL) for kind in kinds]
    if not serial:
        shape, strides = _as_stored(body, shape, strides)
    sizes, steps, made = collapse(shape, strides, serial)
    if serial and made and serial[made[-1][-1]]:  # no vector may hold points that come in order
        sizes.append(1)
        made.append([-1])
        for s in steps:
            s.append(0)
        for s, (_, role, _) in zip(steps, body.operands, strict=True):
            s[-1] = int(role is Role.OUT)
    if not sizes:  # one point
        sizes, steps = [1], [[0 if isinstance(p, View) else 1] for _, _, p in body.operands]
    axes = [AxisKind.SERIAL if serial and serial[own[0]] else AxisKind.GRID for own in made[:-1]]
    axes.append(AxisKind.VECTOR)
    return finish("elementwise", body, axes, sizes, steps, (len(sizes) - 1,), by_two)


def _as_stored(
    body: Body, shape: tuple[int, ...], strides: list[tuple[int, ...]]
) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """The same points in the order in which the first result that is laid out otherwise lies in memory."""
    for (_, role, place), own in zip(body.operands, strides, strict=True):
        if role is not Role.OUT or not isinstance(place, Part):
            continue
        order = sorted(range(len(shape)), key=lambda i: -own[i] if shape[i] > 1 else 0)
        return tuple([shape[i] for i in order]), [tuple([s[i] for i in order]) for s in strides]
    return shape, strides


def reduction_task(graph: Graph, group: Group, sources: Sources) -> Task:
    """The kernel of a reduction with what is fused before and after it."""
    nodes = [graph.nodes[i] for i in group.nodes]
    root = graph.nodes[group.root]
    whole: tuple[int, ...] = graph.types[root.inputs[0]].shape  # type: ignore[assignment]
    reduced = set(root.attrs["axes"])
    roots = [n for n in nodes if n.primitive.name in REDUCTIONS]
    late: set[int] = {n.outputs[0] for n in roots}
    before, after = [], []
    for n in nodes:
        if n.primitive.name in REDUCTIONS:
            continue
        if any(v in late for v in n.inputs) or graph.types[n.outputs[0]].shape != whole:
            after.append(n)
            late.add(n.outputs[0])
        else:
            before.append(n)
    body = Body(graph, sources)
    for n in before:
        body.compute(n)
    for v in group.outputs:
        if v not in late:
            body.store(v)
    points = [body.read(n.inputs[0]) for n in roots]
    for n, x in zip(roots, points, strict=True):
        out = n.outputs[0]
        body.values[out] = body.add(n.primitive.name, graph.types[out].dtype, (x,))
    wide_operands = len(body.operands)
    for n in after:
        body.compute(n)
    for v in group.outputs:
        if v in late:
            body.store(v)
    return reduction_over(body, whole, reduced, wide_operands)


def reduction_over(body: Body, whole: tuple[int, ...], reduced: Collection[int], wide: int) -> Task:
    """The reduction kernel of a body over points of shape ``whole``.

    The first ``wide`` operands have these axes, the others only those that are not ``reduced``.
    """
    kept = [i for i in range(len(whole)) if i not in reduced]
    strides: list[list[int]] = []
    for number, (_, _, place) in enumerate(body.operands):
        if number < wide:
            strides.append(list(strides_of(place, whole)))
            continue
        own = strides_of(place, [whole[i] for i in kept])
        spread = [0] * len(whole)
        for step, axis in zip(own, kept, strict=True):
            spread[axis] = step
        strides.append(spread)
    return reduction_layout("reduction", body, whole, reduced, strides)


def reduction_layout(
    family: str,
    body: Body,
    whole: tuple[int, ...],
    reduced: Collection[int],
    strides: Sequence[Sequence[int]],
) -> Task:
    """The kernel of a body over points of shape ``whole`` with the axes ``reduced``, adjacent ones merged."""
    near = neighbours(whole, strides, reduced)
    if near is not None and family == "reduction":
        return _across(body, whole, strides, reduced, near)
    labels = [int(i in reduced) for i in range(len(whole))]
    sizes, steps, groups = collapse(whole, strides, labels)
    kinds = [AxisKind.REDUCE if g[0] in reduced else AxisKind.GRID for g in groups]
    inner = [i for i in range(len(whole)) if i not in reduced or whole[i] != 1]
    if inner and inner[-1] not in reduced and kinds[-1:] == [AxisKind.REDUCE]:
        # One column is a column all the same: its bits may not depend on how many there are.
        sizes.append(1)
        kinds.append(AxisKind.GRID)
        for s in steps:
            s.append(1)
    if AxisKind.REDUCE not in kinds:
        sizes.append(1)
        kinds.append(AxisKind.REDUCE)
        for s in steps:
            s.append(0)
    if kinds[-1] is AxisKind.GRID:
        kinds[-1] = AxisKind.VECTOR
    return finish(family, body, kinds, sizes, steps, (len(sizes) - 1,))


def neighbours(
    whole: Sequence[int], strides: Sequence[Sequence[int]], reduced: Collection[int]
) -> int | None:
    """The axis that is kept and along which points are neighbours, where the innermost axis is reduced."""
    inner = [i for i, n in enumerate(whole) if n != 1 or i not in reduced]
    if not inner or inner[-1] not in reduced:
        return None
    several = [i for i in inner if whole[i] != 1]
    for own in strides:
        if all(own[i] for i in several):  # the first operand that is there for every point decides
            near = min(several, key=lambda i: abs(own[i]))
            return near if own[near] == 1 and near not in reduced else None
    return None


def _across(
    body: Body, whole: tuple[int, ...], strides: Sequence[Sequence[int]], reduced: Collection[int], near: int
) -> Task:
    """The reduction kernel that takes several points along ``near`` at a time."""
    order = [*[i for i in range(len(whole)) if i not in reduced and i != near], near]
    order += [i for i in range(len(whole)) if i in reduced]
    labels = [1 if i == near else 2 if i in reduced else 0 for i in order]
    sizes, steps, groups = collapse(
        [whole[i] for i in order], [[s[i] for i in order] for s in strides], labels
    )
    kinds = [(AxisKind.GRID, AxisKind.VECTOR, AxisKind.REDUCE)[labels[g[0]]] for g in groups]
    return finish("reduction", body, kinds, sizes, steps, (kinds.index(AxisKind.VECTOR),))


@dataclass(slots=True)
class Product:
    """The operands of a contraction as (batch.., rows, depth) and (batch.., depth, columns)."""

    batch: list[int]
    rows: list[int]
    columns: list[int]
    depth: list[int]
    a: View
    b: View


def product_of(graph: Graph, node: Node, a: View, b: View) -> Product:
    """Which axes of the operands are batch, rows, columns and depth."""
    (ca, cb), (ba, bb) = node.attrs["contract"], node.attrs["batch"]
    rows = [i for i in range(len(a.shape)) if i not in ca and i not in ba]
    columns = [i for i in range(len(b.shape)) if i not in cb and i not in bb]

    def pick(view: View, axes: Sequence[int]) -> View:
        return View(
            view.base,
            tuple([view.shape[i] for i in axes]),
            tuple([view.strides[i] for i in axes]),
            view.offset,
        )

    nb, nr, nc, nk = len(ba), len(rows), len(columns), len(ca)
    order = sorted(range(nk), key=lambda i: ca[i])  # depth in the order it lies in the first operand
    a = pick(a, [*ba, *rows, *[ca[i] for i in order]])
    b = pick(b, [*bb, *[cb[i] for i in order], *columns])
    return Product(
        list(range(nb)),
        list(range(nb, nb + nr)),
        list(range(nb + nr, nb + nr + nc)),
        list(range(nb + nr + nc, nb + nr + nc + nk)),
        a,
        b,
    )


def computed_in(node: Node, dtype: DType) -> DType:
    """The dtype that a product or convolution with results of ``dtype`` is computed in."""
    asked: DType | None = node.attrs["accumulate"]
    return asked or (float32 if dtype.itemsize == 2 else dtype)


def merged(view: View, blocks: Sequence[Sequence[int]]) -> list[int] | None:
    """One step per block of axes, or None where a block's axes cannot be walked with one step."""
    out = []
    for block in blocks:
        step = 0
        extent = 1
        for i in reversed(block):
            n, s = view.shape[i], view.strides[i]
            if n == 1:
                continue
            if extent == 1:
                step, extent = s, max(1, n)
            elif s == step * extent:
                extent *= max(1, n)  # an empty axis steps like one of size 1
            else:
                return None
        out.append(step)
    return out


def contraction_task(graph: Graph, group: Group, sources: Sources, product: Product, copy: Any) -> Task:
    """The kernel of a contraction with its epilogue.

    ``copy(view)`` gives a dense view of the same elements where a view's axes cannot be merged.
    """
    node = graph.nodes[group.root]
    nb, nr, nc = len(product.batch), len(product.rows), len(product.columns)
    nk = len(product.depth)
    a_blocks = [*[[i] for i in range(nb)], list(range(nb, nb + nr)), list(range(nb + nr, nb + nr + nk))]
    b_blocks = [*[[i] for i in range(nb)], list(range(nb, nb + nk)), list(range(nb + nk, nb + nk + nc))]
    out_blocks = [*[[i] for i in range(nb)], list(range(nb, nb + nr)), list(range(nb + nr, nb + nr + nc))]

    def steps_of(view: View, blocks: Sequence[Sequence[int]]) -> tuple[View, list[int]]:
        found = merged(view, blocks)
        if found is None:
            view = copy(view)
            found = merged(view, blocks)
            assert found is not None
        return view, found

    a, a_steps = steps_of(product.a, a_blocks)
    b, b_steps = steps_of(product.b, b_blocks)
    body = Body(graph, sources)
    out = node.outputs[0]
    dtype = graph.types[out].dtype
    wide = computed_in(node, dtype)
    x = body.add("load", wide, operand=body.operand(wide, Role.IN, a))
    y = body.add("load", wide, operand=body.operand(wide, Role.IN, b))
    made = body.add("contract", wide, (x, y))
    body.values[out] = made if wide is dtype else body.add("cast", dtype, (made,))
    for i in group.nodes:
        if i != group.root:
            body.compute(graph.nodes[i])
    for v in group.outputs:
        body.store(v)

    def sizes_of(view: View, blocks: Sequence[Sequence[int]]) -> list[int]:
        total = []
        for block in blocks:
            n = 1
            for i in block:
                n *= view.shape[i]
            total.append(n)
        return total

    a_sizes, b_sizes = sizes_of(a, a_blocks), sizes_of(b, b_blocks)
    sizes = [*a_sizes[:nb], a_sizes[nb], b_sizes[nb + 1], a_sizes[nb + 1]]
    shape: tuple[int, ...] = graph.types[out].shape  # type: ignore[assignment]
    strides: list[list[int]] = [
        [*a_steps[:nb], a_steps[nb], 0, a_steps[nb + 1]],
        [*b_steps[:nb], 0, b_steps[nb + 1], b_steps[nb]],
    ]
    for number, (operand_dtype, role, place) in enumerate(body.operands[2:], 2):
        assert not isinstance(place, Part)
        view = place if isinstance(place, View) else View.dense(place, shape)
        view, steps = steps_of(view, out_blocks)
        if isinstance(place, View):
            body.operands[number] = (operand_dtype, role, view)
        strides.append([*steps, 0])
    if sizes[nb + 1] == 1 and sizes[nb] != 1:
        # One column: the same chains as the transposed product, whose vectors are full.
        body.operands[:2] = body.operands[1::-1]
        strides[:2] = strides[1::-1]
        for row in (sizes, *strides):
            row[nb], row[nb + 1] = row[nb + 1], row[nb]
    sizes, strides = _merge_batches(nb, sizes, strides)
    nb = len(sizes) - 3
    axes = [*[AxisKind.GRID] * nb, AxisKind.GRID, AxisKind.VECTOR, AxisKind.REDUCE]
    return finish("contraction", body, axes, sizes, strides, (nb, nb + 1, nb + 2))


def _merge_batches(nb: int, sizes: list[int], strides: list[list[int]]) -> tuple[list[int], list[list[int]]]:
    """Fewer batch axes where all operands allow it."""
    batch, steps, _ = collapse(sizes[:nb], [s[:nb] for s in strides])
    return [*batch, *sizes[nb:]], [[*new, *old[nb:]] for new, old in zip(steps, strides, strict=True)]
