"""Trees of containers: the arguments and results of functions as lists of leaves, and back.

Containers are tuples, named tuples, lists, dicts and dataclasses; None holds nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flambeau.errors import OperandError


class Structure:
    """The containers of a tree without its leaves; equal and hashable by what they are."""

    __slots__ = ("_hash", "children", "count", "keys", "kind")

    def __init__(self, kind: Any, keys: tuple[Any, ...], children: tuple[Structure, ...]) -> None:
        self.kind = kind  # "leaf", None, or the container's type
        self.keys = keys
        self.children = children
        self.count: int = 1 if kind == "leaf" else sum(c.count for c in children)
        self._hash = hash((kind, keys, children))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Structure)
            and self._hash == other._hash
            and self.kind == other.kind
            and self.keys == other.keys
            and self.children == other.children
        )

    def __repr__(self) -> str:
        if self.kind == "leaf":
            return "*"
        if self.kind is None:
            return "None"
        inner = ", ".join(f"{k}: {c!r}" for k, c in zip(self.keys, self.children, strict=True))
        return f"{self.kind.__name__}({inner})"

    def paths(self, prefix: str = "") -> Iterator[str]:
        """How each leaf is reached, such as ``[0]['weight']``."""
        if self.kind == "leaf":
            yield prefix
            return
        for key, child in zip(self.keys, self.children, strict=True):
            named = dataclasses.is_dataclass(self.kind) or hasattr(self.kind, "_fields")
            yield from child.paths(f"{prefix}.{key}" if named else f"{prefix}[{key!r}]")

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """The tree with these leaves."""
        if self.kind == "leaf":
            return leaves[0]
        it = iter(leaves)
        made = _build(self, it)
        return made


LEAF = Structure("leaf", (), ())
NONE = Structure(None, (), ())


def _build(structure: Structure, leaves: Iterator[Any]) -> Any:
    kind = structure.kind
    if kind == "leaf":
        return next(leaves)
    if kind is None:
        return None
    items = [_build(c, leaves) for c in structure.children]
    if issubclass(kind, dict):
        return (
            dict(zip(structure.keys, items, strict=True))
            if kind is dict
            else kind(zip(structure.keys, items, strict=True))
        )
    if hasattr(kind, "_fields"):
        return kind(*items)
    if dataclasses.is_dataclass(kind):
        made: Any = object.__new__(kind)  # type: ignore[arg-type]
        for key, item in zip(structure.keys, items, strict=True):
            object.__setattr__(made, key, item)
        return made
    return kind(items)


def _parts(tree: Any) -> tuple[tuple[Any, ...], list[Any]] | None:
    """The keys and items of a container, or None for a leaf."""
    if isinstance(tree, dict):
        return tuple(tree), list(tree.values())
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return tuple(tree._fields), list(tree)
    if type(tree) in (tuple, list):
        return tuple(range(len(tree))), list(tree)
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        names = tuple([f.name for f in dataclasses.fields(tree)])
        return names, [getattr(tree, n) for n in names]
    return None


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves in order, and the structure that holds them."""
    leaves: list[Any] = []
    structure = _flatten(tree, leaves)
    return leaves, structure


def _flatten(tree: Any, leaves: list[Any]) -> Structure:
    if tree is None:
        return NONE
    parts = _parts(tree)
    if parts is None:
        leaves.append(tree)
        return LEAF
    keys, items = parts
    return Structure(type(tree), keys, tuple([_flatten(item, leaves) for item in items]))


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with ``function`` applied to each leaf."""
    leaves, structure = flatten(tree)
    return structure.unflatten([function(leaf) for leaf in leaves])


def spread(name: str, prefix: Any, tree: Any) -> list[Any]:
    """A value for each leaf of ``tree``, from a tree of values that may end above the leaves.

    A None in ``prefix`` is a value, standing for all leaves below it.
    """
    parts = None if prefix is None else _parts(prefix)
    if parts is None:
        return [prefix] * len(flatten(tree)[0])
    below = _parts(tree) if tree is not None else None
    if below is None or parts[0] != below[0]:
        raise OperandError(f"{name}: {prefix!r} does not fit the structure {flatten(tree)[1]!r}")
    out: list[Any] = []
    for p, t in zip(parts[1], below[1], strict=True):
        out += spread(name, p, t)
    return out
