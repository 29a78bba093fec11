"""Convolutions with windows of one element are products of matrices, with the same bits and fewer copies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from flambeau.compiler.kernel import Kernel
from flambeau.graph.builder import Var
from flambeau.primitives.convolution import _input_gradient, _weight_gradient, conv_general
from flambeau.primitives.views import transpose
from tests.compiler.builders import same_bits
from tests.compiler.graphs import f32, graph_of, plan
from tests.compiler.test_convolution import ATTRS, by_definition, run

SINGLE: dict[str, Any] = ATTRS | {"padding": ((0, 0), (0, 0))}
FIRST, LAST = (0, 3, 1, 2), (0, 2, 3, 1)


def forward(x: Var, w: Var, attrs: dict[str, Any]) -> Var:
    return transpose(conv_general(transpose(x, FIRST), w, **attrs), LAST)


def data(x: Var, w: Var, g: Var, attrs: dict[str, Any]) -> Var:
    return transpose(_input_gradient(transpose(g, FIRST), transpose(x, FIRST), w, attrs), LAST)


def weight(x: Var, w: Var, g: Var, attrs: dict[str, Any]) -> Var:
    return _weight_gradient(transpose(g, FIRST), transpose(x, FIRST), w, attrs)


def families(fn: Callable[..., Var], *shapes: tuple[int, ...]) -> list[str]:
    kernels: list[Kernel] = plan(graph_of(fn, *[f32(*s) for s in shapes]))[1]
    return [kernel.family for kernel in kernels]


# Images (channels last), channels of the result, groups.  The third has weights' gradients of more than one
# chunk of examples, 7 of which are one here.
CASES = [
    ((2, 9, 7, 24), 40, 1),
    ((1, 1, 5, 16), 33, 1),
    ((9, 24, 24, 17), 16, 1),
    ((3, 4, 5, 48), 64, 2),
    ((1, 3, 3, 4200), 16, 1),
]


@pytest.mark.parametrize(("shape", "channels", "groups"), CASES, ids=str)
def test_all_three_passes_have_the_bits_of_the_definition(
    shape: tuple[int, ...], channels: int, groups: int
) -> None:
    rng = np.random.default_rng(0)
    attrs = SINGLE | {"groups": groups}
    x = rng.standard_normal(shape).astype(np.float32)
    w = rng.standard_normal((channels, shape[-1] // groups, 1, 1)).astype(np.float32)
    g = rng.standard_normal((*shape[:-1], channels)).astype(np.float32)
    none = {"strides": (1, 1), "padding": ((0, 0), (0, 0))}
    x_first, g_first = x.transpose(FIRST), g.transpose(FIRST)
    y = by_definition(x_first, w, groups=groups, **none)
    got = run(lambda x, w: forward(x, w, attrs), x, w)
    assert same_bits(got, np.ascontiguousarray(y.transpose(LAST)))
    if groups > 1:
        return
    turned = np.ascontiguousarray(w.transpose(1, 0, 2, 3))
    dx = by_definition(g_first, turned, **none)
    got = run(lambda x, w, g: data(x, w, g, attrs), x, w, g)
    assert same_bits(got, np.ascontiguousarray(dx.transpose(LAST)))
    dw = by_definition(x_first.transpose(1, 0, 2, 3), g_first.transpose(1, 0, 2, 3), **none)
    got = run(lambda x, w, g: weight(x, w, g, attrs), x, w, g)
    assert same_bits(got, np.ascontiguousarray(dw.transpose(1, 0, 2, 3)))


def test_each_pass_is_one_product_and_no_copy() -> None:
    x, w, g = (2, 9, 7, 24), (64, 24, 1, 1), (2, 9, 7, 64)
    assert families(lambda x, w: forward(x, w, SINGLE), x, w) == ["contraction"]
    assert families(lambda x, w, g: data(x, w, g, SINGLE), x, w, g) == ["contraction"]
    assert families(lambda x, w, g: weight(x, w, g, SINGLE), x, w, g) == ["contraction"]


def test_a_window_as_large_as_the_image_is_a_product_too() -> None:
    x, w = (3, 4, 5, 20), (33, 20, 4, 5)
    rng = np.random.default_rng(1)
    a, b = (rng.standard_normal(s).astype(np.float32) for s in (x, w))

    def whole(x: Var, w: Var) -> Var:
        return conv_general(transpose(x, FIRST), transpose(w, FIRST), **SINGLE)

    last = np.ascontiguousarray(b.transpose(LAST))
    wanted = by_definition(a.transpose(FIRST), b, strides=(1, 1), padding=((0, 0), (0, 0)))
    assert same_bits(run(whole, a, last), wanted)


def test_positions_that_are_left_out_make_it_no_product() -> None:
    x, w = (2, 9, 7, 24), (40, 24, 1, 1)
    assert "convolution" in families(lambda x, w: forward(x, w, SINGLE | {"strides": (2, 2)}), x, w)
    padded = SINGLE | {"padding": ((1, 1), (0, 0))}
    rng = np.random.default_rng(2)
    a, b = (rng.standard_normal(s).astype(np.float32) for s in (x, w))
    wanted = by_definition(a.transpose(FIRST), b, strides=(1, 1), padding=((1, 1), (0, 0)))
    got = run(lambda x, w: forward(x, w, padded), a, b)
    assert same_bits(got, np.ascontiguousarray(wanted.transpose(LAST)))
