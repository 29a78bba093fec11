"""Connectionist temporal classification: targets shorter than inputs, of unknown alignment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.dtypes import int64
from flambeau.engine.convert import from_array
from flambeau.errors import OperandError, ShapeError
from flambeau.nn.loss import Loss, record_loss, reduction_of
from flambeau.ops.record import refuse
from flambeau.primitives import ctc
from flambeau.tensor import Tensor

Lengths = Tensor | Sequence[int] | int


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Lengths,
    target_lengths: Lengths,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Minus the log probability of the target: of all ways to say it in so many steps.

    A step says a class; repetitions and blanks are left out.

    ``log_probs`` are logarithms of probabilities (steps, batch, classes), as ``log_softmax`` gives them;
    ``targets`` are classes other than ``blank``, of shape (batch, longest) or all targets one after the
    other (which needs lengths whose values are known).  Lengths are integers of shape (batch,), tensors
    or lists.  Of one sequence: (steps, classes), (length,) and numbers.

    "mean" divides each loss by the target's length first.  Where no alignment is possible the loss is
    infinite, or 0 with ``zero_infinity``; its gradient is 0 either way.

    >>> import flambeau as fb
    >>> log_probs = fb.log_softmax(fb.zeros((4, 1, 3)), axis=2)
    >>> fb.nn.functional.ctc_loss(log_probs, fb.asarray([[1, 2]]), [4], [2], reduction="sum")
    tensor(1.686399)

    Source: A. Graves et al., "Connectionist temporal classification", ICML 2006.
    """
    name = "ctc_loss"
    if not isinstance(blank, int) or isinstance(blank, bool):
        refuse(OperandError(f"{name}: blank must be the number of a class, not {blank!r}"))
    attrs = (blank, bool(zero_infinity), reduction_of(name, reduction))
    alone = isinstance(log_probs, Tensor) and log_probs.ndim == 2
    lengths = [
        _lengths(what, x, alone)
        for what, x in (("input_lengths", input_lengths), ("target_lengths", target_lengths))
    ]
    if isinstance(targets, Tensor) and targets.ndim == 1 and not alone:
        targets = _padded(targets, lengths[1])
    return record_loss(name, ctc.ctc_loss, attrs, log_probs, targets, *lengths)


def _lengths(what: str, x: Any, alone: bool) -> Tensor:
    """Lengths as a tensor, without an axis for one sequence."""
    if not isinstance(x, Tensor):
        array = np.asarray(x)
        if array.dtype.kind not in "iu" and array.size:
            refuse(OperandError(f"ctc_loss: {what} must be integers, not {x!r:.80}"))
        x = Tensor(from_array(array.astype(np.int64)))
    found: Tensor = x[0] if alone and x.shape == (1,) else x
    return found


def _padded(targets: Tensor, lengths: Tensor) -> Tensor:
    """Targets that lie one after the other, as rows of the longest one's length."""
    counts = lengths.numpy().astype(np.int64)
    if counts.ndim != 1 or (counts < 0).any() or counts.sum() != targets.shape[0]:
        refuse(
            ShapeError(
                f"ctc_loss: targets one after the other have as many elements as target_lengths together, "
                f"{counts.sum()}, not {targets.shape[0]}"
            )
        )
    starts = np.cumsum(counts) - counts
    places = starts[:, None] + np.arange(counts.max(initial=0))[None, :]
    if targets.shape[0] == 0:
        return Tensor(from_array(np.zeros((len(counts), 0), int64.numpy)))
    rows: Tensor = targets[Tensor(from_array(np.minimum(places, counts.sum() - 1)))]
    return rows


class CTCLoss(Loss):
    """``ctc_loss`` as a module."""

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__(reduction)
        self.blank = blank
        self.zero_infinity = zero_infinity

    def forward(
        self, log_probs: Tensor, targets: Tensor, input_lengths: Lengths, target_lengths: Lengths
    ) -> Tensor:
        """The loss."""
        return ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity
        )
