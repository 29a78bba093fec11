"""Capture by agreement: two recordings of one function compared, and their difference said in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flambeau.dtypes import DType
from flambeau.engine.carry import trie_path
from flambeau.engine.convert import to_numpy
from flambeau.engine.tape import Cell, Value
from flambeau.errors import CaptureError, located
from flambeau.graph.graph import freeze
from flambeau.graph.where import NOWHERE, Where
from flambeau.transforms.capture import OfTensor
from flambeau.transforms.tracing import Recording

if TYPE_CHECKING:
    from flambeau.transforms.compile import Program


def disagreement(label: str, first: Program, second: Program) -> CaptureError | None:
    """What the second recording has different from the first, as an error that names the line."""
    a, b = first.recording, second.recording
    before = f"{label}: the second call recorded something else than the first: "
    advice = "; pass what changes as an argument, or keep it in a tensor"
    old, new = trie_path(a.state), trie_path(b.state)
    position = number = 0
    for x, y in zip(old, new, strict=False):
        if x.entry != y.entry or x.recorded_grad is not y.recorded_grad:
            error = CaptureError(
                f"{before}{_entry_text(x)} at first and {_entry_text(y)} the second time{advice}"
            )
            return _at(error, b, position)
        if x.entry[0] != "leaf":
            for i in x.entry[2]:
                if isinstance(i, DType):
                    u, v = a.numbers[number], b.numbers[number]
                    number += 1
                    if u is not v and (isinstance(u, Cell) or isinstance(v, Cell) or freeze(u) != freeze(v)):
                        if isinstance(u, Cell) and isinstance(v, Cell):
                            what = "random numbers come from another generator"
                        else:
                            what = f"the number {u!r} is now {v!r}"
                        return _at(CaptureError(f"{before}{what}{advice}"), b, position)
        position += len(x.types)
    if len(old) != len(new):
        more, which = (old, "first") if len(old) > len(new) else (new, "second")
        extra = more[min(len(old), len(new))]
        error = CaptureError(f"{before}only the {which} has {_entry_text(extra)}{advice}")
        return _at(error, a if more is old else b, position)
    for u, v in zip(first.sources, second.sources, strict=True):
        different = _compare_sources(before, advice, u, v)
        if different is not None:
            return different
    kinds = [
        [(k, x if k in ("argument", "constant") else None) for k, x in p.results] for p in (first, second)
    ]
    if first.structure != second.structure or not _same_results(kinds[0], kinds[1]) or a.outputs != b.outputs:
        return CaptureError(f"{before}the results are not the same{_results_text(kinds)}{advice}")
    if [(id(c), d) for c, d in first.steps] != [(id(c), d) for c, d in second.steps]:
        return CaptureError(
            f"{before}a cell advanced by {[d for _, d in first.steps]} at first and by "
            f"{[d for _, d in second.steps]} the second time{advice}"
        )
    return None


def _compare_sources(before: str, advice: str, u: Any, v: Any) -> CaptureError | None:
    if isinstance(u, OfTensor) and isinstance(v, OfTensor):
        if u.tensor is v.tensor and type(u) is type(v):
            return None
        return CaptureError(f"{before}it closes over another tensor, {v.read().type}{advice}")
    if isinstance(u, Value) and isinstance(v, Value):
        x, y = to_numpy(u), to_numpy(v)
        if x.shape == y.shape and x.tobytes() == y.tobytes():
            return None
        return CaptureError(
            f"{before}a tensor made inside of it from Python data was {_short(x)} and is {_short(y)}{advice}"
        )
    return CaptureError(
        f"{before}a tensor that was made inside of it comes from outside now, or the other way{advice}"
    )


def _short(x: Any) -> str:
    return np.array2string(x, threshold=6, edgeitems=2, separator=", ")


def _same_results(a: Sequence[Any], b: Sequence[Any]) -> bool:
    if len(a) != len(b):
        return False
    return all(k == m and (x is y or x == y) for (k, x), (m, y) in zip(a, b, strict=True))


def _results_text(kinds: Sequence[Any]) -> str:
    for (k, x), (m, y) in zip(*kinds, strict=False):
        if k == m == "constant" and x != y:
            return f": {x!r} at first and {y!r} the second time"
    return ""


def _entry_text(state: Any) -> str:
    entry = state.entry
    if entry[0] == "leaf":
        return f"a tensor {entry[1]} from outside"
    name = getattr(entry[0], "__name__", "a gradient")
    return f"{name} giving {', '.join(map(str, state.types))}"


def _at(error: CaptureError, recording: Recording, position: int) -> CaptureError:
    found = NOWHERE
    for start, code, offset, layer in recording.places:
        if start > position:
            break
        found = Where(code, offset, layer)
    located(error, str(found))
    return error
