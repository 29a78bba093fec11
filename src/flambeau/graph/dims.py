"""Symbolic sizes: what ``x.shape[0]`` is while a program is exported for every batch size."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any, NoReturn, SupportsIndex

from flambeau.errors import ShapeError
from flambeau.graph import polynomials
from flambeau.graph.bounds import Bound, bounds
from flambeau.graph.dim_text import names, text
from flambeau.graph.polynomials import ZERO, Symbol, Terms

if TYPE_CHECKING:
    from flambeau.graph.types import Size


class Dim:
    """A size that depends on named sizes: a polynomial in them, with integer coefficients.

    ``+``, ``-``, ``*``, ``//``, ``%`` and ``**`` with a constant combine Dims and ints.  A result
    that no longer depends on any name is an ``int``.  Floor divisions that do not come out even
    stay inside the polynomial.

    **Equality is structural.**  ``a == b`` is True when both are the same polynomial, hence equal
    for all sizes.  False means "not known to be equal", not "never equal": ``batch == seq`` is
    False, and so is ``batch == 1``, though the size may turn out to be 1.  A Dim never equals an int.

    **Order is what holds for all sizes.**  ``a < b`` is True or False when every size that the
    names may take agrees, otherwise it raises ``ShapeError``.  A named size is at least 1.

    ``bool(dim)`` is True: a size is asked for its truth to see whether there is one at all.
    ``int(dim)`` raises ``ShapeError``, a symbolic size having no value before a program runs.

    >>> n = Dim.named("n")
    >>> 2 * n + 1, (n + 6) // 2, n - n, n >= 1
    (2*n + 1, n//2 + 3, 0, True)
    """

    __slots__ = ("_hash", "_symbols", "terms")

    # NumPy's scalars then leave an operation to this class.
    __array_ufunc__ = None

    terms: Terms
    _symbols: tuple[Symbol, ...]
    _hash: int

    def __init__(self) -> None:
        raise TypeError('a symbolic size is made by Dim.named("batch")')

    @staticmethod
    def named(name: str, *, min: int = 1, max: int | None = None, multiple: int = 1) -> Dim:
        """A size called ``name``: a multiple of ``multiple`` between ``min`` and ``max``, included.

        Raises ``ShapeError`` for a name that is no identifier, a ``min`` below 1 and an empty range.
        The declaration is part of the size: one name declared in two ways cannot be combined.
        """
        if not isinstance(name, str) or not name.isidentifier():
            raise ShapeError(f"the name of a size must be an identifier, not {name!r}")
        if min < 1 or multiple < 1:
            raise ShapeError(f"size {name!r}: min and multiple must be at least 1, not {min} and {multiple}")
        least = -(-min // multiple) * multiple
        most = None if max is None else max // multiple * multiple
        if most is not None and most < least:
            raise ShapeError(f"size {name!r}: no multiple of {multiple} lies between {min} and {max}")
        return _dim(polynomials.of_atom(Symbol(name, least, most, multiple), multiple))

    @property
    def names(self) -> tuple[str, ...]:
        """The named sizes this one depends on."""
        return tuple(symbol.name for symbol in self._symbols)

    @property
    def bounds(self) -> tuple[Bound, Bound]:
        """The least and greatest value it is known to lie between; None where there is no limit."""
        return bounds(self.terms)

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        """The size for given values of the named sizes.

        Raises ``ShapeError`` where a name has no value, or one outside what was declared, and
        where a divisor is 0.

        >>> (2 * Dim.named("batch") + 1).evaluate({"batch": 32})
        65
        """
        for symbol in self._symbols:
            _check(symbol, sizes, self)
        return _evaluate(self.terms, sizes, self)

    def __add__(self, other: Size) -> Size:
        return _combine(self, other, polynomials.add)

    def __sub__(self, other: Size) -> Size:
        return _combine(self, other, _subtract)

    def __rsub__(self, other: Size) -> Size:
        return _combine(self, other, lambda a, b: _subtract(b, a))

    def __mul__(self, other: Size) -> Size:
        return _combine(self, other, polynomials.multiply)

    def __floordiv__(self, other: Size) -> Size:
        return _combine(self, other, _floor_div)

    def __rfloordiv__(self, other: Size) -> Size:
        return _combine(self, other, lambda a, b: _floor_div(b, a))

    def __mod__(self, other: Size) -> Size:
        return _combine(self, other, _remainder)

    def __rmod__(self, other: Size) -> Size:
        return _combine(self, other, lambda a, b: _remainder(b, a))

    def __divmod__(self, other: Size) -> tuple[Size, Size]:
        return self // other, self % other

    def __rdivmod__(self, other: Size) -> tuple[Size, Size]:
        return other // self, other % self

    def __pow__(self, exponent: int) -> Size:
        if not isinstance(exponent, int):
            return NotImplemented
        if exponent < 0:
            raise ShapeError(f"({self}) ** {exponent}: the exponent of a symbolic size must be at least 0")
        return _size(polynomials.power(self.terms, exponent))

    def __neg__(self) -> Size:
        return _combine(self, -1, polynomials.multiply)

    def __pos__(self) -> Dim:
        return self

    __radd__ = __add__
    __rmul__ = __mul__

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Dim) and self.terms == other.terms)

    def __lt__(self, other: Size) -> bool:
        return _less(self, other, "<", 1)

    def __le__(self, other: Size) -> bool:
        return _less(self, other, "<=", 0)

    def __gt__(self, other: Size) -> bool:
        return _less(self, other, ">", 1)

    def __ge__(self, other: Size) -> bool:
        return _less(self, other, ">=", 0)

    def __bool__(self) -> bool:
        return True

    def _no_value(self, *_: object) -> NoReturn:
        raise ShapeError(
            f"the size {self} is symbolic and has no value yet: it is known only when the program runs"
        )

    __index__ = __int__ = __float__ = __trunc__ = __round__ = _no_value

    def __repr__(self) -> str:
        return text(self.terms)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_dim, (self.terms,))


def evaluate(size: Size, sizes: Mapping[str, int]) -> int:
    """The value of an int or Dim for given values of the named sizes."""
    return size.evaluate(sizes) if isinstance(size, Dim) else size


def largest(*sizes: Size) -> Size:
    """The largest size; raises ``ShapeError`` where it is not the same one for all named sizes.

    Unlike ``max`` it needs no strict order: the largest of 1 and ``n`` is ``n``.
    """
    return reduce(lambda a, b: b if _ordered(a, b) else a, sizes)


def smallest(*sizes: Size) -> Size:
    """The smallest size; raises ``ShapeError`` where it is not the same one for all named sizes."""
    return reduce(lambda a, b: a if _ordered(a, b) else b, sizes)


def _dim(terms: Terms) -> Dim:
    dim = object.__new__(Dim)
    dim.terms = terms
    dim._hash = hash((Dim, terms))
    dim._symbols = tuple(polynomials.symbols(terms))
    declared: dict[str, Symbol] = {}
    for symbol in dim._symbols:
        if declared.setdefault(symbol.name, symbol) != symbol:
            both = f"{names([declared[symbol.name]])}; {names([symbol])}"
            raise ShapeError(f"the size {symbol.name!r} is declared in two ways: {both}")
    return dim


def _size(terms: Terms) -> Size:
    value = polynomials.as_constant(terms)
    return _dim(terms) if value is None else value


def _terms(value: object) -> Terms | None:
    if isinstance(value, Dim):
        return value.terms
    if isinstance(value, SupportsIndex):  # ints, and NumPy's
        return polynomials.constant(operator.index(value))
    return None


def _combine(a: Dim, b: object, function: Callable[[Terms, Terms], Terms]) -> Size:
    other = _terms(b)
    return NotImplemented if other is None else _size(function(a.terms, other))


def _subtract(a: Terms, b: Terms) -> Terms:
    return polynomials.add(a, b, -1)


def _floor_div(a: Terms, b: Terms) -> Terms:
    if not b:
        raise ZeroDivisionError(f"the size {text(a)} is divided by 0")
    return polynomials.floor_div(a, b)


def _remainder(a: Terms, b: Terms) -> Terms:
    return _subtract(a, polynomials.multiply(_floor_div(a, b), b))


def _less(a: Dim, b: object, sign: str, strict: int) -> bool:
    """Whether ``a sign b`` for all sizes, with ``strict`` 1 where equality does not do."""
    other = _terms(b)
    return NotImplemented if other is None else _compare(a.terms, other, sign, strict)


def _compare(a: Terms, b: Terms, sign: str, strict: int) -> bool:
    difference = _subtract(b, a) if sign[0] == "<" else _subtract(a, b)
    lower, upper = bounds(difference)
    if lower is not None and lower >= strict:
        return True
    if upper is not None and upper < strict:
        return False
    raise _undecided(a, b, sign)


def _ordered(a: Size, b: Size) -> bool:
    """Whether ``a <= b`` rather than ``a >= b``; where both may hold, they are equal."""
    if isinstance(a, int) and isinstance(b, int):
        return a <= b
    first, second = _terms(a) or ZERO, _terms(b) or ZERO
    lower, upper = bounds(_subtract(second, first))
    if lower is not None and lower >= 0:
        return True
    if upper is not None and upper <= 0:
        return False
    raise _undecided(first, second, "<=")


def _undecided(a: Terms, b: Terms, sign: str) -> ShapeError:
    assumed = names(polynomials.symbols(_subtract(a, b)))
    return ShapeError(
        f"whether {text(a)} {sign} {text(b)} cannot be told before the sizes are known ({assumed}); "
        "declare min, max or multiple of the named sizes so that it can"
    )


def _check(symbol: Symbol, sizes: Mapping[str, int], within: Dim) -> None:
    value = sizes.get(symbol.name)
    if value is None:
        raise ShapeError(f"the size {symbol.name!r} of {within} has no value")
    fits = symbol.min <= value and (symbol.max is None or value <= symbol.max)
    if not fits or value % symbol.multiple:
        raise ShapeError(f"{symbol.name} = {value} is not what was declared: {names([symbol])}")


def _evaluate(terms: Terms, sizes: Mapping[str, int], within: Dim) -> int:
    total = 0
    for monomial, coefficient in terms:
        product = coefficient
        for atom, power in monomial:
            product *= _atom_value(atom, sizes, within) ** power
        total += product
    return total


def _atom_value(atom: polynomials.Atom, sizes: Mapping[str, int], within: Dim) -> int:
    if isinstance(atom, Symbol):
        return sizes[atom.name] // atom.multiple
    assert isinstance(atom, polynomials.Quotient)
    divisor = _evaluate(atom.denominator, sizes, within)
    if divisor == 0:
        raise ShapeError(f"the divisor {text(atom.denominator)} in {within} is 0 for {dict(sizes)}")
    return _evaluate(atom.numerator, sizes, within) // divisor
