"""Small kernels, written by hand, that the runtime's tests run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flambeau.compiler import jit
from flambeau.runtime import threads

IR = """
; args: data -- data[tile] += 1, not atomically
define void @bump(ptr %args, i64 %tile) nounwind {
  %data = load ptr, ptr %args
  %place = getelementptr i64, ptr %data, i64 %tile
  %old = load i64, ptr %place
  %new = add i64 %old, 1
  store i64 %new, ptr %place
  ret void
}

; args: data, number -- data[tile] = number + tile
define void @fill(ptr %args, i64 %tile) nounwind {
  %data = load ptr, ptr %args
  %number.at = getelementptr i64, ptr %args, i64 1
  %number = load i64, ptr %number.at
  %place = getelementptr i64, ptr %data, i64 %tile
  %value = add i64 %number, %tile
  store i64 %value, ptr %place
  ret void
}

; args: data, count -- data[tile] = 1.5 added count times
define void @work(ptr %args, i64 %tile) nounwind {
entry:
  %data = load ptr, ptr %args
  %count.at = getelementptr i64, ptr %args, i64 1
  %count = load i64, ptr %count.at
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %sum = phi double [ 0.0, %entry ], [ %more, %loop ]
  %more = fadd double %sum, 1.5
  %next = add i64 %i, 1
  %end = icmp eq i64 %next, %count
  br i1 %end, label %out, label %loop
out:
  %place = getelementptr double, ptr %data, i64 %tile
  store double %more, ptr %place
  ret void
}

; args: data -- data[tile] = data[tile] * 0.5, as float32
define void @halve(ptr %args, i64 %tile) nounwind {
  %data = load ptr, ptr %args
  %place = getelementptr float, ptr %data, i64 %tile
  %old = load float, ptr %place
  %new = fmul float %old, 0.5
  store float %new, ptr %place
  ret void
}
"""


@pytest.fixture(scope="session")
def kernels() -> dict[str, int]:
    """Addresses of ``bump``, ``fill``, ``work`` and ``halve``."""
    return jit.load({"tests": IR})


@pytest.fixture
def kernel_text() -> str:
    """The IR of those kernels, for a process of its own."""
    return IR


@pytest.fixture(params=[1, 2, 3, 8])
def thread_count(request: pytest.FixtureRequest) -> Iterator[int]:
    """Runs the test on 1, 2, 3 and 8 threads."""
    before = threads.get_num_threads()
    threads.set_num_threads(request.param)
    yield request.param
    threads.set_num_threads(before)
