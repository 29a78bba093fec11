"""Products, equations, decompositions and norms of matrices."""

# ruff: noqa: E501 - tables, a case a line

from __future__ import annotations

from typing import Any

import flambeau as fb
from tests.ops.families.case import Case, case, definite, numbers, positive, regular

A, B, C = numbers(3, 4), numbers(4, 5), numbers(5, 2)
U, V = numbers(4), numbers(4, seed=1)
STACK, OTHER = numbers(2, 3, 4), numbers(2, 4, 2)
SQUARE, SQUARES, DEFINITE = regular(3, 3), regular(2, 3, 3), definite(3, 3)
TALL, WIDE = numbers(4, 2), numbers(2, 4)
linalg = fb.linalg

PRODUCTS = [
    case("matmul", fb.matmul, lambda t, x, y: t.mm(x, y), A, B),
    case("matmul", lambda x, y: x.T @ y.T, lambda t, x, y: x.T @ y.T, A, numbers(5, 3), variant="transposed"),
    case("matrix @ vector", lambda x, y: x @ y, lambda t, x, y: t.mv(x, y), A, U),
    case("matmul", lambda x, y: x @ y, lambda t, x, y: t.matmul(x, y), U, B, variant="vector-first"),
    case("vector @ vector", lambda x, y: x @ y, lambda t, x, y: t.dot(x, y), U, V),
    case("batched matmul", lambda x, y: x @ y, lambda t, x, y: t.bmm(x, y), STACK, OTHER),
    case("matmul", lambda x, y: x @ y, lambda t, x, y: t.matmul(x, y), STACK, numbers(3, 1, 4, 2), variant="broadcast"),
    case("matmul", lambda x, y: x @ y, lambda t, x, y: t.matmul(x, y), STACK, B, variant="broadcast-one-matrix"),
    case("matmul", lambda x, y: x @ y, lambda t, x, y: x @ y, numbers(7, 33), numbers(33, 2), variant="long"),
    case("tensordot", lambda x, y: fb.tensordot(x, y, axes=1), lambda t, x, y: t.tensordot(x, y, 1), A, B),
    case("tensordot", lambda x, y: fb.tensordot(x, y, axes=((2, 0), (1, 2))), lambda t, x, y: t.tensordot(x, y, ((2, 0), (1, 2))), STACK, numbers(3, 4, 2), variant="pairs"),
    case("vecdot", fb.vecdot, lambda t, x, y: t.linalg.vecdot(x, y), A, numbers(3, 4, seed=1)),
    case("vecdot", lambda x, y: fb.vecdot(x, y, axis=0), lambda t, x, y: t.linalg.vecdot(x, y, dim=0), A, numbers(3, 1), variant="axis"),
    case("outer", linalg.outer, lambda t, x, y: t.outer(x, y), U, numbers(3)),
    case("kron", linalg.kron, lambda t, x, y: t.kron(x, y), numbers(2, 3), numbers(3, 2)),
    case("cross", linalg.cross, lambda t, x, y: t.linalg.cross(x, y), numbers(4, 3), numbers(4, 3, seed=1)),
    case("cross", lambda x, y: linalg.cross(x, y, axis=0), lambda t, x, y: t.linalg.cross(x, y, dim=0), A, numbers(3, 1), variant="axis"),
    case("einsum", lambda x, y: fb.einsum("ij,jk->ik", x, y), lambda t, x, y: t.einsum("ij,jk->ik", x, y), A, B),
    case("einsum", lambda x: fb.einsum("ij->", x), lambda t, x: t.einsum("ij->", x), A, variant="sum"),
    case("einsum", lambda x: fb.einsum("ii->i", x), lambda t, x: t.einsum("ii->i", x), SQUARE, variant="diagonal"),
    case("einsum", lambda x, y: fb.einsum("bij,bjk->bki", x, y), lambda t, x, y: t.einsum("bij,bjk->bki", x, y), STACK, OTHER, variant="batch"),
    case("einsum", lambda x, y, z: fb.einsum("ij,jk,kl->il", x, y, z), lambda t, x, y, z: t.einsum("ij,jk,kl->il", x, y, z), A, B, C, variant="three"),
    case("einsum", lambda x, y: fb.einsum("...i,...i->...", x, y), lambda t, x, y: t.einsum("...i,...i->...", x, y), STACK, U, variant="ellipsis"),
    case("einsum", lambda x, y: fb.einsum("i,j->ij", x, y), lambda t, x, y: t.einsum("i,j->ij", x, y), U, V, variant="outer"),
]  # fmt: skip

EQUATIONS = [
    case("solve", linalg.solve, lambda t, a, b: t.linalg.solve(a, b), SQUARE, numbers(3, 2)),
    case("solve", linalg.solve, lambda t, a, b: t.linalg.solve(a, b), SQUARE, numbers(3), variant="vector"),
    case("solve", linalg.solve, lambda t, a, b: t.linalg.solve(a, b), SQUARES, numbers(2, 3, 2), variant="stack"),
    case("triangular_solve", linalg.triangular_solve, lambda t, a, b: t.linalg.solve_triangular(a, b, upper=False), SQUARE, numbers(3, 2)),
    case("triangular_solve", lambda a, b: linalg.triangular_solve(a, b, lower=False, unit=True), lambda t, a, b: t.linalg.solve_triangular(a, b, upper=True, unitriangular=True), SQUARE, numbers(3, 2), variant="upper"),
    case("triangular_solve", lambda a, b: linalg.triangular_solve(a, b, transposed=True), lambda t, a, b: t.linalg.solve_triangular(a.mT, b, upper=True), SQUARES, numbers(2, 3, 2), variant="transposed"),
    case("inv", linalg.inv, lambda t, a: t.linalg.inv(a), SQUARE),
    case("inv", linalg.inv, lambda t, a: t.linalg.inv(a), SQUARES, variant="stack"),
    case("pinv", linalg.pinv, lambda t, a: t.linalg.pinv(a), TALL),
    case("pinv", linalg.pinv, lambda t, a: t.linalg.pinv(a), WIDE, variant="wide"),
    case("det", linalg.det, lambda t, a: t.linalg.det(a), SQUARE),
    case("det", linalg.det, lambda t, a: t.linalg.det(a), SQUARES, variant="stack"),
    case("slogdet", lambda a: linalg.slogdet(a).logabsdet, lambda t, a: t.linalg.slogdet(a)[1], SQUARE),
    case("slogdet", lambda a: list(linalg.slogdet(a)), lambda t, a: list(t.linalg.slogdet(a)), -SQUARES, variant="stack"),
    case("matrix_rank", linalg.matrix_rank, lambda t, a: t.linalg.matrix_rank(a), SQUARES, differentiable=False),
]  # fmt: skip


def _symmetric(a: Any) -> Any:
    """So that moving one element moves its mirror image, as the rules of Hermitian matrices ask."""
    return (a + a.mT) * 0.5


DECOMPOSITIONS = [
    case("cholesky", lambda a: linalg.cholesky(_symmetric(a)), lambda t, a: t.linalg.cholesky(_symmetric(a)), DEFINITE),
    case("cholesky", lambda a: linalg.cholesky(_symmetric(a), upper=True), lambda t, a: t.linalg.cholesky(_symmetric(a), upper=True), definite(2, 3, 3), variant="upper"),
    # Q and R are unique up to signs, which squares and absolute values do not show
    case("qr", lambda a: [x * x for x in linalg.qr(a)], lambda t, a: [x * x for x in t.linalg.qr(a)], TALL),
    case("qr", lambda a: [x * x for x in linalg.qr(a)], lambda t, a: [x * x for x in t.linalg.qr(a)], SQUARES, variant="square"),
    case("svd", lambda a: [x * x for x in linalg.svd(a, full_matrices=False)], lambda t, a: [x * x for x in t.linalg.svd(a, full_matrices=False)], TALL),
    case("svd", lambda a: [x * x for x in linalg.svd(a, full_matrices=False)], lambda t, a: [x * x for x in t.linalg.svd(a, full_matrices=False)], WIDE, variant="wide"),
    case("svd", lambda a: [x * x for x in linalg.svd(a)], lambda t, a: [x * x for x in t.linalg.svd(a)], SQUARES, variant="square"),
    case("svdvals", linalg.svdvals, lambda t, a: t.linalg.svdvals(a), TALL),
    case("eigh", lambda a: [x * x for x in linalg.eigh(_symmetric(a))], lambda t, a: [x * x for x in t.linalg.eigh(_symmetric(a))], DEFINITE),
    case("eigvalsh", lambda a: linalg.eigvalsh(_symmetric(a)), lambda t, a: t.linalg.eigvalsh(_symmetric(a)), definite(2, 3, 3)),
]  # fmt: skip


def _norm(ord: Any, x: Any = TALL, keepdims: bool = False) -> Case:
    return case(
        "matrix_norm",
        lambda a: linalg.matrix_norm(a, ord=ord, keepdims=keepdims),
        lambda t, a: t.linalg.matrix_norm(a, ord, keepdim=keepdims),
        x,
        variant=str(ord),
    )


NORMS = [
    _norm("fro", STACK),
    _norm("nuc"),
    _norm(1, STACK, True),
    _norm(-1),
    _norm(2),
    _norm(-2),
    _norm(fb.inf, STACK),
    _norm(-fb.inf),
    case("matrix_power", lambda a: linalg.matrix_power(a, 3), lambda t, a: t.linalg.matrix_power(a, 3), SQUARE),
    case("matrix_power", lambda a: linalg.matrix_power(a, 6), lambda t, a: t.linalg.matrix_power(a, 6), regular(2, 3, 3, seed=1) / 4, variant="6"),
    case("matrix_power", lambda a: linalg.matrix_power(a, -2), lambda t, a: t.linalg.matrix_power(a, -2), SQUARES, variant="-2"),
    case("trace", lambda a: linalg.trace(a, offset=1), lambda t, a: t.diagonal(a, 1, -2, -1).sum(-1), SQUARES, variant="stack"),
    case("matrix_norm", lambda a: linalg.matrix_norm(a @ a.T, ord="fro"), lambda t, a: t.linalg.matrix_norm(a @ a.T), positive(2, 3), variant="of-product"),
]  # fmt: skip

CASES: list[Case] = [*PRODUCTS, *EQUATIONS, *DECOMPOSITIONS, *NORMS]
