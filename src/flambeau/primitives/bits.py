"""The same bits as another dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.dtypes import DType
from flambeau.errors import DTypeError
from flambeau.graph.builder import Var, emit
from flambeau.graph.primitive import Lowering, NoGradient, Primitive
from flambeau.graph.types import TensorType

_NO_SLOPE = NoGradient("the bits of a number are no smooth function of it")


def _infer(x: TensorType, *, dtype: DType) -> TensorType:
    if x.dtype.itemsize != dtype.itemsize or "bool" in (x.dtype.kind, dtype.kind):
        raise DTypeError(f"bitcast: {x.dtype} and {dtype} do not have the same bits")
    return TensorType(x.shape, dtype)


def _reference(x: np.ndarray, *, dtype: DType) -> Any:
    return np.ascontiguousarray(x).reshape(x.shape).view(dtype.numpy)


bitcast_p = Primitive(
    "bitcast",
    infer=_infer,
    reference=_reference,
    vjp=_NO_SLOPE,
    jvp=_NO_SLOPE,
    batch=lambda inputs, batched, dtype: bitcast(inputs[0], dtype),
    lowering=Lowering.ELEMENTWISE,
)


def bitcast(x: Var, dtype: DType) -> Var:
    """The bits of ``x`` read as ``dtype``, which has the same number of bytes."""
    return x if x.dtype is dtype else emit(bitcast_p, x, dtype=dtype)
