"""``flambeau info``: what this installation is, and what it runs on."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from typing import Any

from flambeau.cli.arguments import HelpFormatter

# Distributions that are not needed, and what for they are used where they are installed.
_OPTIONAL = {
    "rich": "progress bars",
    "tensorboardX": "TensorBoard",
    "tokenizers": "byte-pair tokenizers",
    "torch": "the tests compare with it",
}
_NEEDED = ("numpy", "llvmlite", "ml_dtypes")


def add_command(commands: Any) -> None:
    """Add ``info`` to the commands."""
    command = commands.add_parser(
        "info",
        help="show versions, processor, threads and caches",
        description="Show what this installation of flambeau is and what it runs on: paste it into a report.",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    command.set_defaults(run=run)


def version() -> str:
    """The version of flambeau, which is loaded by now."""
    return str(sys.modules[__name__.partition(".")[0]].__version__)


def run(arguments: argparse.Namespace) -> int:
    """Print all facts, one a line."""
    for name, fact in facts():
        print(f"{name + ':':<17} {fact}")
    return 0


def facts() -> list[tuple[str, str]]:
    """Names of facts, and the facts."""
    from flambeau.compiler import cache, cpus
    from flambeau.engine.executors import _MAKERS, DEFAULT
    from flambeau.runtime import threads

    kept = cache.current().info()
    folder = kept.folder or "none"
    amount = f"{kept.entries} kernels, {kept.nbytes / 2**20:.1f} MiB"
    state = f"not used: {kept.problem}" if kept.problem else amount
    return [
        ("flambeau", f"{version()} in {os.path.dirname(os.path.dirname(__file__))}"),
        ("python", f"{platform.python_implementation()} {platform.python_version()} at {sys.executable}"),
        ("system", f"{platform.system()} {platform.release()}, {platform.machine()}"),
        ("processor", _processor()),
        ("instruction set", _instruction_set()),
        ("threads", f"{threads.get_num_threads()} of {cpus.available()} processors available"),
        ("kernel cache", f"{folder} ({state})"),
        ("executors", ", ".join(f"{name} (default)" if name == DEFAULT else name for name in _MAKERS)),
        ("needed", ", ".join(f"{name} {_installed(name) or 'MISSING'}" for name in _NEEDED)),
        (
            "optional",
            ", ".join(f"{n} {_installed(n) or 'not installed'} ({why})" for n, why in _OPTIONAL.items()),
        ),
    ]


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"


def _instruction_set() -> str:
    from flambeau.compiler.target import Target, TargetError

    try:
        target = Target.host()
    except TargetError as error:
        return f"unsupported: {error}"
    return f"{target.name}, vectors of {target.vector_bits} bits (LLVM's name of the processor: {target.cpu})"


def _installed(distribution: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
