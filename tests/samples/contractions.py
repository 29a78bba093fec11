"""Samples of ``dot_general``."""

from __future__ import annotations

import string
from typing import Any

import ml_dtypes
import numpy as np

from flambeau import dtypes
from flambeau.primitives import contract
from samples.core import add, name_of, random


def _expected(x: Any, y: Any, contracted: Any, batch: Any) -> Any:
    letters = iter(string.ascii_letters)
    xs, ys = [next(letters) for _ in x.shape], [next(letters) for _ in y.shape]
    for a, b in (*zip(*contracted, strict=True), *zip(*batch, strict=True)):
        ys[b] = xs[a]
    lead = [xs[a] for a in batch[0]]
    free_x = [n for i, n in enumerate(xs) if i not in (*contracted[0], *batch[0])]
    free_y = [n for i, n in enumerate(ys) if i not in (*contracted[1], *batch[1])]
    return np.einsum(f"{''.join(xs)},{''.join(ys)}->{''.join(lead + free_x + free_y)}", x, y)


_CASES = (
    ((3,), (3,), ((0,), (0,)), ((), ())),
    ((2,), (3,), ((), ()), ((), ())),
    ((3, 5), (5, 7), ((1,), (0,)), ((), ())),
    ((5, 3), (7, 5), ((0,), (1,)), ((), ())),
    ((1, 33), (33, 1), ((1,), (0,)), ((), ())),
    ((2, 3, 5), (2, 5, 7), ((2,), (1,)), ((0,), (0,))),
    ((3, 2, 5), (5, 7, 2), ((2,), (0,)), ((1,), (2,))),
    ((4, 2, 3), (3, 4), ((0, 2), (1, 0)), ((), ())),
    ((2, 3, 4, 5), (5, 3, 2), ((1, 3), (1, 0)), ((0,), (2,))),
    ((3, 0), (0, 2), ((1,), (0,)), ((), ())),
)
for _xs, _ys, _contract, _batch in _CASES:
    add(
        "dot_general",
        lambda x, y, c=_contract, b=_batch: contract.dot_general(x, y, c, b),
        lambda rng, xs=_xs, ys=_ys: [random(rng, xs, np.float64), random(rng, ys, np.float64)],
        lambda x, y, c=_contract, b=_batch: _expected(x, y, c, b),
        label=f"{_xs}-{_ys}",
    )
for _dtype in (
    np.float32,
    np.float16,
    ml_dtypes.bfloat16,
    np.int8,
    np.int32,
    np.uint64,
    np.complex64,
    np.complex128,
):
    add(
        "dot_general",
        lambda x, y: contract.dot_general(x, y, ((1,), (0,))),
        lambda rng, d=_dtype: [random(rng, (3, 7), d), random(rng, (7, 5), d)],
        lambda x, y: (
            x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)
            @ y.astype(np.complex128 if y.dtype.kind == "c" else np.float64)
        ),
        label=name_of(_dtype),
        smooth=False,
    )
for _dtype, _wide in ((np.int8, dtypes.int32), (ml_dtypes.bfloat16, dtypes.float32)):
    add(
        "dot_general",
        lambda x, y, w=_wide: contract.dot_general(x, y, ((1,), (0,)), accumulate=w),
        lambda rng, d=_dtype: [random(rng, (3, 33), d), random(rng, (33, 5), d)],
        lambda x, y: x.astype(np.float64) @ y.astype(np.float64),
        label=f"{name_of(_dtype)}-accumulate",
        smooth=False,
    )
