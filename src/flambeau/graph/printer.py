"""Graphs as text for people: one line per node, with its type and where it was written."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any

from flambeau.devices import Device
from flambeau.dtypes import DType
from flambeau.graph.graph import Graph, Node
from flambeau.graph.primitive import Primitive
from flambeau.graph.where import Where

INDENT = "  "
LONGEST_ATTRIBUTE = 60  # characters shown of one attribute; a longer one says how many are missing
WIDEST_COLUMN = 88  # a line that is longer pushes its own type to the right, not everyone's


def format_graph(graph: Graph, name: str = "graph") -> str:
    """``graph`` as text, its sub-graphs indented below the nodes that hold them.

    Inputs are called ``x0, x1, ...``; every other value goes by its number in the graph, the one
    that error messages name.  A sub-graph that occurs several times is printed once.
    """
    return "\n".join(_Printer().lines(graph, name))


class _Printer:
    def __init__(self) -> None:
        self.places: dict[int, str] = {}  # id of each printed graph -> how to find it

    def lines(self, graph: Graph, name: str) -> Iterator[str]:
        self.places[id(graph)] = name
        names = {v: f"x{i}" for i, v in enumerate(graph.inputs)}
        inputs = ", ".join(f"{names[v]}: {_type(graph, v)}" for v in graph.inputs)
        outputs = ", ".join(_type(graph, v) for v in graph.outputs)
        yield f"{name}({inputs}) -> ({outputs})"
        rows = [self._row(graph, node, names) for node in graph.nodes]
        first = _width(row[0] for row in rows)
        second = _width(row[1] for row in rows)
        for node, (expression, result, comment) in zip(graph.nodes, rows, strict=True):
            line = f"{INDENT}{expression:<{first}}  {result:<{second}}  {comment}"
            yield line.rstrip()
            for label, inner in subgraphs(node):
                known = self.places.get(id(inner))
                if known is not None:
                    yield f"{INDENT * 2}{label}: the same graph as {known} above"
                    continue
                where = f"{label} of {_result_names(node, names) or node.primitive.name}"
                lines = self.lines(inner, label)
                yield INDENT * 2 + next(lines)
                self.places[id(inner)] = where
                for line in lines:
                    yield INDENT * 2 + line
        yield f"{INDENT}return {', '.join(_value(v, names) for v in graph.outputs)}".rstrip()

    def _row(self, graph: Graph, node: Node, names: dict[int, str]) -> tuple[str, str, str]:
        operands = ", ".join(_value(v, names) for v in node.inputs)
        words = [f"{node.primitive.name}({operands})"]
        words += [f"{key}={_attribute(key, value)}" for key, value in node.attrs.items()]
        results = _result_names(node, names)
        expression = " ".join(words)
        return (
            f"{results} = {expression}" if results else expression,
            ", ".join(_type(graph, v) for v in node.outputs),
            _comment(node.where),
        )


def subgraphs(node: Node) -> list[tuple[str, Graph]]:
    """The graphs among a node's attributes, each with its name, such as ``branches[0]``."""
    return [found for key, value in node.attrs.items() for found in _graphs(key, value)]


def _graphs(name: str, value: Any) -> Iterator[tuple[str, Graph]]:
    if isinstance(value, Graph):
        yield name, value
    elif isinstance(value, (tuple, list)):
        for i, item in enumerate(value):
            yield from _graphs(f"{name}[{i}]", item)


def _width(cells: Iterable[str]) -> int:
    return max((len(cell) for cell in cells if len(cell) <= WIDEST_COLUMN), default=0)


def _value(v: int, names: dict[int, str]) -> str:
    return names.get(v, f"%{v}")


def _result_names(node: Node, names: dict[int, str]) -> str:
    return ", ".join(_value(v, names) for v in node.outputs)


def _type(graph: Graph, v: int) -> str:
    # A graph under suspicion is printed too: a number without a type is shown, not an error.
    return str(graph.types[v]) if 0 <= v < len(graph.types) else "?"


def _attribute(name: str, value: Any) -> str:
    text = _text(name, value)
    if len(text) > LONGEST_ATTRIBUTE:
        return f"{text[:LONGEST_ATTRIBUTE]}...[{len(text) - LONGEST_ATTRIBUTE} more characters]"
    return text


def _text(name: str, value: Any) -> str:
    if isinstance(value, Graph):
        return f"<{name}>"
    if isinstance(value, (tuple, list)):
        items = ", ".join(_text(f"{name}[{i}]", item) for i, item in enumerate(value))
        return f"({items},)" if len(value) == 1 else f"({items})"
    if isinstance(value, (DType, Device)):
        return str(value)
    if isinstance(value, Primitive):
        return value.name
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, types.FunctionType | types.BuiltinFunctionType | type):
        return value.__qualname__
    return repr(value)


def _comment(where: Where) -> str:
    parts = [where.short] if where.short else []
    if where.layer:
        parts.append(f"in layer {'.'.join(where.layer)}")
    return f"# {' '.join(parts)}" if parts else ""
