"""Modules and parameters in lists and dictionaries."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from typing import Any

import pytest

import flambeau as fb
from flambeau import nn
from flambeau.errors import OperandError


def linears(n: int) -> list[nn.Module]:
    return [nn.Linear(i + 1, i + 2) for i in range(n)]


def test_sequential_by_name() -> None:
    net = nn.Sequential(OrderedDict(first=nn.Linear(2, 3), act=nn.ReLU(), last=nn.Linear(3, 1)))
    assert list(net.state_dict()) == ["first.weight", "first.bias", "last.weight", "last.bias"]
    assert net[1] is net.act
    assert net(fb.ones((4, 2))).shape == (4, 1)
    part = net[1:]
    assert isinstance(part, nn.Sequential) and [name for name, _ in part.named_children()] == ["act", "last"]
    assert part[1] is net.last
    del net[1]
    assert [name for name, _ in net.named_children()] == ["first", "last"]
    assert not hasattr(net, "act")


@pytest.mark.parametrize("kind", [nn.Sequential, nn.ModuleList])
def test_lists_change(kind: Any) -> None:
    a, b, c, d, e = linears(5)
    net = kind(a, b) if kind is nn.Sequential else kind([a, b])
    assert net.append(c) is net and list(net) == [a, b, c]
    net.extend([d])
    net.insert(1, e)
    assert list(net) == [a, e, b, c, d]
    assert [name for name, _ in net.named_children()] == ["0", "1", "2", "3", "4"]
    net[-1] = a
    assert list(net.named_children())[-1] == ("3", c), "a module that is there twice is listed once"
    assert net.pop(0) is a and list(net) == [e, b, c, a]
    del net[1:3]
    assert list(net) == [e, a] and list(net.state_dict())[2] == "1.weight"
    assert not hasattr(net, "2")
    assert list(net[::-1]) == [a, e] and len(net[:0]) == 0
    for copied in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert repr(copied) == repr(net) and copied[0] is not net[0]
    with pytest.raises(IndexError, match=f"{kind.__name__}: there is no module 2, only 2 of them"):
        net[2]
    with pytest.raises(OperandError, match=f"{kind.__name__}: an index or a slice is needed, not 'x'"):
        net["x"]
    with pytest.raises(OperandError, match=f"{kind.__name__}: argument 2 is 3, not a module"):
        net.append(3)


def test_equal_modules_of_a_list_are_shown_once() -> None:
    net = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2), nn.ReLU(), nn.Sequential(nn.ReLU())])
    assert repr(net) == (
        "ModuleList(\n"
        "  (0-1): 2 x Linear(2, 2, bias=True)\n"
        "  (2): ReLU()\n"
        "  (3): Sequential(\n"
        "    (0): ReLU()\n"
        "  )\n"
        ")"
    )
    assert repr(nn.ModuleList()) == "ModuleList()"
    with pytest.raises(NotImplementedError, match="ModuleList has no forward method"):
        net(1)


def test_dictionaries_of_modules() -> None:
    a, b = linears(2)
    net = nn.ModuleDict({"a": a})
    net["b"] = b
    assert list(net) == list(net.keys()) == ["a", "b"] and list(net.values()) == [a, b]
    assert "a" in net and "c" not in net and len(net) == 2 and dict(net.items()) == {"a": a, "b": b}
    assert list(net.state_dict()) == ["a.weight", "a.bias", "b.weight", "b.bias"]
    assert net.pop("a") is a and list(net) == ["b"]
    net.update([("c", a)])
    with pytest.raises(KeyError, match="ModuleDict has no module 'a', only"):
        del net["a"]
    with pytest.raises(OperandError, match="has an attribute 'keys' already, which is no module"):
        net["keys"] = a
    net.clear()
    assert not list(net.parameters())


def test_lists_of_parameters() -> None:
    net = nn.ParameterList([fb.ones(2), nn.Parameter(fb.zeros(3))])
    net.append(fb.ones((1, 1)))
    net[1] = fb.ones(4)
    assert [p.shape for p in net] == [(2,), (4,), (1, 1)] and net[-1] is net[2]
    assert all(isinstance(p, nn.Parameter) for p in net.parameters()) and list(net.state_dict()) == list(
        "012"
    )
    assert len(net[1:]) == 2 and net[1:][0] is net[1]
    assert repr(net[:1]) == "ParameterList(\n  (0): Parameter(float32[2])\n)"
    with pytest.raises(IndexError, match="ParameterList: there is no parameter 3, only 3 of them"):
        net[3]
    with pytest.raises(OperandError, match="ParameterList: a parameter or a tensor is needed, not float"):
        net.append(1.0)  # type: ignore[arg-type]


def test_dictionaries_of_parameters() -> None:
    net = nn.ParameterDict({"a": fb.ones(2)})
    net["b"] = nn.Parameter(fb.zeros(3))
    assert list(net.state_dict()) == list(net) == ["a", "b"] and "a" in net and len(net) == 2
    assert repr(net) == "ParameterDict(\n  (a): Parameter(float32[2])\n  (b): Parameter(float32[3])\n)"
    copied = copy.deepcopy(net)
    assert copied["a"] is dict(copied.named_parameters())["a"] and copied["a"] is not net["a"]
    net.pop("a")
    assert [shape for _, shape in [(n, p.shape) for n, p in net.items()]] == [(3,)]
    with pytest.raises(KeyError, match="ParameterDict has no parameter 'a', only"):
        net["a"]
