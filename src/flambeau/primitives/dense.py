"""Builders of dense layers: one entry of a recording each."""

from __future__ import annotations

from flambeau.errors import DTypeError, ShapeError
from flambeau.graph.builder import Var
from flambeau.primitives.contract import dot_general
from flambeau.primitives.elementwise import add
from flambeau.primitives.views import shape_text


def linear(x: Var, weight: Var, *bias: Var) -> Var:
    """The builder of ``x @ weight.T + bias``."""
    if x.dtype is not weight.dtype:
        raise DTypeError(f"Linear: the input is {x.dtype}, the weights are {weight.dtype}: cast one of them")
    if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"Linear: an input of shape (..., {weight.shape[1]}) is needed, not {shape_text(x.shape)}; "
            f"the weight has shape {shape_text(weight.shape)}"
        )
    y = dot_general(x, weight, ((x.ndim - 1,), (1,)))
    return add(y, bias[0]) if bias else y


def bilinear(x1: Var, x2: Var, weight: Var, *bias: Var) -> Var:
    """``y[..., k] = x1 @ weight[k] @ x2 + bias[k]``."""
    for x in (x1, x2):
        if x.dtype is not weight.dtype:
            raise DTypeError(
                f"Bilinear: the input is {x.dtype}, the weights are {weight.dtype}: cast one of them"
            )
    first, second = weight.shape[1:]
    if not x1.ndim or not x2.ndim or (x1.shape[-1], x2.shape[-1]) != (first, second):
        raise ShapeError(
            f"Bilinear: inputs of shapes (..., {first}) and (..., {second}) are needed, "
            f"not {shape_text(x1.shape)} and {shape_text(x2.shape)}"
        )
    if x1.shape[:-1] != x2.shape[:-1]:
        raise ShapeError(
            f"Bilinear: inputs of shapes {shape_text(x1.shape)} and {shape_text(x2.shape)} "
            "do not have the same examples"
        )
    last = x1.ndim - 1
    examples = tuple(range(last))
    between = dot_general(x1, weight, ((last,), (1,)))  # (..., out, second)
    y = dot_general(between, x2, ((last + 1,), (last,)), (examples, examples))
    return add(y, bias[0]) if bias else y
