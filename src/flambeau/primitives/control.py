"""Primitives that steer differentiation and evaluation rather than compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.graph.builder import Var, emit, emit_all
from flambeau.graph.primitive import Effect, Lowering, Primitive
from flambeau.graph.types import TensorType
from flambeau.primitives.views import broadcast, zeros_like

stop_gradient_p = Primitive(
    "stop_gradient",
    infer=lambda x: x,
    reference=lambda x: x,
    vjp=lambda g, inputs, outputs: (None,),
    jvp=lambda t, inputs, outputs: (None,),
    batch=lambda inputs, batched: stop_gradient(inputs[0]),
    lowering=Lowering.VIEW,
)


def stop_gradient(x: Var) -> Var:
    """``x``, as a constant to differentiation."""
    return emit(stop_gradient_p, x)


fresh_p = Primitive(
    "fresh",
    infer=lambda x: x,
    reference=lambda x: x,
    vjp=lambda g, inputs, outputs: (g,),
    jvp=lambda t, inputs, outputs: tuple(t),
    batch=lambda inputs, batched: fresh(inputs[0]),
    lowering=Lowering.VIEW,
    effect=Effect.RANDOM,  # never merged with a twin
)


def fresh(x: Var) -> Var:
    """``x`` under a new identity, so that a derivative can be taken to it and not to ``x``.

    A function's argument becomes one while the function is differentiated: what the function uses
    of ``x`` otherwise, through a closure, is then constant (no confusion of perturbations), while
    derivatives of a higher order still reach ``x``.
    Source: Siskind and Pearlmutter, Perturbation Confusion and Referential Transparency, 2005.
    """
    return emit(fresh_p, x)


def _infer_barrier(*operands: TensorType) -> tuple[TensorType, ...]:
    return operands


def _reference_barrier(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    return arrays


def _vjp_barrier(g: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    return tuple(g)


def _jvp_barrier(t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var]) -> Any:
    return tuple(t)


def _batch_barrier(inputs: Sequence[Var], batched: Sequence[bool]) -> Any:
    size = next(x.shape[0] for x, b in zip(inputs, batched, strict=True) if b)
    return barrier(
        *[
            x if b else broadcast(x, (size, *x.shape), range(1, x.ndim + 1))
            for x, b in zip(inputs, batched, strict=True)
        ]
    )


barrier_p = Primitive(
    "barrier",
    infer=_infer_barrier,
    reference=_reference_barrier,
    vjp=_vjp_barrier,
    jvp=_jvp_barrier,
    batch=_batch_barrier,
    lowering=Lowering.VIEW,
    outputs=None,
)


def barrier(*operands: Var) -> tuple[Var, ...]:
    """The operands, available only together; nothing below is merged with its twin above.

    Recomputation for gradients goes behind a barrier, so that sharing equal nodes cannot undo it.
    """
    return emit_all(barrier_p, *operands)


def instantiate(g: Var | None, like: Var) -> Var:
    """``g``, or zeros where it is absent."""
    return zeros_like(like) if g is None else g
