"""Samples of linear algebra."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.graph.builder import emit
from flambeau.primitives import decompositions, linalg
from samples.core import add, name_of, random

_DTYPES = (np.float32, np.complex64, np.complex128)
_LEADS: tuple[tuple[int, ...], ...] = ((), (3,), (2, 1))


def regular(rng: np.random.Generator, shape: Any, dtype: Any = np.float64) -> Any:
    """Well-conditioned square matrices."""
    n = shape[-1]
    return (random(rng, shape, dtype, -1, 1) + 3 * np.eye(n)).astype(dtype)


def definite(rng: np.random.Generator, shape: Any, dtype: Any = np.float64) -> Any:
    """Hermitian positive definite matrices."""
    x = random(rng, shape, dtype, -1, 1)
    return (x @ np.swapaxes(x, -1, -2).conj() + 2 * np.eye(shape[-1])).astype(dtype)


def _square(name: str, function: Any, expected: Any, make: Any = regular, torch: Any = None) -> None:
    for n in (1, 2, 7):
        for lead in _LEADS:
            add(
                name,
                function,
                lambda rng, s=(*lead, n, n): [make(rng, s)],
                expected,
                label=f"{lead}-{n}",
                torch=torch,
            )
    for dtype in _DTYPES:
        add(
            name,
            function,
            lambda rng, d=dtype: [make(rng, (2, 5, 5), d)],
            expected,
            label=name_of(dtype),
            smooth=False,
            tolerance=1e-4,
        )


def _inverse(x: np.ndarray) -> np.ndarray:
    return np.linalg.solve(x, np.broadcast_to(np.eye(x.shape[-1], dtype=x.dtype), x.shape))


def _det(x: np.ndarray) -> np.ndarray:
    """Laplace's expansion."""
    n = x.shape[-1]
    if n == 1:
        return x[..., 0, 0]
    minors = [np.delete(x[..., 1:, :], j, -1) for j in range(n)]
    return sum((-1) ** j * x[..., 0, j] * _det(m) for j, m in enumerate(minors))


_square("inv", linalg.inv, _inverse, torch=lambda t, x: t.linalg.inv(x))
_square("det", linalg.det, _det, torch=lambda t, x: t.linalg.det(x))
_square("cofactor", linalg.cofactor, lambda x: _det(x)[..., None, None] * np.swapaxes(_inverse(x), -1, -2))
_square(
    "slogdet",
    linalg.slogdet,
    lambda x: [_det(x) / abs(_det(x)), np.log(abs(_det(x)))],
    torch=lambda t, x: t.linalg.slogdet(x),
)
for _zeros in (1, 2):
    add(
        "det",
        linalg.det,
        lambda rng, z=_zeros: [np.diag([0.0] * z + [2.0] * (4 - z))],
        lambda x: np.float64(0),
        label=f"singular-{_zeros}",
    )


def _factor(x: np.ndarray) -> np.ndarray:
    """Cholesky, Banachiewicz and Crout's recurrence."""
    out = np.zeros_like(x)
    for i in range(x.shape[-1]):
        for j in range(i + 1):
            s = x[..., i, j] - (out[..., i, :j] * out[..., j, :j].conj()).sum(-1)
            out[..., i, j] = np.sqrt(s) if i == j else s / out[..., j, j].conj()
    return out


_square("cholesky", linalg.cholesky, _factor, definite, torch=lambda t, x: t.linalg.cholesky(x))


def _eigenvalues(x: np.ndarray) -> np.ndarray:
    return np.sort(np.linalg.eigvals((x + np.swapaxes(x, -1, -2).conj()) / 2).real, -1)


def spread(rng: np.random.Generator, shape: Any, dtype: Any = np.float64) -> Any:
    """Matrices with well separated eigenvalues and singular values."""
    m, n = shape[-2:]
    x = random(rng, shape, dtype, -0.1, 0.1)
    x[..., np.arange(min(m, n)), np.arange(min(m, n))] += 1 + np.arange(min(m, n))
    return x


for _n in (1, 2, 7):
    for _lead in _LEADS:
        # vectors are fixed up to their sign: compared is what they rebuild
        add(
            "eigh",
            decompositions.eigh,
            lambda rng, s=(*_lead, _n, _n): [spread(rng, s)],
            label=f"{_lead}-{_n}",
        )
for _dtype in (np.float64, *_DTYPES):
    add(
        "eigh",
        lambda x: decompositions.eigh(x)[0],
        lambda rng, d=_dtype: [spread(rng, (3, 5, 5), d)],
        _eigenvalues,
        label=f"values-{name_of(_dtype)}",
        smooth=_dtype is np.float64,
        tolerance=1e-4,
    )

# --- rectangular -----------------------------------------------------------------------------

for _shape in ((1, 1), (3, 3), (5, 3), (3, 5), (2, 4, 3), (2, 1, 2, 3), (7, 1), (1, 7)):
    for _mode in ("reduced", "complete"):
        add(
            "qr",
            lambda x, mode=_mode: decompositions.qr(x, mode),
            lambda rng, s=_shape: [spread(rng, s)],
            label=f"{_shape}-{_mode}",
            smooth=_mode == "reduced" or _shape[-2] <= _shape[-1],
        )
    for _full in (False, True):
        add(
            "svd",
            lambda x, full=_full: decompositions.svd(x, full),
            lambda rng, s=_shape: [spread(rng, s)],
            label=f"{_shape}-{_full}",
            smooth=not _full or _shape[-1] == _shape[-2],
        )
    add(
        "svd",
        decompositions.svdvals,
        lambda rng, s=_shape: [spread(rng, s)],
        lambda x: np.sqrt(
            np.sort(
                np.linalg.eigvals(
                    np.swapaxes(x, -1, -2) @ x if x.shape[-1] <= x.shape[-2] else x @ np.swapaxes(x, -1, -2)
                ).real,
                -1,
            )[..., ::-1]
        ),
        label=f"{_shape}-values",
        tolerance=1e-8,
        torch=lambda t, x: t.linalg.svdvals(x),
    )
for _dtype in _DTYPES:
    add(
        "qr",
        decompositions.qr,
        lambda rng, d=_dtype: [spread(rng, (4, 3), d)],
        label=name_of(_dtype),
        smooth=False,
    )
    add(
        "svd",
        decompositions.svd,
        lambda rng, d=_dtype: [spread(rng, (4, 3), d)],
        label=name_of(_dtype),
        smooth=False,
    )

# --- equations -------------------------------------------------------------------------------

for _n, _m in ((1, 1), (2, 3), (7, 2)):
    for _lead in _LEADS:

        def _maker(rng: Any, a: Any = (*_lead, _n, _n), b: Any = (*_lead, _n, _m)) -> Any:
            return [regular(rng, a), random(rng, b, np.float64)]

        add(
            "solve",
            lambda a, b: emit(linalg.solve_p, a, b),
            _maker,
            lambda a, b: _inverse(a) @ b,
            label=f"{_lead}-{_n}-{_m}",
            torch=lambda t, a, b: t.linalg.solve(a, b),
        )
        for _lower in (False, True):
            for _transposed in (False, True):
                for _unit in (False, True):

                    def _expected(
                        a: Any,
                        b: Any,
                        lower: bool = _lower,
                        transposed: bool = _transposed,
                        unit: bool = _unit,
                    ) -> Any:
                        part = np.tril(a, -1) if lower else np.triu(a, 1)
                        part = part + np.eye(a.shape[-1]) * (1 if unit else a)
                        return _inverse(np.swapaxes(part, -1, -2) if transposed else part) @ b

                    add(
                        "triangular_solve",
                        lambda a, b, lower=_lower, t=_transposed, u=_unit: linalg.triangular_solve(
                            a, b, lower, t, u
                        ),
                        _maker,
                        _expected,
                        label=f"{_lead}-{_n}-{_lower}-{_transposed}-{_unit}",
                    )
for _dtype in _DTYPES:
    add(
        "solve",
        linalg.solve,
        lambda rng, d=_dtype: [regular(rng, (5, 5), d), random(rng, (5, 2), d)],
        lambda a, b: _inverse(a) @ b,
        label=name_of(_dtype),
        smooth=False,
        tolerance=1e-4,
    )
