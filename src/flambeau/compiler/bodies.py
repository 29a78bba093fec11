"""The graphs that nodes of control flow hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.graph.graph import Graph, Node

CONTROL = frozenset(("scan", "cond", "while_loop"))


def bodies(node: Node) -> tuple[Graph, ...]:
    """The graphs of a node of control flow: a body; two branches; a test and a body."""
    name, attrs = node.primitive.name, node.attrs
    if name == "scan":
        return (attrs["body"],)
    return tuple(attrs["branches"]) if name == "cond" else (attrs["test"], attrs["body"])


def with_bodies(node: Node, change: Callable[[Graph], Graph]) -> dict[str, Any]:
    """The attributes of a node of control flow with each graph changed."""
    made: dict[str, Any] = dict(node.attrs)
    for key, value in node.attrs.items():
        if isinstance(value, Graph):
            made[key] = change(value)
        elif key == "branches":
            made[key] = tuple([change(branch) for branch in value])
    return made
