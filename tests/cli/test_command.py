from __future__ import annotations

import subprocess
import sys

import pytest

import flambeau
from flambeau.cli import main


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    try:
        code = main(words)
    except SystemExit as stop:  # --help and --version end so
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "info")
    facts = dict(line.split(":", 1) for line in out.splitlines())
    assert (code, err) == (0, "")
    assert facts["flambeau"].split()[0] == flambeau.__version__
    assert "threads" in facts and "kernel cache" in facts and "instruction set" in facts
    assert facts["executors"].strip() == "llvm (default), reference"
    assert "numpy" in facts["needed"] and "MISSING" not in facts["needed"]


@pytest.mark.parametrize(
    "words", [["--help"], ["info", "--help"], ["train", "--help"], ["generate", "--help"]]
)
def test_help(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    code, out, err = run(capsys, *words)
    assert (code, err) == (0, "")
    assert out.startswith("usage: flambeau")


def test_help_names_every_argument_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "train", "image-classifier", "--help")
    names = ("--data", "--epochs", "--batch-size", "--lr", "--hidden", "--seed", "--threads", "--output")
    for name in names:
        assert f"  {name} " in out
    assert "  --model {cnn,mlp}" in out and "  --resume " in out
    assert "fashion-mnist-mini" in out and "(default: 64; mlp: 128)" in " ".join(out.split())
    assert "==SUPPRESS==" not in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"flambeau {flambeau.__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["trane"], "argument COMMAND: invalid choice: 'trane' (choose from "),
        (["train"], "train: the following arguments are required: MODEL"),
        (["info", "--all"], "unrecognized arguments: --all"),
    ],
)
def test_commands_that_are_not_there(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith(f"flambeau: {message}")
    assert err.count("\n") == 1


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from flambeau.cli import main\n"
        "try: main(['train', 'image-classifier', '--help'])\n"
        "except SystemExit: pass\n"
        "bad = {'llvmlite', 'torch', 'flambeau.nn', 'flambeau.engine.native', 'gzip', 'importlib.metadata'}\n"
        "print(sorted(bad & set(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.stderr == "[]\n"


def test_python_m_flambeau() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "flambeau", "--version"], capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stdout) == (0, f"flambeau {flambeau.__version__}\n")


def test_a_reader_that_leaves_early() -> None:
    code = (
        "import os, sys; from flambeau.cli import main\n"
        "read, write = os.pipe(); os.close(read); os.dup2(write, 1)\n"
        "sys.exit(main(['info']))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (1, "")
