"""How many processors this process may use: its affinity, and the limits of its control groups."""

from __future__ import annotations

import math
import os
from pathlib import Path


def available() -> int:
    """The number of threads that can run at the same time, at least 1."""
    try:
        count = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not every system can say
        count = os.cpu_count() or 1
    quota = quota_cpus()
    if quota is not None:
        count = min(count, math.ceil(quota))
    return max(1, count)


def quota_cpus(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """The tightest CPU limit of the process's control groups, in processors, or None without one."""
    try:
        lines = proc.read_text().splitlines()
    except OSError:
        return None
    quotas = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            quotas += [_version2(folder) for folder in _upwards(root, path)]
        elif "cpu" in controllers.split(","):
            for mount in (root / "cpu", root / controllers):
                quotas += [_version1(folder) for folder in _upwards(mount, path)]
    known = [quota for quota in quotas if quota is not None and quota > 0]
    return min(known, default=None)


def _upwards(root: Path, path: str) -> list[Path]:
    """The group's folder and those above it: each may set a limit.  In a container only the top shows."""
    folder = root / path.lstrip("/")
    return [folder, *[parent for parent in folder.parents if parent.is_relative_to(root)]]


def _version2(folder: Path) -> float | None:
    words = _read(folder / "cpu.max").split()
    if len(words) != 2 or words[0] == "max":
        return None
    return int(words[0]) / int(words[1])


def _version1(folder: Path) -> float | None:
    quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    if not quota or not period or int(quota) <= 0:
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
