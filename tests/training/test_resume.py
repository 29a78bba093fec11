from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("resumed.py")
STEPS = 45


def start(folder: Path, moment: int = 0) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(SCRIPT), str(folder), str(moment)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def digest_of(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return out.split()[-1]


def kill_after(process: subprocess.Popen[str], steps: int, wait: float) -> bool:
    """SIGKILL when so many steps are done and ``wait`` seconds have passed; whether it came to that."""
    assert process.stdout is not None
    for _ in range(steps):
        if process.stdout.readline() != "step\n":
            break
    time.sleep(wait)
    killed = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    return killed


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> str:
    return digest_of(start(tmp_path_factory.mktemp("unbroken")))


def test_a_training_that_was_killed_goes_on_exactly(tmp_path: Path, unbroken: str) -> None:
    assert kill_after(start(tmp_path), 10, 0.0)  # after the checkpoint at the end of an epoch
    assert start(tmp_path, 17).wait(120) == 9  # while a checkpoint is written
    assert kill_after(start(tmp_path), 11, 0.002)  # within an epoch
    assert digest_of(start(tmp_path)) == unbroken
    assert digest_of(start(tmp_path)) == unbroken  # begun again after its end, it has nothing to do


def test_a_training_that_was_interrupted_goes_on_exactly(tmp_path: Path, unbroken: str) -> None:
    process = start(tmp_path)
    assert process.stdout is not None
    for _ in range(10):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode != 0 and "done" not in out
    resumed = start(tmp_path)
    out, _ = resumed.communicate(timeout=120)
    done = out.count("step")
    assert out.split()[-1] == unbroken
    assert done < STEPS - 9  # it was saved at the interrupt, not only at the checkpoint before


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_fifty_random_moments(tmp_path: Path, unbroken: str) -> None:
    rng = random.Random(0)
    kills = rounds = 0
    while kills < 50:
        folder = tmp_path / str(rounds)
        rounds += 1
        while True:
            how = rng.random()
            if how < 0.4:  # anywhere
                kills += kill_after(start(folder), rng.randrange(25), rng.random() * 0.02)
            elif how < 0.8:  # in the windows of writing and renaming
                kills += start(folder, rng.randrange(1, 120)).wait(120) == 9
            else:
                assert digest_of(start(folder)) == unbroken
                break
    assert rounds > 1
