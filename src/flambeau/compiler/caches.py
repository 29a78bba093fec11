"""The caches and processors of the machine, by which block sizes are chosen; results are not."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from flambeau.compiler.cpus import available

_MODEST = (32 << 10, 512 << 10, 4 << 20)


def cache_sizes(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> tuple[int, ...]:
    """Bytes of the caches of one core, the nearest first; modest ones where nobody says."""
    found: dict[int, int] = {}
    try:
        for place in sorted(os.listdir(folder)):
            if place.startswith("index") and (folder / place / "type").read_text().strip() != "Instruction":
                text = (folder / place / "size").read_text().strip()
                level = int((folder / place / "level").read_text())
                found[level] = int(text.rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(text[-1:], 0)
    except (OSError, ValueError):
        found = {}
    sizes = tuple([found[level] for level in sorted(found)])
    return sizes if sizes and sizes == tuple(sorted(sizes)) and sizes[0] > 0 else _MODEST


@cache
def second_cache() -> int:
    """Bytes of the second-level cache, between 256 KiB and 2 MiB."""
    sizes = cache_sizes()
    return min(max(sizes[min(1, len(sizes) - 1)], 256 << 10), 2 << 20)


@cache
def last_cache() -> int:
    """Bytes of the largest cache."""
    return cache_sizes()[-1]


@cache
def processors() -> int:
    """How many processors this process may use."""
    return available()
