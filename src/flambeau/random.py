"""Random numbers from generators that count: key and counter decide every bit.

A generator holds a key (its seed) and a counter that each draw moves on by one.  Both are passed
to the program as numbers, so drawing again compiles nothing, and the same seed gives the same
numbers on every machine, executor and number of threads.

Source: J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Philox-4x32).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from flambeau.dtypes import DType, default_float, float32, int64, uint64
from flambeau.errors import DTypeError, OperandError, ShapeError
from flambeau.graph.builder import Var
from flambeau.ops.record import Number, number, operand, record_mixed, refuse, to_dtype
from flambeau.primitives import advanced, array_api, randomness
from flambeau.primitives.elementwise import add, cast, mul, sub
from flambeau.primitives.views import broadcast_to, normalize_axis
from flambeau.tensor import Tensor

Shape = int | tuple[int, ...]
Operand = tuple[Any, DType]

_WORD = 1 << 64

# While a function is captured, asks it for the operands of a draw: cells that every later run
# fills by ``Generator.advance`` before it starts.
CAPTURE: ContextVar[Callable[[Generator], tuple[Operand, Operand]] | None] = ContextVar(
    "flambeau_random_capture", default=None
)


def _mixed(x: int) -> int:
    """64 bits that depend on all bits of ``x``.

    Source: G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators",
    OOPSLA 2014 (SplitMix64).
    """
    x = (x + 0x9E3779B97F4A7C15) % _WORD
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % _WORD
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % _WORD
    return x ^ (x >> 31)


class Generator:
    """A stream of random numbers; safe to use from several threads.

    ``seed`` is an integer from 0 to 2**64 - 1.  ``state`` can be read, saved and set again.

    >>> import flambeau as fb
    >>> a, b = fb.random.Generator(7), fb.random.Generator(7)
    >>> bool(fb.all(a.uniform((3,)) == b.uniform((3,))))
    True
    """

    __slots__ = ("_counter", "_key", "_lock")

    def __init__(self, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """Begin anew with another seed."""
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < _WORD:
            refuse(OperandError(f"seed: an integer from 0 to 2**64 - 1 is needed, not {seed!r}"))
        with self._lock:
            self._key, self._counter = seed, 0

    @property
    def state(self) -> tuple[int, int]:
        """The key and the counter: all that decides what comes next."""
        with self._lock:
            return self._key, self._counter

    @state.setter
    def state(self, state: tuple[int, int]) -> None:
        key, counter = state
        if not (0 <= key < _WORD and 0 <= counter < _WORD):
            refuse(OperandError(f"state: a pair of integers below 2**64 is needed, not {state!r}"))
        with self._lock:
            self._key, self._counter = key, counter

    def advance(self, draws: int = 1) -> tuple[int, int]:
        """Move on by ``draws``; returns the key and the counter of the first of them."""
        with self._lock:
            counter = self._counter
            self._counter = (counter + draws) % _WORD
            return self._key, counter

    def spawn(self, count: int) -> list[Generator]:
        """Generators for workers, each with numbers of its own; spawning again gives others.

        >>> import flambeau as fb
        >>> len(fb.random.Generator(0).spawn(4))
        4
        """
        key, counter = self.advance(count)
        made = []
        for i in range(count):
            child = Generator()
            child._key = _mixed(_mixed(key) ^ (counter + i))
            made.append(child)
        return made

    def operands(self) -> tuple[Operand, Operand]:
        """Key and counter of one draw, to be recorded with a builder of ``primitives.randomness``."""
        capture = CAPTURE.get()
        if capture is not None:
            return capture(self)
        key, counter = self.advance()
        return (key, uint64), (counter, uint64)

    def __repr__(self) -> str:
        key, counter = self.state
        return f"Generator(seed={key}, drawn={counter})"

    def __getstate__(self) -> tuple[int, int]:
        return self.state

    def __setstate__(self, state: tuple[int, int]) -> None:
        self._lock = threading.Lock()
        self._key, self._counter = state

    # -- draws --------------------------------------------------------------------------------

    def uniform(
        self, shape: Shape = (), low: Number | Tensor = 0.0, high: Number | Tensor = 1.0, *, dtype: Any = None
    ) -> Tensor:
        """Numbers evenly spread over [``low``, ``high``), float32 unless ``dtype`` is given.

        ``low`` and ``high`` are numbers, or tensors that broadcast to ``shape``.

        >>> import flambeau as fb
        >>> fb.random.Generator(0).uniform((2, 3), -1.0, 1.0).shape
        (2, 3)
        """
        return self._spread(_uniform, shape, low, high, dtype, "uniform")

    def normal(
        self, shape: Shape = (), mean: Number | Tensor = 0.0, std: Number | Tensor = 1.0, *, dtype: Any = None
    ) -> Tensor:
        """Normally distributed numbers, float32 unless ``dtype`` is given.

        ``mean`` and ``std`` are numbers, or tensors that broadcast to ``shape``; gradients flow to
        them.

        >>> import flambeau as fb
        >>> fb.random.Generator(0).normal((2, 3), mean=5.0).shape
        (2, 3)
        """
        return self._spread(_normal, shape, mean, std, dtype, "normal")

    def exponential(self, shape: Shape = (), scale: Number | Tensor = 1.0, *, dtype: Any = None) -> Tensor:
        """Exponentially distributed numbers of mean ``scale``, float32 unless ``dtype`` is given.

        >>> import flambeau as fb
        >>> fb.random.Generator(0).exponential((4,)).shape
        (4,)
        """
        target = _float_dtype(dtype, "exponential")
        values = [*self.operands(), operand(scale, target, "exponential")]
        return record_mixed(_exponential, (_shape(shape), target), values)

    def integers(self, low: int, high: int | None = None, shape: Shape = (), *, dtype: Any = None) -> Tensor:
        """Whole numbers from ``low`` up to and without ``high`` (from 0 if only one is given): int64.

        >>> import flambeau as fb
        >>> fb.random.Generator(0).integers(0, 10, (5,)).dtype
        flambeau.int64
        """
        if high is None:
            low, high = 0, low
        if not -(1 << 63) <= low < high <= (1 << 63) - 1:
            refuse(OperandError(f"integers: there is no int64 from {low} up to and without {high}"))
        target = int64 if dtype is None else to_dtype(dtype)
        if target.kind not in ("int", "uint"):
            refuse(DTypeError(f"integers: an integer dtype is needed, not {target}"))
        values = [*self.operands(), number(low, int64, "integers"), number(high, int64, "integers")]
        return record_mixed(_integers, (_shape(shape), target), values)

    def bernoulli(self, p: Number | Tensor, shape: Shape | None = None) -> Tensor:
        """True with probability ``p``; of the shape of ``p`` unless ``shape`` is given.

        >>> import flambeau as fb
        >>> fb.random.Generator(0).bernoulli(0.5, (4,)).dtype
        flambeau.bool
        """
        own: Any = p.shape if isinstance(p, Tensor) else ()
        values = [*self.operands(), operand(p, float32, "bernoulli")]
        return record_mixed(_bernoulli, (own if shape is None else _shape(shape),), values)

    def categorical(self, logits: Tensor, shape: Shape = ()) -> Tensor:
        """Positions along the last axis, drawn with the probabilities ``softmax(logits)``: int64.

        ``shape`` says how many to draw for each row: the result has shape ``shape +
        logits.shape[:-1]``.  A logit of minus infinity is never drawn.

        >>> import flambeau as fb
        >>> fb.random.Generator(0).categorical(fb.asarray([[0.0, 90.0], [90.0, 0.0]])).tolist()
        [1, 0]
        """
        if not isinstance(logits, Tensor) or not logits.dtype.floating:
            shown = logits.dtype if isinstance(logits, Tensor) else type(logits).__name__
            refuse(DTypeError(f"categorical: logits must be a floating-point tensor, not {shown}"))
        if not logits.ndim or logits.shape[-1] == 0:
            refuse(
                ShapeError(
                    f"categorical: logits need a last axis with a position to draw, not shape {logits.shape}"
                )
            )
        return record_mixed(_categorical, (_shape(shape),), [*self.operands(), logits.detach()._value])

    def permutation(self, x: int | Tensor, *, axis: int = 0) -> Tensor:
        """The numbers below ``x`` in random order, or the slices of a tensor along ``axis``.

        >>> import flambeau as fb
        >>> sorted(fb.random.Generator(0).permutation(5).tolist())
        [0, 1, 2, 3, 4]
        """
        if isinstance(x, Tensor):
            return record_mixed(_shuffled, (axis,), [*self.operands(), x._value])
        if isinstance(x, bool) or not isinstance(x, int) or x < 0:
            refuse(OperandError(f"permutation: a number of elements or a tensor is needed, not {x!r}"))
        return record_mixed(randomness.permutation, (x,), list(self.operands()))

    def _spread(self, fn: Any, shape: Any, a: Any, b: Any, dtype: Any, name: str) -> Tensor:
        target = _float_dtype(dtype, name)
        values = [*self.operands(), operand(a, target, name), operand(b, target, name)]
        return record_mixed(fn, (_shape(shape), target), values)


def _shape(shape: Any) -> Any:
    return tuple(shape) if isinstance(shape, list) else shape


def _float_dtype(dtype: Any, name: str) -> DType:
    target = default_float if dtype is None else to_dtype(dtype)
    if not target.floating:
        refuse(DTypeError(f"{name}: a floating-point dtype is needed, not {target}"))
    return target


# --- builders --------------------------------------------------------------------------------


def _uniform(key: Var, counter: Var, low: Var, high: Var, shape: Any, dtype: DType) -> Var:
    sizes = array_api.as_sizes(shape, "uniform")
    drawn = randomness.uniform(key, counter, sizes, dtype)
    return add(mul(drawn, broadcast_to(cast(sub(high, low), dtype), sizes)), cast(low, dtype))


def _normal(key: Var, counter: Var, mean: Var, std: Var, shape: Any, dtype: DType) -> Var:
    sizes = array_api.as_sizes(shape, "normal")
    drawn = randomness.normal(key, counter, sizes, dtype)
    return add(mul(drawn, broadcast_to(cast(std, dtype), sizes)), broadcast_to(cast(mean, dtype), sizes))


def _exponential(key: Var, counter: Var, scale: Var, shape: Any, dtype: DType) -> Var:
    sizes = array_api.as_sizes(shape, "exponential")
    return mul(randomness.exponential(key, counter, sizes, dtype), broadcast_to(cast(scale, dtype), sizes))


def _integers(key: Var, counter: Var, low: Var, high: Var, shape: Any, dtype: DType) -> Var:
    return randomness.integers(key, counter, low, high, array_api.as_sizes(shape, "integers"), dtype)


def _bernoulli(key: Var, counter: Var, p: Var, shape: Any) -> Var:
    sizes = array_api.as_sizes(shape, "bernoulli")
    return randomness.bernoulli(key, counter, broadcast_to(p, sizes), sizes)


def _categorical(key: Var, counter: Var, logits: Var, shape: Any) -> Var:
    sizes = (*array_api.as_sizes(shape, "categorical"), *logits.shape)
    return randomness.categorical(key, counter, broadcast_to(logits, sizes))


def _shuffled(key: Var, counter: Var, x: Var, axis: int) -> Var:
    at = normalize_axis(axis, x.ndim, "permutation")
    return advanced.take(x, randomness.permutation(key, counter, x.shape[at]), at)


# --- the default generator -------------------------------------------------------------------

_default = Generator(0)


def default_generator() -> Generator:
    """The generator that functions of this module, layers and loaders draw from unless given another.

    >>> import flambeau as fb
    >>> fb.random.default_generator() is fb.random.default_generator()
    True
    """
    return _default


def seed(n: int) -> None:
    """Begin the default generator anew; unless seeded it begins with 0.

    >>> import flambeau as fb
    >>> fb.random.seed(1234)
    """
    _default.seed(n)


def uniform(
    shape: Shape = (), low: Number | Tensor = 0.0, high: Number | Tensor = 1.0, *, dtype: Any = None
) -> Tensor:
    """``Generator.uniform`` of the default generator.

    >>> import flambeau as fb
    >>> fb.random.uniform((2, 3)).shape
    (2, 3)
    """
    return _default.uniform(shape, low, high, dtype=dtype)


def normal(
    shape: Shape = (), mean: Number | Tensor = 0.0, std: Number | Tensor = 1.0, *, dtype: Any = None
) -> Tensor:
    """``Generator.normal`` of the default generator.

    >>> import flambeau as fb
    >>> fb.random.normal((2, 3)).shape
    (2, 3)
    """
    return _default.normal(shape, mean, std, dtype=dtype)


def exponential(shape: Shape = (), scale: Number | Tensor = 1.0, *, dtype: Any = None) -> Tensor:
    """``Generator.exponential`` of the default generator.

    >>> import flambeau as fb
    >>> fb.random.exponential((2,)).shape
    (2,)
    """
    return _default.exponential(shape, scale, dtype=dtype)


def integers(low: int, high: int | None = None, shape: Shape = (), *, dtype: Any = None) -> Tensor:
    """``Generator.integers`` of the default generator.

    >>> import flambeau as fb
    >>> fb.random.integers(10, shape=(2,)).shape
    (2,)
    """
    return _default.integers(low, high, shape, dtype=dtype)


def bernoulli(p: Number | Tensor, shape: Shape | None = None) -> Tensor:
    """``Generator.bernoulli`` of the default generator.

    >>> import flambeau as fb
    >>> fb.random.bernoulli(0.5, (3,)).shape
    (3,)
    """
    return _default.bernoulli(p, shape)


def categorical(logits: Tensor, shape: Shape = ()) -> Tensor:
    """``Generator.categorical`` of the default generator.

    >>> import flambeau as fb
    >>> fb.random.categorical(fb.zeros((2, 3)), 5).shape
    (5, 2)
    """
    return _default.categorical(logits, shape)


def permutation(x: int | Tensor, *, axis: int = 0) -> Tensor:
    """``Generator.permutation`` of the default generator.

    >>> import flambeau as fb
    >>> fb.random.permutation(4).shape
    (4,)
    """
    return _default.permutation(x, axis=axis)
