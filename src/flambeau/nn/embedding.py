"""Embeddings: a learned vector for each of a set of things."""

from __future__ import annotations

from typing import Any, Self

from flambeau import random
from flambeau.dtypes import DType, default_float
from flambeau.engine.tape import THREAD
from flambeau.errors import OperandError, ShapeError
from flambeau.nn.module import Module
from flambeau.nn.norms import size_of
from flambeau.nn.parameter import Parameter
from flambeau.ops.creation import asarray
from flambeau.ops.record import refuse, to_dtype, value_of
from flambeau.primitives import embedding as builders
from flambeau.primitives.views import shape_text
from flambeau.tensor import Tensor


def _padding(name: str, index: Any, rows: Any) -> int | None:
    """The row for padding, counted from the start."""
    if index is None:
        return None
    if isinstance(index, bool) or not isinstance(index, int) or not -rows <= index < rows:
        refuse(OperandError(f"{name}: padding_idx must be the index of one of {rows} rows, not {index!r}"))
    return index % rows  # type: ignore[no-any-return]


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """The rows of ``weight`` at the indices ``input``: shape (*input.shape, features).

    No gradient flows to the row ``padding_idx``.  Raises ``IndexError`` for an index that is no row.

    >>> import flambeau as fb
    >>> table = fb.asarray([[0.0, 1.0], [2.0, 3.0]])
    >>> fb.nn.functional.embedding(fb.asarray([1, 1, 0]), table)
    tensor([[2., 3.],
            [2., 3.],
            [0., 1.]])
    """
    operands = [value_of(x, "embedding") for x in (input, weight)]
    padding = _padding("embedding", padding_idx, weight.shape[0] if weight.ndim else 0)
    return Tensor(THREAD.tape.record(builders.embedding, (padding, "embedding"), operands))


class Embedding(Module):
    """A vector of ``embedding_dim`` numbers for each index below ``num_embeddings``.

    Takes integers of any shape, gives (*shape, embedding_dim).  Vectors are drawn from a standard
    normal distribution; that of ``padding_idx`` is 0 and gets no gradient.  Raises ``IndexError``
    for an index that is out of range, and ``DTypeError`` for indices that are no integers.

    >>> import flambeau as fb
    >>> layer = fb.nn.Embedding(10, 3, padding_idx=0)
    >>> layer(fb.asarray([[1, 5], [0, 2]])).shape
    (2, 2, 3)
    >>> layer(fb.asarray(0)).tolist()
    [0.0, 0.0, 0.0]
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        dtype: DType = default_float,
    ) -> None:
        super().__init__()
        self.num_embeddings = size_of("Embedding", "num_embeddings", num_embeddings)
        self.embedding_dim = size_of("Embedding", "embedding_dim", embedding_dim)
        self.padding_idx = _padding("Embedding", padding_idx, num_embeddings)
        drawn = random.normal((num_embeddings, embedding_dim), dtype=dtype)
        if self.padding_idx is not None:
            values = drawn.numpy().copy()
            values[self.padding_idx] = 0
            drawn = asarray(values, dtype=to_dtype(dtype))
        self.weight = Parameter(drawn)

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None) -> Self:
        """A layer with the rows of ``embeddings``; trained only with ``freeze=False``.

        >>> import flambeau as fb
        >>> layer = fb.nn.Embedding.from_pretrained(fb.asarray([[1.0, 2.0], [3.0, 4.0]]))
        >>> layer(fb.asarray(1)).tolist(), layer.weight.requires_grad
        ([3.0, 4.0], False)
        """
        value = value_of(embeddings, "Embedding.from_pretrained")
        if embeddings.ndim != 2:
            refuse(
                ShapeError(
                    "Embedding.from_pretrained: a table of shape (rows, features) is needed, "
                    f"not {shape_text(value.type.shape)}"
                )
            )
        rows, features = embeddings.shape
        made = cls(int(rows), int(features), padding_idx, dtype=embeddings.dtype)
        made.weight = Parameter(embeddings.detach(), requires_grad=not freeze)
        return made

    def forward(self, indices: Tensor) -> Tensor:
        """Look up."""
        operands = (value_of(indices, "Embedding"), self.weight._value)
        return Tensor(THREAD.tape.record(builders.embedding, (self.padding_idx, "Embedding"), operands))

    def extra_repr(self) -> str:
        """The sizes."""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        return text if self.padding_idx is None else f"{text}, padding_idx={self.padding_idx}"
