"""Reductions, statistics, softmax, running sums and their relatives."""

# ruff: noqa: E501 - tables, a case a line

from __future__ import annotations

from typing import Any

import flambeau as fb
from tests.ops.families.case import Case, case, numbers, positive

X, P = numbers(3, 5), positive(3, 5)
CUBE = numbers(2, 3, 4)
LARGE = numbers(3, 4, low=-300.0, high=300.0)


def _axes(name: str, theirs: Any, x: Any = CUBE, pairs: bool = True, whole: str = "") -> list[Case]:
    """All axes, one axis from either end, kept axes, and pairs of axes."""
    ours = getattr(fb, name)
    listed = [
        case(name, lambda x: ours(x, axis=1), lambda t, x: theirs(t, x, 1, False), x, variant="axis"),
        case(name, lambda x: ours(x, axis=-1), lambda t, x: theirs(t, x, -1, False), x, variant="last"),
        case(
            name,
            lambda x: ours(x, axis=0, keepdims=True),
            lambda t, x: theirs(t, x, 0, True),
            x,
            variant="keepdims",
        ),
    ]
    if pairs:
        listed += [
            case(name, ours, lambda t, x: theirs(t, x, tuple(range(x.ndim)), False), x),
            case(
                name,
                lambda x: ours(x, axis=(0, 2)),
                lambda t, x: theirs(t, x, (0, 2), False),
                x,
                variant="axes",
            ),
            case(
                name,
                lambda x: ours(x, axis=(2, -2), keepdims=True),
                lambda t, x: theirs(t, x, (1, 2), True),
                x,
                variant="axes-keepdims",
            ),
        ]
    if whole:
        listed.append(case(whole, ours, lambda t, x: getattr(t, name)(x), x))
    return listed


REDUCTIONS = [
    *_axes("sum", lambda t, x, d, k: t.sum(x, d, keepdim=k)),
    *_axes("mean", lambda t, x, d, k: t.mean(x, d, keepdim=k)),
    *_axes("max", lambda t, x, d, k: t.amax(x, d, keepdim=k), whole="max of all"),
    *_axes("min", lambda t, x, d, k: t.amin(x, d, keepdim=k), whole="min of all"),
    *_axes("prod", lambda t, x, d, k: t.prod(x, d, keepdim=k), positive(2, 3, 4), pairs=False, whole="prod"),
    case("prod", lambda x: fb.prod(x, axis=1), lambda t, x: t.prod(x, 1), X - X[0], variant="zeros"),
    *_axes("var", lambda t, x, d, k: t.var(x, d, correction=0, keepdim=k)),
    case("var", lambda x: fb.var(x, axis=1, correction=1), lambda t, x: t.var(x, 1), X, variant="bessel"),
    *_axes("std", lambda t, x, d, k: t.std(x, d, correction=0, keepdim=k)),
    case("std", lambda x: fb.std(x, correction=1.0), lambda t, x: t.std(x), X, variant="bessel"),
    *_axes("logsumexp", lambda t, x, d, k: t.logsumexp(x, d, keepdim=k)),
    case("logsumexp", lambda x: fb.logsumexp(x, axis=0), lambda t, x: t.logsumexp(x, 0), LARGE, variant="large"),
    case("vector_norm", lambda x: fb.linalg.vector_norm(x, axis=1), lambda t, x: t.linalg.vector_norm(x, dim=1), X),
    case("vector_norm", lambda x: fb.linalg.vector_norm(x, keepdims=True), lambda t, x: t.linalg.vector_norm(x, keepdim=True), X, variant="all"),
    case("vector_norm", lambda x: fb.linalg.vector_norm(x, axis=(0, 1), ord=1), lambda t, x: t.linalg.vector_norm(x, 1, dim=(0, 1)), CUBE, variant="1"),
    case("vector_norm", lambda x: fb.linalg.vector_norm(x, axis=0, ord=3), lambda t, x: t.linalg.vector_norm(x, 3, dim=0), X, variant="3"),
    case("vector_norm", lambda x: fb.linalg.vector_norm(x, axis=0, ord=fb.inf), lambda t, x: t.linalg.vector_norm(x, float("inf"), dim=0), X, variant="inf"),
    case("vector_norm", lambda x: fb.linalg.vector_norm(x, axis=0, ord=-fb.inf), lambda t, x: t.linalg.vector_norm(x, -float("inf"), dim=0), X, variant="-inf"),
    # values alone
    case("any", lambda x: fb.any(x, axis=1), lambda t, x: t.any(x, 1), X > 1, differentiable=False),
    case("all", lambda x: fb.all(x, axis=0), lambda t, x: t.all(x, 0), X > -1, differentiable=False),
    case("count_nonzero", lambda x: fb.count_nonzero(x, axis=1), lambda t, x: t.count_nonzero(x, 1), X > 0, differentiable=False),
    case("argmax", lambda x: fb.argmax(x, axis=1), lambda t, x: t.argmax(x, 1), X, differentiable=False),
    case("argmin", fb.argmin, lambda t, x: t.argmin(x), X, differentiable=False),
]  # fmt: skip

ALONG = [
    case("softmax", fb.softmax, lambda t, x: t.softmax(x, -1), X),
    case("softmax", lambda x: fb.softmax(x, axis=1), lambda t, x: t.softmax(x, 1), CUBE, variant="axis"),
    case("softmax", lambda x: fb.softmax(x, axis=0), lambda t, x: t.softmax(x, 0), LARGE, variant="large"),
    case("log_softmax", fb.log_softmax, lambda t, x: t.log_softmax(x, -1), X),
    case("log_softmax", lambda x: fb.log_softmax(x, axis=1), lambda t, x: t.log_softmax(x, 1), CUBE, variant="axis"),
    case("log_softmax", lambda x: fb.log_softmax(x, axis=0), lambda t, x: t.log_softmax(x, 0), LARGE, variant="large"),
    case("cumulative_sum", lambda x: fb.cumulative_sum(x, axis=1), lambda t, x: t.cumsum(x, 1), X),
    case("cumulative_sum", lambda x: fb.cumulative_sum(x, axis=0), lambda t, x: t.cumsum(x, 0), CUBE, variant="first"),
    case("cumulative_sum", lambda x: fb.cumulative_sum(x, axis=-1, include_initial=True), lambda t, x: t.nn.functional.pad(t.cumsum(x, -1), (1, 0)), X, variant="initial"),
    case("cumulative_sum", fb.cumulative_sum, lambda t, x: t.cumsum(x, 0), X[0], variant="vector"),
    case("cumulative_prod", lambda x: fb.cumulative_prod(x, axis=1), lambda t, x: t.cumprod(x, 1), P),
    case("cumulative_prod", lambda x: fb.cumulative_prod(x, axis=0), lambda t, x: t.cumprod(x, 0), X - X[1], variant="zeros"),
    case("cumulative_max", lambda x: fb.cumulative_max(x, axis=1), lambda t, x: t.cummax(x, 1)[0], CUBE),
    case("cumulative_min", lambda x: fb.cumulative_min(x, axis=0), lambda t, x: t.cummin(x, 0)[0], X),
    case("diff", fb.diff, lambda t, x: t.diff(x), X),
    case("diff", lambda x: fb.diff(x, axis=0, n=2), lambda t, x: t.diff(x, 2, 0), X, variant="twice"),
    case("diff", lambda x, y, z: fb.diff(x, prepend=y, append=z), lambda t, x, y, z: t.diff(x, prepend=y, append=z), X, X[:, :1] * 2, X[:, 1:3] * 3, variant="joined"),
]  # fmt: skip

CASES: list[Case] = [*REDUCTIONS, *ALONG]
