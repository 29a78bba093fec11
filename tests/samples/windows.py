"""Samples of convolutions and window reductions."""

from __future__ import annotations

import itertools
from typing import Any

import ml_dtypes
import numpy as np

from flambeau import dtypes
from flambeau.primitives import convolution, windows
from samples.core import add, distinct, name_of, random


def _loop_conv(x: Any, w: Any, strides: Any, padding: Any, lhs: Any, rhs: Any, groups: int) -> np.ndarray:
    """One output element at a time, straight from the definition."""
    x, w = (v.astype(np.float64) if v.dtype.kind != "c" else v for v in (x, w))
    batch = x.shape[0]
    outs, per_group = w.shape[:2]
    space = []
    for i, (a, b) in enumerate(padding):
        room = (x.shape[i + 2] - 1) * lhs[i] + 1 + a + b
        space.append(max(0, (room - (w.shape[i + 2] - 1) * rhs[i] - 1) // strides[i] + 1))
    out = np.zeros((batch, outs, *space), x.dtype)
    for n, o in itertools.product(range(batch), range(outs)):
        first = o // (outs // groups) * per_group
        for at in np.ndindex(*space):
            for c in range(per_group):
                for k in np.ndindex(*w.shape[2:]):
                    # positions in the spread input
                    p = [at[i] * strides[i] + k[i] * rhs[i] - padding[i][0] for i in range(len(k))]
                    if any(v % d for v, d in zip(p, lhs, strict=True)):
                        continue
                    q = [v // d for v, d in zip(p, lhs, strict=True)]
                    if all(0 <= v < s for v, s in zip(q, x.shape[2:], strict=True)):
                        out[(n, o, *at)] += x[(n, first + c, *q)] * w[(o, c, *k)]
    return out


# input, weight, strides, padding, input dilation, window dilation, groups
_CONVS: tuple[tuple[Any, ...], ...] = (
    ((1, 1, 1), (1, 1, 1), (1,), ((0, 0),), (1,), (1,), 1),
    ((2, 3, 7), (5, 3, 3), (1,), ((1, 1),), (1,), (1,), 1),
    ((2, 3, 8), (5, 3, 3), (2,), ((0, 2),), (1,), (1,), 1),
    ((1, 2, 13), (3, 2, 2), (3,), ((1, 0),), (1,), (2,), 1),
    ((1, 2, 5), (3, 2, 3), (1,), ((2, 2),), (3,), (1,), 1),
    ((1, 2, 5), (3, 2, 3), (2,), ((1, 3),), (2,), (2,), 1),
    ((2, 4, 7), (6, 2, 3), (2,), ((1, 1),), (1,), (1,), 2),
    ((1, 3, 5), (3, 1, 2), (1,), ((0, 0),), (1,), (1,), 3),
    ((1, 2, 9), (2, 2, 3), (2,), ((-1, -2),), (1,), (1,), 1),
    ((1, 2, 4, 5), (3, 2, 3, 2), (1, 2), ((1, 1), (0, 1)), (1, 1), (1, 1), 1),
    ((2, 2, 5, 4), (2, 1, 2, 3), (2, 1), ((1, 0), (1, 1)), (1, 1), (2, 1), 2),
    ((1, 2, 3, 3, 3), (2, 2, 2, 2, 2), (1, 1, 1), ((0, 0), (1, 0), (0, 1)), (1, 1, 1), (1, 1, 1), 1),
    ((3, 4), (2, 4), (), (), (), (), 1),
    ((2, 1, 2), (1, 1, 5), (1,), ((0, 0),), (1,), (1,), 1),
)


def _torch_conv(t: Any, x: Any, w: Any, strides: Any, padding: Any, rhs: Any, groups: int) -> Any:
    f = t.nn.functional
    return [f.conv1d, f.conv2d, f.conv3d][len(strides) - 1](
        x, w, None, strides, [a for a, _ in padding], rhs, groups
    )


for _xs, _ws, _strides, _padding, _lhs, _rhs, _groups in _CONVS:
    _even = (
        bool(_strides) and all(a == b and a >= 0 for a, b in _padding) and set(_lhs) == {1} and _ws[-1] < 5
    )
    add(
        "conv_general",
        lambda x, w, s=_strides, p=_padding, a=_lhs, b=_rhs, g=_groups: convolution.conv_general(
            x, w, strides=s, padding=p, lhs_dilation=a, rhs_dilation=b, groups=g
        ),
        lambda rng, xs=_xs, ws=_ws: [random(rng, xs, np.float64), random(rng, ws, np.float64)],
        lambda x, w, s=_strides, p=_padding, a=_lhs, b=_rhs, g=_groups: _loop_conv(x, w, s, p, a, b, g),
        label=f"{_xs}-{_ws}-{_strides}",
        torch=(lambda t, x, w, s=_strides, p=_padding, b=_rhs, g=_groups: _torch_conv(t, x, w, s, p, b, g))
        if _even
        else None,
    )
for _dtype in (np.float32, np.float16, ml_dtypes.bfloat16, np.int32, np.uint8, np.complex64):
    add(
        "conv_general",
        lambda x, w: convolution.conv_general(x, w, padding=((1, 1),)),
        lambda rng, d=_dtype: [random(rng, (2, 2, 7), d, 0, 2), random(rng, (3, 2, 3), d, 0, 2)],
        lambda x, w: _loop_conv(x, w, (1,), ((1, 1),), (1,), (1,), 1),
        label=name_of(_dtype),
        smooth=False,
    )
add(
    "conv_general",
    lambda x, w: convolution.conv_general(x, w, accumulate=dtypes.int32),
    lambda rng: [random(rng, (1, 9, 7), np.int8, -90, 90), random(rng, (3, 9, 3), np.int8, -90, 90)],
    lambda x, w: _loop_conv(x, w, (1,), ((0, 0),), (1,), (1,), 1),
    label="int8-accumulate",
    smooth=False,
)

# --- window reductions -----------------------------------------------------------------------

# shape, window, strides, padding, dilation
_WINDOWS: tuple[tuple[Any, ...], ...] = (
    ((7,), (3,), (1,), ((0, 0),), (1,)),
    ((7,), (2,), (2,), ((1, 1),), (1,)),
    ((13,), (3,), (2,), ((1, 0),), (2,)),
    ((1,), (1,), (1,), ((0, 0),), (1,)),
    ((3,), (5,), (1,), ((0, 0),), (1,)),
    ((2, 6, 5), (1, 2, 3), (1, 2, 1), ((0, 0), (0, 0), (1, 1)), (1, 1, 1)),
    ((1, 2, 7, 7), (1, 1, 3, 3), (1, 1, 2, 2), ((0, 0), (0, 0), (1, 1), (1, 1)), (1, 1, 1, 1)),
    ((1,), (2,), (1,), ((2, 2),), (2,)),  # windows that see padding alone
)


def _every_window(x: Any, window: Any, strides: Any, padding: Any, dilation: Any) -> Any:
    """For each output position the positions of its elements, in row-major order of the window."""
    counts = [
        max(0, (n + a + b - (k - 1) * d - 1) // s + 1)
        for n, k, s, (a, b), d in zip(x.shape, window, strides, padding, dilation, strict=True)
    ]
    for at in np.ndindex(*counts):
        places = []
        for k in np.ndindex(*window):
            p = tuple(
                i * s + j * d - a
                for i, s, j, d, (a, _) in zip(at, strides, k, dilation, padding, strict=True)
            )
            if all(0 <= v < n for v, n in zip(p, x.shape, strict=True)):
                places.append(p)
        yield counts, at, places


def _loop_window(x: np.ndarray, kind: str, *shape: Any) -> Any:
    out: Any = None
    function = {"sum": sum, "max": max, "min": min}[kind]
    for counts, at, places in _every_window(x, *shape):
        if out is None:
            out = np.full(counts, {"sum": 0.0, "max": -np.inf, "min": np.inf}[kind])
        if places:
            out[at] = function(float(x[p]) for p in places)
    return np.zeros([0]) if out is None else out


def _loop_argext(x: np.ndarray, kind: str, *shape: Any) -> Any:
    out: Any = None
    for counts, at, places in _every_window(x, *shape):
        if out is None:
            out = np.full(counts, -1, np.int64)
        if places:
            best = (max if kind == "max" else min)(x[p] for p in places)
            first = next(p for p in places if x[p] == best)
            out[at] = np.ravel_multi_index(first, x.shape)
    return np.zeros([0], np.int64) if out is None else out


def _loop_select(x: np.ndarray, source: np.ndarray, kind: str, *shape: Any) -> Any:
    out = np.zeros(x.size)
    for place, g in zip(_loop_argext(x, kind, *shape).reshape(-1), source.reshape(-1), strict=True):
        if place >= 0:
            out[place] += g
    return out.reshape(x.shape)


def _counts(case: Any) -> tuple[int, ...]:
    shape, window, strides, padding, dilation = case
    return tuple(
        max(0, (n + a + b - (k - 1) * d - 1) // s + 1)
        for n, k, s, (a, b), d in zip(shape, window, strides, padding, dilation, strict=True)
    )


for _case in _WINDOWS:
    _shape, *_rest = _case
    for _kind in ("sum", "max", "min"):
        add(
            "reduce_window",
            lambda x, k=_kind, r=_rest: windows.reduce_window(x, k, *r),
            lambda rng, s=_shape: [distinct(rng, s)],
            lambda x, k=_kind, r=_rest: _loop_window(x, k, *r),
            label=f"{_kind}-{_shape}-{_rest[0]}",
            smooth=_kind == "sum" or _shape != (1,) or _rest[0] != (2,),  # differences of infinities
        )
    for _kind in ("max", "min"):
        add(
            "window_argext",
            lambda x, k=_kind, r=_rest: windows.window_argext(x, k, *r),
            lambda rng, s=_shape: [random(rng, s, np.int64)],
            lambda x, k=_kind, r=_rest: _loop_argext(x, k, *r),
            label=f"{_kind}-{_shape}-{_rest[0]}",
            smooth=False,
        )
        add(
            "select_and_scatter",
            lambda x, g, k=_kind, r=_rest: windows.select_and_scatter(x, g, k, *r),
            lambda rng, c=_case: [distinct(rng, c[0]), random(rng, _counts(c), np.float64)],
            lambda x, g, k=_kind, r=_rest: _loop_select(x, g, k, *r),
            label=f"{_kind}-{_shape}-{_rest[0]}",
        )
for _kind in ("sum", "max", "min"):
    for _dtype in (np.float32, np.float16, np.int8, np.uint16, np.int64):
        add(
            "reduce_window",
            lambda x, k=_kind: windows.reduce_window(x, k, (2, 2), padding=((0, 0), (0, 1))),
            lambda rng, d=_dtype: [random(rng, (3, 5), d)],
            lambda x, k=_kind: _loop_window(x, k, (2, 2), (1, 1), ((0, 0), (0, 1)), (1, 1)),
            label=f"{_kind}-{name_of(_dtype)}",
            smooth=False,
        )
add(
    "reduce_window",
    lambda x: windows.reduce_window(x, "max", (1, 1, 2, 2), (1, 1, 2, 2)),
    lambda rng: [distinct(rng, (2, 3, 6, 6))],
    lambda x: x.reshape(2, 3, 3, 2, 3, 2).max((3, 5)),
    label="pool",
    torch=lambda t, x: t.nn.functional.max_pool2d(x, 2),
)
add(
    "reduce_window",
    lambda x: windows.reduce_window(x, "max", (1, 1, 3), (1, 1, 2), ((0, 0), (0, 0), (1, 1))),
    lambda rng: [random(rng, (2, 3, 13), np.int64).astype(np.float64)],
    None,
    label="ties",
    smooth=False,
    torch=lambda t, x: t.nn.functional.max_pool1d(x, 3, 2, 1),
)
