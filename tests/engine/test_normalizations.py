"""Normalizations: how many kernels they take, and that these have the bits of one kernel per operation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn
from flambeau.compiler import schedule as scheduling
from flambeau.compiler.values import HostStep
from flambeau.engine import executors
from flambeau.engine.native import NativeExecutor
from flambeau.runtime import threads
from flambeau.tensor import Tensor
from tests.engine.checking import checked

F = nn.functional


class Counting:
    """An executor that notes the families of the kernels of its programs."""

    name = "counting"

    def __init__(self) -> None:
        self.inner = NativeExecutor()
        self.families: list[Counter[str]] = []

    def prepare(self, graph: Any, donated: frozenset[int], numbers: int, weights: frozenset[int]) -> Any:
        made = self.inner.prepare(graph, donated, numbers, weights)
        steps = [step for step in made.plan.steps if not isinstance(step, HostStep)]
        calls = [call for step in (*steps, made.plan.overwriting) for call in step]
        self.families.append(Counter(call.entry.partition("_")[0] for call in calls))
        return made


@contextmanager
def counting() -> Iterator[Counting]:
    made = Counting()
    token = executors._ACTIVE.set(made)
    try:
        yield made
    finally:
        executors._ACTIVE.reset(token)


def floats(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def families(fn: Callable[[], Tensor]) -> Counter[str]:
    """The families of the kernels that computing a value takes."""
    with counting() as executor:
        fn().numpy()
    (found,) = executor.families
    return found


def layer(made: nn.Module) -> nn.Module:
    """A layer with weights that are all different."""
    state = made.state_dict()
    made.load_state_dict(
        {name: fb.asarray(floats(*p.shape, seed=i)) for i, (name, p) in enumerate(state.items())}
    )
    return made


STANDARD, OBLONG, RMS = (layer(made) for made in (nn.LayerNorm(40), nn.LayerNorm((5, 8)), nn.RMSNorm(40)))
GROUPS = nn.GroupNorm(5, 10)


X = fb.asarray(floats(24, 40))
LABELS = fb.asarray(np.arange(24) % 40)
ONE = Counter(normalization=1)
FORWARD: dict[str, tuple[Callable[[], Tensor], Counter[str]]] = {
    "softmax": (lambda: fb.softmax(X, axis=-1), ONE),
    "log_softmax": (lambda: fb.log_softmax(X, axis=-1), ONE),
    "logsumexp": (lambda: fb.logsumexp(X, axis=-1), ONE),
    "layer_norm": (lambda: STANDARD(X), ONE),
    "layer_norm_of_two_axes": (lambda: OBLONG(X.reshape(24, 5, 8)), ONE),
    "rms_norm": (lambda: RMS(X), ONE),
    "standardized": (lambda: (X - fb.mean(X, axis=1, keepdims=True)) / fb.std(X, axis=1, keepdims=True), ONE),
    "softmax_then_layer_norm": (lambda: STANDARD(fb.softmax(X, axis=-1)), ONE),
    "gelu_residual_layer_norm": (lambda: STANDARD(X + F.gelu(X)), ONE),
    # targets are checked, rows are one kernel, and their mean is another
    "cross_entropy": (lambda: F.cross_entropy(X, LABELS), ONE + Counter(elementwise=1, reduction=2)),
    "group_norm": (lambda: GROUPS(X.reshape(8, 10, 12)), ONE + Counter(elementwise=1)),
    "norm_of_columns": (lambda: fb.softmax(X, axis=0), Counter(reduction=2, elementwise=1)),
    "sum_of_squares": (lambda: fb.sum(X * X, axis=1), Counter(reduction=1)),
}


@pytest.mark.parametrize("name", FORWARD)
def test_how_many_kernels_run_forward(name: str) -> None:
    fn, expected = FORWARD[name]
    assert families(fn) == expected


def gradients(fn: Callable[[Tensor], Tensor], x: np.ndarray, parameters: list[Tensor]) -> list[Tensor]:
    """The gradients of a weighted sum with respect to ``x`` and the parameters."""
    given = fb.asarray(x, requires_grad=True)
    y = fn(given)
    weights = fb.asarray(floats(*y.shape, seed=9), dtype=y.dtype)
    for p in parameters:
        p.grad = None
    fb.sum(y * weights).backward()
    return [given.grad, *[p.grad for p in parameters]]


def test_backward_passes_take_one_kernel_for_the_rows() -> None:
    for fn, more in ((ROWS["softmax"], 0), (STANDARD, 2)):
        with counting() as executor:
            gradients(fn, floats(24, 40), list(STANDARD.parameters()) if more else [])[0].numpy()
        (found,) = executor.families
        assert found == Counter(normalization=1, reduction=more) + Counter()


def test_a_forward_pass_that_was_looked_at_leaves_one_kernel_for_the_backward_pass() -> None:
    x = fb.asarray(floats(24, 40), requires_grad=True)
    norm = nn.LayerNorm(40)
    with counting() as executor:
        y = norm(x)
        y.numpy()
        fb.sum(y * y).backward()
        x.grad.numpy()
    forward, backward = executor.families
    assert forward == Counter(normalization=1)
    assert backward["normalization"] == 1 and backward["elementwise"] == 0


def several(x: Tensor) -> Tensor:
    """Reductions of every kind, whose values meet."""
    scaled = x * fb.prod(1 + 0.01 * x, axis=-1, keepdims=True)
    return fb.max(x, axis=-1, keepdims=True) - scaled + fb.exp(x - fb.min(x, axis=-1, keepdims=True))


ROWS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda x: fb.softmax(x, axis=-1),
    "log_softmax": lambda x: fb.log_softmax(x, axis=-1),
    "layer_norm": lambda x: F.layer_norm(x, x.shape[-1:]),
    "softmax_layer_norm": lambda x: F.layer_norm(fb.softmax(x, axis=-1), x.shape[-1:]),
    "rms_norm": lambda x: F.rms_norm(x, x.shape[-1:]),
    "several": several,
    "turned": lambda x: fb.softmax(x.T.reshape(x.shape), axis=-1) - fb.sum(x[:, ::-1], axis=1, keepdims=True),
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("shape", [(3, 2), (5, 33), (17, 200), (2, 1000)], ids=str)
def test_bits_are_those_of_one_kernel_per_operation(name: str, shape: tuple[int, int]) -> None:
    with checked():
        gradients(ROWS[name], floats(*shape), [])[0].numpy()
        ROWS[name](fb.asarray(floats(*shape))).numpy()


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_bits_of_other_dtypes(dtype: str) -> None:
    with checked():
        for name in ("softmax", "layer_norm", "several"):
            x = fb.asarray(floats(7, 45), dtype=getattr(fb, dtype), requires_grad=True)
            fb.sum(ROWS[name](x)).backward()
            x.grad.numpy()


def test_rows_of_several_axes_and_strides() -> None:
    with checked():
        x = fb.asarray(floats(4, 6, 5, 7))
        for axes in ((3,), (2, 3), (1, 2, 3)):
            for y in (x, fb.permute_dims(x, (1, 0, 3, 2)), fb.flip(x, axis=3), x[:, ::2, 1:, :]):
                centred = y - fb.mean(y, axis=axes, keepdims=True)
                (centred / fb.sqrt(fb.mean(centred * centred, axis=axes, keepdims=True))).numpy()


def test_special_numbers() -> None:
    x = floats(6, 70)
    x[0, 3], x[1, 69], x[2, 0] = np.nan, np.inf, -np.inf
    x[3], x[4], x[5] = -np.inf, 0.0, -0.0
    with checked(), np.errstate(all="ignore"):
        for fn in ROWS.values():
            gradients(fn, x, [])[0].numpy()
            fn(fb.asarray(x)).numpy()


@pytest.mark.parametrize("shape", [(40, 333), (3, 40_000), (20, 20_000), (1, 64)], ids=str)
def test_parts_threads_and_batches_have_the_same_bits(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = floats(*shape, seed=3)
    before = threads.get_num_threads()

    def compute(x: np.ndarray) -> list[bytes]:
        with counting():
            made = [fn(fb.asarray(x)).numpy() for fn in ROWS.values() if fn is not ROWS["turned"]]
            return [a.tobytes() for a in (*made, gradients(ROWS["softmax_layer_norm"], x, [])[0].numpy())]

    expected = compute(x)
    try:
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            assert compute(x) == expected
    finally:
        threads.set_num_threads(before)
    row = [a[: len(a) // shape[0]] for a in expected[:-1]]
    assert compute(x[:1])[:-1] == row
    monkeypatch.setattr(scheduling, "normalization_task", lambda *_: None)
    assert compute(x) == expected


def test_few_long_rows_are_shared_out_by_several_kernels() -> None:
    x = fb.asarray(floats(2, 50_000))
    found = families(lambda: fb.softmax(x, axis=-1))
    assert found["normalization"] == 0 and found["reduction"] > 1


def test_sizes_for_which_a_partition_was_not_made() -> None:
    """A square and an oblong tensor have one partition."""

    def fn(x: Tensor) -> Tensor:
        y = fb.softmax(x, axis=1)
        return y * fb.sum(y, axis=0) + fb.sum(x, axis=1, keepdims=True)

    with checked():
        for shape in ((5, 5), (5, 9), (9, 5), (40, 2)):
            gradients(fn, floats(*shape), [])[0].numpy()


def test_positions_are_counted_in_any_kernel() -> None:
    with checked():
        x = fb.asarray(floats(5, 7))
        rows, columns = fb.arange(5), fb.arange(7)
        places = fb.astype(rows[:, None] * 7 + columns, fb.float32)
        for made in (
            fb.where(rows[:, None] > columns, x, places),
            fb.sum(x * places, axis=0) + fb.flip(columns),
            fb.softmax(x + fb.reshape(places, (7, 5)).T, axis=-1),
            fb.take(x, fb.flip(columns), axis=1),
            places @ x.T,
            fb.concat([places, x]),
            columns,
            fb.flip(columns)[::2],
        ):
            made.numpy()


def test_positions_are_counted_in_a_loop() -> None:
    def step(carried: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        places = fb.arange(7)
        return carried + fb.astype(places, fb.float32), fb.take(x, fb.flip(places)) * places

    x = floats(5, 7)
    last, turned = fb.scan(step, fb.zeros(7), fb.asarray(x))
    np.testing.assert_array_equal(last.numpy(), 5.0 * np.arange(7, dtype=np.float32))
    np.testing.assert_array_equal(turned.numpy(), x[:, ::-1] * np.arange(7, dtype=np.float32))
