"""Lets these tests import what they share, and checks that each leaves the thread's tape as it was."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from flambeau.engine.modes import grad_enabled
from flambeau.engine.tape import HOOKS, THREAD


@pytest.fixture(autouse=True)
def _tape_is_restored():
    HOOKS.evaluate(THREAD.tape)  # nothing pending: what is counted depends on the test alone
    yield
    assert not THREAD.tape.abstract
    assert THREAD.tape.held == 0
    assert grad_enabled.get()
