from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau.errors import OperandError
from flambeau.training.summary import rows_of

nn = fb.nn


def flops_of(module: Any, *shape: int) -> dict[str, int]:
    return {row.name: row.flops for row in rows_of(module, shape)}


def test_layers_in_the_order_of_their_names() -> None:
    net = nn.Sequential(nn.Sequential(nn.Linear(4, 8), nn.ReLU()), nn.Linear(8, 2))
    lines = fb.Model(net).summary((3, 4)).splitlines()
    cells = [re.split(r"  +", line.strip()) for line in lines[2:6]]
    assert cells == [
        ["0", "Sequential", "(3, 8)", "(40)", "240"],
        ["0.0", "Linear", "(3, 8)", "40", "216"],
        ["0.1", "ReLU", "(3, 8)", "0", "24"],
        ["1", "Linear", "(3, 2)", "18", "102"],
    ]
    assert lines[7:] == [
        "Sequential for inputs of shape (3, 4): output (3, 2)",
        "parameters: 58",
        "FLOPs of a forward pass: 342",
        "memory: 232 B of parameters and buffers, 232 B of gradients, 216 B of layers' outputs",
    ]


def test_work() -> None:
    assert flops_of(nn.Linear(4, 8, bias=False), 3, 4) == {"": 2 * 3 * 4 * 8}
    conv = nn.Conv2d(4, 6, 3, groups=2, bias=False)
    assert flops_of(conv, 5, 4, 10, 10) == {"": 2 * 5 * 6 * 8 * 8 * 2 * 9}
    short, long = [flops_of(nn.GRU(4, 8, batch_first=True), 2, n, 4)[""] for n in (5, 10)]
    products = 2 * 2 * 5 * 3 * 8 * (4 + 8)
    assert products < short < 1.3 * products
    assert long == pytest.approx(2 * short, rel=0.02)


def test_shared_and_frozen_layers() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)
            self.last = nn.Linear(4, 2).requires_grad_(False)

        def forward(self, x: Any) -> Any:
            return self.last(self.layer(self.layer(x)))

    text = fb.Model(Twice()).summary(np.zeros((2, 4), np.float32))
    assert re.search(r"^layer +Linear +\(2, 4\) +shared", text, re.M)
    assert "parameters: 30, of which 10 are frozen" in text


def test_what_fit_has_seen_need_not_be_said() -> None:
    model = fb.Model(nn.Linear(4, 2))
    with pytest.raises(OperandError, match="an example of the inputs is needed, or their shape"):
        model.summary()
    with pytest.raises(OperandError, match="a tensor, an array or a shape is needed, not 'four'"):
        model.summary("four")
    model.compile("sgd", "mse_loss")
    model.fit(np.zeros((8, 4)), np.zeros((8, 2)), verbose=0)
    assert "for inputs of shape (8, 4): output (8, 2)" in model.summary()


def test_nothing_is_computed_or_drawn() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5))
    before = {name: t.numpy().tobytes() for name, t in net.state_dict().items()}
    drawn, runs = fb.random.default_generator().state, fb.stats().runs
    fb.Model(net).summary((1_000_000, 4))
    assert fb.random.default_generator().state == drawn and fb.stats().runs == runs
    assert {name: t.numpy().tobytes() for name, t in net.state_dict().items()} == before
    assert net.training and net[1].training
