from __future__ import annotations

import numpy as np
import pytest

from flambeau.autodiff.batching import batch
from flambeau.autodiff.forward import pushforward
from flambeau.autodiff.reverse import pullback
from flambeau.dtypes import float64, int64
from flambeau.errors import GradientError
from flambeau.graph.builder import GraphBuilder
from flambeau.graph.interpreter import interpret
from flambeau.graph.types import TensorType
from flambeau.graph.verifier import verify
from flambeau.primitives import elementwise as e
from flambeau.primitives.contract import matmul
from flambeau.primitives.control import fresh, stop_gradient
from flambeau.primitives.views import reduce_sum, reshape

VECTOR, MATRIX = TensorType((3,), float64), TensorType((2, 3), float64)
RANDOM = np.random.default_rng(0)
A, X, T = RANDOM.normal(size=(2, 3)), RANDOM.normal(size=3), RANDOM.normal(size=3)


def graph(function, *types):
    with GraphBuilder() as builder:
        made = function(*[builder.input(t) for t in types])
        return builder.graph(made if isinstance(made, list) else [made])


def layered(a, x):
    y = e.tanh(matmul(a, x))
    return [e.mul(y, e.exp(y)), e.cast(y, int64), x]


def test_pushforward_against_differences():
    g = graph(layered, MATRIX, VECTOR)
    found = pushforward(g, [1])
    verify(found.graph)
    assert found.outputs == (0, 2)
    _, _, x, dy, dx = interpret(found.graph, [A, X, T])
    above, below = (interpret(g, [A, X + s * 1e-6 * T])[0] for s in (1, -1))
    np.testing.assert_allclose(dy, (above - below) / 2e-6, rtol=1e-6)
    np.testing.assert_array_equal(dx, T)
    np.testing.assert_array_equal(x, X)


def test_forward_and_reverse_agree():
    g = graph(lambda a, x: layered(a, x)[0], MATRIX, VECTOR)
    (dy,) = interpret(pushforward(g, [1]).graph, [A, X, T])[1:]
    found = pullback(g, g.outputs, [g.inputs[1]])
    seed = RANDOM.normal(size=2)
    values = dict(zip(g.inputs, [A, X], strict=True))
    for node in g.nodes:
        made = node.primitive.reference(*[values[v] for v in node.inputs], **node.attrs)
        values[node.outputs[0]] = made
    (gx,) = interpret(found.graph, [*[values[v] for v in found.residuals], seed])
    np.testing.assert_allclose(seed @ dy, gx @ T, rtol=1e-12)


def test_asked_tangents_are_zeros_where_there_is_no_dependence():
    g = graph(lambda a, x: [e.square(a), stop_gradient(x)], MATRIX, VECTOR)
    found = pushforward(g, [1], [0, 1])
    *_, da, dx = interpret(found.graph, [A, X, T])
    assert da.shape == (2, 3)
    assert not da.any()
    assert not dx.any()


def test_no_derivative_names_the_reason():
    g = graph(lambda x: e.nextafter(x, x), VECTOR)
    with pytest.raises(
        GradientError, match="nextafter cannot be differentiated forwards: nextafter has no derivative"
    ):
        pushforward(g, [0])


def test_batch_is_each_row():
    g = graph(layered, MATRIX, VECTOR)
    rows = RANDOM.normal(size=(5, 3))
    found = batch(g, [False, True], 5)
    verify(found.graph)
    assert found.outputs == (True, True, True)
    y, n, _ = interpret(found.graph, [A, rows])
    for i, row in enumerate(rows):
        expected = interpret(g, [A, row])
        np.testing.assert_allclose(y[i], expected[0], rtol=1e-14)
        np.testing.assert_array_equal(n[i], expected[1])


def test_batch_leaves_the_rest_alone():
    g = graph(lambda a, x: [reduce_sum(e.exp(a), (0, 1)), reshape(x, (3, 1))], MATRIX, VECTOR)
    found = batch(g, [False, True], 4)
    assert found.outputs == (False, True)
    assert found.graph.output_types == (TensorType((), float64), TensorType((4, 3, 1), float64))
    forced = batch(g, [False, True], 4, [True, True])
    assert forced.graph.output_types[0] == TensorType((4,), float64)


def test_fresh_values_are_never_merged():
    g = graph(lambda x: [fresh(x), fresh(x)], VECTOR)
    assert len(g) == 2
    found = pullback(g, g.outputs, [g.outputs[0]], frozenset([g.outputs[0]]))
    (gradient,) = interpret(found.graph, [np.ones(3), np.ones(3)])
    np.testing.assert_array_equal(gradient, np.ones(3))
