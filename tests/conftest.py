"""What all tests share: a disk cache of their own, fixed seeds, and both executors."""

from __future__ import annotations

import gc
import os
import random
import signal
from collections.abc import Iterator

import numpy as np
import pytest

import flambeau
from flambeau.compiler import cache
from flambeau.engine.executors import use_executor
from flambeau.engine.tape import THREAD, TRIE, Tape
from flambeau.graph.verifier import check_programs


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Machine code goes to a folder of this session, also in processes that tests start."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder)
    cache.set_folder(folder / "flambeau")
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> Iterator[None]:
    """Ctrl-C reaches this process and those it starts, also where a shell runs it in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def _checked() -> None:
    """Every graph and kernel that a test makes is checked against the grammar."""
    check_programs()


@pytest.fixture(scope="module", autouse=True)
def _forgotten() -> Iterator[None]:
    """What one file recorded is no burden to the next."""
    yield
    TRIE.clear()
    gc.collect()


@pytest.fixture(autouse=True)
def _start_afresh() -> None:
    """An empty recording and the same numbers from the global generators, in whatever order tests run."""
    THREAD.tape = Tape()
    random.seed(0)
    np.random.seed(0)
    flambeau.random.seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator of random numbers with a fixed seed."""
    return np.random.default_rng(0)


@pytest.fixture(params=["llvm", "reference"])
def both_executors(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test with either executor."""
    with use_executor(request.param):
        yield request.param
