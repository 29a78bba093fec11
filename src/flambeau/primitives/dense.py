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
