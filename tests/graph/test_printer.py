"""Graphs as text."""

from __future__ import annotations

from textwrap import dedent

from flambeau.dtypes import float32
from flambeau.graph.builder import GraphBuilder, emit, emit_all
from flambeau.graph.dims import Dim
from flambeau.graph.graph import Graph, Node
from flambeau.graph.printer import format_graph
from flambeau.graph.types import TensorType
from flambeau.graph.where import NOWHERE, Where


def _body(toys, shape=(4,)):
    with GraphBuilder() as builder:
        x = builder.input(TensorType(shape, float32))
        return builder.graph([emit(toys.relu, x)])


def test_a_small_network(toys):
    code = compile("\n" * 11 + "y = x @ w", "/home/someone/train.py", "exec")
    with GraphBuilder() as builder:
        x = builder.input(TensorType((128, 784), float32))
        w = builder.input(TensorType((784, Dim.named("hidden")), float32))
        builder.where = Where(code, 10, ("model", "0"))
        y = emit(toys.matmul, x, w, contract=((1,), (0,)))
        builder.where = Where(None, 0, ("model", "1"))
        y = emit(toys.relu, y)
        builder.where = NOWHERE
        graph = builder.graph([emit(toys.add, y, y)])
    expected = """\
        graph(x0: float32[128, 784], x1: float32[784, hidden]) -> (float32[128, hidden])
          %2 = toy_matmul(x0, x1) contract=((1,), (0,))  float32[128, hidden]  # train.py:12 in layer model.0
          %3 = toy_relu(%2)                              float32[128, hidden]  # in layer model.1
          %4 = toy_add(%3, %3)                           float32[128, hidden]
          return %4"""
    assert format_graph(graph) == dedent(expected) == str(graph)


def test_sub_graphs_are_indented_and_printed_once(toys):
    body = _body(toys)
    with GraphBuilder() as builder:
        x = builder.input(TensorType((4,), float32))
        inner = emit_all(toys.loop, x, body=body, length=10)
        with GraphBuilder() as other:
            v = other.input(TensorType((4,), float32))
            nested = other.graph([emit(toys.loop, v, body=_body(toys))])
        out = emit(toys.loop, inner[0], body=body, branches=(nested, body))
        graph = builder.graph([out])
    expected = """\
        graph(x0: float32[4]) -> (float32[4])
          %1 = toy_loop(x0) body=<body> length=10                              float32[4]
            body(x0: float32[4]) -> (float32[4])
              %1 = toy_relu(x0)  float32[4]
              return %1
          %2 = toy_loop(%1) body=<body> branches=(<branches[0]>, <branches[1]>)  float32[4]
            body: the same graph as body of %1 above
            branches[0](x0: float32[4]) -> (float32[4])
              %1 = toy_loop(x0) body=<body>  float32[4]
                body(x0: float32[4]) -> (float32[4])
                  %1 = toy_relu(x0)  float32[4]
                  return %1
              return %1
            branches[1]: the same graph as body of %1 above
          return %2"""
    lines = [" ".join(line.split()) for line in dedent(expected).splitlines()]
    assert [" ".join(line.split()) for line in str(graph).splitlines()] == lines
    indents = [len(line) - len(line.lstrip()) for line in dedent(expected).splitlines()]
    assert [len(line) - len(line.lstrip()) for line in str(graph).splitlines()] == indents


def test_deeply_nested_shared_graphs_stay_short(toys):
    graph = _body(toys)
    for _ in range(30):
        node = Node(toys.loop, (0,), {"body": graph, "branches": (graph, graph)}, (1,))
        graph = Graph([*graph.types], [0], [node], [1])
    assert len(str(graph).splitlines()) < 30 * 6


def test_long_attributes_say_how_much_is_missing(toys):
    with GraphBuilder() as builder:
        x = builder.input(TensorType((), float32))
        graph = builder.graph([emit(toys.attribute, x, value="a" * 100)])
    assert "value='" + "a" * 59 + "...[42 more characters]  float32[]" in str(graph)


def test_attributes_are_named_shortly(toys):
    values = (float32, toys.relu, toys.add.effect, len, None, 0.5, "s", (1,), ())
    with GraphBuilder() as builder:
        x = builder.input(TensorType((), float32))
        graph = builder.graph([emit(toys.attribute, x, value=values)])
    assert "value=(float32, toy_relu, pure, len, None, 0.5, 's', (1,), ())  float32[]" in str(graph)


def test_several_results_and_no_results(toys):
    with GraphBuilder() as builder:
        x = builder.input(TensorType((2,), float32))
        graph = builder.graph(emit_all(toys.split, x, axis=0))
    assert "  %1, %2 = toy_split(x0) axis=0  float32[2], float32[2]\n  return %1, %2" in str(graph)
    assert str(Graph([], [], [], [])) == "graph() -> ()\n  return"


def test_a_broken_graph_is_still_printed(toys):
    graph = Graph([], [], [Node(toys.relu, (7,), {}, (9,))], [9])
    assert "%9 = toy_relu(%7)  ?" in str(graph)


def test_one_long_line_does_not_push_the_others(toys):
    with GraphBuilder() as builder:
        x = builder.input(TensorType((), float32))
        y = emit(toys.attribute, x, value=("b" * 50, "c" * 50))
        graph = builder.graph([emit(toys.relu, y)])
    assert str(graph).splitlines()[2] == "  %2 = toy_relu(%1)  float32[]"
