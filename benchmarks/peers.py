"""Who is compared: the modes of each framework, where it is installed, and in which version."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.harness import ROOT, Entrant, environment
from benchmarks.workloads.cases import WORKLOADS

OURS = "flambeau"
COMPILED = "flambeau compiled"
EAGER = "PyTorch eager"


@dataclass(frozen=True)
class Framework:
    """A framework: the module to import, the packages that may hold it, and its file of workloads."""

    name: str
    module: str
    packages: tuple[str, ...]
    file: str


FRAMEWORKS = {
    f.module.partition(".")[0]: f
    for f in (
        Framework("flambeau", "flambeau", (), "ours"),
        Framework("PyTorch", "torch", ("torch",), "torch_models"),
        Framework("JAX", "jax", ("jax",), "jax_models"),
        Framework("TensorFlow", "tensorflow", ("tensorflow-cpu", "tensorflow"), "tensorflow_models"),
        Framework("MLX", "mlx.core", ("mlx",), "mlx_models"),
        Framework("tinygrad", "tinygrad", ("tinygrad",), "tinygrad_models"),
    )
}
EAGERLY = ("op_overhead", "op_overhead_grad", "op_single")


@dataclass(frozen=True)
class Mode:
    """A way to run a framework: on which workloads, and the seconds it may compile and take first steps."""

    name: str
    framework: str
    workloads: tuple[str, ...]
    patience: float | None
    plain: bool = False  # operations are dispatched one by one


_ALL = tuple(WORKLOADS)
_GRAPHS = tuple(w for w in WORKLOADS if w != "op_single")
_STEPS = tuple(w for w in _GRAPHS if w not in ("matmul", "conv", "adam_update"))
MODES = {
    mode.name: mode
    for mode in (
        Mode(OURS, "flambeau", _ALL, None, plain=True),
        Mode(COMPILED, "flambeau", (*_STEPS, "adam_update"), None),
        Mode(EAGER, "torch", _ALL, 60, plain=True),
        Mode("torch.compile", "torch", _STEPS, 120),
        Mode("JAX", "jax", _GRAPHS, 90),
        Mode("JAX eager", "jax", EAGERLY, 60, plain=True),
        Mode("TensorFlow", "tensorflow", _GRAPHS, 60),
        Mode("TensorFlow eager", "tensorflow", EAGERLY, 60, plain=True),
        Mode("MLX", "mlx", _GRAPHS, 25),
        Mode("MLX eager", "mlx", EAGERLY, 25, plain=True),
        Mode("tinygrad", "tinygrad", _GRAPHS, 25),
        Mode("tinygrad eager", "tinygrad", EAGERLY, 25, plain=True),
    )
}

_ASK = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Installed:
    """A framework that is there: its interpreter and version."""

    framework: Framework
    python: str
    version: str


def interpreters(given: list[str]) -> dict[str, str]:
    """The interpreter of each framework from ``PATH``, which stands for all peers, and ``framework=PATH``."""
    found = dict.fromkeys(FRAMEWORKS, sys.executable)
    for text in sorted(given, key=_names_one):  # those for all peers first
        name, mark, path = text.rpartition("=")
        if mark and name not in FRAMEWORKS:
            raise SystemExit(f"there is no framework {name!r}; there are {', '.join(FRAMEWORKS)}")
        for key in [name] if mark else [k for k in FRAMEWORKS if k != "flambeau"]:
            found[key] = path
    return found


def _names_one(text: str) -> bool:
    return "=" in text


def installed(pythons: Mapping[str, str]) -> dict[str, Installed]:
    """The frameworks that are installed, flambeau first."""
    found = {}
    for python in dict.fromkeys(pythons.values()):
        wanted = [p for f in FRAMEWORKS.values() for p in f.packages]
        told = subprocess.run(
            [python, "-c", _ASK, *wanted], env=environment(1), capture_output=True, text=True, check=True
        )
        versions = json.loads(told.stdout)
        for key, framework in FRAMEWORKS.items():
            version = next((versions[p] for p in framework.packages if p in versions), None)
            if version is not None and pythons[key] == python:
                found[key] = Installed(framework, python, version)
    ours = Installed(FRAMEWORKS["flambeau"], pythons["flambeau"], _own_version())
    return {key: {"flambeau": ours, **found}[key] for key in FRAMEWORKS if key in found or key == "flambeau"}


def _own_version() -> str:
    text = (ROOT / "pyproject.toml").read_text()
    return next(line.split('"')[1] for line in text.splitlines() if line.startswith("version = "))


def entrants(workload: str, there: Mapping[str, Installed], only: list[str] | None = None) -> list[Entrant]:
    """Who takes part in ``workload``: all modes of what is installed, or those of them that are named."""
    found = []
    for mode in MODES.values():
        if workload in mode.workloads and mode.framework in there and (only is None or mode.name in only):
            where = there[mode.framework]
            module = f"benchmarks.workloads.{where.framework.file}"
            found.append(
                Entrant(mode.name, module, where.python, mode.patience, peer=mode.framework != "flambeau")
            )
    return found
