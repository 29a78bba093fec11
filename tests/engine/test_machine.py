"""The machine model: kept once, and trusted only when it makes sense."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from flambeau.compiler import cache
from flambeau.engine import machine as module
from flambeau.engine.machine import Machine
from flambeau.engine.work import Work, predict

CACHES = ((200e9, 400e9), (50e9, 100e9))
LIMITS = Machine(2, 8, (1 << 15, 1 << 20), (100e9, 200e9), (50e9, 100e9), (10e9, 15e9), CACHES, 10e-9)
NEAR, FAR = 1 << 15, (1 << 20) - (1 << 15)  # what lies in the caches


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """An empty cache folder, nothing known, two threads, and measuring that costs nothing."""
    made = []
    monkeypatch.setattr(module, "_known", None)
    monkeypatch.setattr(module, "available", lambda: 2)
    monkeypatch.setattr(cache, "_current", cache.DiskCache(tmp_path / "cache"))
    monkeypatch.setattr(module, "measure", lambda threads: made.append(threads) or LIMITS)
    return made


def test_it_is_measured_once_and_kept(fresh, monkeypatch) -> None:
    assert module.machine() is module.machine()
    monkeypatch.setattr(module, "_known", None)
    assert module.machine() == LIMITS
    assert fresh == [2]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"not json",
        b"[]",
        b'{"threads": 2}',
        json.dumps(asdict(replace(LIMITS, launch=0.0))).encode(),
        json.dumps(asdict(replace(LIMITS, flops=(-1.0, 2e9)))).encode(),
        json.dumps(asdict(replace(LIMITS, threads=64))).encode(),
        json.dumps({**asdict(LIMITS), "memory": ["x", 1]}).encode(),
        json.dumps({**asdict(LIMITS), "sizes": [4096]}).encode(),
    ],
)
def test_what_makes_no_sense_is_measured_again(fresh, payload) -> None:
    cache.current().store(module._key(2), payload)
    assert module.machine() == LIMITS
    assert fresh == [2]


def test_a_disturbed_measurement_is_repeated_by_later_processes(fresh, monkeypatch) -> None:
    disturbed = replace(LIMITS, flops=(120e9, 120e9), launch=20e-9)
    assert disturbed.disturbed and not LIMITS.disturbed
    cache.current().store(module._key(2), json.dumps(asdict(disturbed)).encode())
    found = module.machine()
    assert found.flops == (120e9, 200e9) and found.launch == 10e-9 and found.attempts == 2


def test_measuring_gives_sensible_figures(monkeypatch) -> None:
    monkeypatch.setattr(module, "_SHORT_ROUNDS", 2)
    found = module.measure(1)
    assert found.threads == 1 and found.flops[0] == found.flops[1]
    assert module._read(json.dumps(asdict(found)).encode(), 1) == found
    assert "GFLOP/s" in str(found)


@pytest.mark.parametrize(
    ("work", "threads", "seconds", "limit"),
    [
        (Work(products=100e9), 1, 1.0, "compute"),
        (Work(products=100e9), 2, 0.5, "compute"),
        (Work(steps=50e9), 1, 1.0, "issue"),
        (
            Work(read=5 << 30, written=5 << 30),
            1,
            ((10 << 30) - (1 << 20)) / 10e9 + (1 << 20) / 50e9,
            "memory",
        ),
        (Work(read=1 << 20, written=1 << 20), 1, (1 << 20) / 10e9 + FAR / 50e9 + NEAR / 200e9, "memory"),
        (Work(read=1 << 20, written=1 << 10), 1, (1 << 10) / 10e9 + FAR / 50e9 + NEAR / 200e9, "cache"),
        (Work(read=1 << 15, written=1 << 15), 1, NEAR / 50e9 + NEAR / 200e9, "cache"),
        (Work(read=1 << 15, written=1 << 15), 2, (1 << 16) / 400e9, "cache"),
        (Work(), 1, 10e-9, "launch"),
    ],
)
def test_predictions(work, threads, seconds, limit) -> None:
    found = predict(work, 1, threads, LIMITS)
    assert found.limit == limit
    assert found.seconds == pytest.approx(seconds)
