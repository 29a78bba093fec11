"""The same bits on any number of threads, fused or not, alone or in a batch, in one run or another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pytest

import flambeau as fb
from flambeau import nn, optim
from flambeau.runtime import threads
from flambeau.tensor import Tensor

THREADS = (1, 2, 3, 8)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def model(sizes: list[int]) -> nn.Sequential:
    """An MLP whose weights depend on the sizes alone."""
    fb.random.seed(7)
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def train(steps: int, sizes: list[int], batch: int, look: Callable[[Tensor], None] | None = None) -> bytes:
    """All weights and losses of a training run with Adam."""
    net = model(sizes)
    rule = optim.Adam(net.parameters(), 1e-3)
    losses = []
    for step in range(steps):
        x = fb.asarray(floats(batch, sizes[0], seed=step))
        y = fb.asarray(np.random.default_rng(step).integers(0, sizes[-1], batch))
        rule.zero_grad()
        h = net(x)
        if look is not None:
            look(h)
        loss = nn.functional.cross_entropy(h, y)
        loss.backward()
        rule.step()
        losses.append(loss.item())
    weights = b"".join(p.numpy().tobytes() for p in net.parameters())
    return weights + np.asarray(losses).tobytes()


@pytest.mark.parametrize(("sizes", "batch"), [([20, 33, 7], 17), ([300, 129, 250, 10], 128)])
def test_training_has_the_same_bits_on_any_number_of_threads(sizes: list[int], batch: int) -> None:
    found = set()
    for count in THREADS:
        threads.set_num_threads(count)
        found.add(train(20, sizes, batch))
    assert len(found) == 1


def test_training_has_the_same_bits_again() -> None:
    assert train(20, [12, 9, 4], 10) == train(20, [12, 9, 4], 10)


def test_looking_at_activations_does_not_change_training() -> None:
    quiet = train(5, [30, 17, 5], 9)
    assert train(5, [30, 17, 5], 9, lambda h: h.numpy()) == quiet


def test_large_reductions_and_functions_on_any_number_of_threads() -> None:
    x, y = floats(700, 1500), floats(1500, seed=1)

    def compute() -> list[bytes]:
        a, b = fb.asarray(x), fb.asarray(y)
        parts = [
            fb.sum(fb.exp(a) * b), fb.sum(a, axis=0), fb.max(a, axis=1), fb.softmax(a * b, axis=1), a @ b,
            fb.mean(fb.tanh(a), axis=(0, 1)), fb.sum(a.astype(fb.float64), axis=0),
            fb.permute_dims(a, (1, 0)) @ a,
        ]  # fmt: skip
        return [p.numpy().tobytes() for p in parts]

    found = []
    for count in THREADS:
        threads.set_num_threads(count)
        found.append(compute())
    assert all(f == found[0] for f in found)


@pytest.mark.parametrize("widths", [[7, 5], [64, 33, 10], [100, 129, 31, 3], [784, 250, 10], [5000, 9]])
def test_a_row_has_the_same_bits_alone_and_in_any_batch(widths: list[int]) -> None:
    net = model(widths)
    rows = floats(1000, widths[0])
    with fb.no_grad():
        alone = [net(fb.asarray(rows[i : i + 1])).numpy().tobytes() for i in range(33)]
        for batch in (*range(1, 18), 33, 1000):
            found = net(fb.asarray(rows[:batch])).numpy()
            for i in range(min(batch, 33)):
                assert found[i].tobytes() == alone[i], f"row {i} of {batch}"
        for batch in (2, 5, 8, 17):  # one row at each position among others
            for at in range(batch):
                mixed = rows[500 : 500 + batch].copy()
                mixed[at] = rows[0]
                assert net(fb.asarray(mixed)).numpy()[at].tobytes() == alone[0], f"row at {at} of {batch}"


@pytest.mark.parametrize("size", [1, 3, 40, 600])
def test_normalizing_a_row_alone_and_in_a_batch(size: int) -> None:
    rows = floats(33, size)

    def normal(x: Tensor) -> Tensor:
        centred = x - fb.mean(x, axis=-1, keepdims=True)
        return fb.softmax(
            centred * fb.rsqrt(fb.mean(centred * centred, axis=-1, keepdims=True) + 1e-5), axis=-1
        )

    whole = normal(fb.asarray(rows)).numpy()
    for i in range(33):
        assert normal(fb.asarray(rows[i : i + 1])).numpy()[0].tobytes() == whole[i].tobytes()
        assert normal(fb.asarray(rows[i])).numpy().tobytes() == whole[i].tobytes()


@pytest.mark.parametrize("axis", [0, (0, 1)])
def test_a_column_has_the_same_bits_alone_and_beside_others(axis: int | tuple[int, ...]) -> None:
    x = floats(*((2000, 9) if axis == 0 else (30, 70, 9)))
    for name in ("sum", "prod", "max"):
        reduce = getattr(fb, name)
        whole = reduce(fb.asarray(x), axis=axis).numpy()
        for i in range(9):
            alone = reduce(fb.asarray(np.ascontiguousarray(x[..., i : i + 1])), axis=axis).numpy()
            assert alone.tobytes() == whole[i : i + 1].tobytes(), (name, i)


def test_fused_and_unfused_forward() -> None:
    """Looking at each value as it is made gives the bits of one program at the end."""
    x, w, b = floats(37, 19), floats(19, 23, seed=1), floats(23, seed=2)

    def forward(look: Callable[[Tensor], Tensor]) -> bytes:
        h = look(look(fb.asarray(x) @ fb.asarray(w)) + fb.asarray(b))
        g = look(h * look(fb.sigmoid(look(h * 1.702))))
        s = look(fb.sum(look(g * g), axis=1, keepdims=True))
        return look(g * look(fb.rsqrt(look(s + 1e-6)))).numpy().tobytes()

    def seen(t: Tensor) -> Tensor:
        t.numpy()
        return t

    assert forward(lambda t: t) == forward(seen)


def test_strides_do_not_change_bits() -> None:
    """The same numbers read transposed, reversed, broadcast or dense."""
    x = floats(31, 45)
    plain, turned = fb.asarray(x), fb.permute_dims(fb.asarray(np.ascontiguousarray(x.T)), (1, 0))
    backward = fb.flip(fb.asarray(np.ascontiguousarray(x[::-1])), axis=0)
    w = fb.asarray(floats(45, 8, seed=1))
    for f in (
        lambda t: fb.tanh(t) * 3.0,
        lambda t: fb.sum(t, axis=1),
        lambda t: fb.sum(t, axis=0),
        lambda t: t @ w,
    ):
        bits = {f(t).numpy().tobytes() for t in (plain, turned, backward)}
        assert len(bits) == 1


def test_looking_does_not_change_gradients() -> None:
    """A gradient is one chain of additions, from the last use to the first, wherever recordings end."""
    x, c = floats(1000), [floats(1000, seed=i) for i in range(1, 5)]

    def gradient(look: bool) -> bytes:
        t = fb.asarray(x, requires_grad=True)
        a = t * fb.asarray(c[0]) + t * fb.asarray(c[1])
        if look:
            a.numpy()
        b = t * fb.asarray(c[2]) + t * fb.asarray(c[3])
        fb.sum(a + b).backward()
        assert t.grad is not None
        return t.grad.numpy().tobytes()

    assert gradient(True) == gradient(False)
