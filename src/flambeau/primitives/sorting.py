"""Sorting, and searching in what is sorted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.dtypes import int64
from flambeau.errors import DTypeError, ShapeError
from flambeau.graph.builder import Var, emit, emit_all
from flambeau.graph.primitive import Lowering, NoGradient, Primitive
from flambeau.graph.types import TensorType
from flambeau.primitives.gather import gather, scatter
from flambeau.primitives.indexing import with_batch_axis
from flambeau.primitives.views import iota, shape_text, wide, zeros_like


def _infer_sort(x: TensorType, *, axis: int, descending: bool, stable: bool) -> tuple[TensorType, TensorType]:
    if x.dtype.kind == "complex":
        raise DTypeError(f"sort: is not defined for {x.dtype}")
    if not 0 <= axis < x.ndim:
        raise ShapeError(f"sort: axis {axis} is out of range for a tensor with {x.ndim} axes")
    return x, TensorType(x.shape, int64)


def _ref_sort(x: np.ndarray, *, axis: int, descending: bool, stable: bool) -> tuple[np.ndarray, np.ndarray]:
    # Sorting the reversed axis and reversing the result keeps equal elements in order.
    keys = np.flip(wide(x), axis) if descending else wide(x)
    order = np.argsort(keys, axis=axis, kind="stable")
    if descending:
        order = x.shape[axis] - 1 - np.flip(order, axis)
    return np.take_along_axis(x, order, axis), order.astype(np.int64)


def along(indices: Var, axis: int) -> list[Var]:
    """An index tensor per axis that selects ``indices`` on ``axis`` and stays in place on the others."""
    return [indices if a == axis else iota(indices.shape, a, int64) for a in range(indices.ndim)]


def _vjp_sort(
    g: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var], *, axis: int, **attrs: Any
) -> Any:
    if g[0] is None:
        return (None,)
    return (scatter(zeros_like(g[0]), g[0], along(outputs[1], axis)),)


def _jvp_sort(
    t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var], *, axis: int, **attrs: Any
) -> Any:
    return (None if t[0] is None else gather(t[0], along(outputs[1], axis)), None)


sort_p = Primitive(
    "sort",
    infer=_infer_sort,
    reference=_ref_sort,
    vjp=_vjp_sort,
    jvp=_jvp_sort,
    batch=lambda inputs, batched, axis, descending, stable: sort(inputs[0], axis + 1, descending, stable),
    lowering=Lowering.HOST,
    outputs=2,
)


def sort(x: Var, axis: int, descending: bool = False, stable: bool = True) -> tuple[Var, Var]:
    """The elements in order along ``axis``, and the int64 indices they had.

    NaN counts as greater than any number: it comes last, or first when ``descending``.  Equal
    elements keep their order if ``stable``, and in the reference in any case.
    """
    values, indices = emit_all(sort_p, x, axis=axis, descending=descending, stable=stable)
    return values, indices


def argsort(x: Var, axis: int, descending: bool = False, stable: bool = True) -> Var:
    """The int64 indices that sort ``x`` along ``axis``."""
    return sort(x, axis, descending, stable)[1]


# --- searching -------------------------------------------------------------------------------


def _infer_searchsorted(table: TensorType, values: TensorType, *, side: str) -> TensorType:
    if table.ndim < 1:
        raise ShapeError("searchsorted: the sorted tensor needs at least one axis")
    if table.dtype is not values.dtype:
        raise DTypeError(f"searchsorted: dtypes {table.dtype} and {values.dtype} differ")
    if table.dtype.kind == "complex":
        raise DTypeError(f"searchsorted: is not defined for {table.dtype}")
    if values.shape[: table.ndim - 1] != table.shape[:-1]:
        raise ShapeError(
            f"searchsorted: shapes {shape_text(table.shape)} and {shape_text(values.shape)} "
            "differ in the leading axes"
        )
    return TensorType(values.shape, int64)


def _ref_searchsorted(table: np.ndarray, values: np.ndarray, *, side: Any) -> np.ndarray:
    out = np.empty(values.shape, np.int64)
    for at in np.ndindex(*table.shape[:-1]):
        out[at] = np.searchsorted(wide(table[at]), wide(values[at]), side=side)
    return out


def _batch_searchsorted(inputs: Sequence[Var], batched: Sequence[bool], *, side: str) -> Var:
    table, values = inputs
    if batched[0] or table.ndim > 1:
        table, values = with_batch_axis(inputs, batched)
    return searchsorted(table, values, side)


_POSITION = NoGradient("a position has no derivative")

searchsorted_p = Primitive(
    "searchsorted",
    infer=_infer_searchsorted,
    reference=_ref_searchsorted,
    vjp=_POSITION,
    jvp=_POSITION,
    batch=_batch_searchsorted,
    lowering=Lowering.HOST,
)


def searchsorted(table: Var, values: Var, side: str = "left") -> Var:
    """Where ``values`` would have to be inserted into the last axis of ``table`` to keep it sorted.

    ``table`` has shape ``(*lead, n)`` and ``values`` ``(*lead, *any)``; ``side`` is "left" or "right".
    """
    return emit(searchsorted_p, table, values, side=side)
