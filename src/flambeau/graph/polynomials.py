"""Polynomials with integer coefficients in symbolic sizes, kept in one normal form.

A polynomial is a tuple of terms, a term is a monomial and its coefficient, and a monomial is a
product of powers of atoms.  An atom is a named size or a floor division that does not simplify.
Terms are sorted by graded lexicographic order, zero coefficients are dropped, so two polynomials
are the same function of their atoms exactly when their tuples are equal.

A remainder needs no atom of its own: ``p % q`` is ``p - q * (p // q)``.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import gcd
from typing import Any, Union

Atom = Union["Symbol", "Quotient", "Slack"]
Monomial = tuple[tuple[Atom, int], ...]
Terms = tuple[tuple[Monomial, int], ...]

ZERO: Terms = ()


class _Keyed:
    """Compares, hashes and sorts by ``key``, a nested tuple that begins with the kind of atom."""

    __slots__ = ("_hash", "key")

    def __init__(self, key: tuple[Any, ...]) -> None:
        self.key = key
        self._hash = hash(key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Keyed) and self.key == other.key


class Symbol(_Keyed):
    """A named size, divided by the ``multiple`` it is declared to be of.

    So a batch declared as a multiple of 8 is ``8 * symbol``, and divides by 8 without remainder.
    """

    __slots__ = ("max", "min", "multiple", "name")

    def __init__(self, name: str, min: int, max: int | None, multiple: int) -> None:
        super().__init__((0, name, multiple, min, -1 if max is None else max))
        self.name = name
        self.min = min  # of the named size itself
        self.max = max
        self.multiple = multiple

    def __reduce__(self) -> tuple[Any, ...]:
        return (Symbol, (self.name, self.min, self.max, self.multiple))


class Quotient(_Keyed):
    """``floor(numerator / denominator)``, in the reduced form that ``floor_div`` makes."""

    __slots__ = ("denominator", "numerator")

    def __init__(self, numerator: Terms, denominator: Terms) -> None:
        super().__init__((1, _terms_key(numerator), _terms_key(denominator)))
        self.numerator = numerator
        self.denominator = denominator

    def __reduce__(self) -> tuple[Any, ...]:
        return (Quotient, (self.numerator, self.denominator))


class Slack(_Keyed):
    """An unknown in ``0 .. cap`` that stands for an atom while bounds are computed."""

    __slots__ = ("cap",)

    def __init__(self, of: Atom, role: str, cap: int | None) -> None:
        super().__init__((2, role, of.key))
        self.cap = cap


def _terms_key(terms: Terms) -> tuple[Any, ...]:
    return tuple((_order(monomial), coefficient) for monomial, coefficient in terms)


def _order(monomial: Monomial) -> tuple[Any, ...]:
    """Sorts the leading monomial first.  At equal degree no key is a prefix of another."""
    return (-sum(power for _, power in monomial), tuple((atom.key, -power) for atom, power in monomial))


def normal(terms: dict[Monomial, int]) -> Terms:
    """The normal form of a sum of terms."""
    kept = [(monomial, c) for monomial, c in terms.items() if c]
    kept.sort(key=lambda term: _order(term[0]))
    return tuple(kept)


def constant(value: int) -> Terms:
    return (((), value),) if value else ZERO


def of_atom(atom: Atom, coefficient: int = 1) -> Terms:
    return ((((atom, 1),), coefficient),)


def as_constant(terms: Terms) -> int | None:
    """The value of a polynomial without atoms, otherwise None."""
    if not terms:
        return 0
    if len(terms) == 1 and not terms[0][0]:
        return terms[0][1]
    return None


def add(a: Terms, b: Terms, scale: int = 1) -> Terms:
    """``a + scale * b``."""
    total = dict(a)
    for monomial, c in b:
        total[monomial] = total.get(monomial, 0) + scale * c
    return normal(total)


def _times(a: Monomial, b: Monomial) -> Monomial:
    powers = dict(a)
    for atom, power in b:
        powers[atom] = powers.get(atom, 0) + power
    return tuple(sorted(powers.items(), key=lambda factor: factor[0].key))


def _over(a: Monomial, b: Monomial) -> Monomial | None:
    """The monomial ``a / b``, or None where ``b`` does not divide ``a``."""
    powers = dict(a)
    for atom, power in b:
        left = powers.get(atom, 0) - power
        if left < 0:
            return None
        powers[atom] = left
    return tuple((atom, power) for atom, power in powers.items() if power)


def multiply(a: Terms, b: Terms) -> Terms:
    total: dict[Monomial, int] = {}
    for m, c in a:
        for n, d in b:
            product = _times(m, n)
            total[product] = total.get(product, 0) + c * d
    return normal(total)


def power(base: Terms, exponent: int) -> Terms:
    result = constant(1)
    for _ in range(exponent):
        result = multiply(result, base)
    return result


def divide(p: Terms, q: Terms) -> tuple[Terms, Terms]:
    """``(whole, rest)`` with ``p == whole * q + rest``; the leading coefficient of ``q`` is > 0.

    In ``rest`` every multiple of the leading monomial of ``q`` has a coefficient in
    ``0 .. leading coefficient - 1``, which makes the result unique: polynomials that differ by a
    multiple of ``q`` have the same rest.
    """
    lead, coefficient = q[0]
    rest = dict(p)
    whole: dict[Monomial, int] = {}
    while True:
        excess = [m for m, c in rest.items() if not 0 <= c < coefficient and _over(m, lead) is not None]
        if not excess:
            return normal(whole), normal(rest)
        # The largest first: subtracting a multiple of q then only changes smaller monomials.
        monomial = min(excess, key=_order)
        factor = _over(monomial, lead)
        assert factor is not None
        times = rest[monomial] // coefficient
        whole[factor] = whole.get(factor, 0) + times
        for m, c in multiply(((factor, times),), q):
            rest[m] = rest.get(m, 0) - c


def floor_div(p: Terms, q: Terms) -> Terms:
    """``floor(p / q)`` for a ``q`` that is not the zero polynomial."""
    if q[0][1] < 0:
        p, q = add(ZERO, p, -1), add(ZERO, q, -1)
    whole, rest = divide(p, q)
    if not rest:
        return whole
    divisor = as_constant(q)
    if divisor is None:
        return add(whole, _by_polynomial(rest, q))
    if as_constant(rest) is not None:
        return whole  # 0 <= rest < divisor
    return add(whole, _by_constant(rest, divisor))


def _by_polynomial(p: Terms, q: Terms) -> Terms:
    """``floor(p / q)`` with what ``p`` and ``q`` have in common cancelled."""
    content = gcd(*[c for _, c in p], *[c for _, c in q])
    shared = _shared_symbols([m for m, _ in (*p, *q)])
    if content == 1 and not shared:
        return of_atom(Quotient(p, q))
    p, q = _cancel(p, shared, content), _cancel(q, shared, content)
    return floor_div(p, q)


def _cancel(terms: Terms, monomial: Monomial, content: int) -> Terms:
    return normal({_over(m, monomial) or (): c // content for m, c in terms})


def _shared_symbols(monomials: Iterable[Monomial]) -> Monomial:
    """The named sizes that divide every monomial.  A quotient may be 0 and is not cancelled."""
    shared: dict[Atom, int] | None = None
    for monomial in monomials:
        powers = dict(monomial)
        if shared is None:
            shared = {a: n for a, n in powers.items() if isinstance(a, Symbol)}
        else:
            shared = {a: min(n, powers[a]) for a, n in shared.items() if a in powers}
    return tuple(sorted((shared or {}).items(), key=lambda factor: factor[0].key))


def _by_constant(p: Terms, divisor: int) -> Terms:
    """``floor(p / divisor)`` for a reduced ``p``, without common factors and nested divisions."""
    content = gcd(divisor, *[c for m, c in p if m])
    if content > 1:
        # floor((g * s + c) / (g * k)) = floor((s + floor(c / g)) / k)
        divisor //= content
        p = normal({m: c // content for m, c in p})
    for monomial, c in p:
        if c == 1 and len(monomial) == 1 and monomial[0][1] == 1 and isinstance(monomial[0][0], Quotient):
            # floor((t + floor(n / d)) / k) = floor((t * d + n) / (d * k)) for an integer k > 0
            inner = monomial[0][0]
            others = tuple(term for term in p if term[0] != monomial)
            numerator = add(multiply(others, inner.denominator), inner.numerator)
            return floor_div(numerator, multiply(inner.denominator, constant(divisor)))
    return of_atom(Quotient(p, constant(divisor)))


def symbols(terms: Terms) -> dict[Symbol, None]:
    """The named sizes a polynomial depends on, in order."""
    found: dict[Symbol, None] = {}
    for monomial, _ in terms:
        for atom, _power in monomial:
            if isinstance(atom, Symbol):
                found[atom] = None
            elif isinstance(atom, Quotient):
                found |= symbols(atom.numerator) | symbols(atom.denominator)
    return found


def split_remainders(terms: Terms) -> tuple[Terms, list[tuple[Quotient, int]]]:
    """``(rest, [(p // q, k), ...])`` with ``terms`` equal to ``rest`` plus every ``k * (p % q)``.

    Only remainders that are in ``terms`` whole, as ``k * p - k * q * (p // q)``.
    """
    found: list[tuple[Quotient, int]] = []
    for atom in [a for m, _ in terms for a, _ in m if isinstance(a, Quotient)]:
        product = multiply(atom.denominator, of_atom(atom))
        lead, most = product[0]
        times = -dict(terms).get(lead, 0) // most
        remainder = add(atom.numerator, product, -1)
        rest = add(terms, remainder, -times)
        left = dict(rest)
        if times and not any(m in left for m, _ in remainder if m):
            found.append((atom, times))
            terms = rest
    return terms, found
