"""Views: strides and offsets say what NumPy's views say; axes are merged only where nothing changes."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

from flambeau.compiler.tasks import merged
from flambeau.compiler.views import View, collapse, dense_strides, through
from flambeau.graph.graph import Graph
from flambeau.primitives.indexing import reverse, slice_
from flambeau.primitives.views import broadcast, reshape, transpose
from tests.compiler.graphs import f32, graph_of


def seen(view: View, memory: np.ndarray) -> np.ndarray:
    """The elements that a view reads from flat memory, each fetched by its own offset."""
    out = np.empty(view.shape, memory.dtype)
    for index in itertools.product(*map(range, view.shape)):
        at = view.offset + sum(i * s for i, s in zip(index, view.strides, strict=True))
        assert 0 <= at < memory.size
        out[index] = memory[at]
    return out


def random_view(seed: int) -> tuple[Graph, np.ndarray]:
    """A chain of view operations and the memory it starts from."""
    r = random.Random(seed)
    shape = tuple(r.choice((1, 2, 3, 4)) for _ in range(r.randint(1, 4)))

    def fn(x):  # type: ignore[no-untyped-def]
        for _ in range(r.randint(1, 6)):
            kind = r.randrange(5)
            if kind == 0:
                perm = list(range(x.ndim))
                r.shuffle(perm)
                x = transpose(x, perm)
            elif kind == 1 and x.ndim:
                x = reverse(x, r.sample(range(x.ndim), r.randint(1, x.ndim)))
            elif kind == 2:
                starts = [r.randint(0, n - 1) for n in x.shape]
                limits = [r.randint(a + 1, n) for a, n in zip(starts, x.shape, strict=True)]
                x = slice_(x, starts, limits, [r.randint(1, 3) for _ in x.shape])
            elif kind == 3:
                x = broadcast(x, (r.randint(1, 3), *x.shape), range(1, x.ndim + 1))
            else:
                rest = math.prod(x.shape)
                sizes = [1] if r.random() < 0.3 else []
                while rest > 1:
                    d = r.choice([d for d in range(2, rest + 1) if rest % d == 0])
                    sizes.append(d)
                    rest //= d
                x = reshape(x, sizes)
        return x

    graph = graph_of(fn, f32(*shape))
    return graph, np.arange(math.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize("seed", range(300))
def test_chains_of_views_read_what_numpy_reads(seed: int) -> None:
    graph, array = random_view(seed)
    memory = array.reshape(-1)
    view = View.dense(0, array.shape)
    for node in graph.nodes:
        array = node.primitive.reference(array, **node.attrs)
        found = through(node, view, array.shape)
        if found is None:  # only a reshape may need a copy, and then it really does
            assert node.primitive.name == "reshape" and not view.is_dense()
            memory, found = np.ascontiguousarray(array).reshape(-1), View.dense(0, array.shape)
        view = found
        np.testing.assert_array_equal(seen(view, memory), array)
        if view.is_dense():
            np.testing.assert_array_equal(memory[view.offset :][: array.size], array.reshape(-1))


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (4, 1, 2), (0,), (2, 0, 3), (0, 0), (5, 0)])
def test_dense(shape: tuple[int, ...]) -> None:
    view = View.dense(0, shape)
    assert view.is_dense()
    assert 0 not in view.strides  # an empty axis makes no broadcast of those before it
    if 0 not in shape:
        memory = np.arange(math.prod(shape), dtype=np.float32)
        np.testing.assert_array_equal(seen(view, memory), memory.reshape(shape))


def test_dense_is_about_order_only() -> None:
    assert View(0, (3, 1, 2), (2, 77, 1), 5).is_dense()
    assert not View(0, (3, 2), (1, 3)).is_dense()
    assert not View(0, (3, 2), (0, 1)).is_dense()
    assert not View(0, (4,), (-1,), 3).is_dense()


@pytest.mark.parametrize("seed", range(200))
def test_collapsing_visits_the_same_points(seed: int) -> None:
    r = random.Random(seed)
    sizes = [r.choice((1, 1, 2, 3, 4)) for _ in range(r.randint(0, 5))]
    labels = [r.randrange(2) for _ in sizes]
    strides = [list(dense_strides(sizes))]
    for _ in range(r.randint(0, 2)):
        own = list(strides[0])
        for i in range(len(own)):
            if r.random() < 0.3:
                own[i] = r.choice((0, -own[i], 7 * own[i]))
        strides.append(own)
    merged_sizes, merged_strides, groups = collapse(sizes, strides, labels)

    def offsets(sizes: list[int], steps: list[list[int]]) -> list[tuple[int, ...]]:
        points = itertools.product(*map(range, sizes))
        return [tuple(sum(i * s for i, s in zip(p, own, strict=True)) for own in steps) for p in points]

    assert offsets(merged_sizes, merged_strides) == offsets(sizes, strides)
    assert 1 not in merged_sizes
    for group in groups:
        assert len({labels[i] for i in group}) == 1


def test_a_dense_tensor_is_one_axis() -> None:
    sizes, strides, _ = collapse((3, 4, 5), [dense_strides((3, 4, 5))] * 3)
    assert sizes == [60] and strides == [[1], [1], [1]]


@pytest.mark.parametrize(
    ("view", "blocks", "steps"),
    [
        (View.dense(0, (2, 3, 4)), [[0, 1], [2]], [4, 1]),
        (View.dense(0, (2, 3, 4)), [[0], [1, 2]], [12, 1]),
        (View(0, (2, 3, 4), (12, 0, 1)), [[0], [1, 2]], None),
        (View(0, (2, 3, 4), (0, 0, 1)), [[0, 1], [2]], [0, 1]),
        (View(0, (3, 1, 4), (4, 99, 1)), [[0, 1, 2]], [1]),
        (View(0, (2, 3), (-3, -1), 5), [[0, 1]], [-1]),
        (View.dense(0, (2, 0, 4)), [[0, 1], [2]], [4, 1]),
        (View.dense(0, (3,)), [[], [0]], [0, 1]),
    ],
)
def test_merging_axes_into_blocks(view: View, blocks: list[list[int]], steps: list[int] | None) -> None:
    assert merged(view, blocks) == steps


def test_a_reshape_that_splits_axes_moves_nothing() -> None:
    graph = graph_of(lambda x: reshape(x, (2, 3, 1, 2, 5)), f32(6, 10))
    view = through(graph.nodes[0], View(7, (6, 10), (30, 2), 4), (2, 3, 1, 2, 5))
    assert view == View(7, (2, 3, 1, 2, 5), (90, 30, 0, 10, 2), 4)
    graph = graph_of(lambda x: reshape(x, (4, 15)), f32(6, 10))
    assert through(graph.nodes[0], View(7, (6, 10), (30, 2), 4), (4, 15)) is None
