"""The executor of ``fb.digests``: a digest of the bits of each value of a program, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from flambeau.compiler.views import MOVES_NOTHING
from flambeau.engine.evaluate import duplicate
from flambeau.engine.executor import Done, Executable, Pending
from flambeau.engine.executors import executor
from flambeau.engine.gaps import Array, digest
from flambeau.engine.gradients import InGradient
from flambeau.engine.origins import Origins, shown, trained
from flambeau.engine.reference import to_array
from flambeau.engine.tape import THREAD, Tape
from flambeau.graph.graph import Graph, Node
from flambeau.graph.primitive import Effect
from flambeau.graph.printer import subgraphs
from flambeau.graph.where import NOWHERE, Where
from flambeau.runtime.buffers import Buffer

_SILENT = MOVES_NOTHING | {"constant"}  # their bits are those of something else, or the program's own
_PIECE = 256 << 20  # bytes that are computed at once
_NODES = 256


@dataclass(frozen=True, slots=True)
class Digest:
    """The bits of one value of a program.

    ``kind`` is "input" (``name`` is "parameter" or "input"; its place is where it is read first),
    "number", "operation" (``name`` is the operation's) or "result" (what the whole program gave, with
    its operations fused; ``name`` is that of the operation it comes from).  ``position`` numbers the
    values that the operations of a ``program`` give.  ``operation`` is the function or optimizer that
    recorded it.  ``text`` is the value, where it is a single number; ``value`` the array, where it was kept.
    """

    kind: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    digest: str
    operation: str = ""
    layer: str = ""
    line: str = ""
    phase: str = "forward"
    program: int = 1
    position: int = 0
    text: str = ""
    value: Array | None = field(default=None, compare=False, repr=False)

    @property
    def place(self) -> str:
        """Where it was written, such as ``layer Net.fc2 (train.py:11)``; nothing where that is not known."""
        backward = self.phase == "backward"
        owner = f"layer {self.layer}" if self.layer else self.operation
        if owner == self.name and not backward:
            owner = ""
        if backward:
            owner = f"the gradient of {owner}" if owner else "a gradient"
        if owner and self.line:
            return f"{owner} ({self.line})"
        return owner or self.line


@dataclass(slots=True)
class Session:
    """What is being recorded: rows per executor."""

    rows: list[list[Digest]]
    keep: bool
    programs: int = 0


# Where what runs is recorded; None while nobody asks.
SESSION: ContextVar[Session | None] = ContextVar("flambeau_digests", default=None)


@dataclass(slots=True)
class _Piece:
    """Some nodes of a program that are computed together."""

    nodes: list[Node]
    inputs: list[int]
    outputs: list[int]
    executable: Executable


class _Recorded:
    """A program that also runs in pieces whose every value is looked at."""

    def __init__(self, names: tuple[str, ...], graph: Graph, donated: frozenset[int], numbers: int) -> None:
        self.names = names
        self.graph = graph
        self.donated = donated
        self.numbers = graph.inputs[len(graph.inputs) - numbers :]
        self.whole: Executable | None = None
        self.pieces: list[_Piece] | None = None
        self.single: dict[tuple[str, int], _Piece] = {}
        self.calls_user = any(_calls_user(node) for node in graph.nodes)

    def submit(self, inputs: Sequence[Any]) -> Pending:
        session = SESSION.get()
        if session is None or not self.calls_user:
            self.whole = self.whole or self._prepare(self.names[0], self.graph, self.donated)
        if session is None:
            assert self.whole is not None
            return self.whole.submit(inputs)
        session.programs += 1
        tape = THREAD.running[0] if THREAD.running is not None else None
        walk = _Walk(self, session, tape, inputs)
        walk.operations()
        if self.whole is None:  # the user's functions are called once
            return Done([_owned(walk.env[v], inputs) for v in self.graph.outputs])
        pending = self.whole.submit(inputs)
        made = pending.wait()
        if len(self.names) == 1:
            walk.results(made)
        return Done(made, pending.after)

    def _prepare(self, name: str, graph: Graph, donated: frozenset[int] = frozenset()) -> Executable:
        return executor(name).prepare(graph, donated, sum(v in self.numbers for v in graph.inputs))

    def all_pieces(self) -> list[_Piece]:
        """The program in pieces, prepared when first needed."""
        if self.pieces is None:
            cut = _cut(self.graph, every=len(self.names) > 1)
            self.pieces = [self._piece(self.names[0], nodes, wanted) for nodes, wanted in cut]
        return self.pieces

    def alone(self, name: str, number: int, node: Node) -> _Piece:
        """One node for itself."""
        found = self.single.get((name, number))
        if found is None:
            found = self.single[name, number] = self._piece(name, [node], list(node.outputs))
        return found

    def _piece(self, name: str, nodes: list[Node], outputs: list[int]) -> _Piece:
        made = {v for node in nodes for v in node.outputs}
        used = {v for node in nodes for v in node.inputs} - made
        inputs = [*sorted(used.difference(self.numbers)), *[v for v in self.numbers if v in used]]
        graph = Graph(self.graph.types, inputs, nodes, outputs)
        return _Piece(nodes, inputs, outputs, self._prepare(name, graph))


def _last_uses(graph: Graph) -> dict[int, int]:
    """The number of the last node that reads a value; that after all nodes for an output."""
    last = {v: i for i, node in enumerate(graph.nodes) for v in node.inputs}
    return last | dict.fromkeys(graph.outputs, len(graph.nodes))


def _cut(graph: Graph, every: bool) -> Iterator[tuple[list[Node], list[int]]]:
    """Runs of nodes, and which of their values are wanted: those to look at, and those needed later."""
    last = _last_uses(graph)
    start = 0
    held = 0
    for i, node in enumerate(graph.nodes):
        held += sum(int(graph.types[v].nbytes) for v in node.outputs)
        if held < _PIECE and i + 1 - start < _NODES and i + 1 < len(graph.nodes):
            continue
        nodes = list(graph.nodes[start : i + 1])
        looked = [
            v
            for n in nodes
            for v in n.outputs
            if every or n.primitive.name not in _SILENT or last.get(v, -1) > i
        ]
        yield nodes, looked
        start, held = i + 1, 0


class _Walk:
    """One run of a program in pieces."""

    def __init__(
        self, program: _Recorded, session: Session, tape: Tape | None, inputs: Sequence[Any]
    ) -> None:
        self.program = program
        self.graph = program.graph
        self.session = session
        self.number = session.programs
        self.origins = Origins(self.graph, tape)
        self.position = {v: i for i, v in enumerate([v for node in self.graph.nodes for v in node.outputs])}
        self.env: dict[int, Any] = dict(zip(self.graph.inputs, inputs, strict=True))
        parameters = trained(tape, inputs)
        self.given = {v: "parameter" if i in parameters else "input" for i, v in enumerate(self.graph.inputs)}
        for v in program.numbers:
            self.given[v] = "number"

    def operations(self) -> None:
        """Run all pieces; a row for each input where it is first read, and for each operation."""
        last = _last_uses(self.graph)
        at = 0
        for piece in self.program.all_pieces():
            made = piece.executable.submit([self.env[v] for v in piece.inputs]).wait()
            self.env.update(zip(piece.outputs, made, strict=True))
            for node in piece.nodes:
                self._read(node)
                if node.primitive.name not in _SILENT:
                    self._operation(at, node)
                at += 1
            for v in [v for v in self.env if last.get(v, -1) < at and v not in self.given]:
                del self.env[v]

    def _read(self, node: Node) -> None:
        for v in node.inputs:
            kind = self.given.get(v)
            if kind:
                self.given[v] = ""
                row = self._row("number" if kind == "number" else "input", kind, self.env[v], v, node)
                for rows in self.session.rows:
                    rows.append(row)

    def _operation(self, at: int, node: Node) -> None:
        others = self.program.names[1:]
        name = shown(node.primitive.name)
        own = [
            replace(self._row("operation", name, self.env[v], v, node), position=self.position[v])
            for v in node.outputs
        ]
        self.session.rows[0] += own
        for other, rows in zip(others, self.session.rows[1:], strict=True):
            piece = self.program.alone(other, at, node)
            made = piece.executable.submit([self.env[v] for v in piece.inputs]).wait()
            for place, (row, v, data) in enumerate(zip(own, piece.outputs, made, strict=True)):
                theirs = replace(self._row("operation", name, data, v, node), position=row.position)
                if theirs.digest != row.digest:  # both are at hand now
                    rows.append(replace(theirs, value=self._array(data, v).copy()))
                    mine = len(self.session.rows[0]) - len(own) + place
                    kept = replace(row, value=self._array(self.env[v], v).copy())
                    self.session.rows[0][mine] = kept
                else:
                    rows.append(theirs)

    def results(self, made: Sequence[Buffer]) -> None:
        """A row for each result of the whole program, in the order of the operations they come from."""
        maker = {v: node for node in self.graph.nodes for v in node.outputs}
        rows = []
        for v, data in zip(self.graph.outputs, made, strict=True):
            source = maker[v]
            while source.primitive.name in MOVES_NOTHING and source.inputs[0] in maker:
                source = maker[source.inputs[0]]
            row = self._row("result", shown(source.primitive.name), data, v, source)
            rows.append(replace(row, position=self.position[v]))
        self.session.rows[0] += sorted(rows, key=lambda row: row.position)

    def _array(self, data: Any, v: int) -> Array:
        type = self.graph.types[v]
        shape: Any = type.shape
        return to_array(data, type.dtype.numpy, shape)

    def _row(self, kind: str, name: str, data: Any, v: int, node: Node | None) -> Digest:
        array = self._array(data, v)
        where: Where = self.origins.of([node]) if node is not None else NOWHERE
        return Digest(
            kind=kind,
            name=name,
            shape=tuple(array.shape),
            dtype=str(self.graph.types[v].dtype),
            digest=digest(array),
            operation=self.origins.operation(where),
            layer=".".join(where.layer),
            line=where.short,
            phase="backward" if isinstance(where, InGradient) else "forward",
            program=self.number,
            text=str(array.reshape(-1)[0]) if array.size == 1 else "",
            value=np.array(array) if self.session.keep else None,
        )


def _calls_user(node: Node) -> bool:
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if one.primitive.effect is Effect.HOST:
            return True
        waiting += [inner for _, graph in subgraphs(one) for inner in graph.nodes]
    return False


def _owned(data: Any, inputs: Sequence[Any]) -> Buffer:
    """A result that is memory of its own."""
    assert isinstance(data, Buffer)
    return duplicate(data) if any(data is x for x in inputs) else data


class RecordingExecutor:
    """Runs programs with the first of some executors, and digests what all of them compute."""

    name = "recording"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def prepare(
        self, graph: Graph, donated: frozenset[int], numbers: int, weights: frozenset[int] = frozenset()
    ) -> _Recorded:
        return _Recorded(self.names, graph, donated, numbers)


_MADE: dict[tuple[str, ...], RecordingExecutor] = {}


def recording(names: Sequence[str]) -> RecordingExecutor:
    """The recording executor of these; raises where there is none of a name."""
    for name in names:
        executor(name)
    return _MADE.setdefault(tuple(names), RecordingExecutor(tuple(names)))
