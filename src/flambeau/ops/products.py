"""Matrix products and their relatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.engine.tape import THREAD
from flambeau.errors import OperandError
from flambeau.graph.builder import Var
from flambeau.ops.record import record, refuse, tensors_of
from flambeau.primitives import array_api, contract
from flambeau.primitives import products as products_
from flambeau.tensor import Tensor


def matmul(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The matrix product: of vectors, matrices, or stacks of matrices whose leading axes broadcast.

    >>> import flambeau as fb
    >>> fb.matmul(fb.asarray([[1, 2], [3, 4]]), fb.asarray([1, 1]))
    tensor([3, 7])
    """
    return record(contract.matmul, (), x1, x2)


def matrix_transpose(x: Tensor, /) -> Tensor:
    """``x`` with its last two axes exchanged.

    >>> import flambeau as fb
    >>> fb.matrix_transpose(fb.asarray([[1, 2], [3, 4]]))
    tensor([[1, 3],
            [2, 4]])
    """
    return record(array_api.matrix_transpose, (), x)


def _pairs(axes: Any) -> Any:
    if isinstance(axes, int):
        return axes
    return tuple([tuple(a) if isinstance(a, (list, tuple)) else (a,) for a in axes])


def tensordot(x1: Tensor, x2: Tensor, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Tensor:
    """The sum of products over the last ``axes`` axes of ``x1`` and the first of ``x2``, or over named pairs.

    >>> import flambeau as fb
    >>> fb.tensordot(fb.ones((2, 3)), fb.ones((3, 4)), axes=1).shape
    (2, 4)
    """
    return record(products_.tensordot, (_pairs(axes),), x1, x2)


def vecdot(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """The inner products of vectors along ``axis``, the first conjugated; other axes broadcast.

    >>> import flambeau as fb
    >>> fb.vecdot(fb.asarray([[1, 2], [3, 4]]), fb.asarray([1, 1]))
    tensor([3, 7])
    """
    return record(products_.vecdot, (axis,), x1, x2)


def outer(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The products of every element of one vector with every element of another.

    >>> import flambeau as fb
    >>> fb.linalg.outer(fb.asarray([1, 2]), fb.asarray([3, 4]))
    tensor([[3, 4],
            [6, 8]])
    """
    return record(products_.outer, (), x1, x2)


def kron(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The Kronecker product: every element of ``x1`` times all of ``x2``, in blocks.

    >>> import flambeau as fb
    >>> fb.linalg.kron(fb.asarray([1, 2]), fb.asarray([1, 10]))
    tensor([ 1, 10,  2, 20])
    """
    return record(products_.kron, (), x1, x2)


def _einsum(*operands: Any) -> Var:
    *tensors, subscripts = operands
    return products_.einsum(subscripts, *tensors)


def einsum(subscripts: str, /, *operands: Tensor) -> Tensor:
    """Sums of products in Einstein's notation, as NumPy's: letters name axes, an ellipsis any number.

    Operands are combined in pairs, those first whose product grows least.

    >>> import flambeau as fb
    >>> fb.einsum("ij,j->i", fb.asarray([[1, 2], [3, 4]]), fb.asarray([1, 1]))
    tensor([3, 7])
    """
    if not isinstance(subscripts, str):
        refuse(
            OperandError(
                f"einsum: subscripts such as 'ij,jk->ik' come first, not {type(subscripts).__name__}"
            )
        )
    values = [x._value for x in tensors_of(operands, "einsum")]
    return Tensor(THREAD.tape.record(_einsum, (subscripts,), values))
