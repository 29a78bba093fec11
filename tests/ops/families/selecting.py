"""Indexing, assignment, order, and elements at given places."""

# ruff: noqa: E501 - tables, a case a line

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import flambeau as fb
from tests.ops.families.case import Case, case, numbers

X, Y = numbers(3, 5), numbers(3, 5, seed=1)
CUBE, ROW = numbers(2, 3, 4), numbers(5)
ROWS, COLUMNS = np.array([2, 0, 2, -1]), np.array([1, 4, 0, 4])
MASK = X > 0.2
TABLE = np.array([[0, 4, 4], [2, 2, 1], [3, 0, 1]])  # repeated indices along the last axis
DISTINCT = np.array([[0, 4, 1], [2, 3, 1], [3, 0, 1]])


def _read(name: str, select: Callable[..., Any], *arrays: Any, variant: str = "") -> Case:
    """What is written the same way in both libraries."""
    return case(name, select, lambda t, *xs: select(*xs), *arrays, variant=variant)


READING = [
    _read("x[i]", lambda x: x[1], X),
    _read("x[i]", lambda x: x[-1, 2], X, variant="element"),
    _read("x[a:b]", lambda x: x[1:3], X),
    _read("x[a:b]", lambda x: x[:, 1:-1], X, variant="columns"),
    _read("x[a:b]", lambda x: x[1:1], X, variant="empty"),
    _read("x[a:b]", lambda x: x[::2, 1::3], X, variant="step"),
    case("flip", lambda x: x[::-1, ::-2], lambda t, x: t.flip(x, (0, 1))[:, ::2], X, variant="index"),
    _read("x[i]", lambda x: x[..., None, 1], CUBE, variant="new-axis"),
    _read("expand_dims", lambda x: x[None, :, None], X, variant="index"),
    _read("x[tensor]", lambda x, i: x[i], X, ROWS),
    _read("x[tensor]", lambda x, i: x[:, i], X, COLUMNS, variant="columns"),
    _read("x[tensor]", lambda x, i, j: x[i, j], X, ROWS, COLUMNS, variant="pairs"),
    _read("x[tensor]", lambda x, i, j: x[i[:, None], j], X, ROWS, COLUMNS, variant="grid"),
    # as in NumPy: the axes of the tensors come first where a slice lies between them
    case(
        "x[tensor]",
        lambda x, i: x[1, :, i],
        lambda t, x, i: x[1][:, i].mT,
        CUBE,
        np.array([3, 0, 3]),
        variant="mixed",
    ),
    _read("x[tensor]", lambda x, i: x[..., i, 1:], CUBE, np.array([[0, 2], [1, 1]]), variant="table"),
    _read("x[mask]", lambda x, m: x[m], X, MASK),
    _read("x[mask]", lambda x, m: x[m], X, np.array([True, False, True]), variant="rows"),
    _read("x[mask]", lambda x, m: x[:, m], X, MASK[0], variant="columns"),
]


def _written(name: str, key: Any, variant: str = "", value: Any = None, x: Any = X) -> Case:
    """``x[key] = value`` on something computed; what was read before keeps its values."""

    def run(x: Any, v: Any) -> Any:
        z = x * 2.0
        before = z * 1.0
        z[key] = v
        return z * before + z

    return case(name, run, lambda t, a, b: run(a, b), x, value, variant=variant)


def _written_at(name: str, variant: str, value: Any, *indices: Any) -> Case:
    def run(x: Any, v: Any, *key: Any) -> Any:
        z = x * 2.0
        z[key[0] if len(key) == 1 else key] = v
        return z * x

    return case(name, run, lambda t, *xs: run(*xs), X, value, *indices, variant=variant)


def _fill(x: Any, m: Any) -> Any:
    z = x * 2.0
    z[m] = 7.5
    return z * x


def _number(x: Any) -> Any:
    z = x * 2.0
    z[1:, ::2] = 7.5
    return z * x


def _augmented(x: Any, v: Any) -> Any:
    z = x * 2.0
    z[1] += v
    z[:, 2] *= v[2]
    return z * x


WRITING = [
    _written("x[i] = v", 1, value=ROW),
    _written("x[i] = v", (1, 2), "element", ROW[0]),
    _written("x[a:b] = v", slice(1, 3), value=Y[:2]),
    _written("x[a:b] = v", (slice(None), slice(1, 4)), "broadcast", Y[:, :1]),
    _written("x[a:b] = v", (slice(None, None, 2), slice(1, None, 3)), "step", value=Y[:2, :2]),
    _written("x[...] = v", Ellipsis, value=ROW),
    _written_at("x[tensor] = v", "", Y[:2], np.array([2, 0])),
    _written_at("x[tensor] = v", "pairs", ROW[:3], np.array([2, 0, 1]), np.array([4, 4, 0])),
    _written_at("x[tensor] = v", "broadcast", ROW[:1], np.array([2, 0, 1]), np.array([4, 4, 0])),
    _written_at("x[mask] = tensor", "", numbers(int(MASK.sum())), MASK),
    _written_at("x[mask] = tensor", "scalar", ROW[0], MASK),
    _read("x[mask] = number", _fill, X, MASK),
    _read("x[a:b] = number", _number, X),
    _read("x[i] = v", _augmented, X, ROW, variant="composed"),
]

ORDER = [
    case("sort", fb.sort, lambda t, x: t.sort(x, -1)[0], X),
    case("sort", lambda x: fb.sort(x, axis=0, descending=True), lambda t, x: t.sort(x, 0, True)[0], X, variant="descending"),
    case("topk", lambda x: fb.topk(x, 3)[0], lambda t, x: t.topk(x, 3)[0], X),
    case("topk", lambda x: fb.topk(x, 2, axis=0, largest=False)[0], lambda t, x: t.topk(x, 2, 0, False)[0], X, variant="smallest"),
    case("argsort", fb.argsort, lambda t, x: t.argsort(x), X, differentiable=False),
    case("topk indices", lambda x: fb.topk(x, 3)[1], lambda t, x: t.topk(x, 3)[1], X, differentiable=False),
    case("searchsorted", fb.searchsorted, lambda t, x, y: t.searchsorted(x, y), np.sort(ROW), Y, differentiable=False),
    case("nonzero", lambda x: list(fb.nonzero(x)), lambda t, x: list(t.nonzero(x, as_tuple=True)), MASK, differentiable=False),
    case("unique_values", fb.unique_values, lambda t, x: t.unique(x), TABLE, differentiable=False),
    case("one_hot", lambda i: fb.one_hot(i, 5, dtype=fb.int64), lambda t, i: t.nn.functional.one_hot(i, 5), TABLE, differentiable=False),
]  # fmt: skip

PLACES = [
    case("take", lambda x, i: fb.take(x, i, axis=1), lambda t, x, i: t.index_select(x, 1, i), X, np.array([4, 0, 4])),
    case("take", fb.take, lambda t, x, i: t.take(x, i), ROW, np.array([4, 0, 4]), variant="vector"),
    case("take_along_axis", lambda x, i: fb.take_along_axis(x, i, axis=1), lambda t, x, i: t.gather(x, 1, i), X, TABLE),
    case("take_along_axis", lambda x, i: fb.take_along_axis(x, i, axis=0), lambda t, x, i: t.take_along_dim(x, i, 0), X, np.array([[0, 2, 1, 0, 2]]), variant="broadcast"),
    case("put_along_axis", lambda x, v, i: fb.put_along_axis(x, i, v, axis=1), lambda t, x, v, i: t.scatter(x, 1, i, v), X, Y[:, :3], DISTINCT),
    case("put_along_axis", lambda x, i: fb.put_along_axis(x, i, 2.5, axis=1), lambda t, x, i: t.scatter(x, 1, i, 2.5), X, DISTINCT, variant="number"),
    case("add_along_axis", lambda x, v, i: fb.add_along_axis(x, i, v, axis=1), lambda t, x, v, i: t.scatter_add(x, 1, i, v), X, Y[:, :3], TABLE),
]  # fmt: skip

CASES: list[Case] = [*READING, *WRITING, *ORDER, *PLACES]
