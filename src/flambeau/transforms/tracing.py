"""Tracing: a function run on tensors that have shapes and dtypes but no values.

Its operations go to an abstract tape that stands in for the thread's own while it runs.  Tensors
of the surroundings that it uses are captured, and become further operands, as do its numbers.
What it recorded is a state of the same trie as everything else, so a function that is traced
again finds its graph, and every graph derived from it, where they were left.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Sequence
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from flambeau.devices import cpu
from flambeau.dtypes import of_number
from flambeau.engine.convert import from_array
from flambeau.engine.flatten import flatten
from flambeau.engine.gradients import apply_graph, without_entries
from flambeau.engine.tape import THREAD, State, Tape, Value
from flambeau.errors import OperandError, TraceError, located
from flambeau.graph.builder import Var
from flambeau.graph.graph import Graph, Node, subgraph
from flambeau.graph.types import TensorType
from flambeau.graph.where import Where, is_internal
from flambeau.tensor import Tensor
from flambeau.transforms import tree
from flambeau.transforms.tree import Structure

T = TypeVar("T")
Function = Callable[..., Any]

NUMBERS = (bool, int, float, complex, np.generic)


def name_of(function: Any) -> str:
    """What a function is called in messages."""
    named = getattr(function, "__name__", None)
    return named if isinstance(named, str) else type(function).__name__


def same(x: Var) -> Var:
    """The builder of a value that is its operand."""
    return x


def as_value(x: Any, what: str) -> Value:
    """The value of a tensor, a number or a NumPy array; ``what`` names it in the message."""
    if isinstance(x, Tensor):
        return x._value
    if isinstance(x, NUMBERS):
        number = x.item() if isinstance(x, np.generic) else x
        dtype = of_number(number) if not isinstance(x, np.generic) else from_array(np.asarray(x)).type.dtype
        made: Value = THREAD.tape.record(same, (), ((number, dtype),))
        return made
    if isinstance(x, np.ndarray):
        return from_array(x)
    raise OperandError(f"{what} is a {type(x).__name__}: a tensor or a number is needed")


class Recording:
    """What a function recorded: a state, its operands in order, and the structure of its results."""

    __slots__ = ("captured", "inputs", "numbers", "outputs", "places", "state", "structure", "values")

    def __init__(self, tape: Tape, inputs: int, values: list[Value], structure: Structure) -> None:
        self.state: State = tape.state
        self.inputs = inputs
        self.captured = tuple(tape.captured)
        self.numbers = tuple(tape.scalars)
        self.places = tuple(tape.places)
        self.values = values
        self.outputs = tuple([tape.index[v] for v in values])
        self.structure = structure

    @property
    def graph(self) -> Graph:
        """The function as a graph of its inputs, what it captured, and its numbers, in that order."""
        return self.derive("graph", lambda: _graph(self.state, self.outputs))

    @property
    def written(self) -> Graph:
        """The same graph, with the places of this recording.

        ``graph`` is shared by all functions that record the same, and has the places of the first.
        """
        return _graph(self.state, self.outputs, self.places)

    def derive(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make`` gives, remembered with the recording for these outputs."""
        table = self.state.graphs
        full = (key, self.outputs)
        found: T | None = table.get(full)
        if found is None:
            found = table[full] = make()
        return found

    def operands(self) -> list[Any]:
        """What the graph takes after the function's inputs."""
        types = flatten(self.state)
        dtypes = [types.graph.types[v].dtype for v in types.scalars]
        return [*self.captured, *zip(self.numbers, dtypes, strict=True)]


def _graph(state: State, outputs: Sequence[int], places: Sequence[Any] = ()) -> Graph:
    flat = flatten(state)
    inputs = [*[flat.values[p] for p in flat.leaves], *flat.scalars]
    graph = Graph(flat.graph.types, flat.graph.inputs, flat.graph.nodes, [flat.values[p] for p in outputs])
    graph = without_fresh(graph)
    if places:
        graph = _placed(graph, places)
    return without_entries(subgraph(graph, inputs, graph.outputs))


def _placed(graph: Graph, places: Sequence[Any]) -> Graph:
    """The graph with nodes that were written where the tape has noted it for their entries."""
    starts = [start for start, *_ in places]
    nodes = []
    for node in graph.nodes:
        where = node.where
        at = bisect_right(starts, where.entry) - 1
        if where.entry >= 0 and at >= 0:
            _, code, offset, layer = places[at]
            where = Where(code, offset, layer, where.entry)
        nodes.append(Node(node.primitive, node.inputs, node.attrs, node.outputs, where))
    return Graph(graph.types, graph.inputs, nodes, graph.outputs)


def without_fresh(graph: Graph) -> Graph:
    """The graph without the identities that arguments had while they were differentiated."""
    renamed: dict[int, int] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = tuple([renamed.get(v, v) for v in node.inputs])
        if node.primitive.name == "fresh":
            renamed[node.outputs[0]] = inputs[0]
        else:
            nodes.append(Node(node.primitive, inputs, node.attrs, node.outputs, node.where))
    return Graph(graph.types, graph.inputs, nodes, [renamed.get(v, v) for v in graph.outputs])


def trace(
    label: str,
    function: Function,
    leaves: Sequence[Any],
    structure: Structure,
    needs_grad: Sequence[bool] | None = None,
) -> Recording:
    """Run ``function(*args)`` with ``args`` built from ``leaves``, a ``TensorType`` becoming a tensor.

    Any floating-point tensor may be differentiated later, unless ``needs_grad`` says which are.
    Raises ``TraceError`` where the function needs a value, naming the line.
    """
    outer = THREAD.tape
    tape = Tape(abstract=label, outer=outer)
    THREAD.tape = tape
    try:
        arguments: list[Any] = []
        count = 0
        for i, item in enumerate(leaves):
            if isinstance(item, TensorType):
                needs = item.dtype.floating if needs_grad is None else needs_grad[i]
                arguments.append(Tensor(tape.input(item, needs)))
                count += 1
            else:
                arguments.append(item)
        args = structure.unflatten(arguments)
        made = function(*args)
        results, shape = tree.flatten(made)
        values: list[Value] = []
        for path, x in zip(shape.paths(), results, strict=True):
            value = as_value(x, f"{label}: the result{path}")
            if value not in tape.index:
                tape.leaf(value)
            values.append(value)
        return Recording(tape, count, values, shape)
    except TraceError as error:
        raise located(error, str(_line_of(error.__traceback__))) from None
    finally:
        THREAD.tape = outer
        # its values refer to the tape: without them, what was captured is let go of at once, not when
        # the garbage collector comes by, and until then it would count as alive
        tape.index = {}
        tape.captured = []
        tape.hooks = {}


def _line_of(traceback: TracebackType | None) -> Where:
    """The innermost line outside flambeau that a traceback passes."""
    found = Where(None, 0)
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not is_internal(code.co_filename):
            found = Where(code, traceback.tb_lasti)
        traceback = traceback.tb_next
    return found


def apply(graph: Graph, operands: Sequence[Any]) -> tuple[Value, ...]:
    """Record a whole graph as one entry; returns its outputs."""
    made = THREAD.tape.record(apply_graph, (graph,), operands)
    return made if isinstance(made, tuple) else (made,)


def arguments(label: str, args: tuple[Any, ...]) -> tuple[list[Value], Structure]:
    """The values of all leaves of the arguments, numbers and arrays included."""
    leaves, structure = tree.flatten(args)
    values = [
        as_value(x, f"{label}: argument {path}") for path, x in zip(structure.paths(), leaves, strict=True)
    ]
    for v in values:
        if v.device is not cpu and v.device is not values[0].device:
            raise OperandError(f"{label}: the arguments lie on different devices")
    return values, structure


def with_keywords(function: Function, kwargs: dict[str, Any]) -> Function:
    """The function with keyword arguments bound."""
    if not kwargs:
        return function

    def bound(*args: Any) -> Any:
        return function(*args, **kwargs)

    bound.__name__ = name_of(function)
    return bound
