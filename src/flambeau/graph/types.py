"""The static type of a value: shape and dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union
from weakref import WeakValueDictionary

from flambeau.dtypes import DType

if TYPE_CHECKING:
    from flambeau.graph.dims import Dim

Size = Union[int, "Dim"]
Shape = tuple[Size, ...]


_KNOWN: WeakValueDictionary[tuple[Shape, DType], TensorType] = WeakValueDictionary()


class TensorType:
    """Shape and dtype of a tensor; sizes are ``int``, or ``Dim`` while a program is exported.

    There is one object for each shape and dtype, so types are compared and hashed by identity,
    which recording does several times for every operation.
    """

    __slots__ = ("__weakref__", "dtype", "shape")

    shape: Shape
    dtype: DType

    def __new__(cls, shape: Shape, dtype: DType) -> TensorType:
        key = (shape, dtype)
        known = _KNOWN.get(key)
        if known is not None:
            return known
        made = object.__new__(cls)
        made.shape = shape
        made.dtype = dtype
        return _KNOWN.setdefault(key, made)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> Size:
        total: Size = 1
        for n in self.shape:
            total = total * n
        return total

    @property
    def nbytes(self) -> Size:
        return self.size * self.dtype.itemsize

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"

    def __reduce__(self) -> tuple[object, ...]:
        return (TensorType, (self.shape, self.dtype))
