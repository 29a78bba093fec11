"""Nested state as text and tensors: containers and numbers become JSON, tensors go beside it.

Nothing is a pickle.  What comes back equals what was put in, bit for bit, but for tuples, which
come back as lists.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from flambeau.engine.convert import from_array
from flambeau.errors import OperandError, WeightsError
from flambeau.tensor import Tensor

_MARK = "__kind__"


def pack(tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """What JSON can hold of ``tree``, and its tensors and arrays by their place in it.

    Containers are dicts (keys: text and integers), lists and tuples; leaves are None, booleans,
    numbers, text, tensors and NumPy arrays.  Raises ``OperandError``, naming the place, for others.

    >>> import flambeau as fb
    >>> text, tensors = pack({"lr": 0.1, "moments": [fb.zeros(2)]})
    >>> text
    {'lr': 0.1, 'moments': [{'__kind__': 'tensor', 'name': 'moments.0'}]}
    >>> unpack(text, tensors)
    {'lr': 0.1, 'moments': [tensor([0., 0.])]}
    """
    tensors: dict[str, Tensor] = {}
    return _pack(tree, "", tensors), tensors


def _pack(x: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if x is None or isinstance(x, (bool, str)):
        return x
    if isinstance(x, np.generic):
        x = x.item()
    if isinstance(x, int):
        return x
    if isinstance(x, float):
        return x if math.isfinite(x) else {_MARK: "float", "value": repr(x)}
    if isinstance(x, (Tensor, np.ndarray)):
        name = path or "value"
        while name in tensors:
            name += "'"
        tensors[name] = x if isinstance(x, Tensor) else Tensor(from_array(x))
        return {_MARK: "tensor" if isinstance(x, Tensor) else "array", "name": name}
    if isinstance(x, (list, tuple)):
        return [_pack(y, f"{path}.{i}" if path else str(i), tensors) for i, y in enumerate(x)]
    if isinstance(x, Mapping):
        made = {}
        for key, y in x.items():
            if isinstance(key, bool) or not isinstance(key, (str, int)):
                raise OperandError(f"a checkpoint cannot hold the key {key!r} at {path or 'the top'}")
            made[key] = _pack(y, f"{path}.{key}" if path else str(key), tensors)
        if _MARK in made or not all(isinstance(key, str) for key in made):
            return {_MARK: "dict", "items": [[key, y] for key, y in made.items()]}
        return made
    raise OperandError(
        f"a checkpoint cannot hold a {type(x).__name__} (at {path or 'the top'}): numbers, text, tensors, "
        "lists and dicts are possible"
    )


def unpack(text: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree that ``pack`` made this of; raises ``WeightsError`` where a tensor is missing."""
    if isinstance(text, list):
        return [unpack(y, tensors) for y in text]
    if not isinstance(text, dict):
        return text
    kind = text.get(_MARK)
    if kind is None:
        return {key: unpack(y, tensors) for key, y in text.items()}
    if kind == "float":
        return float(text["value"])
    if kind == "dict":
        return {key: unpack(y, tensors) for key, y in text["items"]}
    found = tensors.get(text["name"])
    if found is None:
        raise WeightsError(f"the checkpoint lacks the tensor {text['name']!r}")
    return found if kind == "tensor" else found.numpy().copy()
