from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as fb
from flambeau.errors import NonFiniteError, OperandError
from flambeau.training import callbacks

X = np.random.default_rng(0).standard_normal((24, 4)).astype(np.float32)
Y = X @ np.array([[1.0], [2.0], [-1.0], [0.5]], np.float32)


def model_of(lr: float = 0.1, module: fb.nn.Module | None = None, eager: bool = True) -> fb.Model:
    """A model whose steps are not compiled unless it matters: recording takes longer than these steps."""
    fb.random.seed(0)
    model = fb.Model(module or fb.nn.Linear(4, 1))
    model.compile(fb.optim.SGD(model.parameters(), lr=lr), "mse_loss", ["mae"], run_eagerly=eager)
    return model


def fit(model: fb.Model, *given: callbacks.Callback, epochs: int = 5, **more: Any) -> fb.training.History:
    return model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, callbacks=given, **more)


class Figures(callbacks.Callback):
    """Makes a figure of its own, so that others can be watched reacting to it."""

    def __init__(self, *values: float) -> None:
        self.values = values

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["figure"] = self.values[epoch]


def test_the_order_of_hooks() -> None:
    called: list[str] = []

    class Record(callbacks.Callback):
        def __getattribute__(self, name: str) -> Any:
            found = super().__getattribute__(name)
            if not name.startswith("on_"):
                return found

            def hook(*args: Any) -> None:
                called.append(f"{name[3:]} {args[0]}" if isinstance(args[0], int) else name[3:])
                found(*args)

            return hook

    model = model_of()
    model.fit(
        X[:8], Y[:8], batch_size=4, epochs=1, validation_data=(X[:4], Y[:4]), verbose=0, callbacks=[Record()]
    )
    assert called == [
        "train_begin",
        "epoch_begin 0",
        "train_batch_begin 0",
        "train_batch_end 0",
        "train_batch_begin 1",
        "train_batch_end 1",
        "test_begin",
        "test_batch_begin 0",
        "test_batch_end 0",
        "test_end",
        "epoch_end 0",
        "train_end",
    ]
    called.clear()
    model.predict(X[:4], callbacks=[Record()])
    assert called == ["predict_begin", "predict_batch_begin 0", "predict_batch_end 0", "predict_end"]
    called.clear()
    bad = callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fit(model, Record(), bad)
    assert called == ["train_begin", "epoch_begin 0", "train_error"]


def test_lambda_callback() -> None:
    seen: list[Any] = []
    fit(
        model_of(),
        callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: seen.append((batch, sorted(logs))),
            on_train_end=lambda logs: seen.append("end"),
        ),
        epochs=1,
    )
    assert seen == [(0, ["loss", "mae"]), (1, ["loss", "mae"]), (2, ["loss", "mae"]), "end"]
    with pytest.raises(OperandError, match="there is no hook 'on_batch_end'"):
        callbacks.LambdaCallback(on_batch_end=print)


@pytest.mark.parametrize(
    ("options", "figures", "epochs", "best"),
    [
        ({"patience": 2}, (5, 4, 4, 4, 0), 4, 1),
        ({"patience": 2, "mode": "max"}, (1, 2, 1, 1, 9), 4, 1),
        ({"patience": 1, "min_delta": 0.5}, (5, 4.8, 4.7, 1, 1), 2, 0),
        ({"patience": 2}, (math.nan, 3, math.nan, math.nan, 1), 4, 1),
        ({"patience": 1, "start_from_epoch": 2}, (1, 2, 3, 2, 2.5), 5, 3),
        ({"patience": 2, "baseline": 1.0}, (5, 4, 3, 2, 1), 2, 1),
    ],
)
def test_early_stopping(options: Any, figures: Any, epochs: int, best: int) -> None:
    model = model_of()
    kept: list[Any] = []
    note = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: kept.append(model.module.weight.numpy().copy())
    )
    stop = callbacks.EarlyStopping("figure", restore_best_weights=True, **options)
    history = fit(model, Figures(*figures), note, stop)
    assert len(history.epoch) == epochs
    assert stop.best_epoch == best
    assert np.array_equal(model.module.weight.numpy(), kept[best])


def test_a_figure_that_is_not_there() -> None:
    with pytest.warns(UserWarning, match="EarlyStopping: there is no 'val_loss' to watch, only loss, mae"):
        fit(model_of(), callbacks.EarlyStopping(), epochs=1)


def test_learning_rates() -> None:
    falling = callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))
    found = fit(model_of(), falling, epochs=3).history["learning_rate"]
    assert found == [0.1, 0.05, 0.1 / 3]
    model = model_of()
    steps = fb.optim.lr_scheduler.StepLR(model.optimizer, 2, gamma=0.5)
    found = fit(model, callbacks.LearningRateScheduler(steps), epochs=4).history["learning_rate"]
    assert found == [0.1, 0.1, 0.05, 0.05]
    model = model_of()
    steps = fb.optim.lr_scheduler.ExponentialLR(model.optimizer, 0.5)
    fit(model, callbacks.LearningRateScheduler(steps, "batch"), epochs=2)
    assert model.optimizer.param_groups[0]["lr"] == 0.1 * 0.5**6
    with pytest.raises(OperandError, match="interval must be 'epoch' or 'batch', not 'step'"):
        callbacks.LearningRateScheduler(steps, "step")


def test_a_changing_rate_compiles_nothing() -> None:
    model = model_of(eager=False)
    fit(model, callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1)), epochs=6)
    assert model.run.steps is not None
    assert len(model.run.steps._train.explain()) == 1


def test_reduce_on_plateau() -> None:
    reduce = callbacks.ReduceLROnPlateau("figure", factor=0.5, patience=1, cooldown=1, min_lr=0.04)
    history = fit(model_of(), Figures(3, 3, 3, 3, 3, 3, 3), reduce, epochs=7)
    assert history.history["learning_rate"] == [0.1, 0.1, 0.05, 0.04, 0.04, 0.04, 0.04]


def test_model_checkpoint(tmp_path: Path) -> None:
    every = callbacks.ModelCheckpoint(tmp_path / "all" / "{epoch:02d}-{mae:.1f}.safetensors")
    best = callbacks.ModelCheckpoint(tmp_path / "best.safetensors", "figure", save_best_only=True)
    batches = callbacks.ModelCheckpoint(tmp_path / "batch.safetensors", save_freq=2)
    model = model_of()
    kept: list[bytes] = []
    note = callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: kept.append(model.module.weight.numpy().tobytes())
    )
    history = fit(model, note, Figures(3, 1, 2), every, best, batches, epochs=3)
    names = [f"{i + 1:02d}-{mae:.1f}.safetensors" for i, mae in enumerate(history.history["mae"])]
    assert sorted(p.name for p in (tmp_path / "all").iterdir()) == names

    def saved(path: Path) -> bytes:
        return fb.io.load_weights(path)["weight"].numpy().tobytes()

    assert saved(tmp_path / "all" / names[0]) == kept[2]
    assert saved(tmp_path / "best.safetensors") == kept[5]
    assert saved(tmp_path / "batch.safetensors") == kept[7]
    with pytest.raises(OperandError, match="names 'acc', but there are only epoch, loss, mae"):
        fit(model, callbacks.ModelCheckpoint(tmp_path / "{acc}"), epochs=1)


def test_csv(tmp_path: Path) -> None:
    log = callbacks.CSVLogger(tmp_path / "log.csv", separator=";")
    history = fit(model_of(), log, epochs=2)
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.reader(file, delimiter=";"))
    assert rows[0] == ["epoch", "loss", "mae"]
    assert [float(row[1]) for row in rows[1:]] == history.history["loss"]
    fit(model_of(), callbacks.CSVLogger(tmp_path / "log.csv", separator=";", append=True), epochs=1)
    assert [line.split(";")[0] for line in (tmp_path / "log.csv").read_text().splitlines()] == [
        "epoch",
        "0",
        "1",
        "0",
    ]


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    pytest.importorskip("PIL")
    from tensorboardX.proto.event_pb2 import Event

    model = model_of(module=fb.nn.Sequential(fb.nn.Linear(4, 3), fb.nn.Linear(3, 1)))
    board = callbacks.TensorBoard(
        tmp_path,
        histogram_freq=2,
        update_freq=2,
        images={
            "constant": np.zeros((2, 5, 6)),
            "weights": lambda m: m.module.get_parameter("0.weight").numpy()[None],
        },
    )
    history = fit(model, board, epochs=2)
    events = []
    for path in tmp_path.iterdir():
        raw = path.read_bytes()
        while raw:  # length (8), its checksum (4), the event, its checksum (4)
            size = int.from_bytes(raw[:8], "little")
            event = Event()
            event.ParseFromString(raw[12 : 12 + size])
            events += [(event.step, value) for value in event.summary.value]
            raw = raw[16 + size :]
    scalars = {(v.tag, step): v.simple_value for step, v in events if v.HasField("simple_value")}
    assert scalars["epoch_loss", 1] == pytest.approx(history.history["loss"][1])
    assert scalars["epoch_learning_rate", 0] == pytest.approx(0.1)
    assert {step for tag, step in scalars if tag == "batch_loss"} == {2, 4, 6}
    histograms = {(v.tag, step) for step, v in events if v.HasField("histo")}
    names = ("0.weight", "0.bias", "1.weight", "1.bias")
    assert histograms == {(f"{kind}/{name}", 0) for kind in ("weights", "gradients") for name in names}
    images = {(v.tag, step) for step, v in events if v.HasField("image")}
    assert {step for _, step in images} == {0, 1}
    assert {tag.split("/")[0] for tag, _ in images} == {"constant", "weights"}


class Roots(fb.nn.Module):
    """Its first layer's output becomes a root, which has no value once it is negative."""

    def __init__(self) -> None:
        super().__init__()
        self.first = fb.nn.Linear(4, 1)
        self.inner = Root()

    def forward(self, x: Any) -> Any:
        return self.inner(self.first(x) + 5.0)


class Root(fb.nn.Module):
    def forward(self, x: Any) -> Any:
        return fb.sqrt(x)


def test_terminate_on_nan_names_the_layer_and_the_line() -> None:
    module = Roots()
    model = fb.Model(module)
    model.compile(fb.optim.SGD(module.parameters(), lr=3.0), "mse_loss")
    with pytest.raises(NonFiniteError) as caught:
        model.fit(X, Y - 1e3, epochs=50, verbose=0, callbacks=[callbacks.TerminateOnNaN()])
    text = str(caught.value)
    assert text.startswith("training failed: sqrt made a NaN of finite operands")
    assert "test_callbacks.py" in text and "in forward: return fb.sqrt(x)" in text
    assert "in layer Roots.inner" in text
    assert model.stop_training


def test_terminate_on_nan_names_what_the_optimizer_made() -> None:
    model = model_of(lr=1e38)
    with pytest.raises(
        NonFiniteError, match=r"a step of SGD made \w+ (NaN|infinite)|made an infinity of finite"
    ):
        fit(model, callbacks.TerminateOnNaN(), epochs=50)


def test_checkpoints_of_another_training_are_refused(tmp_path: Path) -> None:
    fit(model_of(), callbacks.BackupAndRestore(tmp_path), epochs=1)
    with pytest.raises(OperandError, match="with the callbacks"):
        fit(model_of(), callbacks.BackupAndRestore(tmp_path), Figures(1, 1, 1), epochs=2)
    model = fb.Model(fb.nn.Linear(4, 1))
    model.compile("sgd", "mse_loss")
    with pytest.raises(OperandError, match=r"with the metrics \['mae'\], and these are \[\]"):
        fit(model, callbacks.BackupAndRestore(tmp_path), epochs=2)
    with pytest.raises(OperandError, match="while training on 24 examples, not 8"):
        model_of().fit(X[:8], Y[:8], verbose=0, epochs=2, callbacks=[callbacks.BackupAndRestore(tmp_path)])


def test_restoring_can_be_refused_and_checkpoints_removed(tmp_path: Path) -> None:
    fit(model_of(), callbacks.BackupAndRestore(tmp_path / "b"), epochs=2)
    anew = callbacks.BackupAndRestore(tmp_path / "b", restore=False, delete_checkpoint=True)
    seen: list[int] = []
    note = callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(len(anew.checkpoints.paths()))
    )
    history = fit(model_of(), anew, note, epochs=3)
    assert history.epoch == [0, 1, 2]
    assert seen == [2, 1, 2]
    assert not (tmp_path / "b").exists()


def test_accumulated_gradients_are_not_cut_by_a_checkpoint(tmp_path: Path) -> None:
    """Checkpoints wait for the update, and a training that goes on from one gives the same."""
    options = {"gradient_accumulation_steps": 2}

    class Stop(Exception):
        pass

    def stop(batch: int, logs: Any) -> None:
        if model.run.epoch == 1 and batch == 2:
            raise Stop

    whole = model_of()
    fit(whole, epochs=3, **options)
    model = model_of()
    note = callbacks.LambdaCallback(on_train_batch_end=stop)
    with pytest.raises(Stop):
        fit(model, note, callbacks.BackupAndRestore(tmp_path, save_freq=1), epochs=3, **options)
    model = model_of()
    fb.random.seed(99)
    note = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    fit(model, note, callbacks.BackupAndRestore(tmp_path, save_freq=1), epochs=3, **options)
    assert model.module.weight.numpy().tobytes() == whole.module.weight.numpy().tobytes()


def test_watching_for_nan_records_nothing_again() -> None:
    class Counts(fb.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = fb.nn.Linear(4, 1)
            self.register_buffer("seen", fb.asarray(0.0))

        def forward(self, x: Any) -> Any:
            with fb.no_grad():
                self.seen = self.seen + 1.0
            return self.inner(x)

    model = model_of(module=Counts(), eager=False)
    fit(model, callbacks.TerminateOnNaN(), callbacks.EarlyStopping("loss", restore_best_weights=True))
    assert model.module.seen.item() == 15
    assert model.run.steps is not None
    assert len(model.run.steps._train.explain()) == 1


@pytest.mark.parametrize("exact", [True, False])
def test_loaders_go_on_within_an_epoch(tmp_path: Path, exact: bool) -> None:
    """Also one that draws its order from NumPy and cannot tell its position."""

    class Shuffled:
        def __iter__(self) -> Any:
            for rows in np.random.permutation(24).reshape(6, 4):
                yield X[rows], Y[rows]

    def train(*given: callbacks.Callback) -> bytes:
        np.random.seed(1)
        data = fb.data.TensorDataset(X, Y)
        loader = fb.data.DataLoader(data, 4, shuffle=True, generator=1) if exact else Shuffled()
        model = model_of()
        note = callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: np.random.random())
        model.fit(loader, epochs=3, verbose=0, callbacks=[note, *given])
        return model.module.weight.numpy().tobytes() + np.random.bytes(8)

    whole = train()
    steps = 0

    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            nonlocal steps
            steps += 1
            if steps == 11:
                raise InterruptedError

    for _ in range(2):
        backup = callbacks.BackupAndRestore(tmp_path, save_freq=2)
        if steps:
            assert train(Stop(), backup) == whole
        else:
            with pytest.raises(InterruptedError):
                train(Stop(), backup)
    assert steps == 11 + 8
