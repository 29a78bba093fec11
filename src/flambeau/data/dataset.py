"""Data sets: numbered items, or streams of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np

from flambeau.data.draws import for_each
from flambeau.data.memory import Array, IndexArray, take_rows
from flambeau.errors import OperandError, OutOfBoundsError, ShapeError
from flambeau.tensor import Tensor

T_co = TypeVar("T_co", covariant=True)
Gather = Callable[[IndexArray], Any]


class Dataset(Generic[T_co]):
    """Items with numbers: subclasses have ``__getitem__`` and ``__len__``.

    An item is an array, a number, a string, or a tuple or dict of such; ``DataLoader`` makes batches
    of them.  Lists and other sequences can be loaded from as well.

    A data set that can fetch many items at once faster than one by one also has ``gather(indices)``,
    which takes an int64 array of valid indices and returns the finished batch, as
    ``default_collate`` would make it of the items.

    Example:
        >>> import flambeau as fb
        >>> class Squares(fb.data.Dataset):
        ...     def __getitem__(self, index):
        ...         return index, index**2
        ...
        ...     def __len__(self):
        ...         return 6
        >>> for x, y in fb.data.DataLoader(Squares(), batch_size=3):
        ...     print(x, y)
        tensor([0, 1, 2]) tensor([0, 1, 4])
        tensor([3, 4, 5]) tensor([ 9, 16, 25])
    """

    gather: Gather | None = None

    def __getitem__(self, index: int) -> T_co:
        raise NotImplementedError(f"{type(self).__name__} has no __getitem__")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} has no __len__")


class IterableDataset(Generic[T_co]):
    """A stream of items: subclasses have ``__iter__``, which begins the stream anew.

    Where it has ``set_epoch``, the loader calls it with the epoch's number before each pass.  With
    worker processes every worker reads the whole stream and prepares every n-th batch of it, so the
    batches do not depend on the number of workers: let the stream yield cheap records, and do what
    takes time in the loader's ``collate_fn``.

    Example:
        >>> import flambeau as fb
        >>> class Countdown(fb.data.IterableDataset):
        ...     def __iter__(self):
        ...         return iter([3, 2, 1])
        >>> [batch.tolist() for batch in fb.data.DataLoader(Countdown(), batch_size=2)]
        [[3, 2], [1]]
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} has no __iter__")


class TensorDataset(Dataset[tuple[Any, ...]]):
    """Tensors or arrays of the same length; item i holds row i of each, as NumPy arrays.

    A loader takes each batch by one indexed gather per tensor.

    Args:
        *tensors: Tensors or NumPy arrays with the same size along the first axis.
        transform: Applied to the first of them (the images, say): called with one row, or, where it
            has a method ``batch``, as ``fb.data.transforms`` have, with all rows of a batch.

    Raises:
        ShapeError: The first axes differ, or there is none.

    Example:
        >>> import flambeau as fb
        >>> data = fb.data.TensorDataset(fb.arange(10, dtype=fb.float32), fb.arange(10) % 2)
        >>> for x, y in fb.data.DataLoader(data, batch_size=4, drop_last=True):
        ...     print(x, y)
        tensor([0., 1., 2., 3.]) tensor([0, 1, 0, 1])
        tensor([4., 5., 6., 7.]) tensor([0, 1, 0, 1])
    """

    def __init__(self, *tensors: Tensor | Array, transform: Callable[[Array], Any] | None = None) -> None:
        if not tensors:
            raise OperandError("TensorDataset: at least one tensor is needed")
        for x in tensors:
            if not isinstance(x, (Tensor, np.ndarray)):
                raise OperandError(
                    f"TensorDataset: tensors or NumPy arrays are needed, not {type(x).__name__}"
                )
        self.arrays = tuple([x.numpy() if isinstance(x, Tensor) else x for x in tensors])
        shapes = [x.shape for x in self.arrays]
        if any(not shape or shape[0] != shapes[0][0] for shape in shapes):
            listed = ", ".join(map(str, shapes))
            raise ShapeError(
                f"TensorDataset: the first axes must have the same size; the shapes are {listed}"
            )
        self.transform = transform

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        size = len(self)
        if not -size <= index < size:
            raise OutOfBoundsError(f"TensorDataset: index {index} is out of range for {size} items")
        first, *others = [x[index] for x in self.arrays]
        return (first if self.transform is None else self.transform(first), *others)

    def gather(self, indices: IndexArray) -> tuple[Any, ...]:
        """The items of ``indices`` as one batch: a new array per tensor."""
        first, *others = [take_rows(x, indices) for x in self.arrays]
        return (first if self.transform is None else transformed(self.transform, first), *others)


class Rows(Dataset[Any]):
    """A single array whose rows are the items: what a loader makes of an array."""

    def __init__(self, array: Tensor | Array) -> None:
        self.array = array.numpy() if isinstance(array, Tensor) else array
        if not self.array.ndim:
            raise ShapeError("DataLoader: an array without axes has no items")

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: int) -> Any:
        return self.array[index]

    def gather(self, indices: IndexArray) -> Array:
        """The rows of ``indices`` as a new array."""
        return take_rows(self.array, indices)


def transformed(transform: Callable[[Array], Any], rows: Array) -> Array:
    """A transform applied to every row of a batch: at once where it can do so, else one by one."""
    batch = getattr(transform, "batch", None)
    if batch is not None:
        return np.asarray(batch(rows))
    made = [np.asarray(row) for row in for_each(transform, rows)]
    return np.stack(made) if made else rows
