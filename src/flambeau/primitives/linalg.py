"""Equations, inverses, determinants and the Cholesky factor, on matrices in the last two axes.

Sources of the derivatives: M. B. Giles, "Collected matrix derivative results for forward and
reverse mode algorithmic differentiation", 2008; I. Murray, "Differentiation of the Cholesky
decomposition", 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.dtypes import real_of
from flambeau.errors import DTypeError, ShapeError
from flambeau.graph.builder import Var, emit, emit_all
from flambeau.graph.primitive import Lowering, Primitive
from flambeau.graph.types import TensorType
from flambeau.primitives.contract import matmul
from flambeau.primitives.elementwise import add, harmonize_dtypes, mul, neg, sub
from flambeau.primitives.matrices import (
    adjoint,
    batch_leading,
    main_diagonal,
    matrix_transpose,
    numerical,
    require_matrix,
    require_real,
    symmetric,
    to_linalg,
    total,
    tril,
    triu,
)
from flambeau.primitives.views import (
    broadcast,
    broadcast_shapes,
    broadcast_to,
    expand_dims,
    reduce_sum,
    shape_text,
    squeeze,
)


def scale(matrix: Var, numbers: Var) -> Var:
    """Each matrix times the number that belongs to it."""
    return mul(matrix, broadcast(numbers, matrix.shape, range(numbers.ndim)))


def trace_of(x: Var) -> Var:
    """The sum of the main diagonal of square matrices."""
    return reduce_sum(main_diagonal(x), (x.ndim - 2,))


def _square(name: str) -> Any:
    def infer(x: TensorType) -> TensorType:
        require_matrix(name, x, square=True)
        return x

    return infer


# --- inverse ---------------------------------------------------------------------------------


def _vjp_inv(g: Var, inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    (y,) = outputs
    require_real("inv", y)
    t = matrix_transpose(y)
    return (neg(matmul(matmul(t, g), t)),)


def _jvp_inv(t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    (y,) = outputs
    return (None if t[0] is None else neg(matmul(matmul(y, t[0]), y)),)


inv_p = Primitive(
    "inv",
    infer=_square("inv"),
    reference=numerical("inv", np.linalg.inv),
    vjp=_vjp_inv,
    jvp=_jvp_inv,
    batch=batch_leading("inv"),
    lowering=Lowering.HOST,
)


def inv(x: Var) -> Var:
    """The inverses of square matrices; computing raises ``LinAlgError`` where one is singular."""
    return emit(inv_p, to_linalg(x))


# --- solve -----------------------------------------------------------------------------------


def _infer_solve(a: TensorType, b: TensorType) -> TensorType:
    _check_solve("solve", a, b)
    return b


def _check_solve(name: str, a: TensorType, b: TensorType) -> None:
    require_matrix(name, a, square=True)
    require_matrix(name, b)
    if a.dtype is not b.dtype:
        raise DTypeError(f"{name}: dtypes {a.dtype} and {b.dtype} differ")
    if a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-2]:
        raise ShapeError(f"{name}: shapes {shape_text(a.shape)} and {shape_text(b.shape)} do not fit")


def _vjp_solve(g: Var, inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    (a, _), (x,) = inputs, outputs
    require_real("solve", x)
    g_b = emit(solve_p, matrix_transpose(a), g)
    return (neg(matmul(g_b, matrix_transpose(x))), g_b)


def _jvp_solve(t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    (a, _), (x,) = inputs, outputs
    drive = total([t[1], None if t[0] is None else neg(matmul(t[0], x))])
    return (None if drive is None else emit(solve_p, a, drive),)


solve_p = Primitive(
    "solve",
    infer=_infer_solve,
    reference=numerical("solve", np.linalg.solve),
    vjp=_vjp_solve,
    jvp=_jvp_solve,
    batch=batch_leading("solve"),
    lowering=Lowering.HOST,
)


def _same_lead(name: str, a: Var, b: Var) -> tuple[Var, Var]:
    lead = broadcast_shapes(name, a.shape[:-2], b.shape[:-2])
    return broadcast_to(a, (*lead, *a.shape[-2:])), broadcast_to(b, (*lead, *b.shape[-2:]))


def solve(a: Var, b: Var) -> Var:
    """The ``x`` with ``a @ x == b``; ``b`` is one vector, or matrices whose leading axes broadcast.

    Computing raises ``LinAlgError`` where a matrix is singular.
    """
    a, b = harmonize_dtypes("solve", to_linalg(a), to_linalg(b))
    if b.ndim == 1:
        require_matrix("solve", a.type, square=True)
        if a.shape[-1] != b.shape[0]:
            raise ShapeError(f"solve: shapes {shape_text(a.shape)} and {shape_text(b.shape)} do not fit")
        column = broadcast_to(expand_dims(b, 1), (*a.shape[:-2], *b.shape, 1))
        return squeeze(emit(solve_p, a, column), (a.ndim - 1,))
    return emit(solve_p, *_same_lead("solve", a, b))


# --- triangular solve ------------------------------------------------------------------------


def _infer_triangular(
    a: TensorType, b: TensorType, *, lower: bool, transposed: bool, unit: bool
) -> TensorType:
    _check_solve("triangular_solve", a, b)
    return b


def _ref_triangular(a: np.ndarray, b: np.ndarray, *, lower: bool, transposed: bool, unit: bool) -> Any:
    part = np.tril(a) if lower else np.triu(a)
    if unit:
        n = a.shape[-1]
        part[..., np.arange(n), np.arange(n)] = 1
    return np.linalg.solve(np.swapaxes(part, -1, -2) if transposed else part, b)


def _triangle(x: Var, lower: bool, unit: bool) -> Var:
    return tril(x, -1 if unit else 0) if lower else triu(x, 1 if unit else 0)


def _vjp_triangular(
    g: Var, inputs: Sequence[Var], outputs: Sequence[Var], *, lower: bool, transposed: bool, unit: bool
) -> Any:
    (a, _), (x,) = inputs, outputs
    require_real("triangular_solve", x)
    g_b = triangular_solve(a, g, lower, not transposed, unit)
    outer = matmul(x, matrix_transpose(g_b)) if transposed else matmul(g_b, matrix_transpose(x))
    return (neg(_triangle(outer, lower, unit)), g_b)


def _jvp_triangular(
    t: Sequence[Var | None],
    inputs: Sequence[Var],
    outputs: Sequence[Var],
    *,
    lower: bool,
    transposed: bool,
    unit: bool,
) -> Any:
    (a, _), (x,) = inputs, outputs
    drive = t[1]
    if t[0] is not None:
        change = _triangle(t[0], lower, unit)
        moved = matmul(matrix_transpose(change) if transposed else change, x)
        drive = neg(moved) if drive is None else sub(drive, moved)
    return (None if drive is None else triangular_solve(a, drive, lower, transposed, unit),)


triangular_solve_p = Primitive(
    "triangular_solve",
    infer=_infer_triangular,
    reference=numerical("triangular_solve", _ref_triangular),
    vjp=_vjp_triangular,
    jvp=_jvp_triangular,
    batch=batch_leading("triangular_solve"),
    lowering=Lowering.HOST,
)


def triangular_solve(a: Var, b: Var, lower: bool = True, transposed: bool = False, unit: bool = False) -> Var:
    """``solve`` with one triangle of ``a`` (or its transpose); the other is not looked at.

    ``unit`` takes the diagonal to be 1.
    """
    return emit(
        triangular_solve_p,
        *_same_lead("triangular_solve", a, b),
        lower=lower,
        transposed=transposed,
        unit=unit,
    )


# --- Cholesky --------------------------------------------------------------------------------


def hermitian(x: np.ndarray) -> Any:
    """The mean of a matrix and its conjugate transpose."""
    return (x + np.swapaxes(x, -1, -2).conj()) / 2


def _half_diagonal(x: Var) -> Var:
    """The lower triangle with its diagonal halved."""
    return mul(add(tril(x), tril(x, -1)), 0.5)


def _vjp_cholesky(g: Var, inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    (factor,) = outputs
    require_real("cholesky", factor)
    inner = _half_diagonal(matmul(matrix_transpose(factor), g))
    left = triangular_solve(factor, inner, transposed=True)
    both = matrix_transpose(triangular_solve(factor, matrix_transpose(left), transposed=True))
    return (symmetric(both),)


def _jvp_cholesky(t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    (factor,) = outputs
    if t[0] is None:
        return (None,)
    left = triangular_solve(factor, symmetric(t[0]))
    both = matrix_transpose(triangular_solve(factor, matrix_transpose(left)))
    return (matmul(factor, _half_diagonal(both)),)


cholesky_p = Primitive(
    "cholesky",
    infer=_square("cholesky"),
    reference=numerical("cholesky", lambda x: np.linalg.cholesky(hermitian(x))),
    vjp=_vjp_cholesky,
    jvp=_jvp_cholesky,
    batch=batch_leading("cholesky"),
    lowering=Lowering.HOST,
)


def cholesky(x: Var, upper: bool = False) -> Var:
    """The triangular factor ``L`` with ``L @ L.mT == x``, or ``L.mT`` when ``upper``.

    Of a matrix that is not Hermitian, its Hermitian part is factored.  Computing raises
    ``LinAlgError`` where a matrix is not positive definite.
    """
    factor = emit(cholesky_p, to_linalg(x))
    return adjoint(factor) if upper else factor


# --- determinants ----------------------------------------------------------------------------


def _infer_det(x: TensorType) -> TensorType:
    require_matrix("det", x, square=True)
    return TensorType(x.shape[:-2], x.dtype)


def _vjp_det(g: Var, inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    (x,) = inputs
    require_real("det", x)
    return (scale(emit(cofactor_p, x), g),)


def _jvp_det(t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    (x,) = inputs
    if t[0] is None:
        return (None,)
    return (reduce_sum(mul(t[0], emit(cofactor_p, x)), (x.ndim - 2, x.ndim - 1)),)


det_p = Primitive(
    "det",
    infer=_infer_det,
    reference=lambda x: np.asarray(np.linalg.det(x)),
    vjp=_vjp_det,
    jvp=_jvp_det,
    batch=batch_leading("det"),
    lowering=Lowering.HOST,
)


def det(x: Var) -> Var:
    """The determinants of square matrices; the gradient is right for singular ones too."""
    return emit(det_p, to_linalg(x))


def _ref_cofactor(x: np.ndarray) -> Any:
    """From ``x = U S V``: ``det(U) det(V) U P V``, where P has the products of the other singular values."""
    u, s, v = np.linalg.svd(x, full_matrices=False)
    u, v, sign = u.conj(), v.conj(), np.linalg.det(u) * np.linalg.det(v)
    n = s.shape[-1]
    others = np.stack([np.prod(np.delete(s, i, -1), axis=-1) for i in range(n)], -1) if n else s
    return (sign[..., None, None] * ((u * others[..., None, :]) @ v)).astype(x.dtype)


def _cofactor_change(x: Var, y: Var, t: Var) -> Var:
    """For regular matrices; its own transpose up to that of ``t``."""
    turned = matrix_transpose(inv(x))
    return sub(
        scale(y, reduce_sum(mul(turned, t), (x.ndim - 2, x.ndim - 1))),
        matmul(matmul(y, matrix_transpose(t)), turned),
    )


def _vjp_cofactor(g: Var, inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    (x,), (y,) = inputs, outputs
    require_real("cofactor", x)
    turned = matrix_transpose(inv(x))
    return (
        sub(
            scale(turned, reduce_sum(mul(y, g), (x.ndim - 2, x.ndim - 1))),
            matmul(matmul(turned, matrix_transpose(g)), y),
        ),
    )


def _jvp_cofactor(t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    return (None if t[0] is None else _cofactor_change(inputs[0], outputs[0], t[0]),)


cofactor_p = Primitive(
    "cofactor",
    infer=_square("cofactor"),
    reference=_ref_cofactor,
    vjp=_vjp_cofactor,
    jvp=_jvp_cofactor,
    batch=batch_leading("cofactor"),
    lowering=Lowering.HOST,
)


def cofactor(x: Var) -> Var:
    """The matrices of cofactors, ``det(x) * inv(x).mT``, defined for singular matrices too.

    The second derivative of the determinant, which goes through here, needs a regular matrix.
    """
    return emit(cofactor_p, to_linalg(x))


def _infer_slogdet(x: TensorType) -> tuple[TensorType, TensorType]:
    require_matrix("slogdet", x, square=True)
    return TensorType(x.shape[:-2], x.dtype), TensorType(x.shape[:-2], real_of(x.dtype))


def _ref_slogdet(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sign, log = np.linalg.slogdet(x)
    return np.asarray(sign), np.asarray(log)


def _vjp_slogdet(g: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    (x,) = inputs
    require_real("slogdet", x)
    if g[1] is None:
        return (None,)
    return (scale(matrix_transpose(inv(x)), g[1]),)


def _jvp_slogdet(t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    if t[0] is None:
        return (None, None)
    return (None, trace_of(emit(solve_p, inputs[0], t[0])))


slogdet_p = Primitive(
    "slogdet",
    infer=_infer_slogdet,
    reference=_ref_slogdet,
    vjp=_vjp_slogdet,
    jvp=_jvp_slogdet,
    batch=batch_leading("slogdet"),
    lowering=Lowering.HOST,
    outputs=2,
)


def slogdet(x: Var) -> tuple[Var, Var]:
    """Sign and logarithm of the absolute value of the determinants."""
    sign, log = emit_all(slogdet_p, to_linalg(x))
    return sign, log
