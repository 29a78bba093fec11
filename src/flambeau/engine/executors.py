"""Which executor runs: ``llvm`` unless told otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from flambeau.engine.executor import Executor
from flambeau.engine.reference import ReferenceExecutor
from flambeau.engine.tape import HOOKS, THREAD
from flambeau.errors import OperandError

T = TypeVar("T")

_ACTIVE: ContextVar[Executor | None] = ContextVar("flambeau_executor", default=None)


def _native() -> Executor:
    from flambeau.engine.native import NativeExecutor  # the compiler is loaded when it is first needed

    return NativeExecutor()


_MAKERS: dict[str, Callable[[], Executor]] = {"llvm": _native, "reference": ReferenceExecutor}
_MADE: dict[str, Executor] = {}
DEFAULT = "llvm"


def executor(name: str) -> Executor:
    """The executor called ``name``: "llvm" or "reference"."""
    found = _MADE.get(name)
    if found is None:
        maker = _MAKERS.get(name)
        if maker is None:
            raise OperandError(f"there is no executor called {name!r}; available: {', '.join(_MAKERS)}")
        found = _MADE.setdefault(name, maker())
    return found


def active_executor() -> Executor:
    """The executor that evaluates on this thread."""
    return _ACTIVE.get() or _MADE.get(DEFAULT) or executor(DEFAULT)


@contextmanager
def observing(watcher: Executor, sink: ContextVar[T | None], place: T) -> Iterator[None]:
    """Evaluate what the block records, and no more, with ``watcher``, which finds ``place`` in ``sink``."""
    if not THREAD.tape.abstract:
        HOOKS.evaluate(THREAD.tape)  # what came before
    active, previous = _ACTIVE.set(watcher), sink.set(place)
    try:
        yield
        if not THREAD.tape.abstract:
            HOOKS.evaluate(THREAD.tape)
    finally:
        sink.reset(previous)
        _ACTIVE.reset(active)


@contextmanager
def use_executor(name: str) -> Iterator[None]:
    """Evaluate with another executor inside a ``with`` block.

    >>> import flambeau as fb
    >>> with fb.use_executor("reference"):
    ...     print(fb.asarray([1.0, 2.0]) + 1)
    tensor([2., 3.])
    """
    token = _ACTIVE.set(executor(name))
    try:
        yield
    finally:
        _ACTIVE.reset(token)
