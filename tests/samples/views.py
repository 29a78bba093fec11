"""Samples of constants, changes of shape and reductions."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau import dtypes
from flambeau.primitives import reduce, sizes, views
from samples.core import FLOATS, INTS, UINTS, add, distinct, name_of, normal, random

add("constant", lambda: views.constant(1.5), lambda rng: [], lambda: np.float32(1.5), smooth=False)
for _dtype in dtypes.ALL:
    add(
        "constant",
        lambda d=_dtype: views.constant(1, d),
        lambda rng: [],
        lambda d=_dtype: np.asarray(1, d.numpy),
        label=str(_dtype),
        smooth=False,
    )
add("size", lambda: sizes.size_value(17), lambda rng: [], lambda: np.int64(17), smooth=False)
for _n in (0, 1, 2, 7, 33):
    add(
        "iota",
        lambda n=_n: views.iota((3, n), 1, dtypes.int64),
        lambda rng: [],
        lambda n=_n: np.tile(np.arange(n), (3, 1)),
        smooth=False,
    )
for _dtype in (dtypes.uint8, dtypes.int32, dtypes.float32, dtypes.float64, dtypes.bfloat16):
    add(
        "iota",
        lambda d=_dtype: views.iota((5, 2), 0, d),
        lambda rng: [],
        lambda d=_dtype: np.array([[i, i] for i in range(5)]).astype(d.numpy),
        label=str(_dtype),
        smooth=False,
    )

for _shape, _to, _axes in (
    ((), (3,), ()),
    ((7,), (2, 7), (1,)),
    ((1, 5), (3, 5), (0, 1)),
    ((2, 1), (2, 3, 4), (0, 2)),
    ((1,), (1,), (0,)),
    ((3,), (3, 0), (0,)),
    ((1, 1), (33, 1), (0, 1)),
):
    add(
        "broadcast",
        lambda x, to=_to, axes=_axes: views.emit(views.broadcast_p, x, shape=to, axes=axes),
        normal(*_shape),
        lambda x, to=_to, axes=_axes: np.broadcast_to(
            x.reshape([x.shape[axes.index(i)] if i in axes else 1 for i in range(len(to))]), to
        ),
        label=f"{_shape}-{_to}",
    )
for _shape, _to in (
    ((6,), (2, 3)),
    ((2, 3), (3, 2)),
    ((1,), ()),
    ((7, 1), (7,)),
    ((0, 3), (3, 0)),
    ((33, 4), (132,)),
):
    add(
        "reshape",
        lambda x, to=_to: views.reshape(x, to),
        normal(*_shape),
        lambda x, to=_to: x.ravel().reshape(to),
        label=f"{_shape}-{_to}",
        torch=lambda t, x, to=_to: x.reshape(to),
    )
for _perm in ((1, 0), (0, 2, 1), (2, 0, 1), (3, 1, 0, 2)):
    add(
        "transpose",
        lambda x, perm=_perm: views.transpose(x, perm),
        normal(*(2, 3, 7, 1)[: len(_perm)]),
        lambda x, perm=_perm: np.moveaxis(x, perm, range(len(perm))),
        label=f"{_perm}",
        torch=lambda t, x, perm=_perm: x.permute(perm),
    )

_CASES = (
    ((7,), (0,)),
    ((3, 5), (0,)),
    ((3, 5), (1,)),
    ((2, 3, 4), (0, 2)),
    ((2, 3, 4), (0, 1, 2)),
    ((33, 13), (0,)),
)


def _reduction(name: str, build: Any, function: Any, by_torch: str | None, kinds: tuple[Any, ...]) -> None:
    for shape, axes in _CASES:
        add(
            name,
            lambda x, axes=axes: build(x, axes),
            (lambda rng, s=shape: [distinct(rng, s)])
            if name in ("reduce_max", "reduce_min")
            else (lambda rng, s=shape: [random(rng, s, np.float64 if np.float64 in kinds else kinds[0])]),
            lambda x, axes=axes: function(x, axis=axes),
            label=f"{shape}-{axes}",
            smooth=np.float64 in kinds,
            torch=(lambda t, x, axes=axes: getattr(t, by_torch)(x, dim=axes)) if by_torch else None,
        )
    for dtype in kinds:
        add(
            name,
            lambda x: build(x, (1,)),
            lambda rng, dtype=dtype: [random(rng, (5, 7), dtype, 0, 2)],
            lambda x: function(
                x.astype(np.float64) if x.dtype.itemsize == 2 and x.dtype.kind in "fV" else x, axis=1
            ),
            label=name_of(dtype),
            smooth=False,
        )


_NUMBERS = (*FLOATS, *INTS, *UINTS, np.complex64, np.complex128)
_REAL = (*FLOATS, *INTS, *UINTS)
_reduction(
    "reduce_sum", views.reduce_sum, lambda x, axis: np.sum(x, axis=axis, dtype=x.dtype), "sum", _NUMBERS
)
_reduction(
    "reduce_prod", reduce.reduce_prod, lambda x, axis: np.prod(x, axis=axis, dtype=x.dtype), None, _NUMBERS
)
_reduction("reduce_max", reduce.reduce_max, np.amax, "amax", _REAL)
_reduction("reduce_min", reduce.reduce_min, np.amin, "amin", _REAL)
_reduction("reduce_all", reduce.reduce_all, np.all, None, (np.bool_,))
_reduction("reduce_any", reduce.reduce_any, np.any, None, (np.bool_,))
for _zeros in (1, 2):
    add(
        "reduce_prod",
        lambda x: reduce.reduce_prod(x, (0,)),
        lambda rng, z=_zeros: [np.where(np.arange(5) < z, 0.0, rng.uniform(1, 2, 5))],
        np.prod,
        label=f"{_zeros}-zeros",
        torch=lambda t, x: t.prod(x, 0),
    )
for _name, _build, _function in (("argmax", reduce.argmax, np.argmax), ("argmin", reduce.argmin, np.argmin)):
    for _shape, _axis in (((7,), 0), ((3, 5), 1), ((3, 5), 0), ((2, 3, 4), 1)):
        for _dtype in (np.float64, np.float32, np.float16, np.int32, np.uint8):
            add(
                _name,
                lambda x, axis=_axis, build=_build: build(x, axis),
                lambda rng, s=_shape, d=_dtype: [random(rng, s, d)],
                lambda x, axis=_axis, f=_function: f(x, axis=axis),
                label=f"{_shape}-{_axis}-{name_of(_dtype)}",
                smooth=False,
            )
