"""Losses in all their options beside PyTorch, forward and gradients in float64, and where they are subtle."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.errors import OperandError, OutOfBoundsError, ShapeError
from flambeau.nn import functional as F

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

T = torch.nn.functional
REDUCTIONS = ("mean", "sum", "none")
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(5, 4)), RNG.normal(size=(5, 4))
P, Q = RNG.uniform(0.02, 0.98, (5, 4)), RNG.uniform(0, 1, (5, 4))
SIGNS = RNG.choice([-1.0, 1.0], (5, 4))
LABELS = RNG.integers(0, 4, 5)
WEIGHT = np.asarray([0.5, 2.0, 1.0, 0.25])
MAPS = RNG.normal(size=(2, 4, 3, 2))
PIXELS = RNG.integers(0, 4, (2, 3, 2))


def tensors_of(values: Any, make: Callable[[Any, bool], Any], wanted: int) -> list[Any]:
    return [make(v, i < wanted) if isinstance(v, np.ndarray) else v for i, v in enumerate(values)]


def same(
    ours: Callable[..., Any], theirs: Callable[..., Any], values: Any, wanted: int = 1, **options: Any
) -> None:
    """Both functions give the same, and the same gradients of the first ``wanted`` values."""
    mine = tensors_of(values, lambda v, g: fb.asarray(v, requires_grad=g), wanted)
    other = tensors_of(values, lambda v, g: torch.tensor(v, requires_grad=g), wanted)
    my_options = {k: fb.asarray(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    other_options = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    with fb.use_executor("reference"):
        y, ty = ours(*mine, **my_options), theirs(*other, **other_options)
        assert y.shape == tuple(ty.shape)
        np.testing.assert_allclose(y.numpy(), ty.detach().numpy(), rtol=1e-10, atol=1e-10)
        fb.sum(y * y).backward()
        (ty * ty).sum().backward()
        for a, b in zip(mine[:wanted], other[:wanted], strict=True):
            assert a.grad is not None
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-9, atol=1e-9)


CLASS_CASES = {
    "rows": (X, LABELS),
    "one": (X[0], np.asarray(2)),
    "maps": (MAPS, PIXELS),
    "some ignored": (X, np.asarray([1, 2, 1, 0, 1])),
}


@pytest.mark.parametrize("case", CLASS_CASES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy_and_nll(case: str, reduction: str) -> None:
    values = CLASS_CASES[case]
    for weight, ignore, smoothing in itertools.product((None, WEIGHT), (-100, 1), (0.0, 0.3)):
        options = {"weight": weight, "ignore_index": ignore, "reduction": reduction}
        same(F.cross_entropy, T.cross_entropy, values, label_smoothing=smoothing, **options)
        if not smoothing:
            same(F.nll_loss, T.nll_loss, values, **options)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy_of_probabilities(reduction: str) -> None:
    shares = RNG.dirichlet(np.ones(4), (2, 3, 2)).transpose(0, 3, 1, 2)
    rows = RNG.dirichlet(np.ones(4), 5)
    for weight, smoothing in itertools.product((None, WEIGHT), (0.0, 0.3)):
        for x, target in ((MAPS, shares), (X, rows), (X[0], rows[0])):
            same(
                F.cross_entropy, T.cross_entropy, (x, target), 2,
                weight=weight, label_smoothing=smoothing, reduction=reduction,
            )  # fmt: skip


OPTIONS: list[tuple[str, Any, int, list[dict[str, Any]]]] = [
    ("mse_loss", (X, Y), 2, [{}]),
    ("l1_loss", (X, np.where(X > 0, X, Y)), 2, [{}]),
    ("smooth_l1_loss", (X, Y), 2, [{}, {"beta": 0.3}, {"beta": 0.0}]),
    ("huber_loss", (X, Y), 2, [{}, {"delta": 0.3}]),
    (
        "poisson_nll_loss",
        (X, np.abs(3 * Y)),
        2,
        [{}, {"full": True}, {"log_input": False, "eps": 4.0, "full": True}],
    ),
    ("gaussian_nll_loss", (X, Y, P), 3, [{}, {"full": True}, {"eps": 0.5}]),
    ("gaussian_nll_loss", (X, Y, P[:, 0]), 3, [{}]),
    ("gaussian_nll_loss", (X, Y, P[:, :1]), 3, [{}]),
    ("gaussian_nll_loss", (X, Y, 0.7), 2, [{}]),
    ("binary_cross_entropy", (P, Q), 2, [{}, {"weight": WEIGHT}, {"weight": Q}]),
    (
        "binary_cross_entropy_with_logits",
        (X, Q),
        2,
        [{}, {"weight": WEIGHT}, {"pos_weight": WEIGHT}, {"weight": Q, "pos_weight": WEIGHT}],
    ),
    ("kl_div", (X, P), 2, [{}]),
    ("kl_div", (X, Y), 2, [{"log_target": True}]),
    ("soft_margin_loss", (X, SIGNS), 1, [{}]),
    ("multilabel_soft_margin_loss", (X, (SIGNS + 1) / 2), 1, [{}, {"weight": WEIGHT}]),
    ("multilabel_soft_margin_loss", (X[0], (SIGNS[0] + 1) / 2), 1, [{}]),
    ("hinge_embedding_loss", (P, SIGNS), 1, [{}, {"margin": 0.5}]),
    ("margin_ranking_loss", (X, Y, SIGNS), 2, [{}, {"margin": 0.5}]),
    ("cosine_embedding_loss", (X, Y, SIGNS[:, 0]), 2, [{}, {"margin": -0.5}]),
    ("cosine_embedding_loss", (X[0], Y[0], np.asarray(-1.0)), 2, [{"margin": -0.9}]),
    (
        "triplet_margin_loss",
        (X, Y, P),
        3,
        [
            {},
            {"margin": 3.0, "p": 3.0, "eps": 0.01},
            {"swap": True, "margin": 2.0},
            {"p": 1.0, "margin": 2.0},
        ],
    ),
    ("triplet_margin_with_distance_loss", (X, Y, P), 3, [{"margin": 3.0}, {"swap": True, "margin": 2.0}]),
    ("multi_margin_loss", (X, LABELS), 1, [{}, {"p": 2}, {"margin": 0.3, "weight": WEIGHT}]),
    ("multi_margin_loss", (X[0], np.asarray(1)), 1, [{}]),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", OPTIONS, ids=[f"{i} {name}" for i, (name, *_) in enumerate(OPTIONS)])
def test_options(case: tuple[str, Any, int, list[dict[str, Any]]]) -> None:
    name, values, wanted, options = case
    for i, given in enumerate(options):
        for reduction in REDUCTIONS if i == 0 else ("mean",):
            same(getattr(F, name), getattr(T, name), values, wanted, reduction=reduction, **given)


def test_a_distance_of_ones_own() -> None:
    def ours(a: Any, b: Any) -> Any:
        return 1.0 - fb.sum(a * b, axis=-1)

    def theirs(a: Any, b: Any) -> Any:
        return 1.0 - (a * b).sum(-1)

    mine = nn.TripletMarginWithDistanceLoss(distance_function=ours, margin=2.0)
    other = torch.nn.TripletMarginWithDistanceLoss(distance_function=theirs, margin=2.0)
    made = mine(*[fb.asarray(v) for v in (X, Y, P)])
    wanted = other(*[torch.tensor(v) for v in (X, Y, P)])
    np.testing.assert_allclose(made.item(), wanted.item(), rtol=1e-12)


# -- where they are subtle ----------------------------------------------------------------------


def test_probabilities_of_0_and_1() -> None:
    x = np.asarray([0.0, 1.0, 0.0, 1.0, 1e-13, 0.5])
    y = np.asarray([0.0, 1.0, 1.0, 0.0, 0.5, 0.0])
    same(F.binary_cross_entropy, T.binary_cross_entropy, (x, y), reduction="sum")
    same(F.kl_div, T.kl_div, (X[0, :4], np.asarray([0.0, 0.2, 0.0, 0.8])), reduction="sum")


def test_large_logits() -> None:
    x = np.asarray([[1000.0, -1000.0, 0.0], [-1e5, 1e5, 3.0]])
    y = np.asarray([[0.0, 1.0, 1.0], [1.0, 0.0, 0.5]])
    same(F.binary_cross_entropy_with_logits, T.binary_cross_entropy_with_logits, (x, y))
    for target in ([0, 1], [1, 0], [2, 2]):
        same(F.cross_entropy, T.cross_entropy, (x, np.asarray(target)), label_smoothing=0.1)
    masked = np.asarray([[0.0, -np.inf, 1.0], [-np.inf, 2.0, -np.inf]])
    same(F.cross_entropy, T.cross_entropy, (masked, np.asarray([0, 1])))
    assert F.cross_entropy(fb.asarray(masked), fb.asarray([1, 0])).item() == math.inf
    assert F.soft_margin_loss(fb.asarray([1e4]), fb.asarray([-1.0])).item() == 1e4


@pytest.mark.parametrize(
    ("name", "shapes", "kinds"),
    [
        ("mse_loss", [(0, 4), (0, 4)], "ff"),
        ("l1_loss", [(0,), (0,)], "ff"),
        ("cross_entropy", [(0, 4), (0,)], "fi"),
        ("cross_entropy", [(0, 4), (0, 4)], "ff"),
        ("nll_loss", [(0, 4), (0,)], "fi"),
        ("binary_cross_entropy_with_logits", [(0, 4), (0, 4)], "ff"),
    ],
)
def test_the_mean_of_an_empty_batch_is_not_a_number(
    name: str, shapes: list[tuple[int, ...]], kinds: str, both_executors: str
) -> None:
    given = [np.zeros(s, np.float64 if k == "f" else np.int64) for s, k in zip(shapes, kinds, strict=True)]
    theirs = getattr(T, name)(*[torch.tensor(v) for v in given])
    ours = getattr(F, name)(*[fb.asarray(v) for v in given])
    assert math.isnan(theirs.item()) and math.isnan(ours.item())
    assert getattr(F, name)(*[fb.asarray(v) for v in given], reduction="sum").item() == 0.0


def test_only_ignored_targets() -> None:
    x = fb.asarray(X, requires_grad=True)
    loss = F.cross_entropy(x, fb.full(5, -100, dtype=fb.int64))
    assert math.isnan(loss.item())
    assert F.cross_entropy(x, fb.full(5, -100, dtype=fb.int64), reduction="sum").item() == 0.0


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss", "multi_margin_loss"])
@pytest.mark.parametrize("target", [4, -1])
def test_targets_that_are_no_class(name: str, target: int) -> None:
    with pytest.raises(OutOfBoundsError, match=rf"(?s){name}: a target.*{target}.*at test_losses\.py"):
        getattr(F, name)(fb.asarray(X), fb.asarray([0, 1, target, 2, 3])).item()


@pytest.mark.parametrize("dtype", [fb.float16, fb.bfloat16])
def test_half_precision_is_summed_in_float32(dtype: fb.DType) -> None:
    x, y = fb.full(70_000, 2.0, dtype=dtype), fb.zeros(70_000, dtype=dtype)
    loss = F.mse_loss(x, y)
    assert loss.dtype is dtype and loss.item() == 4.0
    logits = fb.zeros((4096, 4), dtype=dtype)
    assert abs(F.cross_entropy(logits, fb.zeros(4096, dtype=fb.int64)).item() - math.log(4)) < 0.01


def test_variances_below_0() -> None:
    given = [fb.asarray(v) for v in ([1.0, 1.0], [0.0, 0.0], [-1.0, 1.0])]
    loss = F.gaussian_nll_loss(*given, reduction="none").tolist()
    assert math.isnan(loss[0]) and loss[1] == 0.5


def test_second_derivatives() -> None:
    x, y = fb.asarray(P[0]), fb.asarray(Q[0])
    for name in ("binary_cross_entropy", "binary_cross_entropy_with_logits", "huber_loss"):
        loss = getattr(F, name)
        assert fb.gradcheck(fb.grad(lambda v, loss=loss: loss(v, y)), (x,), atol=1e-5)


def test_numbers_compile_nothing() -> None:
    x, y = fb.asarray(X), fb.asarray(Y)
    for delta in (0.5, 0.25):
        F.huber_loss(x, y, delta=delta).item()
    before = fb.stats()
    for delta in (0.1, 2.0):
        F.huber_loss(x, y, delta=delta).item()
    after = fb.stats()
    assert (after.plans, after.partitions) == (before.plans, before.partitions)


def test_weights_are_buffers() -> None:
    layer = nn.CrossEntropyLoss(weight=fb.asarray(WEIGHT))
    assert list(layer.state_dict()) == ["weight"] and not list(layer.parameters())
    assert repr(layer) == "CrossEntropyLoss(weight=<float64[4]>)"
    assert list(nn.BCEWithLogitsLoss(pos_weight=fb.ones(3)).state_dict()) == ["pos_weight"]
    assert list(nn.BCELoss().state_dict()) == []
    with pytest.raises(ShapeError, match=r"cross_entropy: weights of shape \(4,\) are needed, not \(3,\)"):
        nn.CrossEntropyLoss(weight=fb.ones(3))(fb.asarray(X), fb.asarray(LABELS))
    with pytest.raises(ShapeError, match=r"a weight of shape \(3,\) does not fit \(5, 4\)"):
        nn.BCELoss(weight=fb.ones(3))(fb.asarray(P), fb.asarray(Q))


# -- connectionist temporal classification ------------------------------------------------------


SPOKEN = RNG.normal(size=(7, 3, 5))
WORDS = np.asarray([[1, 2, 2], [3, 1, 4], [2, 4, 1]])
STEPS, LETTERS = np.asarray([7, 5, 6]), np.asarray([3, 2, 1])
CTC: dict[str, tuple[Any, ...]] = {
    "rows": (SPOKEN, WORDS, STEPS, LETTERS),
    "one after the other": (SPOKEN, np.asarray([1, 2, 2, 3, 1, 2]), STEPS, LETTERS),
    "lists": (SPOKEN, WORDS, [7, 5, 6], [3, 2, 1]),
    "alone": (SPOKEN[:, 0], WORDS[0], np.asarray(7), np.asarray(3)),
    "empty targets": (SPOKEN, WORDS, STEPS, np.asarray([0, 2, 0])),
    "impossible": (SPOKEN, WORDS, np.asarray([3, 5, 6]), LETTERS),  # 1 2 2 needs a blank: four steps
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CTC)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_ctc(case: str, reduction: str) -> None:
    logits, *rest = CTC[case]
    axis = logits.ndim - 1

    def ours(x: Any, *others: Any) -> Any:
        return F.ctc_loss(fb.log_softmax(x, axis=axis), *others, reduction=reduction, zero_infinity=True)

    def theirs(x: Any, *others: Any) -> Any:
        return T.ctc_loss(x.log_softmax(axis), *others, reduction=reduction, zero_infinity=True)

    same(ours, theirs, (logits, *rest))


def test_ctc_with_another_blank_and_infinity() -> None:
    x = fb.log_softmax(fb.asarray(SPOKEN), axis=2)
    tx = torch.tensor(SPOKEN).log_softmax(2)
    rest = (WORDS - 1, np.asarray([3, 5, 6]), LETTERS)
    ours = nn.CTCLoss(blank=4, reduction="none")(x, *[fb.asarray(v) for v in rest])
    theirs = torch.nn.CTCLoss(blank=4, reduction="none")(tx, *[torch.tensor(v) for v in rest])
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)
    assert math.isinf(ours.tolist()[0])


def test_ctc_records_as_much_for_any_length() -> None:
    counts = []
    for steps in (6, 60):
        x = fb.zeros((steps, 2, 5))
        graph = fb.trace(lambda v: F.ctc_loss(v, fb.asarray([[1, 2], [3, 4]]), [6, 6], [2, 1]), x).graph
        counts.append(len(graph.nodes))
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({1: WORDS + 3}, OutOfBoundsError, "ctc_loss: a target"),
        ({2: np.asarray([8, 5, 6])}, OutOfBoundsError, "ctc_loss: an input length"),
        ({3: np.asarray([4, 2, 1])}, OutOfBoundsError, "ctc_loss: a target length"),
        ({1: np.asarray([1, 2, 3])}, ShapeError, "as many elements as target_lengths together, 6, not 3"),
        ({2: STEPS[:2]}, ShapeError, r"ctc_loss: input_lengths of shape \(3,\) are needed, not \(2,\)"),
        ({1: WORDS * 1.0}, TypeError, "ctc_loss: targets must be integers, not float64"),
    ],
)
def test_ctc_refuses(change: dict[int, Any], error: type[Exception], message: str) -> None:
    values = [SPOKEN, WORDS, STEPS, LETTERS]
    for i, v in change.items():
        values[i] = v
    with pytest.raises(error, match=rf"(?s){message}.*at test_losses\.py"):
        F.ctc_loss(*[fb.asarray(v) for v in values]).item()


def test_reductions_that_do_not_exist() -> None:
    with pytest.raises(OperandError, match="mse_loss: reduction must be 'mean', 'sum' or 'none', not 'avg'"):
        F.mse_loss(fb.ones(2), fb.ones(2), reduction="avg")
