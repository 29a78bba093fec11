"""Worker processes: what happens when they fail, die, hang, or are left behind."""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau.data import DataLoader, Dataset, IterableDataset, TensorDataset, WorkerError
from flambeau.errors import OperandError

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    yield
    gc.collect()
    assert multiprocessing.active_children() == []


class Failing(Dataset[Any]):
    """Forty arrays, large enough for shared memory; something happens at item 21."""

    def __init__(self, action: str = "") -> None:
        self.action = action

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> Any:
        if index == 21:
            if self.action == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.action == "exit":
                sys.exit(3)
            if self.action == "raise":
                raise KeyError("no such picture")
            if self.action == "hang":
                time.sleep(1000)
            if self.action == "local":
                return (index for _ in range(3))  # a generator cannot be sent
        return np.full((60, 60), index, np.float32)


DEATHS = {
    "kill": r"worker 1 \(process \d+\) was killed by SIGKILL before it delivered batch 5",
    "exit": r"worker 1 \(process \d+\) exited with code 3 before it delivered batch 5",
    "raise": r"worker 1 \(process \d+\) failed at batch 5\n\nTraceback(.|\n)*KeyError: 'no such picture'",
    "hang": r"worker 1 \(process \d+\) did not deliver batch 5 within the timeout of 2 s",
}


@pytest.mark.parametrize(
    ("action", "persistent"), [*[(action, False) for action in DEATHS], ("kill", True), ("raise", True)]
)
def test_a_failure_is_an_error_that_says_why(action: str, persistent: bool) -> None:
    loader = DataLoader(
        Failing(action),
        4,
        num_workers=2,
        timeout=2 if action == "hang" else 20,
        persistent_workers=persistent,
    )
    received = []
    with pytest.raises(WorkerError, match=DEATHS[action]) as caught:
        received.extend(batch[0, 0, 0].item() for batch in loader)
    assert received == [0, 4, 8, 12, 16]
    assert isinstance(caught.value.__cause__, KeyError if action == "raise" else type(None))
    assert multiprocessing.active_children() == []


def test_a_batch_that_cannot_be_sent_is_named() -> None:
    loader = DataLoader(Failing("local"), 1, num_workers=2, collate_fn=lambda samples: samples[0])
    with pytest.raises(WorkerError, match="failed to send batch 21, which cannot be pickled"):
        list(loader)


def test_a_worker_killed_from_outside_is_an_error() -> None:
    loader = DataLoader(Failing(), 1, num_workers=2, prefetch_factor=1)
    batches = iter(loader)
    next(batches)
    for child in multiprocessing.active_children():
        child.kill()
    with pytest.raises(WorkerError, match="killed by SIGKILL"):
        list(batches)
    assert len(list(loader)) == 40  # the next pass has new workers


def test_worker_init_fn_and_its_failure() -> None:
    made: dict[str, int] = {}

    def init(number: int) -> None:
        made["number"] = number

    class Told(Failing):
        def __getitem__(self, index: int) -> Any:
            return made["number"]

    assert [b.item() for b in DataLoader(Told(), num_workers=3, worker_init_fn=init)][:6] == [
        0,
        1,
        2,
        0,
        1,
        2,
    ]

    def refuse(number: int) -> None:
        raise OSError("no camera")

    with pytest.raises(WorkerError, match="failed in worker_init_fn") as caught:
        list(DataLoader(Failing(), num_workers=2, worker_init_fn=refuse))
    assert "OSError: no camera" in str(caught.value)


class Unloadable(Failing):
    """Can be pickled, but not unpickled."""

    def __reduce__(self) -> Any:
        return importlib.import_module, ("no_such_module",)


def test_an_import_that_fails_in_the_worker_is_shown() -> None:
    with pytest.raises(WorkerError, match=r"could not be loaded(.|\n)*No module named 'no_such_module'"):
        list(DataLoader(Unloadable(), num_workers=1, start_method="spawn"))


def test_what_cannot_be_pickled_is_refused_before_a_process_starts() -> None:
    with pytest.raises(WorkerError, match="start_method='spawn' all of it must be picklable"):
        list(DataLoader([lambda: 0], num_workers=1, start_method="spawn"))


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_start_methods_give_the_same_batches(method: str) -> None:
    data = TensorDataset(np.arange(40_000.0).reshape(20, 2000), np.arange(20))
    alone = DataLoader(data, 6, shuffle=True, generator=1)
    there = DataLoader(data, 6, shuffle=True, generator=1, num_workers=1, start_method=method)
    for (x, y), (u, v) in zip(alone, there, strict=True):
        assert y.tolist() == v.tolist() and np.array_equal(x.numpy(), u.numpy())
    if method == "forkserver":
        from multiprocessing import forkserver

        forkserver._forkserver._stop()  # type: ignore[attr-defined]


def test_leaving_early_ends_the_workers() -> None:
    for batch in DataLoader(Failing("hang"), 4, num_workers=2):
        assert batch.shape == (4, 60, 60)
        break
    del batch
    gc.collect()
    assert multiprocessing.active_children() == []


def test_persistent_workers_stay_and_serve_every_pass() -> None:
    class Who(Failing):
        def __getitem__(self, index: int) -> Any:
            return os.getpid()

    loader = DataLoader(Who(), 4, num_workers=2, persistent_workers=True)
    seen = {n for _ in range(3) for batch in loader for n in batch.tolist()}
    assert len(seen) == 2
    first = iter(loader)
    next(first)
    assert {n for batch in loader for n in batch.tolist()} == seen
    with pytest.raises(OperandError, match="another pass has begun"):
        next(first)
    fresh = {n for _ in range(2) for batch in DataLoader(Who(), 4, num_workers=2) for n in batch.tolist()}
    assert len(fresh) == 4 and not fresh & seen


def test_tensors_and_large_and_small_arrays_come_over(rng: np.random.Generator) -> None:
    large = rng.normal(size=(300, 500))

    class Mixed(Failing):
        def __getitem__(self, index: int) -> Any:
            return {"a": large, "b": (np.int8(index), fb.asarray([1.0, 2.0]) * index), "c": large[:, ::2]}

    def collate(samples: list[Any]) -> Any:
        return samples[0] | {
            "empty": np.zeros((0, 3)),
            "text": "words",
            "half": fb.ones(3, dtype=fb.bfloat16),
        }

    batches = list(DataLoader(Mixed(), 1, sampler=[3, 5], num_workers=2, collate_fn=collate))
    for batch, index in zip(batches, (3, 5), strict=True):
        np.testing.assert_array_equal(batch["a"].numpy(), large)
        np.testing.assert_array_equal(batch["c"].numpy(), large[:, ::2])
        assert batch["b"][0].item() == index and batch["b"][0].dtype is fb.int8
        assert batch["b"][1].tolist() == [index, 2 * index]
        assert batch["empty"].shape == (0, 3) and batch["text"] == "words"
        assert batch["half"].dtype is fb.bfloat16


def test_no_descriptor_is_left_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        for _batch in DataLoader(Failing(), 4, num_workers=2):
            pass
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_workers_take_large_index_lists_while_they_send() -> None:
    """Neither side waits for the other to read."""
    data = np.arange(300_000)
    loader = DataLoader(data, 100_000, num_workers=1, prefetch_factor=3)
    assert [int(fb.sum(b).item()) for b in loader] == [
        int(data[i : i + 100_000].sum()) for i in (0, 100_000, 200_000)
    ]


def test_workers_start_beside_running_threads() -> None:
    """A fork while flambeau's threads compute and compile."""
    import threading

    stop = threading.Event()

    def compute() -> None:
        n = 10
        while not stop.is_set():
            n += 1
            fb.sum(fb.ones((n, 300)) @ fb.ones((300, 300))).item()

    class Computing(Failing):
        def __getitem__(self, index: int) -> Any:
            return (fb.ones((64, 64)) @ fb.ones((64, 64)) * index)[0, 0]

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        for _ in range(3):
            found = [b.item() for b in DataLoader(Computing(), num_workers=2, timeout=30)]
            assert found == [64.0 * i for i in range(40)]
    finally:
        stop.set()
        thread.join()


def processes_of(marker: str) -> list[int]:
    """The processes whose command line holds ``marker``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if marker.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def wait_until(condition: Any, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


PROGRAM = """
import sys, time, os
import numpy as np
from flambeau.data import DataLoader

class Slow:  # lives in __main__
    def __len__(self):
        return 1000
    def __getitem__(self, index):
        time.sleep(0.01)
        return np.zeros(30000) + index

loader = DataLoader(Slow(), 2, num_workers=2, persistent_workers={persistent})
for number, batch in enumerate(loader):
    if number == 2:
        print("ready", flush=True)
    if number == 5 and {leave}:
        sys.exit(0)
    if number == 6 and {leave} is None:
        raise RuntimeError("stopped in the loop")
"""


@pytest.mark.parametrize(
    ("how", "persistent"),
    [
        ("exit", False),
        ("exit", True),
        ("error", False),
        ("interrupt", True),
        ("terminate", False),
        ("kill", True),
    ],
)
def test_no_worker_outlives_its_program(tmp_path: Path, how: str, persistent: bool) -> None:
    script = tmp_path / f"program_{how}_{persistent}.py"
    leave = {"exit": "True", "error": "None"}.get(how, "False")
    script.write_text(textwrap.dedent(PROGRAM.format(persistent=persistent, leave=leave)))
    path = os.pathsep.join([str(Path(fb.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    program = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )
    try:
        assert program.stdout is not None and program.stdout.readline() == "ready\n"
        if how == "interrupt":
            os.killpg(program.pid, signal.SIGINT)  # as a terminal does
        elif how == "terminate":
            program.terminate()
        elif how == "kill":
            program.kill()
        _, errors = program.communicate(timeout=30)
        wait_until(lambda: processes_of(str(script)) == [])
    finally:
        program.kill()
        program.wait()
    if how == "exit":
        assert program.returncode == 0 and errors == ""
    elif how == "interrupt":
        assert errors.count("Traceback") == 1 and errors.rstrip().endswith("KeyboardInterrupt")
    elif how == "error":
        assert errors.count("Traceback") == 1 and "stopped in the loop" in errors


def test_a_main_module_that_starts_workers_when_imported_is_explained(tmp_path: Path) -> None:
    script = tmp_path / "no_guard.py"
    script.write_text(
        "from flambeau.data import DataLoader\n"
        "list(DataLoader([1, 2], num_workers=1, start_method='spawn'))\n"
    )
    path = os.pathsep.join([str(Path(fb.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    ran = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert ran.returncode == 1
    assert "exited with code 1" in ran.stderr and "must stand under if __name__ == '__main__'" in ran.stderr


class Countless(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1


def test_an_endless_stream_can_be_left() -> None:
    found = []
    for batch in DataLoader(Countless(), 3, num_workers=2):
        found += batch.tolist()
        if len(found) >= 12:
            break
    assert found == list(range(12))
