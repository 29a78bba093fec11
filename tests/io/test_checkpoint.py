from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau.errors import OperandError, WeightsError
from flambeau.io.checkpoint import _digest
from flambeau.io.packing import pack, unpack

STATE = {
    "epoch": 3,
    "rng": [2**64 - 1, 17],
    "best": math.inf,
    "logs": {"loss": 0.1 + 0.2, "nan": math.nan, "zero": -0.0},
    "groups": {0: [1, "two", None, True], "__kind__": "mine"},
    "tensor": fb.asarray([1.5, -0.0]),
    "half": fb.asarray([1.0, 3.14159]).astype(fb.bfloat16),
    "array": np.arange(6.0).reshape(2, 3),
}


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (fb.Tensor, np.ndarray)):
        x, y = np.asarray(a), np.asarray(b)
        return type(a) is type(b) and x.dtype == y.dtype and x.tobytes() == y.tobytes()
    if isinstance(a, float):
        return isinstance(b, float) and np.float64(a).tobytes() == np.float64(b).tobytes()
    return type(a) is type(b) and a == b


def test_what_is_packed_comes_back() -> None:
    text, tensors = pack(STATE)
    assert same(STATE, unpack(json.loads(json.dumps(text, allow_nan=False)), tensors))


@pytest.mark.parametrize("bad", [object(), {1.5: 0}, [1, {"a": {2, 3}}], 1j])
def test_what_cannot_be_packed(bad: Any) -> None:
    with pytest.raises(OperandError, match="a checkpoint cannot hold"):
        pack(bad)


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    kept = fb.io.Checkpoints(tmp_path / "a" / "b")
    assert kept.load_latest() is None
    weights = {"w": fb.asarray([[1.0, 2.0]]), "half": STATE["half"], "empty": fb.zeros((0, 3))}
    path = kept.save(weights, {"state": {0: [fb.ones(2)]}}, STATE)
    found = kept.load_latest()
    assert found is not None and found.path == path
    assert same(weights, found.weights)
    assert found.optimizer["state"][0][0].tolist() == [1.0, 1.0]
    assert same(STATE, found.state)
    files = {"optimizer.safetensors", "state.json", "state.safetensors", "weights.safetensors"}
    assert {p.name for p in path.iterdir()} == files


def test_the_newest_are_kept(tmp_path: Path) -> None:
    kept = fb.io.Checkpoints(tmp_path, keep=3)
    for i in range(5):
        kept.save({}, state=i)
    assert [fb.io.load_checkpoint(p).state for p in kept.paths()] == [2, 3, 4]
    (tmp_path / "notes").write_text("not flambeau's")
    kept.clear()
    assert [p.name for p in tmp_path.iterdir()] == ["notes"]


@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("how", ["missing", "short", "flipped", "empty"])
def test_damaged_checkpoints_are_passed_over_and_removed(tmp_path: Path, name: str, how: str) -> None:
    kept = fb.io.Checkpoints(tmp_path, keep=2)
    for i in range(2):
        kept.save({"w": fb.full(3, float(i))}, [fb.ones(2)], i)
    path = kept.paths()[-1] / name
    raw = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
    elif how == "flipped":
        raw[len(raw) * 2 // 3] ^= 1
        path.write_bytes(raw)
    else:
        path.write_bytes(raw[: -5 if how == "short" else 0])
    with pytest.raises((WeightsError, FileNotFoundError), match=name):
        fb.io.load_checkpoint(path.parent)
    found = kept.load_latest()
    assert found is not None and (found.state, found.weights["w"].tolist()) == (0, [0.0] * 3)
    kept.save({}, state=2)
    assert [fb.io.load_checkpoint(p).state for p in kept.paths()] == [0, 2]


def test_a_newer_format_is_an_error_and_not_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = fb.io.Checkpoints(tmp_path)
    kept.save({}, state=0)
    with monkeypatch.context() as patch:
        patch.setattr("flambeau.io.checkpoint.FORMAT", 2)
        kept.save({}, state=1)
    with pytest.raises(WeightsError, match="has format 2; this version of flambeau reads 1"):
        kept.load_latest()
    assert len(kept.paths()) == 2


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    kept = fb.io.Checkpoints(tmp_path, keep=1)
    kept.save({"w": fb.ones(2)}, state="old")
    with pytest.raises(OperandError):
        kept.save({"w": fb.ones(2)}, state=object())
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-00000001"]


_DYING = """
import os, sys
import flambeau as fb
folder, moment = sys.argv[1], int(sys.argv[2])
kept = fb.io.Checkpoints(folder, keep=1)
kept.save({"w": fb.full(1000, 1.0)}, {"m": fb.full(10, 1.0)}, 1)
seen = 0
def dying(real):
    def call(*args, **kwargs):
        global seen
        seen += 1
        if seen == moment:
            os._exit(9)
        made = real(*args, **kwargs)
        seen += 1
        if seen == moment:
            os._exit(9)
        return made
    return call
for name in ("open", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir"):
    setattr(os, name, dying(getattr(os, name)))
kept.save({"w": fb.full(1000, 2.0)}, {"m": fb.full(10, 2.0)}, 2)
print("moments", seen)
"""


def _die_at(folder: Path, moment: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _DYING, str(folder), str(moment)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
    )


def _check_after_death(folder: Path, moment: int) -> int:
    kept = fb.io.Checkpoints(folder, keep=1)
    found = kept.load_latest()
    assert found is not None, f"nothing is left after dying at moment {moment}"
    value = found.state
    assert value in (1, 2)
    assert found.weights["w"].tolist() == [float(value)] * 1000
    assert found.optimizer["m"].tolist() == [float(value)] * 10
    kept.save({}, state=3)
    assert [p.name for p in folder.iterdir()] == [kept.paths()[-1].name]
    return int(value)


@pytest.mark.parametrize("moment", [3, 9, 30])
def test_dying_while_saving(tmp_path: Path, moment: int) -> None:
    assert _die_at(tmp_path, moment).returncode == 9
    _check_after_death(tmp_path, moment)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_dying_at_every_moment_of_saving(tmp_path: Path) -> None:
    whole = _die_at(tmp_path / "whole", 0)
    count = int(whole.stdout.split()[1])
    assert count > 30
    values = []
    for moment in range(1, count + 1):
        folder = tmp_path / str(moment)
        assert _die_at(folder, moment).returncode == 9
        values.append(_check_after_death(folder, moment))
    assert values == sorted(values) and set(values) == {1, 2}


@pytest.mark.parametrize("table", [{"format": 1}, {"format": 1, "files": [], "optimizer": 0, "state": 0}])
def test_a_state_that_is_none(tmp_path: Path, table: dict[str, Any]) -> None:
    table["digest"] = _digest(table)
    (tmp_path / "state.json").write_text(json.dumps(table))
    with pytest.raises(WeightsError, match="the file is no state of a checkpoint"):
        fb.io.load_checkpoint(tmp_path)
