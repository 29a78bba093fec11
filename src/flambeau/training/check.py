"""Looking at a model before its first step: shapes and dtypes of everything, nothing computed."""

from __future__ import annotations

import re
from typing import Any

from flambeau import random
from flambeau.errors import FlambeauError
from flambeau.nn.module import Module
from flambeau.tensor import Tensor
from flambeau.transforms import tree
from flambeau.transforms.capture import Snapshot
from flambeau.transforms.tracing import Function, Recording, trace


def recorded(function: Function, *args: Any) -> Recording:
    """What ``function`` records on arguments of the types of ``args``.

    What the function changes, buffers and the default generator, is put back.  Where operands do not
    fit, the error names the operation, the layer, the line and the shapes.
    """
    leaves, structure = tree.flatten(args)
    types = [x._value.type if isinstance(x, Tensor) else x for x in leaves]
    generator = random.default_generator()
    drawn, snapshot = generator.state, Snapshot()
    try:
        # Named like a compiled function: layers may update their buffers.
        return trace("compile(fit)", function, types, structure)
    finally:
        snapshot.restore()
        generator.state = drawn


def record(function: Function, *args: Any) -> Any:
    """The types of what ``function`` gives for arguments of the types of ``args``."""
    recording = recorded(function, *args)
    return recording.structure.unflatten([v.type for v in recording.values])


def run(function: Function, *args: Any) -> Any:
    """The same by running ``function``, for one whose Python needs values; all is put back."""
    generator = random.default_generator()
    drawn, snapshot = generator.state, Snapshot()
    try:
        return types_of(function(*args))
    finally:
        snapshot.restore()
        generator.state = drawn


def types_of(x: Any) -> Any:
    """The types of all tensors in a tree."""
    return tree.map_leaves(lambda leaf: leaf._value.type if isinstance(leaf, Tensor) else leaf, x)


def name_origin(error: FlambeauError, module: Module) -> None:
    """Add to the message of an error inside a layer which line made that layer."""
    found = re.search(r"\n  in layer [^.\n]+\.([^\n]+)$", str(error.args[0])) if error.args else None
    if found is None:
        return
    try:
        place = str(module.get_submodule(found[1])._made)
    except AttributeError:
        return  # the layer has another name where it was called
    if place:
        error.args = (f"{error.args[0]}, made {place}", *error.args[1:])
