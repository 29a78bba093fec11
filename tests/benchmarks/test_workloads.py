"""Workloads build with the right numbers of parameters; the command measures, keeps and merges them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.peers import COMPILED, FRAMEWORKS, MODES, OURS, entrants, installed, interpreters
from benchmarks.results import load
from benchmarks.workloads import ours
from benchmarks.workloads.cases import CONVOLUTIONS, PARAMETERS, WORKLOADS, convolution
from benchmarks.workloads.inputs import check_parameters

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", PARAMETERS)
def test_networks_have_as_many_parameters_as_they_should(name: str) -> None:
    check_parameters(name, sum(p.size for p in ours.network(name).parameters()))
    with pytest.raises(AssertionError, match="parameters, not"):
        check_parameters(name, 1)


@pytest.mark.parametrize("mode", [OURS, COMPILED])
@pytest.mark.parametrize(
    "case", ["mlp_small", "op_overhead", "op_overhead_grad", "matmul_128", "conv_1_256_1024_14_1_weight"]
)
def test_small_cases_run(mode: str, case: str) -> None:
    step = ours.build(mode, case)
    first, second, third = step(), step(), step()
    if case == "mlp_small":
        assert first is not None and second is not None and third is not None
        assert third[0] < second[0] < first[0]


def test_every_case_is_named_once_and_read_back() -> None:
    cases = [case for cases in WORKLOADS.values() for case in cases]
    assert len(set(cases)) == len(cases)
    assert [convolution(c.name) for c in CONVOLUTIONS] == list(CONVOLUTIONS)


def test_interpreters_are_those_given() -> None:
    found = interpreters(["torch=/b", "/a"])
    assert found["torch"] == "/b" and found["jax"] == "/a" and found["flambeau"] == sys.executable
    with pytest.raises(SystemExit, match="no framework 'pytorch'"):
        interpreters(["pytorch=/b"])


def test_who_takes_part() -> None:
    there = installed(dict.fromkeys(FRAMEWORKS, sys.executable))
    assert next(iter(there)) == "flambeau"
    taking_part = [e.mode for e in entrants("gelu", there)]
    assert taking_part[:2] == [OURS, COMPILED]
    assert all(MODES[m].framework in there for m in taking_part)
    assert [e.mode for e in entrants("gelu", there, [COMPILED])] == [COMPILED]


def test_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--only", "mlp_small", "--modes", "flambeau,PyTorch eager"]
    command += ["--rounds", "1", "--seconds", "0.05", "--threads", "1"]
    found = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True)
    assert "### Time of a step" in found.stdout and "mlp_small" in found.stdout
    refused = subprocess.run(
        [*command, "--write"], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2 and "--write needs all modes" in refused.stderr


def test_kept_results_can_be_read() -> None:
    kept = ROOT / "benchmarks" / "results.json"
    if kept.exists():
        assert load(kept).entries and json.loads(kept.read_text())["machine"]
