"""The static type of a value: shape and dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

from flambeau.dtypes import DType

if TYPE_CHECKING:
    from flambeau.graph.dims import Dim

Size = Union[int, "Dim"]
Shape = tuple[Size, ...]


class TensorType:
    """Shape and dtype of a tensor; sizes are ``int``, or ``Dim`` while a program is exported."""

    __slots__ = ("_hash", "dtype", "shape")

    def __init__(self, shape: Shape, dtype: DType) -> None:
        self.shape = shape
        self.dtype = dtype
        self._hash = hash((shape, dtype))

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

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, TensorType) and self.dtype is other.dtype and self.shape == other.shape

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"

    def __reduce__(self) -> tuple[object, ...]:
        return (TensorType, (self.shape, self.dtype))
