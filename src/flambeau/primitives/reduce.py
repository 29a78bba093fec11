"""Reductions other than the sum: products, extrema, logic, and where the extremum is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flambeau.dtypes import DType, int64
from flambeau.errors import DTypeError, ShapeError
from flambeau.graph.builder import Var, emit
from flambeau.graph.primitive import Lowering, NoGradient, Primitive, Rule
from flambeau.graph.types import TensorType
from flambeau.primitives.elementwise import cast, div, eq, mul, select
from flambeau.primitives.views import (
    broadcast,
    full,
    iota,
    reduce_sum,
    shape_text,
    wide,
    zeros_like,
)


def _infer(name: str, kinds: Sequence[str], needs_one: bool) -> Rule:
    def infer(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
        if x.dtype.kind not in kinds:
            raise DTypeError(f"{name}: is not defined for {x.dtype}")
        for axis in axes:
            if needs_one and x.shape[axis] == 0:
                raise ShapeError(f"{name}: axis {axis} of shape {shape_text(x.shape)} is empty")
        return TensorType(tuple(n for i, n in enumerate(x.shape) if i not in axes), x.dtype)

    return infer


def _reference(function: Callable[..., Any]) -> Rule:
    def reference(x: np.ndarray, *, axes: tuple[int, ...]) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.asarray(function(wide(x), axis=axes)).astype(x.dtype)

    return reference


def _back(y: Var, x: Var, axes: Sequence[int]) -> Var:
    return broadcast(y, x.shape, [i for i in range(x.ndim) if i not in axes])


def _extremum_weights(x: Var, y: Var, axes: tuple[int, ...]) -> Var:
    """1/ties at the extrema, 0 elsewhere: tied elements share the gradient."""
    hit = cast(eq(x, _back(y, x, axes)), x.dtype)
    return div(hit, _back(reduce_sum(hit, axes), x, axes))


def _vjp_extremum(g: Var, inputs: Sequence[Var], outputs: Sequence[Var], *, axes: tuple[int, ...]) -> Any:
    (x,), (y,) = inputs, outputs
    return (mul(_back(g, x, axes), _extremum_weights(x, y, axes)),)


def _jvp_extremum(
    t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var], *, axes: tuple[int, ...]
) -> Any:
    (x,), (y,) = inputs, outputs
    return (None if t[0] is None else reduce_sum(mul(t[0], _extremum_weights(x, y, axes)), axes),)


def others_product(x: Var, axes: tuple[int, ...]) -> Var:
    """For each element the product of all others along ``axes``, right at zeros too."""
    zero = eq(x, 0)
    filled = select(zero, full(x.shape, 1, x.dtype), x)
    zeros = _back(reduce_sum(cast(zero, x.dtype), axes), x, axes)
    rest = _back(reduce_prod(filled, axes), x, axes)
    none = zeros_like(x)
    return select(eq(zeros, 0), div(rest, filled), select(eq(zeros, 1), select(zero, rest, none), none))


def _vjp_prod(g: Var, inputs: Sequence[Var], outputs: Sequence[Var], *, axes: tuple[int, ...]) -> Any:
    (x,) = inputs
    return (mul(_back(g, x, axes), others_product(x, axes)),)


def _jvp_prod(
    t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var], *, axes: tuple[int, ...]
) -> Any:
    return (None if t[0] is None else reduce_sum(mul(t[0], others_product(inputs[0], axes)), axes),)


def _batch(name: str) -> Rule:
    def rule(inputs: Sequence[Var], batched: Sequence[bool], *, axes: tuple[int, ...]) -> Any:
        return emit(_TABLE[name], inputs[0], axes=tuple(a + 1 for a in axes))

    return rule


_TABLE: dict[str, Primitive] = {}
_REAL = ("bool", "int", "uint", "float")


def _define(
    name: str,
    function: Callable[..., Any],
    kinds: Sequence[str],
    vjp: Rule | NoGradient,
    jvp: Rule | NoGradient,
    needs_one: bool,
) -> Callable[[Var, Sequence[int]], Var]:
    made = _TABLE[name] = Primitive(
        name,
        infer=_infer(name, kinds, needs_one),
        reference=_reference(function),
        vjp=vjp,
        jvp=jvp,
        batch=_batch(name),
        lowering=Lowering.REDUCE,
    )

    def build(x: Var, axes: Sequence[int]) -> Var:
        return emit(made, x, axes=tuple(axes)) if axes else x

    build.__name__ = name
    return build


_LOGIC = NoGradient("a truth value has no derivative")
reduce_max = _define("reduce_max", np.max, _REAL, _vjp_extremum, _jvp_extremum, True)
reduce_min = _define("reduce_min", np.min, _REAL, _vjp_extremum, _jvp_extremum, True)
reduce_prod = _define(
    "reduce_prod", np.prod, ("int", "uint", "float", "complex"), _vjp_prod, _jvp_prod, False
)
reduce_all = _define("reduce_all", np.all, ("bool",), _LOGIC, _LOGIC, False)
reduce_any = _define("reduce_any", np.any, ("bool",), _LOGIC, _LOGIC, False)


# --- where the extremum is -------------------------------------------------------------------


def _infer_arg(name: str) -> Rule:
    def infer(x: TensorType, *, axis: int) -> TensorType:
        if x.dtype.kind not in _REAL:
            raise DTypeError(f"{name}: is not defined for {x.dtype}")
        if x.shape[axis] == 0:
            raise ShapeError(f"{name}: axis {axis} of shape {shape_text(x.shape)} is empty")
        return TensorType(x.shape[:axis] + x.shape[axis + 1 :], int64)

    return infer


_POSITION = NoGradient("a position has no derivative")


def _define_arg(name: str, function: Callable[..., Any]) -> Callable[[Var, int], Var]:
    made = Primitive(
        name,
        infer=_infer_arg(name),
        reference=lambda x, axis: np.asarray(function(wide(x), axis=axis), dtype=np.int64),
        vjp=_POSITION,
        jvp=_POSITION,
        batch=lambda inputs, batched, axis: build(inputs[0], axis + 1),
        lowering=Lowering.HOST,
    )

    def build(x: Var, axis: int) -> Var:
        return emit(made, x, axis=axis)

    build.__name__ = name
    return build


argmax = _define_arg("argmax", np.argmax)
argmin = _define_arg("argmin", np.argmin)


def one_hot(index: Var, size: int, dtype: DType) -> Var:
    """A new last axis that is 1 at ``index`` and 0 elsewhere."""
    shape = (*index.shape, size)
    spread = broadcast(index, shape, range(index.ndim))
    return cast(eq(spread, iota(shape, index.ndim, index.dtype)), dtype)
