"""The grammar of graphs: what is right passes, and every way of being wrong has its message."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from flambeau.devices import cpu
from flambeau.dtypes import float32, float64
from flambeau.errors import VerificationError
from flambeau.graph.builder import GraphBuilder, emit, emit_all
from flambeau.graph.dims import Dim
from flambeau.graph.graph import Graph, Node
from flambeau.graph.primitive import REGISTRY
from flambeau.graph.types import TensorType
from flambeau.graph.verifier import verify
from flambeau.graph.where import Where

F = TensorType((2,), float32)


@dataclass(frozen=True)
class Frozen:
    value: int


@dataclass
class Changeable:
    value: int


def _refused(graph, match):
    with pytest.raises(VerificationError, match=match) as caught:
        verify(graph)
    return str(caught.value)


def _with_attribute(toys, value):
    return Graph([F, F], [0], [Node(toys.attribute, (0,), {"value": value}, (1,))], [1])


def test_built_graphs_pass(toys):
    with GraphBuilder() as builder:
        x, y = builder.input(TensorType((Dim.named("n"), 3), float32)), builder.input(F)
        first, _ = emit_all(toys.split, x, axis=0)
        emit(toys.relu, y)
        graph = builder.graph([first, x, first])
    verify(graph)
    with GraphBuilder() as builder:
        verify(builder.graph([emit(toys.loop, builder.input(F), body=graph)]))
    verify(Graph([], [], [], []))


@pytest.mark.parametrize(
    "value",
    [1, -1.5, True, 1j, "s", b"s", None, float32, cpu, Dim.named("n"), F, (1, (2, "x")), len, Frozen(1), ()],
)
def test_allowed_attributes(toys, value):
    verify(_with_attribute(toys, value))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([1], "builtins.list"),
        ({}, "builtins.dict"),
        (np.float64(1), "numpy.float64"),
        (np.int64(1), "numpy.int64"),
        (np.zeros(2), "numpy.ndarray"),
        ((1, {2}), "builtins.set"),
        (Changeable(1), ".Changeable"),
        (object(), "builtins.object"),
    ],
)
def test_refused_attributes(toys, value, kind):
    _refused(_with_attribute(toys, value), f"attribute 'value' is a .*{kind}, which attributes cannot be")


def test_refused_unhashable_inside_a_frozen_value(toys):
    _refused(_with_attribute(toys, Frozen([])), "attribute 'value' is not hashable: unhashable type: 'list'")


def test_inputs(toys):
    _refused(Graph([F], [0, 0], [], [0]), "input 1 of the graph is %0, which is an input already")
    _refused(Graph([F], [1], [], []), "input 0 of the graph is 1, not the number of one of 1 values")
    _refused(Graph([F], ["x"], [], []), "input 0 of the graph is 'x', not the number")
    _refused(Graph([F], [True], [], []), "is True, not the number")


def test_types_of_values():
    _refused(Graph([None], [0], [], []), "%0, has None in place of a type")
    _refused(Graph([TensorType((-1,), float32)], [0], [], []), "%0, has the size -1: an int >= 0 or a Dim")
    _refused(Graph([TensorType((2.5,), float32)], [0], [], []), r"has the size 2\.5")
    _refused(Graph([TensorType([2].__iter__(), float32)], [0], [], []), "a shape that is no tuple")
    _refused(Graph([TensorType((2,), "float32")], [0], [], []), "'float32' in place of a dtype")


def test_use_before_definition(toys):
    first, second = Node(toys.relu, (2,), {}, (1,)), Node(toys.relu, (0,), {}, (2,))
    graph = Graph([F, F, F], [0], [first, second], [1])
    _refused(graph, r"node 0 of the graph, %1 = toy_relu\(%2\), reads %2, which is defined only later")
    _refused(Graph([F, F, F], [0], [first], [1]), "reads %2, which nothing defines")
    verify(Graph([F, F, F], [0], [second, first], [1]))
    _refused(Graph([F, F], [0], [Node(toys.relu, (1,), {}, (1,))], [1]), "reads %1, which is defined only")


def test_single_assignment(toys):
    node = Node(toys.relu, (0,), {}, (1,))
    _refused(Graph([F, F], [0], [node, node], [1]), "node 1 of the graph, .* defines %1, .* defined already")
    _refused(
        Graph([F, F], [0], [Node(toys.relu, (0,), {}, (0,))], [0]), "defines %0, which is defined already"
    )
    twice = Node(toys.split, (0,), {"axis": 0}, (1, 1))
    _refused(Graph([F, F], [0], [twice], [1]), "defines %1, which is defined already")
    _refused(Graph([F], [0], [node], [0]), "an output of node 0 of the graph, .* is 1, not the number")


def test_outputs(toys):
    _refused(Graph([F, F], [0], [], [0, 1]), "output 1 of the graph is %1, which nothing defines")


def test_inferred_types(toys):
    wide = TensorType((2,), float64)
    node = Node(toys.relu, (0,), {}, (1,))
    _refused(Graph([F, wide], [0], [node], [1]), r"gives %1 type float64\[2\] where float32\[2\] is inferred")
    add = Node(toys.add, (0, 1), {}, (2,))
    _refused(
        Graph([F, wide, F], [0, 1], [add], [2]), r"does not fit its operands: ShapeError: toy_add: .* differ"
    )
    unknown = Node(toys.relu, (0,), {"axis": 1}, (1,))
    _refused(Graph([F, F], [0], [unknown], [1]), "does not fit its operands: TypeError: .*'axis'")
    one = Node(toys.split, (0,), {"axis": 0}, (1,))
    _refused(Graph([F, F], [0], [one], [1]), "has 1 outputs where 2 are inferred")


def test_declared_number_of_outputs(toys):
    toys.relu.infer = lambda x: (x, x)
    graph = Graph([F, F, F], [0], [Node(toys.relu, (0,), {}, (1, 2))], [1])
    _refused(graph, "has 2 outputs and its primitive declares 1")


def test_primitives_are_registered(toys):
    graph = Graph([F, F], [0], [Node(toys.relu, (0,), {}, (1,))], [1])
    del REGISTRY["toy_relu"]
    _refused(graph, "a primitive that is not the registered one of that name")
    _refused(Graph([F, F], [0], [Node("relu", (0,), {}, (1,))], [1]), "'relu', which is no primitive")


def test_sub_graphs_are_verified(toys):
    broken = Graph([F, F], [0], [], [1])
    nested = Graph([F, F], [0], [Node(toys.loop, (0,), {"body": broken}, (1,))], [1])
    attrs = {"body": Graph([F], [0], [], [0]), "branches": (nested,)}
    graph = Graph([F, F], [0], [Node(toys.loop, (0,), attrs, (1,))], [1])
    _refused(
        graph,
        r"output 0 of body of node 0 of branches\[0\] of node 0 of the graph is %1, which nothing defines",
    )


def test_messages_name_the_users_line(toys):
    where = Where(compile("y = relu(x)", "train.py", "exec"), 4, ("model", "2"))
    graph = Graph([F, F], [0], [Node(toys.relu, (3,), {}, (1,), where)], [1])
    message = _refused(graph, "nothing defines")
    assert "\n  at train.py:1 in <module>" in message and message.endswith("in layer model.2")
