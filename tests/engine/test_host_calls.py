"""Training steps and inference are kernels only: the tables of ``fb.explain`` hold no host call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from benchmarks.workloads.cases import TRAINED, WORKLOADS
from benchmarks.workloads.inputs import inputs
from benchmarks.workloads.ours import COMPILED, build, inference, training

import flambeau as fb
from flambeau import nn, optim
from flambeau.counts import COUNTS

NAMES = (*sorted(TRAINED), "resnet18_infer", "norm_softmax", "gelu")
# What is left of the inputs of the larger workloads: the kernels are those of the whole ones.
SMALLER = {
    "cnn": np.s_[:8],
    "resnet18_cifar": np.s_[:2],
    "resnet18_infer": np.s_[:, :, :64, :64],
    "lstm": np.s_[:4, :16],
    "gpt": np.s_[:2, :32],
    "norm_softmax": np.s_[:64],
    "gelu": np.s_[:10_000],
}
# A case of each workload of single operations; what is measured has other sizes.
SINGLE = (
    "adam_update", "op_overhead", "op_overhead_grad", "op_single", "matmul_128",
    *(f"conv_{k}_{channels}_32_7_2_{which}" for k in (1, 3) for channels in (3, 32)
      for which in ("forward", "data", "weight")),
)  # fmt: skip
OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda p: optim.SGD(p, 0.1),
    "SGD with momentum": lambda p: optim.SGD(p, 0.1, momentum=0.9, weight_decay=1e-3, nesterov=True),
    "Adam": lambda p: optim.Adam(p, 1e-3, weight_decay=0.01, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, 1e-3),
    "Adadelta": lambda p: optim.Adadelta(p),
    "Adagrad": lambda p: optim.Adagrad(p),
    "Adamax": lambda p: optim.Adamax(p),
    "Lion": lambda p: optim.Lion(p),
    "NAdam": lambda p: optim.NAdam(p),
    "RAdam": lambda p: optim.RAdam(p),
    "RMSprop": lambda p: optim.RMSprop(p, momentum=0.9, centered=True),
}


def on_host(found: Any) -> list[Any]:
    return [(row.fused, row.line, row.layer) for row in found.rows if row.kind == "host"]


@pytest.mark.parametrize("name", NAMES)
def test_no_workload_has_a_host_call(name: str) -> None:
    fb.random.seed(0)
    trains = name in TRAINED
    function = training(name) if trains else inference(name)
    held = [fb.asarray(np.ascontiguousarray(a[SMALLER.get(name, ...)])) for a in inputs(name)]

    def step() -> Any:
        if trains:
            return function(*held).item()
        with fb.no_grad():
            return function(*held).numpy()

    found = fb.explain(step)
    assert found.rows and not on_host(found) and found.host_calls == 0
    before = COUNTS.host_calls
    for _ in range(2):
        step()
    compiled = fb.compile(function)
    for _ in range(3):
        compiled(*held)
    assert COUNTS.host_calls == before


@pytest.mark.parametrize("mode", ["flambeau", COMPILED])
@pytest.mark.parametrize("name", SINGLE)
def test_no_single_operation_has_a_host_call(name: str, mode: str) -> None:
    found = fb.explain(build(mode, name))
    assert found.rows and not on_host(found) and found.host_calls == 0


def test_no_workload_is_left_out() -> None:
    assert set(WORKLOADS) == {*NAMES, *(name if name in WORKLOADS else name.split("_")[0] for name in SINGLE)}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_optimizer_has_a_host_call(name: str) -> None:
    assert {made.__name__ for made in vars(optim).values() if isinstance(made, type)} <= {
        *[made.split()[0] for made in OPTIMIZERS],
        "Optimizer",
    }
    model = nn.Linear(5, 3)
    optimizer = OPTIMIZERS[name](model.parameters())
    x = fb.asarray(np.ones((4, 5), np.float32))

    def step() -> None:
        optimizer.zero_grad()
        fb.sum(model(x) ** 2).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        model.weight.numpy()

    for _ in range(2):
        found = fb.explain(step)
        assert found.rows and not on_host(found) and found.host_calls == 0
