"""Padding and concatenation: which parts are written, and what is computed on the way."""

from __future__ import annotations

import numpy as np
import pytest

from flambeau.compiler.moving import Box
from flambeau.compiler.views import View
from flambeau.graph.builder import Var
from flambeau.primitives import elementwise as e
from flambeau.primitives.indexing import concatenate, pad, pad_array
from flambeau.primitives.views import transpose
from tests.compiler.graphs import f32, graph_of, kinds, plan

CASES = [
    ((3, 4), (1, 2), (0, 1), (0, 0)),
    ((3, 4), (-1, 2), (1, -2), (1, 2)),
    ((40, 300), (3, 0), (2, 5), (0, 0)),
    ((40, 300), (-3, 2), (2, -5), (0, 0)),
    ((5,), (-7,), (9,), (0,)),
    ((2, 0, 3), (0, 1, 0), (0, 1, 1), (0, 0, 0)),
    ((1, 3), (0, 2), (0, 2), (5, 1)),
]


def _array(view: View, memory: np.ndarray) -> np.ndarray:
    strides = [s * memory.itemsize for s in view.strides]
    return np.lib.stride_tricks.as_strided(memory.reshape(-1)[view.offset :], view.shape, strides)


@pytest.mark.parametrize(("sizes", "low", "high", "interior"), CASES)
def test_a_box_and_what_is_outside_cover_everything(
    sizes: tuple[int, ...], low: tuple[int, ...], high: tuple[int, ...], interior: tuple[int, ...]
) -> None:
    x = np.arange(1, np.prod(sizes) + 1).reshape(sizes)
    wanted = pad_array(x, 0, low, high, interior)
    got = np.full(wanted.shape, -1)
    whole = View.dense(0, wanted.shape)
    box = Box.of(sizes, wanted.shape, low, interior)
    for part in box.outside(whole):
        _array(part, got)[...] = 0
    if 0 not in box.counts:
        kept = [slice(a, a + n) for a, n in zip(box.skipped, box.counts, strict=True)]
        _array(box.inside(whole), got)[...] = x[tuple(kept)]
    np.testing.assert_array_equal(got, wanted)


def test_what_is_padded_or_joined_is_computed_on_the_way() -> None:
    def padded(x: Var) -> Var:
        return pad(e.relu(e.mul(x, 2.0)), 0, (1, 1), (1, 1))

    def joined(x: Var, y: Var) -> Var:
        return concatenate([e.exp(x), y, e.neg(transpose(x, (1, 0)))], 0)

    assert kinds(graph_of(padded, f32(5, 5))) == ["move mul relu pad"]
    assert kinds(graph_of(joined, f32(5, 5), f32(5, 5))) == ["move exp neg concatenate"]
    _, kernels = plan(graph_of(joined, f32(5, 5), f32(5, 5)))
    assert [[i.op for i in k.body if i.op not in ("load", "store")] for k in kernels] == [
        ["exp"],
        [],
        ["neg"],
    ]


def test_what_others_read_too_is_stored_first() -> None:
    def f(x: Var) -> list[Var]:
        y = e.mul(x, 2.0)
        return [pad(y, 0, (1,), (1,)), y]

    assert kinds(graph_of(f, f32(5))) == ["elementwise mul", "move pad"]
    twice = graph_of(lambda x: concatenate([e.exp(x), e.exp(x)], 0), f32(5))
    assert kinds(twice) == ["elementwise exp", "move concatenate"]


def test_sizes_of_padding_and_parts_need_no_new_kernel() -> None:
    def f(n: int, low: int) -> list[object]:
        graph = graph_of(lambda x, y: pad(concatenate([x, y], 0), 0, (low, 0), (1, 2)), f32(n, 5), f32(3, 5))
        return list(plan(graph)[1])

    first = set(f(4, 1))
    assert set(f(7, 2)) == first and set(f(400, 30)) >= first
