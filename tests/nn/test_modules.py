from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.errors import OperandError, ShapeError, WeightsError


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(fb.ones(width))
        self.inner = nn.Linear(width, width)
        self.act = nn.ReLU()

    def forward(self, x: fb.Tensor) -> fb.Tensor:
        return self.act(self.inner(x * self.scale)) + x


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), Block(8), nn.Linear(8, 3, bias=False))


NAMES = ["0.weight", "0.bias", "2.scale", "2.inner.weight", "2.inner.bias", "3.weight"]


def test_names_and_order_of_parameters() -> None:
    net = model()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert list(net.state_dict()) == NAMES
    assert len(list(net.parameters())) == 6
    assert [name for name, _ in net.named_modules()] == ["", "0", "1", "2", "2.inner", "2.act", "3"]


def test_shared_parameters_and_modules_are_listed_once() -> None:
    one = nn.Linear(3, 3)
    net = nn.Sequential(one, one, nn.Linear(3, 3))
    net[2].weight = one.weight
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias", "2.bias"]


def test_repr() -> None:
    assert repr(model()) == (
        "Sequential(\n"
        "  (0): Linear(4, 8, bias=True)\n"
        "  (1): ReLU()\n"
        "  (2): Block(\n"
        "    (inner): Linear(8, 8, bias=True)\n"
        "    (act): ReLU()\n"
        "  )\n"
        "  (3): Linear(8, 3, bias=False)\n"
        ")"
    )
    assert repr(nn.Sequential()) == "Sequential()"


def test_training_mode_reaches_all() -> None:
    net = model()
    assert net.eval() is net
    assert not any(module.training for _, module in net.named_modules())
    assert all(module.training for _, module in net.train().named_modules())


def test_sequences() -> None:
    net = model()
    assert len(net) == 4
    assert [type(m).__name__ for m in net] == ["Linear", "ReLU", "Block", "Linear"]
    assert net[-1] is net[3]
    with pytest.raises(OperandError, match="Sequential: argument 1 is 'relu', not a module"):
        nn.Sequential(nn.ReLU(), "relu")  # type: ignore[arg-type]


def test_parameters_replaced_and_removed() -> None:
    layer = nn.Linear(2, 2)
    new = nn.Parameter(fb.zeros((2, 2)))
    layer.weight = new
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert next(iter(layer.parameters())) is new
    layer.bias = None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    assert layer(fb.ones((1, 2))).tolist() == [[0.0, 0.0]]
    with pytest.raises(OperandError, match=r"Linear\.weight is a parameter, and a plain tensor would take"):
        layer.weight = fb.zeros((2, 2))  # type: ignore[assignment]
    del layer.weight
    assert list(layer.parameters()) == []


def test_forgetting_super_init() -> None:
    class Wrong(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.ReLU()

    with pytest.raises(
        AttributeError, match=r"call super\(\).__init__\(\) before assigning 'layer' in Wrong"
    ):
        Wrong()
    with pytest.raises(NotImplementedError, match="Module has no forward method"):
        nn.Module()(1)


@pytest.mark.parametrize("size", [-1, 2.0, "3"])
def test_sizes_of_linear(size: Any) -> None:
    with pytest.raises(OperandError, match=f"Linear: in_features must be a size, not {size!r}"):
        nn.Linear(size, 3)


def test_parts_by_name() -> None:
    net = model()
    assert net.get_submodule("2.inner") is net[2].inner and net.get_submodule("") is net
    assert net.get_parameter("2.inner.weight") is net[2].inner.weight
    assert [type(m).__name__ for m in net.children()] == ["Linear", "ReLU", "Block", "Linear"]
    assert [name for name, _ in net[2].named_children()] == ["inner", "act"]
    assert len(list(net.modules())) == 7
    with pytest.raises(AttributeError, match=r"get_submodule: 2\.inner has no module 'x'"):
        net.get_submodule("2.inner.x.y")
    with pytest.raises(AttributeError, match="get_parameter: Linear has no parameter 'scale'"):
        net[0].get_parameter("scale")


def test_apply_reaches_the_inside_first() -> None:
    seen: list[str] = []
    net = model()
    assert net.apply(lambda module: seen.append(type(module).__name__)) is net
    assert seen == ["Linear", "ReLU", "Linear", "ReLU", "Block", "Linear", "Sequential"]


def test_freezing() -> None:
    net = model()
    assert net.requires_grad_(False) is net
    assert not any(p.requires_grad for p in net.parameters())
    assert not net(fb.ones((1, 4))).requires_grad
    assert all(p.requires_grad and p.is_leaf for p in net.requires_grad_().parameters())


def test_registering_by_name() -> None:
    net = nn.Module()
    net.register_parameter("w", nn.Parameter(fb.ones(1)))
    net.register_parameter("b", None)
    net.register_module("inner", nn.ReLU())
    assert net.b is None and list(net.state_dict()) == ["w"] and list(net.children()) == [net.inner]
    with pytest.raises(OperandError, match=r"register_parameter: 'x' needs an fb\.nn\.Parameter or None"):
        net.register_parameter("x", fb.ones(1))  # type: ignore[arg-type]
    with pytest.raises(OperandError, match="add_module: 'x' needs a module, not int"):
        net.add_module("x", 1)  # type: ignore[arg-type]
    with pytest.raises(OperandError, match="Module has an attribute 'w' already, which is no module"):
        net.add_module("w", nn.ReLU())


def test_compiled_methods_are_no_obstacle_to_copies() -> None:
    class Net(nn.Module):
        @fb.compile
        def forward(self, x: fb.Tensor) -> fb.Tensor:
            return x * 2

    net = Net()
    net(fb.ones(1))
    net(fb.ones(1))
    assert copy.deepcopy(net)(fb.ones(1)).tolist() == [2.0]


def test_what_lies_at_the_top_is_not_repeated_in_functional() -> None:
    with pytest.raises(AttributeError, match=r"flambeau\.nn\.functional has no 'relu': use fb\.relu"):
        _ = nn.functional.relu
    with pytest.raises(AttributeError, match=r"module 'flambeau\.nn\.functional' has no attribute 'gelv'"):
        _ = nn.functional.gelv
    assert fb.nn.functional.linear(fb.ones(2), fb.ones((3, 2))).tolist() == [2.0] * 3


def test_initial_values_come_from_the_seed() -> None:
    fb.random.seed(3)
    one = nn.Linear(50, 40)
    fb.random.seed(3)
    two = nn.Linear(50, 40)
    assert one.weight.numpy().tobytes() == two.weight.numpy().tobytes()
    bound = 1 / np.sqrt(50)
    weights = one.weight.numpy()
    assert np.abs(weights).max() <= bound
    assert abs(weights.std() - bound / np.sqrt(3)) < 0.1 * bound


# -- state ------------------------------------------------------------------------------------


def test_state_goes_round() -> None:
    one, two = model(), model()
    x = fb.asarray(np.random.default_rng(0).normal(size=(5, 4)), dtype=fb.float32)
    state = one.state_dict()
    assert not any(t.requires_grad for t in state.values())
    two.load_state_dict(state)
    assert two(x).numpy().tobytes() == one(x).numpy().tobytes()
    assert all(p.requires_grad and p.is_leaf for p in two.parameters())


def test_loaded_state_is_not_shared() -> None:
    one, two = nn.Linear(3, 2), nn.Linear(3, 2)
    two.load_state_dict(one.state_dict())
    before = one.weight.numpy().copy()
    fb.sum(two(fb.ones((4, 3)))).backward()
    fb.optim.SGD(two.parameters(), lr=0.5).step()
    np.testing.assert_array_equal(one.weight.numpy(), before)
    assert not np.array_equal(two.weight.numpy(), before)


def test_everything_that_does_not_fit_is_listed_and_nothing_is_loaded() -> None:
    net = model()
    before = {name: t.numpy().tobytes() for name, t in net.state_dict().items()}
    state = {name: t + 1 for name, t in net.state_dict().items()}
    del state["0.bias"]
    state["extra"] = fb.zeros(3)
    state["2.scale"] = fb.zeros(9)
    state["3.weight"] = fb.zeros((3, 8), dtype=fb.float64)
    with pytest.raises(WeightsError) as caught:
        net.load_state_dict(state)
    assert str(caught.value).splitlines() == [
        "the weights do not fit Sequential:",
        "  missing: 0.bias float32[8]",
        "  unexpected: extra float32[3]",
        "  misfit: 2.scale is float32[8] in the model, float32[9] in the weights",
        "  misfit: 3.weight is float32[3, 8] in the model, float64[3, 8] in the weights",
    ]
    assert {name: t.numpy().tobytes() for name, t in net.state_dict().items()} == before


def test_state_may_be_loaded_in_part() -> None:
    net = model()
    missing, unexpected = net.load_state_dict({"0.bias": fb.ones(8), "extra": fb.zeros(3)}, strict=False)
    assert missing == [name for name in NAMES if name != "0.bias"] and unexpected == ["extra"]
    assert net[0].bias.tolist() == [1.0] * 8
    with pytest.raises(WeightsError, match=r"misfit: 0\.bias is float32\[8\] in the model, float32\[7\]"):
        net.load_state_dict({"0.bias": fb.ones(7)}, strict=False)
    assert net.load_state_dict(model().state_dict()) == ([], [])


def test_shared_parameters_are_saved_under_each_name() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3, bias=False))
    net[1].weight = net[0].weight
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight"]
    net.load_state_dict(net.state_dict())
    assert net[1].weight is net[0].weight


def test_state_that_is_no_tensor() -> None:
    with pytest.raises(
        OperandError, match="load_state_dict: tensors by name are needed, but 'weight' is array"
    ):
        nn.Linear(1, 1).load_state_dict({"weight": np.zeros((1, 1))})  # type: ignore[dict-item]


def test_a_value_that_fails_changes_nothing() -> None:
    layer = nn.Linear(2, 3)
    before = layer.weight.numpy().tobytes()
    broken = fb.take(fb.zeros(3), fb.asarray([0, 1, 9]))
    with pytest.raises(IndexError):
        layer.load_state_dict({"weight": fb.ones((3, 2)), "bias": broken})
    assert layer.weight.numpy().tobytes() == before


# -- copies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("duplicate", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy])
def test_pickles_and_copies_are_whole_models(duplicate: Any) -> None:
    one = model()
    one[0].bias.requires_grad_(False)
    two = duplicate(one)
    assert repr(two) == repr(one)
    assert [name for name, _ in two.named_parameters()] == NAMES
    assert all(isinstance(p, nn.Parameter) for p in two.parameters())
    assert [p.requires_grad for p in two.parameters()] == [True, False, True, True, True, True]
    assert two[0].weight is dict(two.named_parameters())["0.weight"]
    x = fb.ones((2, 4))
    assert two(x).numpy().tobytes() == one(x).numpy().tobytes()
    fb.sum(two(x)).backward()
    fb.optim.SGD(two.parameters(), lr=0.1).step()
    assert two(x).numpy().tobytes() != one(x).numpy().tobytes()
    assert all(p.grad is None for p in one.parameters())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "bool", "complex64"])
def test_tensors_go_through_pickles(dtype: str) -> None:
    x = fb.asarray(np.arange(6).reshape(2, 3)).astype(dtype)
    y = pickle.loads(pickle.dumps(x))
    assert y.dtype is x.dtype and y.shape == x.shape
    assert y.numpy().tobytes() == x.numpy().tobytes()


# -- errors -----------------------------------------------------------------------------------


def test_a_wrong_size_names_the_layer_the_line_and_both_shapes() -> None:
    net = model()
    x = fb.ones((5, 6))
    with pytest.raises(ShapeError) as caught:
        net(x)  # the user's line
    text = str(caught.value)
    assert "(5, 6)" in text and "(8, 4)" in text
    assert re.search(r"at test_modules\.py:\d+ in \w+: net\(x\)  # the user's line", text)
    assert re.search(r"in layer Sequential\.0$", text, re.M)


def test_a_wrong_size_deep_inside() -> None:
    net = model()
    net[2].inner = nn.Linear(7, 8)
    with pytest.raises(ShapeError, match=r"(?s)\(5, 8\).*\(8, 7\).*in layer Sequential\.2\.inner"):
        net(fb.ones((5, 4)))
    # and the path does not stick
    with pytest.raises(ShapeError) as caught:
        fb.ones(2) + fb.ones(3)
    assert "in layer" not in str(caught.value)


def test_what_is_no_tensor() -> None:
    with pytest.raises(OperandError, match="Linear: a tensor is needed, not ndarray"):
        nn.Linear(2, 2)(np.ones((1, 2)))
    with pytest.raises(OperandError, match="cross_entropy: a tensor is needed, not list"):
        nn.functional.cross_entropy(fb.ones((1, 2)), [0])  # type: ignore[arg-type]
    with pytest.raises(OperandError, match="ReLU: a tensor is needed, not float"):
        nn.ReLU()(1.0)
    with pytest.raises(OperandError, match="Parameter: a tensor is needed, not ndarray"):
        nn.Parameter(np.ones(2))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("logits", "targets", "error"),
    [
        (fb.ones((4, 3)), fb.asarray([0, 1, 2]), ShapeError),
        (fb.ones((4, 3)), fb.asarray([0.0, 1.0, 2.0, 0.0]), TypeError),
        (fb.asarray([[1, 2]]), fb.asarray([0]), TypeError),
        (fb.asarray(1.0), fb.asarray(0), ShapeError),
    ],
)
def test_targets_that_do_not_fit(logits: fb.Tensor, targets: fb.Tensor, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"(?s)cross_entropy.*at test_modules\.py:\d+"):
        nn.functional.cross_entropy(logits, targets).item()


@pytest.mark.parametrize("target", [3, -1])
def test_targets_outside_the_classes(target: int, both_executors: str) -> None:
    with pytest.raises(IndexError, match=rf"(?s)cross_entropy.*{target}.*at test_modules\.py:\d+"):
        nn.functional.cross_entropy(fb.ones((2, 3)), fb.asarray([0, target])).item()


def test_narrow_targets_of_many_classes() -> None:
    logits = fb.asarray(np.random.default_rng(0).normal(size=(4, 300)))
    targets = np.asarray([0, 7, 200, 255])
    narrow = nn.functional.cross_entropy(logits, fb.asarray(targets.astype(np.uint8)))
    assert narrow.item() == nn.functional.cross_entropy(logits, fb.asarray(targets)).item()


def test_mse_of_different_shapes() -> None:
    with pytest.raises(ShapeError, match=r"mse.*\(2, 1\).*\(2\)|mse.*\(2, 1\).*\(2,\)"):
        nn.functional.mse_loss(fb.ones((2, 1)), fb.ones(2))


def test_layers_in_lists_are_named_by_the_whole_path() -> None:
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([nn.ModuleDict({"up": nn.Linear(4, 4)}) for _ in range(2)])
            self.blocks.append(nn.ModuleDict({"up": nn.Linear(4, 4)}))
            self.blocks[2]["down"] = nn.Linear(5, 4)

        def forward(self, x):
            for block in self.blocks[1:]:  # a slice is another list, but leaves the names alone
                x = block["up"](x)
            return self.blocks[2]["down"](x)

    net = Deep()
    with pytest.raises(ShapeError, match=r"in layer Deep\.blocks\.2\.down$"):
        net(fb.ones((3, 4)))
    with pytest.raises(ShapeError, match=r"in layer Deep\.blocks\.1\.up$"):
        net(fb.ones((3, 7)))
