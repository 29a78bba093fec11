"""What is known of a program that ran under ``fb.explain``: a row per kernel, and its memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Row:
    """A kernel (or host call, or loop) of a program.

    ``kind`` is elementwise, reduction, normalization, contraction, window, move, indexed, control or
    host; ``fused`` names the operations in it, in order.  It was written in ``layer`` (a path, or
    nothing) at ``line`` (such as ``step.py:12``, or nothing), as part of ``operation``: the function that was
    called there, or the optimizer that made a step; ``phase`` is "forward" or "backward", and
    ``gradient`` says what a contraction of the backward pass is the gradient of, where that is known.
    ``sizes`` are those of its axes, reduced ones in brackets.

    It runs ``count`` times (of a branch, or a loop without a known end: 1), and ``flops``, bytes
    ``read`` and ``written``, ``predicted`` and ``measured`` seconds are those of all these times.
    ``limit`` is what bounds the prediction: compute, issue, cache, memory or launch.  ``depth`` is
    above 0 for what is inside of a loop, which is part of the row above.
    """

    number: int
    program: int
    kind: str
    fused: tuple[str, ...]
    operation: str
    layer: str
    line: str
    phase: str
    gradient: str
    sizes: str
    count: int
    depth: int
    launches: int
    threads: int
    flops: int
    read: int
    written: int
    predicted: float
    measured: float
    limit: str

    @property
    def gap(self) -> float:
        """Seconds it takes longer than predicted; 0 for a host call, of which nothing is predicted."""
        return max(0.0, self.measured - self.predicted) if self.limit else 0.0

    @property
    def name(self) -> str:
        """What it is called in a sentence, such as ``conv2's weight gradient``."""
        what = next((f for f in self.fused if self.kind != "move"), self.kind)
        if not self.layer:
            what = self.operation or what
            what = f"gradient of {what}" if self.phase == "backward" else what
            return f"{what} ({self.line})" if self.line else what
        if self.phase == "backward":
            what = self.gradient or f"gradient ({what})"
        return f"{self.layer}'s {what}"


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a program.

    ``arena`` holds intermediate values; values in it that the forward pass makes and the backward pass
    reads have ``saved`` bytes, copies with padding or in another order ``copied``, and packed operands and
    partial results of one kernel at most ``packed``.  Weights that stay from run to run are kept packed
    beside them, ``weights`` bytes in all.  ``results`` are what it makes, of which
    ``residuals`` are kept for a gradient alone; ``in_place`` bytes of its inputs are overwritten;
    ``constants`` are kept with the program.
    """

    arena: int = 0
    saved: int = 0
    copied: int = 0
    packed: int = 0
    weights: int = 0
    results: int = 0
    residuals: int = 0
    in_place: int = 0
    constants: int = 0


@dataclass(slots=True)
class ProgramReport:
    """One program that ran, with the host calls in it."""

    rows: list[Row] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    host_calls: int = 0


def total_memory(programs: Sequence[ProgramReport]) -> Memory:
    """The largest arena with what is in it, and the sums of everything else."""
    memories = [p.memory for p in programs]
    if not memories:
        return Memory()
    return replace(
        max(memories, key=lambda m: m.arena),
        results=sum(m.results for m in memories),
        residuals=sum(m.residuals for m in memories),
        in_place=sum(m.in_place for m in memories),
        constants=sum(m.constants for m in memories),
    )
