"""Rows of ``fb.explain`` as lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from flambeau.engine.report import Row

_SHOWN = 4  # names of fused operations in a line
_LITTLE = 0.01  # of the whole time: what takes less may share a line
_TITLES = (
    "#", "kind", "what", "where", "sizes", "count", "FLOPs", "read", "written",
    "predicted", "measured", "share", "limit",
)  # fmt: skip
_LEFT = (1, 2, 3, 4, 12)


def table(rows: Sequence[Row], predicted: float, measured: float, every: bool) -> list[str]:
    """The lines of a table.

    Without ``every`` neighbouring rows of one place that take little time share a line.
    """
    whole = measured or 1.0
    lines: list[tuple[str, ...]] = [_TITLES]
    rules: list[int] = []
    program = 1
    for own in [[row] for row in rows] if every else _together(rows, whole):
        if own[0].program != program:
            program = own[0].program
            rules.append(len(lines))
        lines.append(_cells(own, whole))
    top = [row for row in rows if not row.depth]
    rules.append(len(lines))
    lines.append(
        ("", "", "total", "", "", "", _amount(sum(row.flops for row in top)),
         size(sum(row.read for row in top)), size(sum(row.written for row in top)),
         time(predicted), time(measured), "100 %" if rows else "", "")
    )  # fmt: skip
    return _aligned(lines, rules)


def _together(rows: Sequence[Row], whole: float) -> list[list[Row]]:
    """The rows, those that share a line in one list."""
    found: list[list[Row]] = []
    for (_, little, *_), same in groupby(rows, lambda row: _place(row, whole)):
        own = list(same)
        found += [own] if little else [[row] for row in own]
    return found


def _place(row: Row, whole: float) -> tuple[object, ...]:
    little = row.measured < _LITTLE * whole and row.kind != "host"
    return row.program, little, row.depth, row.kind, _where(row)


def _cells(own: Sequence[Row], whole: float) -> tuple[str, ...]:
    """The cells of rows that share a line: sums, and names and sizes of the row that takes longest."""
    row = max(own, key=lambda r: r.measured)
    more = "" if len(own) == 1 else " ..."
    names = _repeated(row.fused)
    if len(names) > _SHOWN:
        names = [*names[:_SHOWN], f"+{len(names) - _SHOWN}"]
    same = all(r.fused == row.fused for r in own)
    measured = sum(r.measured for r in own)
    return (
        str(row.number) if len(own) == 1 else f"{own[0].number}-{own[-1].number}",
        "  " * row.depth + row.kind,
        " ".join(names) + ("" if same else more),
        _where(row),
        row.sizes + ("" if all(r.sizes == row.sizes for r in own) else more),
        str(sum(r.count for r in own)),
        _amount(sum(r.flops for r in own)),
        size(sum(r.read for r in own)),
        size(sum(r.written for r in own)),
        time(sum(r.predicted for r in own)) if row.limit else "",
        time(measured),
        f"{100 * measured / whole:.0f} %",
        max(own, key=lambda r: r.predicted).limit,
    )


def _where(row: Row) -> str:
    place = row.layer or row.operation
    text = " ".join([part for part in (place, f"({row.line})" if row.line else "") if part])
    if row.phase != "backward":
        return text
    return f"{text}, {row.gradient or 'gradient'}" if text else row.gradient or "gradient"


def _repeated(names: Sequence[str]) -> list[str]:
    """The names, neighbours that are equal once with their number."""
    counted = [(name, len(list(same))) for name, same in groupby(names)]
    return [name if n == 1 else f"{name} x{n}" for name, n in counted]


def _aligned(lines: Sequence[Sequence[str]], rules: Sequence[int]) -> list[str]:
    widths = [max(len(cells[i]) for cells in lines) for i in range(len(_TITLES))]

    def line(cells: Sequence[str]) -> str:
        columns = [
            cell.ljust(width) if i in _LEFT else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(columns).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    out = []
    for i, cells in enumerate(lines):
        if i in (1, *rules):
            out.append(rule)
        out.append(line(cells))
    return out


def _amount(n: float) -> str:
    """A number with a unit: 12.3 M."""
    for unit_size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if n >= unit_size:
            return f"{n / unit_size:.3g} {unit}"
    return f"{n:.0f}"


def size(n: float) -> str:
    """Bytes with a unit: 12.3 KiB."""
    for unit_size, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if n >= unit_size:
            return f"{n / unit_size:.3g} {unit}"
    return f"{n:.0f} B"


def time(seconds: float) -> str:
    """Seconds with a unit: 12.3 us."""
    for unit_size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= unit_size:
            return f"{seconds / unit_size:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"
