"""Hooks before and after forward."""

from __future__ import annotations

import copy
from typing import Any

import flambeau as fb
from flambeau import nn


class Sum(nn.Module):
    def forward(self, x: fb.Tensor, y: Any = 0) -> fb.Tensor:
        return x + y


def test_hooks_see_and_replace() -> None:
    net, seen = Sum(), []

    def before(module: nn.Module, args: tuple[Any, ...]) -> None:
        seen.append(("before", module is net, len(args)))

    def after(module: nn.Module, args: tuple[Any, ...], output: fb.Tensor) -> None:
        seen.append(("after", module is net, output.tolist()))

    net.register_forward_pre_hook(before)
    net.register_forward_hook(after)
    assert net(fb.ones(1), 1.0).tolist() == [2.0]
    assert seen == [("before", True, 2), ("after", True, [2.0])]

    first = net.register_forward_pre_hook(lambda module, args: (args[0] * 10, args[1]))
    second = net.register_forward_hook(lambda module, args, output: output * args[0])
    assert net(fb.ones(1), 1.0).tolist() == [110.0]
    assert seen[-1] == ("after", True, [11.0])
    first.remove()
    first.remove()
    assert net(fb.ones(1), 1.0).tolist() == [2.0]
    second.remove()
    with net.register_forward_pre_hook(lambda module, args: args[0] + 5):
        assert net(fb.ones(1)).tolist() == [6.0]
    assert net(fb.ones(1), y=2).tolist() == [3.0]


def test_a_hook_may_remove_itself() -> None:
    net = Sum()
    calls = []

    def once(module: nn.Module, args: tuple[Any, ...], output: fb.Tensor) -> None:
        calls.append(output.shape)
        handle.remove()

    handle = net.register_forward_hook(once)
    net(fb.ones(2))
    net(fb.ones(2))
    assert calls == [(2,)]


def test_hooks_of_a_copy_are_its_own() -> None:
    net = Sum()
    handle = net.register_forward_hook(lambda module, args, output: output + 1)
    other = copy.deepcopy(net)
    handle.remove()
    assert net(fb.ones(1)).tolist() == [1.0]
    assert other(fb.ones(1)).tolist() == [2.0]


def test_errors_in_hooks_name_the_layer() -> None:
    net = nn.Sequential(Sum())
    net[0].register_forward_hook(lambda module, args, output: output + fb.ones(3))
    try:
        net(fb.ones(2))
    except ValueError as error:
        assert "in layer Sequential.0" in str(error)
    else:
        raise AssertionError("shapes that do not fit were added")
