"""Operands that do not fit are refused with a sentence that names the operation and the sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flambeau import dtypes
from flambeau.errors import DTypeError, GradientError, OperandError, OutOfBoundsError, ShapeError
from flambeau.primitives import (
    advanced,
    arranging,
    bits,
    convolution,
    cumulative,
    decompositions,
    fft,
    gather,
    indexing,
    linalg,
    products,
    sorting,
    splitting,
    windows,
)
from flambeau.primitives.views import constant
from samples.evaluate import call, gradients

X = np.ones((3, 4))
ROWS = np.array([0, 1])

CASES: list[tuple[Any, tuple[Any, ...], type[Exception], str]] = [
    (
        lambda x: indexing.slice_(x, (0, 3), (3, 5)),
        (X,),
        ShapeError,
        "3:5 does not lie within axis 1 of size 4",
    ),
    (lambda x: indexing.slice_(x, (0,), (3,)), (X,), ShapeError, "1 starts for a tensor with 2 axes"),
    (
        lambda x: indexing.slice_(x, (0, 0), (3, 4), (0, 1)),
        (X,),
        ShapeError,
        "stride of axis 0 must be positive",
    ),
    (lambda x: indexing.pad(x, 0, (-2, 0), (-2, 0)), (X,), ShapeError, "takes more from axis 0 of size 3"),
    (
        lambda x: indexing.pad(x, constant(1, dtypes.int8), (1, 0), (0, 0)),
        (X,),
        DTypeError,
        "value has dtype int8",
    ),
    (
        lambda x, y: indexing.concatenate([x, y], 0),
        (X, X.T.copy()),
        ShapeError,
        r"\(3, 4\) and \(4, 3\) differ elsewhere",
    ),
    (
        lambda x, y: indexing.concatenate([x, y], 0),
        (X, X.astype(np.float32)),
        DTypeError,
        "float64 and float32 differ",
    ),
    (
        lambda x: indexing.dynamic_slice(x, [constant(0)], (2,)),
        (X,),
        ShapeError,
        "1 starts for a tensor with 2 axes",
    ),
    (
        lambda x: indexing.dynamic_slice(x, [constant(0)] * 2, (2, 5)),
        (X,),
        ShapeError,
        "length 5 does not fit axis 1",
    ),
    (
        lambda x: indexing.dynamic_slice(x, [constant(0, dtypes.int32)] * 2, (2, 2)),
        (X,),
        OperandError,
        "a start must be an int64 scalar",
    ),
    (lambda x, i: gather.gather(x, (i,)), (X, ROWS.astype(float)), DTypeError, "integer tensor, not float64"),
    (
        lambda x, i: gather.gather(x, (i, i, i)),
        (X, ROWS),
        ShapeError,
        "3 index tensors for a tensor with 2 axes",
    ),
    (
        lambda x, i: gather.gather(x, (i,)),
        (X, ROWS + 2),
        OutOfBoundsError,
        "gather: index 3 is out of range for axis 0 of size 3",
    ),
    (
        lambda x, i: gather.gather(x, (i, i)),
        (X, ROWS - 4),
        OutOfBoundsError,
        "index -4 is out of range for axis 0 of size 3",
    ),
    (
        lambda x, i: gather.scatter(x, x, (i,)),
        (X, ROWS),
        ShapeError,
        r"updates of shape \(3, 4\) where \(2, 4\) is needed",
    ),
    (lambda x, i: advanced.take(x, i, 2), (X, ROWS), ShapeError, "axis 2 is out of range"),
    (
        lambda x, m: advanced.masked_fill(x, m, 0),
        (X, np.ones(4, bool)),
        ShapeError,
        r"mask of shape \(4,\) does not fit",
    ),
    (lambda x: sorting.sort(x, 0), (X.astype(complex),), DTypeError, "sort: is not defined for complex128"),
    (lambda x: cumulative.cumsum(x, 0), (X > 0,), DTypeError, "cumsum: is not defined for bool"),
    (lambda x: cumulative.cumsum(x, 2), (X,), ShapeError, "axis 2 is out of range"),
    (
        lambda x, w: convolution.conv(x, w),
        (np.ones((1, 3, 5)), np.ones((2, 4, 3))),
        ShapeError,
        r"3 channels, but 1 groups of 4 are needed",
    ),
    (
        lambda x, w: convolution.conv(x, w, groups=2),
        (np.ones((1, 4, 5)), np.ones((3, 2, 3))),
        ShapeError,
        "3 output channels do not divide into 2 groups",
    ),
    (
        lambda x: windows.reduce_window(x, "mean", (1, 2)),
        (X,),
        OperandError,
        "kind 'mean' is none of sum, max, min",
    ),
    (
        lambda x: windows.reduce_window(x, "max", (2,)),
        (X,),
        ShapeError,
        r"window \(2,\) for a tensor of shape \(3, 4\)",
    ),
    (linalg.inv, (X,), ShapeError, r"inv: square matrices are needed, not shape \(3, 4\)"),
    (linalg.det, (X[0],), ShapeError, r"det: matrices are needed, not shape \(4,\)"),
    (linalg.inv, (np.eye(2, dtype=np.float16),), DTypeError, "inv: is not defined for float16"),
    (linalg.solve, (np.eye(3), np.ones((4, 2))), ShapeError, r"\(3, 3\) and \(4, 2\) do not fit"),
    (lambda x: decompositions.qr(x, "full"), (X,), OperandError, "mode must be 'reduced' or 'complete'"),
    (lambda x: fft.rfft(x, (0,), (3,)), (X.astype(complex),), DTypeError, "rfft: real numbers are needed"),
    (lambda x: fft.fft(x, (0,), (0,)), (X,), ShapeError, "length along axis 0 must be at least 1, not 0"),
    (
        lambda x: bits.bitcast(x, dtypes.float32),
        (X,),
        DTypeError,
        "float64 and float32 do not have the same bits",
    ),
    (lambda x: products.einsum("ij,jk->ik", x), (X,), OperandError, "is about 2 tensors, 1 were given"),
    (lambda x: products.einsum("ijk->i", x), (X,), ShapeError, "'ijk' in 'ijk->i' does not name the axes"),
    (lambda x: products.einsum("ij->k", x), (X,), OperandError, "'k' in the result"),
    (lambda x, y: products.einsum("ij,jk->ik", x, y), (X, X), ShapeError, "'j' in .* has sizes 4 and 3"),
    (products.cross, (X, X), ShapeError, "must have size 3"),
    (
        lambda x: splitting.split(x, (1, 1), 0),
        (X,),
        ShapeError,
        r"sizes \(1, 1\) add up to 2, axis 0 has size 3",
    ),
    (lambda x: arranging.stack([x, indexing.reverse(constant(1), ())], 0), (X,), ShapeError, "stack: shapes"),
]


@pytest.mark.parametrize(("function", "arrays", "error", "message"), CASES, ids=[c[3] for c in CASES])
def test_refused(function: Any, arrays: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(function, *arrays)


def test_singular_matrices_raise_when_computed() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        call(linalg.inv, np.zeros((2, 2)))
    with pytest.raises(np.linalg.LinAlgError):
        call(linalg.cholesky, -np.eye(2))


def test_gradients_that_do_not_exist_say_why() -> None:
    with pytest.raises(GradientError, match="adds vectors that no gradient determines"):
        gradients(lambda x: decompositions.svd(x, True)[0], X)
    with pytest.raises(GradientError, match="use mode 'reduced'"):
        gradients(lambda x: decompositions.qr(x, "complete")[0], X.T.copy())
