"""Contractions: ``dot_general``, of which every matrix product is a case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.dtypes import DType
from flambeau.errors import DTypeError, ShapeError
from flambeau.graph.builder import Var, emit
from flambeau.graph.primitive import Lowering, Primitive
from flambeau.graph.types import TensorType
from flambeau.primitives.elementwise import add, cast, harmonize_dtypes
from flambeau.primitives.views import broadcast, broadcast_shapes, inverse, shape_text, transpose, wide

Axes = tuple[int, ...]
AxisPairs = tuple[Axes, Axes]


def _free(ndim: int, *used: Sequence[int]) -> list[int]:
    taken = {a for axes in used for a in axes}
    return [i for i in range(ndim) if i not in taken]


def _infer(
    x: TensorType, y: TensorType, *, contract: AxisPairs, batch: AxisPairs, accumulate: DType | None
) -> TensorType:
    if x.dtype is not y.dtype:
        raise DTypeError(f"matmul: dtypes {x.dtype} and {y.dtype} differ")
    if x.dtype.kind == "bool":
        raise DTypeError("matmul: is not defined for bool")
    for (xs, ys), what in ((contract, "contracted"), (batch, "batch")):
        for a, b in zip(xs, ys, strict=True):
            if x.shape[a] != y.shape[b]:
                raise ShapeError(
                    f"matmul: shapes {shape_text(x.shape)} and {shape_text(y.shape)} do not fit: "
                    f"{what} sizes {x.shape[a]} and {y.shape[b]} differ"
                )
    out = [x.shape[a] for a in batch[0]]
    out += [x.shape[a] for a in _free(x.ndim, contract[0], batch[0])]
    out += [y.shape[a] for a in _free(y.ndim, contract[1], batch[1])]
    return TensorType(tuple(out), accumulate or x.dtype)


def _reference(
    x: np.ndarray, y: np.ndarray, *, contract: AxisPairs, batch: AxisPairs, accumulate: DType | None
) -> np.ndarray:
    out = accumulate.numpy if accumulate else x.dtype
    x, y = (wide(v) if accumulate is None else v.astype(accumulate.numpy) for v in (x, y))
    xf, yf = _free(x.ndim, contract[0], batch[0]), _free(y.ndim, contract[1], batch[1])
    xt = x.transpose([*batch[0], *xf, *contract[0]])
    yt = y.transpose([*batch[1], *contract[1], *yf])
    nb, nc = len(batch[0]), len(contract[0])
    lead = xt.shape[:nb]
    m, n = xt.shape[nb : nb + len(xf)], yt.shape[nb + nc :]
    k = int(np.prod(xt.shape[nb + len(xf) :], dtype=np.int64))
    rows, cols = int(np.prod(m, dtype=np.int64)), int(np.prod(n, dtype=np.int64))
    with np.errstate(all="ignore"):
        z = np.matmul(xt.reshape((*lead, rows, k)), yt.reshape((*lead, k, cols)))
    return np.asarray(z.reshape((*lead, *m, *n)), dtype=out)


def _transpose_rule(g: Var, x: Var, y: Var, contract: AxisPairs, batch: AxisPairs, left: bool) -> Var:
    """The cotangent of one operand: contract ``g`` with the other, put the axes back in place."""
    nb = len(batch[0])
    xf, yf = _free(x.ndim, contract[0], batch[0]), _free(y.ndim, contract[1], batch[1])
    own, other = (x, y) if left else (y, x)
    own_contract, other_contract = contract if left else contract[::-1]
    own_batch, other_batch = batch if left else batch[::-1]
    own_free, other_free = (xf, yf) if left else (yf, xf)
    start = nb + len(xf) if left else nb
    g_other = tuple(range(start, start + len(other_free)))
    g_batch = tuple(range(nb))
    # Results of dot_general come as (batch, free axes of g = own_free, free axes of other = own_contract),
    # the latter ordered as they lie in the other operand; with the operands exchanged, the other way round.
    order = sorted(range(len(other_contract)), key=lambda i: other_contract[i])
    ordered = [own_contract[i] for i in order]
    out_axes = [*own_batch, *ordered, *own_free]
    if out_axes == list(range(own.ndim)):  # nothing has to be transposed
        return cast(dot_general(other, g, (tuple(other_free), g_other), (other_batch, g_batch)), own.dtype)
    out_axes = [*own_batch, *own_free, *ordered]
    z = dot_general(g, other, (g_other, tuple(other_free)), (g_batch, other_batch))
    return cast(transpose(z, inverse(out_axes)), own.dtype)


def _vjp(
    g: Var,
    inputs: Sequence[Var],
    outputs: Sequence[Var],
    *,
    contract: AxisPairs,
    batch: AxisPairs,
    accumulate: Any,
) -> Any:
    x, y = inputs
    g = cast(g, x.dtype)
    return (
        _transpose_rule(g, x, y, contract, batch, left=True),
        _transpose_rule(g, x, y, contract, batch, left=False),
    )


def _jvp(t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var], **attrs: Any) -> Any:
    x, y = inputs
    terms = []
    if t[0] is not None:
        terms.append(emit(dot_general_p, t[0], y, **attrs))
    if t[1] is not None:
        terms.append(emit(dot_general_p, x, t[1], **attrs))
    if not terms:
        return (None,)
    return (terms[0] if len(terms) == 1 else add(terms[0], terms[1]),)


def _shift(axes: Axes, by: int) -> Axes:
    return tuple(a + by for a in axes)


def _batch(
    inputs: Sequence[Var],
    batched: Sequence[bool],
    *,
    contract: AxisPairs,
    batch: AxisPairs,
    accumulate: DType | None,
) -> Any:
    x, y = inputs
    bx, by = batched
    contract = (_shift(contract[0], bx), _shift(contract[1], by))
    batch = (_shift(batch[0], bx), _shift(batch[1], by))
    if bx and by:
        return dot_general(x, y, contract, ((0, *batch[0]), (0, *batch[1])), accumulate)
    z = dot_general(x, y, contract, batch, accumulate)
    nb = len(batch[0])
    # the batched axis is the first free axis of the operand that has it
    at = nb if bx else nb + len(_free(x.ndim, contract[0], batch[0]))
    return transpose(z, (at, *[i for i in range(z.ndim) if i != at]))


dot_general_p = Primitive(
    "dot_general",
    infer=_infer,
    reference=_reference,
    vjp=_vjp,
    jvp=_jvp,
    batch=_batch,
    lowering=Lowering.CONTRACT,
)


def dot_general(
    x: Var, y: Var, contract: AxisPairs, batch: AxisPairs = ((), ()), accumulate: DType | None = None
) -> Var:
    """Multiply and sum over the ``contract`` axes, aligned on the ``batch`` axes.

    The result has the batch axes, then the free axes of ``x``, then those of ``y``, and the dtype
    ``accumulate`` where that is given.
    """
    return emit(
        dot_general_p,
        x,
        y,
        contract=(tuple(contract[0]), tuple(contract[1])),
        batch=(tuple(batch[0]), tuple(batch[1])),
        accumulate=accumulate,
    )


def matmul(x: Var, y: Var) -> Var:
    """NumPy's ``matmul``: vectors, matrices, and stacks of matrices with broadcasting."""
    x, y = harmonize_dtypes("matmul", x, y)
    if x.ndim == 0 or y.ndim == 0:
        raise ShapeError(
            f"matmul: shapes {shape_text(x.shape)} and {shape_text(y.shape)}: "
            "both operands need at least one axis"
        )
    if x.ndim <= 2 and y.ndim <= 2:
        return dot_general(x, y, ((x.ndim - 1,), (0,)))
    if y.ndim <= 2:  # one matrix for the whole stack: a plain product with more rows
        return dot_general(x, y, ((x.ndim - 1,), (0,)))
    if x.ndim == 1:
        return dot_general(x, y, ((0,), (y.ndim - 2,)))
    if x.ndim == 2:
        z = dot_general(x, y, ((1,), (y.ndim - 2,)))  # (rows, ...batch, cols)
        return transpose(z, (*range(1, z.ndim - 1), 0, z.ndim - 1))
    try:
        lead = broadcast_shapes("matmul", x.shape[:-2], y.shape[:-2])
    except ShapeError:
        raise ShapeError(
            f"matmul: the leading axes of shapes {shape_text(x.shape)} and {shape_text(y.shape)} "
            "cannot be broadcast together"
        ) from None
    n = len(lead)

    def align(v: Var) -> Var:
        shape = (*lead, *v.shape[-2:])
        return broadcast(v, shape, range(len(shape) - v.ndim, len(shape)))

    x, y = align(x), align(y)
    axes = tuple(range(n))
    return dot_general(x, y, ((n + 1,), (n,)), (axes, axes))
