"""Sizes as values: what a program computes with the length of an axis."""

from __future__ import annotations

import numpy as np

from flambeau.dtypes import DType, int64
from flambeau.graph.builder import Var, emit
from flambeau.graph.primitive import Lowering, Primitive
from flambeau.graph.types import Size, TensorType
from flambeau.primitives.views import NO_INPUTS, _no_batch, product

size_p = Primitive(
    "size",
    infer=lambda value, dtype: TensorType((), dtype),
    reference=lambda value, dtype: np.asarray(int(value)).astype(dtype.numpy),
    vjp=NO_INPUTS,
    jvp=NO_INPUTS,
    batch=_no_batch,
    lowering=Lowering.HOST,
    sizes=("value",),
)


def size_value(size: Size, dtype: DType = int64) -> Var:
    """A size as a scalar; unlike a ``constant`` it is no part of the program's structure.

    Mean and variance divide by one, so that another batch size needs no new program.
    """
    return emit(size_p, value=size, dtype=dtype)


def count(x: Var, axes: tuple[int, ...], dtype: DType) -> Var:
    """How many elements a reduction of ``x`` over ``axes`` combines, as a scalar."""
    return size_value(product([x.shape[a] for a in axes]), dtype)
