"""QR, singular values and eigenvalues, on matrices in the last two axes.

Sources of the derivatives: S. F. Walter, L. Lehmann, "Algorithmic differentiation of linear
algebra functions with application in optimum experimental design", 2010 (QR); M. B. Giles,
"Collected matrix derivative results", 2008; J. Townsend, "Differentiating the singular value
decomposition", 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.dtypes import real_of
from flambeau.errors import GradientError, OperandError
from flambeau.graph.builder import Var, emit_all
from flambeau.graph.primitive import Lowering, Primitive
from flambeau.graph.types import Size, TensorType
from flambeau.primitives.contract import matmul
from flambeau.primitives.elementwise import add, div, eq, mul, neg, select, square, sub
from flambeau.primitives.indexing import concatenate, slice_axis
from flambeau.primitives.linalg import hermitian, triangular_solve
from flambeau.primitives.matrices import (
    batch_leading,
    columns,
    main_diagonal,
    matrix_transpose,
    numerical,
    on_diagonal,
    require_matrix,
    require_real,
    rows,
    symmetric,
    to_linalg,
    total,
    tril,
)
from flambeau.primitives.views import zeros_like


def _smaller(a: Size, b: Size) -> Size:
    return a if a == b or a <= b else b


# --- QR --------------------------------------------------------------------------------------


def _infer_qr(x: TensorType, *, mode: str) -> tuple[TensorType, TensorType]:
    require_matrix("qr", x)
    if mode not in ("reduced", "complete"):
        raise OperandError(f"qr: mode must be 'reduced' or 'complete', not {mode!r}")
    *lead, m, n = x.shape
    k = m if mode == "complete" else _smaller(m, n)
    return TensorType((*lead, m, k), x.dtype), TensorType((*lead, k, n), x.dtype)


def _ref_qr(x: np.ndarray, *, mode: Any) -> tuple[np.ndarray, np.ndarray]:
    q, r = np.linalg.qr(x, mode=mode)
    return q, r


def _check_qr(x: Var, mode: str) -> None:
    require_real("qr", x)
    m, n = x.shape[-2:]
    if mode == "complete" and not m <= n:
        raise GradientError(
            "qr cannot be differentiated: mode 'complete' of a matrix with more rows than columns "
            "adds columns to q that no gradient determines; use mode 'reduced'"
        )


def _columns_of(x: Var, start: Size, limit: Size) -> Var:
    return slice_axis(x, x.ndim - 1, start, limit)


def _divide_right(x: Var, r: Var) -> Var:
    """``x @ inv(r.mT)`` for upper triangular ``r``."""
    return matrix_transpose(triangular_solve(r, matrix_transpose(x), lower=False))


def _vjp_qr_tall(g_q: Var | None, g_r: Var | None, q: Var, r: Var) -> Var:
    """For no more columns than rows: Walter and Lehmann, equation 5."""
    inner = total(
        [
            None if g_r is None else matmul(r, matrix_transpose(g_r)),
            None if g_q is None else neg(matmul(matrix_transpose(g_q), q)),
        ]
    )
    assert inner is not None
    mirrored = add(tril(inner), matrix_transpose(tril(inner, -1)))
    whole = total([g_q, matmul(q, mirrored)])
    assert whole is not None
    return _divide_right(whole, r)


def _vjp_qr(g: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var], *, mode: str) -> Any:
    (x,), (q, r) = inputs, outputs
    _check_qr(x, mode)
    g_q, g_r = g
    if g_q is None and g_r is None:
        return (None,)
    m, n = x.shape[-2:]
    if n == m or n <= m:
        return (_vjp_qr_tall(g_q, g_r, q, r),)
    # x = [a | b], r = [u | q.T b]: the right part only adds to what reaches q
    u, b = _columns_of(r, 0, m), _columns_of(x, m, n)
    if g_r is None:
        left = _vjp_qr_tall(g_q, None, q, u)
        return (concatenate([left, zeros_like(b)], x.ndim - 1),)
    g_v = _columns_of(g_r, m, n)
    through = total([g_q, matmul(b, matrix_transpose(g_v))])
    left = _vjp_qr_tall(through, _columns_of(g_r, 0, m), q, u)
    return (concatenate([left, matmul(q, g_v)], x.ndim - 1),)


def _jvp_qr(t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var], *, mode: str) -> Any:
    (x,), (q, r) = inputs, outputs
    _check_qr(x, mode)
    if t[0] is None:
        return (None, None)
    m, n = x.shape[-2:]
    tall = n == m or n <= m
    u = r if tall else _columns_of(r, 0, m)
    change = t[0] if tall else _columns_of(t[0], 0, m)
    relative = matrix_transpose(triangular_solve(u, matrix_transpose(change), lower=False, transposed=True))
    seen = matmul(matrix_transpose(q), relative)
    below = tril(seen, -1)
    turn = sub(below, matrix_transpose(below))
    t_q = add(matmul(q, turn), sub(relative, matmul(q, seen)))
    t_u = matmul(sub(seen, turn), u)
    if tall:
        return (t_q, t_u)
    b, t_b = _columns_of(x, m, n), _columns_of(t[0], m, n)
    t_v = add(matmul(matrix_transpose(t_q), b), matmul(matrix_transpose(q), t_b))
    return (t_q, concatenate([t_u, t_v], x.ndim - 1))


qr_p = Primitive(
    "qr",
    infer=_infer_qr,
    reference=_ref_qr,
    vjp=_vjp_qr,
    jvp=_jvp_qr,
    batch=batch_leading("qr"),
    lowering=Lowering.HOST,
    outputs=2,
)


def qr(x: Var, mode: str = "reduced") -> tuple[Var, Var]:
    """``q`` with orthonormal columns and upper triangular ``r`` with ``q @ r == x``.

    For (m, n) matrices and k = min(m, n): q is (m, k) and r (k, n); with mode "complete" q is
    (m, m) and r (m, n).
    """
    q, r = emit_all(qr_p, to_linalg(x), mode=mode)
    return q, r


# --- singular values -------------------------------------------------------------------------


def _infer_svd(x: TensorType, *, full_matrices: bool, compute_uv: bool) -> tuple[TensorType, ...]:
    require_matrix("svd", x)
    *lead, m, n = x.shape
    k = _smaller(m, n)
    values = TensorType((*lead, k), real_of(x.dtype))
    if not compute_uv:
        return (values,)
    rows_u, cols_v = (m, n) if full_matrices else (k, k)
    return TensorType((*lead, m, rows_u), x.dtype), values, TensorType((*lead, cols_v, n), x.dtype)


def _ref_svd(x: np.ndarray, *, full_matrices: bool, compute_uv: bool) -> tuple[np.ndarray, ...]:
    if not compute_uv:
        return (np.linalg.svd(x, compute_uv=False),)
    u, s, v = np.linalg.svd(x, full_matrices=full_matrices)
    return u, s, v


def _gaps(s: Var, like: Var) -> Var:
    """``1 / (s[j] - s[i])`` at row i and column j; 0 on the diagonal."""
    difference = sub(columns(s, like), rows(s, like))
    same = eq(difference, 0)
    return select(same, zeros_like(difference), div(1, select(same, 1.0, difference)))


def _thin(x: Var, outputs: Sequence[Var], full_matrices: bool, compute_uv: bool) -> tuple[Var, Var, Var]:
    """The reduced decomposition that belongs to the outputs, however much of it they show."""
    if not compute_uv:
        u, s, v = svd(x, full_matrices=False)
        return u, s, v
    u, s, v = outputs
    if full_matrices:
        k = s.shape[-1]
        u, v = _columns_of(u, 0, k), slice_axis(v, v.ndim - 2, 0, k)
    return u, s, v


def _check_svd(x: Var, wants_vectors: bool, full_matrices: bool) -> None:
    require_real("svd", x)
    if wants_vectors and full_matrices and x.shape[-1] != x.shape[-2]:
        raise GradientError(
            "svd cannot be differentiated: full_matrices adds vectors that no gradient determines; "
            "use full_matrices=False"
        )


def _vjp_svd(
    g: Sequence[Var | None],
    inputs: Sequence[Var],
    outputs: Sequence[Var],
    *,
    full_matrices: bool,
    compute_uv: bool,
) -> Any:
    (x,) = inputs
    g_u, g_s, g_v = g if compute_uv else (None, g[0], None)
    _check_svd(x, g_u is not None or g_v is not None, full_matrices)
    u, s, vh = _thin(x, outputs, full_matrices, compute_uv)
    ut, v = matrix_transpose(u), matrix_transpose(vh)
    core: list[Var | None] = []
    outside: list[Var | None] = []
    square_like = matmul(ut, u)
    gaps = _gaps(square(s), square_like)
    across, down = columns(s, square_like), rows(s, square_like)
    if g_s is not None:
        core.append(on_diagonal(g_s, square_like.shape))
    if g_u is not None:
        seen = mul(gaps, matmul(ut, g_u))
        core.append(mul(add(seen, matrix_transpose(seen)), across))
        hidden = sub(g_u, matmul(u, matmul(ut, g_u)))
        outside.append(matmul(div(hidden, columns(s, hidden)), vh))
    if g_v is not None:
        g_columns = matrix_transpose(g_v)
        seen = mul(gaps, matmul(vh, g_columns))
        core.append(mul(down, add(seen, matrix_transpose(seen))))
        hidden = sub(g_columns, matmul(v, matmul(vh, g_columns)))
        outside.append(matmul(u, matrix_transpose(div(hidden, columns(s, hidden)))))
    inner = total(core)
    return (total([None if inner is None else matmul(matmul(u, inner), vh), *outside]),)


def _jvp_svd(
    t: Sequence[Var | None],
    inputs: Sequence[Var],
    outputs: Sequence[Var],
    *,
    full_matrices: bool,
    compute_uv: bool,
) -> Any:
    (x,) = inputs
    if t[0] is None:
        return (None,) * len(outputs)
    _check_svd(x, compute_uv, full_matrices)
    u, s, vh = _thin(x, outputs, full_matrices, compute_uv)
    ut, v = matrix_transpose(u), matrix_transpose(vh)
    seen = matmul(matmul(ut, t[0]), v)
    t_s = main_diagonal(seen)
    if not compute_uv:
        return (t_s,)
    gaps = _gaps(square(s), seen)
    across, down = columns(s, seen), rows(s, seen)
    turned = matrix_transpose(seen)
    t_u = matmul(u, mul(gaps, add(mul(seen, across), mul(down, turned))))
    t_v = matmul(v, mul(gaps, add(mul(down, seen), mul(turned, across))))
    left = matmul(t[0], v)
    right = matmul(matrix_transpose(t[0]), u)
    hidden_u = sub(left, matmul(u, matmul(ut, left)))
    hidden_v = sub(right, matmul(v, matmul(vh, right)))
    t_u = add(t_u, div(hidden_u, columns(s, hidden_u)))
    t_v = add(t_v, div(hidden_v, columns(s, hidden_v)))
    return (t_u, t_s, matrix_transpose(t_v))


svd_p = Primitive(
    "svd",
    infer=_infer_svd,
    reference=numerical("svd", _ref_svd),
    vjp=_vjp_svd,
    jvp=_jvp_svd,
    batch=batch_leading("svd"),
    lowering=Lowering.HOST,
    outputs=None,
)


def svd(x: Var, full_matrices: bool = True) -> tuple[Var, Var, Var]:
    """``u``, ``s``, ``vh`` with ``u * s @ vh == x``, singular values descending.

    For (m, n) matrices and k = min(m, n): u is (m, m), s (k,), vh (n, n), or (m, k), (k,), (k, n)
    without ``full_matrices``.  Gradients through u and vh need distinct singular values; through
    any of them ``full_matrices=False`` or square matrices.
    """
    u, s, vh = emit_all(svd_p, to_linalg(x), full_matrices=full_matrices, compute_uv=True)
    return u, s, vh


def svdvals(x: Var) -> Var:
    """The singular values alone, descending."""
    return emit_all(svd_p, to_linalg(x), full_matrices=False, compute_uv=False)[0]


# --- eigenvalues of symmetric matrices -------------------------------------------------------


def _infer_eigh(x: TensorType) -> tuple[TensorType, TensorType]:
    require_matrix("eigh", x, square=True)
    return TensorType(x.shape[:-1], real_of(x.dtype)), x


def _ref_eigh(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, vectors = np.linalg.eigh(hermitian(x))
    return values, vectors


def _vjp_eigh(g: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    w, v = outputs
    require_real("eigh", v)
    g_w, g_v = g
    turned = matrix_transpose(v)
    inner = total(
        [
            None if g_w is None else on_diagonal(g_w, v.shape),
            None if g_v is None else mul(_gaps(w, v), matmul(turned, g_v)),
        ]
    )
    return (None if inner is None else symmetric(matmul(matmul(v, inner), turned)),)


def _jvp_eigh(t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    w, v = outputs
    require_real("eigh", v)
    if t[0] is None:
        return (None, None)
    seen = matmul(matmul(matrix_transpose(v), symmetric(t[0])), v)
    return (main_diagonal(seen), matmul(v, mul(_gaps(w, v), seen)))


eigh_p = Primitive(
    "eigh",
    infer=_infer_eigh,
    reference=numerical("eigh", _ref_eigh),
    vjp=_vjp_eigh,
    jvp=_jvp_eigh,
    batch=batch_leading("eigh"),
    lowering=Lowering.HOST,
    outputs=2,
)


def eigh(x: Var) -> tuple[Var, Var]:
    """Eigenvalues, ascending, and eigenvectors, in columns, of Hermitian matrices.

    Of a matrix that is not Hermitian, its Hermitian part is taken.  Gradients through the vectors
    need distinct eigenvalues.
    """
    w, v = emit_all(eigh_p, to_linalg(x))
    return w, v


def eigvalsh(x: Var) -> Var:
    """The eigenvalues of Hermitian matrices, ascending."""
    return eigh(x)[0]
