"""Gather and scatter: indexing with integer tensors, NumPy's advanced indexing.

``gather`` and ``scatter_add`` are each other's transposes, which is why they share a file.  Index
tensors have one common shape and select on the leading axes of the tensor; negative indices count
from the end, and an index outside ``[-size, size)`` raises ``OutOfBoundsError``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.dtypes import int64
from flambeau.errors import DTypeError, OperandError, OutOfBoundsError, ShapeError
from flambeau.graph.builder import Var, emit
from flambeau.graph.primitive import Lowering, Primitive
from flambeau.graph.types import Size, TensorType
from flambeau.primitives.elementwise import eq, select
from flambeau.primitives.views import (
    broadcast,
    full,
    iota,
    product,
    reshape,
    shape_text,
    transpose,
    wide,
    zeros_like,
)


def _check_indices(name: str, x: TensorType, indices: Sequence[TensorType]) -> None:
    if not indices:
        raise OperandError(f"{name}: at least one index tensor is needed")
    if len(indices) > x.ndim:
        raise ShapeError(f"{name}: {len(indices)} index tensors for a tensor with {x.ndim} axes")
    for i in indices:
        if i.dtype.kind not in ("int", "uint"):
            raise DTypeError(f"{name}: an index must be an integer tensor, not {i.dtype}")
        if i.shape != indices[0].shape:
            raise ShapeError(
                f"{name}: index shapes {shape_text(indices[0].shape)} and {shape_text(i.shape)} differ"
            )


def _infer_gather(x: TensorType, *indices: TensorType) -> TensorType:
    _check_indices("gather", x, indices)
    return TensorType((*indices[0].shape, *x.shape[len(indices) :]), x.dtype)


def checked_indices(name: str, shape: Sequence[int], indices: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Index arrays made non-negative; raises ``OutOfBoundsError`` naming the index and the axis."""
    out = []
    for axis, (n, i) in enumerate(zip(shape, indices, strict=False)):
        wide_index = i.astype(np.int64)
        bad = (wide_index < -n) | (wide_index >= n)
        if bad.any():
            index = i[bad].reshape(-1)[0]
            raise OutOfBoundsError(f"{name}: index {index} is out of range for axis {axis} of size {n}")
        out.append(np.where(wide_index < 0, wide_index + n, wide_index))
    return tuple(out)


def _ref_gather(x: np.ndarray, *indices: np.ndarray) -> np.ndarray:
    return np.asarray(x[checked_indices("gather", x.shape, indices)])


def _vjp_gather(g: Var, inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    x, *indices = inputs
    return (scatter_add(zeros_like(x), g, indices), *[None] * len(indices))


def _jvp_gather(t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    return (None if t[0] is None else gather(t[0], inputs[1:]),)


def _batched_indices(indices: Sequence[Var], batched: Sequence[bool], size: Any) -> list[Var]:
    """Index tensors that all have the batch axis, preceded by one that counts along it."""
    spread = [
        i if b else broadcast(i, (size, *i.shape), range(1, i.ndim + 1))
        for i, b in zip(indices, batched, strict=True)
    ]
    return [iota(spread[0].shape, 0, int64), *spread]


def _batch_gather(inputs: Sequence[Var], batched: Sequence[bool]) -> Var:
    x, *indices = inputs
    k = len(indices)
    if not any(batched[1:]):  # the batch axis rides along behind the indexed ones
        behind = transpose(x, (*range(1, k + 1), 0, *range(k + 1, x.ndim)))
        z = gather(behind, indices)
        at = indices[0].ndim
        return transpose(z, (at, *[i for i in range(z.ndim) if i != at]))
    size = next(v.shape[0] for v, b in zip(inputs, batched, strict=True) if b)
    spread = _batched_indices(indices, batched[1:], size)
    return gather(x, spread) if batched[0] else gather(x, spread[1:])


gather_p = Primitive(
    "gather",
    infer=_infer_gather,
    reference=_ref_gather,
    vjp=_vjp_gather,
    jvp=_jvp_gather,
    batch=_batch_gather,
    lowering=Lowering.HOST,
)


def gather(x: Var, indices: Sequence[Var]) -> Var:
    """``x[indices]``: the shape of the index tensors, then the axes of ``x`` they do not select on."""
    return emit(gather_p, x, *indices)


# --- scatter ---------------------------------------------------------------------------------


def _infer_scatter(name: str) -> Any:
    def infer(x: TensorType, updates: TensorType, *indices: TensorType) -> TensorType:
        _check_indices(name, x, indices)
        if name == "scatter_add" and x.dtype.kind == "bool":
            raise DTypeError(f"{name}: is not defined for bool")
        wanted = (*indices[0].shape, *x.shape[len(indices) :])
        if updates.shape != wanted:
            raise ShapeError(
                f"{name}: updates of shape {shape_text(updates.shape)} where {shape_text(wanted)} is needed"
            )
        if updates.dtype is not x.dtype:
            raise DTypeError(f"{name}: the updates have dtype {updates.dtype}, the tensor {x.dtype}")
        return x

    return infer


def _ref_scatter_add(x: np.ndarray, updates: np.ndarray, *indices: np.ndarray) -> np.ndarray:
    out = wide(x).copy()
    at = checked_indices("scatter_add", x.shape, indices)
    with np.errstate(all="ignore"):
        np.add.at(out, at, wide(updates))
    return out.astype(x.dtype)


def _ref_scatter(x: np.ndarray, updates: np.ndarray, *indices: np.ndarray) -> np.ndarray:
    """Writes in row-major order of the indices; where some are equal only the last is written."""
    at = checked_indices("scatter", x.shape, indices)
    k = len(at)
    rest = x.shape[k:]
    rows = int(np.prod(x.shape[:k], dtype=np.int64))
    out = x.reshape(rows, *rest).copy()
    flat = np.ravel_multi_index(at, x.shape[:k]).reshape(-1) if rows else np.zeros(0, np.int64)
    _, first_reversed = np.unique(flat[::-1], return_index=True)
    last = flat.size - 1 - first_reversed
    out[flat[last]] = updates.reshape(flat.size, *rest)[last]
    return out.reshape(x.shape)


def _vjp_scatter_add(g: Var, inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    _, _, *indices = inputs
    return (g, gather(g, indices), *[None] * len(indices))


def written(x: Var, indices: Sequence[Var]) -> Var:
    """A bool tensor of the indices' shape: whether ``scatter`` writes this update (the last of equals)."""
    lead = x.shape[: len(indices)]
    shape = indices[0].shape
    position = reshape(iota((product(shape),), 0, int64), shape)
    winner = scatter(full(lead, -1, int64), position, indices)
    return eq(gather(winner, indices), position)


def _vjp_scatter(g: Var, inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    x, updates, *indices = inputs
    own = scatter(g, zeros_like(updates), indices)
    reached = broadcast(written(x, indices), updates.shape, range(indices[0].ndim))
    return (own, select(reached, gather(g, indices), zeros_like(updates)), *[None] * len(indices))


def _jvp_of(name: str) -> Any:
    def rule(t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
        if t[0] is None and t[1] is None:
            return (None,)
        tx, tu = (zeros_like(x) if d is None else d for d, x in zip(t[:2], inputs[:2], strict=True))
        return (emit(_SCATTERS[name], tx, tu, *inputs[2:]),)

    return rule


def _batch_of(name: str) -> Any:
    def rule(inputs: Sequence[Var], batched: Sequence[bool]) -> Var:
        size = next(v.shape[0] for v, b in zip(inputs, batched, strict=True) if b)
        x, updates = (
            v if b else broadcast(v, (size, *v.shape), range(1, v.ndim + 1))
            for v, b in zip(inputs[:2], batched[:2], strict=True)
        )
        spread = _batched_indices(inputs[2:], batched[2:], size)
        return emit(_SCATTERS[name], x, updates, *spread)

    return rule


_SCATTERS: dict[str, Primitive] = {}

scatter_add_p = _SCATTERS["scatter_add"] = Primitive(
    "scatter_add",
    infer=_infer_scatter("scatter_add"),
    reference=_ref_scatter_add,
    vjp=_vjp_scatter_add,
    jvp=_jvp_of("scatter_add"),
    batch=_batch_of("scatter_add"),
    lowering=Lowering.HOST,
)

scatter_p = _SCATTERS["scatter"] = Primitive(
    "scatter",
    infer=_infer_scatter("scatter"),
    reference=_ref_scatter,
    vjp=_vjp_scatter,
    jvp=_jvp_of("scatter"),
    batch=_batch_of("scatter"),
    lowering=Lowering.HOST,
)


def scatter_add(x: Var, updates: Var, indices: Sequence[Var]) -> Var:
    """``x`` with ``updates`` added at ``indices``, in row-major order of the indices."""
    return emit(scatter_add_p, x, updates, *indices)


def scatter(x: Var, updates: Var, indices: Sequence[Var]) -> Var:
    """``x`` with ``updates`` written at ``indices``; of equal indices the last one counts."""
    return emit(scatter_p, x, updates, *indices)


# --- checks ----------------------------------------------------------------------------------


def _infer_in_range(index: TensorType, *, size: Size, name: str) -> TensorType:
    if index.dtype.kind not in ("int", "uint"):
        raise DTypeError(f"{name}: integers are needed, not {index.dtype}")
    return index


def _ref_in_range(index: np.ndarray, *, size: int, name: str) -> np.ndarray:
    bad = (index < 0) | (index >= size)
    if bad.any():
        raise OutOfBoundsError(
            f"{name}: {index[bad].reshape(-1)[0]} is not in the range from 0 to {size - 1}"
        )
    return index


in_range_p = Primitive(
    "in_range",
    infer=_infer_in_range,
    reference=_ref_in_range,
    vjp=lambda g, inputs, outputs, size, name: (None,),
    jvp=lambda t, inputs, outputs, size, name: (None,),
    batch=lambda inputs, batched, size, name: in_range(inputs[0], size, name),
    lowering=Lowering.HOST,
    sizes=("size",),
)


def in_range(index: Var, size: Size, name: str) -> Var:
    """``index``, checked when the program runs to lie in [0, size); ``name`` begins the message."""
    return emit(in_range_p, index, size=size, name=name)
