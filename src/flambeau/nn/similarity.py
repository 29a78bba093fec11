"""Layers that compare vectors."""

from __future__ import annotations

from flambeau.engine.tape import THREAD
from flambeau.nn.module import Module
from flambeau.ops.record import value_of
from flambeau.primitives import similarity
from flambeau.tensor import Tensor


def _cosine(name: str, x1: Tensor, x2: Tensor, dim: int, eps: float) -> Tensor:
    operands = [value_of(x, name) for x in (x1, x2)]
    return Tensor(THREAD.tape.record(similarity.cosine_similarity, (dim, eps, name), operands))


def _distance(name: str, x1: Tensor, x2: Tensor, p: float, eps: float, keepdim: bool) -> Tensor:
    operands = [value_of(x, name) for x in (x1, x2)]
    attrs = (float(p), float(eps), keepdim, name)
    return Tensor(THREAD.tape.record(similarity.pairwise_distance, attrs, operands))


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along the axis ``dim``; lengths count as at least ``eps``.

    Raises ``ShapeError`` where the shapes do not broadcast, and ``DTypeError`` where dtypes differ.

    >>> import flambeau as fb
    >>> fb.nn.functional.cosine_similarity(fb.asarray([3.0, 0.0]), fb.asarray([5.0, 0.0]), dim=0)
    tensor(1.)
    """
    return _cosine("cosine_similarity", x1, x2, dim, float(eps))


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along the axis ``dim``; lengths count as at least ``eps``.

    >>> import flambeau as fb
    >>> fb.nn.CosineSimilarity(dim=0)(fb.asarray([3.0, 0.0]), fb.asarray([5.0, 0.0]))
    tensor(1.)
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = float(eps)

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Compare."""
        return _cosine("CosineSimilarity", x1, x2, self.dim, self.eps)

    def extra_repr(self) -> str:
        """The axis and the shortest length."""
        return f"dim={self.dim}, eps={self.eps}"


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The ``p``-norm of ``x1 - x2 + eps`` along the last axis.

    >>> import flambeau as fb
    >>> fb.nn.functional.pairwise_distance(fb.asarray([3.0, 0.0]), fb.asarray([0.0, 4.0]), eps=0.0)
    tensor(5.)
    """
    return _distance("pairwise_distance", x1, x2, p, eps, keepdim)


class PairwiseDistance(Module):
    """The ``p``-norm of ``x1 - x2 + eps`` along the last axis.

    >>> import flambeau as fb
    >>> fb.nn.PairwiseDistance(eps=0.0)(fb.asarray([3.0, 0.0]), fb.asarray([0.0, 4.0]))
    tensor(5.)
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = float(p)
        self.eps = float(eps)
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Compare."""
        return _distance("PairwiseDistance", x1, x2, self.norm, self.eps, self.keepdim)

    def extra_repr(self) -> str:
        """The norm and the options."""
        return f"p={self.norm}, eps={self.eps}, keepdim={self.keepdim}"
