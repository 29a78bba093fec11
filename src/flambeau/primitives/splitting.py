"""Cutting a tensor into consecutive parts: one node, whose gradient puts the parts together again.

A slice alone has a gradient that is padded with zeros, and several slices of one tensor have a sum
of such.  Here nothing is padded or added.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from flambeau.errors import ShapeError
from flambeau.graph.builder import Var, emit_all
from flambeau.graph.graph import Node
from flambeau.graph.primitive import Lowering, Primitive
from flambeau.graph.types import Shape, Size, TensorType
from flambeau.primitives.indexing import concatenate, slice_p
from flambeau.primitives.views import full

Sizes = tuple[Size, ...]


def _infer(x: TensorType, *, sizes: Sizes, axis: int) -> tuple[TensorType, ...]:
    total: Size = sum(sizes[1:], sizes[0])
    if total != x.shape[axis]:
        raise ShapeError(f"split: sizes {sizes} add up to {total}, axis {axis} has size {x.shape[axis]}")
    return tuple(TensorType((*x.shape[:axis], n, *x.shape[axis + 1 :]), x.dtype) for n in sizes)


def _reference(x: np.ndarray, *, sizes: tuple[int, ...], axis: int) -> tuple[np.ndarray, ...]:
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis))


def _vjp(
    g: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var], *, sizes: Sizes, axis: int
) -> Any:
    if all(d is None for d in g):
        return (None,)
    parts = [full(y.shape, 0, y.dtype) if d is None else d for d, y in zip(g, outputs, strict=True)]
    return (concatenate(parts, axis),)


def _jvp(
    t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var], *, sizes: Sizes, axis: int
) -> Any:
    (x,) = t
    return (None,) * len(sizes) if x is None else split(x, sizes, axis)


def _batch(inputs: Sequence[Var], batched: Sequence[bool], *, sizes: Sizes, axis: int) -> tuple[Var, ...]:
    return split(inputs[0], sizes, axis + 1)


split_p = Primitive(
    "split",
    infer=_infer,
    reference=_reference,
    vjp=_vjp,
    jvp=_jvp,
    batch=_batch,
    lowering=Lowering.VIEW,
    outputs=None,
    sizes=("sizes",),
)


def split(x: Var, sizes: Sequence[Size], axis: int) -> tuple[Var, ...]:
    """Consecutive parts of ``x`` of the given sizes along ``axis``, which must add up."""
    if not sizes:
        raise ShapeError(f"split: no sizes for axis {axis} of size {x.shape[axis]}")
    if tuple(sizes) == (x.shape[axis],):
        return (x,)
    return emit_all(split_p, x, sizes=tuple(sizes), axis=axis)


def chunk(x: Var, size: int, axis: int) -> tuple[Var, ...]:
    """Consecutive parts of ``size`` along ``axis``, the last one smaller if need be."""
    n = x.shape[axis]
    if not isinstance(n, int) or size < 1:
        raise ShapeError(f"split: axis {axis} with size {n} cannot be cut into parts of {size}")
    return split(x, [min(size, n - i) for i in range(0, n, size)] or [0], axis)


def slices(node: Node, x: int, shape: Shape) -> list[Node]:
    """The slices of ``x``, which has this shape, that a ``split`` amounts to: what kernels read."""
    sizes, axis = node.attrs["sizes"], node.attrs["axis"]
    made = []
    for out, n, end in zip(node.outputs, sizes, accumulate(sizes), strict=True):
        starts: list[Size] = [0] * len(shape)
        limits = list(shape)
        starts[axis], limits[axis] = end - n, end
        attrs = {"starts": tuple(starts), "limits": tuple(limits), "strides": (1,) * len(shape)}
        made.append(Node(slice_p, (x,), attrs, (out,), node.where))
    return made
