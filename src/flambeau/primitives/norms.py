"""Norms, ranks, pseudo-inverses and powers of matrices, made of primitives."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from flambeau.dtypes import int64, real_of
from flambeau.errors import OperandError, ShapeError
from flambeau.graph.builder import Var
from flambeau.primitives.composites import abs2
from flambeau.primitives.contract import matmul
from flambeau.primitives.decompositions import svd, svdvals
from flambeau.primitives.elementwise import (
    abs,
    cast,
    eq,
    gt,
    mul,
    ne,
    pow,
    reciprocal,
    select,
    sqrt,
    to_float,
)
from flambeau.primitives.linalg import inv
from flambeau.primitives.matrices import adjoint, eye_like, require_matrix, rows
from flambeau.primitives.reduce import reduce_max, reduce_min
from flambeau.primitives.views import Number, expand_dims, full, keep_dims, reduce_sum, shape_text


def _root(x: Var) -> Var:
    """The square root, with gradient 0 at 0."""
    nothing = eq(x, 0)
    return select(nothing, 0.0, sqrt(select(nothing, 1.0, x)))


def vector_norm(x: Var, axes: Sequence[int], keepdims: bool = False, ord: float = 2.0) -> Var:
    """The ``ord``-norm over ``axes``: 2 is Euclid's, inf the largest, 0 counts what is not 0."""
    x = to_float(x)
    if ord == 2:
        y = _root(reduce_sum(abs2(x), axes))
    elif ord == math.inf:
        y = reduce_max(abs(x), axes)
    elif ord == -math.inf:
        y = reduce_min(abs(x), axes)
    elif ord == 0:
        y = reduce_sum(cast(ne(x, 0), real_of(x.dtype)), axes)
    elif ord == 1:
        y = reduce_sum(abs(x), axes)
    else:
        y = pow(reduce_sum(pow(abs(x), float(ord)), axes), 1.0 / ord)
    return keep_dims(y, x.shape, axes) if keepdims else y


def matrix_norm(x: Var, keepdims: bool = False, ord: float | str | None = "fro") -> Var:
    """The norm of the matrices in the last two axes: "fro", "nuc", 1, 2, inf, or -1, -2, -inf."""
    x = to_float(x)
    require_matrix("matrix_norm", x.type)
    row, column = x.ndim - 2, x.ndim - 1
    if ord in ("fro", None):
        y = _root(reduce_sum(abs2(x), (row, column)))
    elif ord == "nuc":
        y = reduce_sum(svdvals(x), (row,))
    elif ord in (1, -1):
        y = (reduce_max if ord == 1 else reduce_min)(reduce_sum(abs(x), (row,)), (row,))
    elif ord in (math.inf, -math.inf):
        y = (reduce_max if ord == math.inf else reduce_min)(reduce_sum(abs(x), (column,)), (row,))
    elif ord in (2, -2):
        y = (reduce_max if ord == 2 else reduce_min)(svdvals(x), (row,))
    else:
        raise OperandError(f"matrix_norm: there is no norm {ord!r}")
    return keep_dims(y, x.shape, (row, column)) if keepdims else y


def _longer(x: Var) -> int:
    m, n = x.shape[-2:]
    if not isinstance(m, int) or not isinstance(n, int):
        raise ShapeError(f"matrix_rank: the sizes of the matrices in {shape_text(x.shape)} must be known")
    return max(m, n)


def _epsilon(x: Var) -> float:
    return float(np.finfo(x.dtype.numpy).eps)


def _kept(s: Var, x: Var, rtol: Var | Number | None) -> Var:
    """Which singular values count as different from 0: those above rtol times the largest."""
    if s.shape[-1] == 0:
        return full(s.shape, False, gt(s, 0).dtype)
    largest = expand_dims(reduce_max(s, (s.ndim - 1,)), s.ndim - 1)
    tolerance = _longer(x) * _epsilon(x) if rtol is None else rtol
    if isinstance(tolerance, Var) and tolerance.ndim:
        tolerance = expand_dims(tolerance, tolerance.ndim)
    return gt(s, mul(largest, tolerance))


def matrix_rank(x: Var, rtol: Var | Number | None = None) -> Var:
    """How many singular values lie above ``rtol`` times the largest: int64."""
    x = to_float(x)
    require_matrix("matrix_rank", x.type)
    s = svdvals(x)
    return reduce_sum(cast(_kept(s, x, rtol), int64), (s.ndim - 1,))


def pinv(x: Var, rtol: Var | Number | None = None) -> Var:
    """The Moore-Penrose pseudo-inverse; singular values up to ``rtol`` times the largest count as 0."""
    x = to_float(x)
    require_matrix("pinv", x.type)
    u, s, vh = svd(x, full_matrices=False)
    kept = _kept(s, x, rtol)
    inverse = select(kept, reciprocal(select(kept, s, 1.0)), 0.0)
    left = adjoint(u)
    return matmul(adjoint(vh), mul(left, cast(rows(inverse, left), x.dtype)))


def matrix_power(x: Var, n: int) -> Var:
    """``x`` multiplied with itself ``n`` times, by repeated squaring; negative ``n`` invert."""
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"matrix_power: square matrices are needed, not shape {shape_text(x.shape)}")
    if not isinstance(n, int):
        raise OperandError(f"matrix_power: the exponent must be an integer, not {n!r}")
    if n < 0:
        x, n = inv(x), -n
    result: Var | None = None
    while n:
        if n & 1:
            result = x if result is None else matmul(result, x)
        n >>= 1
        if n:
            x = matmul(x, x)
    return eye_like(x) if result is None else result
