from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import pytest

from flambeau.errors import OperandError
from flambeau.transforms.tree import flatten, map_leaves, spread


class Pair(NamedTuple):
    a: object
    b: object


@dataclass(frozen=True)
class Config:
    x: object
    y: object = None


TREE = {"p": Pair(1, [2, (3,)]), "c": Config(4), "n": None, "e": (), "o": OrderedDict(z=5)}


def test_there_and_back():
    leaves, structure = flatten(TREE)
    assert leaves == [1, 2, 3, 4, 5]
    assert structure.count == 5
    assert structure.unflatten(leaves) == TREE
    assert map_leaves(lambda x: x + 1, TREE)["p"] == Pair(2, [3, (4,)])
    assert isinstance(structure.unflatten(leaves)["o"], OrderedDict)


def test_paths():
    assert list(flatten(TREE)[1].paths()) == [
        "['p'].a",
        "['p'].b[0]",
        "['p'].b[1][0]",
        "['c'].x",
        "['o']['z']",
    ]


def test_structures_are_equal_by_what_they_are():
    assert flatten(TREE)[1] == flatten(map_leaves(str, TREE))[1]
    assert hash(flatten(TREE)[1]) == hash(flatten(map_leaves(str, TREE))[1])
    assert flatten([1])[1] != flatten((1,))[1]
    assert flatten({"a": 1})[1] != flatten({"b": 1})[1]
    assert flatten(Pair(1, 2))[1] != flatten((1, 2))[1]


def test_spread():
    assert spread("axes", 0, TREE) == [0] * 5
    assert spread("axes", (None, {"a": 1, "b": None}), ([1, 2], {"a": 3, "b": (4, 5)})) == [
        None,
        None,
        1,
        None,
        None,
    ]
    with pytest.raises(OperandError, match=r"axes: \(0, 1\) does not fit"):
        spread("axes", (0, 1), (1, 2, 3))
