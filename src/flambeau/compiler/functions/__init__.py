"""The elementary functions, written out in arithmetic on vectors of any width.

Each takes and gives vectors of ``float`` or ``double`` and uses only IEEE additions,
multiplications, divisions, fused multiply-adds (as part of its definition, never by contraction),
comparisons and bit operations, so a lane's result depends on that lane alone and has the same bits
on every target.  Errors are at most 2 ULP in float32 over all arguments.
"""

from __future__ import annotations

from collections.abc import Callable

from flambeau.compiler.functions import (
    error,
    exponential,
    hyperbolic,
    inverse,
    logarithm,
    power,
    trigonometric,
)
from flambeau.compiler.functions.random import random_bits
from flambeau.compiler.ir import Function, Value

__all__ = ["FUNCTIONS", "emit", "random_bits"]

FUNCTIONS: dict[str, Callable[..., Value]] = {
    "exp": exponential.exp,
    "exp2": exponential.exp2,
    "expm1": exponential.expm1,
    "sigmoid": exponential.sigmoid,
    "tanh": exponential.tanh,
    "log": logarithm.log,
    "log2": logarithm.log2,
    "log1p": logarithm.log1p,
    "erf": error.erf,
    "sin": trigonometric.sin,
    "cos": trigonometric.cos,
    "pow": power.pow,
    "tan": trigonometric.tan,
    "asin": inverse.asin,
    "acos": inverse.acos,
    "atan": inverse.atan,
    "atan2": inverse.atan2,
    "sinh": hyperbolic.sinh,
    "cosh": hyperbolic.cosh,
    "asinh": hyperbolic.asinh,
    "acosh": hyperbolic.acosh,
    "atanh": hyperbolic.atanh,
    "log10": hyperbolic.log10,
    "logaddexp": hyperbolic.logaddexp,
    "hypot": hyperbolic.hypot,
}


def emit(f: Function, name: str, *args: Value) -> Value:
    """Writes the function ``name`` of vectors of ``float`` or ``double``."""
    return FUNCTIONS[name](f, *args)
