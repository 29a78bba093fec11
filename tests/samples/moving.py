"""Samples of slices, padding, gathers, scatters, sorting and running computations."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.graph.builder import emit
from flambeau.primitives import cumulative, gather, indexing, sorting, splitting
from samples.core import FLOATS, INTS, UINTS, add, distinct, name_of, normal, random

_SOME = (np.bool_, np.uint8, np.int32, np.float32, np.float16, np.complex64)

# --- slices ----------------------------------------------------------------------------------

for _shape, _starts, _limits, _strides in (
    ((7,), (1,), (6,), (1,)),
    ((7,), (0,), (7,), (2,)),
    ((7,), (1,), (7,), (3,)),
    ((7,), (3,), (3,), (1,)),
    ((7,), (3,), (3,), (2,)),
    ((5, 7), (1, 2), (4, 7), (1, 2)),
    ((33, 2), (5, 0), (31, 1), (7, 1)),
    ((2, 3, 1), (0, 1, 0), (2, 3, 1), (1, 1, 1)),
):
    add(
        "slice",
        lambda x, a=_starts, b=_limits, c=_strides: emit(indexing.slice_p, x, starts=a, limits=b, strides=c),
        normal(*_shape),
        lambda x, a=_starts, b=_limits, c=_strides: x[tuple(map(slice, a, b, c))],
        label=f"{_shape}-{_starts}-{_limits}-{_strides}",
    )
for _dtype in _SOME:
    add(
        "slice",
        lambda x: indexing.slice_(x, (1,), (6,), (2,)),
        normal(7, dtype=_dtype),
        lambda x: x[1:6:2],
        label=name_of(_dtype),
        smooth=False,
    )


def _padded(x: np.ndarray, value: Any, low: Any, high: Any, interior: Any) -> np.ndarray:
    """One axis after the other: spread, then pad with NumPy, then crop."""
    for axis in range(x.ndim):
        n = x.shape[axis]
        spread = np.full(
            (max(0, (n - 1) * (interior[axis] + 1) + 1) if n else 0, *np.delete(x.shape, axis)),
            value,
            x.dtype,
        )
        spread[:: interior[axis] + 1] = np.moveaxis(x, axis, 0)
        a, b = low[axis], high[axis]
        widths = [(max(a, 0), max(b, 0))] + [(0, 0)] * (x.ndim - 1)
        wide = np.pad(spread, widths, constant_values=value)
        wide = wide[max(-a, 0) :]
        x = np.moveaxis(wide[: len(wide) - max(-b, 0)], 0, axis)
    return x


for _shape, _low, _high, _interior in (
    ((3,), (1,), (2,), (0,)),
    ((3,), (0,), (0,), (2,)),
    ((7,), (-2,), (-1,), (0,)),
    ((7,), (-2,), (3,), (1,)),
    ((7,), (-3,), (-4,), (2,)),
    ((7,), (2,), (-5,), (1,)),
    ((1,), (1,), (-1,), (0,)),
    ((1,), (-1,), (0,), (3,)),
    ((0, 2), (1, 0), (1, 1), (2, 0)),
    ((3, 5), (1, -1), (-1, 2), (1, 2)),
    ((2, 3, 2), (0, 0, 1), (0, 2, 0), (0, 1, 0)),
):
    add(
        "pad",
        lambda x, v, a=_low, b=_high, c=_interior: emit(indexing.pad_p, x, v, low=a, high=b, interior=c),
        lambda rng, s=_shape: [random(rng, s, np.float64), np.float64(1.5)],
        lambda x, v, a=_low, b=_high, c=_interior: _padded(x, v, a, b, c),
        label=f"{_shape}-{_low}-{_high}-{_interior}",
    )
for _dtype in _SOME:
    add(
        "pad",
        lambda x: indexing.pad(x, 1, (1,), (2,), (1,)),
        normal(7, dtype=_dtype),
        lambda x: _padded(x, 1, (1,), (2,), (1,)),
        label=name_of(_dtype),
        smooth=False,
    )

for _shapes, _axis in (
    (((2,), (3,)), 0),
    (((2, 3), (2, 1), (2, 5)), 1),
    (((0, 3), (7, 3)), 0),
    (((33, 2),) * 2, 1),
):
    add(
        "concatenate",
        lambda *xs, axis=_axis: emit(indexing.concatenate_p, *xs, axis=axis),
        lambda rng, shapes=_shapes: [random(rng, s, np.float64) for s in shapes],
        lambda *xs, axis=_axis: np.concatenate(xs, axis),
        label=f"{_shapes}",
    )
for _shape, _sizes, _axis in (((7,), (3, 4), 0), ((2, 9), (1, 5, 3), 1), ((33, 2), (0, 33), 0)):
    add(
        "split",
        lambda x, sizes=_sizes, axis=_axis: splitting.split(x, sizes, axis),
        normal(*_shape),
        lambda x, sizes=_sizes, axis=_axis: list(np.split(x, np.cumsum(sizes)[:-1], axis)),
        label=f"{_shape}-{_sizes}",
        torch=lambda t, x, sizes=_sizes, axis=_axis: t.split(x, sizes, axis),
    )
for _dtype in _SOME:
    add(
        "split",
        lambda x: splitting.split(x, (2, 5), 0),
        normal(7, dtype=_dtype),
        lambda x: [x[:2], x[2:]],
        label=name_of(_dtype),
        smooth=False,
    )
for _dtype in _SOME:
    add(
        "concatenate",
        lambda x, y: indexing.concatenate([x, y], 0),
        lambda rng, d=_dtype: [random(rng, (3,), d), random(rng, (4,), d)],
        lambda x, y: np.concatenate([x, y]),
        label=name_of(_dtype),
        smooth=False,
    )
for _shape, _axes in (((7,), (0,)), ((3, 5), (1,)), ((2, 3, 4), (0, 2)), ((1, 33), (0, 1))):
    add(
        "reverse",
        lambda x, axes=_axes: indexing.reverse(x, axes),
        normal(*_shape),
        lambda x, axes=_axes: x[
            tuple([slice(None, None, -1) if i in axes else slice(None) for i in range(x.ndim)])
        ],
        label=f"{_shape}-{_axes}",
    )

for _shape, _starts, _lengths in (
    ((7,), (2,), (3,)),
    ((7,), (6,), (3,)),  # moved inside
    ((7,), (-4,), (3,)),
    ((7,), (0,), (7,)),
    ((5, 33), (1, 30), (2, 2)),
    ((2, 3, 4), (1, 0, 2), (1, 3, 2)),
):
    _clamped = tuple(min(max(a, 0), n - m) for a, n, m in zip(_starts, _shape, _lengths, strict=True))
    _window = tuple(slice(a, a + m) for a, m in zip(_clamped, _lengths, strict=True))
    add(
        "dynamic_slice",
        lambda x, *starts, lengths=_lengths: indexing.dynamic_slice(x, starts, lengths),
        lambda rng, s=_shape, starts=_starts: [random(rng, s, np.float64), *map(np.int64, starts)],
        lambda x, *starts, window=_window: x[window],
        label=f"{_shape}-{_starts}",
    )

    def _written(x: np.ndarray, update: np.ndarray, *starts: Any, window: Any = _window) -> np.ndarray:
        out = x.copy()
        out[window] = update
        return out

    add(
        "dynamic_update_slice",
        lambda x, update, *starts: indexing.dynamic_update_slice(x, update, starts),
        lambda rng, s=_shape, starts=_starts, m=_lengths: [
            random(rng, s, np.float64),
            random(rng, m, np.float64),
            *map(np.int64, starts),
        ],
        _written,
        label=f"{_shape}-{_starts}",
    )

# --- gather and scatter ----------------------------------------------------------------------


def _indices(rng: np.random.Generator, shape: Any, sizes: Any, dtype: Any = np.int64) -> list[np.ndarray]:
    low = 0 if np.dtype(dtype).kind == "u" else -1
    return [rng.integers(low * n, n, shape).astype(dtype) for n in sizes]


def _loop_gather(x: np.ndarray, *indices: np.ndarray) -> np.ndarray:
    k = len(indices)
    out = np.zeros((*indices[0].shape, *x.shape[k:]), x.dtype)
    for at in np.ndindex(*indices[0].shape):
        out[at] = x[tuple(int(i[at]) for i in indices)]
    return out


def _loop_scatter(x: np.ndarray, updates: np.ndarray, *indices: np.ndarray, plus: bool) -> np.ndarray:
    out = x.copy()
    for at in np.ndindex(*indices[0].shape):
        place = tuple(int(i[at]) for i in indices)
        out[place] = out[place] + updates[at] if plus else updates[at]
    return out


_GATHERS = (
    ((7,), (3,), 1),
    ((7,), (), 1),
    ((7, 5), (3, 2), 1),
    ((3, 5), (33,), 2),
    ((2, 3, 4), (7,), 2),
    ((2, 3, 4), (2, 2), 3),
    ((5, 3), (0,), 1),
    ((1, 3), (13,), 1),
)
for _shape, _index, _k in _GATHERS:
    add(
        "gather",
        lambda x, *i: gather.gather(x, i),
        lambda rng, s=_shape, i=_index, k=_k: [random(rng, s, np.float64), *_indices(rng, i, s[:k])],
        _loop_gather,
        label=f"{_shape}-{_index}-{_k}",
    )
    for _name, _build, _plus in (
        ("scatter_add", gather.scatter_add, True),
        ("scatter", gather.scatter, False),
    ):
        add(
            _name,
            lambda x, u, *i, build=_build: build(x, u, i),
            lambda rng, s=_shape, i=_index, k=_k: [
                random(rng, s, np.float64),
                random(rng, (*i, *s[k:]), np.float64),
                *_indices(rng, i, s[:k]),
            ],
            lambda x, u, *i, plus=_plus: _loop_scatter(x, u, *i, plus=plus),
            label=f"{_shape}-{_index}-{_k}",
        )
for _dtype in _SOME:
    for _index_dtype in (np.int8, np.uint8, np.int32, np.uint64):
        add(
            "gather",
            lambda x, i: gather.gather(x, (i,)),
            lambda rng, d=_dtype, i=_index_dtype: [random(rng, (7, 2), d), *_indices(rng, (3,), (7,), i)],
            _loop_gather,
            label=f"{name_of(_dtype)}-{name_of(_index_dtype)}",
            smooth=False,
        )
    for _name, _build, _plus in (
        ("scatter_add", gather.scatter_add, True),
        ("scatter", gather.scatter, False),
    ):
        if _plus and _dtype is np.bool_:
            continue
        add(
            _name,
            lambda x, u, i, build=_build: build(x, u, (i,)),
            lambda rng, d=_dtype: [random(rng, (7,), d), random(rng, (5,), d), *_indices(rng, (5,), (7,))],
            lambda x, u, i, plus=_plus: _loop_scatter(x, u, i, plus=plus),
            label=name_of(_dtype),
            smooth=False,
        )

# --- sorting ---------------------------------------------------------------------------------


def _sorted(x: np.ndarray, axis: int, descending: bool) -> list[np.ndarray]:
    """By Python's stable sort of every row, NaN as the largest."""
    moved = np.moveaxis(x, axis, -1)
    order = np.zeros(moved.shape, np.int64)
    for at in np.ndindex(*moved.shape[:-1]):
        keys = [(bool(v != v), float(v) if v == v else 0.0) for v in moved[at]]
        sign = -1 if descending else 1
        order[at] = sorted(range(len(keys)), key=lambda i, k=keys: (sign * k[i][0], sign * k[i][1]))
    values = np.take_along_axis(moved, order, -1)
    return [np.moveaxis(values, -1, axis), np.moveaxis(order, -1, axis)]


for _shape, _axis in (((7,), 0), ((1,), 0), ((3, 5), 1), ((5, 3), 0), ((2, 33, 2), 1), ((0, 3), 0)):
    for _descending in (False, True):
        add(
            "sort",
            lambda x, axis=_axis, d=_descending: sorting.sort(x, axis, d),
            lambda rng, s=_shape: [distinct(rng, s)],
            lambda x, axis=_axis, d=_descending: _sorted(x, axis, d),
            label=f"{_shape}-{_axis}-{_descending}",
            torch=lambda t, x, axis=_axis, d=_descending: t.sort(x, dim=axis, descending=d, stable=True),
        )
for _dtype in (np.bool_, *FLOATS, *INTS, *UINTS):
    for _descending in (False, True):
        add(
            "sort",
            lambda x, d=_descending: sorting.sort(x, 0, d),
            normal(33, dtype=_dtype),
            lambda x, d=_descending: _sorted(x, 0, d),
            label=f"{name_of(_dtype)}-{_descending}",
            smooth=False,
        )
        if np.dtype(_dtype) == np.float64:
            add(
                "sort",
                lambda x, d=_descending: sorting.sort(x, 0, d),
                lambda rng: [np.array([np.nan, 1, np.inf, -np.inf, np.nan, 1, 0.0, -0.0])],
                lambda x, d=_descending: _sorted(x, 0, d),
                label=f"special-{_descending}",
                smooth=False,
                torch=lambda t, x, d=_descending: t.sort(x, dim=0, descending=d, stable=True),
            )
for _side in ("left", "right"):
    for _n, _m in ((1, (3,)), (7, (33,)), (7, ()), (0, (2,))):
        add(
            "searchsorted",
            lambda x, v, side=_side: sorting.searchsorted(x, v, side),
            lambda rng, n=_n, m=_m: [np.sort(random(rng, (n,), np.int64)), random(rng, m, np.int64)],
            lambda x, v, side=_side: np.reshape(
                [sum(bool(a < b) if side == "left" else bool(a <= b) for a in x) for b in v.reshape(-1)],
                v.shape,
            ).astype(np.int64),
            label=f"{_side}-{_n}-{_m}",
            smooth=False,
        )
    add(
        "searchsorted",
        lambda x, v, side=_side: sorting.searchsorted(x, v, side),
        lambda rng: [np.sort(random(rng, (3, 7), np.float32), -1), random(rng, (3, 5), np.float32)],
        lambda x, v, side=_side: np.stack([np.searchsorted(a, b, side) for a, b in zip(x, v, strict=True)]),
        label=f"{_side}-rows",
        smooth=False,
        torch=lambda t, x, v, side=_side: t.searchsorted(x, v, right=side == "right"),
    )

# --- running computations --------------------------------------------------------------------


def _running(function: Any) -> Any:
    """A loop over the axis that applies ``function`` to the result so far and the next slice."""

    def expected(x: np.ndarray, axis: int, reverse: bool) -> np.ndarray:
        rows = list(np.moveaxis(x, axis, 0))
        out: list[Any] = []
        with np.errstate(all="ignore"):
            for row in reversed(rows) if reverse else rows:
                out.append(row if not out else np.asarray(function(out[-1], row)).astype(x.dtype))
        if not out:
            return x
        return np.moveaxis(np.stack(out[::-1] if reverse else out), 0, axis)

    return expected


_RUNNING = {
    "cumsum": lambda a, b: a + b,
    "cumprod": lambda a, b: a * b,
    "cummax": np.maximum,
    "cummin": np.minimum,
    "cumlogsumexp": np.logaddexp,
}
_TORCH = {"cumsum": "cumsum", "cumprod": "cumprod", "cumlogsumexp": "logcumsumexp"}
for _name, _function in _RUNNING.items():
    for _shape, _axis in (((7,), 0), ((1,), 0), ((2, 5), 1), ((33, 2), 0), ((2, 3, 4), 1), ((0, 2), 0)):
        for _reverse in (False, True):
            add(
                _name,
                lambda x, name=_name, axis=_axis, r=_reverse: getattr(cumulative, name)(x, axis, r),
                lambda rng, s=_shape: [distinct(rng, s) if np.prod(s) < 20 else random(rng, s, np.float64)],
                lambda x, f=_function, axis=_axis, r=_reverse: _running(f)(x, axis, r),
                label=f"{_shape}-{_axis}-{_reverse}",
                torch=(lambda t, x, name=_TORCH[_name], axis=_axis: getattr(t, name)(x, axis))
                if _name in _TORCH and not _reverse
                else None,
            )
    for _dtype in (*FLOATS[1:3], *(() if _name == "cumlogsumexp" else (*INTS, *UINTS))):
        add(
            _name,
            lambda x, name=_name: getattr(cumulative, name)(x, 0),
            lambda rng, d=_dtype: [random(rng, (5, 3), d, 0, 2)],
            lambda x, f=_function: _running(f)(
                x.astype(np.float32) if x.dtype == np.float16 else x, 0, False
            ),
            label=name_of(_dtype),
            smooth=False,
        )
for _numbers in ((2.0, 0.0, 3.0, 1.5), (0.0, 2.0, 0.0, 3.0), (1.0, 2.0, 0.0), (0.0,)):
    for _reverse in (False, True):
        add(
            "cumprod",
            lambda x, r=_reverse: cumulative.cumprod(x, 0, r),
            lambda rng, n=_numbers: [np.array(n)],
            lambda x, r=_reverse: np.cumprod(x[::-1])[::-1] if r else np.cumprod(x),
            label=f"zeros-{_numbers}-{_reverse}",
        )
add(
    "cumlogsumexp",
    lambda x: cumulative.cumlogsumexp(x, 0),
    lambda rng: [np.array([-np.inf, -np.inf, 1.0, 1000.0, np.inf, 3.0])],
    lambda x: np.array([-np.inf, -np.inf, 1.0, 1000.0, np.inf, np.inf]),
    label="special",
    smooth=False,
)
for _name in ("cummax", "cummin"):
    add(
        _name,
        lambda x, name=_name: getattr(cumulative, name)(x, 0),
        lambda rng: [np.array([1.0, np.nan, 3.0])],
        lambda x: np.array([1.0, np.nan, np.nan]),
        label="nan",
        smooth=False,
    )


def _recurrence(a: np.ndarray, b: np.ndarray, axis: int, reverse: bool) -> np.ndarray:
    a, b = np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0)
    if reverse:
        a, b = a[::-1], b[::-1]
    n = len(a)
    # the closed form: y[i] is the sum over j <= i of b[j] times the product of a[j + 1 .. i]
    y = np.stack([sum(b[j] * np.prod(a[j + 1 : i + 1], axis=0) for j in range(i + 1)) for i in range(n)])
    return np.moveaxis(y[::-1] if reverse else y, 0, axis)


for _shape, _axis in (((7,), 0), ((1,), 0), ((2, 5), 1), ((13, 2), 0)):
    for _reverse in (False, True):
        add(
            "linear_recurrence",
            lambda a, b, axis=_axis, r=_reverse: cumulative.linear_recurrence(a, b, axis, r),
            lambda rng, s=_shape: [random(rng, s, np.float64, -1, 1), random(rng, s, np.float64)],
            lambda a, b, axis=_axis, r=_reverse: _recurrence(a, b, axis, r),
            label=f"{_shape}-{_axis}-{_reverse}",
        )
