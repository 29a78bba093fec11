"""Networks written with channels first run with channels last: copies are at the rim."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.workloads.inputs import inputs
from benchmarks.workloads.ours import inference, network, training

import flambeau as fb
from flambeau.compiler.layout import channels_last, is_channels_last, spaced
from flambeau.compiler.views import View
from flambeau.graph.builder import Var
from flambeau.nn import functional as F
from flambeau.primitives import elementwise as e
from flambeau.primitives.convolution import conv_general
from flambeau.primitives.views import broadcast, reduce_sum
from tests.compiler.graphs import f32, graph_of, plan


def test_channels_last_is_a_dense_view_unless_rows_would_crowd() -> None:
    assert channels_last(0, (2, 24, 5, 7), 4).strides == (24 * 35, 1, 24 * 7, 24)
    assert channels_last(0, (2, 512, 5, 7), 4).strides == (528 * 35, 1, 528 * 7, 528)
    assert spaced(0, (3, 256), 4).strides == (272, 1)
    assert spaced(0, (3, 256), 2).strides == (256, 1)
    assert is_channels_last(channels_last(0, (2, 512, 5, 7), 4))
    assert not is_channels_last(View.dense(0, (2, 24, 5, 7)))
    assert not is_channels_last(View(0, (2, 24, 5, 7), (0, 1, 0, 0)))


class Block(fb.nn.Module):
    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.c1 = fb.nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.b1 = fb.nn.BatchNorm2d(channels)
        self.c2 = fb.nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.b2 = fb.nn.BatchNorm2d(channels)
        self.short = fb.nn.Conv2d(before, channels, 1, stride, bias=False) if stride > 1 else fb.nn.Identity()

    def forward(self, x: fb.Tensor) -> fb.Tensor:
        y = self.b2(self.c2(fb.relu(self.b1(self.c1(x)))))
        return fb.relu(y + self.short(x))


def residual() -> fb.nn.Module:
    nn = fb.nn
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), Block(16, 16, 1), Block(16, 32, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


def pooled() -> fb.nn.Module:
    nn = fb.nn
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(32 * 36, 10),
    )  # fmt: skip


@pytest.mark.parametrize(("network", "flattened"), [(residual, 0), (pooled, 8 * 32 * 36)])
def test_a_training_step_copies_at_the_rim_alone(network, flattened: int) -> None:
    net = network()
    optimizer = fb.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    rng = np.random.default_rng(0)
    x = fb.asarray(rng.standard_normal((8, 3, 16, 16)).astype(np.float32))
    y = fb.arange(8) % 10

    def step() -> fb.Tensor:
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step().item()
    found = fb.explain(step)
    assert found.host_calls == 0
    moved = sum(row.written for row in found.rows if row.kind == "move")
    weights = sum(p.size for p in net.parameters() if p.ndim == 4)
    # The input, what is flattened (there and back), and the gradients of the weights, which stay alive.
    assert moved <= 4 * (x.size + 2 * flattened + 2 * weights)
    assert moved < sum(row.written for row in found.rows) / 4


# What is left of the inputs of the workloads, and the layers at the rim that copy: the first dense layer
# flattens what pooling gives, and pooling with padding puts its input into a frame.
WORKLOADS = {
    "cnn": (np.s_[:8], {"Sequential.7": 2 * 8 * 9216}),
    "resnet18_cifar": (np.s_[:2], {}),
    "resnet18_infer": (np.s_[:, :, :64, :64], {"Sequential.3": 64 * (34 * 34 + 2 * 2 * 34)}),
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_workloads_copy_at_the_rim_alone(name: str) -> None:
    part, rim = WORKLOADS[name]
    fb.random.seed(0)
    trains = name != "resnet18_infer"
    function = training(name) if trains else inference(name)
    held = [fb.asarray(np.ascontiguousarray(a[part])) for a in inputs(name)]

    def step() -> None:
        if trains:
            function(*held).item()
        else:
            with fb.no_grad():
                function(*held).item()

    step()
    found = fb.explain(step)
    assert found.host_calls == 0
    moves = [row for row in found.rows if row.kind == "move"]
    for layer, elements in rim.items():
        assert sum(row.written for row in moves if row.layer == layer) <= 4 * elements
    # Each weight's gradient goes into the weight's own order once, those of 1x1 windows at once; nothing else
    # is copied.
    parameters = network(name).parameters() if trains else []
    weights = [4 * p.size for p in parameters if p.ndim == 4 and p.shape[2] != 1]
    assert sorted(row.written for row in moves if row.layer not in rim) == sorted(weights)


def test_what_follows_a_convolution_point_by_point_keeps_its_order() -> None:
    def forward(x: Var, w: Var, b: Var) -> Var:
        y = conv_general(x, w, padding=((1, 1), (1, 1)))
        m = reduce_sum(y, (0, 2, 3))
        return reduce_sum(e.relu(e.sub(y, broadcast(e.add(m, b), y.shape, (1,)))), (0, 2, 3))

    _, kernels, *_ = plan(graph_of(forward, f32(4, 16, 9, 7), f32(24, 16, 3, 3), f32(24)))
    families = [kernel.family for kernel in kernels]
    assert families.count("convolution") == 1
    for kernel in kernels:
        if kernel.family == "reduction":
            assert [axis.value for axis in kernel.axes] == ["vector", "reduce"]
