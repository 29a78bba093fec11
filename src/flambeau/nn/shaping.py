"""Layers that compute nothing: identity, and other shapes for the same elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.engine.tape import THREAD
from flambeau.errors import OperandError
from flambeau.nn.module import Module
from flambeau.ops.record import refuse, value_of
from flambeau.primitives import shaping
from flambeau.tensor import Tensor


class Identity(Module):
    """Gives what it is given; any arguments of the constructor are ignored.

    It stands in for a layer that is left out.

    >>> import flambeau as fb
    >>> fb.nn.Identity()(fb.asarray([1.0, 2.0]))
    tensor([1., 2.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        """The argument."""
        return x


def _axis(name: str, what: str, axis: Any) -> int:
    if isinstance(axis, bool) or not isinstance(axis, int):
        refuse(OperandError(f"{name}: {what} must be an axis, not {axis!r}"))
    return axis


class Flatten(Module):
    """The axes from ``start_dim`` to ``end_dim`` (inclusive) as one.

    >>> import flambeau as fb
    >>> fb.nn.Flatten()(fb.ones((32, 3, 4, 5))).shape
    (32, 60)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = _axis("Flatten", "start_dim", start_dim)
        self.end_dim = _axis("Flatten", "end_dim", end_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Reshape."""
        attrs = (self.start_dim, self.end_dim)
        return Tensor(THREAD.tape.record(shaping.flatten, attrs, (value_of(x, "Flatten"),)))

    def extra_repr(self) -> str:
        """The axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """The axis ``dim`` as several axes of the sizes ``unflattened_size``, one of which may be -1.

    >>> import flambeau as fb
    >>> fb.nn.Unflatten(1, (3, -1))(fb.ones((32, 60))).shape
    (32, 3, 20)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim = _axis("Unflatten", "dim", dim)
        given = isinstance(unflattened_size, (tuple, list))
        if not given or not unflattened_size or not all(isinstance(n, int) for n in unflattened_size):
            refuse(OperandError(f"Unflatten: unflattened_size must be sizes, not {unflattened_size!r}"))
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, x: Tensor) -> Tensor:
        """Reshape."""
        attrs = (self.dim, self.unflattened_size)
        return Tensor(THREAD.tape.record(shaping.unflatten, attrs, (value_of(x, "Unflatten"),)))

    def extra_repr(self) -> str:
        """The axis and the sizes."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
