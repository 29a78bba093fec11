"""A plot of the results: one row a workload, one mark a mode, the fastest peer at 1, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.harness import ROOT
from benchmarks.peers import COMPILED, EAGER, OURS
from benchmarks.results import Entry, Results
from benchmarks.workloads.cases import NETWORKS, STREAMS

PICTURE = ROOT / "docs" / "pictures" / "benchmarks.svg"

# Colours that are told apart in grey, too, and a shape for each.
_MARKS = {
    COMPILED: ("#d9480f", "disc"), OURS: ("#d9480f", "ring"), EAGER: ("#1c7ed6", "square"),
    "torch.compile": ("#1c7ed6", "frame"), "JAX": ("#2b8a3e", "diamond"),
    "TensorFlow": ("#862e9c", "triangle"), "MLX": ("#495057", "cross"), "tinygrad": ("#868e96", "plus"),
}  # fmt: skip
_LEFT, _RIGHT, _ROW, _TOP = 130, 20, 26, 74
_WIDTH = 760
_FIRST, _LAST = -4, 3  # powers of two on the axis


def svg(results: Results, threads: int = 2) -> str:
    """The picture; empty of marks where nothing was measured."""
    entries = [e for name in (*NETWORKS, *STREAMS) for e in results.of(name, threads)]
    height = _TOP + _ROW * len(entries) + 40
    modes = [m for m in _MARKS if any(e.times(m) for e in entries)]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
        'font-size="12" fill="#212529">',
        f"<title>Speed of each framework, the fastest peer being 1, on {threads} threads</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        *_legend(modes),
        *_axis(height),
    ]
    for i, e in enumerate(entries):
        parts += _row(e, _TOP + _ROW * i + _ROW / 2, modes)
    return "\n".join([*parts, "</svg>"]) + "\n"


def place(speed: float) -> float:
    """Where a speed stands: on a logarithmic axis, whose ends take what lies beyond."""
    power = min(max(math.log2(speed), _FIRST), _LAST)
    return _LEFT + (power - _FIRST) / (_LAST - _FIRST) * (_WIDTH - _LEFT - _RIGHT)


def _legend(modes: Sequence[str]) -> list[str]:
    parts = []
    for i, mode in enumerate(modes):
        x, y = 14 + 186 * (i % 4), 18 + 20 * (i // 4)
        parts += [mark(mode, x, y), f'<text x="{x + 12}" y="{y + 4}">{mode}</text>']
    return parts


def _axis(height: float) -> list[str]:
    parts = []
    bottom = height - 36
    for power in range(_FIRST, _LAST + 1):
        x = place(2.0**power)
        label = f"{2**power}" if power >= 0 else f"1/{2**-power}"
        if power == _FIRST:
            label += " or less"
        colour, width = ("#495057", 1.5) if power == 0 else ("#dee2e6", 1)
        parts.append(
            f'<line x1="{x:.1f}" y1="{_TOP - 6}" x2="{x:.1f}" y2="{bottom}" stroke="{colour}" '
            f'stroke-width="{width}"/><text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{label}</text>'
        )
    parts.append(
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{height - 5}" text-anchor="middle">'
        "speed, the fastest peer being 1: further right is faster</text>"
    )
    return parts


def _row(e: Entry, y: float, modes: Sequence[str]) -> list[str]:
    peer = e.fastest_peer()
    parts = [
        f'<text x="{_LEFT - 20}" y="{y + 4}" text-anchor="end">{e.case}</text>',
        f'<line x1="{_LEFT}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}" stroke="#f1f3f5"/>',
    ]
    for mode in reversed(modes):  # ours on top
        speed = 1.0 if mode == peer else e.speed(mode, peer)
        if speed is not None:
            parts.append(f"<g><title>{mode}: {speed:.2f}</title>{mark(mode, place(speed), y)}</g>")
    return parts


def mark(mode: str, x: float, y: float) -> str:
    colour, shape = _MARKS[mode]
    line = f'fill="none" stroke="{colour}" stroke-width="2"'
    filled = f'fill="{colour}"'
    drawn = {
        "disc": f'<circle cx="{x:.1f}" cy="{y}" r="6" {filled}/>',
        "ring": f'<circle cx="{x:.1f}" cy="{y}" r="5" {line}/>',
        "square": f'<rect x="{x - 5:.1f}" y="{y - 5}" width="10" height="10" {filled}/>',
        "frame": f'<rect x="{x - 4.5:.1f}" y="{y - 4.5}" width="9" height="9" {line}/>',
        "diamond": f'<path d="M{x:.1f} {y - 6} l6 6 l-6 6 l-6 -6 z" {filled}/>',
        "triangle": f'<path d="M{x:.1f} {y - 6} l6 11 l-12 0 z" {filled}/>',
        "cross": f'<path d="M{x - 4:.1f} {y - 4} l8 8 m0 -8 l-8 8" {line}/>',
        "plus": f'<path d="M{x:.1f} {y - 5} v10 m-5 -5 h10" {line}/>',
    }
    return drawn[shape]
