from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from flambeau.compiler import cpus
from flambeau.runtime import threads

_PROLOGUE = """
import atexit, os, signal, sys, threading, time
import numpy as np
from flambeau.compiler import jit
from flambeau.compiler.kernel import Call, Pointer
from flambeau.runtime import threads
from flambeau.runtime.driver import Program
kernels = jit.load({"tests": sys.stdin.read()})
def address(array):
    return array.__array_interface__["data"][0]
def check(program, data):
    data[:] = 0.0
    program.run([address(data)])
    assert (data == 30_000.0).all(), data
data = np.zeros(64)
program = Program([Call("work", 64, (Pointer(0), 20_000), 1e6)], kernels, slots=1)
threads.set_num_threads(4)
"""


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def script(kernel_text: str, body: str) -> subprocess.CompletedProcess[str]:
    """Run ``body`` in an interpreter of its own, which must end by itself."""
    return subprocess.run(
        [sys.executable, "-c", _PROLOGUE + textwrap.dedent(body)],
        input=kernel_text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def passed(result: subprocess.CompletedProcess[str]) -> bool:
    return (result.returncode, result.stderr) == (0, "") or pytest.fail(
        f"{result.returncode} {result.stderr}"
    )


@pytest.mark.parametrize("team", [2, 3, 4])
def test_every_tile_runs_once_whatever_their_number(kernel_text: str, team: int) -> None:
    assert passed(
        script(
            kernel_text,
            f"""
            threads.set_num_threads({team})
            for tiles in (1, 2, 3, 5, 8, 63, 64):
                some = Program([Call("work", tiles, (Pointer(0), 20_000), 1e6)], kernels, slots=1)
                for _ in range(50):
                    data[:] = 0.0
                    some.run([address(data)])
                    assert (data[:tiles] == 30_000.0).all() and not data[tiles:].any(), (tiles, data)
            """,
        )
    )


def test_the_number_of_threads_is_checked() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        threads.set_num_threads(0)
    with pytest.raises(TypeError, match=r"not 2\.0"):
        threads.set_num_threads(2.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not True"):
        threads.set_num_threads(True)
    assert threads.get_num_threads() >= 1


def test_no_team_for_one_thread_and_one_caller_at_a_time() -> None:
    before = threads.get_num_threads()
    try:
        threads.set_num_threads(1)
        assert threads.claim() is None
        threads.set_num_threads(2)
        claimed = threads.claim()
        assert claimed is not None
        team, turn = claimed
        assert team.size == 2
        assert threads.claim() is None
        turn.release()
        again = threads.claim()
        assert again is not None
        again[1].release()
    finally:
        threads.set_num_threads(before)


def test_workers_leave_when_the_number_changes(kernel_text: str) -> None:
    body = """
        for count in (2, 5, 3, 8, 1, 4) * 3:
            threads.set_num_threads(count)
            check(program, data)
        deadline = time.monotonic() + 20
        while threading.active_count() > 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert threading.active_count() == 4, threading.enumerate()
    """
    assert passed(script(kernel_text, body))


@pytest.mark.parametrize("pause", [0.0, 0.05], ids=["spinning", "asleep"])
def test_the_interpreter_ends_cleanly(kernel_text: str, pause: float) -> None:
    assert passed(script(kernel_text, f"check(program, data); time.sleep({pause})"))


def test_the_interpreter_ends_while_a_daemon_thread_runs_programs(kernel_text: str) -> None:
    body = """
        def forever():
            mine = np.zeros(64)
            while True:
                program.run([address(mine)])
        threading.Thread(target=forever, daemon=True).start()
        time.sleep(0.1)
    """
    assert passed(script(kernel_text, body))


def test_programs_still_run_after_the_workers_have_left(kernel_text: str) -> None:
    # Registered before the pool's own function, so called after it.
    body = """
        atexit.register(lambda: (check(program, data), print("ran beside", threading.active_count() - 1)))
        check(program, data)
    """
    result = script(kernel_text, body)
    assert passed(result)
    assert result.stdout == "ran beside 0\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_has_workers_of_its_own(kernel_text: str) -> None:
    body = """
        import warnings
        warnings.simplefilter("ignore")
        check(program, data)
        for number in range(5):
            child = os.fork()
            if child == 0:
                assert threading.active_count() == 1
                check(program, data)
                assert threading.active_count() == 4
                jit.load({"more": f"define void @more{number}() {{ ret void }}"})
                os._exit(17)
            check(program, data)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17
    """
    assert passed(script(kernel_text, body))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_while_another_thread_computes_and_compiles(kernel_text: str) -> None:
    body = """
        import warnings
        warnings.simplefilter("ignore")
        stop = False
        def busy():
            mine, number = np.zeros(64), 0
            while not stop:
                check(program, mine)
                number += 1
                jit.load({"more": f"define void @more{number}() {{ ret void }}"})
        thread = threading.Thread(target=busy)
        thread.start()
        for number in range(10):
            child = os.fork()
            if child == 0:
                check(program, data)
                jit.load({"child": f"define void @child{number}() {{ ret void }}"})
                os._exit(17)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17
        stop = True
        thread.join()
    """
    assert passed(script(kernel_text, body))


@pytest.mark.skipif(os.name != "posix", reason="signals are sent the POSIX way")
def test_a_keyboard_interrupt_ends_a_long_program(kernel_text: str) -> None:
    # Half a minute of work in calls of some milliseconds, interrupted after a moment.
    body = """
        long = Program([Call("work", 8, (Pointer(0), 2_000_000), 1.6e7)] * 5_000, kernels, slots=1)
        check(program, data)
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        begin = time.monotonic()
        try:
            long.run([address(data)])
        except KeyboardInterrupt:
            pass
        else:
            raise AssertionError("not interrupted")
        assert time.monotonic() - begin < 10
        data[:] = 0.0
        time.sleep(0.02)
        assert (data == 0.0).all()  # nobody works on
        claimed = threads.claim()
        assert claimed is not None  # the team is free again
        claimed[1].release()
        check(program, data)
    """
    assert passed(script(kernel_text, body))


def test_cpu_limits_of_control_groups_are_read(tmp_path: Path) -> None:
    proc, root = tmp_path / "cgroup", tmp_path / "fs"
    inner = root / "a" / "b"
    inner.mkdir(parents=True)
    proc.write_text("0::/a/b\n")
    assert cpus.quota_cpus(proc, root) is None
    (inner / "cpu.max").write_text("max 100000\n")
    assert cpus.quota_cpus(proc, root) is None
    (root / "a" / "cpu.max").write_text("150000 100000\n")  # a limit further up counts too
    assert cpus.quota_cpus(proc, root) == 1.5
    (inner / "cpu.max").write_text("50000 100000\n")
    assert cpus.quota_cpus(proc, root) == 0.5
    assert cpus.quota_cpus(tmp_path / "absent", root) is None


def test_older_control_groups_are_read(tmp_path: Path) -> None:
    proc, root = tmp_path / "cgroup", tmp_path / "fs"
    group = root / "cpu,cpuacct" / "job"
    group.mkdir(parents=True)
    proc.write_text("5:memory:/job\n4:cpu,cpuacct:/job\n")
    (group / "cpu.cfs_quota_us").write_text("-1\n")
    (group / "cpu.cfs_period_us").write_text("100000\n")
    assert cpus.quota_cpus(proc, root) is None
    (group / "cpu.cfs_quota_us").write_text("300000\n")
    assert cpus.quota_cpus(proc, root) == 3.0


def test_available_is_at_least_one_and_within_the_affinity() -> None:
    assert 1 <= cpus.available() <= (os.cpu_count() or 1)
