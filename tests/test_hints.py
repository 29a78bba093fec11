"""Who writes another framework's name is told the one it has here."""

from __future__ import annotations

import copy
import pickle

import pytest

import flambeau as fb
from flambeau.hints import FUNCTIONS, METHODS


def test_functions() -> None:
    with pytest.raises(AttributeError, match=r"^module 'flambeau' has no attribute 'cat': use fb\.concat$"):
        fb.cat  # noqa: B018
    with pytest.raises(AttributeError, match=r"^module 'flambeau' has no attribute 'dog'$"):
        fb.dog  # noqa: B018
    for name, instead in FUNCTIONS.items():
        assert name not in dir(fb)
        for place in instead.split(" or "):
            found: object = fb
            for part in place.split(".")[1:]:
                found = getattr(found, part)
            assert callable(found)


def test_methods() -> None:
    x = fb.ones((2, 3))
    with pytest.raises(
        AttributeError, match=r"^'Tensor' object has no attribute 'view': use x\.reshape\(\.\.\.\)$"
    ):
        x.view(3, 2)  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"^'Tensor' object has no attribute 'shepe'$"):
        x.shepe  # type: ignore[attr-defined]  # noqa: B018
    assert [name for name in METHODS if hasattr(x, name)] == []


def test_copies_and_pickles_are_as_before() -> None:
    x = fb.asarray([1.0, 2.0])
    for twin in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert twin.tolist() == [1.0, 2.0]
