"""``diff``: the first value whose bits differ, of two runs or two sets of weights."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from flambeau.engine.digests import Digest
from flambeau.engine.gaps import Gap, digest, gap_between
from flambeau.errors import OperandError
from flambeau.graph.where import Where
from flambeau.io.checkpoint import Checkpoint, load_checkpoint
from flambeau.io.weights import load_weights
from flambeau.ops.reductions import diff as differences
from flambeau.tensor import Tensor
from flambeau.transforms.digests import MARK, Digests

_KINDS = ("operation", "input", "number", "result", "tensor", "entry")


@dataclass(frozen=True)
class Mismatch:
    """A value that is not the same in both.

    ``number`` of ``total`` is its place among those of its ``kind``: "operation", "input", "number" or
    "result" of a program, "tensor" or "entry" of a state.  ``first`` and ``second`` are what stands
    there, and one of them is None where nothing does.  ``gap`` says how far apart they are, where
    both values are known.
    """

    kind: str
    number: int
    total: int
    first: Digest | None
    second: Digest | None
    gap: Gap | None = None

    @property
    def row(self) -> Digest:
        """The one of the first, if it has one."""
        found = self.first or self.second
        assert found is not None
        return found

    @property
    def comparable(self) -> bool:
        """Whether the same operation stands at the place in both."""
        return self.first is not None and self.second is not None and _alike(self.first, self.second)

    def __str__(self) -> str:
        row = self.row
        place = f"{self.kind} {self.number} of {self.total}"
        if self.first is None or self.second is None:
            return f"{place}, {_described(row)}, is in the {'second' if self.first is None else 'first'} only"
        if not self.comparable:
            here, there = _described(self.first), _described(self.second)
            return f"{place} is {here} in the first, and {there} in the second"
        text = f"{place}, {_described(row)}"
        if self.gap is not None:
            return f"{text}: {self.gap}"
        if self.first.text or self.second.text:
            return f"{text}: {self.first.text} and {self.second.text}"
        return f"{text}: its bits differ"


class Difference:
    """What ``fb.diff`` found: true where something differs, and readable when printed.

    ``first`` is the first ``Mismatch``, or None; ``mismatches`` are all of them, up to the first
    place where the two are no longer of the same program; ``compared`` counts what was compared, by kind.
    """

    def __init__(self, mismatches: list[Mismatch], compared: dict[str, int]) -> None:
        self.mismatches = mismatches
        self.compared = compared

    @property
    def first(self) -> Mismatch | None:
        """What differs first."""
        return self.mismatches[0] if self.mismatches else None

    def __bool__(self) -> bool:
        return bool(self.mismatches)

    def __str__(self) -> str:
        counts = [_count(n, kind) for kind, n in self.compared.items() if n]
        if self.first is None:
            if not counts:
                return "no difference: there is nothing to compare"
            listed = f"{', '.join(counts[:-1])} and {counts[-1]}" if len(counts) > 1 else counts[0]
            verb = "has" if len(counts) == 1 and counts[0].startswith("1 ") else "have"
            return f"no difference: {listed} {verb} the same bits"
        lines = [f"first difference: {self.first}"]
        if self.first.kind == "result" and self.first.comparable:
            lines.append(
                "all operations before it have the same bits by themselves, so it lies in how they are fused"
            )
        if self.first.comparable and self.first.gap is None and not self.first.row.text:
            lines.append("fb.digests(..., keep=True) keeps the values too, which tells by how much")
        more = len(self.mismatches) - 1
        if more:
            known = [m for m in self.mismatches if m.gap is not None and m.gap.ulps < np.inf]
            worst = max(known, key=lambda m: m.gap.ulps if m.gap else 0.0, default=None)
            text = f"{more} more {'differs' if more == 1 else 'differ'}"
            if worst is not None and worst is not self.first:
                text += f", most: {worst}"
            lines.append(text)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<{self}>"


def _count(n: int, kind: str) -> str:
    plural = {"entry": "entries"}.get(kind, f"{kind}s")
    return f"{n} {kind if n == 1 else plural}"


def _described(row: Digest) -> str:
    place = f" {'at' if row.place == row.line else 'in'} {row.place}" if row.place else ""
    what = {
        "input": f"{'a parameter' if row.name == 'parameter' else 'an input'} first read{place}",
        "number": f"first read{place}",
        "result": f"of {row.name}{place}",
        "entry": row.name,
    }.get(row.kind, f"{row.name}{place}")
    if row.kind in ("number", "entry"):
        return what
    return f"{what}, {row.dtype} {row.shape}"


def _alike(a: Digest, b: Digest) -> bool:
    """Whether two rows are of the same operation: their bits, lines and layers may differ."""
    same = a.kind == b.kind and a.shape == b.shape and a.dtype == b.dtype
    return same and (a.name == b.name or a.kind == "input")


def diff(
    x: Any,
    other: Any = None,
    /,
    *,
    axis: int = -1,
    n: int = 1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Any:
    """Of two things: the first whose bits differ.  Of one tensor: the differences of neighbours.

    ``fb.diff(a, b)`` compares two of a kind:

    - recordings of ``fb.digests``, or files of them, from another machine for instance. It
      names the first input, operation or result whose bits differ, with its line and layer;
    - modules, state dicts, tensors, or paths of weights (``.safetensors``) and checkpoints. It names the
      first tensor, and its layer.

    Every NaN counts as the same, and 0.0 and -0.0 as different.

    ``fb.diff(x, axis=..., n=..., prepend=..., append=...)`` is the array API's: the ``n``-th differences
    of neighbours along ``axis``, after joining ``prepend`` and ``append``.

    Returns:
        A ``Difference``, which is true where something differs, has the ``first`` mismatch and prints as
        a sentence; or a tensor.

    Raises:
        OperandError: Where the two are not of a kind that can be compared.
        WeightsError: Where a file is damaged.

    Example:
        >>> import flambeau as fb
        >>> a = {"fc.weight": fb.ones((2, 3)), "fc.bias": fb.ones(2)}
        >>> b = {"fc.weight": fb.ones((2, 3)), "fc.bias": fb.asarray([1.0, 1.0 + 2**-23])}
        >>> print(fb.diff(a, a))
        no difference: 2 tensors have the same bits
        >>> found = fb.diff(a, b)
        >>> found.first.row.name, found.first.gap.count, found.first.gap.ulps
        ('fc.bias', 1, 1.0)
        >>> fb.diff(fb.asarray([1, 4, 9]))
        tensor([3, 5])
    """
    if other is None:
        return differences(x, axis=axis, n=n, prepend=prepend, append=append)
    if (axis, n, prepend, append) != (-1, 1, None, None):
        raise OperandError("diff: axis, n, prepend and append belong to the differences of one tensor")
    first, second = _opened(x), _opened(other)
    if isinstance(first, Digests) and isinstance(second, Digests):
        return _compared(_in_step(first.rows, second.rows), first.rows, second.rows)
    if isinstance(first, Digests) or isinstance(second, Digests):
        raise OperandError("diff: digests can be compared with digests only, and weights with weights")
    here, there = list(_entries(first)), list(_entries(second))
    return _compared(_by_name(here, there), here, there)


# What is compared -------------------------------------------------------------------------------

Pair = tuple[Digest | None, Digest | None]


def _in_step(a: list[Digest], b: list[Digest]) -> Iterator[Pair]:
    """The rows of two recordings, program by program, up to where these part.

    What a program is asked for may differ: of its results, those that both have are compared.
    """
    nothing: list[Digest] = []
    for own, others in zip_longest(_programs(a), _programs(b), fillvalue=nothing):
        for first, second in zip_longest(_but_results(own), _but_results(others)):
            yield first, second
            if first is None or second is None or not _alike(first, second):
                return
        results = {row.position: row for row in others if row.kind == "result"}
        for row in own:
            if row.kind == "result" and row.position in results:
                yield row, results[row.position]


def _programs(rows: list[Digest]) -> list[list[Digest]]:
    return [list(own) for _, own in groupby(rows, lambda row: row.program)]


def _but_results(rows: list[Digest]) -> list[Digest]:
    return [row for row in rows if row.kind != "result"]


def _by_name(a: list[Digest], b: list[Digest]) -> Iterator[Pair]:
    """The entries of two states: those of the first in its order, then what only the second has."""
    others = {row.name: row for row in b}
    for row in a:
        yield row, others.pop(row.name, None)
    for row in others.values():
        yield None, row


def _compared(pairs: Iterator[Pair], a: list[Digest], b: list[Digest]) -> Difference:
    places = _places(a) | _places(b)
    whole = Counter(row.kind for row in a) | Counter(row.kind for row in b)
    counts: dict[str, int] = dict.fromkeys(_KINDS, 0)
    found: list[Mismatch] = []
    for first, second in pairs:
        row = first or second
        assert row is not None
        counts[row.kind] += 1
        gap = None
        if first is not None and second is not None and _alike(first, second):
            if first.digest == second.digest:
                continue
            if first.value is not None and second.value is not None:
                gap = gap_between(first.value, second.value)
        found.append(Mismatch(row.kind, places[id(row)], whole[row.kind], first, second, gap))
    return Difference(found, counts)


def _places(rows: list[Digest]) -> dict[int, int]:
    """The place of each row among those of its kind."""
    counts: Counter[str] = Counter()
    places = {}
    for row in rows:
        counts[row.kind] += 1
        places[id(row)] = counts[row.kind]
    return places


def _opened(x: Any) -> Any:
    """Digests, or nested states."""
    if isinstance(x, (str, os.PathLike)):
        path = Path(x)
        if path.is_dir():
            return load_checkpoint(path)
        with path.open("rb") as file:
            start = file.read(len(MARK) + 8)
        return Digests.load(path) if start.startswith(b"{") and MARK.encode() in start else load_weights(path)
    if isinstance(x, (Digests, Mapping, Tensor, Checkpoint)) or hasattr(x, "state_dict"):
        return x
    kinds = "digests, modules, state dicts, tensors, or paths of files"
    raise OperandError(f"diff: {kinds} can be compared, not {type(x).__name__}")


def _entries(x: Any) -> Iterator[Digest]:
    """The leaves of a nested state, in order."""
    made: dict[str, Where] = {}
    weights: str | None = None  # what the names of weights begin with
    if hasattr(x, "named_modules"):
        made = {name: module._made for name, module in x.named_modules()}
        weights = ""
    elif isinstance(x, Checkpoint):
        parts = x._asdict()
        x = {name: parts[name] for name in ("weights", "optimizer", "state") if parts[name] is not None}
        weights = "weights."
    elif isinstance(x, Mapping):
        weights = ""
    waiting: list[tuple[str, Any]] = [("", x.state_dict() if hasattr(x, "state_dict") else x)]
    while waiting:
        name, item = waiting.pop()
        inner: list[tuple[Any, Any]] = []
        if isinstance(item, Mapping):
            inner = list(item.items())
        elif isinstance(item, (list, tuple)):
            inner = list(enumerate(item))
        elif isinstance(item, (Tensor, np.ndarray)):
            layer = ""
            if weights is not None and name.startswith(weights):
                layer = name.removeprefix(weights).rpartition(".")[0]
            yield _tensor(name or "tensor", item, layer, made.get(layer))
        else:
            yield Digest("entry", name, (), type(item).__name__, repr(item), text=repr(item))
        waiting += [(f"{name}.{key}" if name else str(key), part) for key, part in reversed(inner)]


def _tensor(name: str, item: Any, layer: str, where: Where | None) -> Digest:
    array = item.numpy() if isinstance(item, Tensor) else item
    line = f"made at {where.short}" if where is not None and where.short else ""
    dtype, bits = str(item.dtype), digest(array)
    return Digest("tensor", name, array.shape, dtype, bits, layer=layer, line=line, value=array)
