"""``inplace`` of PyTorch's layers and functions is taken, by place and by name, and changes nothing."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import flambeau as fb

F = fb.nn.functional


def test_every_layer_and_function_that_has_it_in_pytorch_has_it() -> None:
    torch = pytest.importorskip("torch")
    for ours, theirs in ((fb.nn, torch.nn), (F, torch.nn.functional)):
        for name in dir(ours):
            other, own = getattr(theirs, name, None), getattr(ours, name)
            if name.startswith("_") or other is None or not callable(own):
                continue
            try:
                names = list(inspect.signature(other).parameters)
            except (TypeError, ValueError):
                continue
            if "inplace" in names:
                assert list(inspect.signature(own).parameters).index("inplace") == names.index("inplace")


def test_the_input_stays_as_it_was() -> None:
    x = fb.asarray(np.linspace(-2, 2, 9), dtype=fb.float32)
    before = x.tolist()
    model = fb.nn.Sequential(fb.nn.ReLU(inplace=True), fb.nn.LeakyReLU(0.1, True), fb.nn.Dropout(0.5, True))
    assert model.eval()(x).tolist() == fb.relu(x).tolist()
    assert F.elu(x, 1.0, True).tolist() == F.elu(x).tolist()
    assert x.tolist() == before
