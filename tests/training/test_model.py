from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau.errors import FlambeauError, OperandError, ShapeError
from flambeau.training import metrics


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x = rng.standard_normal((90, 6)).astype(np.float32)
    return x, (x[:, 0] * x[:, 1] > 0).astype(np.int64) + (x[:, 2] > 0.5)


def network(seed: int = 0) -> fb.nn.Module:
    fb.random.seed(seed)
    return fb.nn.Sequential(fb.nn.Linear(6, 16), fb.nn.ReLU(), fb.nn.Linear(16, 3))


def model_of(module: fb.nn.Module, metrics: Any = (), **options: Any) -> fb.Model:
    model = fb.Model(module)
    model.compile(fb.optim.Adam(module.parameters(), lr=0.01), "cross_entropy", metrics, **options)
    return model


def weights_of(module: fb.nn.Module) -> list[bytes]:
    return [p.numpy().tobytes() for p in module.parameters()]


def by_hand(x: Any, y: Any, epochs: int, size: int, seed: int = 0) -> tuple[fb.nn.Module, list[float]]:
    net = network(seed)
    optimizer = fb.optim.Adam(net.parameters(), lr=0.01)
    losses = []
    for _ in range(epochs):
        order = fb.random.permutation(len(x)).numpy()
        seen = 0.0
        for start in range(0, len(x), size):
            rows = order[start : start + size]
            loss = fb.nn.functional.cross_entropy(net(fb.asarray(x[rows])), fb.asarray(y[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += loss.item() * len(rows)
        losses.append(seen / len(x))
    return net, losses


@pytest.mark.parametrize("eager", [False, True])
def test_fit_is_the_loop_one_would_write(data: Any, eager: bool) -> None:
    net, losses = by_hand(*data, epochs=3, size=32)
    module = network()
    model = model_of(module, ["accuracy"], run_eagerly=eager)
    history = model.fit(*data, batch_size=32, epochs=3, verbose=0)
    assert history.history["loss"] == losses
    assert history.epoch == [0, 1, 2]
    assert weights_of(module) == weights_of(net)
    x, y = data
    accuracy = (module(fb.asarray(x)).numpy().argmax(1) == y).mean()
    assert model.evaluate(x, y, return_dict=True)["accuracy"] == pytest.approx(accuracy, rel=1e-15)


def test_the_step_is_compiled_once_for_each_size(data: Any) -> None:
    module = network()
    model = model_of(module, ["accuracy"])
    model.fit(*data, batch_size=40, epochs=4, verbose=0)  # 40, 40, 10
    steps = model.run.steps
    assert steps is not None
    first, *others = steps._train.explain()
    assert first.endswith("it is the first call")
    assert len(others) == 1 and others[0].endswith("axis 0 of argument inputs[0] changed from 40 to 10")


def test_evaluate_and_predict(data: Any) -> None:
    x, y = data
    module = fb.nn.Sequential(network(), fb.nn.Dropout(0.9)) if hasattr(fb.nn, "Dropout") else network()
    model = model_of(module, ["accuracy", metrics.F1Score(average=None)])
    loss, accuracy, f1 = model.evaluate(x, y, batch_size=37)
    assert module.training
    logits = module.eval()(fb.asarray(x))
    module.train()
    assert loss == pytest.approx(fb.nn.functional.cross_entropy(logits, fb.asarray(y)).item(), rel=1e-5)
    assert accuracy == (logits.numpy().argmax(1) == y).mean()
    assert f1.shape == (3,)
    made = model.predict(x, batch_size=37)
    assert made.numpy().tobytes() == logits.numpy().tobytes()
    plain = model_of(module)
    assert plain.evaluate(x, y) == pytest.approx(loss, rel=1e-6)


def test_validation(data: Any) -> None:
    x, y = data
    one = model_of(network(), ["accuracy"], run_eagerly=True)
    first = one.fit(x, y, epochs=2, validation_split=0.2, verbose=0).history
    two = model_of(network(), ["accuracy"], run_eagerly=True)
    second = two.fit(x[:72], y[:72], epochs=2, validation_data=(x[72:], y[72:]), verbose=0).history
    assert first == second
    assert list(first) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert two.evaluate(x[72:], y[72:]) == [first["val_loss"][-1], first["val_accuracy"][-1]]


def test_loaders(data: Any) -> None:
    x, y = data

    one, three = network(), network()
    model_of(one, run_eagerly=True).fit(x, y, epochs=2, shuffle=False, verbose=0)
    loader = fb.data.DataLoader(fb.data.TensorDataset(fb.asarray(x), fb.asarray(y)), batch_size=32)
    model = model_of(three, run_eagerly=True)
    model.fit(loader, epochs=2, verbose=0, validation_data=loader)
    assert weights_of(one) == weights_of(three)
    assert model.evaluate(loader) == model.evaluate(x, y)
    assert model.predict(loader).numpy().tobytes() == model.predict(x).numpy().tobytes()


def test_several_inputs(data: Any) -> None:
    x, y = data

    class Two(fb.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = fb.nn.Linear(2, 3), fb.nn.Linear(4, 3)

        def forward(self, left: Any, right: Any) -> Any:
            return self.a(left) + self.b(right)

    found = []
    for inputs in ((x[:, :2], x[:, 2:]), {"right": x[:, 2:], "left": x[:, :2]}):
        fb.random.seed(0)
        model = model_of(Two(), run_eagerly=True)
        model.fit(inputs, y, verbose=0)
        found.append(model.predict(inputs).numpy().tobytes())
    assert found[0] == found[1]


@pytest.mark.parametrize("eager", [False, True])
def test_accumulated_gradients_are_those_of_a_large_batch(data: Any, eager: bool) -> None:
    x, y = data
    one, two = network(), network()
    model_of(one).fit(x, y, batch_size=40, epochs=3, shuffle=False, verbose=0)
    # the last update has the gradients of two batches, one of them smaller
    model = model_of(two, run_eagerly=eager)
    history = model.fit(x, y, batch_size=8, epochs=3, shuffle=False, gradient_accumulation_steps=5, verbose=0)
    assert len(history.epoch) == 3
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=0, atol=2e-5)
    assert all(p.grad is None for p in two.parameters())


def test_weights_of_examples_and_classes(data: Any, rng: np.random.Generator) -> None:
    x, y = data
    w = rng.random(90).astype(np.float32)
    table = {0: 0.5, 1: 2.0, 2: 0.0}
    module = network()
    logits = module(fb.asarray(x)).numpy().astype(np.float64)
    if "reduction" not in inspect.signature(fb.nn.functional.cross_entropy).parameters:
        pytest.skip("losses of each example are not there yet")
    each = np.log(np.exp(logits).sum(1)) - logits[np.arange(90), y]
    total = w * np.array([table[int(c)] for c in y])
    model = fb.Model(module)
    model.compile(fb.optim.SGD(module.parameters(), lr=0.0), "cross_entropy", ["accuracy"], run_eagerly=True)
    history = model.fit(x, y, sample_weight=w, class_weight=table, batch_size=90, verbose=0).history
    assert history["loss"][0] == pytest.approx((each * total).mean(), rel=1e-5)
    hits = logits.argmax(1) == y
    assert history["accuracy"][0] == pytest.approx((hits * total).sum() / total.sum(), rel=1e-6)
    with pytest.raises(OperandError, match="class_weight has no weight for class 2"):
        model.fit(x, y, class_weight={0: 1.0, 1: 1.0}, verbose=0)


def test_mixed_precision(data: Any) -> None:
    x, y = data
    module, exact = network(), network()
    seen: list[Any] = []

    class Watch(fb.nn.Module):
        def __init__(self, inner: fb.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Any) -> Any:
            y = self.inner(x)
            seen.append((x.dtype, y.dtype, next(self.inner.parameters()).dtype))
            return y

    model = model_of(Watch(module), run_eagerly=True)
    history = model.fit(x, y, epochs=3, mixed_precision=True, verbose=0).history["loss"]
    assert set(seen) == {(fb.bfloat16,) * 3}
    assert all(p.dtype is fb.float32 and p.is_leaf for p in module.parameters())
    full = model_of(exact, run_eagerly=True).fit(x, y, epochs=3, verbose=0).history["loss"]
    np.testing.assert_allclose(history, full, rtol=0.02)
    assert history != full
    fine = [p.numpy() for p in module.parameters()]
    assert any((w.astype(fb.bfloat16.numpy).astype(np.float32) != w).any() for w in fine)


def test_mixed_precision_by_hand(data: Any) -> None:
    """One step is what rounding by hand gives: gradients reach the float32 weights through a cast."""
    x, y = data
    module, other = network(), network()
    model = fb.Model(module)
    model.compile(fb.optim.SGD(module.parameters(), lr=0.5), "cross_entropy", run_eagerly=True)
    model.fit(x, y, batch_size=90, shuffle=False, mixed_precision=True, verbose=0)
    w1, b1, w2, b2 = other.parameters()
    half = [p.astype(fb.bfloat16) for p in (w1, b1, w2, b2)]
    h = fb.relu(fb.asarray(x).astype(fb.bfloat16) @ half[0].T + half[1])
    logits = (h @ half[2].T + half[3]).astype(fb.float32)
    fb.nn.functional.cross_entropy(logits, fb.asarray(y)).backward()
    fb.optim.SGD(other.parameters(), lr=0.5).step()
    for p, q in zip(module.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-2, atol=1e-4)


def test_a_wrong_size_fails_before_the_first_step(data: Any) -> None:
    class Net(fb.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = fb.nn.Linear(6, 16)
            self.second = fb.nn.Linear(17, 3)

        def forward(self, x: Any) -> Any:
            x = fb.relu(self.first(x))
            return self.second(x)

    module = Net()
    before = weights_of(module)
    model = model_of(module)
    with pytest.raises(ShapeError) as caught:
        model.fit(*data, verbose=0)
    text = str(caught.value)
    assert "(..., 17) is needed, not (32, 16)" in text and "weight has shape (3, 17)" in text
    assert re.search(
        r"in layer Net.second, made at test_model.py:\d+ in __init__: self.second = fb.nn.Linear\(17, 3\)$",
        text,
    )
    assert re.search(r"at test_model.py:\d+ in forward: return self.second\(x\)", text)
    assert weights_of(module) == before


def test_targets_that_do_not_fit(data: Any) -> None:
    x, y = data
    with pytest.raises(FlambeauError, match=r"at test_model.py:\d+ in test_targets_that_do_not_fit"):
        model_of(network()).fit(x, np.stack([y, y, y, y], axis=1).astype(np.float32), verbose=0)


def test_looking_changes_nothing(data: Any) -> None:
    class Counts(fb.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()
            self.register_buffer("seen", fb.asarray(0.0))

        def forward(self, x: Any) -> Any:
            with fb.no_grad():
                self.seen = self.seen + 1.0 + 0.0 * fb.random.uniform(())
            return self.inner(x)

    module = Counts()
    drawn = fb.random.default_generator().state
    model_of(module).fit(*data, batch_size=45, epochs=2, shuffle=False, verbose=0)
    assert module.seen.item() == 4.0
    assert fb.random.default_generator().state == (drawn[0], drawn[1] + 4)


def test_python_that_looks_at_values_needs_run_eagerly(data: Any) -> None:
    class Looks(fb.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, x: Any) -> Any:
            y = self.inner(x)
            return y if y.sum() > 0 else -y

    with pytest.raises(fb.errors.TraceError, match="return y if y"):
        model_of(Looks()).fit(*data, verbose=0)
    history = model_of(Looks(), ["accuracy"], run_eagerly=True).fit(*data, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_clipped_gradients(data: Any) -> None:
    if not hasattr(fb.nn.utils, "clip_grad_norm_"):
        pytest.skip("clipping is not there yet")
    x, y = data
    module, other = network(), network()
    model = fb.Model(module)
    model.compile(fb.optim.SGD(module.parameters(), lr=1.0), "cross_entropy", global_clipnorm=0.01)
    model.fit(x, y, batch_size=90, verbose=0)
    moved = [
        ((p.numpy() - q.numpy()) ** 2).sum()
        for p, q in zip(module.parameters(), other.parameters(), strict=True)
    ]
    assert sum(moved) ** 0.5 == pytest.approx(0.01, rel=1e-3)


def test_weights_in_files(tmp_path: Any, data: Any) -> None:
    one, two = fb.Model(network(0)), fb.Model(network(1))
    one.save_weights(tmp_path / "w.safetensors", {"by": "test"})
    two.load_weights(tmp_path / "w.safetensors")
    assert weights_of(one.module) == weights_of(two.module)
    assert fb.io.load_metadata(tmp_path / "w.safetensors") == {"by": "test"}


X, Y = np.zeros((8, 6), np.float32), np.zeros(8, np.int64)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: fb.Model(network).fit(X, Y), "Model: a module is needed, not a function"),
        (lambda m: fb.Model(network()).fit(X, Y), r"fit: call compile\(optimizer, loss\) first"),
        (lambda m: m.compile("adan", "cross_entropy"), "the optimizer must be one of fb.optim or its name"),
        (lambda m: m.compile("adam", "mse"), "there is no loss 'mse': it is called 'mse_loss' here"),
        (lambda m: m.compile("adam", 3), "the loss must be a name, a module or a function, not 3"),
        (lambda m: m.compile("adam", "mse_loss", ["acc"]), "'acc' is neither a metric nor the name of one"),
        (lambda m: m.compile("adam", "mse_loss", ["mae", "mae"]), "metrics need different names"),
        (lambda m: m.fit(X), "fit: y is needed"),
        (lambda m: m.fit(X, Y, epochs=-1), "epochs must be a whole number of at least 0, not -1"),
        (lambda m: m.fit(X, Y, batch_size=0), "batch_size must be a whole number of at least 1, not 0"),
        (lambda m: m.fit(X, Y[:7]), "must have as many examples as each other, not 8, 7"),
        (lambda m: m.fit(X, Y, validation_split=1.5), "validation_split must be a number between 0 and 1"),
        (lambda m: m.fit(X, Y, validation_data=(X,)), r"validation_data must be \(x, y\)"),
        (lambda m: m.fit(X, Y, verbose=3), "verbose must be 'auto', 0, 1 or 2, not 3"),
        (lambda m: m.fit(X, Y, callbacks=[print]), "is no callback"),
        (lambda m: m.fit(iter([]), verbose=0), "fit: there is not a single batch to train on"),
        (lambda m: m.fit(iter([X]), verbose=0), "a loader must give"),
        (lambda m: m.summary(), "summary: an example of the inputs is needed"),
    ],
)
def test_errors(call: Any, message: str) -> None:
    with pytest.raises((OperandError, ShapeError), match=message):
        call(model_of(network()))
