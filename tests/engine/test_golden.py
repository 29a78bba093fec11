"""A training run has the same bits on every instruction set, with any number of threads, compiled or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

import flambeau as fb
from flambeau.compiler import jit
from flambeau.compiler.target import Target
from flambeau.engine import executors
from flambeau.engine.native import NativeExecutor
from flambeau.runtime import native
from tests.engine.golden import GOLDEN, digest

TARGETS: dict[str, Callable[[], Target]] = {
    "avx512": Target.avx512,
    "avx512-256": lambda: Target.avx512(256),
    "avx2": Target.avx2,
    "avx2-128": lambda: Target.avx2(128),
}


@contextmanager
def generating(target: Target, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An executor of its own whose code is written for ``target``."""
    native.entries()  # the driver stays as it is
    monkeypatch.setattr(Target, "host", staticmethod(lambda: target))
    token = executors._ACTIVE.set(NativeExecutor())
    try:
        yield
    finally:
        executors._ACTIVE.reset(token)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])
def test_threads_and_compilation(threads: int, compiled: bool) -> None:
    before = fb.get_num_threads()
    fb.set_num_threads(threads)
    try:
        assert digest(compiled) == GOLDEN
    finally:
        fb.set_num_threads(before)


@pytest.mark.parametrize("name", TARGETS)
def test_instruction_sets(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Target.host()
    if host.name == "neon" or (host.name == "avx2" and name.startswith("avx512")):
        pytest.skip("this machine cannot run it")
    found = jit.counters.compiled + jit.counters.from_disk
    with generating(TARGETS[name](), monkeypatch):
        assert digest() == GOLDEN
    assert jit.counters.compiled + jit.counters.from_disk > found
