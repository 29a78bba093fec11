"""Gradients kept small, and parameters as one vector."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from flambeau.dtypes import DType, default_float, float64, promote
from flambeau.engine.convert import from_array
from flambeau.engine.modes import grad_enabled
from flambeau.engine.tape import THREAD
from flambeau.errors import NonFiniteError, OperandError, ShapeError
from flambeau.graph.builder import Var
from flambeau.ops.record import refuse
from flambeau.primitives.composites import clip, sum_precision
from flambeau.primitives.elementwise import add, cast, div, minimum, mul, neg
from flambeau.primitives.indexing import concatenate
from flambeau.primitives.norms import vector_norm
from flambeau.primitives.splitting import split
from flambeau.primitives.views import expand_dims, product, reshape, shape_text
from flambeau.tensor import Tensor


def clip_by_norm(*operands: Any) -> tuple[Var, ...]:
    """The builder of the norm of all gradients and of what they are after clipping.

    Operands: the largest norm allowed, the gradients; the last one is the kind of norm.
    """
    limit, *gradients, kind = operands
    wide = gradients[0].dtype
    for g in gradients:
        wide = promote(wide, g.dtype)
    sums = sum_precision(wide)
    norms = [vector_norm(cast(g, sums), range(g.ndim), False, kind) for g in gradients]
    total = vector_norm(concatenate([expand_dims(n, 0) for n in norms], 0), (0,), False, kind)
    factor = minimum(div(cast(limit, sums), add(total, 1e-6)), 1.0)
    return (cast(total, wide), *[cast(mul(cast(g, sums), factor), g.dtype) for g in gradients])


def clip_by_value(*operands: Var) -> tuple[Var, ...]:
    """The builder of gradients limited element by element; the first operand is the limit."""
    limit, *gradients = operands
    return tuple([clip(g, neg(cast(limit, g.dtype)), cast(limit, g.dtype)) for g in gradients])


def flat(*parameters: Var) -> Var:
    """The builder of all elements in one vector."""
    return concatenate([reshape(p, (product(p.shape),)) for p in parameters], 0)


def parts(vector: Var, shapes: Any) -> tuple[Var, ...]:
    """The builder of the pieces of a vector under their shapes."""
    pieces = split(vector, [product(shape) for shape in shapes], 0)
    return tuple([reshape(piece, shape) for piece, shape in zip(pieces, shapes, strict=True)])


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale the gradients of all parameters down so that their norm together is at most ``max_norm``.

    Returns the norm before, a tensor of shape ().  ``norm_type`` may be ``math.inf``.  Nothing is
    evaluated, unless ``error_if_nonfinite``: then a norm that is NaN or infinite raises
    ``NonFiniteError``, and the gradients stay.

    >>> import flambeau as fb
    >>> p = fb.nn.Parameter(fb.zeros(2))
    >>> (p * fb.asarray([3.0, 4.0])).sum().backward()
    >>> fb.nn.utils.clip_grad_norm_([p], 1.0)
    tensor(5.)
    >>> fb.round(p.grad * 100)
    tensor([60., 80.])

    Source: Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks, 2013.
    """
    owners = _with_gradients("clip_grad_norm_", parameters)
    limit = _limit("clip_grad_norm_", "max_norm", max_norm)
    if not isinstance(norm_type, (int, float)):
        refuse(OperandError(f"clip_grad_norm_: norm_type must be a number, not {norm_type!r}"))
    if not owners:
        return Tensor(from_array(default_float.numpy.type(0)[()]))
    made = _record(clip_by_norm, (float(norm_type),), owners, limit)
    total = Tensor(made[0])
    if error_if_nonfinite and not math.isfinite(total.item()):
        refuse(NonFiniteError(f"clip_grad_norm_: the norm of the gradients is {total.item()}"))
    for p, value in zip(owners, made[1:], strict=True):
        p._grad = Tensor(value)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of the gradients to [-``clip_value``, ``clip_value``].

    >>> import flambeau as fb
    >>> p = fb.nn.Parameter(fb.zeros(2))
    >>> (p * fb.asarray([3.0, -0.5])).sum().backward()
    >>> fb.nn.utils.clip_grad_value_([p], 1.0)
    >>> p.grad
    tensor([ 1. , -0.5])
    """
    owners = _with_gradients("clip_grad_value_", parameters)
    limit = _limit("clip_grad_value_", "clip_value", clip_value)
    if owners:
        for p, value in zip(owners, _record(clip_by_value, (), owners, limit), strict=True):
            p._grad = Tensor(value)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters, one after the other, as a vector; gradients flow through.

    >>> import flambeau as fb
    >>> fb.nn.utils.parameters_to_vector([fb.ones((1, 2)), fb.zeros(3)])
    tensor([1., 1., 0., 0., 0.])
    """
    listed = _listed("parameters_to_vector", parameters)
    if not listed:
        refuse(OperandError("parameters_to_vector: at least one parameter is needed"))
    return Tensor(THREAD.tape.record(flat, (), [p._value for p in listed]))


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give parameters the values of a vector, in order.

    Raises ``ShapeError`` where their sizes do not add up to the vector's.
    """
    listed = _listed("vector_to_parameters", parameters)
    if not isinstance(vec, Tensor):
        refuse(OperandError(f"vector_to_parameters: a tensor is needed, not {type(vec).__name__}"))
    total = sum(int(p.size) for p in listed)
    if vec.shape != (total,):
        refuse(
            ShapeError(
                f"vector_to_parameters: {len(listed)} parameters of {total} elements need a vector of shape "
                f"({total},), not {shape_text(vec.shape)}"
            )
        )
    if not listed:
        return
    token = grad_enabled.set(False)
    try:
        made = THREAD.tape.record(parts, (tuple([p.shape for p in listed]),), [vec._value])
    finally:
        grad_enabled.reset(token)
    for p, value in zip(listed, made if type(made) is tuple else (made,), strict=True):
        if value.type.dtype is not p.dtype:
            value = Tensor(value).astype(p.dtype)._value
        p._rebind(value)


def _listed(name: str, parameters: Any) -> list[Tensor]:
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    for p in listed:
        if not isinstance(p, Tensor):
            refuse(OperandError(f"{name}: parameters are needed, not {type(p).__name__}"))
    return listed


def _with_gradients(name: str, parameters: Any) -> list[Tensor]:
    return [p for p in _listed(name, parameters) if p._grad is not None]


def _limit(name: str, argument: str, value: Any) -> tuple[float, DType]:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        refuse(OperandError(f"{name}: {argument} must be a number of at least 0, not {value!r}"))
    return (float(value), float64)


def _record(fn: Callable[..., Any], attrs: tuple[Any, ...], owners: list[Tensor], limit: Any) -> list[Any]:
    """Record a builder of the limit and the gradients, which has no gradient itself."""
    token = grad_enabled.set(False)
    try:
        values = [p._grad._value for p in owners if p._grad is not None]
        made = THREAD.tape.record(fn, attrs, [limit, *values])
    finally:
        grad_enabled.reset(token)
    return list(made) if type(made) is tuple else [made]
