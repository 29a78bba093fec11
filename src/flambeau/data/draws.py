"""Random choices on the host that depend on where they are made, not on when or by whom.

What a random transform draws for an item is a function of the loader's seed, the epoch, the item's
index and how much was drawn for the item before.  So augmentation is the same whatever the number of
worker processes, and the same after training is resumed in the middle of an epoch.

Source: J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Philox-4x32).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import numpy as np

from flambeau.data.memory import Array, IndexArray
from flambeau.errors import OperandError
from flambeau.primitives.randomness import philox
from flambeau.random import Generator, default_generator

_WORD = 1 << 64
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


class Place:
    """For which items random choices are made: seed, epoch, indices, and the blocks drawn so far."""

    __slots__ = ("drawn", "epoch", "indices", "key")

    def __init__(self, key: int, epoch: int, indices: IndexArray) -> None:
        self.key = key
        self.epoch = epoch
        self.indices = indices
        self.drawn = 0

    def move(self, index: int) -> None:
        """Go to another item."""
        self.indices = np.array([index], np.int64)
        self.drawn = 0


_place: ContextVar[Place | None] = ContextVar("flambeau_data_place", default=None)


@contextmanager
def placed(
    seed: int, epoch: int, indices: IndexArray | Sequence[int] = (), purpose: str = "item"
) -> Iterator[Place]:
    """Let ``uniform`` draw for these items of this epoch, or for those that the place is moved to."""
    place = Place(key_of(seed, purpose), epoch, np.asarray(indices, np.int64))
    token = _place.set(place)
    try:
        yield place
    finally:
        _place.reset(token)


def for_each(function: Callable[[Any], Any], rows: Array) -> list[Any]:
    """A function applied to each item of a batch, which draws as if the item had come alone."""
    whole = _place.get()
    if whole is None or len(whole.indices) != len(rows):
        return [function(row) for row in rows]
    made = []
    start = end = whole.drawn
    for i, row in enumerate(rows):
        part = Place(whole.key, whole.epoch, whole.indices[i : i + 1])
        part.drawn = start
        token = _place.set(part)
        try:
            made.append(function(row))
        finally:
            _place.reset(token)
        end = max(end, part.drawn)
    whole.drawn = end
    return made


def uniform(rows: int, count: int = 1) -> Array:
    """``count`` random numbers in [0, 1) for each of the ``rows`` items that are being prepared.

    Write random transforms with it: within a ``DataLoader`` the numbers depend on seed, epoch and
    the index of the item alone.  Elsewhere they come from the default generator, so that
    ``fb.random.seed`` decides them.

    Returns:
        A float64 array of shape (rows, count).

    Example:
        >>> import flambeau as fb
        >>> fb.data.uniform(2, 3).shape
        (2, 3)
    """
    place = _place.get()
    if place is None or len(place.indices) != rows:
        if place is None:
            key, counter = default_generator().advance()
            place = Place(key_of(key, "item"), counter, np.arange(rows, dtype=np.int64))
        else:  # a transform that makes several images of an item, or one of several
            first = int(place.indices[0]) if len(place.indices) else 0
            parts = Place(
                key_of(place.key, f"parts of {first}"), place.epoch, np.arange(rows, dtype=np.int64)
            )
            parts.drawn, place.drawn = place.drawn, place.drawn + -(-count // 4)
            place = parts
    blocks = -(-count // 4)
    numbers = _words(place.key, place.indices, place.epoch, place.drawn, blocks)
    place.drawn += blocks
    drawn: Array = numbers[:, :count] * 2.0**-32
    return drawn


def permutation(seed: int, epoch: int, count: int) -> IndexArray:
    """The numbers below ``count`` in an order that depends on seed and epoch alone.

    It is defined by sorting random words and so the same with every version of NumPy.
    """
    order: IndexArray = np.argsort(words64(seed, epoch, count, "order"), kind="stable")
    return order


def words64(seed: int, epoch: int, count: int, purpose: str) -> Array:
    """``count`` random 64-bit words."""
    blocks = np.arange(-(-count // 2), dtype=np.int64)
    words = _words(key_of(seed, purpose), blocks, epoch, 0, 1)
    pairs = words[:, 0::2] | (words[:, 1::2] << _HALF)
    words64: Array = pairs.reshape(-1)[:count]
    return words64


def fractions(seed: int, epoch: int, count: int, purpose: str) -> Array:
    """``count`` random float64 numbers in [0, 1)."""
    drawn: Array = (words64(seed, epoch, count, purpose) >> np.uint64(11)) * 2.0**-53
    return drawn


def seed_of(generator: Generator | int | None, name: str) -> int:
    """The seed that an argument ``generator`` stands for: a number, or a draw from a generator.

    None draws from the default generator, so that ``fb.random.seed`` decides.
    """
    if isinstance(generator, int) and not isinstance(generator, bool):
        if not 0 <= generator < _WORD:
            raise OperandError(f"{name}: a seed is an integer from 0 to 2**64 - 1, not {generator}")
        return generator
    if generator is None:
        generator = default_generator()
    if not isinstance(generator, Generator):
        raise OperandError(
            f"{name}: generator is a seed or an fb.random.Generator, not {type(generator).__name__}"
        )
    key, counter = generator.advance()
    return key_of(key, f"seed {counter}")


@lru_cache(maxsize=256)
def key_of(seed: int, purpose: str) -> int:
    """64 bits that no other seed or purpose shares."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{purpose}".encode(), digest_size=8).digest(), "little")


def _words(key: int, indices: Array, epoch: int, first: int, blocks: int) -> Array:
    """Random 32-bit words, as uint64 of shape (indices, 4 * blocks)."""
    index = indices.astype(np.uint64).reshape(-1, 1)
    block = np.arange(first, first + blocks, dtype=np.uint64).reshape(1, -1)
    word: Any = np.uint64
    counter = (index & _LOW, index >> _HALF, block & _LOW, word(epoch & 0xFFFFFFFF))
    with np.errstate(over="ignore"):
        words = philox(counter, (word(key & 0xFFFFFFFF), word(key >> 32)))
    shape = (len(indices), blocks)
    return np.stack([np.broadcast_to(w, shape) for w in words], -1).reshape(len(indices), 4 * blocks)
