"""Building graphs, cutting parts out of them, and recognising equal ones."""

from __future__ import annotations

import pickle

import pytest

from flambeau.dtypes import float32, float64
from flambeau.errors import RegistrationError, ShapeError, TraceError
from flambeau.graph.builder import GraphBuilder, current, emit, emit_all
from flambeau.graph.dims import Dim
from flambeau.graph.graph import freeze, needed, subgraph
from flambeau.graph.primitive import REGISTRY, Effect, Lowering, Primitive, primitive
from flambeau.graph.types import TensorType
from flambeau.graph.where import Where, caller

F = TensorType((2, 3), float32)


def _chain(toys, length=3):
    with GraphBuilder() as builder:
        x, y = builder.input(F), builder.input(F)
        out = x
        for _ in range(length):
            out = emit(toys.add, out, y)
        return builder.graph([out])


def test_builder_makes_ssa_in_order(toys):
    graph = _chain(toys)
    assert graph.inputs == (0, 1)
    assert [(n.inputs, n.outputs) for n in graph.nodes] == [((0, 1), (2,)), ((2, 1), (3,)), ((3, 1), (4,))]
    assert graph.outputs == (4,)
    assert graph.input_types == (F, F) and graph.output_types == (F,)
    assert len(graph) == 3 and repr(graph) == "<graph of 3 nodes, 2 inputs, 1 outputs>"


def test_equal_pure_nodes_are_built_once_and_random_ones_are_not(toys):
    with GraphBuilder() as builder:
        x = builder.input(F)
        assert emit(toys.relu, x).id == emit(toys.relu, x).id
        assert emit(toys.random, x).id != emit(toys.random, x).id
        assert emit(toys.attribute, x, value=1).id != emit(toys.attribute, x, value=True).id
        assert emit(toys.attribute, x, value=0.0).id != emit(toys.attribute, x, value=-0.0).id
        first, second = emit_all(toys.split, x, axis=0)
        assert first.id != second.id
    assert len(builder.nodes) == 8


def test_unneeded_nodes_are_pruned(toys):
    with GraphBuilder() as builder:
        x = builder.input(F)
        wanted = emit(toys.relu, x)
        emit(toys.add, x, x)
        assert len(builder.graph([wanted])) == 1
        assert len(builder.graph([wanted], prune=False)) == 2


def test_operands_that_do_not_fit_name_the_place(toys):
    code = compile("first\nsecond", "train.py", "exec")
    with GraphBuilder() as builder:
        builder.where = Where(code, 0, ("model", "0"))
        x, y = builder.input(F), builder.input(TensorType((2, 4), float32))
        with pytest.raises(ShapeError, match=r"differ\n  at train.py:\d+ in <module>") as caught:
            emit(toys.add, x, y)
    assert "in layer model.0" in str(caught.value)


def test_operands_of_another_graph_are_refused(toys):
    with GraphBuilder() as outer:
        x = outer.input(F)
        with GraphBuilder(), pytest.raises(TraceError, match=r"toy_relu: .* another graph"):
            emit(toys.relu, x)
    with pytest.raises(TraceError, match="where no graph is being built"):
        current()


def test_inline_repeats_a_graph(toys):
    inner = _chain(toys)
    with GraphBuilder() as builder:
        x, y = builder.input(F), builder.input(F)
        (out,) = builder.inline(inner, [x, y])
        (again,) = builder.inline(inner, [out, y])
        outer = builder.graph([again])
    assert len(outer) == 6
    assert outer.fingerprint() == _chain(toys, 6).fingerprint()


def test_fingerprints_tell_programs_apart(toys):
    def attribute(value):
        with GraphBuilder() as builder:
            return builder.graph([emit(toys.attribute, builder.input(F), value=value)]).fingerprint()

    prints = [attribute(v) for v in (0, 0.0, -0.0, False, 1, True, (1,), (True,), "1", None)]
    assert len(set(prints)) == len(prints)
    assert attribute((1, 2.0)) == attribute((1, 2.0))
    assert _chain(toys).fingerprint() != _chain(toys, 2).fingerprint()
    assert freeze(_chain(toys)) == freeze(_chain(toys))


def test_cutting_a_graph(toys):
    graph = _chain(toys, 5)
    assert [n.outputs for n in needed(graph, [3])] == [(2,), (3,)]
    upper = subgraph(graph, [4, 1], graph.outputs)
    assert upper.inputs == (4, 1) and [n.outputs for n in upper.nodes] == [(5,), (6,)]


def test_long_chains_do_not_recurse(toys):
    graph = _chain(toys, 20_000)
    assert len(needed(graph, graph.outputs)) == 20_000
    assert len(str(graph).splitlines()) == 20_002
    assert hash(graph.fingerprint()) == hash(_chain(toys, 20_000).fingerprint())


def test_types():
    batch = Dim.named("batch")
    symbolic = TensorType((batch, 3), float32)
    assert str(symbolic) == "float32[batch, 3]" and str(TensorType((), float64)) == "float64[]"
    assert symbolic.size == 3 * batch and symbolic.nbytes == 12 * batch and symbolic.ndim == 2
    assert symbolic == TensorType((Dim.named("batch"), 3), float32) != TensorType((batch, 3), float64)
    assert pickle.loads(pickle.dumps(symbolic)) == symbolic
    assert {symbolic: 1}[TensorType((Dim.named("batch"), 3), float32)] == 1


@pytest.mark.parametrize("missing", ["infer", "reference", "vjp", "jvp", "batch"])
def test_registration_needs_every_rule(missing):
    rules = dict.fromkeys(("infer", "reference", "vjp", "jvp", "batch"), len)
    with pytest.raises(RegistrationError, match=f"'toy_incomplete' has no {missing} rule"):
        Primitive("toy_incomplete", lowering=Lowering.VIEW, **{**rules, missing: None})
    assert "toy_incomplete" not in REGISTRY


def test_registration_is_unique_and_pickles_by_name(toys):
    rules = dict.fromkeys(("infer", "reference", "vjp", "jvp", "batch"), len)
    with pytest.raises(RegistrationError, match="already a primitive called 'toy_add'"):
        Primitive("toy_add", lowering=Lowering.VIEW, **rules)
    with pytest.raises(RegistrationError, match="needs an Effect and a Lowering"):
        Primitive("toy_new", lowering="view", effect=Effect.PURE, **rules)
    assert pickle.loads(pickle.dumps(toys.add)) is toys.add is primitive("toy_add")
    with pytest.raises(KeyError):
        primitive("toy_unknown")


def test_where_names_the_line_and_layer():
    here = caller(("block", "1"))
    text = str(here)
    assert f"at test_graph.py:{here.line} in test_where_names_the_line_and_layer: here = caller(" in text
    assert text.endswith("in layer block.1")
