"""The command that measures whole workloads runs, and keeps and merges what it finds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.torch
def test_runs_and_merges(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    for name in ("mlp_small", "gelu"):
        command = [sys.executable, "-m", "benchmarks.workloads.run", "--only", name, "--kept", str(kept)]
        command += ["--rounds", "1", "--seconds", "0.05", "--threads", "1"]
        found = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True)
        assert f"{name}, PyTorch eager" in found.stdout
    assert {r["workload"] for r in json.loads(kept.read_text())} == {"mlp_small", "gelu"}
