"""Bounds of polynomials in symbolic sizes: what holds for every size there can be.

Every atom is written as its lower bound plus an unknown that is at least 0.  Once expanded, a
polynomial is at least its constant term plus, for each negative coefficient, that coefficient
times the largest value of its monomial.  The bounds are sound, and not always tight.
"""

from __future__ import annotations

from functools import lru_cache

from flambeau.graph.polynomials import (
    ZERO,
    Atom,
    Monomial,
    Quotient,
    Slack,
    Symbol,
    Terms,
    add,
    as_constant,
    constant,
    multiply,
    normal,
    of_atom,
    power,
    split_remainders,
)

Bound = int | None  # None: unbounded


@lru_cache(maxsize=4096)
def bounds(terms: Terms) -> tuple[Bound, Bound]:
    """The least and greatest values ``terms`` is known to lie between, both included."""
    lower, upper = _lower(terms), _negated(_lower(add(ZERO, terms, -1)))
    exact, scale = _without_quotients(terms)
    if exact is not terms:
        lower = _largest(lower, _ceil_div(_lower(exact), scale))
        upper = _negated(_largest(_negated(upper), _ceil_div(_lower(add(ZERO, exact, -1)), scale)))
    rest, remainders = split_remainders(terms)
    if remainders:
        least, most = bounds(rest)
        for atom, times in remainders:
            least, most = _with_remainder(least, most, atom, times)
        lower, upper = _largest(lower, least), _negated(_largest(_negated(upper), _negated(most)))
    return lower, upper


def _with_remainder(least: Bound, most: Bound, atom: Quotient, times: int) -> tuple[Bound, Bound]:
    """The bounds of a sum after ``times * (p % q)``, which lies in ``0 .. times * (q - 1)``, is added."""
    lowest, highest = bounds(atom.denominator)
    if lowest is None or lowest < 1:
        return None, None
    furthest = None if highest is None else times * (highest - 1)
    if times > 0:
        return least, None if most is None or furthest is None else most + furthest
    return None if least is None or furthest is None else least + furthest, most


def _lower(terms: Terms) -> Bound:
    expanded = ZERO
    for monomial, c in terms:
        product = constant(c)
        for atom, n in monomial:
            shifted = _shifted(atom)
            if shifted is None:
                return None
            product = multiply(product, power(shifted, n))
        expanded = add(expanded, product)
    total = 0
    for monomial, c in expanded:
        if not monomial:
            total += c
        elif c < 0:
            most = _largest_value(monomial)
            if most is None:
                return None
            total += c * most
    return total


def _shifted(atom: Atom) -> Terms | None:
    """An atom as a bound plus or minus an unknown that is at least 0; None where it has no bound."""
    if isinstance(atom, Slack):
        return of_atom(atom)
    lower, upper = _atom_bounds(atom)
    cap = None if lower is None or upper is None else upper - lower
    if lower is not None:
        return add(constant(lower), of_atom(Slack(atom, "above", cap)))
    if upper is not None:
        return add(constant(upper), of_atom(Slack(atom, "below", None)), -1)
    return None


def _atom_bounds(atom: Symbol | Quotient) -> tuple[Bound, Bound]:
    if isinstance(atom, Symbol):
        return atom.min // atom.multiple, None if atom.max is None else atom.max // atom.multiple
    least, most = bounds(atom.denominator)
    if least is None or least < 1:
        return None, None
    lower, upper = bounds(atom.numerator)
    # A numerator below 0 is least negative over the largest denominator; one above 0 is smallest there.
    if lower is not None:
        lower = lower // least if lower < 0 else (0 if most is None else lower // most)
    if upper is not None:
        upper = upper // least if upper >= 0 else (-1 if most is None else upper // most)
    return lower, upper


def _without_quotients(terms: Terms) -> tuple[Terms, int]:
    """``(scaled, scale)``: ``scale * terms`` with each ``n // d`` written as ``(n - remainder) / d``.

    Only for constant ``d``.  This knows what the bounds of the quotient alone forget: that
    ``n // 2`` is at most ``n`` for the same ``n``.
    """
    scale = 1
    while True:
        atom = next((a for m, _ in terms for a, _ in m if isinstance(a, Quotient) and _divisor(a)), None)
        if atom is None:
            return terms, scale
        divisor = _divisor(atom)
        replacement = add(atom.numerator, of_atom(Slack(atom, "remainder", divisor - 1)), -1)
        highest = max(dict(m).get(atom, 0) for m, _ in terms)
        rewritten = ZERO
        for m, c in terms:
            n = dict(m).get(atom, 0)
            others = normal({tuple(f for f in m if f[0] != atom): c * divisor ** (highest - n)})
            rewritten = add(rewritten, multiply(others, power(replacement, n)))
        terms, scale = rewritten, scale * divisor**highest


def _divisor(atom: Quotient) -> int:
    return as_constant(atom.denominator) or 0


def _largest_value(monomial: Monomial) -> Bound:
    product = 1
    for atom, n in monomial:
        cap = atom.cap if isinstance(atom, Slack) else None
        if cap is None:
            return None
        product *= cap**n
    return product


def _negated(bound: Bound) -> Bound:
    return None if bound is None else -bound


def _ceil_div(bound: Bound, divisor: int) -> Bound:
    return None if bound is None else -(-bound // divisor)


def _largest(a: Bound, b: Bound) -> Bound:
    if a is None or b is None:
        return b if a is None else a
    return max(a, b)
