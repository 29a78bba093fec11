"""Linear algebra on matrices in the last two axes; leading axes are stacks of them."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from flambeau.engine.tape import THREAD
from flambeau.errors import OperandError
from flambeau.graph.builder import Var
from flambeau.ops.products import kron, matmul, matrix_transpose, outer, tensordot, vecdot
from flambeau.ops.record import Axis, dtype_or_none, hashed, operand, record, record_all, refuse, value_of
from flambeau.primitives import arranging, array_api, decompositions, norms
from flambeau.primitives import linalg as equations
from flambeau.primitives import products as products_
from flambeau.primitives.elementwise import cast, harmonize_dtypes
from flambeau.tensor import Tensor

__all__ = [
    "EighResult", "QRResult", "SVDResult", "SlogdetResult", "cholesky", "cross", "det", "diagonal", "eigh",
    "eigvalsh", "inv", "kron", "matmul", "matrix_norm", "matrix_power", "matrix_rank", "matrix_transpose",
    "outer", "pinv", "qr", "slogdet", "solve", "svd", "svdvals", "tensordot", "trace", "triangular_solve",
    "vecdot", "vector_norm",
]  # fmt: skip


class EighResult(NamedTuple):
    """Result of ``eigh``."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class QRResult(NamedTuple):
    """Result of ``qr``."""

    Q: Tensor
    R: Tensor


class SVDResult(NamedTuple):
    """Result of ``svd``."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class SlogdetResult(NamedTuple):
    """Result of ``slogdet``."""

    sign: Tensor
    logabsdet: Tensor


# --- equations and determinants --------------------------------------------------------------


def solve(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The ``x`` with ``x1 @ x == x2``; ``x2`` is one vector, or a stack of matrices.

    Raises ``LinAlgError`` where a matrix is singular.

    >>> import flambeau as fb
    >>> fb.linalg.solve(fb.asarray([[2.0, 0.0], [0.0, 4.0]]), fb.asarray([2.0, 2.0]))
    tensor([1. , 0.5])
    """
    return record(equations.solve, (), x1, x2)


def triangular_solve(
    x1: Tensor, x2: Tensor, /, *, lower: bool = True, transposed: bool = False, unit: bool = False
) -> Tensor:
    """``solve`` with one triangle of ``x1``, or its transpose; the other is not looked at.

    ``x2`` holds matrices; ``unit`` takes the diagonal to be 1.

    >>> import flambeau as fb
    >>> fb.linalg.triangular_solve(fb.asarray([[2.0, 9.0], [0.0, 4.0]]), fb.asarray([[2.0], [2.0]]))
    tensor([[1. ],
            [0.5]])
    """
    return record(_triangular_solve, (lower, transposed, unit), x1, x2)


def _triangular_solve(a: Var, b: Var, lower: bool, transposed: bool, unit: bool) -> Var:
    a, b = harmonize_dtypes("triangular_solve", a, b)
    return equations.triangular_solve(a, b, lower, transposed, unit)


def inv(x: Tensor, /) -> Tensor:
    """The inverses of square matrices; raises ``LinAlgError`` where one is singular.

    >>> import flambeau as fb
    >>> fb.linalg.inv(fb.asarray([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5 , 0.  ],
            [0.  , 0.25]])
    """
    return record(equations.inv, (), x)


def pinv(x: Tensor, /, *, rtol: float | Tensor | None = None) -> Tensor:
    """The Moore-Penrose pseudo-inverse.

    Singular values up to ``rtol`` times the largest count as 0 (unless given: the dtype's ``eps``
    times the longer side).

    >>> import flambeau as fb
    >>> fb.linalg.pinv(fb.asarray([[2.0], [0.0]]))
    tensor([[0.5, 0. ]])
    """
    return _with_tolerance(norms.pinv, x, rtol)


def matrix_rank(x: Tensor, /, *, rtol: float | Tensor | None = None) -> Tensor:
    """How many singular values lie above ``rtol`` times the largest: int64.

    >>> import flambeau as fb
    >>> fb.linalg.matrix_rank(fb.ones((3, 3)))
    tensor(1)
    """
    return _with_tolerance(norms.matrix_rank, x, rtol)


def _with_tolerance(fn: Any, x: Any, rtol: Any) -> Tensor:
    if rtol is None:
        return record(fn, (), x)
    value = value_of(x, fn.__name__)
    real = array_api.deviation_dtype(value.type.dtype)
    return Tensor(THREAD.tape.record(fn, (), (value, operand(rtol, real, fn.__name__))))


def det(x: Tensor, /) -> Tensor:
    """The determinants of square matrices.

    >>> import flambeau as fb
    >>> fb.linalg.det(fb.asarray([[2.0, 0.0], [0.0, 4.0]]))
    tensor(8.)
    """
    return record(equations.det, (), x)


def slogdet(x: Tensor, /) -> SlogdetResult:
    """The sign and the logarithm of the absolute value of determinants.

    >>> import flambeau as fb
    >>> fb.linalg.slogdet(fb.asarray([[1.0, 0.0], [0.0, -1.0]])).sign
    tensor(-1.)
    """
    return SlogdetResult(*record_all(equations.slogdet, (), x))


# --- decompositions --------------------------------------------------------------------------


def cholesky(x: Tensor, /, *, upper: bool = False) -> Tensor:
    """The triangular factor ``L`` with ``L @ L.mT == x``, or ``L.mT`` when ``upper``.

    Raises ``LinAlgError`` where a matrix is not positive definite.

    >>> import flambeau as fb
    >>> fb.linalg.cholesky(fb.asarray([[4.0, 0.0], [0.0, 9.0]]))
    tensor([[2., 0.],
            [0., 3.]])
    """
    return record(equations.cholesky, (upper,), x)


def qr(x: Tensor, /, *, mode: Literal["reduced", "complete"] = "reduced") -> QRResult:
    """``Q`` with orthonormal columns and upper triangular ``R`` with ``Q @ R == x``.

    For (m, n) matrices and k = min(m, n): Q is (m, k) and R (k, n); (m, m) and (m, n) when
    ``mode`` is "complete".

    >>> import flambeau as fb
    >>> fb.linalg.qr(fb.ones((3, 2))).Q.shape
    (3, 2)
    """
    if mode not in ("reduced", "complete"):
        refuse(OperandError(f"qr: mode must be 'reduced' or 'complete', not {mode!r}"))
    return QRResult(*record_all(decompositions.qr, (mode,), x))


def svd(x: Tensor, /, *, full_matrices: bool = True) -> SVDResult:
    """``U``, ``S``, ``Vh`` with ``(U * S) @ Vh == x``, singular values descending.

    For (m, n) matrices and k = min(m, n): U is (m, m), S (k,), Vh (n, n), or (m, k), (k,), (k, n)
    without ``full_matrices``, which gradients need unless the matrices are square.

    >>> import flambeau as fb
    >>> fb.linalg.svd(fb.asarray([[0.0, 2.0], [3.0, 0.0]])).S
    tensor([3., 2.])
    """
    return SVDResult(*record_all(decompositions.svd, (full_matrices,), x))


def svdvals(x: Tensor, /) -> Tensor:
    """The singular values, descending.

    >>> import flambeau as fb
    >>> fb.linalg.svdvals(fb.asarray([[0.0, 2.0], [3.0, 0.0]]))
    tensor([3., 2.])
    """
    return record(decompositions.svdvals, (), x)


def eigh(x: Tensor, /) -> EighResult:
    """The eigenvalues, ascending, and eigenvectors, in columns, of Hermitian matrices.

    >>> import flambeau as fb
    >>> fb.linalg.eigh(fb.asarray([[3.0, 0.0], [0.0, 2.0]])).eigenvalues
    tensor([2., 3.])
    """
    return EighResult(*record_all(decompositions.eigh, (), x))


def eigvalsh(x: Tensor, /) -> Tensor:
    """The eigenvalues of Hermitian matrices, ascending.

    >>> import flambeau as fb
    >>> fb.linalg.eigvalsh(fb.asarray([[3.0, 0.0], [0.0, 2.0]]))
    tensor([2., 3.])
    """
    return record(decompositions.eigvalsh, (), x)


# --- norms, products, diagonals --------------------------------------------------------------


def vector_norm(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> Tensor:
    """The ``ord``-norm of vectors along ``axis``: 2 is Euclid's, inf the largest, 0 counts.

    >>> import flambeau as fb
    >>> fb.linalg.vector_norm(fb.asarray([3.0, 4.0]))
    tensor(5.)
    """
    return record(array_api.vector_norm, (hashed(axis), keepdims, ord), x)


def matrix_norm(x: Tensor, /, *, keepdims: bool = False, ord: float | str | None = "fro") -> Tensor:
    """The norm of matrices: "fro", "nuc", 1, 2, inf, -1, -2 or -inf.

    >>> import flambeau as fb
    >>> fb.linalg.matrix_norm(fb.asarray([[3.0, 0.0], [0.0, 4.0]]))
    tensor(5.)
    """
    return record(norms.matrix_norm, (keepdims, ord), x)


def matrix_power(x: Tensor, n: int, /) -> Tensor:
    """Square matrices multiplied ``n`` times with themselves; a negative ``n`` inverts.

    >>> import flambeau as fb
    >>> fb.linalg.matrix_power(fb.asarray([[1, 1], [0, 1]]), 3)
    tensor([[1, 3],
            [0, 1]])
    """
    return record(norms.matrix_power, (n,), x)


def cross(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """The vector products of vectors of 3 along ``axis``; other axes broadcast.

    >>> import flambeau as fb
    >>> fb.linalg.cross(fb.asarray([1, 0, 0]), fb.asarray([0, 1, 0]))
    tensor([0, 0, 1])
    """
    return record(products_.cross, (axis,), x1, x2)


def diagonal(x: Tensor, /, *, offset: int = 0) -> Tensor:
    """The ``offset``-th diagonals of matrices.

    >>> import flambeau as fb
    >>> fb.linalg.diagonal(fb.asarray([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    return record(arranging.diagonal, (offset,), x)


def _trace(x: Var, offset: int, dtype: Any) -> Var:
    return arranging.trace(cast(x, dtype or array_api.accumulated(x.dtype)), offset)


def trace(x: Tensor, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """The sums of the ``offset``-th diagonals of matrices, in ``dtype`` if given.

    >>> import flambeau as fb
    >>> fb.linalg.trace(fb.asarray([[1, 2], [3, 4]]))
    tensor(5)
    """
    return record(_trace, (offset, dtype_or_none(dtype)), x)
