"""Where batches come from: arrays that lie in memory, or a loader.

A feed knows its position, which is saved in checkpoints: after it was loaded, the same batches
follow as would have followed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from flambeau import random
from flambeau.dtypes import float32
from flambeau.errors import OperandError, ShapeError
from flambeau.ops.creation import asarray, zeros
from flambeau.primitives.views import shape_text
from flambeau.tensor import Tensor
from flambeau.training.generators import random_state, set_random_state

Inputs = tuple[Any, ...] | dict[str, Any]


class Batch(NamedTuple):
    """The arguments of the module, what is to be predicted, weights of the examples, their number."""

    inputs: Inputs
    targets: Any
    weights: Tensor | None
    size: int


class Feed(Protocol):
    """A source of batches; ``steps`` is their number in an epoch, where that is known."""

    steps: int | None

    def example(self) -> Batch | None:
        """A batch to look at beforehand, where one can be had without drawing it."""

    def begin(self) -> None:
        """Start a new epoch."""

    def __iter__(self) -> Iterator[Batch]:
        """The batches from the present position to the end of the epoch."""

    def state_dict(self) -> dict[str, Any]:
        """The position: how to go on after the batch given last."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a position."""


class ArrayFeed:
    """Batches of arrays along their first axis, in random order with ``shuffle``.

    The order of an epoch is drawn from the default generator when it begins.
    """

    def __init__(
        self, inputs: Inputs, targets: Any, weights: Tensor | None, batch_size: int, shuffle: bool
    ) -> None:
        self.inputs = inputs
        self.targets = targets
        self.weights = weights
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.count = common_length(inputs, targets, weights)
        self.steps: int | None = math.ceil(self.count / batch_size)
        self._position = 0
        self._drawn: tuple[int, int] | None = None
        self._order: Tensor | None = None

    def example(self) -> Batch | None:
        size = min(self.batch_size, self.count)
        return self._part(slice(0, size), size) if size else None

    def begin(self) -> None:
        self._position = 0
        if self.shuffle:
            self._drawn = random.default_generator().state
            self._order = random.permutation(self.count)

    def __iter__(self) -> Iterator[Batch]:
        while self._position * self.batch_size < self.count:
            start = self._position * self.batch_size
            stop = min(start + self.batch_size, self.count)
            self._position += 1
            yield self._take(start, stop)

    def _take(self, start: int, stop: int) -> Batch:
        where: Any = slice(start, stop) if self._order is None else self._order[start:stop]
        return self._part(where, stop - start)

    def _part(self, where: Any, size: int) -> Batch:
        def part(x: Any) -> Any:
            return _map(lambda array: array[where], x)

        return Batch(part(self.inputs), part(self.targets), part(self.weights), size)

    def state_dict(self) -> dict[str, Any]:
        return {"position": self._position, "drawn": self._drawn, "count": self.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state.get("count") != self.count:
            raise OperandError(
                f"the checkpoint was made while training on {state.get('count')} examples, not {self.count}"
            )
        self._position = state["position"]
        if state["drawn"] is not None:
            generator = random.Generator()
            key, counter = state["drawn"]
            self._drawn = generator.state = (key, counter)
            self._order = generator.permutation(self.count)


class LoaderFeed:
    """Batches of a loader: any iterable of ``x``, ``(x, y)`` or ``(x, y, sample_weight)``.

    Where it has ``state_dict`` and ``load_state_dict``, these save and restore its position.  Else
    batches before the position are drawn again and thrown away, with the generators of random
    numbers where they were when the epoch began, so that an order drawn from them is the same.
    """

    def __init__(
        self, loader: Iterable[Any], class_weight: Mapping[int, float] | None = None, targets: bool = True
    ) -> None:
        self.loader = loader
        self.class_weight = class_weight
        self.has_targets = targets
        self.steps: int | None = _length(loader)
        self._exact = hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict")
        self._position = 0
        self._skip = 0
        self._began: dict[str, Any] | None = None  # the generators, where the loader cannot tell its position

    def example(self) -> Batch | None:
        return None  # drawing a batch would change what follows

    def begin(self) -> None:
        self._position = self._skip = 0
        self._began = None if self._exact else random_state()

    def __iter__(self) -> Iterator[Batch]:
        items = self._items() if self._skip else iter(self.loader)
        self._skip = 0
        for item in items:
            self._position += 1
            yield self._batch(item)

    def _items(self) -> Iterator[Any]:
        """The items after the position."""
        now = random_state()
        if self._began is not None:
            set_random_state(self._began)
        items = iter(self.loader)
        for _ in range(self._skip):
            next(items, None)
        set_random_state(now)
        return items

    def _batch(self, item: Any) -> Batch:
        parts = item if isinstance(item, (tuple, list)) else (item,)
        if not 1 <= len(parts) <= 3 or (self.has_targets and len(parts) < 2):
            raise OperandError(
                "a loader must give (x, y) or (x, y, sample_weight) for each batch, "
                f"not a {type(item).__name__} of {len(parts)}"
            )
        inputs = as_inputs(parts[0])
        targets = as_tensors(parts[1]) if len(parts) > 1 and self.has_targets else None
        weights = as_weights(parts[2]) if len(parts) > 2 and self.has_targets else None
        if self.class_weight is not None:
            weights = class_weights(self.class_weight, targets, weights)
        return Batch(inputs, targets, weights, common_length(inputs, targets, weights))

    def state_dict(self) -> dict[str, Any]:
        state = self.loader.state_dict() if self._exact else None  # type: ignore[attr-defined]
        return {"position": self._position, "loader": state, "began": self._began}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._position = state["position"]
        if self._exact and state["loader"] is not None:
            self.loader.load_state_dict(state["loader"])  # type: ignore[attr-defined]
        else:
            self._skip, self._began = self._position, state["began"]


def _length(loader: Any) -> int | None:
    try:
        return len(loader)
    except TypeError:
        return None


# --- what a batch looks like, to be saved ---------------------------------------------------------


def described(batch: Batch) -> Any:
    """Shapes and dtypes of a batch, as lists and dicts."""
    return [_described(part) for part in batch[:3]]


def _described(x: Any) -> Any:
    if x is None:
        return None
    if isinstance(x, dict):
        return {"named": {key: _described(item) for key, item in x.items()}}
    if isinstance(x, tuple):
        return {"several": [_described(item) for item in x]}
    return {"shape": list(x.shape), "dtype": x.dtype.name}


def example_of(description: Any) -> Batch:
    """A batch of zeros that looks like the one described."""
    inputs, targets, weights = [_zeros(part) for part in description]
    return Batch(inputs, targets, weights, common_length(inputs, targets, weights))


def _zeros(x: Any) -> Any:
    if x is None:
        return None
    if "named" in x:
        return {key: _zeros(item) for key, item in x["named"].items()}
    if "several" in x:
        return tuple([_zeros(item) for item in x["several"]])
    return zeros(tuple(x["shape"]), dtype=x["dtype"])


# --- what users pass ------------------------------------------------------------------------------


def is_loader(x: Any) -> bool:
    """Whether ``x`` gives batches rather than being data."""
    return not isinstance(x, (Tensor, np.ndarray, tuple, list, dict, int, float)) and hasattr(x, "__iter__")


def as_tensor(x: Any) -> Tensor:
    """A tensor of data: tensors as they are; arrays and lists of float64 become float32, as in Keras."""
    if isinstance(x, Tensor):
        return x
    array = np.asarray(x)
    made: Tensor = asarray(array, dtype=float32) if array.dtype == np.float64 else asarray(array)
    return made


def as_tensors(x: Any) -> Any:
    """Tensors for arrays, and for those in a tuple, a list of arrays or a dict."""
    if isinstance(x, dict):
        return {key: as_tensors(item) for key, item in x.items()}
    if isinstance(x, tuple) or (
        isinstance(x, list) and any(isinstance(item, (Tensor, np.ndarray)) for item in x)
    ):
        return tuple([as_tensors(item) for item in x])
    return as_tensor(x)


def as_inputs(x: Any) -> Inputs:
    """The arguments of the module: positional ones, or a dict of named ones."""
    made = as_tensors(x)
    return made if isinstance(made, (tuple, dict)) else (made,)


def as_weights(x: Any) -> Tensor:
    """Weights of examples, in float32."""
    return as_tensor(x).astype(float32)


def class_weights(table: Mapping[int, float], targets: Any, weights: Tensor | None) -> Tensor:
    """The weight of each example's class, times its own weight where it has one."""
    if not isinstance(targets, Tensor):
        raise OperandError("class_weight needs one tensor of targets")
    labels = targets.numpy()
    if labels.ndim > 1 and labels.shape[-1] > 1 and labels.dtype.kind == "f":
        labels = labels.argmax(axis=-1)
    flat = labels.reshape(len(labels), -1)
    if flat.shape[1] != 1:
        raise ShapeError(
            f"class_weight needs one class for each example, not targets of shape {shape_text(targets.shape)}"
        )
    unknown = sorted({int(c) for c in np.unique(flat)} - set(table))
    if unknown:
        raise OperandError(f"class_weight has no weight for class {unknown[0]}")
    made = asarray(np.array([table[int(c)] for c in flat[:, 0]], np.float32))
    return made if weights is None else made * weights


def common_length(*trees: Any) -> int:
    """The number of examples, which all tensors must have."""
    sizes: list[int] = []
    _map(lambda x: sizes.append(int(x.shape[0]) if x.ndim else -1), trees)
    if len(set(sizes)) != 1 or sizes[0] < 0:
        shown = ", ".join("no axis" if n < 0 else str(n) for n in sizes)
        raise ShapeError(f"inputs, targets and weights must have as many examples as each other, not {shown}")
    return sizes[0]


def _map(function: Any, x: Any) -> Any:
    if x is None:
        return None
    if isinstance(x, dict):
        return {key: _map(function, item) for key, item in x.items()}
    if isinstance(x, (tuple, list)):
        return tuple([_map(function, item) for item in x])
    return function(x)


def split_off(share: float, *trees: Any) -> tuple[list[Any], list[Any]]:
    """All but the last ``share`` of the examples, and these."""
    if not isinstance(share, float) or not 0 < share < 1:
        raise OperandError(f"validation_split must be a number between 0 and 1, not {share!r}")
    count = common_length(*trees)
    at = math.floor(count * (1 - share))
    if not 0 < at < count:
        raise OperandError(f"validation_split={share}: {count} examples are too few to be split")
    first = [_map(lambda x: x[:at], tree) for tree in trees]
    second = [_map(lambda x: x[at:], tree) for tree in trees]
    return first, second
