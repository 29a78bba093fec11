"""Random bits from a counter, and the distributions made of them.

Source: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as
1, 2, 3", SC 2011: Philox-4x32 with 10 rounds.  The bits depend on the key, the counter and the
position alone, so they are the same on every executor and can be computed again instead of kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from flambeau.dtypes import DType, bfloat16, float16, float32, float64, int64, uint32, uint64
from flambeau.errors import DTypeError, OperandError
from flambeau.graph.builder import Var, emit
from flambeau.graph.primitive import Effect, Lowering, NoGradient, Primitive
from flambeau.graph.types import Shape, Size, TensorType
from flambeau.primitives.elementwise import (
    add,
    cast,
    cos,
    log,
    lt,
    maximum,
    mod,
    mul,
    neg,
    shift_right,
    sqrt,
    sub,
)
from flambeau.primitives.indexing import slice_axis, with_batch_axis
from flambeau.primitives.reduce import argmax
from flambeau.primitives.sorting import argsort
from flambeau.primitives.views import Number, broadcast_to, constant, squeeze

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_DISCRETE = NoGradient("random bits depend on nothing smoothly")


def philox(counter: Sequence[np.ndarray], key: Sequence[np.ndarray], rounds: int = 10) -> list[np.ndarray]:
    """Philox-4x32: four words of output for four words of counter and two of key.

    All words are uint64 arrays that hold 32-bit numbers and broadcast against each other.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        p0 = c0 * np.uint64(_MULTIPLIERS[0])
        p1 = c2 * np.uint64(_MULTIPLIERS[1])
        c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ k0, p1 & _MASK, (p0 >> _HALF) ^ c3 ^ k1, p0 & _MASK
        k0 = (k0 + np.uint64(_WEYL[0])) & _MASK
        k1 = (k1 + np.uint64(_WEYL[1])) & _MASK
    return [c0, c1, c2, c3]


def _halves(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x & _MASK, x >> _HALF


def _infer(
    key: TensorType,
    counter: TensorType,
    *start: TensorType,
    shape: Shape,
    dtype: DType,
    row: Size | None = None,
) -> TensorType:
    if dtype is not uint32 and dtype is not uint64:
        raise DTypeError(f"random_bits: gives uint32 or uint64, not {dtype}")
    for name, x in (("key", key), ("counter", counter)):
        if x.dtype is not uint64 or x.shape != key.shape:
            raise OperandError(
                f"random_bits: the {name} must be uint64, of the same shape as the key, not {x}"
            )
    for x in start:
        if x.dtype is not int64 or x.shape != key.shape:
            raise OperandError(f"random_bits: the start must be int64, of the shape of the key, not {x}")
    return TensorType((*key.shape, *shape), dtype)


def _reference(
    key: np.ndarray,
    counter: np.ndarray,
    *start: np.ndarray,
    shape: tuple[int, ...],
    dtype: DType,
    row: int | None = None,
) -> np.ndarray:
    lead = key.shape
    rows = math.prod(lead)
    numbers = np.arange(math.prod(shape), dtype=np.uint64)
    if row is not None and shape and shape[-1]:
        columns = np.uint64(shape[-1])
        numbers = numbers // columns * np.uint64(row) + numbers % columns
    if start:
        numbers = start[0].astype(np.uint64).reshape(-1, 1) + numbers
    per_block = np.uint64(4 if dtype is uint32 else 2)
    word = numbers % per_block
    with np.errstate(over="ignore"):
        words = philox(
            (*_halves(numbers // per_block), *_halves(np.asarray(counter).reshape(-1, 1))),
            _halves(np.asarray(key).reshape(-1, 1)),
        )
    if dtype is uint64:
        words = [words[0] | (words[1] << _HALF), words[2] | (words[3] << _HALF)]
    made = np.choose(word.astype(np.int64), [np.broadcast_to(w, (rows, numbers.shape[-1])) for w in words])
    return np.asarray(made).reshape((*lead, *shape)).astype(dtype.numpy)


def _batch(
    inputs: Sequence[Var], batched: Sequence[bool], *, shape: Shape, dtype: DType, row: Size | None
) -> Var:
    return emit(random_bits_p, *with_batch_axis(inputs, batched), shape=shape, dtype=dtype, row=row)


random_bits_p = Primitive(
    "random_bits",
    infer=_infer,
    reference=_reference,
    vjp=_DISCRETE,
    jvp=_DISCRETE,
    batch=_batch,
    lowering=Lowering.ELEMENTWISE,
    effect=Effect.RANDOM,
    sizes=("shape", "row"),
)


class Part(NamedTuple):
    """A part of a larger draw: the number of its first element, and how many are in a row of the whole."""

    start: Var
    row: Size


def random_bits(key: Var, counter: Var, shape: Shape, dtype: DType = uint32, part: Part | None = None) -> Var:
    """Uniform random integers of all bits of ``dtype`` (uint32 or uint64).

    Element i, counted row-major, holds word ``i % 4`` of Philox-4x32-10 at the 128-bit counter
    ``counter * 2**64 + i // 4`` under the 64-bit ``key`` (uint64: words ``2 * (i % 2)``, low, and
    the next, high, at block ``i // 2``).  ``key`` and ``counter`` are uint64 scalars; with leading
    axes they give an independent draw for each entry.  With ``part`` they are the elements of that
    part: ``part.start`` is int64, shaped like the key.
    """
    start, row = ((), None) if part is None else ((part.start,), part.row)
    return emit(random_bits_p, key, counter, *start, shape=tuple(shape), dtype=dtype, row=row)


# --- distributions ---------------------------------------------------------------------------

_PRECISION = {float16: 11, bfloat16: 8, float32: 24, float64: 53}


def _uniform_of_bits(bits: Var, dtype: DType) -> Var:
    """As many high bits as the dtype has digits, so that every multiple of 2**-digits is exact."""
    digits = _PRECISION[dtype]
    return mul(cast(shift_right(bits, bits.dtype.bits - digits), dtype), 2.0**-digits)


def _bits_for(key: Var, counter: Var, shape: Shape, dtype: DType, part: Part | None = None) -> Var:
    if dtype not in _PRECISION:
        raise DTypeError(f"random: a floating-point dtype is needed, not {dtype}")
    return random_bits(key, counter, shape, uint64 if dtype is float64 else uint32, part)


def uniform(key: Var, counter: Var, shape: Shape, dtype: DType = float32, part: Part | None = None) -> Var:
    """Uniform numbers in [0, 1): multiples of 2**-24 in float32, of 2**-53 in float64."""
    return _uniform_of_bits(_bits_for(key, counter, shape, dtype, part), dtype)


def normal(key: Var, counter: Var, shape: Shape, dtype: DType = float32) -> Var:
    """Normal numbers of mean 0 and variance 1, each from two words of random bits.

    Source: G. E. P. Box, M. E. Muller, "A note on the generation of random normal deviates", 1958,
    the cosine half, so that every element is computed alone.  The radius uses 32 bits in float32
    and 53 in float64, hence |z| reaches 6.6 and 8.5.  Half precision is computed in float32.
    """
    inner = float64 if dtype is float64 else float32
    bits = _bits_for(key, counter, (2, *shape), inner)
    first, second = (squeeze(slice_axis(bits, 0, i, i + 1), (0,)) for i in (0, 1))
    if inner is float64:
        positive = mul(add(cast(shift_right(first, 11), inner), 1.0), 2.0**-53)
    else:
        positive = mul(add(cast(first, inner), 1.0), 2.0**-32)
    radius = sqrt(mul(log(positive), -2.0))
    return cast(mul(radius, cos(mul(_uniform_of_bits(second, inner), 2.0 * math.pi))), dtype)


def integers(
    key: Var, counter: Var, low: Var | int, high: Var | int, shape: Shape, dtype: DType = int64
) -> Var:
    """Whole numbers from ``low`` (inclusive) to ``high`` (exclusive).

    64 random bits modulo the range: a number is more likely than another by at most range / 2**64.
    ``low < high`` must hold; scalars as values are taken as int64.
    """
    if isinstance(low, int) and isinstance(high, int):
        if not low < high or high - low >= 2**64:
            raise OperandError(f"integers: there is no number from {low} up to and without {high}")
        span = constant(high - low, uint64)
        start = constant(low, int64)
    else:
        start = low if isinstance(low, Var) else constant(low, int64)
        stop = high if isinstance(high, Var) else constant(high, int64)
        start, stop = cast(start, int64), cast(stop, int64)
        span = cast(sub(stop, start), uint64)
    bits = random_bits(key, counter, shape, uint64)
    drawn = cast(mod(bits, broadcast_to(span, bits.shape)), int64)
    return cast(add(drawn, broadcast_to(start, drawn.shape)), dtype)


def bernoulli(key: Var, counter: Var, p: Var | Number, shape: Shape) -> Var:
    """True with probability ``p``, a number or a tensor that broadcasts to ``shape``; 24 bits fine."""
    return lt(uniform(key, counter, shape), p)


def permutation(key: Var, counter: Var, n: Size) -> Var:
    """The numbers below ``n`` in random order, by sorting 64 random bits for each."""
    return argsort(random_bits(key, counter, (n,), uint64), 0)


def exponential(key: Var, counter: Var, shape: Shape, dtype: DType = float32) -> Var:
    """Exponentially distributed numbers of mean 1: -log of a uniform number in (0, 1]."""
    inner = float64 if dtype is float64 else float32
    return cast(neg(log(sub(1.0, uniform(key, counter, shape, inner)))), dtype)


def categorical(key: Var, counter: Var, logits: Var) -> Var:
    """Positions along the last axis, with the probabilities of ``softmax(logits)``.

    The position whose exponentially distributed time, slowed down by its probability, is over first.

    Source: J. F. C. Kingman, "Poisson Processes", 1993 (competing exponentials); with logarithms it is
    known as the Gumbel-max trick.
    """
    inner = float64 if logits.dtype is float64 else float32
    # Half of the least time above 0 stands for 0, whose logarithm would win against every logit.
    times = maximum(exponential(key, counter, logits.shape, inner), 2.0 ** -(_PRECISION[inner] + 1))
    return argmax(sub(cast(logits, inner), log(times)), len(logits.shape) - 1)
