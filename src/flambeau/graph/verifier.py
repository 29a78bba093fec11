"""The grammar of graphs, checked by machine: between passes in tests, and under a debug switch."""

from __future__ import annotations

from enum import Enum
from typing import Any

from flambeau.devices import Device
from flambeau.dtypes import DType
from flambeau.errors import VerificationError, located
from flambeau.graph.dims import Dim
from flambeau.graph.graph import Graph, Node, freeze
from flambeau.graph.primitive import REGISTRY, NoGradient, Primitive
from flambeau.graph.printer import subgraphs
from flambeau.graph.types import TensorType

# What an attribute may be, besides tuples of these, functions, and frozen dataclasses.
SCALARS = (bool, int, float, complex, str, bytes, type(None))
ATTRIBUTES = (*SCALARS, DType, Device, Dim, Enum, Graph, NoGradient, Primitive, TensorType)


def verify(graph: Graph) -> None:
    """Raise ``VerificationError`` where ``graph`` or a graph inside it breaks the grammar.

    Inputs are distinct; every value is defined once and before its use; every primitive is the
    registered one; attributes are immutable, hashable and of known kinds; the types of a node's
    outputs are those ``infer`` gives; outputs are defined.
    """
    pending = [(graph, "the graph")]
    seen: set[int] = set()
    while pending:
        inner, name = pending.pop()
        if id(inner) not in seen:
            seen.add(id(inner))
            pending += _verify_one(inner, name)


def _verify_one(graph: Graph, name: str) -> list[tuple[Graph, str]]:
    """Checks one graph and returns those inside it, each with a name for messages."""
    inside: list[tuple[Graph, str]] = []
    defined: set[int] = set()
    for position, v in enumerate(graph.inputs):
        place = f"input {position} of {name}"
        _check_value(graph, v, place)
        if v in defined:
            raise VerificationError(f"{place} is %{v}, which is an input already")
        defined.add(v)
    for position, node in enumerate(graph.nodes):
        try:
            place = f"node {position} of {name}, {_describe(node)},"
            _check_node(graph, node, defined, place)
        except VerificationError as error:
            raise located(error, str(node.where)) from error.__cause__
        inside += [(inner, f"{key} of node {position} of {name}") for key, inner in subgraphs(node)]
        defined.update(node.outputs)
    for position, v in enumerate(graph.outputs):
        if v not in defined:
            raise VerificationError(f"output {position} of {name} is %{v}, which nothing defines")
    return inside


def _check_node(graph: Graph, node: Node, defined: set[int], place: str) -> None:
    if REGISTRY.get(node.primitive.name) is not node.primitive:
        raise VerificationError(f"{place} applies a primitive that is not the registered one of that name")
    for v in node.inputs:
        if v not in defined:
            later = any(v in other.outputs for other in graph.nodes)
            raise VerificationError(
                f"{place} reads %{v}, which {'is defined only later' if later else 'nothing defines'}"
            )
    made: set[int] = set()
    for v in node.outputs:
        _check_value(graph, v, f"an output of {place}")
        if v in defined or v in made:
            raise VerificationError(f"{place} defines %{v}, which is defined already")
        made.add(v)
    for key, value in node.attrs.items():
        if not isinstance(key, str):
            raise VerificationError(f"{place} has an attribute whose name is {key!r}, not a string")
        _check_attribute(value, f"{place} attribute {key!r}")
    _check_types(graph, node, place)


def _check_types(graph: Graph, node: Node, place: str) -> None:
    operands = [graph.types[v] for v in node.inputs]
    try:
        inferred = node.primitive.infer(*operands, **node.attrs)
    except Exception as error:  # whatever the rule raises, the node is wrong
        reason = f"{type(error).__name__}: {error}"
        raise VerificationError(f"{place} does not fit its operands: {reason}") from error
    expected = (inferred,) if isinstance(inferred, TensorType) else tuple(inferred)
    if len(expected) != len(node.outputs):
        raise VerificationError(f"{place} has {len(node.outputs)} outputs where {len(expected)} are inferred")
    if node.primitive.outputs is not None and node.primitive.outputs != len(expected):
        raise VerificationError(
            f"{place} has {len(expected)} outputs and its primitive declares {node.primitive.outputs}"
        )
    for v, wanted in zip(node.outputs, expected, strict=True):
        if graph.types[v] != wanted:
            raise VerificationError(f"{place} gives %{v} type {graph.types[v]} where {wanted} is inferred")


def _check_value(graph: Graph, v: Any, place: str) -> None:
    if type(v) is not int or not 0 <= v < len(graph.types):
        raise VerificationError(f"{place} is {v!r}, not the number of one of {len(graph.types)} values")
    held = graph.types[v]
    if not isinstance(held, TensorType):
        raise VerificationError(f"{place}, %{v}, has {held!r} in place of a type")
    if not isinstance(held.dtype, DType):
        raise VerificationError(f"{place}, %{v}, has {held.dtype!r} in place of a dtype")
    if not isinstance(held.shape, tuple):
        raise VerificationError(f"{place}, %{v}, has a shape that is no tuple: {held.shape!r}")
    for size in held.shape:
        if not isinstance(size, Dim) and (type(size) is not int or size < 0):
            raise VerificationError(f"{place}, %{v}, has the size {size!r}: an int >= 0 or a Dim is needed")


def _check_attribute(value: Any, place: str) -> None:
    """Attributes are part of a program's identity, so they may not change and must be comparable."""
    if isinstance(value, tuple):
        for item in value:
            _check_attribute(item, place)
        return
    kind = type(value)
    # Subclasses of the scalars, NumPy's float64 among them, may compare or print differently.
    known = kind in SCALARS or isinstance(value, ATTRIBUTES[len(SCALARS) :])
    if not (known or callable(value) or _is_frozen_dataclass(value)):
        raise VerificationError(f"{place} is a {kind.__module__}.{kind.__name__}, which attributes cannot be")
    try:
        hash(freeze(value) if not isinstance(value, Graph) else id(value))
    except TypeError as error:
        raise VerificationError(f"{place} is not hashable: {error}") from error


def _is_frozen_dataclass(value: Any) -> bool:
    parameters = getattr(type(value), "__dataclass_params__", None)
    return parameters is not None and bool(parameters.frozen)


def _describe(node: Node) -> str:
    if not isinstance(node.primitive, Primitive):
        raise VerificationError(f"a node applies {node.primitive!r}, which is no primitive")
    results = ", ".join(f"%{v}" for v in node.outputs)
    call = f"{node.primitive.name}({', '.join(f'%{v}' for v in node.inputs)})"
    return f"{results} = {call}" if results else call


class Checks:
    """Whether programs are verified between passes; see ``check_programs``."""

    __slots__ = ("enabled",)

    def __init__(self) -> None:
        self.enabled = False


CHECKS = Checks()


def check_programs(enabled: bool = True) -> None:
    """Verify every graph and kernel between the compiler's passes: slow, for finding defects in flambeau.

    >>> import flambeau as fb
    >>> fb.check_programs(True)
    >>> (fb.ones(3) + 1).tolist()
    [2.0, 2.0, 2.0]
    >>> fb.check_programs(False)
    """
    CHECKS.enabled = enabled


def check_graph(graph: Graph) -> None:
    """``verify`` where checking is switched on."""
    if CHECKS.enabled:
        verify(graph)
