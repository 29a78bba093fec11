"""Derives the polynomials of ``flambeau.compiler.functions`` and writes ``coefficients.py`` there.

    python tools/fit_polynomials.py [output file]

Needs mpmath.  Each polynomial is a weighted least-squares fit at Chebyshev points, which comes
within a small factor of the best (minimax) one for functions as smooth as these (L. N. Trefethen,
*Approximation Theory and Approximation Practice*, 2013, chapter 16).  Coefficients are rounded to
the format one by one, lowest first, and the rest fitted again, so that they make up for the
rounding (N. Brisebarre, S. Chevillard, 2007, after the same idea).  The largest relative error of
each result, relative to the function that the polynomial is a part of, is printed and written
beside it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpmath import mp, mpf

mp.dps = 60
Real = Any
Function = Callable[[Real], Real]


def rounded(value: Real, element: str) -> Real:
    """``value`` rounded to nearest in "float" (24 bits) or "double" (53 bits)."""
    with mp.workprec(24 if element == "float" else 53):
        return +mpf(value)


def parts(value: Real, element: str, count: int) -> list[float]:
    """``value`` as a sum of ``count`` numbers of a format, each the best for what is left."""
    out = []
    for _ in range(count):
        part = rounded(value, element)
        out.append(float(part))
        value = value - part
    return out


@dataclass(frozen=True)
class Fit:
    """A polynomial for ``target`` on [low, high]; an error e in it weighs ``weight(u)`` * e."""

    name: str
    element: str
    target: Function
    low: Real
    high: Real
    degree: int
    weight: Function
    leading_parts: int = 0  # so many leading coefficients are kept as pairs in "<name>_LOW"


def solve(fit: Fit) -> tuple[list[Real], list[Real], float]:
    """The coefficients, the low parts of the leading ones, and the largest weighted error."""
    count = 3 * (fit.degree + 1)
    middle, half = (fit.high + fit.low) / 2, (fit.high - fit.low) / 2
    points = [middle + half * mp.cos(mp.pi * (2 * k + 1) / (2 * count)) for k in range(count)]
    values = [fit.target(u) for u in points]
    weights = [fit.weight(u) for u in points]
    done: list[Real] = []
    low: list[Real] = []
    for i in range(fit.degree + 1):
        rows = mp.matrix(count, fit.degree + 1 - i)
        right = mp.matrix(count, 1)
        for k, u in enumerate(points):
            known = sum(((c + (low[j] if j < len(low) else 0)) * u**j for j, c in enumerate(done)), mpf(0))
            right[k] = (values[k] - known) * weights[k]
            for j in range(i, fit.degree + 1):
                rows[k, j - i] = u**j * weights[k]
        solution = mp.qr_solve(rows, right)[0]
        done.append(rounded(solution[0], fit.element))
        if i < fit.leading_parts:
            low.append(rounded(solution[0] - done[-1], fit.element))
    worst = mpf(0)
    for k in range(400):
        u = middle + half * mp.cos(mp.pi * (2 * k + 1) / 800)
        got = sum(((c + (low[j] if j < len(low) else 0)) * u**j for j, c in enumerate(done)), mpf(0))
        worst = max(worst, abs((got - fit.target(u)) * fit.weight(u)))
    return done, low, float(worst)


def removable(f: Function, at_zero: Real) -> Function:
    """``f`` with its value at (and next to) zero, where the formula is 0/0."""
    return lambda u: mpf(at_zero) if u == 0 else f(u)


LN2 = mp.log(2)
HALF_LN2 = LN2 / 2 * mpf("1.001")
ROOT_LOW, ROOT_HIGH = mp.sqrt(mpf(1) / 2) - 1, mp.sqrt(2) - 1
TANH_HIGH = mpf("0.551") ** 2
QUARTER_PI_SQUARED = (mp.pi / 4 * mpf("1.001")) ** 2
TAN_EIGHTH_SQUARED = mp.tan(mp.pi / 8) ** 2 * mpf("1.001")
ATANH_HIGH = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * mpf("1.001")


def _atanh_part(z: Real) -> Real:
    """log((1+s)/(1-s)) = 2 s + s^3 * this, with z = s^2."""
    s = mp.sqrt(z)
    return (mp.log((1 + s) / (1 - s)) - 2 * s) / s**3


def _log2_ratio(z: Real) -> Real:
    """log2((1+s)/(1-s)) / s, with z = s^2."""
    s = mp.sqrt(z)
    return mp.log((1 + s) / (1 - s)) / s / LN2


def _erf_small(s: Real) -> Real:
    x = mp.sqrt(s)
    return mp.erf(x) / x - 1


ERFCX_CENTRE = mpf("2.25")
ERF_TOP_64 = mpf("6")


def _erfcx_of(t: Real) -> Real:
    """exp(x^2) erfc(x) with x such that t = (x - c) / (x + c)."""
    x = ERFCX_CENTRE * (1 + t) / (1 - t)
    return mp.erfc(x) * mp.exp(x * x)


def _mapped(x: Real) -> Real:
    return (x - ERFCX_CENTRE) / (x + ERFCX_CENTRE)


def fits() -> list[Fit]:
    """Every polynomial, its range and its weight."""
    out = []
    for element, tag, exp, exp2, log, sin, cos, erf, tanh in (
        ("float", "32", 4, 5, 8, 3, 2, 6, 4),
        ("double", "64", 10, 11, 7, 6, 5, 12, 11),
    ):
        out += [
            Fit(f"EXP_{tag}", element, removable(lambda r: (mp.exp(r) - 1 - r) / r**2, 0.5),
                -HALF_LN2, HALF_LN2, exp, lambda r: r**2),
            Fit(f"EXP2_{tag}", element, removable(lambda r: (mpf(2) ** r - 1) / r, LN2),
                mpf("-0.5"), mpf("0.5"), exp2, lambda r: r),
            Fit(f"SIN_{tag}", element, lambda s: (mp.sin(mp.sqrt(s)) / mp.sqrt(s) - 1) / s,
                mpf("1e-12"), QUARTER_PI_SQUARED, sin, lambda s: s),
            Fit(f"COS_{tag}", element, lambda s: (mp.cos(mp.sqrt(s)) - 1 + s / 2) / s**2,
                mpf("1e-10"), QUARTER_PI_SQUARED, cos, lambda s: s**2),
            Fit(f"TANH_{tag}", element, lambda s: (mp.tanh(mp.sqrt(s)) / mp.sqrt(s) - 1) / s,
                mpf("1e-12"), TANH_HIGH, tanh, lambda s: s),
            Fit(f"ERF_{tag}", element, _erf_small, mpf("1e-20"), mpf(1), erf, lambda s: mpf(1)),
        ]  # fmt: skip
        if tag == "32":
            out.append(Fit(
                "LOG_32", element, lambda f: (mp.log1p(f) - f + f * f / 2) / f**3,
                ROOT_LOW, ROOT_HIGH, log, lambda f: f**3 / mp.log1p(f)))  # fmt: skip
            out.append(Fit(
                "LOG2_32", element, lambda f: (mp.log1p(f) / LN2 - f / LN2) / f**2,
                ROOT_LOW, ROOT_HIGH, log + 1, lambda f: f**2 / mp.log1p(f)))  # fmt: skip
    out += [
        Fit("LOG_64", "double", _atanh_part, mpf("1e-14"), ATANH_HIGH, 7, lambda z: z),
        Fit("ERFC_LOG2_32", "float", lambda x: mp.log(mp.erfc(x)) / LN2, mpf(1), mpf(4), 6, mp.erfc),
        Fit("ERFC_EXP2_32", "float", removable(lambda r: (mpf(2) ** r - 1) / r, LN2),
            mpf("-0.5"), mpf("0.5"), 4, lambda r: mp.erfc(1) * r),
        Fit("ERFCX_64", "double", _erfcx_of, _mapped(mpf(1)), _mapped(ERF_TOP_64), 18,
            lambda t: mp.exp(-((ERFCX_CENTRE * (1 + t) / (1 - t)) ** 2) / 4)),
        Fit("POW_LOG2_32", "double", _log2_ratio, mpf("1e-14"), ATANH_HIGH, 6, lambda z: mpf(1)),
        Fit("POW_EXP2_32", "double", removable(lambda r: (mpf(2) ** r - 1) / r, LN2),
            mpf("-0.5"), mpf("0.5"), 7, lambda r: r),
        Fit("ATAN_64", "double", lambda z: (mp.atan(mp.sqrt(z)) / mp.sqrt(z) - 1) / z,
            mpf("1e-14"), TAN_EIGHTH_SQUARED, 10, lambda z: z),
        Fit("ASIN_64", "double", lambda z: (mp.asin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z,
            mpf("1e-14"), mpf("0.2502"), 12, lambda z: z),
        Fit("POW_LOG2_64", "double", _log2_ratio, mpf("1e-14"), ATANH_HIGH, 10, lambda z: mpf(1), 2),
    ]  # fmt: skip
    return out


def literal(values: list[float]) -> str:
    """A tuple of floats, in hexadecimal so that nothing is lost."""
    items = "".join(f'\n    float.fromhex("{v.hex()}"),' for v in values)
    return f"({items}\n)"


def main(path: Path) -> None:
    """Fits everything and writes the module."""
    lines = [
        '"""Coefficients of the elementary functions, lowest power first.',
        "",
        "Written by ``tools/fit_polynomials.py``; edit that, not this.  The comment above a polynomial is",
        "its largest error relative to the function that it is a part of.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
    ]
    for fit in fits():
        coefficients, low, worst = solve(fit)
        print(f"{fit.name:14s} degree {fit.degree:2d}  error 2^{float(mp.log(worst, 2)):.1f}", flush=True)
        lines.append(f"# error {worst:.2g}")
        lines.append(f"{fit.name} = {literal([float(c) for c in coefficients])}")
        if low:
            lines.append(f"{fit.name}_LOW = {literal([float(c) for c in low])}")
    for element, tag in (("float", "32"), ("double", "64")):
        for name, value, count in (
            ("LN2", LN2, 2), ("LOG2_E", 1 / LN2, 2), ("HALF_PI", mp.pi / 2, 3), ("TWO_OVER_PI", 2 / mp.pi, 1),
            ("LOG10_E", 1 / mp.log(10), 2),
        ):  # fmt: skip
            lines.append(f"{name}_{tag} = {literal(parts(value, element, count))}")
    lines.append(f"ERFCX_CENTRE = {float(ERFCX_CENTRE)!r}")
    # 64 zero bits, then the bits of 2/pi: enough for the largest float64 and 192 bits of product.
    with mp.workprec(1600):
        bits = int(mp.floor(2 / mp.pi * mpf(2) ** (64 * 20)))
    words = [0] + [(bits >> (64 * (19 - i))) & (2**64 - 1) for i in range(20)]
    items = "".join(f"\n    0x{w:016X}," for w in words)
    lines.append("# 2/pi in binary, 64 bits an item, after 64 zero bits")
    lines.append(f"TWO_OVER_PI_BITS = ({items}\n)")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    default = Path(__file__).resolve().parents[1] / "src/flambeau/compiler/functions/coefficients.py"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
