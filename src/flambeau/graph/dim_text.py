"""How a symbolic size is written: ``2*batch + 1``, ``(seq + 1)//2``, ``seq % 8``."""

from __future__ import annotations

from collections.abc import Iterable

from flambeau.graph.polynomials import Atom, Monomial, Quotient, Symbol, Terms, as_constant, split_remainders


def text(terms: Terms) -> str:
    """The polynomial as a Python expression of the named sizes."""
    terms, remainders = split_remainders(terms)
    pieces: list[tuple[int, str]] = [_remainder(atom, times) for atom, times in remainders]
    pieces = [_term(monomial, c) for monomial, c in terms if monomial] + pieces
    pieces += [_term(monomial, c) for monomial, c in terms if not monomial]
    if not pieces:
        return "0"
    if len(pieces) > 1 and pieces[0][0] < 0:  # "n - 2*m" reads better than "-2*m + n"
        pieces.sort(key=lambda piece: piece[0] < 0)
    first, *others = pieces
    signs = "".join(f" {'-' if sign < 0 else '+'} {body}" for sign, body in others)
    return f"{'-' if first[0] < 0 else ''}{first[1]}{signs}"


def _remainder(atom: Quotient, times: int) -> tuple[int, str]:
    written = f"{_operand(atom.numerator)} % {_operand(atom.denominator)}"
    if abs(times) > 1:
        return times, f"{abs(times)}*({written})"
    return times, written if times > 0 else f"({written})"


def _term(monomial: Monomial, coefficient: int) -> tuple[int, str]:
    """The sign of a term and its text without the sign."""
    sign, size = (-1, -coefficient) if coefficient < 0 else (1, coefficient)
    factors: list[tuple[str, int]] = []
    for atom, power in monomial:
        if isinstance(atom, Symbol) and size % atom.multiple**power == 0:
            size //= atom.multiple**power
            factors.append((atom.name, power))
        else:
            factors.append((_atom(atom), power))
    alone = size == 1 and len(factors) == 1 and factors[0][1] == 1
    bare = alone and sign > 0  # a quotient without parentheses
    written = [name if bare else _raised(name, power) for name, power in factors]
    if size != 1 or not written:
        written.insert(0, str(size))
    return sign, "*".join(written)


def _raised(name: str, power: int) -> str:
    base = name if name.isidentifier() else f"({name})"
    return base if power == 1 else f"{base}**{power}"


def _atom(atom: Atom) -> str:
    if isinstance(atom, Symbol):
        return atom.name if atom.multiple == 1 else f"{atom.name}//{atom.multiple}"
    assert isinstance(atom, Quotient)
    return f"{_operand(atom.numerator)}//{_operand(atom.denominator)}"


def _operand(terms: Terms) -> str:
    written = text(terms)
    value = as_constant(terms)
    simple = written.isidentifier() or (value is not None and value >= 0)
    return written if simple else f"({written})"


def names(symbols: Iterable[Symbol]) -> str:
    """What is assumed of each named size, for error messages."""
    return ", ".join(_assumption(symbol) for symbol in symbols)


def _assumption(symbol: Symbol) -> str:
    limits = f"{symbol.name} >= {symbol.min}"
    if symbol.max is not None:
        limits = f"{symbol.min} <= {symbol.name} <= {symbol.max}"
    return limits if symbol.multiple == 1 else f"{limits}, a multiple of {symbol.multiple}"
