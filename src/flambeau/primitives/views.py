"""Constants, changes of shape, and sums: the primitives every other rule is written with.

``broadcast`` and ``reduce_sum`` are each other's transpose, which is why they share a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.dtypes import DType, bfloat16, float16, of_number
from flambeau.errors import DTypeError, OperandError, ShapeError
from flambeau.graph.builder import Var, emit
from flambeau.graph.primitive import Lowering, NoGradient, Primitive, primitive
from flambeau.graph.types import Shape, Size, TensorType

Number = bool | int | float | complex

NO_INPUTS = NoGradient("it has no inputs")


def shape_text(shape: Sequence[Size]) -> str:
    """A shape as NumPy prints it."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def normalize_axis(axis: int, ndim: int, name: str) -> int:
    """A non-negative axis; raises ``ShapeError`` outside ``[-ndim, ndim)``."""
    if not isinstance(axis, (int, np.integer)) or isinstance(axis, bool):
        raise OperandError(f"{name}: an axis must be an integer, not {axis!r}")
    if not -ndim <= axis < ndim:
        raise ShapeError(f"{name}: axis {axis} is out of range for a tensor with {ndim} axes")
    return int(axis) % ndim


def normalize_axes(axis: int | Sequence[int] | None, ndim: int, name: str) -> tuple[int, ...]:
    """Sorted, distinct, non-negative axes; None means all."""
    if axis is None:
        return tuple(range(ndim))
    if isinstance(axis, (int, np.integer)):
        return (normalize_axis(axis, ndim, name),)
    if not isinstance(axis, (tuple, list, range, set, frozenset)):
        raise OperandError(f"{name}: an axis must be an integer, or a tuple of integers, not {axis!r}")
    axes = sorted(normalize_axis(a, ndim, name) for a in axis)
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{name}: an axis is named twice in {tuple(axis)}")
    return tuple(axes)


# --- constants -------------------------------------------------------------------------------


def _no_batch(inputs: Sequence[Var], batched: Sequence[bool], **attrs: Any) -> Any:
    raise AssertionError("a primitive without inputs is never batched")


constant_p = Primitive(
    "constant",
    infer=lambda value, dtype: TensorType((), dtype),
    reference=lambda value, dtype: np.asarray(value, dtype.numpy),
    vjp=NO_INPUTS,
    jvp=NO_INPUTS,
    batch=_no_batch,
    lowering=Lowering.ELEMENTWISE,
)


def constant(value: Number, dtype: DType | None = None) -> Var:
    """A number of the framework's own, fixed in the program."""
    dtype = dtype or of_number(value)
    if dtype.kind == "bool":
        value = bool(value)
    elif dtype.kind in ("int", "uint"):
        value = int(value)  # type: ignore[arg-type]
    elif dtype.kind == "float":
        value = float(value)  # type: ignore[arg-type]
    return emit(constant_p, value=value, dtype=dtype)


def full(shape: Shape, value: Number, dtype: DType) -> Var:
    """A tensor filled with a number of the framework's own."""
    return broadcast(constant(value, dtype), shape, ())


def zeros_like(x: Var) -> Var:
    """Zeros of the shape and dtype of ``x``."""
    return full(x.shape, 0, x.dtype)


def ones_like(x: Var) -> Var:
    """Ones of the shape and dtype of ``x``."""
    return full(x.shape, 1, x.dtype)


iota_p = Primitive(
    "iota",
    infer=lambda shape, axis, dtype: TensorType(tuple(shape), dtype),
    reference=lambda shape, axis, dtype: np.broadcast_to(
        np.arange(shape[axis])
        .astype(dtype.numpy)
        .reshape([-1 if i == axis else 1 for i in range(len(shape))]),
        shape,
    ),
    vjp=NO_INPUTS,
    jvp=NO_INPUTS,
    batch=_no_batch,
    lowering=Lowering.ELEMENTWISE,
    sizes=("shape",),
)


def iota(shape: Shape, axis: int, dtype: DType) -> Var:
    """Numbers counting up from 0 along ``axis``."""
    return emit(iota_p, shape=tuple(shape), axis=axis, dtype=dtype)


# --- broadcast and sum -----------------------------------------------------------------------


def _infer_broadcast(x: TensorType, *, shape: Shape, axes: tuple[int, ...]) -> TensorType:
    if len(axes) != x.ndim or list(axes) != sorted(set(axes)):
        raise ShapeError(
            f"broadcast: axes {axes} do not place the axes of a tensor of shape {shape_text(x.shape)}"
        )
    for n, axis in zip(x.shape, axes, strict=True):
        if axis >= len(shape) or (n != 1 and n != shape[axis]):
            raise ShapeError(
                f"broadcast: shape {shape_text(x.shape)} cannot be broadcast to {shape_text(shape)}"
            )
    return TensorType(tuple(shape), x.dtype)


def _ref_broadcast(x: np.ndarray, *, shape: tuple[int, ...], axes: tuple[int, ...]) -> np.ndarray:
    place = [1] * len(shape)
    for n, axis in zip(x.shape, axes, strict=True):
        place[axis] = n
    return np.broadcast_to(x.reshape(place), shape)


def _vjp_broadcast(
    g: Var, inputs: Sequence[Var], outputs: Sequence[Var], *, shape: Shape, axes: tuple[int, ...]
) -> Any:
    (x,) = inputs
    gone = [i for i in range(len(shape)) if i not in axes or (x.shape[axes.index(i)] == 1 and shape[i] != 1)]
    return (reshape(reduce_sum(g, gone), x.shape),)


def jvp_linear(name: str) -> Any:
    """The jvp rule of a primitive that is linear in its only input."""

    def rule(t: Sequence[Var | None], inputs: Sequence[Var], outputs: Sequence[Var], **attrs: Any) -> Any:
        return (None,) if t[0] is None else (emit(primitive(name), t[0], **attrs),)

    return rule


broadcast_p = Primitive(
    "broadcast",
    infer=_infer_broadcast,
    reference=_ref_broadcast,
    vjp=_vjp_broadcast,
    jvp=jvp_linear("broadcast"),
    batch=lambda inputs, batched, shape, axes: broadcast(
        inputs[0], (inputs[0].shape[0], *shape), (0, *[a + 1 for a in axes])
    ),
    lowering=Lowering.VIEW,
    sizes=("shape",),
)


def broadcast(x: Var, shape: Shape, axes: Sequence[int]) -> Var:
    """``x`` with its axes placed at ``axes`` of ``shape`` and repeated along all others."""
    if x.shape == tuple(shape) and tuple(axes) == tuple(range(x.ndim)):
        return x
    return emit(broadcast_p, x, shape=tuple(shape), axes=tuple(axes))


def broadcast_to(x: Var, shape: Shape, name: str = "broadcast_to") -> Var:
    """NumPy's ``broadcast_to``: axes are aligned at the right; ``name`` is what errors call it."""
    lead = len(shape) - x.ndim
    if lead < 0 or any(n != 1 and n != m for n, m in zip(x.shape, shape[lead:], strict=True)):
        raise ShapeError(f"{name}: shape {shape_text(x.shape)} cannot be broadcast to {shape_text(shape)}")
    return broadcast(x, shape, range(lead, len(shape)))


def broadcast_shapes(name: str, *shapes: Shape) -> Shape:
    """The common shape of NumPy's broadcasting; raises ``ShapeError`` where there is none."""
    ndim = max(map(len, shapes), default=0)
    out: list[Size] = [1] * ndim
    for shape in shapes:
        for i, n in enumerate(shape, ndim - len(shape)):
            if n == 1 or n == out[i]:
                continue
            if out[i] != 1:
                listed = " and ".join(shape_text(s) for s in shapes)
                raise ShapeError(
                    f"{name}: shapes {listed} cannot be broadcast together: "
                    f"sizes {out[i]} and {n} of axis {i - ndim} differ"
                )
            out[i] = n
    return tuple(out)


def _infer_sum(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    return TensorType(tuple(n for i, n in enumerate(x.shape) if i not in axes), x.dtype)


def wide(x: np.ndarray) -> np.ndarray:
    """Half-precision arrays as float32, the precision they are computed in."""
    return x.astype(np.float32) if x.dtype in (float16.numpy, bfloat16.numpy) else x


def _ref_sum(x: np.ndarray, *, axes: tuple[int, ...]) -> np.ndarray:
    return np.asarray(np.sum(wide(x), axis=axes, dtype=wide(x).dtype)).astype(x.dtype)


def _vjp_sum(g: Var, inputs: Sequence[Var], outputs: Sequence[Var], *, axes: tuple[int, ...]) -> Any:
    (x,) = inputs
    return (broadcast(g, x.shape, [i for i in range(x.ndim) if i not in axes]),)


reduce_sum_p = Primitive(
    "reduce_sum",
    infer=_infer_sum,
    reference=_ref_sum,
    vjp=_vjp_sum,
    jvp=jvp_linear("reduce_sum"),
    batch=lambda inputs, batched, axes: reduce_sum(inputs[0], [a + 1 for a in axes]),
    lowering=Lowering.REDUCE,
)


def reduce_sum(x: Var, axes: Sequence[int]) -> Var:
    """The sum over ``axes``, which disappear."""
    if not axes:
        return x
    return emit(reduce_sum_p, x, axes=tuple(axes))


# --- reshape, transpose ----------------------------------------------------------------------


def product(sizes: Sequence[Size]) -> Size:
    """The product of sizes."""
    total: Size = 1
    for n in sizes:
        total = total * n
    return total


def _infer_reshape(x: TensorType, *, shape: Shape) -> TensorType:
    if product(x.shape) != product(shape):
        raise ShapeError(
            f"reshape: a tensor of shape {shape_text(x.shape)} has {product(x.shape)} elements, "
            f"shape {shape_text(shape)} has {product(shape)}"
        )
    return TensorType(tuple(shape), x.dtype)


reshape_p = Primitive(
    "reshape",
    infer=_infer_reshape,
    reference=lambda x, shape: np.reshape(x, shape),
    vjp=lambda g, inputs, outputs, shape: (reshape(g, inputs[0].shape),),
    jvp=jvp_linear("reshape"),
    batch=lambda inputs, batched, shape: reshape(inputs[0], (inputs[0].shape[0], *shape)),
    lowering=Lowering.VIEW,
    sizes=("shape",),
)


def reshape(x: Var, shape: Shape) -> Var:
    """The same elements in row-major order under another shape."""
    return x if x.shape == tuple(shape) else emit(reshape_p, x, shape=tuple(shape))


def infer_minus_one(shape: Sequence[Size], total: Size) -> Shape:
    """``shape`` with a single -1 replaced by what is left; raises ``ShapeError`` if it does not divide."""
    shape = tuple(shape)
    unknown = [i for i, n in enumerate(shape) if isinstance(n, int) and n == -1]
    if any(isinstance(n, int) and n < -1 for n in shape) or len(unknown) > 1:
        raise ShapeError(f"reshape: {shape_text(shape)} is not a shape: at most one size may be -1")
    if not unknown:
        return shape
    rest = product([n for i, n in enumerate(shape) if i != unknown[0]])
    if rest == 0 or total % rest != 0:
        raise ShapeError(f"reshape: {total} elements do not divide into shape {shape_text(shape)}")
    return (*shape[: unknown[0]], total // rest, *shape[unknown[0] + 1 :])


def _infer_transpose(x: TensorType, *, perm: tuple[int, ...]) -> TensorType:
    if sorted(perm) != list(range(x.ndim)):
        raise ShapeError(
            f"transpose: {perm} does not order the axes of a tensor of shape {shape_text(x.shape)}"
        )
    return TensorType(tuple(x.shape[p] for p in perm), x.dtype)


def inverse(perm: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes ``perm``."""
    out = [0] * len(perm)
    for i, p in enumerate(perm):
        out[p] = i
    return tuple(out)


transpose_p = Primitive(
    "transpose",
    infer=_infer_transpose,
    reference=lambda x, perm: np.transpose(x, perm),
    vjp=lambda g, inputs, outputs, perm: (transpose(g, inverse(perm)),),
    jvp=jvp_linear("transpose"),
    batch=lambda inputs, batched, perm: transpose(inputs[0], (0, *[p + 1 for p in perm])),
    lowering=Lowering.VIEW,
)


def transpose(x: Var, perm: Sequence[int]) -> Var:
    """``x`` with its axes in the order ``perm``."""
    if tuple(perm) == tuple(range(x.ndim)):
        return x
    return emit(transpose_p, x, perm=tuple(perm))


def move_axis(x: Var, source: int, target: int) -> Var:
    """``x`` with one axis moved, the others in order."""
    perm = [i for i in range(x.ndim) if i != source]
    perm.insert(target, source)
    return transpose(x, perm)


def expand_dims(x: Var, axis: int) -> Var:
    """A new axis of size 1 at ``axis``."""
    return reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


def squeeze(x: Var, axes: Sequence[int]) -> Var:
    """``x`` without ``axes``, which must have size 1."""
    for a in axes:
        if x.shape[a] != 1:
            raise ShapeError(f"squeeze: axis {a} of shape {shape_text(x.shape)} has size {x.shape[a]}, not 1")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in axes))


def keep_dims(x: Var, shape: Shape, axes: Sequence[int]) -> Var:
    """Put back, with size 1, the ``axes`` that a reduction took from ``shape``."""
    return reshape(x, tuple(1 if i in axes else n for i, n in enumerate(shape)))


def require_float(name: str, x: Var) -> None:
    """Raise ``DTypeError`` unless ``x`` holds real floating-point numbers."""
    if not x.dtype.floating:
        raise DTypeError(f"{name}: a floating-point tensor is needed, not {x.dtype}")
