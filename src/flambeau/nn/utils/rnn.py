"""Sequences of different lengths in one tensor: padding and packing.

PyTorch's ``PackedSequence`` lays the elements of all sequences end to end, step by step.  Here it
holds the padded tensor and the lengths: recurrent layers mask inside of their loop, so other lengths
need no other program, sequences need no sorting, and every sequence keeps its place in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from flambeau.dtypes import int64
from flambeau.engine.convert import from_array
from flambeau.errors import OperandError, ShapeError
from flambeau.graph.builder import Var
from flambeau.ops.record import operand, record, record_mixed, refuse, tensors_of, value_of
from flambeau.primitives.arranging import stack
from flambeau.primitives.elementwise import cast, lt, select
from flambeau.primitives.indexing import pad_axis, slice_axis
from flambeau.primitives.views import broadcast, iota, move_axis, shape_text
from flambeau.tensor import Tensor


class PackedSequence(NamedTuple):
    """Padded sequences and their lengths, as recurrent layers take and give them.

    ``data`` has shape (steps, batch, ...), whatever ``batch_first`` of the layer says; what lies past
    a sequence's length means nothing.  ``lengths`` is int64 of shape (batch,).

    >>> import flambeau as fb
    >>> packed = fb.nn.utils.rnn.pack_sequence([fb.ones((3, 4)), fb.ones((2, 4))])
    >>> packed.data.shape, packed.lengths
    ((3, 2, 4), tensor([3, 2]))
    """

    data: Tensor
    lengths: Tensor


def _padded(*operands: Any) -> Var:
    *sequences, fill, batch_first, longest, left = operands
    rows = []
    for x in sequences:
        missing = longest - x.shape[0]
        low, high = (missing, 0) if left else (0, missing)
        rows.append(pad_axis(x, 0, low, high, cast(fill, x.dtype)))
    return stack(rows, 0 if batch_first else 1)


def pad_sequence(
    sequences: Sequence[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences of shape (steps, ...) in one tensor, padded to the longest.

    Gives (steps, batch, ...), with ``batch_first`` (batch, steps, ...).  Raises ``ShapeError`` where
    other sizes than the first differ.

    >>> import flambeau as fb
    >>> fb.nn.utils.rnn.pad_sequence([fb.asarray([1, 2, 3]), fb.asarray([4])], batch_first=True)
    tensor([[1, 2, 3],
            [4, 0, 0]])
    """
    listed = tensors_of(sequences, "pad_sequence")
    if padding_side not in ("left", "right"):
        refuse(OperandError(f"pad_sequence: padding_side must be 'left' or 'right', not {padding_side!r}"))
    first = listed[0].shape[1:]
    for x in listed:
        if x.ndim == 0 or x.shape[1:] != first:
            refuse(
                ShapeError(
                    f"pad_sequence: shapes {shape_text(listed[0].shape)} and {shape_text(x.shape)} differ "
                    "elsewhere than in the number of steps"
                )
            )
    longest = max(x.shape[0] for x in listed)
    fill = operand(padding_value, listed[0].dtype, "pad_sequence")
    values = [*[x._value for x in listed], fill]
    return record_mixed(_padded, (bool(batch_first), longest, padding_side == "left"), values)


def _time_first(x: Var, batch_first: bool, steps: int) -> Var:
    return slice_axis(move_axis(x, 0, 1) if batch_first else x, 0, 0, steps)


def _numbers(lengths: Any, name: str) -> np.ndarray:
    if isinstance(lengths, Tensor):
        lengths = lengths.numpy()
    try:
        array = np.asarray(lengths)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        refuse(OperandError(f"{name}: lengths must be integers, one for each sequence, not {lengths!r:.80}"))
    return array.astype(np.int64)


def pack_padded_sequence(
    input: Tensor,
    lengths: Tensor | Sequence[int],
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """A padded batch of shape (steps, batch, ...) with the lengths of its sequences.

    With ``batch_first`` the input is (batch, steps, ...).  Steps beyond the longest sequence are cut
    off, which looks at ``lengths``; where that cannot be, pass ``lengths=`` to the layer instead.
    Raises ``OperandError`` unless there is one length for each sequence, each from 1 to the number of
    steps, and, with ``enforce_sorted``, from the longest to the shortest: an order that PyTorch needs
    and this package does not, so pass False.

    >>> import flambeau as fb
    >>> packed = fb.nn.utils.rnn.pack_padded_sequence(fb.ones((5, 2, 4)), [3, 2])
    >>> packed.data.shape
    (3, 2, 4)
    """
    name = "pack_padded_sequence"
    value = value_of(input, name)
    if len(value.type.shape) < 2:
        refuse(
            ShapeError(
                f"{name}: a batch of sequences is needed, not a tensor of shape {shape_text(input.shape)}"
            )
        )
    array = _numbers(lengths, name)
    batch, steps = input.shape[:2] if batch_first else input.shape[1::-1]
    if array.size != batch:
        refuse(ShapeError(f"{name}: {array.size} lengths for {batch} sequences"))
    if array.size == 0 or array.min() < 1 or array.max() > steps:
        refuse(OperandError(f"{name}: lengths must lie from 1 to {steps}, not {array.tolist()}"))
    if enforce_sorted and (np.diff(array) > 0).any():
        refuse(
            OperandError(
                f"{name}: lengths {array.tolist()} do not fall from the longest to the shortest: "
                "sort them or pass enforce_sorted=False"
            )
        )
    data = record(_time_first, (bool(batch_first), int(array.max())), input)
    return PackedSequence(data, Tensor(from_array(array)))


def _refilled(data: Var, lengths: Var, fill: Var, batch_first: bool, steps: int) -> Var:
    known, batch = data.shape[:2]
    valid = lt(iota((known, batch), 0, int64), broadcast(lengths, (known, batch), (1,)))
    fill = cast(fill, data.dtype)
    data = select(broadcast(valid, data.shape, (0, 1)), data, fill)
    data = pad_axis(data, 0, 0, steps - known, fill)
    return move_axis(data, 0, 1) if batch_first else data


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The padded batch of a ``PackedSequence``, with ``padding_value`` past each length, and the lengths.

    Gives (steps, batch, ...), with ``batch_first`` (batch, steps, ...); ``total_length`` is how many
    steps there shall be, at least as many as the longest sequence has.

    >>> import flambeau as fb
    >>> rnn = fb.nn.utils.rnn
    >>> packed = rnn.pack_padded_sequence(fb.ones((2, 3)), [2, 1], batch_first=True)
    >>> rnn.pad_packed_sequence(packed, batch_first=True, padding_value=-1.0)
    (tensor([[ 1.,  1.],
            [ 1., -1.]]), tensor([2, 1]))
    """
    if not isinstance(sequence, PackedSequence):
        refuse(
            OperandError(f"pad_packed_sequence: a PackedSequence is needed, not {type(sequence).__name__}")
        )
    data, lengths = sequence
    steps: Any = data.shape[0]
    if total_length is not None:
        if not isinstance(total_length, int) or total_length < steps:
            refuse(
                OperandError(
                    f"pad_packed_sequence: total_length must be at least the longest length, {steps}, "
                    f"not {total_length!r}"
                )
            )
        steps = total_length
    fill = operand(padding_value, data.dtype, "pad_packed_sequence")
    values = [data._value, lengths._value, fill]
    return record_mixed(_refilled, (bool(batch_first), steps), values), lengths


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences of shape (steps, ...) as a ``PackedSequence``; see ``pack_padded_sequence``.

    >>> import flambeau as fb
    >>> fb.nn.utils.rnn.pack_sequence([fb.ones((3, 4)), fb.ones((1, 4))]).lengths
    tensor([3, 1])
    """
    listed = tensors_of(sequences, "pack_sequence")
    padded = pad_sequence(listed)
    return pack_padded_sequence(padded, [x.shape[0] for x in listed], enforce_sorted=enforce_sorted)
