"""``digests``: the bits of everything a function computes, to be compared with those of another run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, overload

from flambeau.engine.digests import SESSION, Digest, Session, recording
from flambeau.engine.executors import DEFAULT, observing
from flambeau.errors import OperandError, WeightsError

MARK = "flambeau digests"  # what a file of them begins with, inside of a brace and a quote
_FORMAT = 1
_WRITTEN = [f.name for f in fields(Digest) if f.name != "value"]


class Digests:
    """What was computed, in order: ``rows`` with a digest of each value, its operation, line and layer.

    ``executor`` says what computed them; ``result`` is what the function returned.  As a context
    manager it records what runs inside of the block.
    """

    def __init__(self, executor: str = DEFAULT, rows: Sequence[Digest] = ()) -> None:
        self.executor = executor
        self.rows = list(rows)
        self.result: Any = None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the digests, but no values, to a file of JSON that ``fb.diff`` reads on any machine."""
        rows = [{name: getattr(row, name) for name in _WRITTEN} for row in self.rows]
        table = {MARK: _FORMAT, "executor": self.executor, "rows": rows}
        Path(path).write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Digests:
        """Read a file that ``save`` wrote; raises ``WeightsError`` for another one."""
        try:
            table = json.loads(Path(path).read_text(encoding="utf-8"))
            if table[MARK] != _FORMAT:
                raise WeightsError(f"{path}: format {table[MARK]!r} of digests is not known, only {_FORMAT}")
            return Digests(_text(table["executor"]), [_row(row) for row in table["rows"]])
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, WeightsError):
                raise
            raise WeightsError(f"{path}: this is no file of digests: {error!r:.80}") from None

    def __repr__(self) -> str:
        count = sum(row.kind == "operation" for row in self.rows)
        return f"<digests of {count} operations by {self.executor}>"


def _text(x: Any) -> str:
    if not isinstance(x, str):
        raise TypeError(f"{x!r:.40} is no text")
    return x


def _row(table: Any) -> Digest:
    """A row of a file, whose fields are what they should be."""
    words = {name: table[name] for name in _WRITTEN}
    shape, program, position = words.pop("shape"), words.pop("program"), words.pop("position")
    if not all(isinstance(n, int) for n in (program, position, *shape)):
        raise TypeError("sizes and places must be whole numbers")
    texts: dict[str, Any] = {name: _text(x) for name, x in words.items()}
    return Digest(shape=tuple(shape), program=program, position=position, **texts)


class Recorder:
    """Records what runs inside of a block into one ``Digests`` per executor."""

    def __init__(self, made: Sequence[Digests], keep: bool) -> None:
        self.made = made
        self.executor = recording([one.executor for one in made])
        self.session = Session([one.rows for one in made], keep)

    def __enter__(self) -> Any:
        self.block = observing(self.executor, SESSION, self.session)
        self.block.__enter__()
        return self.made[0] if len(self.made) == 1 else tuple(self.made)

    def __exit__(self, *error: Any) -> None:
        self.block.__exit__(*error)


@overload
def digests(
    f: None = None, /, *, executor: str | Sequence[str] = DEFAULT, keep: bool = False
) -> Recorder: ...
@overload
def digests(
    f: Callable[..., Any], /, *args: Any, executor: str = DEFAULT, keep: bool = False, **kwargs: Any
) -> Digests: ...
@overload
def digests(
    f: Callable[..., Any], /, *args: Any, executor: Sequence[str], keep: bool = False, **kwargs: Any
) -> tuple[Digests, ...]: ...
def digests(
    f: Callable[..., Any] | None = None,
    /,
    *args: Any,
    executor: str | Sequence[str] = DEFAULT,
    keep: bool = False,
    **kwargs: Any,
) -> Any:
    """The bits of everything that ``f(*args, **kwargs)`` computes, operation by operation.

    ``fb.diff`` compares two such recordings: of two runs, two versions of a program, or, saved to
    files, of two machines.  The function runs once, as it always does (a training step updates its
    parameters); beside that its programs run in pieces, in which the value of each operation is
    looked at: what the programs read, what each operation gives, and at last what the program itself gave.
    Without a function it is a context manager that records what runs inside of the block.

    Args:
        f: What to run.
        args: Its positional arguments.
        executor: What computes: "llvm" or "reference".  A sequence such as ``("llvm", "reference")`` gives a
            recording for each: the first runs the programs, and the others compute each
            operation from the same operands, so that they can be compared one by one.
        keep: Keep the values too, so that ``fb.diff`` can tell how far apart they are; takes as much
            memory as all of them have.  Values in which two executors differ are kept anyway.
        kwargs: Its keyword arguments.

    Raises:
        OperandError: Where there is no such executor.

    Example:
        >>> import flambeau as fb
        >>> x = fb.asarray([1.0, 2.0])
        >>> found = fb.digests(lambda x: fb.sum(x * 3), x)
        >>> [row.name for row in found.rows if row.kind == "operation"]
        ['mul', 'reduce_sum']
        >>> print(fb.diff(found, fb.digests(lambda x: fb.sum(x * 3), x)))
        no difference: 2 operations, 1 input, 1 number and 1 result have the same bits
    """
    names = (executor,) if isinstance(executor, str) else tuple(executor)
    if not names or len(set(names)) < len(names):
        raise OperandError(f"digests: different executors are needed, not {executor!r}")
    recorder = Recorder([Digests(name) for name in names], keep)
    if f is None:
        return recorder
    with recorder as made:
        result = f(*args, **kwargs)
    for one in recorder.made:
        one.result = result
    return made
