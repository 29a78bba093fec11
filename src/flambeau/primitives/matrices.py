"""Small helpers on matrices in the last two axes, for the rules of linear algebra."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flambeau.dtypes import default_float, int64
from flambeau.errors import DTypeError, FlambeauError, GradientError, ShapeError
from flambeau.graph.builder import Var, emit_all
from flambeau.graph.primitive import primitive
from flambeau.graph.types import Size, TensorType
from flambeau.primitives.elementwise import add, cast, conj, eq, ge, le, mul, select
from flambeau.primitives.indexing import with_batch_axis
from flambeau.primitives.views import broadcast, full, iota, reduce_sum, shape_text, transpose, zeros_like


class LinAlgError(FlambeauError, np.linalg.LinAlgError):
    """Matrices whose values do not allow the operation, such as a singular one."""


def numerical(name: str, compute: Callable[..., Any]) -> Callable[..., Any]:
    """``compute`` with NumPy's refusals of values turned into errors that name the operation."""

    def reference(*matrices: np.ndarray, **attrs: Any) -> Any:
        try:
            return compute(*matrices, **attrs)
        except np.linalg.LinAlgError as error:
            shapes = " and ".join(shape_text(x.shape) for x in matrices)
            raise LinAlgError(f"{name}: {str(error).lower()}, among operands of shape {shapes}") from None

    return reference


def require_matrix(name: str, x: TensorType, square: bool = False) -> None:
    """Raise unless ``x`` holds (square) matrices of a dtype that LAPACK computes in."""
    if not x.dtype.inexact or x.dtype.bits < 32:
        raise DTypeError(f"{name}: is not defined for {x.dtype}")
    if x.ndim < 2:
        raise ShapeError(f"{name}: matrices are needed, not shape {shape_text(x.shape)}")
    if square and x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{name}: square matrices are needed, not shape {shape_text(x.shape)}")


def require_real(name: str, x: Var) -> None:
    """Raise ``GradientError`` for complex matrices."""
    if x.dtype.kind == "complex":
        raise GradientError(f"{name} cannot be differentiated: complex numbers have no gradients")


def to_linalg(x: Var) -> Var:
    """Integers and booleans as the default floating-point dtype."""
    return x if x.dtype.inexact else cast(x, default_float)


def matrix_transpose(x: Var) -> Var:
    """``x`` with its last two axes exchanged."""
    return transpose(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def adjoint(x: Var) -> Var:
    """The conjugate transpose."""
    y = matrix_transpose(x)
    return conj(y) if x.dtype.kind == "complex" else y


def _offsets(x: Var) -> Var:
    """Column minus row of every element."""
    return add(iota(x.shape, x.ndim - 1, int64), mul(iota(x.shape, x.ndim - 2, int64), -1))


def tril(x: Var, k: int = 0) -> Var:
    """The elements on and below the ``k``-th diagonal, zeros above."""
    return select(le(_offsets(x), k), x, zeros_like(x))


def triu(x: Var, k: int = 0) -> Var:
    """The elements on and above the ``k``-th diagonal, zeros below."""
    return select(ge(_offsets(x), k), x, zeros_like(x))


def on_diagonal(d: Var, shape: Sequence[Size]) -> Var:
    """Matrices of ``shape`` with ``d`` on the main diagonal, which has the length of d's last axis."""
    spread = broadcast(d, tuple(shape), range(d.ndim))
    return select(eq(_offsets(spread), 0), spread, zeros_like(spread))


def main_diagonal(x: Var) -> Var:
    """The main diagonal of square matrices."""
    return reduce_sum(select(eq(_offsets(x), 0), x, zeros_like(x)), (x.ndim - 1,))


def eye_like(x: Var) -> Var:
    """Identity matrices of the shape of ``x``."""
    ones = full(x.shape, 1, x.dtype)
    return select(eq(_offsets(x), 0), ones, zeros_like(x))


def columns(d: Var, x: Var) -> Var:
    """``d``, one number per column, as matrices like ``x``."""
    return broadcast(d, x.shape, (*range(x.ndim - 2), x.ndim - 1))


def rows(d: Var, x: Var) -> Var:
    """``d``, one number per row, as matrices like ``x``."""
    return broadcast(d, x.shape, range(x.ndim - 1))


def symmetric(x: Var) -> Var:
    """The mean of a matrix and its transpose."""
    return mul(add(x, matrix_transpose(x)), 0.5)


def total(terms: Sequence[Var | None]) -> Var | None:
    """The sum of those terms that are there."""
    result: Var | None = None
    for term in terms:
        if term is not None:
            result = term if result is None else add(result, term)
    return result


def batch_leading(name: str) -> Any:
    """The batch rule of primitives that work on leading axes by themselves."""

    def rule(inputs: Sequence[Var], batched: Sequence[bool], **attrs: Any) -> Any:
        made = emit_all(primitive(name), *with_batch_axis(inputs, batched), **attrs)
        return made[0] if primitive(name).outputs == 1 else made

    return rule
