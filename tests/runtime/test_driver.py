from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from flambeau.compiler.kernel import Bind, Branch, Call, Pointer, Repeat, Step, Swap
from flambeau.runtime import threads
from flambeau.runtime.driver import Program

LONG = 1e6  # a cost, in ns, that makes a program run on all threads
SHORT = 10.0


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_arguments_are_resolved_per_call_and_calls_run_in_order(kernels: dict[str, int]) -> None:
    first, second = np.zeros(8, np.int64), np.zeros(8, np.int64)
    program = Program(
        [
            Call("fill", 4, (Pointer(0), 100), SHORT),
            Call("fill", 2, (Pointer(0, 16), -7), SHORT),  # overwrites two of the four
            Call("fill", 3, (Pointer(1, 8), 1 << 40), SHORT),
            Call("bump", 1, (Pointer(1, 8),), SHORT),
            Call("bump", 0, (Pointer(1, 8),), SHORT),  # no tiles: nothing happens
        ],
        kernels,
        slots=2,
    )
    assert program.run([address(first), address(second)]) == 0
    assert first.tolist() == [100, 101, -7, -6, 0, 0, 0, 0]
    assert second.tolist() == [0, (1 << 40) + 1, (1 << 40) + 1, (1 << 40) + 2, 0, 0, 0, 0]
    # Other addresses at the next run, and an array of them.
    third = np.zeros(8, np.int64)
    assert program.run(np.array([address(third), address(second)])) == 0
    assert third.tolist() == [100, 101, -7, -6, 0, 0, 0, 0]


@pytest.mark.parametrize("cost", [SHORT, LONG])
def test_every_tile_runs_exactly_once(kernels: dict[str, int], thread_count: int, cost: float) -> None:
    for tiles in (1, 2, 3, 7, 64, 1000):
        data = np.zeros(tiles + 1, np.int64)
        program = Program([Call("bump", tiles, (Pointer(0),), cost)], kernels, slots=1)
        for _ in range(20):
            program.run([address(data)])
        assert data.tolist() == [20] * tiles + [0]


def test_thousands_of_tiny_parallel_calls_back_to_back(kernels: dict[str, int], thread_count: int) -> None:
    # Neighbouring calls differ in function, arguments and tiles, so a worker that mixes up two of
    # them, or comes late, leaves a trace.
    a, b, c = np.zeros(5, np.int64), np.zeros(3, np.int64), np.zeros(2, np.int64)
    calls = []
    for number in range(500):
        calls.append(Call("bump", 5, (Pointer(0),), LONG / 10))
        calls.append(Call("fill", 3, (Pointer(1), number), LONG / 10))
        calls.append(Call("bump", 2, (Pointer(2),), LONG / 10))
    program = Program(calls, kernels, slots=3)
    for _ in range(20):
        assert program.run([address(a), address(b), address(c)]) == 0
    assert a.tolist() == [10_000] * 5
    assert b.tolist() == [499, 500, 501]
    assert c.tolist() == [10_000] * 2


def test_thousands_of_tiny_programs_with_pauses_that_let_workers_fall_asleep(
    kernels: dict[str, int], thread_count: int
) -> None:
    data = np.zeros(3, np.int64)
    program = Program([Call("bump", 3, (Pointer(0),), LONG)], kernels, slots=1)
    runs = 3000
    for number in range(runs):
        program.run([address(data)])
        if number % 20 == 0:
            time.sleep(0.0001 * (number % 7))
    assert data.tolist() == [runs] * 3


def test_sleeping_workers_are_woken(kernels: dict[str, int]) -> None:
    before = threads.get_num_threads()
    threads.set_num_threads(3)
    try:
        data = np.zeros(64, np.float64)
        program = Program([Call("work", 64, (Pointer(0), 20_000), LONG)], kernels, slots=1)
        program.run([address(data)])
        claimed = threads.claim()
        assert claimed is not None
        team, turn = claimed
        turn.release()
        deadline = time.monotonic() + 10.0
        while team.asleep < 2 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert team.asleep == 2
        for _ in range(5):
            data[:] = 0.0
            program.run([address(data)])
            assert (data == 30_000.0).all()
            time.sleep(0.005)
    finally:
        threads.set_num_threads(before)


def test_a_long_program_with_serial_stretches(kernels: dict[str, int], thread_count: int) -> None:
    # Workers tire during the single tiles and are asked back for the long calls; the driver returns
    # to Python many times on the way, because the calls claim to cost 20 ms each.
    data = np.zeros(16, np.float64)
    calls = []
    for _ in range(10):
        calls.append(Call("work", 1, (Pointer(0), 2_000_000), 2e6))
        calls.append(Call("work", 16, (Pointer(0), 10_000), 2e7))
    assert Program(calls, kernels, slots=1).run([address(data)]) == 0
    assert (data == 15_000.0).all()


def test_concurrent_callers_get_the_same_results(kernels: dict[str, int], thread_count: int) -> None:
    program = Program(
        [
            Call("bump", 5, (Pointer(0),), LONG),
            Call("fill", 9, (Pointer(1), 5), LONG),
            Call("bump", 1, (Pointer(0, 40),), SHORT),
        ],
        kernels,
        slots=2,
    )
    failures: list[str] = []

    def caller() -> None:
        a, b = np.zeros(6, np.int64), np.zeros(9, np.int64)
        for _ in range(500):
            program.run([address(a), address(b)])
        if a.tolist() != [500] * 6 or b.tolist() != list(range(5, 14)):
            failures.append(f"{a} {b}")

    callers = [threading.Thread(target=caller) for _ in range(4)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert not failures


@pytest.mark.parametrize("cost", [SHORT, LONG])
def test_a_status_word_stops_the_program(kernels: dict[str, int], thread_count: int, cost: float) -> None:
    data, status = np.zeros(4, np.int64), np.zeros(1, np.int64)
    program = Program(
        [
            Call("bump", 4, (Pointer(0),), cost),
            Call("fill", 1, (Pointer(1), 77), cost),
            Call("bump", 4, (Pointer(0),), cost),
        ],
        kernels,
        slots=2,
        status_slot=1,
    )
    bases = [address(data), address(status)]
    assert program.run(bases) == 77
    assert data.tolist() == [1] * 4
    status[0] = 0
    assert program.run(bases) == 77  # from the beginning again, not from where it stopped
    assert data.tolist() == [2] * 4
    fine = Program([Call("bump", 4, (Pointer(0),), cost)] * 3, kernels, slots=2, status_slot=1)
    status[0] = 0
    assert fine.run(bases) == 0
    assert data.tolist() == [5] * 4


def test_denormals_are_flushed_on_every_thread_and_the_callers_mode_is_restored(
    kernels: dict[str, int], thread_count: int
) -> None:
    smallest = np.float32(np.finfo(np.float32).tiny)
    for cost in (SHORT, LONG):
        # So many tiles that workers come in time to run some of them.
        data = np.empty(20_000, np.float32)
        program = Program([Call("halve", data.size, (Pointer(0),), cost)], kernels, slots=1)
        for _ in range(10):
            data[:] = smallest
            program.run([address(data)])
            assert (data == 0.0).all()
        assert (np.full(4, smallest) * np.float32(0.5) > 0.0).all()  # denormals exist outside


def test_a_program_of_ten_thousand_calls_and_many_arguments(kernels: dict[str, int]) -> None:
    data = np.zeros(1, np.int64)
    padding = (3,) * 200
    calls = [Call("bump", 1, (Pointer(0), *padding), SHORT)] * 10_000
    program = Program(calls, kernels, slots=1)
    for _ in range(3):
        program.run([address(data)])
    assert data[0] == 30_000


def test_a_program_without_calls(kernels: dict[str, int]) -> None:
    assert Program([], kernels, slots=0).run([]) == 0


def test_bad_programs_and_bad_bases_are_refused(kernels: dict[str, int]) -> None:
    with pytest.raises(KeyError, match="absent"):
        Program([Call("absent", 1, (), SHORT)], kernels, slots=0)
    with pytest.raises(ValueError, match="slot 1: the program has 1"):
        Program([Call("bump", 1, (Pointer(1),), SHORT)], kernels, slots=1)
    with pytest.raises(ValueError, match="slot 2: the program has 1"):
        Program([], kernels, slots=1, status_slot=2)
    with pytest.raises(OverflowError):
        Program([Call("bump", 1, (Pointer(0), 1 << 64), SHORT)], kernels, slots=1)
    data = np.zeros(1, np.int64)
    program = Program([Call("bump", 1, (Pointer(0),), SHORT)], kernels, slots=1)
    for bases in ([], [address(data)] * 2, np.zeros(2, np.int64), np.zeros(1, np.int32), ["x"], [1 << 70]):
        with pytest.raises(ValueError, match="addresses"):
            program.run(bases)  # type: ignore[arg-type]
    assert program.run([address(data)]) == 0
    assert data[0] == 1


def test_a_loop_walks_along_memory(kernels: dict[str, int]) -> None:
    data = np.zeros(8, np.int64)
    program = Program(
        [
            Bind((1,), (Pointer(0, 56),)),
            Call("fill", 1, (Pointer(1), 7), SHORT),
            Step(((1, -16),)),
            Repeat(2, 4),
        ],
        kernels,
        slots=2,
    )
    assert program.calls == 4
    for _ in range(2):  # the counter is back at 0 after a run
        program.run([address(data), 0])
        assert data.tolist() == [0, 7, 0, 7, 0, 7, 0, 7]
        data[:] = 0


def test_loops_in_loops_and_buffers_that_are_exchanged(kernels: dict[str, int]) -> None:
    even, odd = np.zeros(2, np.int64), np.zeros(2, np.int64)
    program = Program(
        [
            Bind((2, 3), (Pointer(0), Pointer(1))),
            Call("bump", 2, (Pointer(2),), SHORT),
            Repeat(1, 3),
            Swap(((2, 3),)),
            Repeat(3, 5),
        ],
        kernels,
        slots=4,
    )
    assert program.calls == 15
    program.run([address(even), address(odd), 0, 0])
    assert even.tolist() == [9, 9]
    assert odd.tolist() == [6, 6]


@pytest.mark.parametrize("holds", [0, 1])
def test_branches(kernels: dict[str, int], holds: int) -> None:
    data, condition = np.zeros(2, np.int64), np.array([7, holds], np.uint8)
    program = Program(
        [
            Branch(3, Pointer(1, 1), False),
            Call("fill", 1, (Pointer(0), 1), SHORT),
            Branch(2),
            Call("fill", 1, (Pointer(0, 8), 2), SHORT),
            Call("bump", 2, (Pointer(0),), SHORT),
        ],
        kernels,
        slots=2,
    )
    program.run([address(data), address(condition)])
    assert data.tolist() == ([2, 1] if holds else [1, 3])


def test_a_pointer_into_a_slot_that_is_not_there(kernels: dict[str, int]) -> None:
    for op in (Bind((2,), (Pointer(0),)), Bind((1,), (Pointer(2),)), Step(((2, 8),)), Branch(1, Pointer(2))):
        with pytest.raises(ValueError, match="slot 2: the program has 2"):
            Program([op], kernels, slots=2)
