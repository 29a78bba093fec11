"""Tensors from numbers, sequences and foreign arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.devices import Device
from flambeau.dtypes import DType, bool_, default_float, from_numpy, of_number
from flambeau.engine.convert import borrow_array, from_array, from_python
from flambeau.engine.tape import THREAD, Value, leaf
from flambeau.errors import DTypeError, FlambeauError, OperandError
from flambeau.graph.builder import Var
from flambeau.graph.types import TensorType
from flambeau.ops.record import Number, dtype_or_none, on, record, refuse, to_dtype, value_of
from flambeau.primitives import array_api
from flambeau.primitives.elementwise import cast
from flambeau.primitives.views import broadcast
from flambeau.primitives.views import full as full_
from flambeau.tensor import Tensor

Place = Device | str | None


# --- from what is there ----------------------------------------------------------------------


def asarray(
    obj: Any,
    /,
    *,
    dtype: Any = None,
    device: Place = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of a number, nested sequences of numbers, an array, or a tensor.

    Python numbers become bool, int64, float32 or complex64; arrays keep their dtype.  Foreign
    memory is copied at once, because it may change and tensors do not; with ``copy=False`` the
    tensor uses the memory itself (row-major and of the same dtype, else ``ValueError``), and you
    promise not to change it.  A tensor is returned as it is unless something has to change.
    ``requires_grad`` makes the result a leaf that ``backward`` leaves gradients on.
    Raises ``OperandError`` for what holds no numbers, ``DTypeError`` where integers do not fit.

    >>> import flambeau as fb
    >>> fb.asarray([[1, 2], [3, 4]], dtype=fb.float32)
    tensor([[1., 2.],
            [3., 4.]])
    """
    on(device)
    wanted = dtype_or_none(dtype)
    if isinstance(obj, Tensor):
        result = _of_tensor(obj, wanted, copy, requires_grad)
    else:
        try:
            result = Tensor(_value(obj, wanted, copy))
        except FlambeauError as error:
            refuse(error)
    return result.requires_grad_() if requires_grad else result


def _of_tensor(x: Tensor, dtype: DType | None, copy: bool | None, own: bool) -> Tensor:
    if dtype is not None and dtype is not x.dtype:
        if copy is False:
            raise ValueError(f"asarray: {x.dtype} cannot become {dtype} without a copy")
        return x.astype(dtype)
    if own and not x.requires_grad:
        return Tensor(x._value)
    return record(array_api.same, (), x) if copy else x


def _value(obj: Any, dtype: DType | None, copy: bool | None) -> Value:
    if isinstance(obj, np.ndarray):
        return _of_array(obj, dtype, copy)
    if isinstance(obj, np.generic):
        return from_array(np.asarray(obj), dtype)
    if isinstance(obj, (bool, int, float, complex, list, tuple)):
        if copy is False:
            raise ValueError("asarray: Python numbers cannot become a tensor without a copy")
        return _fitting(
            from_python(obj, None if dtype is None or dtype.kind in ("int", "uint") else dtype), dtype
        )
    if hasattr(obj, "__dlpack__") and hasattr(obj, "__dlpack_device__"):
        return _of_array(_imported(obj), dtype, copy)
    if hasattr(obj, "__array__") or hasattr(obj, "__array_interface__"):
        return _of_array(np.asarray(obj), dtype, copy)
    try:
        view = memoryview(obj)
    except TypeError:
        raise OperandError(f"asarray: cannot make a tensor of {type(obj).__name__} {obj!r:.80}") from None
    return _of_array(np.asarray(view), dtype, copy)


def _fitting(value: Value, dtype: DType | None) -> Value:
    """Python integers in the dtype asked for; raises rather than wraps round."""
    if dtype is None or value.type.dtype is dtype:
        return value
    array = value.data.view(value.type.dtype.numpy, value.type.shape)
    if value.type.dtype.kind in ("int", "uint") and dtype.kind in ("int", "uint") and array.size:
        low, high = int(array.min()), int(array.max())
        limits = np.iinfo(dtype.numpy)
        if low < limits.min or high > limits.max:
            bad = low if low < limits.min else high
            raise DTypeError(
                f"asarray: the number {bad} does not fit {dtype} (from {limits.min} to {limits.max})"
            )
    return from_array(array, dtype)


def _of_array(array: np.ndarray, dtype: DType | None, copy: bool | None) -> Value:
    if array.dtype.kind in "OUSMmV" and array.dtype.name != "bfloat16":
        raise OperandError(f"asarray: an array of {array.dtype} holds no numbers a tensor can have")
    try:
        own = from_numpy(array.dtype)
    except TypeError as error:
        raise DTypeError(f"asarray: {error}") from None
    if copy is False:
        if dtype is not None and dtype is not own:
            raise ValueError(f"asarray: {own} cannot become {dtype} without a copy")
        return borrow_array(array)
    return from_array(array, dtype)


def _imported(x: Any) -> np.ndarray:
    """A NumPy view of an object that speaks DLPack."""
    try:
        array: np.ndarray = np.from_dlpack(x)
    except (BufferError, RuntimeError, TypeError) as error:
        raise OperandError(f"from_dlpack: {type(x).__name__} cannot be read: {error}") from None
    return array


def from_dlpack(x: Any, /, *, device: Place = None, copy: bool | None = None) -> Tensor:
    """A tensor of any array that speaks DLPack, such as NumPy's and PyTorch's.

    The memory is copied, because the other side may change it; with ``copy=False`` it is shared,
    and you promise that nobody does.  Tensors share their memory in any case unless ``copy``.

    >>> import flambeau as fb
    >>> import numpy as np
    >>> fb.from_dlpack(np.arange(3))
    tensor([0, 1, 2])
    """
    on(device)
    if isinstance(x, Tensor):
        value = _evaluated(x)
        return Tensor(from_array(x.numpy()) if copy else leaf(value.type, value.data))
    if not hasattr(x, "__dlpack__"):
        refuse(OperandError(f"from_dlpack: {type(x).__name__} does not speak DLPack"))
    try:
        return Tensor(_of_array(_imported(x), None, copy))
    except FlambeauError as error:
        refuse(error)


def _evaluated(x: Tensor) -> Value:
    x.numpy()
    return x._value


# --- filled ----------------------------------------------------------------------------------


def _filled(fill: Var, shape: Any, dtype: DType, name: str) -> Var:
    return broadcast(cast(fill, dtype), array_api.as_sizes(shape, name), ())


def _zeros(shape: Any, dtype: DType, name: str) -> Var:
    return full_(array_api.as_sizes(shape, name), 0, dtype)


def _ones(shape: Any, dtype: DType, name: str) -> Var:
    return full_(array_api.as_sizes(shape, name), 1, dtype)


def _shape(shape: Any) -> Any:
    return tuple(shape) if isinstance(shape, list) else shape


def zeros(shape: int | tuple[int, ...], *, dtype: Any = None, device: Place = None) -> Tensor:
    """Zeros, float32 unless ``dtype`` says otherwise.

    >>> import flambeau as fb
    >>> fb.zeros((2, 3))
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """
    on(device)
    return record(_zeros, (_shape(shape), default_float if dtype is None else to_dtype(dtype), "zeros"))


def ones(shape: int | tuple[int, ...], *, dtype: Any = None, device: Place = None) -> Tensor:
    """Ones, float32 unless ``dtype`` says otherwise.

    >>> import flambeau as fb
    >>> fb.ones(2, dtype=fb.int32)
    tensor([1, 1], dtype=int32)
    """
    on(device)
    return record(_ones, (_shape(shape), default_float if dtype is None else to_dtype(dtype), "ones"))


def full(
    shape: int | tuple[int, ...], fill_value: Number, *, dtype: Any = None, device: Place = None
) -> Tensor:
    """A tensor filled with one number, whose dtype it takes unless ``dtype`` is given.

    >>> import flambeau as fb
    >>> fb.full((2, 2), 7)
    tensor([[7, 7],
            [7, 7]])
    """
    on(device)
    if isinstance(fill_value, Tensor):
        target = fill_value.dtype if dtype is None else to_dtype(dtype)
        return record(_filled, (_shape(shape), target, "full"), fill_value)
    return _full(shape, fill_value, dtype_or_none(dtype), "full")


def _full(shape: Any, fill: Any, dtype: DType | None, name: str) -> Tensor:
    target = _number_dtype(fill, name) if dtype is None else dtype
    wide = _widest(fill, target, name)
    return Tensor(THREAD.tape.record(_filled, (_shape(shape), target, name), ((fill, wide),)))


def _number_dtype(x: Any, name: str) -> DType:
    try:
        return from_numpy(x.dtype) if isinstance(x, np.generic) else of_number(x)
    except TypeError:
        refuse(OperandError(f"{name}: a number is needed, not {type(x).__name__}"))


def _widest(x: Any, target: DType, name: str) -> DType:
    """The dtype a number is passed in: that of the result, once it is known that it fits."""
    kind = _number_dtype(x, name).kind
    if target.kind in ("int", "uint") and kind in ("int", "uint"):
        limits = np.iinfo(target.numpy)
        if not limits.min <= x <= limits.max:
            refuse(DTypeError(f"{name}: {x} does not fit {target} (from {limits.min} to {limits.max})"))
    if kind == "complex" and target.kind != "complex":
        refuse(DTypeError(f"{name}: the complex number {x} does not fit {target}"))
    return bool_ if kind == "bool" else target


def empty(shape: int | tuple[int, ...], *, dtype: Any = None, device: Place = None) -> Tensor:
    """A tensor whose values do not matter (zeros, so that every run is the same).

    >>> import flambeau as fb
    >>> fb.empty((2, 3)).shape
    (2, 3)
    """
    return zeros(shape, dtype=dtype, device=device)


def _like(x: Any, dtype: Any, name: str) -> tuple[Any, DType]:
    type: TensorType = value_of(x, name).type
    return type.shape, type.dtype if dtype is None else to_dtype(dtype)


def zeros_like(x: Tensor, /, *, dtype: Any = None, device: Place = None) -> Tensor:
    """Zeros of the shape and dtype of ``x``.

    >>> import flambeau as fb
    >>> fb.zeros_like(fb.asarray([1, 2]))
    tensor([0, 0])
    """
    on(device)
    return record(_zeros, (*_like(x, dtype, "zeros_like"), "zeros_like"))


def ones_like(x: Tensor, /, *, dtype: Any = None, device: Place = None) -> Tensor:
    """Ones of the shape and dtype of ``x``.

    >>> import flambeau as fb
    >>> fb.ones_like(fb.asarray([1.0, 2.0]))
    tensor([1., 1.])
    """
    on(device)
    return record(_ones, (*_like(x, dtype, "ones_like"), "ones_like"))


def full_like(x: Tensor, /, fill_value: Number, *, dtype: Any = None, device: Place = None) -> Tensor:
    """One number in the shape and dtype of ``x``.

    >>> import flambeau as fb
    >>> fb.full_like(fb.asarray([1.0, 2.0]), 7)
    tensor([7., 7.])
    """
    on(device)
    shape, target = _like(x, dtype, "full_like")
    return _full(shape, fill_value, target, "full_like")


def empty_like(x: Tensor, /, *, dtype: Any = None, device: Place = None) -> Tensor:
    """A tensor like ``x`` whose values do not matter.

    >>> import flambeau as fb
    >>> fb.empty_like(fb.asarray([1.0, 2.0])).shape
    (2,)
    """
    return zeros_like(x, dtype=dtype, device=device)
