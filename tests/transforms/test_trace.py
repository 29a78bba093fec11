"""What ``trace`` shows."""

from __future__ import annotations

import flambeau as fb


def first(t: fb.Tensor) -> fb.Tensor:
    return fb.where(t > 0, t, -t)


def second(t: fb.Tensor) -> fb.Tensor:
    return fb.where(
        t > 0,
        t,
        -t,
    )


class Layer(fb.nn.Module):
    def forward(self, t: fb.Tensor) -> fb.Tensor:
        return first(t)


def places(trace: object) -> list[str]:
    return [line.rpartition("# ")[2] for line in str(trace).splitlines() if " = " in line]


def test_functions_that_record_the_same_show_their_own_lines() -> None:
    x = fb.asarray(1.0)
    line = first.__code__.co_firstlineno
    assert places(fb.trace(first, x)) == [f"test_trace.py:{line + 1}"] * 3
    shown = fb.trace(second, x)
    assert places(shown) == [f"test_trace.py:{line + i}" for i in (6, 8, 5)]
    assert fb.trace(first, x).graph is shown.graph


def test_functions_that_record_the_same_show_their_own_layers() -> None:
    x = fb.asarray(1.0)
    fb.trace(first, x)
    assert {place.partition(" ")[2] for place in places(fb.trace(Layer(), x))} == {"in layer Layer"}
    assert {place.partition(" ")[2] for place in places(fb.trace(first, x))} == {""}
